import Bounded

/// The inner handshake's messages (docs/protocol.md), as values. X-Wing keys and ciphertexts stay in
/// the record they came in and are read as spans.

/// Classes of nodes (blueprint). Light nodes are `M`.
public enum NodeClass: UInt8, Sendable {
  case infrastructure = 0x53  // S
  case desktop = 0x44  // D
  case light = 0x4D  // M

  public var letter: StaticString {
    switch self {
    case .infrastructure: "S"
    case .desktop: "D"
    case .light: "M"
    }
  }
}

/// What a node does for the swarm.
public struct Duties: OptionSet, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }
  public static let heartbeat = Duties(rawValue: 1)
  public static let relay = Duties(rawValue: 2)
  public static let compute = Duties(rawValue: 4)
  public static let all: Duties = [.heartbeat, .relay, .compute]

  /// Comma-separated names, or `none`.
  public func append(to text: inout TextBuffer) {
    if isEmpty { return text.append("none") }
    var first = true
    for i in 0..<Self.names.count where contains(Self.names[i].duty) {
      if !first { text.append(",") }
      text.append(Self.names[i].name)
      first = false
    }
  }

  public static var names: InlineArray<3, (duty: Duties, name: StaticString)> {
    [(.heartbeat, "heartbeat"), (.relay, "relay"), (.compute, "compute")]
  }
}

/// HELLO, node to hub. Layout: versionMax, versionMin, class, duties (u8 each), instance 16,
/// fingerprint 32, identity 32, nonce 32, X-Wing public key 1216, agent 32, token id 8, token MAC 32.
public struct Hello: Sendable {
  public static let xwingOffset = 4 + 16 + 32 + 32 + 32
  public static let macOffset = xwingOffset + Limits.xwingPublicKeyBytes + Limits.agentBytes + Limits.tokenIdBytes
  public static let byteCount = macOffset + Limits.hashBytes

  public var versionMax: UInt8
  public var versionMin: UInt8
  public var nodeClass: NodeClass
  public var duties: Duties
  /// Drawn at each start of the program: tells a reconnection from a second device.
  public var instance: InlineArray<16, UInt8>
  /// Salted hash of the hardware; differs from hub to hub.
  public var fingerprint: InlineArray<32, UInt8>
  /// Ed25519 public key.
  public var identity: InlineArray<32, UInt8>
  public var nonce: InlineArray<32, UInt8>
  /// Program and version, zero padded.
  public var agent: InlineArray<32, UInt8>
  /// All zero when no token is presented.
  public var tokenId: InlineArray<8, UInt8>

  public init(
    duties: Duties, instance: InlineArray<16, UInt8>, fingerprint: InlineArray<32, UInt8>,
    identity: InlineArray<32, UInt8>, nonce: InlineArray<32, UInt8>, agent: InlineArray<32, UInt8>,
    tokenId: InlineArray<8, UInt8>
  ) {
    versionMax = Limits.lowestVersion
    versionMin = Limits.lowestVersion
    nodeClass = .light
    self.duties = duties
    self.instance = instance
    self.fingerprint = fingerprint
    self.identity = identity
    self.nonce = nonce
    self.agent = agent
    self.tokenId = tokenId
  }

  public init(decoding payload: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(payload)
      versionMax = try reader.integer()
      versionMin = try reader.integer()
      guard versionMin <= versionMax, versionMin > 0 else { throw .invalid }
      guard let nodeClass = NodeClass(rawValue: try reader.integer()) else { throw .invalid }
      self.nodeClass = nodeClass
      duties = Duties(rawValue: try reader.integer())
      guard Duties.all.isSuperset(of: duties) else { throw .invalid }
      instance = try reader.array()
      fingerprint = try reader.array()
      identity = try reader.array()
      nonce = try reader.array()
      try reader.skip(Limits.xwingPublicKeyBytes)
      agent = try reader.array()
      tokenId = try reader.array()
      try reader.skip(Limits.hashBytes)
      try reader.finish()
    } catch { throw .malformed }
  }

  /// Everything before the X-Wing key.
  public func appendFront(to queue: inout ByteQueue) {
    queue.append(bigEndian: versionMax)
    queue.append(bigEndian: versionMin)
    queue.append(bigEndian: nodeClass.rawValue)
    queue.append(bigEndian: duties.rawValue)
    queue.append(instance.span.bytes)
    queue.append(fingerprint.span.bytes)
    queue.append(identity.span.bytes)
    queue.append(nonce.span.bytes)
  }

  public var hasToken: Bool {
    for i in 0..<8 where tokenId[i] != 0 { return true }
    return false
  }

  /// The agent without padding; bytes that are not printable ASCII end it.
  public var agentText: InlineText<32> {
    var length = 0
    while length < 32, agent[length] >= 0x20, agent[length] < 0x7F { length += 1 }
    return InlineText<32>(agent.span.bytes.extracting(0..<length))!
  }
}

/// WELCOME, hub to node. Layout: version u8, zero u8, zero u16, node id u32, hub id u32, hub identity 32,
/// nonce 32, X-Wing ciphertext 1120, signature 64.
public struct Welcome: Sendable {
  public static let ciphertextOffset = 12 + 32 + 32
  public static let signatureOffset = ciphertextOffset + Limits.xwingCiphertextBytes
  public static let byteCount = signatureOffset + Limits.signatureBytes

  public var version: UInt8
  public var nodeId: UInt32
  public var hubId: UInt32
  public var identity: InlineArray<32, UInt8>
  public var nonce: InlineArray<32, UInt8>

  public init(
    version: UInt8, nodeId: UInt32, hubId: UInt32, identity: InlineArray<32, UInt8>, nonce: InlineArray<32, UInt8>
  ) {
    self.version = version
    self.nodeId = nodeId
    self.hubId = hubId
    self.identity = identity
    self.nonce = nonce
  }

  public init(decoding payload: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(payload)
      version = try reader.integer()
      guard try reader.integer(UInt8.self) == 0, try reader.integer(UInt16.self) == 0 else { throw .invalid }
      nodeId = try reader.integer()
      hubId = try reader.integer()
      identity = try reader.array()
      nonce = try reader.array()
      try reader.skip(Limits.xwingCiphertextBytes + Limits.signatureBytes)
      try reader.finish()
    } catch { throw .malformed }
  }

  /// Everything before the ciphertext.
  public func appendFront(to queue: inout ByteQueue) {
    queue.append(bigEndian: UInt32(version) << 24)
    queue.append(bigEndian: nodeId)
    queue.append(bigEndian: hubId)
    queue.append(identity.span.bytes)
    queue.append(nonce.span.bytes)
  }
}

/// CONFIRM, node to hub: signature 64, key-confirmation tag 32. READY is the hub's tag, 32 bytes.
public enum Confirm {
  public static let byteCount = Limits.signatureBytes + Limits.hashBytes
}
