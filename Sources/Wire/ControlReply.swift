import Bounded

/// What a reply waits for, in the handler's own words.
public struct HeldReply: Equatable, Sendable {
  public let verb: ControlVerb
  public let value: UInt64

  public init(_ verb: ControlVerb, _ value: UInt64) {
    self.verb = verb
    self.value = value
  }
}

/// Renders one reply or one event of the control socket, as text or as JSON, into one buffer made at
/// start. Not a connection: whoever owns it copies `bytes` to a client when the reply is complete.
///
/// Order of calls: `begin` (or `beginEvent`), then fields, rows or lines, then `ok` or `error` (or
/// `endEvent`). `error` may come at any point and replaces what was written.
///
/// Invariant: once `isComplete`, `bytes` is whole lines and is a well-formed reply or event.
public struct ControlReply: ~Copyable {
  private enum Part { case fields, rows, row, text }

  /// Kept free by rows so that the end of the reply always fits.
  private static let closingBytes = 64

  private var text: TextBuffer
  private var part = Part.fields
  private var pairsInLine = 0
  private var rowStart = 0
  private var rowCount = 0
  public private(set) var isJson = false
  public private(set) var isComplete = false
  /// A descriptor that goes with the reply; whoever sends it closes it. -1: none.
  public var attachment: Int32 = -1
  /// The error this reply reports, nil for OK.
  public private(set) var failure: ErrorCode?

  /// The reply comes later (`hold`).
  public private(set) var held: HeldReply?

  /// `capacity` bytes for the longest reply; `Limits.controlReplyBytes` in the daemon.
  public init(capacity: Int) { text = TextBuffer(capacity: capacity) }

  public var bytes: RawSpan {
    @_lifetime(borrow self)
    get { text.bytes }
  }

  /// Appends the whole reply to a client's output. False when it does not fit.
  @discardableResult
  public func append(to queue: inout ByteQueue) -> Bool { queue.append(bytes) }

  public func withBytes<R>(_ body: (RawSpan) -> R) -> R { body(bytes) }

  /// Takes out what is written so far: for who streams a list that is longer than the buffer. An error can then
  /// no longer replace it.
  public mutating func drain(_ body: (RawSpan) -> Void) {
    body(text.bytes)
    text.removeAll()
  }

  // MARK: Replies

  public mutating func begin(json: Bool) {
    reset(json: json)
    if json { text.append("{\"ok\":true") }
  }

  /// Puts the reply off: the client gets it, and is served further, once the handler can finish it.
  public mutating func hold(_ held: HeldReply) { self.held = held }

  /// Ends the reply. A reply that did not fit becomes the error `tooLong`.
  public mutating func ok() {
    if isComplete { return }
    closeParts()
    text.append(isJson ? "}\n" : "OK\n")
    if text.isTruncated { return error(.tooLong) }
    isComplete = true
  }

  public mutating func error(_ code: ErrorCode) { error(code, sentence: code.sentence) }

  /// Ends the reply with an error, and with a sentence that fits the case better than the usual one.
  public mutating func error(_ code: ErrorCode, sentence: StaticString) {
    error(code, sentence: sentence, nearest: RawSpan())
  }

  /// The same, naming what is near: in quotes behind the sentence, in JSON as a member of its own.
  public mutating func error(_ code: ErrorCode, sentence: StaticString, nearest: RawSpan) {
    reset(json: isJson)
    failure = code
    isComplete = true
    if isJson {
      text.append("{\"ok\":false,\"error\":{\"number\":")
      text.append(UInt64(code.number))
      text.append(",\"token\":\"")
      text.append(code.token)
      text.append("\",\"text\":")
      text.append(json: Self.span(sentence))
      if nearest.byteCount > 0 {
        text.append(",\"nearest\":")
        text.append(json: nearest)
      }
      text.append("}}\n")
    } else {
      text.append("ERR ")
      text.append(UInt64(code.number))
      text.append(" ")
      text.append(code.token)
      text.append(" ")
      text.append(sentence)
      if nearest.byteCount > 0 {
        text.append(": ")
        ControlText.writeQuoted(nearest, to: &text)
      }
      text.append("\n")
    }
  }

  // MARK: Rows

  /// Starts a list. In JSON even an empty list shows as `"rows":[]`.
  public mutating func beginRows() {
    if isJson { text.append(",\"rows\":[") }
    part = .rows
    rowCount = 0
  }

  public mutating func beginRow() {
    rowStart = text.count
    if isJson { text.append(rowCount == 0 ? "{" : ",{") }
    part = .row
    pairsInLine = 0
  }

  /// Ends a row. False when it did not fit: it is taken back, and the list should end here.
  @discardableResult
  public mutating func endRow() -> Bool {
    text.append(isJson ? "}" : "\n")
    part = .rows
    if text.isTruncated || text.capacity - text.count < Self.closingBytes {
      text.truncate(to: rowStart)
      return false
    }
    rowCount += 1
    return true
  }

  public mutating func endRows() {
    if isJson { text.append("]") }
    part = .fields
  }

  // MARK: Fields, of the reply or of the row that is open

  public mutating func field(_ key: StaticString, _ value: StaticString) { field(key, Self.span(value)) }

  public mutating func field(_ key: StaticString, _ value: RawSpan) {
    open(key)
    if isJson { text.append(json: value) } else { ControlText.write(value, to: &text) }
    close()
  }

  public mutating func field<let n: Int>(_ key: StaticString, _ value: InlineText<n>) { field(key, value.bytes) }

  public mutating func field(_ key: StaticString, _ value: UInt64) {
    open(key)
    text.append(value)
    close()
  }

  public mutating func field(_ key: StaticString, _ value: Int) {
    open(key)
    text.append(value)
    close()
  }

  /// `true` or `false`.
  public mutating func field(_ key: StaticString, _ value: Bool) {
    open(key)
    text.append(value ? "true" : "false")
    close()
  }

  /// `value / 10^places` with exactly `places` decimals.
  public mutating func fieldScaled(_ key: StaticString, _ value: Int64, places: Int) {
    open(key)
    text.append(scaled: value, places: places)
    close()
  }

  /// Bytes as lower-case hexadecimal text.
  public mutating func fieldHex(_ key: StaticString, _ value: RawSpan) {
    open(key)
    if isJson { text.append("\"") }
    text.append(hex: value)
    if isJson { text.append("\"") }
    close()
  }

  /// A value that is not known: nothing after the `=`, `null` in JSON.
  public mutating func fieldUnknown(_ key: StaticString) {
    open(key)
    if isJson { text.append("null") }
    close()
  }

  /// A value put together by `build`, which appends to a text of its own.
  public mutating func field(_ key: StaticString, scratch: inout TextBuffer, _ build: (inout TextBuffer) -> Void) {
    scratch.removeAll()
    build(&scratch)
    field(key, scratch.bytes)
  }

  /// A value put together in its place. `build` appends printable ASCII without blank, `"`, `\` and `=`, and no more.
  public mutating func fieldInPlace(_ key: StaticString, _ build: (inout TextBuffer) -> Void) {
    open(key)
    if isJson { text.append("\"") }
    build(&text)
    if isJson { text.append("\"") }
    close()
  }

  // MARK: Plain text lines (metrics, help): as they are in text, one string `text` in JSON

  public mutating func beginText() {
    if isJson { text.append(",\"text\":\"") }
    part = .text
  }

  public mutating func plain(_ value: StaticString) { plain(Self.span(value)) }

  public mutating func plain(_ value: UInt64) { text.append(value) }

  public mutating func plain(scaled value: Int64, places: Int) { text.append(scaled: value, places: places) }

  public mutating func plain(_ value: RawSpan) {
    guard isJson else { return text.append(value) }
    for i in 0..<value.byteCount {
      switch value[i] {
      case 0x0A: text.append("\\n")
      case 0x22: text.append("\\\"")
      case 0x5C: text.append("\\\\")
      case 0..<0x20: text.append(" ")
      default: text.append(byte: value[i])
      }
    }
  }

  public mutating func endText() {
    if isJson { text.append("\"") }
    part = .fields
  }

  // MARK: Events

  /// Starts `EVENT <sequence> <kind>`; fields follow, then `endEvent`.
  public mutating func beginEvent(sequence: UInt64, kind: ControlEventKind, json: Bool) {
    reset(json: json)
    text.append(json ? "{\"event\":" : "EVENT ")
    text.append(sequence)
    text.append(json ? ",\"kind\":\"" : " ")
    text.append(kind.name)
    if json { text.append("\"") }
    part = .row
    pairsInLine = 1
  }

  /// Ends the event. An event that did not fit loses its fields, not its number.
  public mutating func endEvent() {
    text.append(isJson ? "}\n" : "\n")
    isComplete = !text.isTruncated
  }

  /// `LOST <count>`: that many events did not reach this client.
  public mutating func lost(_ count: UInt64, json: Bool) {
    reset(json: json)
    text.append(json ? "{\"lost\":" : "LOST ")
    text.append(count)
    text.append(json ? "}\n" : "\n")
    isComplete = true
  }

  // MARK: -

  private mutating func reset(json: Bool) {
    text.removeAll()
    isJson = json
    isComplete = false
    held = nil
    failure = nil
    part = .fields
    pairsInLine = 0
    rowCount = 0
  }

  private mutating func closeParts() {
    if part == .row { endRow() }
    if part == .rows { endRows() }
    if part == .text { endText() }
  }

  private mutating func open(_ key: StaticString) {
    if isJson {
      if part != .row || pairsInLine > 0 { text.append(",") }
      text.append("\"")
      text.append(key)
      text.append("\":")
    } else {
      if part == .row && pairsInLine > 0 { text.append(" ") }
      text.append(key)
      text.append("=")
    }
    pairsInLine += 1
  }

  private mutating func close() {
    if !isJson && part != .row { text.append("\n") }
  }

  @_lifetime(immortal)
  private static func span(_ value: StaticString) -> RawSpan {
    let span = RawSpan(_unsafeStart: UnsafeRawPointer(value.utf8Start), byteCount: value.utf8CodeUnitCount)
    return _overrideLifetime(span, copying: ())  // a literal outlives everything
  }
}
