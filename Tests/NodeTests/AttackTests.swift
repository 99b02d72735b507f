import Bounded
import SkyCrypto
import Testing
import Wire

@testable import Node

private let versions = Limits.lowestVersion...Limits.highestVersion

/// Every attack ends in its own named error, with no frame let through, no key left and the other side told.
@Suite struct AttackTests {
  @Test(arguments: handshakeAttacks, versions) func attackOnTheHandshakeFailsByName(_ attack: Attack, version: UInt8) {
    check(attack, version)
  }
  @Test(arguments: admissionAttacks, versions) func refusedAdmissionIsHeardByName(_ attack: Attack, version: UInt8) {
    check(attack, version)
  }
  @Test(arguments: recordAttacks, versions) func attackOnTheRecordLayerFailsByName(_ attack: Attack, version: UInt8) {
    check(attack, version)
  }
  @Test(arguments: rekeyAttacks, versions) func attackOnTheRenewalFailsByName(_ attack: Attack, version: UInt8) {
    check(attack, version)
  }

  @Test func thereAreSixtyAttacksOrMoreAndNoneTwice() {
    let names = (handshakeAttacks + admissionAttacks + recordAttacks + rekeyAttacks).map(\.name)
    #expect(names.count >= 60)
    #expect(Set(names).count == names.count)
  }

  private func check(_ attack: Attack, _ version: UInt8) {
    let scene = AttackScene(version: version)
    attack.run(scene)
    let peer: Side = attack.victim == .hub ? .node : .hub

    #expect(scene.errors[attack.victim] == attack.code, "\(attack.name): the victim's error")
    #expect(scene.errors[peer] == nil, "\(attack.name): the other side failed first")
    #expect(scene.frames[attack.victim]!.count == attack.genuineFrames, "\(attack.name): frames let through")
    expectDead(scene, attack.victim, attack.name)

    // What the other side is told: deliver the victim's last words, nothing else.
    let words = scene.intercept(to: peer)
    switch attack.told {
    case .nothing:
      #expect(words.isEmpty, "\(attack.name): something was sent")
    case .byName:
      scene.inject(words, to: peer)
      #expect(scene.heard[peer] == attack.code, "\(attack.name): not heard by name")
      expectDead(scene, peer, attack.name)
    case .endsWith(let code):
      scene.inject(words, to: peer)
      #expect(scene.errors[peer] == code, "\(attack.name): the other side's own error")
      expectDead(scene, peer, attack.name)
    }
    if scene.wasEstablished.isEmpty { #expect(scene.frames[peer]!.isEmpty, "\(attack.name): frames before keys") }
  }

  private func expectDead(_ scene: AttackScene, _ side: Side, _ name: String) {
    let (phase, holds) =
      side == .hub
      ? (scene.pair.hub.phase, scene.pair.hub.holdsSecrets) : (scene.pair.node.phase, scene.pair.node.holdsSecrets)
    #expect(phase == .failed, "\(name): not failed")
    #expect(!holds, "\(name): secrets left")
    var refused = false
    do throws(ErrorCode) {
      let header = FrameHeader(kind: .message)
      if side == .hub {
        try scene.pair.hub.send(header, now: scene.pair.now)
      } else {
        try scene.pair.node.send(header, now: scene.pair.now)
      }
    } catch { refused = error == .offline }
    #expect(refused, "\(name): a dead session sends")
  }

  // MARK: What is not an error yet

  @Test(arguments: [Stage.hello, .welcome, .confirm, .ready, .messageToHub, .messageToNode])
  func truncatedRecordYieldsNothingAndItsOwnerEndsTheSession(_ stage: Stage) {
    let scene = AttackScene()
    var cut = false
    scene.pair.start(hello: scene.pair.hello(withToken: false))
    scene.play { current, bytes in
      if cut { bytes = [] }
      if current == stage {
        bytes.removeLast()
        cut = true
      }
    }
    let victim: Side = [.welcome, .ready, .messageToNode].contains(stage) ? .node : .hub
    #expect(scene.errors[victim] == nil)
    #expect(scene.frames[victim]!.isEmpty)
    // The stream has ended: what is in the queue will never be whole.
    if victim == .hub {
      scene.pair.hub.close(.truncated, now: scene.pair.now)
    } else {
      scene.pair.node.close(.truncated, now: scene.pair.now)
    }
    expectDead(scene, victim, "truncated \(stage)")
  }

  @Test func recordsSwappedWithinTheWindowArriveOnceEach() {
    let scene = AttackScene()
    scene.establish()
    scene.say("1", from: .node, sequence: 1)
    let first = scene.intercept(to: .hub)
    scene.say("2", from: .node, sequence: 2)
    let second = scene.intercept(to: .hub)
    scene.inject(second + first, to: .hub)
    #expect(scene.errors[.hub] == nil)
    #expect(scene.frames[.hub]!.map(\.sequence) == [2, 1])
  }

  @Test func closeIsHeardByName() {
    let scene = AttackScene()
    scene.establish()
    scene.pair.node.close(.draining, now: scene.pair.now)
    scene.inject(scene.intercept(to: .hub), to: .hub)
    #expect(scene.heard[.hub] == .draining)
    expectDead(scene, .hub, "close")
  }

  @Test func closeWithANumberFromALaterVersionIsStillAClose() {
    let scene = AttackScene()
    scene.establish()
    scene.send(FrameHeader(kind: .close), [0xFF, 0xF0], from: .hub)
    scene.pump(.node)
    #expect(scene.heard[.node] == .linkClosed)
  }

  @Test func workingOnInputWhileDecidingLosesNothing() throws {
    let pair = SessionPair()
    pair.start()
    pair.collect()
    #expect(try pair.hubEvent() == .hello)
    #expect(try pair.hub.nextEvent(now: pair.now, identity: pair.hubIdentity, random: &pair.hubRandom) == nil)
    let proved = pair.hub.provesToken(SessionPair.verifier())
    #expect(proved)
    try pair.accept()
    pair.collect()
    #expect(try pair.nodeEvent() == nil)
    pair.collect()
    #expect(try pair.hubEvent() == .established)
  }

  @Test func renewalAndPingSurviveAPeerThatDoesNotRead() throws {
    let pair = SessionPair(version: Limits.highestVersion)
    try pair.establish()
    try pair.node.beginRekey(now: pair.now, random: &pair.nodeRandom)
    pair.collect()
    #expect(try pair.hubEvent() == .rekeyed(1))
    try pair.hub.send(FrameHeader(kind: .ping), now: pair.now)
    pair.collect()
    // The node's output is full to the last byte while the hub's answer and a ping come in.
    let before = pair.node.output.space
    let body = [UInt8](repeating: 1, count: Limits.frameBodyBytes)
    try pair.node.send(FrameHeader(kind: .message, sequence: 1), body: body.span.bytes, now: pair.now)
    let rest = before - Session.recordBytes(body: body.count) - Session.recordBytes(body: 0)
    try pair.node.send(
      FrameHeader(kind: .message, sequence: 2), body: body.span.bytes.extracting(0..<rest), now: pair.now)
    let space = pair.node.output.space
    #expect(space == 0)
    #expect(try pair.nodeEvent() == .rekeyed(1))
    #expect(try pair.nodeEvent() == nil)
    pair.collect()
    #expect(try pair.hubEvent() == .frame(FrameHeader(kind: .message, sequence: 1)))
    #expect(try pair.hubEvent() == .frame(FrameHeader(kind: .message, sequence: 2)))
    // Without REKEY DONE the next message brings the new keys into force.
    try pair.nodeSends("under the new keys", sequence: 3)
    pair.collect()
    #expect(try pair.hubEvent() == .frame(FrameHeader(kind: .message, sequence: 3)))
  }
}
