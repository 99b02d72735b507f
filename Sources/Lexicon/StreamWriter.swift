/// Writes items, and holds back the literal that is still growing. Not a buffer: the caller keeps room.
struct StreamWriter {
  private(set) var out: UnsafeMutableRawPointer
  private let limit: UnsafeMutableRawPointer
  /// The literal that is not written yet: bytes of the input.
  private var literalStart = 0
  private var literalCount = 0
  private var literalHasSpace = false

  @inline(__always) init(_ out: UnsafeMutableRawPointer, limit: UnsafeMutableRawPointer) {
    self.out = out
    self.limit = limit
  }

  @inline(__always) var hasRoom: Bool { out <= limit }
  @inline(__always) var hasLiteral: Bool { literalCount > 0 }

  /// Whether a word of so many bytes, right behind a literal, is cheaper as a part of it.
  @inline(__always) func joins(_ count: Int) -> Bool { literalCount > 0 && count <= 3 }

  /// Where the input goes on that is not in the output yet; `at` when nothing is held back.
  func firstUnwritten(_ at: Int) -> Int {
    literalCount == 0 ? at : literalHasSpace ? literalStart - 1 : literalStart
  }

  /// `count` bytes, at most `literalMaximum`, of the input. They follow what is held back, unless a space
  /// is between.
  mutating func literal(_ at: Int, _ count: Int, hasSpace: Bool, _ input: RawSpan) {
    if hasSpace || literalCount + count > StreamCode.literalMaximum { flush(input) }
    if literalCount == 0 {
      literalStart = at
      literalHasSpace = hasSpace
    }
    literalCount += count
  }

  @inline(__always) mutating func flush(_ input: RawSpan) {
    if literalCount > 0 { writeLiteral(input) }
  }

  @inline(never) private mutating func writeLiteral(_ input: RawSpan) {
    let lead = StreamCode.literal | (literalHasSpace ? StreamCode.spaceBit : 0)
    if literalCount < 8 {
      put(lead | UInt8(literalCount - 1))
    } else {
      put(lead | 7)
      put(UInt8(literalCount - 8))
    }
    input.extracting(literalStart..<(literalStart + literalCount)).withUnsafeBytes {
      out.copyMemory(from: $0.baseAddress!, byteCount: $0.count)
    }
    out += literalCount
    literalCount = 0
  }

  @inline(__always) mutating func put(_ byte: UInt8) {
    out.storeBytes(of: byte, as: UInt8.self)
    out += 1
  }

  @inline(__always) mutating func word(_ id: UInt32, _ style: WordCase, _ hasSpace: Bool) {
    let number = id &- StreamCode.firstWord
    if hasSpace, style == .lower, number < StreamCode.twoByteWords {
      out.storeBytes(of: UInt16(truncatingIfNeeded: number).bigEndian, as: UInt16.self)
      out += 2
      return
    }
    let space = hasSpace ? StreamCode.spaceBit : 0
    if number < StreamCode.threeByteWords {
      put(StreamCode.wordThree | style.rawValue &<< 4 | space | UInt8(truncatingIfNeeded: number &>> 16))
    } else {
      put(StreamCode.wordThree | 0x30 | space | style.rawValue)
      put(UInt8(truncatingIfNeeded: number &>> 16))
    }
    out.storeBytes(of: UInt16(truncatingIfNeeded: number).bigEndian, as: UInt16.self)
    out += 2
  }

  mutating func byte(_ code: UInt8) { put(StreamCode.byte | code) }

  mutating func spaces(_ count: Int) {
    if count <= 7 {
      put(StreamCode.spaces + UInt8(count - 1))
    } else {
      put(StreamCode.spacesMany)
      put(UInt8(count - 1))
    }
  }

  mutating func repeated(_ byte: UInt8, _ count: Int) {
    put(StreamCode.repeated)
    put(byte)
    put(UInt8(count - 1))
  }

  mutating func digits(_ value: UInt32, _ count: Int, _ hasSpace: Bool) {
    put(hasSpace ? StreamCode.digits + 1 : StreamCode.digits)
    switch count {
    case 1: put(100 + UInt8(value))
    case 2: put(UInt8(value))
    default:
      put(UInt8(107 + count))
      for i in stride(from: StreamCode.valueBytes(count) - 1, through: 0, by: -1) {
        put(UInt8(truncatingIfNeeded: value >> UInt32(8 * i)))
      }
    }
  }
}
