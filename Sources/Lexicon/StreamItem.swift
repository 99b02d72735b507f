/// One step of the compact binary form. `docs/lexicon.md` has its codes to the bit.
public enum StreamItem: Equatable, Sendable {
  /// A word of the dictionary. Below 256 there are none: bytes are `byte`, `repeated` or `literal`.
  case word(id: UInt32, style: WordCase, hasSpace: Bool)
  /// One of the 32 bytes that have a code of their own.
  case byte(UInt8)
  /// 1 to 256 spaces.
  case spaces(Int)
  /// 4 to 256 times the same byte.
  case repeated(UInt8, count: Int)
  /// A number with exactly `count` digits, 1 to 9, leading zeros and all.
  case digits(value: UInt32, count: Int, hasSpace: Bool)
  /// Bytes as they were: `count` of them, 1 to 128, from `offset` of the encoded stream.
  case literal(offset: Int, count: Int, hasSpace: Bool)
}

enum StreamCode {
  static let wordThree: UInt8 = 0x80
  static let byte: UInt8 = 0xC0
  static let spaces: UInt8 = 0xE0
  static let spacesMany: UInt8 = 0xE7
  static let digits: UInt8 = 0xE8
  static let repeated: UInt8 = 0xEA
  static let literal: UInt8 = 0xF0
  static let spaceBit: UInt8 = 0x08

  static let firstWord: UInt32 = 256
  /// Words from `firstWord` that take two bytes when in lower case behind a space.
  static let twoByteWords: UInt32 = 1 << 15
  static let threeByteWords: UInt32 = 1 << 19
  static let fourByteWords: UInt32 = 1 << 24

  static let spacesMaximum = 256
  static let repeatMinimum = 4
  static let repeatMaximum = 256
  static let digitsMaximum = 9
  static let literalMaximum = 128
  /// The longest item: a literal with two bytes before it.
  static let itemBytesMaximum = 2 + literalMaximum

  /// The bytes with a code of their own, in its order: most frequent in text and source.
  static let bytes: StaticString = "\n\t,.-'\"()/:;_=<>*#[]{}!?&|+@$%\\`"

  /// A byte's code, 0 to 31, or 255.
  @inline(__always) static func code(of byte: UInt8) -> UInt8 {
    switch byte {
    case 0x0A: 0
    case 0x09: 1
    case 0x2C: 2
    case 0x2E: 3
    case 0x2D: 4
    case 0x27: 5
    case 0x22: 6
    case 0x28: 7
    case 0x29: 8
    case 0x2F: 9
    case 0x3A: 10
    case 0x3B: 11
    case 0x5F: 12
    case 0x3D: 13
    case 0x3C: 14
    case 0x3E: 15
    case 0x2A: 16
    case 0x23: 17
    case 0x5B: 18
    case 0x5D: 19
    case 0x7B: 20
    case 0x7D: 21
    case 0x21: 22
    case 0x3F: 23
    case 0x26: 24
    case 0x7C: 25
    case 0x2B: 26
    case 0x40: 27
    case 0x24: 28
    case 0x25: 29
    case 0x5C: 30
    case 0x60: 31
    default: 255
    }
  }

  /// Bytes that hold the value of `count` digits.
  @inline(__always) static func valueBytes(_ count: Int) -> Int { count <= 4 ? 2 : count <= 7 ? 3 : 4 }
}

/// Walks over an encoded stream, item by item. Every length is checked before a byte is touched.
public struct StreamReader: ~Escapable {
  let stream: RawSpan
  public private(set) var offset = 0

  @_lifetime(copy stream)
  public init(_ stream: RawSpan) { self.stream = stream }

  public var isAtEnd: Bool { offset >= stream.byteCount }

  /// The next item; at the end, or when its last bytes are missing, `.truncatedStream`. After an error the
  /// reader stays where it was.
  @inline(__always) public mutating func next() throws(LexiconError) -> StreamItem {
    let left = stream.byteCount &- offset
    guard left > 0 else { throw .truncatedStream }
    let lead = stream.u8(offset)
    if lead < StreamCode.wordThree {
      guard left >= 2 else { throw .truncatedStream }
      let id = UInt32(lead) &<< 8 | UInt32(stream.u8(offset &+ 1))
      offset &+= 2
      return .word(id: id &+ StreamCode.firstWord, style: .lower, hasSpace: true)
    }
    if lead < StreamCode.byte { return try longWord(lead, left) }
    if lead < StreamCode.spaces {
      offset &+= 1
      return .byte(StreamCode.bytes.utf8Start[Int(lead & 31)])
    }
    return try other(lead, left)
  }

  // MARK: what most of a text is

  /// As many bytes of the stream as each of these looks at: a literal of 16 bytes.
  static let ahead = 18
  @inline(__always) var isFarFromEnd: Bool { offset <= stream.byteCount &- Self.ahead }

  /// The id, when the next item is a word in lower case behind a space that takes two bytes; else nothing
  /// happens.
  @inline(__always) mutating func nextShortWord() -> UInt32? {
    let lead = stream.u8(offset)
    guard lead < StreamCode.wordThree else { return nil }
    let id = UInt32(lead) &<< 8 | UInt32(stream.u8(offset &+ 1))
    offset &+= 2
    return id &+ StreamCode.firstWord
  }

  /// A word of three bytes when that is the next item; else nothing happens.
  @inline(__always) mutating func nextLongWord() -> (id: UInt32, style: WordCase, spaces: Int)? {
    let lead = stream.u8(offset)
    guard lead & 0xC0 == StreamCode.wordThree, let style = WordCase(rawValue: (lead &>> 4) & 3) else { return nil }
    let id = (stream.u32(offset).byteSwapped &>> 8) & (StreamCode.threeByteWords &- 1)
    offset &+= 3
    return (id: id &+ StreamCode.firstWord, style: style, spaces: Int(lead &>> 3) & 1)
  }

  /// The byte, when the next item is one with a code of its own; else nothing happens.
  @inline(__always) mutating func nextMark() -> UInt8? {
    let lead = stream.u8(offset)
    guard lead & 0xE0 == StreamCode.byte else { return nil }
    offset &+= 1
    return StreamCode.bytes.utf8Start[Int(lead & 31)]
  }

  /// The number of spaces, 1 to 7, when that is the next item; else 0, and nothing happens.
  @inline(__always) mutating func nextSpaces() -> Int {
    let lead = stream.u8(offset)
    guard lead & 0xF8 == StreamCode.spaces, lead != StreamCode.spacesMany else { return 0 }
    offset &+= 1
    return Int(lead & 7) &+ 1
  }

  /// Where the next item's bytes are, when it is a literal of at most 16, and their number; else 0, and nothing
  /// happens.
  @inline(__always) mutating func nextShortLiteral(_ at: inout Int, _ spaces: inout Int) -> Int {
    let lead = stream.u8(offset)
    guard lead >= StreamCode.literal else { return 0 }
    var count = Int(lead & 7) &+ 1
    at = offset &+ 1
    if count == 8 {
      count = Int(stream.u8(at)) &+ 8
      guard count <= 16 else { return 0 }
      at &+= 1
    }
    spaces = Int(lead &>> 3) & 1
    offset = at &+ count
    return count
  }

  /// One or two digits as they are written, the first in the lowest byte, and their number, when that is the
  /// next item; else 0, and nothing happens.
  @inline(__always) mutating func nextFewDigits(_ text: inout UInt16, _ spaces: inout Int) -> Int {
    let lead = stream.u8(offset)
    let value = UInt16(stream.u8(offset &+ 1))
    guard lead & 0xFE == StreamCode.digits, value < 110 else { return 0 }
    spaces = Int(lead & 1)
    offset &+= 2
    let isPair = value < 100
    text = 0x3030 &+ (isPair ? value / 10 | (value % 10) &<< 8 : value &- 100)
    return isPair ? 2 : 1
  }

  /// `10 cc s ppp`: case, space, and the upper bits of 19; case 3 says that the case is in the next byte.
  @inline(__always) private mutating func longWord(_ lead: UInt8, _ left: Int) throws(LexiconError) -> StreamItem {
    guard left >= 3 else { throw .truncatedStream }
    let hasSpace = lead & StreamCode.spaceBit != 0
    if lead & 0x30 != 0x30 {
      let id = UInt32(lead & 7) &<< 16 | UInt32(stream.u8(offset &+ 1)) &<< 8 | UInt32(stream.u8(offset &+ 2))
      offset &+= 3
      let style: WordCase = lead & 0x30 == 0 ? .lower : lead & 0x20 == 0 ? .title : .upper
      return .word(id: id &+ StreamCode.firstWord, style: style, hasSpace: hasSpace)
    }
    guard left >= 4 else { throw .truncatedStream }
    guard let style = WordCase(rawValue: lead & 7) else { throw .badStream }
    let id =
      UInt32(stream.u8(offset &+ 1)) &<< 16 | UInt32(stream.u8(offset &+ 2)) &<< 8 | UInt32(stream.u8(offset &+ 3))
    offset &+= 4
    return .word(id: id &+ StreamCode.firstWord, style: style, hasSpace: hasSpace)
  }

  private mutating func other(_ lead: UInt8, _ left: Int) throws(LexiconError) -> StreamItem {
    if lead >= StreamCode.literal {
      let hasSpace = lead & StreamCode.spaceBit != 0
      var head = 1
      var count = Int(lead & 7) + 1
      if lead & 7 == 7 {
        guard left >= 2 else { throw .truncatedStream }
        head = 2
        count = Int(stream.u8(offset + 1)) + 8
        guard count <= StreamCode.literalMaximum else { throw .badStream }
      }
      guard left >= head + count else { throw .truncatedStream }
      let start = offset + head
      offset = start + count
      return .literal(offset: start, count: count, hasSpace: hasSpace)
    }
    switch lead {
    case StreamCode.spaces..<StreamCode.spacesMany:
      offset += 1
      return .spaces(Int(lead - StreamCode.spaces) + 1)
    case StreamCode.spacesMany:
      guard left >= 2 else { throw .truncatedStream }
      offset += 2
      return .spaces(Int(stream.u8(offset - 1)) + 1)
    case StreamCode.digits, StreamCode.digits + 1: return try digits(hasSpace: lead != StreamCode.digits, left)
    case StreamCode.repeated:
      guard left >= 3 else { throw .truncatedStream }
      let count = Int(stream.u8(offset + 2)) + 1
      guard count >= StreamCode.repeatMinimum else { throw .badStream }
      offset += 3
      return .repeated(stream.u8(offset - 2), count: count)
    default: throw .badStream
    }
  }

  private mutating func digits(hasSpace: Bool, _ left: Int) throws(LexiconError) -> StreamItem {
    guard left >= 2 else { throw .truncatedStream }
    let second = stream.u8(offset + 1)
    if second < 110 {
      offset += 2
      return second < 100
        ? .digits(value: UInt32(second), count: 2, hasSpace: hasSpace)
        : .digits(value: UInt32(second - 100), count: 1, hasSpace: hasSpace)
    }
    let count = Int(second) - 107
    guard count <= StreamCode.digitsMaximum else { throw .badStream }
    let size = StreamCode.valueBytes(count)
    guard left >= 2 + size else { throw .truncatedStream }
    var value: UInt32 = 0
    for i in 0..<size { value = value << 8 | UInt32(stream.u8(offset + 2 + i)) }
    var limit: UInt32 = 1
    for _ in 0..<count { limit *= 10 }
    guard value < limit else { throw .badStream }
    offset += 2 + size
    return .digits(value: value, count: count, hasSpace: hasSpace)
  }
}

/// How far a call came.
public struct Progress: Equatable, Sendable {
  /// Bytes of the input that are done with; the caller hands in the rest again, with more behind it.
  public var consumed: Int
  /// Bytes of the output that were filled.
  public var written: Int

  public init(consumed: Int, written: Int) {
    self.consumed = consumed
    self.written = written
  }
}
