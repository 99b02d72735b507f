import Bounded

/// The text rules of the control protocol: bare and quoted values, times, pairs.
public enum ControlText {
  /// True when `span` is UTF-8 whose only control characters are tab, line feed and carriage return.
  public static func isClean(_ span: RawSpan) -> Bool {
    var i = 0
    while i < span.byteCount {
      let byte = span[i]
      if byte < 0x20 && byte != 0x09 && byte != 0x0A && byte != 0x0D || byte == 0x7F { return false }
      let length = utf8SequenceLength(span, at: i)
      if length == 0 { return false }
      i += length
    }
    return true
  }

  /// Writes a value: bare when it is printable ASCII without blank, quote, backslash or `=`,
  /// otherwise in quotes with `\\`, `\"`, `\n`, `\r`, `\t` and `\xHH` inside.
  public static func write(_ span: RawSpan, to text: inout TextBuffer) {
    if isBare(span) { text.append(span) } else { writeQuoted(span, to: &text) }
  }

  /// Writes a value in quotes whatever it holds.
  public static func writeQuoted(_ span: RawSpan, to text: inout TextBuffer) {
    text.append("\"")
    writeQuotedPart(span, to: &text)
    text.append("\"")
  }

  /// What stands between the quotes.
  public static func writeQuotedPart(_ span: RawSpan, to text: inout TextBuffer) {
    var i = 0
    while i < span.byteCount {
      let byte = span[i]
      let length = utf8SequenceLength(span, at: i)
      switch byte {
      case 0x22: text.append("\\\"")
      case 0x5C: text.append("\\\\")
      case 0x0A: text.append("\\n")
      case 0x0D: text.append("\\r")
      case 0x09: text.append("\\t")
      case 0..<0x20, 0x7F: writeHexEscape(byte, to: &text)
      default:
        if length == 0 {
          writeHexEscape(byte, to: &text)
        } else {
          text.append(span.extracting(i..<(i + length)))
        }
      }
      i += max(1, length)
    }
  }

  /// Reads a value back: the bytes themselves when they do not start with a quote, otherwise what the
  /// quotes hold. False when quotes or escapes are not well formed.
  public static func read(_ raw: RawSpan, into text: inout TextBuffer) -> Bool {
    guard isQuoted(raw) else {
      text.append(raw)
      return true
    }
    return unquote(raw) { text.append(byte: $0) }
  }

  /// Whether `read` would take it, told without room for the result.
  static func isWell(_ raw: RawSpan) -> Bool { !isQuoted(raw) || unquote(raw) { _ in } }

  private static func isQuoted(_ raw: RawSpan) -> Bool { raw.byteCount > 0 && raw[0] == 0x22 }

  /// Gives the bytes that a quoted value holds, one by one. False when quotes or escapes are not well formed.
  private static func unquote(_ raw: RawSpan, _ put: (UInt8) -> Void) -> Bool {
    var i = 1
    while i < raw.byteCount {
      let byte = raw[i]
      if byte == 0x22 { return i == raw.byteCount - 1 }
      i += 1
      if byte != 0x5C {
        put(byte)
        continue
      }
      guard i < raw.byteCount else { return false }
      switch raw[i] {
      case 0x22, 0x5C: put(raw[i])
      case UInt8(ascii: "n"): put(0x0A)
      case UInt8(ascii: "r"): put(0x0D)
      case UInt8(ascii: "t"): put(0x09)
      case UInt8(ascii: "x"):
        guard i + 2 < raw.byteCount, let byte = hexByte(raw[i + 1], raw[i + 2]) else { return false }
        put(byte)
        i += 2
      default: return false
      }
      i += 1
    }
    return false
  }

  /// The length of the value that starts `raw`: up to a blank, or to the closing quote.
  public static func valueLength(_ raw: RawSpan) -> Int {
    var i = 0
    if raw.byteCount > 0, raw[0] == 0x22 {
      i = 1
      while i < raw.byteCount, raw[i] != 0x22 { i += raw[i] == 0x5C ? 2 : 1 }
      return min(i + 1, raw.byteCount)
    }
    while i < raw.byteCount, raw[i] != 0x20 { i += 1 }
    return i
  }

  /// `2026-01-31T23:59:59Z` (RFC 3339), from milliseconds since 1970; for years up to 9999.
  public static func writeUtc(_ milliseconds: UInt64, to text: inout TextBuffer) {
    let seconds = milliseconds / 1_000
    let day = seconds % 86_400
    // Years counted from March: the leap day is the last one (Hinnant, "chrono-compatible date algorithms").
    let z = seconds / 86_400 + 719_468
    let era = z / 146_097
    let dayOfEra = z % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    text.append(yearOfEra + era * 400 + (month <= 2 ? 1 : 0))
    writeTwo("-", month, to: &text)
    writeTwo("-", dayOfYear - (153 * shifted + 2) / 5 + 1, to: &text)
    writeTwo("T", day / 3_600, to: &text)
    writeTwo(":", day % 3_600 / 60, to: &text)
    writeTwo(":", day % 60, to: &text)
    text.append("Z")
  }

  private static func writeTwo(_ before: StaticString, _ value: UInt64, to text: inout TextBuffer) {
    text.append(before)
    if value < 10 { text.append("0") }
    text.append(value)
  }

  private static func isBare(_ span: RawSpan) -> Bool {
    for i in 0..<span.byteCount {
      switch span[i] {
      case 0x22, 0x5C, 0x3D: return false
      case 0x21..<0x7F: continue
      default: return false
      }
    }
    return true
  }

  private static func writeHexEscape(_ byte: UInt8, to text: inout TextBuffer) {
    var one = InlineArray<1, UInt8>(repeating: byte)
    one[0] = byte
    text.append("\\x")
    text.append(hex: one.span.bytes)
  }
}

/// Walks the `key=value` pairs of one reply line, front to back.
public struct ControlPairs: ~Escapable {
  private let line: RawSpan
  private var position = 0
  private var keyStart = 0
  private var keyEnd = 0
  private var valueEnd = 0

  @_lifetime(copy line)
  public init(_ line: RawSpan) { self.line = line }

  /// Goes to the next pair. False at the end, and at anything that is not a pair.
  public mutating func next() -> Bool {
    while position < line.byteCount, line[position] == 0x20 { position += 1 }
    keyStart = position
    while position < line.byteCount, line[position] != 0x3D, line[position] != 0x20 { position += 1 }
    guard position < line.byteCount, line[position] == 0x3D, position > keyStart else { return false }
    keyEnd = position
    valueEnd = keyEnd + 1 + ControlText.valueLength(line.extracting((keyEnd + 1)..<line.byteCount))
    position = valueEnd
    return true
  }

  public var key: RawSpan {
    @_lifetime(copy self)
    get { line.extracting(keyStart..<keyEnd) }
  }

  /// The value as it stands in the line: `ControlText.read` takes its quotes away.
  public var rawValue: RawSpan {
    @_lifetime(copy self)
    get { line.extracting((keyEnd + 1)..<valueEnd) }
  }
}
