import Bounded
import Node
import SkyCrypto
import Wire

/// A node's and a hub's session with a wire between them that a test can cut, change and replay.
/// Time is virtual, randomness seeded: the same seed gives the same bytes.
final class SessionPair {
  var node = Session()
  var hub = Session()
  var nodeRandom: Drbg
  var hubRandom: Drbg
  let nodeIdentity: Identity
  let hubIdentity: Identity
  var now = Instant(ms: 1_000_000)
  /// Bytes on their way.
  var toHub: [UInt8] = []
  var toNode: [UInt8] = []

  /// The highest version that each side understands.
  let versions: (node: UInt8, hub: UInt8)

  convenience init(seed: UInt8 = 1, version: UInt8 = Limits.lowestVersion) { self.init(seed: seed, (version, version)) }

  init(seed: UInt8 = 1, _ versions: (node: UInt8, hub: UInt8)) {
    self.versions = versions
    var secret = Secret<32>()
    func fill(_ value: UInt8) { secret.withMutableBytes { for i in 0..<32 { $0[i] = value &+ UInt8(i) } } }
    fill(seed)
    nodeRandom = Drbg(seed: secret)
    fill(seed &+ 50)
    hubRandom = Drbg(seed: secret)
    fill(seed &+ 100)
    nodeIdentity = Identity(seed: secret)
    fill(seed &+ 150)
    hubIdentity = Identity(seed: secret)
  }

  static let exporter = Bytes32 { UInt8($0) ^ 0x5A }
  static let tokenId = InlineArray<8, UInt8>(repeating: 7)
  static let tokenSecret = InlineArray<16, UInt8>(repeating: 9)

  static func verifier(_ secret: InlineArray<16, UInt8> = tokenSecret) -> Secret<32> {
    var verifier = Secret<32>()
    Session.tokenVerifier(secret: secret, into: &verifier)
    return verifier
  }

  func hello(withToken: Bool = true) -> Hello {
    var hello = Hello(
      duties: [.heartbeat, .relay], instance: InlineArray(repeating: 3), fingerprint: InlineArray(repeating: 4),
      identity: nodeIdentity.publicKey, nonce: nodeRandom.bytes32(), agent: agentBytes("test 1"),
      tokenId: withToken ? Self.tokenId : InlineArray(repeating: 0))
    hello.versionMax = versions.node
    return hello
  }

  func agentBytes(_ text: String) -> InlineArray<32, UInt8> {
    let bytes = Array(text.utf8)
    return InlineArray { $0 < bytes.count ? bytes[$0] : 0 }
  }

  func start(
    nodeExporter: Bytes32 = exporter, hubExporter: Bytes32 = exporter, expectedHubKey: Bytes32? = nil,
    secret: InlineArray<16, UInt8> = tokenSecret, hello custom: Hello? = nil
  ) {
    let key = expectedHubKey ?? hubIdentity.publicKey
    node.startAsNode(
      exporter: nodeExporter, hello: custom ?? hello(), verifier: Self.verifier(secret), expectedHubKey: key,
      random: &nodeRandom)
    hub.startAsHub(exporter: hubExporter, highestVersion: versions.hub)
  }

  /// Moves what the sessions have written onto the wire.
  func collect() {
    toHub += taken(&node.output)
    toNode += taken(&hub.output)
  }

  private func taken(_ queue: inout ByteQueue) -> [UInt8] {
    let bytes = queue.bytes.withUnsafeBytes { Array($0) }
    queue.consume(queue.count)
    return bytes
  }

  func deliver(_ bytes: [UInt8], to session: inout Session) -> Int {
    let n = min(bytes.count, session.input.space)
    session.input.append(bytes.span.bytes.extracting(0..<n))
    return n
  }

  func hubEvent() throws(ErrorCode) -> Session.Event? {
    repeat {
      toHub.removeFirst(deliver(toHub, to: &hub))
      if let event = try hub.nextEvent(now: now, identity: hubIdentity, random: &hubRandom) { return event }
    } while !toHub.isEmpty && hub.input.space > 0
    return nil
  }

  func nodeEvent() throws(ErrorCode) -> Session.Event? {
    repeat {
      toNode.removeFirst(deliver(toNode, to: &node))
      if let event = try node.nextEvent(now: now, identity: nodeIdentity, random: &nodeRandom) { return event }
    } while !toNode.isEmpty && node.input.space > 0
    return nil
  }

  func accept() throws(ErrorCode) {
    try hub.accept(nodeId: 1_000_000, hubId: 1, identity: hubIdentity, random: &hubRandom, now: now)
  }

  /// Runs the whole handshake; both ends must report `.established`.
  func establish() throws(ErrorCode) {
    start()
    collect()
    guard try hubEvent() == .hello, hub.provesToken(Self.verifier()) else { throw .internalError }
    try accept()
    collect()
    guard try nodeEvent() == nil else { throw .internalError }
    collect()
    guard try hubEvent() == .established else { throw .internalError }
    collect()
    guard try nodeEvent() == .established else { throw .internalError }
  }
}
