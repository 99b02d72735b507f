/// How a word's letters differ from its canonical form.
public enum WordCase: UInt8, Sendable {
  case lower = 0
  case title = 1
  case upper = 2
}

/// Lower and upper case of the letters whose two cases take equally many bytes of UTF-8 and belong to one
/// another alone: Latin, Greek, Cyrillic, Armenian. What is not here is left as it is.
///
/// Invariant: `upper(lower(c)) == c` for every c that `lower` changes.
public enum CaseFold {
  /// Below U+0800.
  public static func lower(_ point: UInt32) -> UInt32 {
    switch point {
    case 0x41...0x5A: point + 0x20
    case 0xC0...0xDE: point == 0xD7 ? point : point + 0x20
    case 0x100...0x12F, 0x132...0x137, 0x14A...0x177: point & 1 == 0 ? point + 1 : point
    case 0x139...0x148, 0x179...0x17E: point & 1 == 1 ? point + 1 : point
    case 0x386: 0x3AC
    case 0x388...0x38A: point + 37
    case 0x38C: 0x3CC
    case 0x38E...0x38F: point + 63
    case 0x391...0x3AB: point == 0x3A2 ? point : point + 0x20
    case 0x400...0x40F: point + 0x50
    case 0x410...0x42F: point + 0x20
    case 0x460...0x481, 0x48A...0x4BF, 0x4D0...0x52F: point & 1 == 0 ? point + 1 : point
    case 0x531...0x556: point + 0x30
    default: point
    }
  }

  static func upper(_ point: UInt32) -> UInt32 {
    switch point {
    case 0x61...0x7A: point - 0x20
    case 0xE0...0xFE: point == 0xF7 ? point : point - 0x20
    case 0x100...0x12F, 0x132...0x137, 0x14A...0x177: point & 1 == 1 ? point - 1 : point
    case 0x139...0x148, 0x179...0x17E: point & 1 == 0 ? point - 1 : point
    case 0x3AC: 0x386
    case 0x3AD...0x3AF: point - 37
    case 0x3CC: 0x38C
    case 0x3CD...0x3CE: point - 63
    case 0x3B1...0x3CB: point == 0x3C2 ? point : point - 0x20
    case 0x430...0x44F: point - 0x20
    case 0x450...0x45F: point - 0x50
    case 0x460...0x481, 0x48A...0x4BF, 0x4D0...0x52F: point & 1 == 1 ? point - 1 : point
    case 0x561...0x586: point - 0x30
    default: point
    }
  }

  /// The letter at `index`, of one or two bytes, changed in place. Returns how many bytes to go on by.
  static func change(
    _ text: UnsafeMutablePointer<UInt8>, _ index: Int, _ count: Int, _ map: (UInt32) -> UInt32
  ) -> Int {
    let first = text[index]
    if first < 0x80 {
      text[index] = UInt8(truncatingIfNeeded: map(UInt32(first)))
      return 1
    }
    guard first >= 0xC2, first < 0xE0, index + 1 < count, text[index + 1] & 0xC0 == 0x80 else {
      // A byte at a time: what is behind a longer letter's first byte is no letter, and stays.
      return 1
    }
    let point = map(UInt32(first & 0x1F) << 6 | UInt32(text[index + 1] & 0x3F))
    text[index] = 0xC0 | UInt8(truncatingIfNeeded: point >> 6)
    text[index + 1] = 0x80 | UInt8(truncatingIfNeeded: point & 0x3F)
    return 2
  }

  /// Gives a canonical word its case.
  static func apply(_ style: WordCase, _ text: UnsafeMutablePointer<UInt8>, _ count: Int) {
    guard style != .lower, count > 0 else { return }
    var at = change(text, 0, count, upper)
    guard style == .upper else { return }
    while at < count { at += change(text, at, count, upper) }
  }
}

/// Eight ASCII bytes at once.
enum EightBytes {
  static let tops: UInt64 = 0x8080_8080_8080_8080

  /// The top bit of every byte that is an ASCII letter.
  @inline(__always) static func letters(_ word: UInt64) -> UInt64 {
    let folded = (word | 0x2020_2020_2020_2020) & ~tops
    let atLeastA = folded &+ 0x1F1F_1F1F_1F1F_1F1F
    let aboveZ = folded &+ 0x0505_0505_0505_0505
    return atLeastA & ~aboveZ & ~word & tops
  }

  /// The top bit of every byte without bit 5: of a letter, that it is upper case.
  @inline(__always) static func withoutBit5(_ word: UInt64) -> UInt64 { ~(word &<< 2) & tops }

  /// How many of the lowest bytes have their top bit, before the first that has not; 0 to 8.
  @inline(__always) static func run(_ marks: UInt64) -> Int {
    let missing = ~marks & tops
    return missing == 0 ? 8 : missing.trailingZeroBitCount &>> 3
  }
}
