import Bounded
import Foundation
import Hub
import Testing
import Wire

@Suite struct LiveTableTests {
  let one = Data(repeating: 1, count: 16)
  let two = Data(repeating: 2, count: 16)
  let id: UInt32 = 1_000_000
  let first = LinkId(slot: 0, generation: 1)
  let second = LinkId(slot: 1, generation: 2)

  private func at(_ ms: UInt64) -> Instant { Instant(ms: ms) }

  private func occupied() -> LiveTable {
    var table = LiveTable()
    let verdict = table.enter(id: id, instance: one, at: Place(link: first), now: at(0))
    #expect(verdict == .welcome(replaces: nil))
    table.checkInvariants()
    return table
  }

  @Test func sameInstanceReplacesItsOldSession() {
    var table = occupied()
    let verdict = table.enter(id: id, instance: one, at: Place(link: second), now: at(10))
    #expect(verdict == .welcome(replaces: Place(link: first)))
    #expect(table.link(of: id) == second && table.id(of: first) == nil && table.count == 1)
    table.checkInvariants()
    // The old link closes late and takes nothing with it.
    table.leave(first)
    #expect(table.link(of: id) == second)
    table.checkInvariants()
  }

  @Test func otherInstanceIsPutOffWhileTheOldSessionIsAsked() {
    var table = occupied()
    let verdicts = [
      table.judge(id: id, instance: two, now: at(10)), table.judge(id: id, instance: two, now: at(2_000)),
    ]
    #expect(verdicts == [.busy(probe: Place(link: first)), .busy(probe: nil)])
    #expect(table.silent(now: at(5_009)).isEmpty)
  }

  @Test func answeredProbeProvesAClone() {
    var table = occupied()
    _ = table.judge(id: id, instance: two, now: at(10))
    table.answered(id, now: at(60))
    let verdicts = [
      table.judge(id: id, instance: two, now: at(1_000)), table.judge(id: id, instance: two, now: at(2_000)),
    ]
    #expect(verdicts == [.clone(isNews: true), .clone(isNews: false)])
    #expect(table.silent(now: at(30_000)).isEmpty)
    #expect(table.link(of: id) == first)
  }

  @Test func proofGrowsOldAndTheOldSessionIsAskedAgain() {
    var table = occupied()
    _ = table.judge(id: id, instance: two, now: at(10))
    table.answered(id, now: at(60))
    let later = table.judge(id: id, instance: two, now: at(60 + LiveTable.proofMs))
    #expect(later == .busy(probe: Place(link: first)))
  }

  @Test func unansweredProbeFreesTheIdentity() {
    var table = occupied()
    _ = table.judge(id: id, instance: two, now: at(10))
    #expect(table.silent(now: at(5_010)).map(\.place) == [Place(link: first)])
    table.leave(first)
    table.checkInvariants()
    let verdict = table.enter(id: id, instance: two, at: Place(link: second), now: at(6_000))
    #expect(verdict == .welcome(replaces: nil))
    table.checkInvariants()
  }

  @Test func answerWithoutAProbeProvesNothing() {
    var table = occupied()
    table.answered(id, now: at(5))
    let verdict = table.judge(id: id, instance: two, now: at(10))
    #expect(verdict == .busy(probe: Place(link: first)))
  }

  @Test func ofTwoNewcomersWelcomedAtOnceTheSecondIsJudgedAgain() {
    var table = LiveTable()
    #expect(table.judge(id: id, instance: one, now: at(0)) == .welcome(replaces: nil))
    #expect(table.judge(id: id, instance: two, now: at(0)) == .welcome(replaces: nil))
    let verdicts = [
      table.enter(id: id, instance: one, at: Place(link: first), now: at(5)),
      table.enter(id: id, instance: two, at: Place(link: second), now: at(6)),
    ]
    #expect(verdicts == [.welcome(replaces: nil), .busy(probe: Place(link: first))])
    #expect(table.count == 1)
    table.checkInvariants()
  }

  @Test func leavesGoWithTheirRelaysLink() {
    var table = occupied()
    for leaf in [id + 1, id + 2] {
      let verdict = table.enter(id: leaf, instance: one, at: Place(link: first, relay: id), now: at(1))
      #expect(verdict == .welcome(replaces: nil))
    }
    table.checkInvariants()
    #expect(table.link(of: id + 1) == first && table.leaves(of: first) == [id + 1, id + 2])
    // The second time there is nothing to forget; and the relay is no leaf of its own link.
    let forgotten = [
      table.detach(id + 1, from: first), table.detach(id + 1, from: first), table.detach(id, from: first),
    ]
    #expect(forgotten == [true, false, false])
    table.checkInvariants()
    let gone = Set(table.leave(first))
    #expect(gone == [id, id + 2])
    table.checkInvariants()
    #expect(table.count == 0)
  }

  @Test func leafThatComesAgainTheSameWayReplacesNobody() {
    var table = occupied()
    let place = Place(link: first, relay: id)
    _ = table.enter(id: id + 1, instance: one, at: place, now: at(1))
    let verdicts = [
      table.enter(id: id + 1, instance: one, at: place, now: at(2)),
      table.enter(id: id + 1, instance: one, at: Place(link: second), now: at(3)),
    ]
    #expect(verdicts == [.welcome(replaces: nil), .welcome(replaces: place)])
    #expect(table.leaves(of: first).isEmpty)
    table.checkInvariants()
  }

  @Test func staleGenerationMeansNobody() {
    var table = occupied()
    table.leave(LinkId(slot: 0, generation: 9))
    #expect(table.link(of: id) == first)
  }
}

@Suite struct RouterTests {
  private let here = LinkId(slot: 3, generation: 7)

  private func live() -> LiveTable {
    var table = LiveTable()
    _ = table.enter(id: 1_000_001, instance: Data(repeating: 1, count: 16), at: Place(link: here), now: Instant(ms: 0))
    return table
  }

  private func message(_ source: UInt32, _ destination: UInt32, hops: UInt8 = 0) -> FrameHeader {
    FrameHeader(kind: .message, hops: hops, source: source, destination: destination, sequence: 5)
  }

  @Test func connectedNodeIsReached() {
    #expect(Router.decide(message(1_000_000, 1_000_001), live: live()) == .deliver(to: here))
  }

  @Test func absentNodeIsUnreachable() {
    let decision = Router.decide(message(1_000_000, 1_000_002), live: live())
    #expect(decision == .undeliverable(.unreachable))
  }

  @Test func zeroIsTheHub() {
    #expect(Router.decide(message(1_000_000, 0), live: live()) == .keep)
  }

  @Test func frameThatTravelledTooFarIsDropped() {
    let tired = message(1_000_000, 1_000_001, hops: Limits.hops)
    #expect(Router.decide(tired, live: live()) == .undeliverable(.unreachable))
  }
}
