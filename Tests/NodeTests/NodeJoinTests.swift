import Bounded
import SkyCrypto
import Testing
import Wire

@testable import Node

@Suite struct NodeJoinTests {
  @Test func withoutAHubItWaitsForATicket() {
    let scene = NodeScene { $0.hubs = HubList() }
    scene.start()
    #expect(scene.state == .offline)
    #expect(scene.lastError == .notJoined)
    #expect(scene.actions == [])
    #expect(scene.node.nextDeadline == .never)
    scene.pass(86_400_000)
    #expect(scene.state == .offline)
    #expect(scene.send("hello") == .failure(.notJoined))
  }

  @Test func aTicketLeadsThroughEveryStateToOnlineAndTheFirstHeartbeat() {
    let scene = NodeScene { $0.hubs = HubList() }
    scene.start()
    #expect(scene.join(scene.hub.ticket) == nil)
    #expect(scene.states == [.offline, .connecting, .securing, .joining, .online])
    #expect(scene.node.nodeId == 1_000_000)
    #expect(scene.lastError == nil)
    #expect(scene.notices.contains(.joined(1_000_000)))
    #expect(scene.hub.heartbeats.count == 1, "the first heartbeat goes at once")
    #expect(scene.notices.contains(.heartbeatAcked(rttMs: 0)))
    #expect(scene.actions == [.persist, .connect(0), .persist, .sampleVitals])
  }

  @Test func aConfiguredHubIsReachedWithoutATicket() {
    let scene = NodeScene()
    scene.goOnline()
    #expect(scene.hub.hellos.count == 1)
    #expect(scene.hub.hellos.first?.hasToken == false)
    #expect(scene.hub.proofs == [false])
  }

  @Test func theTicketProvesItsTokenAndIsForgottenOnceUsed() {
    let scene = NodeScene()
    scene.start()
    _ = scene.join(scene.hub.ticket)
    #expect(scene.hub.proofs == [false, true])
    #expect(scene.node.admission.ticket == nil)
    #expect(scene.persisted.last?.ticket == nil)
    #expect(scene.persisted.last?.nodeId == 1_000_000)
    scene.cut()
    scene.pass(Limits.backoffFirstMs)
    #expect(scene.state == .online)
    #expect(scene.hub.proofs == [false, true, false])
  }

  @Test func aTicketIsShownToItsOwnHubOnly() {
    let scene = NodeScene(hubs: 3)
    scene.hubs[2].isUp = false
    scene.start()
    // The ticket's hub is away: the node asks the others, without the token.
    _ = scene.join(scene.hubs[2].ticket)
    scene.pass(Limits.backoffFirstMs)
    #expect(scene.state == .online)
    #expect(scene.hubs[0].hellos.count == 2)
    #expect(scene.hubs[0].hellos.allSatisfy { !$0.hasToken })
    #expect(scene.hubs[1].hellos.isEmpty)
    // It is kept for that hub, which gets it when it is back.
    #expect(scene.node.admission.ticket == scene.hubs[2].ticket)
    scene.hubs[2].isUp = true
    scene.pass(to: .failback)
    #expect(scene.hubs[2].proofs == [true])
    #expect(scene.state == .online)
    #expect(scene.node.admission.ticket == nil)
  }

  @Test(arguments: [.tokenExpired, .tokenUsed, .tokenInvalid, .tokenUnknown, .revoked] as [ErrorCode])
  func anAdmittedNodeDropsATicketThatIsRefused(_ refusal: ErrorCode) {
    let scene = NodeScene(hubs: 2)
    scene.goOnline()
    let stranger = SceneHub(1)
    scene.hubs[1].refusal = refusal
    scene.reload {
      $0.hubs = HubList(); $0.hubs.append(scene.hubs[0].entry)
    }
    _ = scene.join(stranger.ticket)
    #expect(scene.errors.last == refusal)
    scene.pass(Limits.backoffFirstMs)
    #expect(scene.state == .online)
    #expect(scene.node.hub?.host == scene.hubs[0].entry.host)
    #expect(scene.node.admission.ticket == nil)
    #expect(scene.persisted.last?.ticket == nil)
    scene.pass(3 * Limits.failbackMs)
    #expect(scene.hubs[1].hellos.count == 1, "it does not come back to a hub that wants nothing of it")
  }

  @Test func aNodeWithoutAdmissionKeepsItsTicket() {
    let scene = NodeScene { $0.hubs = HubList() }
    scene.hub.refusal = .tokenExpired
    scene.start()
    _ = scene.join(scene.hub.ticket)
    #expect(scene.state == .offline)
    #expect(scene.node.admission.ticket != nil)
    #expect(scene.lastError == .tokenExpired)
  }

  @Test func theAdmissionIsWrittenOnlyWhenItChanged() {
    let scene = NodeScene()
    scene.goOnline()
    #expect(scene.persisted.count == 1)
    scene.hub.sendConfigure(now: scene.now)
    scene.settle()
    #expect(scene.persisted.count == 1)
    scene.cut()
    scene.pass(Limits.backoffFirstMs)
    #expect(scene.state == .online)
    #expect(scene.persisted.count == 1)
    scene.hub.configure.hubs.append(SceneHub(7).entry)
    scene.hub.sendConfigure(now: scene.now)
    scene.settle()
    #expect(scene.persisted.count == 2)
    #expect(scene.node.hubs.count == 2)
    #expect(scene.persisted.last?.hubs.count == 2)
  }

  @Test func whatWasRememberedIsEnoughToComeBack() {
    let first = NodeScene { $0.hubs = HubList() }
    first.start()
    _ = first.join(first.hub.ticket)
    let second = NodeScene(seed: 2, admission: first.persisted.last!) { $0.hubs = HubList() }
    second.start()
    #expect(second.state == .online)
    #expect(second.node.nodeId == 1_000_000)
    #expect(second.persisted.isEmpty)
    #expect(!second.notices.contains(.joined(1_000_000)))
    #expect(second.hub.proofs == [false])
  }

  @Test func theHubsKeyIsPinnedFromTheFirstContactOn() {
    let scene = NodeScene {
      $0.hubs[0].key = Bytes32(repeating: 0)
    }
    scene.goOnline()
    #expect(scene.node.hub.map { equal($0.key, scene.hub.identity.publicKey) } == true)
    var forged = scene.persisted[0]
    forged.hubs[0].key = Bytes32(repeating: 9)
    let other = NodeScene(admission: forged) { $0.hubs[0].key = Bytes32(repeating: 0) }
    other.start()
    #expect(other.lastError == .hubKeyMismatch)
  }

  @Test func theFingerprintDiffersFromHubToHub() {
    let scene = NodeScene(hubs: 3)
    scene.start()
    _ = scene.join(scene.hubs[1].ticket)
    scene.cut()
    let seen = [scene.hubs[0].hellos[0].fingerprint, scene.hubs[1].hellos[0].fingerprint]
    #expect(!equal(seen[0], seen[1]))
    #expect(!equal(seen[0], NodeScene.me.hardware) && !equal(seen[1], NodeScene.me.hardware))
    let again = scene.node.fingerprint(for: scene.hubs[0].entry)
    #expect(equal(again, seen[0]), "a hub sees the same one every time")
    let byName = (0..<2).map { i in
      var entry = scene.hubs[i].entry
      entry.key = Bytes32(repeating: 0)
      return scene.node.fingerprint(for: entry)
    }
    #expect(!equal(byName[0], byName[1]))
  }

  @Test(arguments: [0, 1, 999_999, 10_000_000, .max] as [UInt32]) func anIdThatIsNoneEndsTheLink(_ id: UInt32) {
    let scene = NodeScene()
    scene.hub.nodeId = id
    scene.start()
    #expect(scene.state == .offline)
    #expect(scene.lastError == .malformed)
    #expect(scene.node.nodeId == 0)
  }

  @Test func theHubThatAdmittedTheNodeStaysInAFullList() {
    let scene = NodeScene(hubs: 9) { settings in
      settings.hubs = HubList()
      for i in 0..<8 { settings.hubs.append(SceneHub(i).entry) }
    }
    for i in 0..<8 { scene.hubs[i].isUp = false }
    scene.start()
    _ = scene.join(scene.hubs[8].ticket)
    #expect(scene.state == .online)
    #expect(scene.node.hubs.count == 8)
    #expect(scene.node.hub?.host == scene.hubs[8].entry.host)
    scene.cut()
    scene.pass(Limits.backoffCapMs)
    #expect(scene.state == .online)
    #expect(scene.hubs[8].hellos.count == 2)
  }

  @Test func requestsBeforeTheStartWaitForIt() {
    let scene = NodeScene { $0.hubs = HubList() }
    #expect(scene.join(scene.hub.ticket) == nil)
    scene.reload { $0.duties = [.heartbeat] }
    #expect(scene.state == .starting)
    scene.start()
    #expect(scene.state == .online)
    scene.handle(.start)
    #expect(scene.state == .online, "a second start changes nothing")
  }
}
