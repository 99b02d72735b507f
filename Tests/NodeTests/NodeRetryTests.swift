import Bounded
import SkyCrypto
import Testing
import Wire

@testable import Node

@Suite struct BackoffTests {
  private func waits(_ count: Int, seed: UInt64) -> [UInt64] {
    var backoff = Backoff()
    var random = Drbg(seed: NodeScene.secret(seed))
    return (0..<count).map { _ in backoff.next(random: &random) }
  }

  @Test func boundsDoubleUpToTheCapAndTheWholeRangeIsUsed() {
    let bounds: [UInt64] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300].map { $0 * 1_000 }
    let draws = (0..<1_000 as Range<UInt64>).map { waits(bounds.count, seed: $0) }
    for (step, bound) in bounds.enumerated() {
      let column = draws.map { $0[step] }
      #expect(column.allSatisfy { $0 <= bound }, "step \(step)")
      // Full jitter: each quarter of 0...bound holds about a quarter of a thousand draws.
      for quarter in 0..<4 as Range<UInt64> {
        let share = column.count { quarter * bound / 4 <= $0 && $0 < (quarter + 1) * bound / 4 }
        #expect(190...310 ~= share, "step \(step), quarter \(quarter): \(share)")
      }
    }
  }

  @Test func itNeverOverflowsAndStartsAnewAfterAReset() {
    var backoff = Backoff()
    var random = Drbg(seed: NodeScene.secret(1))
    for _ in 0..<10_000 {
      let wait = backoff.next(random: &random)
      #expect(wait <= Limits.backoffCapMs)
    }
    backoff.reset()
    #expect(backoff == Backoff())
    let first = backoff.next(random: &random)
    #expect(first <= Limits.backoffFirstMs)
  }
}

@Suite struct AttemptsTests {
  /// The wait after the last of a round of failures.
  private func wait(_ codes: [ErrorCode], seed: UInt64 = 1, rounds: Int = 1) -> UInt64 {
    var attempts = Attempts()
    var random = Drbg(seed: NodeScene.secret(seed))
    var last: UInt64 = 0
    for _ in 0..<rounds {
      for (i, code) in codes.enumerated() {
        let isLast = i == codes.count - 1
        last = attempts.wait(after: code, isLast: isLast, hubs: codes.count, random: &random)
        if !isLast { #expect(last < Limits.backoffFirstMs) }
      }
    }
    return last
  }

  @Test func everyCodeThatNeedsAPersonIsRetriedSlowly() {
    for code in ErrorCode.allCases where code.needsPerson {
      for seed in 0..<50 as Range<UInt64> {
        let wait = wait([code], seed: seed)
        #expect(Limits.refusedRetryMs / 2 <= wait && wait < Limits.refusedRetryMs, "\(code), seed \(seed)")
      }
    }
  }

  @Test func everyOtherCodeIsRetriedWithBackOff() {
    for code in ErrorCode.allCases where !code.needsPerson && code != .sessionBusy {
      for seed in 0..<20 as Range<UInt64> {
        #expect(wait([code], seed: seed) <= Limits.backoffFirstMs, "\(code), seed \(seed)")
        #expect(wait([code], seed: seed, rounds: 30) <= Limits.backoffCapMs)
      }
    }
  }

  @Test func aBusySessionIsRetriedQuicklyHoweverOften() {
    for rounds in [1, 2, 50] {
      let wait = wait([.sessionBusy], rounds: rounds)
      #expect(Limits.busyRetryMs <= wait && wait < Limits.busyRetryMs + Limits.backoffFirstMs)
    }
  }

  /// A hub that does not know the node must not keep it away from the one that does and is only away.
  @Test func oneHubsRefusalDoesNotSlowDownTheOthers() {
    for seed in 0..<50 as Range<UInt64> {
      #expect(wait([.connectFailed, .tokenRequired], seed: seed) <= Limits.backoffFirstMs)
      #expect(wait([.tokenRequired, .connectFailed], seed: seed) <= Limits.backoffFirstMs)
      #expect(wait([.tokenRequired, .revoked], seed: seed) >= Limits.refusedRetryMs / 2)
      #expect(wait([.sessionBusy, .connectFailed], seed: seed, rounds: 9) < 2 * Limits.busyRetryMs)
    }
  }
}

@Suite struct NodeRetryTests {
  @Test func aLostLinkIsMadeAnewWithinASecond() {
    for seed in 1...20 as ClosedRange<UInt64> {
      let scene = NodeScene(seed: seed)
      scene.goOnline()
      scene.cut()
      #expect(scene.state == .offline)
      #expect(scene.wait(.retry)! <= Limits.backoffFirstMs)
      scene.pass(Limits.backoffFirstMs)
      #expect(scene.state == .online, "seed \(seed)")
      #expect(scene.node.counters.links == 2)
      #expect(scene.node.counters.linkErrors == 1)
    }
  }

  @Test func waitsGrowWhileTheHubIsAwayAndStartAnewAfterSuccess() {
    let scene = NodeScene()
    scene.hub.isUp = false
    scene.start()
    var longest: UInt64 = 0
    for round in 0..<40 {
      let wait = scene.wait(.retry)!
      #expect(wait <= min(Limits.backoffFirstMs << UInt64(min(round, 20)), Limits.backoffCapMs))
      longest = max(longest, wait)
      scene.pass(to: .retry)
      #expect(scene.state == .offline)
    }
    #expect(longest > 150_000, "after 40 failures the cap is used")
    #expect(scene.errors.allSatisfy { $0 == .connectFailed })
    scene.hub.isUp = true
    scene.pass(to: .retry)
    #expect(scene.state == .online)
    scene.cut()
    #expect(scene.wait(.retry)! <= Limits.backoffFirstMs)
  }

  @Test func differentNodesComeBackAtDifferentTimes() {
    let waits = (0..<100 as Range<UInt64>).map { seed -> UInt64 in
      let scene = NodeScene(seed: seed)
      scene.hub.isUp = false
      scene.start()
      return scene.wait(.retry)!
    }
    #expect(Set(waits).count > 75)
    for quarter in 0..<4 as Range<UInt64> {
      #expect(8...50 ~= waits.count { quarter * 250 <= $0 && $0 < (quarter + 1) * 250 })
    }
  }

  @Test(
    arguments: [
      .tokenRequired, .tokenUnknown, .tokenExpired, .tokenUsed, .tokenInvalid, .revoked, .cloneDetected, .classRefused,
      .addressesExhausted,
    ] as [ErrorCode])
  func aRefusalThatNeedsAPersonIsRetriedSlowly(_ code: ErrorCode) {
    let scene = NodeScene()
    scene.hub.refusal = code
    scene.start()
    #expect(scene.lastError == code)
    #expect(scene.wait(.retry)! >= Limits.refusedRetryMs / 2)
    scene.hub.refusal = nil
    scene.pass(Limits.refusedRetryMs)
    #expect(scene.state == .online)
  }

  @Test func aBusySessionIsTriedAgainInSeconds() {
    let scene = NodeScene()
    scene.hub.refusal = .sessionBusy
    scene.start()
    for _ in 0..<5 {
      #expect(6_000..<7_000 ~= scene.wait(.retry)!)
      scene.pass(to: .retry)
    }
  }

  @Test func theSecondHubServesWhileTheFirstIsAway() {
    let scene = NodeScene(hubs: 3)
    scene.hubs[0].isUp = false
    scene.start()
    #expect(scene.state == .offline)
    scene.pass(Limits.backoffFirstMs)
    #expect(scene.state == .online)
    #expect(scene.hubIndex == 1)
    #expect(scene.notices.contains(.hub(1)))
  }

  @Test func everyHubIsTriedInTheOrderOfTheList() {
    let scene = NodeScene(hubs: 4)
    for hub in scene.hubs { hub.isUp = false }
    scene.start()
    for _ in 0..<11 { scene.pass(to: .retry) }
    let tried = scene.actions.compactMap { if case .connect(let index) = $0 { index } else { nil } }
    #expect(tried == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3])
  }

  @Test func itGoesBackToThePreferredHubWhenThatAnswers() {
    let scene = NodeScene(hubs: 2)
    scene.hubs[0].isUp = false
    scene.start()
    scene.pass(Limits.backoffFirstMs)
    #expect(scene.hubIndex == 1)
    scene.pass(to: .failback)
    #expect(scene.actions.contains(.probe(0)))
    #expect(scene.hubIndex == 1, "the probe failed: nothing moves")
    #expect(scene.wait(.failback) == Limits.failbackMs)
    #expect(scene.node.counters.links == 1)
    scene.hubs[0].isUp = true
    scene.pass(to: .failback)
    #expect(scene.state == .online)
    #expect(scene.hubIndex == 0)
    #expect(scene.hubs[1].heard == .linkClosed, "it says goodbye to the other one")
    #expect(scene.wait(.failback) == nil)
  }

  @Test func itDoesNotGoBackWhileMessagesWaitForTheirReceipts() {
    let scene = NodeScene(hubs: 2)
    scene.hubs[0].isUp = false
    scene.start()
    scene.pass(Limits.backoffFirstMs)
    scene.hubs[0].isUp = true
    scene.hubs[1].givesReceipts = false
    scene.pass(Limits.failbackMs - 1_000)
    #expect(scene.send("in flight") == .success(1))
    scene.pass(1_000)
    #expect(scene.hubIndex == 1)
    scene.hubs[1].sendReceipt(1, from: 0, now: scene.now)
    scene.settle()
    #expect(scene.notices.contains(.receipt(sequence: 1, failure: nil)))
    scene.pass(Limits.receiptTimeoutMs)
    #expect(scene.hubIndex == 0)
    #expect(scene.state == .online)
  }

  @Test func aPreferredHubThatRefusesIsNotAskedAtEveryFailback() {
    let scene = NodeScene(hubs: 2)
    scene.hubs[0].refusal = .tokenRequired
    scene.start()
    scene.pass(Limits.backoffFirstMs)
    #expect(scene.hubIndex == 1)
    scene.pass(20 * Limits.failbackMs)
    #expect(scene.hubs[0].hellos.count == 1)
    #expect(scene.node.counters.links == 1)
    scene.hubs[0].refusal = nil
    scene.pass(Limits.failbackRefusedMs)
    #expect(scene.hubIndex == 0, "once a day it is asked again")
  }

  @Test func anAnswerToAProbeOfAnotherTimeMovesNothing() {
    let scene = NodeScene(hubs: 2)
    scene.goOnline()
    scene.handle(.probeResult(reachable: true))
    #expect(scene.node.counters.links == 1)
    scene.cut()
    scene.handle(.probeResult(reachable: true))
    #expect(scene.state == .offline)
  }

  @Test func theHandshakeHasItsEnd() {
    let scene = NodeScene()
    scene.hub.isDeaf = true
    scene.start()
    #expect(scene.state == .securing)
    scene.pass(Limits.handshakeTimeoutMs)
    #expect(scene.lastError == .handshakeTimeout)
    #expect(scene.state == .offline)
  }

  /// The end of the old stream may be noticed after a new link was asked for.
  @Test func newsOfTheOldLinkDoesNotHarmTheNewOne() {
    let scene = NodeScene()
    scene.goOnline()
    do throws(ErrorCode) { try scene.node.join(scene.hub.ticket, now: scene.now) } catch { Issue.record("\(error)") }
    scene.node.handle(.linkBytes, now: scene.now)
    scene.node.handle(.linkDown(.linkClosed), now: scene.now)
    scene.node.handle(.linkUp(exporter: Bytes32(repeating: 1), entropy: Bytes32(repeating: 2)), now: scene.now)
    #expect(scene.state == .connecting)
    scene.settle()
    #expect(scene.state == .online)
    #expect(scene.node.counters.linkErrors == 0)
  }
}
