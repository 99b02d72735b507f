import Bounded
import Node
import SkyCrypto
import Wire

/// A relay, real, with the session of a hub on one side and that of a leaf on the other, for tests that have them seal
/// what they like. Everything has been let in and is online once it is made.
public final class RelayWorld {
  public static let relayId: UInt32 = 1_000_000
  public static let leafId: UInt32 = 1_000_001
  private static let upperId: UInt32 = 1_000_009

  public let node: Node
  public let hubIdentity = Identity(seed: RelayWorld.secret(2))
  private let leafIdentity = Identity(seed: RelayWorld.secret(3))
  private var hub = Session()
  private var leaf = Session()
  private var random = Drbg(seed: RelayWorld.secret(4))
  public var now = Instant(ms: 1_000)
  private var place: Int?
  /// What is above says that it is a relay itself.
  private let isBehindRelay: Bool
  private var challenges: UInt32 = 0
  /// What is above sends no CONFIGURE for a proof.
  public var holdsConfiguration = false
  /// The hub says nothing of the leaf's way until `attach`.
  public var holdsWay = false
  private var heldWay: FrameHeader?
  /// What the relay closes stays until its last words are there, which they never are.
  public var keepsClosing = false
  public private(set) var isHubThere = false
  public var isLeafThere: Bool { place != nil }

  private static func secret(_ byte: UInt8) -> Secret<32> {
    var secret = Secret<32>()
    secret.withMutableBytes { bytes in
      for i in 0..<32 { bytes[i] = byte }
    }
    return secret
  }

  public init(stores: Stores? = nil, isBehindRelay: Bool = false) {
    self.isBehindRelay = isBehindRelay
    var settings = NodeSettings()
    settings.hubs.append(
      HubEntry(
        host: InlineText("hub.test")!, port: 7_443, pin: Bytes32(repeating: 1), key: hubIdentity.publicKey))
    let me = NodeSelf(
      instance: InlineArray(repeating: 1), hardware: Bytes32(repeating: 2), agent: InlineArray(repeating: 0x61))
    node = Node(
      seed: Self.secret(5), entropy: Self.secret(6), me: me, settings: settings, admission: Admission(),
      stores: stores, relayPlaces: 2)
    node.handle(.start, now: now)
    _ = node.nextAction()  // to connect: done here
    hub.startAsHub(exporter: Bytes32(repeating: 9))
    isHubThere = true
    node.handle(.linkUp(exporter: Bytes32(repeating: 9), entropy: Bytes32(repeating: 1)), now: now)
    settle()
    precondition(node.state == .online)
    let place = node.openPeer(now: now)!
    self.place = place
    let hello = Hello(
      duties: .all, instance: InlineArray(repeating: 8), fingerprint: InlineArray(repeating: 2),
      identity: leafIdentity.publicKey, nonce: random.bytes32(), agent: InlineArray(repeating: 0x61),
      tokenId: InlineArray(repeating: 0))
    leaf.startAsNode(
      exporter: Bytes32(repeating: 7), hello: hello, verifier: Secret<32>(),
      expectedHubKey: node.identity.publicKey, random: &random)
    node.handle(.peerUp(place, exporter: Bytes32(repeating: 7), entropy: Bytes32(repeating: 1)), now: now)
    settle()
    precondition(node.relay.routeCount == 1)
  }

  /// Seals a frame on one of the two sides; false when there is no link or no room.
  @discardableResult
  public func send(fromHub: Bool, _ header: FrameHeader, _ body: RawSpan) -> Bool {
    do throws(ErrorCode) {
      if fromHub {
        try hub.send(header, body: body, now: now)
      } else {
        try leaf.send(header, body: body, now: now)
      }
      return true
    } catch { return false }
  }

  public func loseHub() {
    guard isHubThere else { return }
    isHubThere = false
    node.handle(.linkDown(.linkClosed), now: now)
  }

  public func losePeer() {
    guard let place else { return }
    self.place = nil
    node.handle(.peerDown(place, .linkClosed), now: now)
  }

  public func settle() {
    for _ in 0..<64 {
      while let action = node.nextAction() {
        switch action {
        case .closePeer: if !keepsClosing { losePeer() }
        case .disconnect: isHubThere = false
        case .sampleVitals: node.handle(.vitals(VitalSigns()), now: now)
        case .connect: node.handle(.linkDown(.connectFailed), now: now)
        case .probe, .persist, .keepKnown, .stop: break
        }
      }
      node.moveRelayed(now: now)
      while node.nextNotice() != nil {}
      node.checkInvariants()
      precondition(node.relay.linkedCount <= 1)
      guard moveHub() || movePeer() else { return }
    }
  }

  private func moveHub() -> Bool {
    guard isHubThere else {
      node.session.output.clear()
      return false
    }
    let up = node.session.output.pour(into: &hub.input)
    if up { readHub() }
    let down = hub.output.pour(into: &node.session.input)
    if down { node.handle(.linkBytes, now: now) }
    return up || down
  }

  /// Only what goes between the leaf and the relay; the hub reads nothing meanwhile.
  @discardableResult
  public func movePeer() -> Bool {
    guard let place else { return false }
    let peer = node.relay.peers[place]
    let down = peer.session.output.pour(into: &leaf.input)
    if down { readLeaf() }
    let up = leaf.output.pour(into: &peer.session.input)
    if up { node.handle(.peerBytes(place), now: now) }
    return up || down
  }

  private func readHub() {
    do throws(ErrorCode) {
      while let event = try hub.nextEvent(now: now, identity: hubIdentity, random: &random) {
        switch event {
        case .hello:
          try hub.accept(
            nodeId: Self.relayId, hubId: isBehindRelay ? Self.upperId : 1, identity: hubIdentity, random: &random,
            now: now)
        case .established: if isBehindRelay { try sendChallenge() } else { try configure() }
        case .frame(let frame): try take(frame)
        case .rekeyed, .closed: break
        }
      }
    } catch { loseHub() }
  }

  private var configuration: (inout ByteQueue) -> Bool {
    let value = Configure(
      wallTimeMs: 1_700_000_000_000, heartbeatIntervalMs: 30_000, rekeyAfterMs: 120_000, dictionaryGeneration: 0,
      allowedDuties: .all, hubs: HubList(), takesSeals: true)
    return { value.append(to: &$0) }
  }

  /// The hub lets everybody in whom the relay asks for, and believes every way.
  private func take(_ frame: FrameHeader) throws(ErrorCode) {
    // In the name of somebody who is not here it says only that he is not.
    precondition(
      frame.kind == .receipt || frame.source == 0 || frame.source == Self.relayId || frame.source == Self.leafId
        || node.relay.routeCount > 1, "a frame went up in another's name")
    let header = FrameHeader(kind: .admitted, destination: Self.relayId, sequence: frame.sequence)
    if frame.kind == .routeProof {
      if !holdsConfiguration { try configure() }
    } else if frame.kind == .admit, frame.source == Self.relayId {
      try answer(header) { Admitted(id: Self.leafId, failure: nil, count: 0).append(to: &$0) }
    } else if frame.kind == .attach, frame.source == Self.relayId {
      var attached = header
      attached.kind = .attached
      heldWay = attached
      if !holdsWay { try attach() }
    }
  }

  /// The hub knows the way to the leaf.
  public func attach() throws(ErrorCode) {
    guard let heldWay else { return }
    self.heldWay = nil
    try answer(heldWay) { RouteWord(id: Self.leafId, failure: nil).append(to: &$0) }
  }

  /// As when the relay above has a new way to its hub.
  public func challenge() {
    do throws(ErrorCode) { try sendChallenge() } catch { loseHub() }
  }

  private func sendChallenge() throws(ErrorCode) {
    challenges += 1
    let challenge = RouteChallenge(
      nonce: Bytes32(repeating: UInt8(challenges)), hub: Bytes32(repeating: 4), relay: Self.upperId,
      count: challenges)
    try answer(FrameHeader(kind: .routeChallenge, destination: Self.relayId)) { challenge.append(to: &$0) }
  }

  public func configure() throws(ErrorCode) {
    try answer(FrameHeader(kind: .configure, destination: Self.relayId), configuration)
  }

  private func answer(_ header: FrameHeader, _ build: (inout ByteQueue) -> Bool) throws(ErrorCode) {
    var body = ByteQueue(capacity: 512)
    precondition(build(&body))
    try hub.send(header, body: body.bytes, now: now)
  }

  private func readLeaf() {
    do throws(ErrorCode) {
      while let event = try leaf.nextEvent(now: now, identity: leafIdentity, random: &random) {
        guard case .frame(let frame) = event, frame.kind == .routeChallenge else { continue }
        let challenge = try RouteChallenge(decoding: leaf.body)
        var body = ByteQueue(capacity: 128)
        _ = RouteProof(count: challenge.count, signature: InlineArray(repeating: 1)).append(to: &body)
        try leaf.send(FrameHeader(kind: .routeProof, source: Self.leafId), body: body.bytes, now: now)
      }
    } catch { losePeer() }
  }
}
