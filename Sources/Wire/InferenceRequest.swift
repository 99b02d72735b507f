import Bounded

/// A checked view of one request line to the worker that holds a model (docs/inference.md). Not a copy: it lives as
/// long as the line.
///
/// `VERB [KEY=VALUE]... TEXT`: values and the text are bare or in quotes, as in the control protocol. The first word
/// that is no known key with its value begins the text; a text that would look like one goes in quotes.
public struct InferenceRequest: ~Escapable {
  public enum Verb: Sendable {
    case generate
    case embed
    case info
    case cancel
    case version
    case help
    case quit
  }

  /// Prompts are longer than what the control socket takes.
  public static let lineBytes = 32_768
  public static let stopsMaximum = 4

  public let verb: Verb
  /// 1 to 4,096; nil when not given, as the others.
  public private(set) var tokens: Int?
  /// Thousandths, 0 to 5,000.
  public private(set) var temperatureMilli: Int?
  /// Thousandths, 0 to 1,000.
  public private(set) var topPMilli: Int?
  public private(set) var topK: Int?
  public private(set) var seed: UInt64?
  /// The text goes to the model as it stands, without a chat template.
  public private(set) var isRaw = false
  public private(set) var stopCount = 0
  private let line: RawSpan
  private var system = 0..<0
  private var reference = 0..<0
  private var text = 0..<0
  private var stops = InlineArray<4, Range<Int>>(repeating: 0..<0)

  /// Checks one line, given without its line feed. Throws `tooLong`, `unknownCommand` or `badArgument`.
  @_lifetime(copy line)
  public init(parsing line: RawSpan) throws(ErrorCode) {
    guard line.byteCount <= Self.lineBytes else { throw .tooLong }
    self.line = line
    var end = line.byteCount
    if end > 0, line[end - 1] == 0x0D { end -= 1 }
    var at = Self.blanks(line, 0, end)
    let word = at..<Self.word(line, at, end)
    let name = line.extracting(word)
    if name.elementsEqual("generate") {
      verb = .generate
    } else if name.elementsEqual("embed") {
      verb = .embed
    } else if name.elementsEqual("info") {
      verb = .info
    } else if name.elementsEqual("cancel") {
      verb = .cancel
    } else if name.elementsEqual("version") {
      verb = .version
    } else if name.elementsEqual("help") {
      verb = .help
    } else if name.elementsEqual("quit") {
      verb = .quit
    } else {
      throw .unknownCommand
    }
    at = Self.blanks(line, word.upperBound, end)
    if verb == .generate {
      while at < end, let next = try option(at, end) { at = Self.blanks(line, next, end) }
    }
    guard at < end || (verb != .generate && verb != .embed) else { throw .badArgument }
    guard at == end || verb == .generate || verb == .embed else { throw .badArgument }
    text = at..<end
    guard text.isEmpty || Self.isValue(line.extracting(text)) else { throw .badArgument }
  }

  // MARK: Texts

  /// Appends the text without its quotes.
  public func appendText(to out: inout TextBuffer) { append(text, to: &out) }
  /// What the model is told to be; empty when not given.
  public func appendSystem(to out: inout TextBuffer) { append(system, to: &out) }
  /// What the answer is to be taken from; empty when not given.
  public func appendReference(to out: inout TextBuffer) { append(reference, to: &out) }
  public func appendStop(_ index: Int, to out: inout TextBuffer) { append(stops[index], to: &out) }
  public var hasSystem: Bool { !system.isEmpty }
  public var hasReference: Bool { !reference.isEmpty }

  private func append(_ range: Range<Int>, to out: inout TextBuffer) {
    guard !range.isEmpty else { return }
    // Checked by `init`.
    _ = ControlText.read(line.extracting(range), into: &out)
  }

  // MARK: Parsing

  /// Takes `KEY=VALUE` at `at`; where it ends, or nil when there is none.
  private mutating func option(_ at: Int, _ end: Int) throws(ErrorCode) -> Int? {
    var equals = at
    while equals < end, line[equals] != UInt8(ascii: "="), line[equals] != 0x20, line[equals] != 0x22 { equals += 1 }
    guard equals < end, line[equals] == UInt8(ascii: "=") else { return nil }
    let key = line.extracting(at..<equals)
    let start = equals + 1
    let stop = Self.value(line, start, end)
    let value = line.extracting(start..<stop)
    if key.elementsEqual("tokens") {
      tokens = try Self.number(value, 1, 4_096)
    } else if key.elementsEqual("temperature") {
      temperatureMilli = try Self.milli(value, 5_000)
    } else if key.elementsEqual("top_p") {
      topPMilli = try Self.milli(value, 1_000)
    } else if key.elementsEqual("top_k") {
      topK = try Self.number(value, 1, 256)
    } else if key.elementsEqual("seed") {
      guard let number = parseDecimal(value) else { throw .badArgument }
      seed = number
    } else if key.elementsEqual("raw") {
      isRaw = value.elementsEqual("true")
      guard isRaw || value.elementsEqual("false") else { throw .badArgument }
    } else if key.elementsEqual("system") {
      system = try Self.checked(line, start..<stop)
    } else if key.elementsEqual("reference") {
      reference = try Self.checked(line, start..<stop)
    } else if key.elementsEqual("stop") {
      guard stopCount < Self.stopsMaximum, stop > start else { throw .badArgument }
      stops[stopCount] = try Self.checked(line, start..<stop)
      stopCount += 1
    } else {
      return nil
    }
    return stop
  }

  private static func checked(_ line: RawSpan, _ range: Range<Int>) throws(ErrorCode) -> Range<Int> {
    guard isValue(line.extracting(range)) else { throw .badArgument }
    return range
  }

  /// Clean text whose quotes and escapes, where there are any, are well formed.
  private static func isValue(_ raw: RawSpan) -> Bool {
    var i = 0
    while i < raw.byteCount {
      if raw[i] < 0x20, raw[i] != 0x09 { return false }
      let length = utf8SequenceLength(raw, at: i)
      if length == 0 { return false }
      i += length
    }
    return ControlText.isWell(raw)
  }

  private static func number(_ text: RawSpan, _ least: Int, _ most: Int) throws(ErrorCode) -> Int {
    guard let value = parseDecimal(text), value >= UInt64(least), value <= UInt64(most) else { throw .badArgument }
    return Int(value)
  }

  private static func milli(_ text: RawSpan, _ most: Int) throws(ErrorCode) -> Int {
    guard let value = parseMilli(text), value <= most else { throw .badArgument }
    return value
  }

  private static func blanks(_ line: RawSpan, _ start: Int, _ end: Int) -> Int {
    var i = start
    while i < end, line[i] == 0x20 || line[i] == 0x09 { i += 1 }
    return i
  }

  private static func word(_ line: RawSpan, _ start: Int, _ end: Int) -> Int {
    var i = start
    while i < end, line[i] != 0x20, line[i] != 0x09 { i += 1 }
    return i
  }

  /// The end of a bare or quoted value.
  private static func value(_ line: RawSpan, _ start: Int, _ end: Int) -> Int {
    guard start < end, line[start] == 0x22 else { return word(line, start, end) }
    var i = start + 1
    while i < end {
      if line[i] == 0x22 { return i + 1 }
      i += line[i] == 0x5C ? 2 : 1
    }
    return end
  }
}

/// A decimal number with at most three decimals, times 1,000; nil when it is none, or longer than 8 characters.
public func parseMilli(_ text: RawSpan) -> Int? {
  guard text.byteCount >= 1, text.byteCount <= 8 else { return nil }
  var value = 0
  var decimals = -1
  for i in 0..<text.byteCount {
    if text[i] == UInt8(ascii: "."), decimals < 0, i > 0 {
      decimals = 0
      continue
    }
    guard text[i] >= 48, text[i] < 58, decimals < 3 else { return nil }
    value = value * 10 + Int(text[i] - 48)
    if decimals >= 0 { decimals += 1 }
  }
  for _ in max(0, decimals)..<3 { value *= 10 }
  return value
}
