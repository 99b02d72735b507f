import Bounded

/// A run of letters of the input in canonical form, at most 63 bytes, and what case it had.
///
/// A run ends where a lower-case letter is followed by an upper-case one, so that `fileName` is two words, and
/// before letters of scripts without spaces. An apostrophe between two letters belongs to it.
struct ScannedWord {
  private var storage = WordText()
  private(set) var count = 0
  /// The bytes before the first apostrophe; `count` when there is none.
  private(set) var firstPart = 0
  private var changed = 0
  private var cased = 0
  private var isFirstChanged = false

  var text: RawSpan {
    @_lifetime(borrow self)
    get { storage.span }
  }

  /// Nil when none of the three cases gives the word back.
  var style: WordCase? {
    if changed == 0 { return .lower }
    if changed == 1, isFirstChanged { return .title }
    return changed == cased ? .upper : nil
  }

  /// Reads a word that begins at `start` with a letter.
  mutating func scan(_ input: RawSpan, _ start: Int) {
    var at = start
    var wasLower = false
    while at < input.byteCount {
      let byte = input.u8(at)
      if byte < 0x80 {
        if byte == UInt8(ascii: "'") {
          guard count > 0, count < Layout.wordBytesMaximum - 4, Self.isLetter(input, at + 1) else { break }
          if firstPart == 0 { firstPart = count }
          storage[count] = byte
          count += 1
          at += 1
          wasLower = false
          continue
        }
        guard (byte | 0x20) &- UInt8(ascii: "a") < 26, count < Layout.wordBytesMaximum else { break }
        let isUpper = byte & 0x20 == 0
        if isUpper, wasLower { break }
        storage[count] = byte | 0x20
        note(isUpper: isUpper, isCased: true)
        count += 1
        at += 1
        wasLower = !isUpper
        continue
      }
      let size = utf8SequenceLength(input, at: at)
      guard size > 0, count + size <= Layout.wordBytesMaximum else { break }
      let point = Unicode.point(input, at, size)
      guard Unicode.isLetter(point), !Unicode.isWrittenWithoutSpaces(point) else { break }
      let lower = size == 2 ? CaseFold.lower(point) : point
      let isUpper = lower != point
      if isUpper, wasLower { break }
      if size == 2 {
        storage[count] = 0xC0 | UInt8(truncatingIfNeeded: lower >> 6)
        storage[count + 1] = 0x80 | UInt8(truncatingIfNeeded: lower & 0x3F)
      } else {
        for i in 0..<size { storage[count + i] = input.u8(at + i) }
      }
      let isCased = size == 2 && CaseFold.upper(lower) != lower
      note(isUpper: isUpper, isCased: isCased)
      count += size
      at += size
      wasLower = isCased && !isUpper
    }
    if firstPart == 0 { firstPart = count }
  }

  private mutating func note(isUpper: Bool, isCased: Bool) {
    if isUpper {
      if count == 0 { isFirstChanged = true }
      changed += 1
    }
    if isCased { cased += 1 }
  }

  private static func isLetter(_ input: RawSpan, _ at: Int) -> Bool {
    guard at < input.byteCount else { return false }
    let byte = input.u8(at)
    if byte < 0x80 { return (byte | 0x20) &- UInt8(ascii: "a") < 26 }
    let size = utf8SequenceLength(input, at: at)
    guard size > 0 else { return false }
    let point = Unicode.point(input, at, size)
    return Unicode.isLetter(point) && !Unicode.isWrittenWithoutSpaces(point)
  }
}

/// As much of Unicode as cutting text into words needs: a wrong answer costs a literal, never a byte.
enum Unicode {
  /// The code point of a well-formed sequence of `size` bytes: `utf8Scalar` in line and without its checks, for every letter.
  @inline(__always) static func point(_ input: RawSpan, _ at: Int, _ size: Int) -> UInt32 {
    let first = UInt32(input.u8(at))
    switch size {
    case 1: return first
    case 2: return (first & 0x1F) << 6 | UInt32(input.u8(at + 1) & 0x3F)
    case 3: return (first & 0x0F) << 12 | UInt32(input.u8(at + 1) & 0x3F) << 6 | UInt32(input.u8(at + 2) & 0x3F)
    default:
      return (first & 0x07) << 18 | UInt32(input.u8(at + 1) & 0x3F) << 12 | UInt32(input.u8(at + 2) & 0x3F) << 6
        | UInt32(input.u8(at + 3) & 0x3F)
    }
  }

  /// Letters and their marks, above ASCII.
  static func isLetter(_ point: UInt32) -> Bool {
    switch point {
    case 0..<0xC0: point == 0xAA || point == 0xB5 || point == 0xBA
    case 0xD7, 0xF7, 0x37E, 0x387, 0x589, 0x60C, 0x61B, 0x61F, 0x66A...0x66D, 0x6D4, 0x964, 0x965: false
    case 0x2000..<0x2C00, 0x3000..<0x3040, 0xE000..<0xF900, 0xFE00..<0xFE70, 0xFF00..<0xFF21: false
    case 0x1F000..<0x20000: false
    default: true
    }
  }

  /// Kana and Han of the Basic Multilingual Plane.
  static func isWrittenWithoutSpaces(_ point: UInt32) -> Bool { point >= 0x3040 && point < 0xA000 }
}
