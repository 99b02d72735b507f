import Bounded
import Foundation
import SkyCrypto
import TestSupport
import Testing
import Update
import Wire

@testable import Hub

/// A roll-out over boards that exist only as what they say; time is a number.
private struct Fleet {
  var rollout: Rollout
  var nodes: [UInt32: Rollout.Candidate] = [:]
  var now: Int64 = 1_000_000

  init(
    _ count: Int, release: UInt64 = 7, percents: [Int] = [10, 50, 100],
    _ change: (inout Rollout.Gate) -> Void = { _ in }
  ) {
    var gate = Rollout.Gate()
    change(&gate)
    rollout = Rollout(board: "toy", release: release, digest: Data(), percents: percents, gate: gate, at: now)
    for i in 0..<count { add(1_000_000 + UInt32(i)) }
  }

  mutating func add(_ id: UInt32, policy: UpdatePolicy = .auto, board: String = "toy") {
    var standing = Standing(board: InlineText(board)!)
    standing.slots[0].release = 6
    nodes[id] = Rollout.Candidate(id: id, report: SystemReport(policy: policy, standing: standing), linkedSeconds: 0)
  }

  mutating func pass(_ seconds: Int64) {
    now += seconds
    for id in nodes.keys { nodes[id]!.linkedSeconds? += seconds }
    rollout.advance(Array(nodes.values), at: now)
  }

  var due: [UInt32] { rollout.members.map(\.id).filter { rollout.isDue($0) } }

  mutating func confirm(_ id: UInt32) {
    nodes[id]!.report.standing.slots[1].release = rollout.release
    nodes[id]!.report.standing.running = 1
    nodes[id]!.report.standing.good = 1
    nodes[id]!.linkedSeconds = 0
  }

  mutating func fallBack(_ id: UInt32) {
    nodes[id]!.report.standing.slots[1].release = rollout.release
    nodes[id]!.report.standing.content = .failed
  }
}

@Suite struct RolloutTests {
  @Test func stepsFollowWhenTheNodesOfTheOneBeforeAreWell() {
    var fleet = Fleet(20)
    fleet.pass(1)
    #expect(fleet.due.count == 2)
    fleet.due.forEach { fleet.confirm($0) }
    fleet.pass(599)
    #expect(fleet.rollout.step == 0, "not long enough on their links")
    fleet.pass(1)
    #expect(fleet.rollout.step == 1 && fleet.due.count == 10)
    fleet.due.forEach { fleet.confirm($0) }
    fleet.pass(600)
    #expect(fleet.rollout.step == 2 && fleet.due.count == 20)
    fleet.due.forEach { fleet.confirm($0) }
    fleet.pass(600)
    #expect(fleet.rollout.state == .done && fleet.due.isEmpty)
  }

  @Test func noNodeIsSkippedAndNoneIsTakenTwice() {
    var fleet = Fleet(7)
    for _ in 0..<10 {
      fleet.pass(600)
      fleet.due.forEach { fleet.confirm($0) }
    }
    #expect(fleet.rollout.state == .done)
    #expect(Set(fleet.rollout.members.map(\.id)) == Set(fleet.nodes.keys) && fleet.rollout.members.count == 7)
  }

  @Test func theFirstOnesAreOthersForEachRelease() {
    var first: Set<[UInt32]> = []
    for release in 7..<27 as Range<UInt64> {
      var fleet = Fleet(20, release: release)
      fleet.pass(1)
      first.insert(fleet.due)
      var again = Fleet(20, release: release)
      again.pass(1)
      #expect(again.due == fleet.due, "the same for the same release")
    }
    #expect(first.count > 10)
  }

  @Test func oneNodeIsAStepToo() {
    var fleet = Fleet(1)
    fleet.pass(1)
    #expect(fleet.due.count == 1)
    fleet.confirm(fleet.due[0])
    fleet.pass(600)
    #expect(fleet.rollout.state == .done)
  }

  @Test func withoutNodesNothingIsDone() {
    var fleet = Fleet(0)
    fleet.pass(600)
    #expect(fleet.rollout.state == .running && fleet.rollout.step == 0)
    fleet.add(1_000_000)
    fleet.pass(1)
    #expect(fleet.due == [1_000_000])
  }

  @Test func onlyNodesOfTheBoardThatTakeUpdatesByThemselves() {
    var fleet = Fleet(0, percents: [100])
    fleet.add(1_000_000)
    fleet.add(1_000_001, policy: .ask)
    fleet.add(1_000_002, policy: .off)
    fleet.add(1_000_003, board: "boy")
    fleet.pass(1)
    #expect(fleet.due == [1_000_000])
  }

  @Test func aNodeThatFallsBackStopsIt() {
    var fleet = Fleet(20)
    fleet.pass(1)
    fleet.fallBack(fleet.due[0])
    fleet.pass(1)
    #expect(fleet.rollout.state == .paused && fleet.rollout.reason.contains("fell_back") && fleet.due.isEmpty)
    fleet.pass(1_000)
    #expect(fleet.rollout.state == .paused, "nothing goes on by itself")
  }

  @Test func aRefusalCountsAndOneOfAnotherReleaseDoesNot() {
    var fleet = Fleet(20)
    fleet.pass(1)
    let id = fleet.due[0]
    fleet.nodes[id]!.report.failure = UpdateError.tooLarge.rawValue
    fleet.nodes[id]!.report.failedRelease = 6
    fleet.pass(1)
    #expect(fleet.rollout.state == .running)
    fleet.nodes[id]!.report.failedRelease = 7
    fleet.pass(1)
    #expect(fleet.rollout.state == .paused && fleet.rollout.reason.contains("too_large"))
  }

  @Test func asManyMayFailAsTheOwnerSays() {
    var fleet = Fleet(20) {
      $0.failures = 1; $0.share = 50
    }
    fleet.pass(1)
    let canaries = fleet.due
    fleet.fallBack(canaries[0])
    fleet.confirm(canaries[1])
    fleet.pass(600)
    #expect(fleet.rollout.state == .running && fleet.rollout.step == 1)
    fleet.fallBack(fleet.due[2])
    fleet.pass(1)
    #expect(fleet.rollout.state == .paused)
  }

  @Test func resumedItGoesOnWithoutThoseThatFailed() {
    var fleet = Fleet(20)
    fleet.pass(1)
    let canaries = fleet.due
    fleet.fallBack(canaries[0])
    fleet.pass(1)
    fleet.rollout.resume(at: fleet.now)
    fleet.pass(1)
    #expect(fleet.rollout.state == .running && fleet.due == [canaries[1]])
    fleet.confirm(canaries[1])
    fleet.pass(600)
    #expect(fleet.rollout.step == 1 && fleet.due.count == 9)
  }

  @Test func aStepThatTakesTooLongPausesAndSaysWhoIsWell() {
    var fleet = Fleet(20) { $0.patienceSeconds = 3_600 }
    fleet.pass(1)
    fleet.confirm(fleet.due[0])
    fleet.pass(3_598)
    #expect(fleet.rollout.state == .running)
    fleet.pass(2)
    #expect(fleet.rollout.state == .paused && fleet.rollout.reason.contains("1 of 2"))
  }

  /// Revoked, or its owner takes updates by hand now.
  @Test func aMemberThatIsNoCandidateAnyMoreHoldsNobodyUp() {
    var fleet = Fleet(20)
    fleet.pass(1)
    let (gone, byHand) = (fleet.due[0], fleet.due[1])
    fleet.nodes[gone] = nil
    fleet.nodes[byHand]!.report.policy = .off
    fleet.pass(1)
    #expect(fleet.rollout.step == 0 && fleet.rollout.members.count == 4, "2 of the 18 others take their places")
    fleet.due.dropFirst(2).forEach { fleet.confirm($0) }
    fleet.pass(600)
    #expect(fleet.rollout.step == 1, "those two are well")
    fleet.due.forEach { if fleet.nodes[$0] != nil { fleet.confirm($0) } }
    fleet.pass(600)
    fleet.due.forEach { if fleet.nodes[$0] != nil { fleet.confirm($0) } }
    fleet.pass(600)
    #expect(fleet.rollout.state == .done && fleet.rollout.members.count == 20)
  }

  @Test func aNodeThatIsAwayOrOnTrialIsNotWell() {
    var fleet = Fleet(1)
    fleet.pass(1)
    let id = fleet.due[0]
    fleet.confirm(id)
    fleet.nodes[id]!.report.standing.good = 0
    fleet.pass(10_000)
    #expect(fleet.rollout.state == .running, "on trial")
    fleet.confirm(id)
    fleet.nodes[id]!.linkedSeconds = nil
    fleet.pass(10_000)
    #expect(fleet.rollout.state == .running, "away")
    fleet.nodes[id]!.linkedSeconds = 600
    fleet.pass(0)
    #expect(fleet.rollout.state == .done)
  }

  @Test func pausedAndAbortedNobodyIsDue() {
    var fleet = Fleet(20)
    fleet.pass(1)
    fleet.rollout.pause("by hand")
    #expect(fleet.due.isEmpty)
    fleet.rollout.resume(at: fleet.now)
    #expect(fleet.due.count == 2)
    fleet.rollout.abort("by hand")
    fleet.pass(10_000)
    #expect(fleet.due.isEmpty && fleet.rollout.state == .aborted)
  }

  @Test func itIsReadBackAsItWas() throws {
    var fleet = Fleet(20)
    fleet.pass(1)
    fleet.fallBack(fleet.due[0])
    fleet.pass(1)
    let back = try JSONDecoder().decode(Rollout.self, from: JSONEncoder().encode(fleet.rollout))
    #expect(back == fleet.rollout)
  }

  /// Whatever nodes do, members are nodes, a node is one once, and steps come one after the other.
  @Test func whateverHappensItsInvariantsHold() {
    var random = SystemRandomNumberGenerator()
    let seed = UInt64.random(in: 0..<UInt64.max, using: &random)
    var dice = Dice(seed: seed)
    for _ in 0..<200 {
      var fleet = Fleet(Int(dice.roll() % 30)) {
        $0.failures = 2; $0.share = 60
      }
      var step = 0
      for _ in 0..<60 {
        for id in fleet.due where dice.roll() % 3 == 0 {
          if dice.roll() % 12 == 0 { fleet.fallBack(id) } else { fleet.confirm(id) }
        }
        if dice.roll() % 9 == 0 { fleet.add(2_000_000 + UInt32(dice.roll() % 50)) }
        if fleet.rollout.state == .paused, dice.roll() % 2 == 0 { fleet.rollout.resume(at: fleet.now) }
        fleet.pass(Int64(dice.roll() % 900))
        #expect(fleet.rollout.step == step || fleet.rollout.step > step && fleet.rollout.step < 3, "seed \(seed)")
        step = fleet.rollout.step
        let ids = fleet.rollout.members.map(\.id)
        #expect(Set(ids).count == ids.count && ids.allSatisfy { fleet.nodes[$0] != nil }, "seed \(seed)")
        if fleet.rollout.state != .running { #expect(fleet.due.isEmpty, "seed \(seed)") }
      }
    }
  }
}
