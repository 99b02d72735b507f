import Bounded

/// A checked view of one request line. Not a copy: it lives as long as the bytes it was made from.
///
/// Invariant: the line is UTF-8 without control characters other than tab, the verb is known, and the
/// number of arguments is one that the verb takes. What an argument means is for the handler.
public struct ControlRequest: ~Escapable {
  public static let maximumArguments = 16

  public let verb: ControlVerb
  /// How many arguments follow the verb.
  public let argumentCount: Int
  private let line: RawSpan
  private var starts: InlineArray<16, UInt16>
  private var ends: InlineArray<16, UInt16>

  /// Checks one line, given without its line feed. A carriage return at the end is ignored.
  ///
  /// Throws `tooLong`, `unknownCommand` or `badArgument`; takes any bytes.
  @_lifetime(copy line)
  public init(parsing line: RawSpan) throws(ErrorCode) {
    let end = Self.lengthWithoutReturn(line)
    guard end <= Limits.controlLineBytes else { throw .tooLong }
    guard Self.isText(line, upTo: end) else { throw .badArgument }
    var position = Self.skipBlanks(line, from: 0, to: end)
    let verbStart = position
    position = Self.skipWord(line, from: position, to: end)
    guard let verb = ControlVerb(line.extracting(verbStart..<position)) else { throw .unknownCommand }

    var starts = InlineArray<16, UInt16>(repeating: 0)
    var ends = InlineArray<16, UInt16>(repeating: 0)
    let range = verb.argumentRange
    var count = 0
    position = Self.skipBlanks(line, from: position, to: end)
    while position < end {
      guard count < range.most else { throw .badArgument }
      let start = position
      let takesRest = verb.restArgument == count
      position = takesRest ? end : Self.skipWord(line, from: position, to: end)
      starts[count] = UInt16(start)
      ends[count] = UInt16(position)
      count += 1
      position = Self.skipBlanks(line, from: position, to: end)
    }
    guard count >= range.least else { throw .badArgument }
    self.verb = verb
    self.argumentCount = count
    self.line = line
    self.starts = starts
    self.ends = ends
  }

  /// The argument at `index`, counted from 0; empty when there is none.
  @_lifetime(copy self)
  public func argument(_ index: Int) -> RawSpan {
    guard index >= 0, index < argumentCount else { return line.extracting(0..<0) }
    return line.extracting(Int(starts[index])..<Int(ends[index]))
  }

  /// The argument at `index` as a decimal number; nil when it is none or does not fit.
  public func number(_ index: Int) -> UInt64? { parseDecimal(argument(index)) }

  /// True when the argument at `index` is exactly `word`.
  public func argument(_ index: Int, is word: StaticString) -> Bool {
    argument(index).elementsEqual(word)
  }

  /// The role that this request asks for.
  public var role: ControlRole {
    switch verb {
    case .mode, .relay: argumentCount > 0 ? .operate : verb.role
    case .keys: argument(0, is: "forget") ? .admin : verb.role
    case .dict: argument(0, is: "update") ? .operate : verb.role
    case .update: argument(0, is: "status") ? .read : argument(0, is: "check") ? .operate : .admin
    default: verb.role
    }
  }

  /// True for a line with nothing on it, which is ignored rather than refused.
  public static func isBlank(_ line: RawSpan) -> Bool {
    let end = lengthWithoutReturn(line)
    return skipBlanks(line, from: 0, to: end) == end
  }

  private static func lengthWithoutReturn(_ line: RawSpan) -> Int {
    let n = line.byteCount
    return n > 0 && line[n - 1] == 0x0D ? n - 1 : n
  }

  private static func isText(_ line: RawSpan, upTo end: Int) -> Bool {
    let text = line.extracting(0..<end)
    var i = 0
    while i < end {
      let byte = text[i]
      if byte < 0x20 && byte != 0x09 || byte == 0x7F { return false }
      let length = utf8SequenceLength(text, at: i)
      if length == 0 { return false }
      i += length
    }
    return true
  }

  private static func isBlankByte(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

  private static func skipBlanks(_ line: RawSpan, from start: Int, to end: Int) -> Int {
    var i = start
    while i < end, isBlankByte(line[i]) { i += 1 }
    return i
  }

  private static func skipWord(_ line: RawSpan, from start: Int, to end: Int) -> Int {
    var i = start
    while i < end, !isBlankByte(line[i]) { i += 1 }
    return i
  }
}
