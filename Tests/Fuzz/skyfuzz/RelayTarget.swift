import Bounded
import Node
import SkyCrypto
import Wire

extension FuzzTarget {
  /// A relay between a hub and a leaf that both went mad after they were let in: every frame they seal is the input's.
  ///
  /// Held for every script: the node's own invariants, and that no frame of the leaf reaches the hub under a name that
  /// is not the leaf's.
  static let relay = FuzzTarget(
    name: "relay",
    run: { bytes in
      let world = RelayWorld()
      var script = Script(bytes)
      while let step = script.byte() { world.take(step, &script) }
    },
    seeds: {
      // side, kind, flags, source, destination, sequence, count of the body, body
      func frame(_ side: UInt8, _ kind: UInt8, _ from: UInt8, _ to: UInt8, _ body: [UInt8] = []) -> [UInt8] {
        [side, kind, 0, from, to, 7, 0, UInt8(body.count)] + body
      }
      let leaf: UInt8 = 1
      let word: [UInt8] = [0, 0x0F, 0x42, 0x41, 0, 35]
      return [
        Seed(
          name: "up",
          bytes: frame(0, 4, leaf, 0, [0x68, 0x69]) + frame(0, 2, leaf, 0, [UInt8](repeating: 0, count: 37))),
        Seed(
          name: "down",
          bytes: frame(1, 4, 5, leaf, [0x68, 0x69]) + frame(0, 5, leaf, 5, [0, 0, 0, 0, 0, 0, 0, 7, 0, 0])),
        Seed(name: "to-the-relay", bytes: frame(0, 4, leaf, 2, [0x68])),
        Seed(name: "stray", bytes: frame(1, 4, 5, 6, [0x68])),
        Seed(name: "spoofed", bytes: frame(0, 4, 5, 0, [0x68])),
        Seed(name: "detached", bytes: frame(1, 36, 0, 2, word)),
        Seed(name: "ping", bytes: frame(1, 8, 0, leaf) + frame(0, 9, leaf, 0)),
        Seed(name: "second-proof", bytes: [2, 200] + frame(0, 33, leaf, 0, [UInt8](repeating: 1, count: 68))),
        Seed(
          name: "behind-the-leaf",
          bytes: frame(0, 30, leaf, 0, [UInt8](repeating: 1, count: 60)) + frame(1, 35, 0, leaf, word)),
        Seed(name: "time", bytes: [2, 30, 3, 2, 120, 3]),
        Seed(name: "gone", bytes: [4, 0] + frame(1, 4, 5, leaf, [1])),
        Seed(name: "hub-gone", bytes: [4, 1] + frame(0, 4, leaf, 0, [1])),
      ]
    })
}

private final class RelayWorld {
  static let relayId: UInt32 = 1_000_000
  static let leafId: UInt32 = 1_000_001

  private let node: Node
  private let hubIdentity = Identity(seed: RelayWorld.secret(2))
  private let leafIdentity = Identity(seed: RelayWorld.secret(3))
  private var hub = Session()
  private var leaf = Session()
  private var random = Drbg(seed: RelayWorld.secret(4))
  private var now = Instant(ms: 1_000)
  private var place: Int?
  private var isHubThere = false

  private static func secret(_ byte: UInt8) -> Secret<32> {
    var secret = Secret<32>()
    secret.withMutableBytes { bytes in
      for i in 0..<32 { bytes[i] = byte }
    }
    return secret
  }

  init() {
    var settings = NodeSettings()
    settings.hubs.append(
      HubEntry(
        host: InlineText("hub.test")!, port: 7_443, pin: Bytes32(repeating: 1), key: hubIdentity.publicKey))
    let me = NodeSelf(
      instance: InlineArray(repeating: 1), hardware: Bytes32(repeating: 2), agent: InlineArray(repeating: 0x61))
    node = Node(
      seed: Self.secret(5), entropy: Self.secret(6), me: me, settings: settings, admission: Admission(),
      relayPlaces: 2)
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

  func take(_ step: UInt8, _ script: inout Script) {
    switch step {
    case 0, 1: send(fromHub: step == 1, &script)
    case 2: now = now + UInt64(script.byte() ?? 0) * 1_000
    case 3: node.handle(.tick, now: now)
    case 4: if script.byte() == 1 { loseHub() } else { losePeer() }
    default: break
    }
    settle()
  }

  private func id(_ byte: UInt8) -> UInt32 {
    switch byte {
    case 0: 0
    case 1: Self.leafId
    case 2: Self.relayId
    default: Self.relayId + UInt32(byte)
    }
  }

  private func send(fromHub: Bool, _ script: inout Script) {
    let kind = FrameKind(rawValue: script.byte() ?? 4) ?? .message
    let flags = (script.byte() ?? 0) & 1
    let (source, destination) = (id(script.byte() ?? 0), id(script.byte() ?? 0))
    let header = FrameHeader(
      kind: kind, flags: flags, hops: script.byte() ?? 0, source: source, destination: destination,
      sequence: UInt64(script.byte() ?? 0))
    let body = script.literal(Int(script.byte() ?? 0))
    do throws(ErrorCode) {
      if fromHub {
        try hub.send(header, body: body.span.bytes, now: now)
      } else {
        try leaf.send(header, body: body.span.bytes, now: now)
      }
    } catch {}
  }

  private func loseHub() {
    guard isHubThere else { return }
    isHubThere = false
    node.handle(.linkDown(.linkClosed), now: now)
  }

  private func losePeer() {
    guard let place else { return }
    self.place = nil
    node.handle(.peerDown(place, .linkClosed), now: now)
  }

  private func settle() {
    for _ in 0..<64 {
      while let action = node.nextAction() {
        switch action {
        case .closePeer: losePeer()
        case .disconnect: isHubThere = false
        case .sampleVitals: node.handle(.vitals(VitalSigns()), now: now)
        case .connect: node.handle(.linkDown(.connectFailed), now: now)
        case .probe, .persist, .stop: break
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
    let up = Self.move(&node.session.output, to: &hub.input)
    if up { readHub() }
    let down = Self.move(&hub.output, to: &node.session.input)
    if down { node.handle(.linkBytes, now: now) }
    return up || down
  }

  private func movePeer() -> Bool {
    guard let place else { return false }
    let peer = node.relay.peers[place]
    let down = Self.move(&peer.session.output, to: &leaf.input)
    if down { readLeaf() }
    let up = Self.move(&leaf.output, to: &peer.session.input)
    if up { node.handle(.peerBytes(place), now: now) }
    return up || down
  }

  private static func move(_ from: inout ByteQueue, to: inout ByteQueue) -> Bool {
    let count = min(from.count, to.space)
    guard count > 0 else { return false }
    to.append(from.bytes.extracting(0..<count))
    from.consume(count)
    return true
  }

  private func readHub() {
    do throws(ErrorCode) {
      while let event = try hub.nextEvent(now: now, identity: hubIdentity, random: &random) {
        switch event {
        case .hello:
          try hub.accept(nodeId: Self.relayId, hubId: 1, identity: hubIdentity, random: &random, now: now)
        case .established: try answer(FrameHeader(kind: .configure, destination: Self.relayId), configuration)
        case .frame(let frame): try take(frame)
        case .rekeyed, .closed: break
        }
      }
    } catch { loseHub() }
  }

  private var configuration: (inout ByteQueue) -> Bool {
    let value = Configure(
      wallTimeMs: 1_700_000_000_000, heartbeatIntervalMs: 30_000, rekeyAfterMs: 120_000, dictionaryGeneration: 0,
      allowedDuties: .all, hubs: HubList())
    return { value.append(to: &$0) }
  }

  /// The hub lets everybody in whom the relay asks for, and believes every way.
  private func take(_ frame: FrameHeader) throws(ErrorCode) {
    // In the name of somebody who is not here it says only that he is not.
    precondition(
      frame.kind == .receipt || frame.source == 0 || frame.source == Self.relayId || frame.source == Self.leafId
        || node.relay.routeCount > 1, "a frame went up in another's name")
    let header = FrameHeader(kind: .admitted, destination: Self.relayId, sequence: frame.sequence)
    if frame.kind == .admit, frame.source == Self.relayId {
      try answer(header) { Admitted(id: Self.leafId, failure: nil, count: 0).append(to: &$0) }
    } else if frame.kind == .attach, frame.source == Self.relayId {
      var attached = header
      attached.kind = .attached
      try answer(attached) { RouteWord(id: Self.leafId, failure: nil).append(to: &$0) }
    }
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
