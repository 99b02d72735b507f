import Bounded

/// Where a hub is and how it is recognised.
public struct HubEntry: Equatable, Sendable {
  /// Name or literal address, without brackets.
  public var host: InlineText<253>
  public var port: UInt16
  /// NOD id; 0 while unknown.
  public var id: UInt32
  /// SHA-256 of the certificate's SubjectPublicKeyInfo; all zero means: check against the CA file.
  public var pin: InlineArray<32, UInt8>
  /// The hub's Ed25519 key; all zero means: accept and keep the one it shows at first.
  public var key: InlineArray<32, UInt8>

  public init(
    host: InlineText<253>, port: UInt16, id: UInt32 = 0, pin: InlineArray<32, UInt8>, key: InlineArray<32, UInt8>
  ) {
    self.host = host
    self.port = port
    self.id = id
    self.pin = pin
    self.key = key
  }

  public var isPinned: Bool { !isZero(pin) }
  public var hasKey: Bool { !isZero(key) }

  public static func == (a: HubEntry, b: HubEntry) -> Bool {
    a.host == b.host && a.port == b.port && a.id == b.id && a.pin.span.bytes.elementsEqual(b.pin.span.bytes)
      && a.key.span.bytes.elementsEqual(b.key.span.bytes)
  }

  /// Same place, whatever is known about its keys.
  public func isSamePlace(as other: HubEntry) -> Bool { host == other.host && port == other.port }

  /// `id u32, port u16, pin 32, key 32, length u8, host`.
  public static let fixedBytes = 4 + 2 + 32 + 32 + 1

  public func append(to queue: inout ByteQueue) -> Bool {
    guard queue.space >= Self.fixedBytes + host.count else { return false }
    queue.append(bigEndian: id)
    queue.append(bigEndian: port)
    queue.append(pin.span.bytes)
    queue.append(key.span.bytes)
    queue.append(bigEndian: UInt8(host.count))
    queue.append(host.bytes)
    return true
  }

  public init(from reader: inout ByteReader) throws(DecodeError) {
    id = try reader.integer()
    port = try reader.integer()
    pin = try reader.array()
    key = try reader.array()
    let length: UInt8 = try reader.integer()
    let name = try reader.bytes(Int(length))
    guard port != 0, isHostName(name), let text = InlineText<253>(name) else { throw .invalid }
    host = text
  }

  /// `host:port`, with brackets around an IPv6 address.
  public func appendPlace(to text: inout TextBuffer) {
    var isV6 = false
    for i in 0..<host.count where host.bytes[i] == UInt8(ascii: ":") { isV6 = true }
    if isV6 { text.append("[") }
    text.append(host)
    if isV6 { text.append("]") }
    text.append(":")
    text.append(UInt64(port))
  }
}

func isZero(_ bytes: InlineArray<32, UInt8>) -> Bool {
  for i in 0..<32 where bytes[i] != 0 { return false }
  return true
}

/// Letters, digits, `-`, `.`, `_`, and `:` `%` for IPv6 literals; not empty, at most 253 bytes.
public func isHostName(_ text: RawSpan) -> Bool {
  guard text.byteCount > 0, text.byteCount <= Limits.hostNameBytes else { return false }
  for i in 0..<text.byteCount {
    switch text[i] {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
      UInt8(ascii: ":"), UInt8(ascii: "%"):
      continue
    default: return false
    }
  }
  return true
}

/// Up to `Limits.hubListCount` hubs, most preferred first (CORE-MESH order).
public struct HubList: Equatable, Sendable {
  private var entries: InlineArray<8, HubEntry?>
  public private(set) var count = 0

  public init() { entries = InlineArray(repeating: nil) }

  public var isEmpty: Bool { count == 0 }

  public subscript(index: Int) -> HubEntry {
    get {
      precondition(index >= 0 && index < count)
      return entries[index]!
    }
    set {
      precondition(index >= 0 && index < count)
      entries[index] = newValue
    }
  }

  /// False when full.
  @discardableResult
  public mutating func append(_ entry: HubEntry) -> Bool {
    guard count < entries.count else { return false }
    entries[count] = entry
    count += 1
    return true
  }

  public func firstIndex(of entry: HubEntry) -> Int? {
    for i in 0..<count where entries[i]!.isSamePlace(as: entry) { return i }
    return nil
  }

  public static func == (a: HubList, b: HubList) -> Bool {
    guard a.count == b.count else { return false }
    for i in 0..<a.count where a[i] != b[i] { return false }
    return true
  }
}
