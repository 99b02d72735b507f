import Bounded
import Foundation
import Node
import SkyCrypto
import TestSupport
import Testing
import Wire

@testable import Hub

/// One identity, one session over all fellows; and what a fellow must not be able to do.
@Suite struct FellowPresenceTests {
  private func pair() throws -> (scene: FellowScene, a: TestNode) {
    let scene = try FellowScene()
    let a = try scene.allowed(1, at: scene[1])
    scene.pass(100)
    scene.connect(a, to: scene[1])
    scene.pass(50)
    return (scene, a)
  }

  @Test func aNodeThatMovesClosesItsOldSession() throws {
    let (scene, a) = try pair()
    let old = try #require(a.link)
    scene.move(a, to: scene[2])
    #expect(a.isOnline && a.failure == nil)
    scene.pass(50)
    #expect(old.phase == .closing && scene[1].core.live.place(of: a.id!) == nil)
    #expect(scene[1].core.fellows.away.place(of: a.id!)?.relay == 2 && scene[1].core.status.clones == 0)
    #expect(scene[1].core.onlineNodes(now: scene.now).map(\.hub) == [2])
    // And back, at once.
    scene.move(a, to: scene[1])
    scene.pass(50)
    #expect(a.isOnline && scene[1].core.live.place(of: a.id!) != nil && scene[2].core.live.place(of: a.id!) == nil)
  }

  @Test func aCopyOfAKeyIsFoundAcrossHubs() throws {
    let (scene, a) = try pair()
    let copy = TestNode(1, instance: 2)
    scene.connect(copy, to: scene[2])
    #expect(copy.failure == .sessionBusy && a.isOnline)
    scene.pass(100)
    scene.connect(copy, to: scene[2])
    #expect(copy.failure == .cloneDetected && scene[2].core.status.clones == 1)
    scene.connect(copy, to: scene[2])
    #expect(copy.failure == .cloneDetected && scene[2].core.status.clones == 1, "reported once")
    #expect(a.isOnline)
  }

  @Test func aBoardThatLostItsPowerGetsInAtTheOtherHub() throws {
    let (scene, a) = try pair()
    scene.nodes.removeAll { $0.node === a }
    let again = TestNode(1, instance: 2)
    scene.connect(again, to: scene[2])
    #expect(again.failure == .sessionBusy)
    scene.pass(LiveTable.probeMs + 100)
    scene.connect(again, to: scene[2])
    #expect(again.failure == nil && again.isOnline && scene[2].core.status.clones == 0)
  }

  @Test func aCopyLetInWhileTheHubsWereApartIsPutOut() throws {
    let (scene, a) = try pair()
    scene.partition(1, 2)
    scene.pass(50)
    let copy = TestNode(1, instance: 2)
    scene.connect(copy, to: scene[2])
    #expect(copy.isOnline)
    scene.heal()
    scene.pass(7_000)
    #expect(a.isOnline && a.failure == nil && copy.failure == .cloneDetected && scene[2].core.status.clones == 1)
  }

  @Test func aNodeNobodyHasIsUnreachable() throws {
    let (scene, a) = try pair()
    let b = try scene.allowed(2, at: scene[1])
    scene.connect(b, to: scene[2])
    scene.pass(50)
    let destination = b.id!
    scene[2].core.close(b.link!, .draining, now: scene.now)
    scene.pass(50)
    try a.send("anybody?", to: destination, sequence: 1, now: scene.now)
    scene.pass(50)
    #expect(a.receipts == [Receipt(sequence: 1, failure: .unreachable)])
  }

  /// What came from a fellow is never sent on to a fellow.
  @Test func nothingGoesOverTwoHubs() throws {
    let scene = try FellowScene([1, 2, 3])
    let a = try scene.allowed(1, at: scene[1])
    let b = try scene.allowed(2, at: scene[1])
    scene.pass(200)
    scene.connect(a, to: scene[1])
    scene.connect(b, to: scene[3])
    scene.pass(50)
    scene.partition(1, 3)
    scene.pass(50)
    try a.send("round the corner", to: b.id!, sequence: 1, now: scene.now)
    try a.post("this waits", to: b.id!, sequence: 2, now: scene.now)
    scene.pass(200)
    #expect(a.receipts == [Receipt(sequence: 1, failure: .unreachable)] && b.messages.isEmpty)
    // Durable messages are no frames: hub 2 has this one, and tells hub 3 what it has.
    scene.pass(Limits.fellowHoldMs)
    #expect(b.durable.map(\.text) == ["this waits"] && a.stored.count == 1)
  }

  // MARK: Lies

  /// Somebody with the key of hub 2 who says what he likes.
  private final class Liar {
    let scene: FellowScene
    let link: HubLink
    var session = Session()
    var failure: ErrorCode?
    private var random = Drbg(seed: Secret<32>(Bytes32(keyBytes(31_337))!.raw)!)
    private let identity: Identity

    init(_ scene: FellowScene, seed: Data? = nil, registry: UInt64? = 4_711) throws {
      self.scene = scene
      identity = Identity(seed: Secret<32>(Bytes32(seed ?? scene[2].seed)!.raw)!)
      let exporter = Bytes32(repeating: 0xEE)
      link = scene[1].core.open(address: "192.0.2.66", now: scene.now)
      scene[1].core.secured(link, exporter: exporter)
      var hello = Hello(
        duties: [], instance: InlineArray(repeating: 0), fingerprint: Bytes32(repeating: 0),
        identity: identity.publicKey, nonce: random.bytes32(), agent: InlineArray(repeating: 0),
        tokenId: InlineArray(repeating: 0))
      hello.nodeClass = .infrastructure
      session.startAsNode(
        exporter: exporter, hello: hello, verifier: Secret<32>(), expectedHubKey: scene[1].key, random: &random)
      settle()
      guard let registry, session.isEstablished else { return }
      say(.fellow) { $0.append(bigEndian: registry) }
      say(.committed) { LogMarks().append(to: &$0) }
    }

    func say(_ kind: FrameKind, durable: Bool = false, _ build: (inout ByteQueue) -> Void = { _ in }) {
      var body = ByteQueue(capacity: Limits.frameBodyBytes)
      build(&body)
      let header = FrameHeader(kind: kind, flags: durable ? 1 : 0, source: 1_000_000, destination: 1_000_001)
      do { try session.send(header, body: body.bytes, now: scene.now) } catch { failure = failure ?? error }
      settle()
    }

    func share(_ entries: [SharedEntry], of log: ShareHead.Log = .messages, upTo: UInt64 = 1, text: String = "x") {
      say(.share) { body in
        ShareHead(log: log, isInStep: true, upTo: upTo).append(to: &body)
        for entry in entries { Data(text.utf8).withUnsafeBytes { _ = entry.append(to: &body, text: $0.bytes) } }
      }
      scene.pass(20)
      settle()
    }

    func settle() {
      for _ in 0..<4 {
        _ = session.output.pour(into: &link.session.input)
        while scene[1].core.process(link, now: scene.now) {}
        _ = link.session.output.pour(into: &session.input)
        do {
          while let event = try session.nextEvent(now: scene.now, identity: identity, random: &random) {
            if case .closed(let code) = event { failure = code }
          }
        } catch { failure = failure ?? error }
      }
    }
  }

  private func message(to destination: UInt32, sequence: UInt64 = 1) -> SharedEntry {
    .message(
      SharedMessage(
        name: SharedName(destination: destination, source: 2_000_000, stream: 7, sequence: sequence), flags: 1, hops: 0,
        expiresMs: 0))
  }

  /// Hub 1 with two nodes; hub 2 is whoever has its key.
  private func alone() throws -> FellowScene {
    let scene = try FellowScene()
    try scene.kill(scene[2])
    _ = try scene.allowed(1, at: scene[1])
    _ = try scene.allowed(2, at: scene[1])
    return scene
  }

  @Test func whoIsNotAFellowIsRefusedByName() throws {
    let scene = try alone()
    #expect(try Liar(scene, seed: keyBytes(666)).failure == .fellowUnknown)
    #expect(try Liar(scene).failure == nil)
  }

  @Test func aHubWithoutFellowsTakesNoHub() throws {
    let scene = try FellowScene(start: false)
    scene.adjust = { _, configuration in configuration.fellows = [] }
    try scene.start(scene[1])
    scene[2].isUp = false
    #expect(try Liar(scene).failure == .fellowUnknown)
  }

  @Test func framesThatAFellowDoesNotSendEndTheLink() throws {
    let scene = try alone()
    for kind in [FrameKind.heartbeat, .stored, .admit, .attach, .wordQuery, .job, .configure] {
      let liar = try Liar(scene)
      liar.say(kind)
      #expect(liar.failure == .fellowFault, "\(kind)")
    }
    let durable = try Liar(scene)
    durable.say(.message, durable: true) { $0.append(bigEndian: UInt64(1)) }
    #expect(durable.failure == .fellowFault)
    let early = try Liar(scene, registry: nil)
    early.say(.share) { ShareHead(log: .messages, isInStep: true, upTo: 1).append(to: &$0) }
    #expect(early.failure == .unexpectedRecord)
    let greedy = try Liar(scene)
    greedy.say(.committed) { LogMarks(registry: 1 << 40, messages: 1).append(to: &$0) }
    #expect(greedy.failure == .fellowFault)
    let twin = try Liar(scene, registry: try scene[1].registry.sharedName())
    #expect(twin.failure == .fellowMismatch)
  }

  @Test func aMessageForSomebodyNobodyAdmittedEndsTheLink() throws {
    let scene = try alone()
    let liar = try Liar(scene)
    liar.share([message(to: 2_000_001), message(to: 5_555_555, sequence: 2)])
    #expect(liar.failure == .fellowFault)
    #expect(try scene[1].registry.spoolCount() == 0, "all of a frame or nothing")
    #expect(try scene[1].registry.marks(of: 4_711) == LogMarks())
  }

  @Test func aFrameThatComesTwiceChangesNothing() throws {
    let scene = try alone()
    let liar = try Liar(scene)
    for _ in 0..<3 { liar.share([message(to: 2_000_001)]) }
    #expect(try liar.failure == nil && scene[1].registry.spoolCount() == 1)
    #expect(try scene[1].registry.marks(of: 4_711) == LogMarks(messages: 1))
    liar.share([.done(SharedName(destination: 2_000_001, source: 2_000_000, stream: 7, sequence: 1))], upTo: 2)
    liar.share([message(to: 2_000_001)])
    #expect(try liar.failure == nil && scene[1].registry.spoolCount() == 0, "what is done does not come back")
  }

  @Test func whatIsTooLongEndsTheLink() throws {
    let scene = try alone()
    let liar = try Liar(scene)
    liar.share([message(to: 2_000_001)], text: String(repeating: "x", count: Limits.messageBytes + 1))
    #expect(try liar.failure == .malformedFrame && scene[1].registry.spoolCount() == 0)
  }

  @Test func aRevokedNodeIsNotMadeGoodByAnOlderRecord() throws {
    let scene = try alone()
    let record = try #require(try scene[1].registry.nodes().first)
    _ = try scene[1].registry.revoke(id: record.id, reason: "lost", now: 1_700_000_500)
    let liar = try Liar(scene)
    let node = SharedNode(
      id: record.id, key: Bytes32(record.key)!, admittedAt: 1, revokedAt: 0, reinstatedAt: 1_700_000_400, labelledAt: 0,
      label: SharedText(), reason: SharedText())
    liar.share([.node(node)], of: .registry)
    #expect(try liar.failure == nil && scene[1].registry.node(id: record.id)?.isRevoked == true)
  }
}
