import Bounded
import Testing
import Wire

@testable import Node

@Suite struct NodeHeartbeatTests {
  @Test(arguments: [10, 100, 1_000, 30_000, 600_000] as [UInt32])
  func theNextHeartbeatIsNeverFurtherThanATenthOff(_ interval: UInt32) {
    let scene = NodeScene()
    scene.hub.configure.heartbeatIntervalMs = interval
    scene.goOnline()
    var waits: [UInt64] = []
    for _ in 0..<500 {
      // The wait is drawn at each heartbeat; time need not go by for it.
      scene.handle(.vitals(VitalSigns()))
      waits.append(scene.wait(.heartbeat)!)
      scene.hub.frames.removeAll()
    }
    let (spread, middle) = (UInt64(interval) / 10, UInt64(interval))
    #expect(waits.allSatisfy { middle - spread <= $0 && $0 <= middle + spread })
    // All of the range is used, evenly: a tenth of it holds a tenth of the waits, give or take.
    guard spread >= 100 else { return #expect(Set(waits).count > 1) }
    for tenth in 0..<10 as Range<UInt64> {
      let low = middle - spread + tenth * spread / 5
      let share = waits.count { low <= $0 && $0 < low + spread / 5 }
      #expect(20...85 ~= share, "\(share) of 500 waits from \(low)")
    }
  }

  @Test func heartbeatsGoOnForAsLongAsTheLinkLives() {
    let scene = NodeScene()
    scene.goOnline()
    scene.pass(3_600_000)
    #expect(scene.state == .online)
    #expect(108...134 ~= scene.hub.heartbeats.count, "one in 27 to 33 s for an hour")
    #expect(scene.node.counters.heartbeatsSent == UInt64(scene.hub.heartbeats.count))
    #expect(scene.node.counters.heartbeatsAcked == scene.node.counters.heartbeatsSent)
    let numbers = scene.hub.frames.filter { $0.header.kind == .heartbeat }.map(\.header.sequence)
    #expect(numbers == Array(1...UInt64(numbers.count)))
    #expect(scene.node.counters.linkErrors == 0)
  }

  @Test func aHeartbeatCarriesTheVitalSignsAndLevels() throws {
    let scene = NodeScene()
    scene.goOnline()
    scene.hub.givesReceipts = false
    scene.hub.sendMessage("kept", now: scene.now)
    scene.settle()
    _ = scene.send("waits")
    scene.vitals.uptimeS = 77
    scene.vitals.loadMilli = 1_500
    scene.vitals.temperatureMilliC = 41_000
    scene.vitals.power = .mains
    scene.pass(to: .heartbeat)
    let beat = try #require(scene.hub.heartbeats.last)
    #expect(beat.vitals == scene.vitals)
    #expect(beat.inboxUsed == 1)
    #expect(beat.inboxCapacity == 32)
    #expect(beat.outboxUsed == 1)
    #expect(beat.outboxCapacity == 16)
    #expect(beat.duties == [.heartbeat, .relay])
  }

  @Test func theRoundTripIsMeasured() {
    let scene = NodeScene()
    scene.goOnline()
    scene.hub.isDeaf = true
    scene.pass(to: .heartbeat)
    scene.now = scene.now + 40
    scene.hub.isDeaf = false
    scene.settle()
    #expect(scene.node.rttMs == 40)
    #expect(scene.notices.contains(.heartbeatAcked(rttMs: 40)))
  }

  @Test func anAnswerToAnEarlierHeartbeatMeasuresNothing() {
    let scene = NodeScene()
    scene.goOnline()
    scene.hub.answersHeartbeats = false
    scene.pass(to: .heartbeat)
    let before = scene.node.rttMs
    scene.now = scene.now + 9
    scene.hub.send(
      FrameHeader(kind: .heartbeatAck, destination: 1_000_000, sequence: 1), [UInt8](repeating: 0, count: 8),
      now: scene.now)
    scene.settle()
    #expect(scene.node.rttMs == before)
  }

  @Test func aSilentLinkIsGivenUpAfterThreeIntervals() {
    let scene = NodeScene()
    scene.goOnline()
    let heard = scene.now
    scene.hub.isDeaf = true
    scene.pass(90_999)
    #expect(scene.state == .online)
    scene.pass(2)
    #expect(scene.lastError == .linkSilent)
    #expect(scene.state == .offline)
    #expect(scene.now.since(heard) == 91_001)
    #expect(scene.errors == [.linkSilent])
    #expect(scene.actions.last == .disconnect)
    #expect(!scene.isEstablished)
  }

  @Test func anyFrameCountsAsLife() {
    let scene = NodeScene()
    scene.hub.answersHeartbeats = false
    scene.goOnline()
    for i in 0..<10 {
      scene.pass(60_000)
      scene.hub.sendMessage("\(i)", sequence: UInt64(i), now: scene.now)
      scene.settle()
    }
    #expect(scene.state == .online)
  }

  @Test func withoutTheHeartbeatDutyPingsKeepTheLink() {
    let scene = NodeScene { $0.duties = [.relay] }
    scene.goOnline()
    scene.pass(3_600_000)
    #expect(scene.state == .online)
    #expect(scene.hub.heartbeats.isEmpty)
    #expect(scene.node.counters.heartbeatsSent == 0)
    #expect(scene.node.counters.linkErrors == 0)
  }

  @Test func aNewIntervalHoldsFromTheMomentItIsTold() {
    let scene = NodeScene()
    scene.hub.configure.heartbeatIntervalMs = 600_000
    scene.goOnline()
    scene.hub.configure.heartbeatIntervalMs = 1_000
    scene.hub.sendConfigure(now: scene.now)
    scene.settle()
    #expect(scene.wait(.heartbeat)! <= 1_100)
    #expect(scene.wait(.silence)! == 4_000)
    scene.pass(10_000)
    #expect(9...12 ~= scene.hub.heartbeats.count)
  }

  @Test func theHubIsToldNothingBeforeItConfigures() {
    let scene = NodeScene()
    scene.hub.configures = false
    scene.start()
    #expect(scene.state == .joining)
    scene.hub.sendMessage("too early", now: scene.now)
    scene.settle()
    #expect(scene.lastError == .unexpectedRecord)
    #expect(scene.node.inbox.count == 0)
  }

  @Test func joiningHasItsEnd() {
    let scene = NodeScene()
    scene.hub.configures = false
    scene.start()
    scene.pass(Limits.handshakeTimeoutMs - 1)
    #expect(scene.state == .joining)
    scene.pass(1)
    #expect(scene.lastError == .handshakeTimeout)
  }
}

@Suite struct NodeClockTests {
  private let hubTime: UInt64 = 1_800_000_000_000
  private let boardTime: UInt64 = 1_900_000_000_000

  @Test func nobodyKnowsTheTimeAtFirst() {
    let scene = NodeScene()
    scene.goOnline()
    #expect(scene.node.clockSource == .unknown)
    #expect(scene.node.wallTimeMs(now: scene.now) == 0)
  }

  @Test func theHubsTimeServesUntilTheBoardHasItsOwn() {
    let scene = NodeScene()
    scene.hub.configure.wallTimeMs = hubTime
    scene.goOnline()
    #expect(scene.node.clockSource == .hub)
    #expect(scene.notices.contains(.clockFromHub))
    #expect(scene.node.wallTimeMs(now: scene.now) == hubTime)
    #expect(scene.node.wallTimeMs(now: scene.now + 1_234) == hubTime + 1_234)
    scene.wallMs = boardTime
    scene.pass(to: .heartbeat)
    #expect(scene.node.clockSource == .system)
    #expect(scene.node.wallTimeMs(now: scene.now) == boardTime)
    // From then on the hub's is of no interest.
    scene.hub.sendConfigure(now: scene.now)
    scene.settle()
    #expect(scene.node.wallTimeMs(now: scene.now) == boardTime)
    #expect(scene.notices.count { $0 == .clockFromHub } == 1)
  }

  @Test func everyAnswerFromTheHubSetsTheClockAgain() {
    let scene = NodeScene()
    scene.hub.configure.wallTimeMs = hubTime
    scene.goOnline()
    scene.hub.configure.wallTimeMs = hubTime + 5_000_000
    scene.pass(to: .heartbeat)
    #expect(scene.node.wallTimeMs(now: scene.now) == hubTime + 5_000_000)
  }

  /// A hostile hub's time must not stop the node when time goes on.
  @Test(arguments: [0, 1, 1_704_067_199_999, 253_402_300_800_000, UInt64.max - 1_000, .max] as [UInt64])
  func aTimeThatCannotBeIsIgnored(_ time: UInt64) {
    let scene = NodeScene()
    scene.hub.configure.wallTimeMs = time
    scene.goOnline()
    scene.handle(.systemClock(time))
    #expect(scene.node.clockSource == .unknown)
    scene.pass(100_000)
    #expect(scene.node.wallTimeMs(now: scene.now) == 0)
    scene.hub.sendMessage("stamped", now: scene.now)
    scene.settle()
    #expect(scene.inboxTexts() == ["stamped"])
  }

  @Test(arguments: [1_704_067_200_000, 253_402_300_799_999] as [UInt64])
  func aTimeAtTheEdgeIsTaken(_ time: UInt64) {
    let scene = NodeScene()
    scene.hub.configure.wallTimeMs = time
    scene.goOnline()
    #expect(scene.node.clockSource == .hub)
    #expect(scene.node.wallTimeMs(now: scene.now) == time)
  }

  @Test func messagesAreStampedWithTheTimeTheyCame() {
    let scene = NodeScene()
    scene.hub.configure.wallTimeMs = hubTime
    scene.goOnline()
    scene.now = scene.now + 500
    scene.hub.sendMessage("now", now: scene.now)
    scene.settle()
    #expect(scene.node.inbox[0].wallTimeMs == hubTime + 500)
  }
}
