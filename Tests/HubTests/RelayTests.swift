import Bounded
import Foundation
import Node
import SkyCrypto
import TestSupport
import Testing
import Wire

@testable import Hub

/// Leaves, relays and a hub: the shipped state machines on all sides, a real registry, virtual time.
@Suite struct RelayTests {
  /// hub ← relay ← leaf, and another node directly at the hub.
  private func chain() throws -> (
    scene: RelayScene, relay: RelayScene.Member, leaf: RelayScene.Member, far: RelayScene.Member
  ) {
    let scene = try RelayScene()
    let relay = try scene.member("relay", relays: true)
    let far = try scene.member("far")
    let leaf = try scene.member("leaf", behind: [relay])
    scene.start(relay, far, leaf)
    try #require(leaf.node.state == .online, "\(leaf.linkErrors) \(scene.swarm.log)")
    return (scene, relay, leaf, far)
  }

  @Test func aLeafComesInThroughARelay() throws {
    let (scene, relay, leaf, _) = try chain()
    let place = try #require(scene.core.live.place(of: leaf.node.nodeId))
    #expect(place.relay == relay.node.nodeId && place.link == scene.core.live.link(of: relay.node.nodeId))
    #expect(relay.node.relay.linkedCount == 1)
    #expect(scene.core.onlineNodes(now: scene.now).first { $0.id == leaf.node.nodeId }?.address == "via NOD1000000")
    // It may try the hub itself when the relay is gone.
    #expect(leaf.node.hubs.count == 3 && leaf.node.hubs[1].host == InlineText("hub.test")!)
  }

  @Test func messagesGoBothWaysAndReceiptsComeBack() throws {
    let (scene, relay, leaf, far) = try chain()
    try scene.send("up", from: leaf, to: far.node.nodeId)
    try scene.send("down", from: far, to: leaf.node.nodeId)
    try scene.send("to the relay", from: leaf, to: relay.node.nodeId)
    try scene.send("to the hub", from: leaf, to: 0)
    #expect(far.texts == ["up"] && leaf.texts == ["down"] && relay.texts == ["to the relay"])
    #expect(leaf.receipts == [nil, nil, nil] && far.receipts == [nil])
    try scene.send("from the relay", from: relay, to: leaf.node.nodeId)
    #expect(leaf.texts == ["down", "from the relay"] && relay.receipts == [nil])
  }

  @Test func leavesOfOneRelayTalkWithoutTheHub() throws {
    let (scene, relay, leaf, _) = try chain()
    let other = try scene.member("other", behind: [relay])
    scene.start(other)
    // Keys are made while there is a hub.
    try scene.send("hello", from: leaf, to: other.node.nodeId)
    try scene.send("hello", from: leaf, to: 1_000_001)
    scene.stopHub()
    try scene.send("neighbour", from: leaf, to: other.node.nodeId)
    #expect(other.texts == ["hello", "neighbour"] && other.sealed == [true, true])
    #expect(leaf.receipts == [nil, nil, nil])
    // Elsewhere there is no way, and that is said at once.
    try scene.send("far", from: leaf, to: 1_000_001)
    #expect(leaf.receipts == [nil, nil, nil, .offline])
  }

  @Test func whoHasNoKeyYetWritesToANeighbourInPlainWhileThereIsNoHub() throws {
    let (scene, relay, leaf, _) = try chain()
    let other = try scene.member("other", behind: [relay])
    scene.start(other)
    scene.stopHub()
    try scene.send("neighbour", from: leaf, to: other.node.nodeId)
    #expect(other.texts.isEmpty)
    scene.pass(3_500)
    #expect(other.texts == ["neighbour"] && other.sealed == [false] && leaf.receipts == [nil])
  }

  @Test func durableMessagesArriveOnceThroughARelayAndAHubThatWasAway() throws {
    let (scene, relay, leaf, far) = try chain()
    try scene.post("before", from: leaf, to: far)
    scene.pass(100)
    scene.stopHub()
    for i in 0..<5 { try scene.post("up \(i)", from: leaf, to: far) }
    for i in 0..<5 { try scene.post("down \(i)", from: far, to: leaf) }
    scene.pass(20_000)
    #expect(far.texts == ["before"] && leaf.node.state == .online, "a leaf stays with its relay")
    scene.isHubUp = true
    scene.pass(40_000)
    #expect(far.texts == ["before"] + (0..<5).map { "up \($0)" })
    #expect(leaf.texts == (0..<5).map { "down \($0)" })
    #expect(relay.node.relay.counters.joined == 1, "nobody had to join again")
    #expect(leaf.node.waitingToGo == 0 && far.node.waitingToGo == 0)
    let left = try scene.swarm.registry.spoolCount()
    #expect(left == 0)
  }

  @Test func aRelayThatLosesPowerLosesNothing() throws {
    let (scene, relay, leaf, far) = try chain()
    for i in 0..<20 { try scene.post("a \(i)", from: leaf, to: far) }
    scene.cutPower(of: relay)
    // The leaf's link is to a board that is not there.
    scene.cutUpstream(of: leaf)
    for i in 0..<5 { try scene.post("b \(i)", from: leaf, to: far) }
    for i in 0..<5 { try scene.post("c \(i)", from: far, to: leaf) }
    scene.pass(5_000)
    #expect(scene.core.live.link(of: leaf.node.nodeId) == nil)
    let again = try scene.member("relay", relays: true, instance: 2, sameAs: relay)
    scene.start(again)
    scene.pass(60_000)
    #expect(Set(far.texts).count == far.texts.count && far.texts.count == 25)
    #expect(leaf.texts == (0..<5).map { "c \($0)" })
  }

  @Test func aLeafWhoseRelayGoesTakesTheNextOne() throws {
    let scene = try RelayScene()
    let first = try scene.member("first", relays: true)
    let second = try scene.member("second", relays: true)
    let leaf = try scene.member("leaf", behind: [first, second])
    let far = try scene.member("far")
    scene.start(first, second, leaf, far)
    #expect(scene.core.live.place(of: leaf.node.nodeId)?.relay == first.node.nodeId)
    scene.cutPower(of: first)
    scene.cutUpstream(of: leaf)
    scene.pass(3_000)
    #expect(scene.core.live.place(of: leaf.node.nodeId)?.relay == second.node.nodeId)
    try scene.post("the other way", from: leaf, to: far)
    try scene.post("and back", from: far, to: leaf)
    scene.pass(500)
    #expect(far.texts == ["the other way"] && leaf.texts == ["and back"])
  }

  @Test func aLeafLeavesARelayWhoseHubStaysAway() throws {
    let scene = try RelayScene()
    let first = try scene.member("first", relays: true)
    let second = try scene.member("second", relays: true)
    let middle = try scene.member("middle", behind: [first], relays: true)
    // One with another way, behind a chain; one with none, and its neighbour.
    let leaf = try scene.member("leaf", behind: [middle, second])
    let stuck = try scene.member("stuck", behind: [middle])
    scene.start(first, second, middle, leaf, stuck)
    first.reachesHub = false
    scene.cutUpstream(of: first)
    scene.pass(Limits.heartbeatDefaultMs * 3)
    #expect(leaf.node.isCutOff && stuck.node.isCutOff && leaf.node.state == .online)
    try scene.send("still here", from: leaf, to: stuck.node.nodeId)
    #expect(stuck.texts == ["still here"])
    // Each other hub that it knows has its turn.
    scene.pass(Limits.cutOffMs * UInt64(leaf.node.hubs.count))
    #expect(scene.core.live.place(of: leaf.node.nodeId)?.relay == second.node.nodeId)
    #expect(leaf.linkErrors.isEmpty && !leaf.node.isCutOff)
    #expect(stuck.linkErrors.isEmpty && stuck.node.state == .online && stuck.node.isCutOff)
    first.reachesHub = true
    scene.pass(Limits.backoffCapMs + 60_000)
    #expect(first.node.state == .online && !stuck.node.isCutOff)
    #expect(scene.core.live.place(of: stuck.node.nodeId)?.relay == middle.node.nodeId)
  }

  @Test func relaysStandBehindRelays() throws {
    let scene = try RelayScene()
    let top = try scene.member("top", relays: true)
    let middle = try scene.member("middle", behind: [top], relays: true)
    let leaf = try scene.member("leaf", behind: [middle])
    let far = try scene.member("far")
    scene.start(top, middle, leaf, far)
    #expect(leaf.node.state == .online, "\(leaf.linkErrors) \(scene.swarm.log)")
    #expect(scene.core.live.place(of: leaf.node.nodeId)?.relay == middle.node.nodeId)
    try scene.send("two hops", from: leaf, to: far.node.nodeId)
    try scene.post("kept", from: far, to: leaf)
    scene.pass(200)
    #expect(far.texts == ["two hops"] && leaf.texts == ["kept"] && leaf.receipts == [nil])
    // The hub comes back: everybody is found again, from the top down.
    scene.stopHub()
    scene.pass(3_000)
    scene.isHubUp = true
    scene.pass(10_000)
    #expect(scene.core.live.place(of: leaf.node.nodeId)?.relay == middle.node.nodeId)
    try scene.post("again", from: far, to: leaf)
    scene.pass(500)
    #expect(leaf.texts == ["kept", "again"])
    // A leaf behind the middle one goes: the top knows.
    scene.cutPower(of: leaf)
    scene.pass(100)
    #expect(top.node.relay.routeCount == 1 && scene.core.live.link(of: leaf.node.nodeId) == nil)
  }

  @Test func twoRelaysThatLeadToEachOtherFindNoWayAndNoCircle() throws {
    let scene = try RelayScene()
    let a = try scene.member("a", relays: true)
    let b = try scene.member("b", behind: [a], relays: true)
    scene.start(a, b)
    #expect(b.node.state == .online)
    // The first one's hub goes, and its list now leads to the second, which is behind it.
    var settings = a.node.settings
    settings.hubs = HubList()
    settings.hubs.append(scene.place(of: b))
    scene.stopHub()
    a.node.reload(settings, now: scene.now)
    scene.settle()
    scene.pass(60_000)
    #expect(a.node.state != .online)
    #expect(b.node.relay.counters.joined == 0)
  }

  @Test func aRelayAsksForItselfAndIsRefused() throws {
    let scene = try RelayScene()
    let relay = try scene.member("relay", relays: true)
    scene.start(relay)
    let twin = try scene.member("twin", behind: [relay], instance: 7, sameAs: relay)
    scene.start(twin)
    #expect(twin.linkErrors.first == .routeLoop)
    #expect(relay.node.state == .online)
  }

  @Test func aStrangerStaysOutAndATokenLetsIn() throws {
    let scene = try RelayScene()
    let relay = try scene.member("relay", relays: true)
    scene.start(relay)
    let stranger = try scene.member("stranger", behind: [relay], isAllowed: false)
    scene.start(stranger)
    #expect(stranger.linkErrors == [.tokenRequired] && stranger.node.nodeId == 0)
    #expect(relay.node.relay.peers.allSatisfy { $0.phase == .free })

    let token = NewToken()
    try scene.swarm.registry.addToken(
      id: Data(token.id), verifier: Data(NewToken.verifier(of: token.secret)), uses: 1, expiresAt: 1_800_000_000,
      label: "", now: 1_700_000_000)
    var ticket = Ticket(hub: scene.place(of: relay), tokenId: token.id, tokenSecret: token.secret)
    try stranger.node.join(ticket, now: scene.now)
    scene.settle()
    #expect(stranger.node.state == .online, "\(stranger.linkErrors)")
    // A ticket is good as often as its token says.
    let second = try scene.member("second", behind: [relay], isAllowed: false)
    ticket.tokenSecret[0] ^= 1
    try second.node.join(ticket, now: scene.now)
    scene.start(second)
    #expect(second.linkErrors.first == .tokenUsed || second.linkErrors.first == .tokenInvalid)
  }

  @Test func aRevokedLeafIsShutOut() throws {
    let (scene, relay, leaf, _) = try chain()
    _ = try scene.swarm.registry.revoke(id: leaf.node.nodeId, reason: "lost", now: 2)
    #expect(try scene.core.refresh(now: scene.now) == 1)
    scene.settle()
    #expect(leaf.linkErrors.last == .revoked && relay.node.relay.routeCount == 0)
    scene.pass(100)
    #expect(scene.core.live.link(of: leaf.node.nodeId) == nil)
  }

  @Test func aNodeThatMovesIsReachedWhereItIs() throws {
    let (scene, relay, leaf, far) = try chain()
    // The same run of the same board, now directly at the hub; the relay has not noticed.
    leaf.isReachable = false
    let moved = try scene.member("moved", sameAs: leaf)
    scene.start(moved)
    #expect(moved.node.state == .online)
    #expect(scene.core.live.place(of: leaf.node.nodeId)?.relay == nil)
    scene.settle()
    #expect(relay.node.relay.routeCount == 0, "the hub has told the relay")
    try scene.send("here", from: far, to: leaf.node.nodeId)
    #expect(moved.texts == ["here"])
  }

  @Test func aCloneBehindARelayIsFoundOut() throws {
    let (scene, _, leaf, _) = try chain()
    let clone = try scene.member("clone", instance: 9, sameAs: leaf)
    scene.start(clone)
    #expect(clone.linkErrors == [.sessionBusy], "the hub asks the one behind the relay first")
    scene.pass(8_000)
    #expect(clone.linkErrors.last == .cloneDetected && leaf.node.state == .online)
  }

  @Test func aLeafAfterAPowerCutGetsInOnceItsOldLinkDoesNotAnswer() throws {
    let (scene, relay, leaf, _) = try chain()
    leaf.isReachable = false
    let after = try scene.member("leaf2", behind: [relay], instance: 2, sameAs: leaf)
    scene.start(after)
    #expect(after.linkErrors == [.sessionBusy])
    scene.pass(LiveTable.probeMs + Limits.busyRetryMs)
    #expect(after.node.state == .online, "\(after.linkErrors)")
    #expect(relay.node.relay.linkedCount == 1)
  }

  @Test func membersArePreferredToStrangersAtTheDoor() throws {
    let scene = try RelayScene()
    let relay = try scene.member("relay", relays: true)
    scene.start(relay)
    // They connect and say nothing.
    let places = (0..<Limits.relayStrangers).map { _ in relay.node.openPeer(now: scene.now) }
    #expect(places.allSatisfy { $0 != nil } && relay.node.openPeer(now: scene.now) == nil)
    scene.pass(Limits.handshakeTimeoutMs + 100)
    #expect(relay.node.openPeer(now: scene.now) != nil)
  }

  @Test func everyPlaceIsUsedAndNoMore() throws {
    let scene = try RelayScene()
    let relay = try scene.member("relay", relays: true)
    scene.start(relay)
    let leaves = try (0..<Limits.relayPeers + 1).map { try scene.member("leaf\($0)", behind: [relay]) }
    for leaf in leaves { scene.start(leaf) }
    #expect(leaves.dropLast().allSatisfy { $0.node.state == .online })
    #expect(leaves.last!.linkErrors == [.connectFailed])
    for leaf in leaves.dropLast() { try scene.send("hello", from: leaf, to: relay.node.nodeId) }
    #expect(relay.texts.count == Limits.relayPeers)
  }

  @Test func aLeafThatFloodsFillsItsOwnQueueAndLosesNothing() {
    let world = RelayWorld()
    let header = FrameHeader(kind: .message, source: RelayWorld.leafId, destination: 1_000_777)
    let text = InlineArray<256, UInt8>(repeating: 0x61)
    var sent: UInt64 = 0
    while world.send(fromHub: false, header, text.span.bytes) {
      sent += 1
      world.movePeer()
      world.node.moveRelayed(now: world.now)
      #expect(world.node.session.output.count <= Limits.relayQueueBytes + Session.recordBytes(body: 256))
    }
    #expect(sent > 100 && world.node.relay.counters.up < 20)
    #expect(!world.node.isRelayDue)
    // Only so many are on their way at a time, and one more for each that is answered for.
    let share = UInt64(Limits.relayUnanswered)
    world.settle()
    #expect(world.node.relay.counters.up == share && !world.node.isRelayDue)
    var receipt = ByteQueue(capacity: 16)
    _ = Receipt(sequence: 1, failure: nil).append(to: &receipt)
    for _ in 0..<5 {
      world.send(
        fromHub: true, FrameHeader(kind: .receipt, source: 1_000_777, destination: RelayWorld.leafId), receipt.bytes)
    }
    world.settle()
    #expect(world.node.relay.counters.up == share + 5 && !world.node.isRelayDue)
    // Receipts that got lost hold nobody up for long.
    while world.node.relay.counters.up < sent {
      let before = world.node.relay.counters.up
      #expect(world.node.nextDeadline <= world.now + Limits.relayUnansweredMs)
      world.now = world.now + Limits.relayUnansweredMs
      world.node.handle(.tick, now: world.now)
      world.settle()
      #expect(world.node.relay.counters.up == min(sent, before + share))
    }
    #expect(world.node.relay.counters.full == 0)
  }

  @Test func leavesAreSentAwayWhenTheDutyEnds() throws {
    let (scene, relay, leaf, _) = try chain()
    relay.node.setDuties([.heartbeat], now: scene.now)
    scene.settle()
    #expect(leaf.linkErrors == [.draining] && relay.node.relay.routeCount == 0)
    #expect(relay.node.openPeer(now: scene.now) == nil)
    relay.node.setDuties([.heartbeat, .relay], now: scene.now)
    scene.pass(60_000)
    #expect(leaf.node.state == .online)
  }

  @Test func aSilentLeafIsGivenUp() throws {
    let (scene, relay, leaf, far) = try chain()
    leaf.isReachable = false
    scene.pass(Limits.silenceMs(heartbeatMs: Limits.heartbeatDefaultMs) + 31_000)
    #expect(relay.node.relay.linkedCount == 0)
    #expect(scene.core.live.link(of: leaf.node.nodeId) == nil)
    try scene.send("gone", from: far, to: leaf.node.nodeId)
    #expect(far.receipts == [.unreachable])
  }
}
