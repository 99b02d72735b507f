import Bounded
import SkyCrypto
import Testing
import Wire

@testable import Node

extension Node {
  fileprivate func offerKey(now: Instant) {
    do throws(ErrorCode) { try session.beginRekey(now: now, random: &random) } catch { Issue.record("\(error)") }
  }
}

/// What the node's state machine must not be talked into.
@Suite struct NodeSecurityTests {
  @Test func receiptFromSomebodyElseSettlesNothing() throws {
    let scene = SecurityScene()
    scene.linkUp()
    #expect(scene.isOnline)
    let text: [UInt8] = Array("hello".utf8)
    let sequence = try scene.node.send(text.span.bytes, to: 1_000_007, now: scene.now)
    scene.pump()
    func receipt(from source: UInt32) {
      scene.hubSends(FrameHeader(kind: .receipt, source: source, destination: 1_000_000)) {
        _ = Receipt(sequence: sequence, failure: nil).append(to: &$0)
      }
    }
    receipt(from: 1_000_008)
    receipt(from: 0)
    let waiting = scene.node.outboxUsed
    #expect(waiting == 1 && !scene.notices.contains(.receipt(sequence: sequence, failure: nil)))
    receipt(from: 1_000_007)
    let settled = scene.node.outboxUsed
    #expect(settled == 0 && scene.notices.contains(.receipt(sequence: sequence, failure: nil)))
    // The same again settles nothing twice.
    receipt(from: 1_000_007)
    #expect(scene.notices.filter { $0 == .receipt(sequence: sequence, failure: nil) }.count == 1)
  }

  /// The key that an unpinned hub showed at first holds for later links, and over a restart of the node.
  @Test(arguments: [false, true]) func aHubThatComesBackWithAnotherKeyIsRefused(afterRestart: Bool) throws {
    var scene = SecurityScene()
    scene.linkUp()
    #expect(scene.isOnline)
    scene.linkDown()
    scene.linkUp()
    #expect(scene.isOnline, "the same hub is let in again")
    scene.linkDown()
    if afterRestart {
      var file = ByteQueue(capacity: Admission.maximumBytes)
      scene.node.admission.encode(to: &file)
      scene = SecurityScene(admission: try Admission(decoding: file.bytes))
    }
    scene.hubIdentity = Identity(seed: SecurityScene.secret(33))
    scene.linkUp()
    let (error, online) = (scene.node.lastError, scene.isOnline)
    #expect(error == .hubKeyMismatch && !online)
    #expect(scene.hubHeard == .hubKeyMismatch)
  }

  /// Another hub's word, or its silence, does not undo what a configured hub showed of itself.
  @Test(arguments: [false, true]) func aFellowHubDoesNotMakeTheNodeForgetAKey(itNamesAnother: Bool) throws {
    let scene = SecurityScene(hubs: 2)
    scene.linkUp()
    #expect(scene.isOnline)
    let first = scene.hubIdentity.publicKey
    scene.linkDown()
    scene.hubIdentity = Identity(seed: SecurityScene.secret(33))
    if itNamesAnother {
      var entry = SecurityScene.settings(hubs: 1).hubs[0]
      entry.key = scene.hubIdentity.publicKey
      scene.told.append(entry)
    }
    let second = scene.node.hubIndex
    scene.linkUp()
    #expect(scene.isOnline && second == 1)
    scene.linkDown()
    let (index, known) = (scene.node.hubIndex, scene.node.hub?.key)
    #expect(index == 0 && known.map { equal($0, first) } == true)
    // The second hub's key at the first one's place.
    scene.linkUp()
    let (error, online) = (scene.node.lastError, scene.isOnline)
    #expect(error == .hubKeyMismatch && !online)
  }

  @Test func aKeyHasALastRecord() throws {
    let pair = SessionPair()
    try pair.establish()
    let body: [UInt8] = [1]
    func send() throws(ErrorCode) {
      try pair.node.send(FrameHeader(kind: .message), body: body.span.bytes, now: pair.now)
    }
    let early = pair.node.rekeyDue(by: pair.now, afterMs: Limits.rekeyAfterMs)
    pair.node.sending.counter = Limits.rekeyAfterFrames
    let due = pair.node.rekeyDue(by: pair.now, afterMs: Limits.rekeyAfterMs)
    #expect(!early && due)
    pair.node.sending.counter = 2 * Limits.rekeyAfterFrames - 1
    try send()
    #expect(throws: ErrorCode.keyExpired) { try send() }
    // The receiver counts for itself.
    pair.hub.receiving.counter = 2 * Limits.rekeyAfterFrames
    pair.collect()
    #expect(throws: ErrorCode.keyExpired) { try pair.hubEvent() }
  }

  @Test func freshEntropyChangesTheKeysToCome() {
    func ephemeral(_ entropy: UInt8?) -> [UInt8] {
      let scene = SecurityScene()
      scene.linkUp()
      if let entropy { scene.node.handle(.entropy(Bytes32(repeating: entropy)), now: scene.now) }
      scene.node.offerKey(now: scene.now)
      return scene.node.session.ephemeral.withBytes { Array($0) }
    }
    #expect(ephemeral(nil) == ephemeral(nil), "the rest of the scene must repeat")
    #expect(Set([ephemeral(nil), ephemeral(1), ephemeral(2)]).count == 3)
  }

  @Test func nothingButAConfigureIsTakenBeforeTheFirstOne() throws {
    let scene = SecurityScene()
    scene.node.handle(.linkUp(exporter: Bytes32(repeating: 1), entropy: Bytes32(repeating: 2)), now: scene.now)
    scene.hub.startAsHub(exporter: Bytes32(repeating: 1))
    move(&scene.node.session.output, to: &scene.hub.input)
    let hello = try scene.hub.nextEvent(now: scene.now, identity: scene.hubIdentity, random: &scene.hubRandom)
    #expect(hello == .hello)
    try scene.hub.accept(
      nodeId: 1_000_000, hubId: 1, identity: scene.hubIdentity, random: &scene.hubRandom, now: scene.now)
    func toNode() {
      scene.node.session.input.append(scene.hub.output.bytes)
      scene.hub.output.consume(scene.hub.output.count)
      scene.node.handle(.linkBytes, now: scene.now)
      scene.settle()
    }
    toNode()
    move(&scene.node.session.output, to: &scene.hub.input)
    let established = try scene.hub.nextEvent(now: scene.now, identity: scene.hubIdentity, random: &scene.hubRandom)
    #expect(established == .established)
    var body = ByteQueue(capacity: 16)
    body.append("too early")
    try scene.hub.send(
      FrameHeader(kind: .message, source: 1_000_001, destination: 1_000_000, sequence: 1), bodyOf: body, now: scene.now)
    toNode()
    let (error, received) = (scene.node.lastError, scene.node.inbox.count)
    #expect(error == .unexpectedRecord && received == 0)
  }
}

private func move(_ from: inout ByteQueue, to queue: inout ByteQueue) {
  queue.append(from.bytes)
  from.clear()
}
