import Bounded

/// A line of what `skynodctl knowledge import` reads: one flat JSON object (RFC 8259) with `question` and `answer`, and
/// perhaps `pinned` and `ttl`. Other members are read over; of two with one name the last counts.
public struct TaughtLine: ~Copyable {
  public private(set) var question = TextBuffer(capacity: Limits.questionBytes)
  public private(set) var answer = TextBuffer(capacity: Limits.answerBytes)
  public private(set) var isPinned = false
  /// Seconds; 0 for no limit.
  public private(set) var timeToLiveS: UInt64 = 0

  private var name = TextBuffer(capacity: 16)
  private var word = TextBuffer(capacity: 32)

  public init() {}

  /// Takes the place of what was read before. `badArgument` for what is no such object, `tooLong` for a question or
  /// an answer over its limit.
  public mutating func read(_ line: RawSpan) throws(ErrorCode) {
    question.removeAll()
    answer.removeAll()
    isPinned = false
    timeToLiveS = 0
    var scanner = FlatJsonScanner(line)
    try scanner.expect(UInt8(ascii: "{"))
    repeat {
      try scanner.string(&name)
      try scanner.expect(UInt8(ascii: ":"))
      try member(&scanner)
    } while scanner.take(UInt8(ascii: ","))
    try scanner.expect(UInt8(ascii: "}"))
    guard scanner.isAtEnd, !question.isEmpty, !answer.isEmpty else { throw .badArgument }
    guard !question.isTruncated, !answer.isTruncated else { throw .tooLong }
  }

  private mutating func member(_ scanner: inout FlatJsonScanner) throws(ErrorCode) {
    if name.bytes.elementsEqual("question") { return try scanner.string(&question) }
    if name.bytes.elementsEqual("answer") { return try scanner.string(&answer) }
    if name.bytes.elementsEqual("pinned") {
      try scanner.word(&word)
      isPinned = word.bytes.elementsEqual("true")
      guard isPinned || word.bytes.elementsEqual("false") else { throw .badArgument }
    } else if name.bytes.elementsEqual("ttl") {
      try scanner.word(&word)
      guard let seconds = parseDecimal(word.bytes) else { throw .badArgument }
      timeToLiveS = seconds
    } else if scanner.isAtString {
      try scanner.string(&word)
    } else {
      try scanner.word(&word)
    }
  }
}

/// The signs, strings and words of one line of JSON. What does not fit its buffer is cut off there, and read over.
private struct FlatJsonScanner: ~Copyable, ~Escapable {
  private let line: RawSpan
  private var at = 0

  @_lifetime(copy line)
  init(_ line: RawSpan) { self.line = line }

  var isAtEnd: Bool {
    mutating get {
      skipBlanks()
      return at == line.byteCount
    }
  }

  var isAtString: Bool {
    mutating get {
      skipBlanks()
      return at < line.byteCount && line[at] == UInt8(ascii: "\"")
    }
  }

  private mutating func skipBlanks() {
    while at < line.byteCount, line[at] == 0x20 || line[at] == 0x09 || line[at] == 0x0D { at += 1 }
  }

  mutating func take(_ byte: UInt8) -> Bool {
    skipBlanks()
    guard at < line.byteCount, line[at] == byte else { return false }
    at += 1
    return true
  }

  mutating func expect(_ byte: UInt8) throws(ErrorCode) {
    guard take(byte) else { throw .badArgument }
  }

  /// A number, `true`, `false` or `null`.
  mutating func word(_ text: inout TextBuffer) throws(ErrorCode) {
    skipBlanks()
    text.removeAll()
    while at < line.byteCount, isOfWord(line[at]) {
      text.append(byte: line[at])
      at += 1
    }
    guard !text.isEmpty else { throw .badArgument }
  }

  private func isOfWord(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
    case UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."), UInt8(ascii: "E"): true
    default: false
    }
  }

  mutating func string(_ text: inout TextBuffer) throws(ErrorCode) {
    text.removeAll()
    try expect(UInt8(ascii: "\""))
    while at < line.byteCount {
      let length = utf8SequenceLength(line, at: at)
      guard length > 0, line[at] >= 0x20 else { throw .badArgument }
      let start = at
      at += length
      switch line[start] {
      case UInt8(ascii: "\""): return
      case UInt8(ascii: "\\"): text.append(scalar: try escaped())
      default: text.append(line.extracting(start..<at))
      }
    }
    throw .badArgument
  }

  private mutating func escaped() throws(ErrorCode) -> UInt32 {
    guard at < line.byteCount else { throw .badArgument }
    at += 1
    switch line[at - 1] {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return UInt32(line[at - 1])
    case UInt8(ascii: "b"): return 0x08
    case UInt8(ascii: "f"): return 0x0C
    case UInt8(ascii: "n"): return 0x0A
    case UInt8(ascii: "r"): return 0x0D
    case UInt8(ascii: "t"): return 0x09
    case UInt8(ascii: "u"):
      let unit = try fourDigits()
      guard unit & 0xF800 == 0xD800 else { return unit }
      // A pair of surrogates, or nothing.
      guard unit < 0xDC00, at + 1 < line.byteCount, line[at] == UInt8(ascii: "\\"), line[at + 1] == UInt8(ascii: "u")
      else { throw .badArgument }
      at += 2
      let low = try fourDigits()
      guard low & 0xFC00 == 0xDC00 else { throw .badArgument }
      return 0x1_0000 + (unit & 0x3FF) << 10 | low & 0x3FF
    default: throw .badArgument
    }
  }

  private mutating func fourDigits() throws(ErrorCode) -> UInt32 {
    guard at + 4 <= line.byteCount else { throw .badArgument }
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let digit = hexDigit(line[at]) else { throw .badArgument }
      value = value << 4 | UInt32(digit)
      at += 1
    }
    return value
  }
}
