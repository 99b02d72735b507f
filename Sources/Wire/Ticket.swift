import Bounded

/// A join ticket: where the hub is, how to recognise it, and the token that lets a node in.
///
/// Text form, one line, safe in shells and URLs:
/// `skynod1.HOST.PORT.PIN.KEY.TOKEN`, where HOST is the name or address in base64url, PIN and KEY are 32
/// bytes and TOKEN is 8 bytes of id and 16 of secret, each in unpadded base64url (RFC 4648, section 5).
/// Holds a secret: never logged.
public struct Ticket: Equatable, Sendable {
  public static let textBytes = 512

  public var hub: HubEntry
  public var tokenId: InlineArray<8, UInt8>
  public var tokenSecret: InlineArray<16, UInt8>

  public init(hub: HubEntry, tokenId: InlineArray<8, UInt8>, tokenSecret: InlineArray<16, UInt8>) {
    self.hub = hub
    self.tokenId = tokenId
    self.tokenSecret = tokenSecret
  }

  public init(parsing text: RawSpan) throws(ErrorCode) {
    guard text.byteCount <= Self.textBytes else { throw .tooLong }
    var fields = Fields(text: text)
    guard let prefix = fields.next(), text.extracting(prefix).elementsEqual("skynod1"),
      let hostField = fields.next(), let portField = fields.next(), let pinField = fields.next(),
      let keyField = fields.next(), let tokenField = fields.next(), fields.next() == nil
    else { throw .badArgument }

    var decoded = InlineArray<256, UInt8>(repeating: 0)
    guard let hostLength = Base64.decodeUrl(text.extracting(hostField), into: &decoded),
      isHostName(decoded.span.bytes.extracting(0..<hostLength)),
      let host = InlineText<253>(decoded.span.bytes.extracting(0..<hostLength)),
      let port = parseDecimal(text.extracting(portField)), port > 0, port <= UInt64(UInt16.max)
    else { throw .badArgument }

    guard Base64.decodeUrl(text.extracting(pinField), into: &decoded) == 32 else { throw .badArgument }
    let pin = InlineArray<32, UInt8> { decoded[$0] }
    guard Base64.decodeUrl(text.extracting(keyField), into: &decoded) == 32 else { throw .badArgument }
    let key = InlineArray<32, UInt8> { decoded[$0] }
    guard Base64.decodeUrl(text.extracting(tokenField), into: &decoded) == 24 else { throw .badArgument }
    tokenId = InlineArray { decoded[$0] }
    tokenSecret = InlineArray { decoded[8 + $0] }
    hub = HubEntry(host: host, port: UInt16(port), pin: pin, key: key)
    guard hub.isPinned, hub.hasKey else { throw .badArgument }
  }

  public func append(to text: inout TextBuffer) {
    text.append("skynod1.")
    Base64.encodeUrl(hub.host.bytes, to: &text)
    text.append(".")
    text.append(UInt64(hub.port))
    text.append(".")
    Base64.encodeUrl(hub.pin.span.bytes, to: &text)
    text.append(".")
    Base64.encodeUrl(hub.key.span.bytes, to: &text)
    text.append(".")
    var token = InlineArray<24, UInt8>(repeating: 0)
    for i in 0..<8 { token[i] = tokenId[i] }
    for i in 0..<16 { token[8 + i] = tokenSecret[i] }
    Base64.encodeUrl(token.span.bytes, to: &text)
  }

  public static func == (a: Ticket, b: Ticket) -> Bool {
    a.hub == b.hub && a.tokenId.span.bytes.elementsEqual(b.tokenId.span.bytes)
      && a.tokenSecret.span.bytes.elementsEqual(b.tokenSecret.span.bytes)
  }

  /// Ranges of the dot-separated fields.
  private struct Fields: ~Escapable {
    let text: RawSpan
    var position = 0

    @_lifetime(copy text)
    init(text: RawSpan) { self.text = text }

    mutating func next() -> Range<Int>? {
      guard position <= text.byteCount else { return nil }
      let start = position
      while position < text.byteCount, text[position] != UInt8(ascii: ".") { position += 1 }
      let field = start..<position
      position += 1
      return field
    }
  }
}

/// An unsigned decimal number without sign or spaces; nil when it is anything else or over 64 bits.
public func parseDecimal(_ text: RawSpan) -> UInt64? {
  guard text.byteCount > 0, text.byteCount <= 20 else { return nil }
  var value: UInt64 = 0
  for i in 0..<text.byteCount {
    let digit = text[i] &- UInt8(ascii: "0")
    guard digit < 10 else { return nil }
    let (product, tooBig) = value.multipliedReportingOverflow(by: 10)
    let (sum, overflow) = product.addingReportingOverflow(UInt64(digit))
    if tooBig || overflow { return nil }
    value = sum
  }
  return value
}

/// `NOD1000000`, `nod1000000` or `1000000`; `hub` or `HUB` is 0.
public func parseNodeId(_ text: RawSpan) -> UInt32? {
  if text.elementsEqual("hub") || text.elementsEqual("HUB") { return 0 }
  var digits = text
  if text.byteCount > 3, text[0] | 0x20 == UInt8(ascii: "n"), text[1] | 0x20 == UInt8(ascii: "o"),
    text[2] | 0x20 == UInt8(ascii: "d")
  {
    digits = text.extracting(3..<text.byteCount)
  }
  guard let value = parseDecimal(digits), value > 0, value <= UInt64(Limits.lightNodeLast) else { return nil }
  return UInt32(value)
}

/// `NOD` and the number; `hub` for 0.
public func appendNodeId(_ id: UInt32, to text: inout TextBuffer) {
  if id == 0 { return text.append("hub") }
  text.append("NOD")
  text.append(UInt64(id))
}
