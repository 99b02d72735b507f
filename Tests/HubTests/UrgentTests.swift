import Bounded
import Foundation
import GRDB
import Node
import Testing
import Wire

@testable import Hub

/// Urgent messages at the hub: before the others, and with places of their own.
@Suite struct UrgentTests {
  private func urgent(_ number: UInt64) -> UInt64 { Limits.urgentSequences + number }

  @Test func theyGoBeforeWhatWaitedLonger() throws {
    let (swarm, a, b) = try TestSwarm.pair()
    let destination = b.id!
    swarm.core.close(b.link!, .linkSilent, now: swarm.now)
    swarm.settle()
    for sequence in 1...5 as ClosedRange<UInt64> {
      try a.post("\(sequence)", to: destination, sequence: sequence, now: swarm.now)
    }
    swarm.commit()
    for sequence in 1...2 as ClosedRange<UInt64> {
      try a.post("urgent \(sequence)", to: destination, stream: 78, sequence: urgent(sequence), now: swarm.now)
    }
    swarm.commit()
    swarm.connect(b)
    swarm.commit()
    #expect(b.durable.map(\.text) == ["urgent 1", "urgent 2", "1", "2", "3", "4", "5"])
    #expect(try swarm.registry.spoolCount() == 0 && swarm.core.status.messagesDelivered == 7)
  }

  /// The others never take all places of the link.
  @Test func theyFindAPlaceWhereAllOthersAreTaken() throws {
    let (swarm, a, b) = try TestSwarm.pair()
    b.verdict = nil
    for sequence in 1...100 as ClosedRange<UInt64> {
      try a.post("\(sequence)", to: b.id!, sequence: sequence, now: swarm.now)
      if sequence % 20 == 0 { swarm.commit() }
    }
    for sequence in 1...100 as ClosedRange<UInt64> {
      try a.post("urgent \(sequence)", to: b.id!, stream: 78, sequence: urgent(sequence), now: swarm.now)
      if sequence % 20 == 0 { swarm.commit() }
    }
    for _ in 0..<20 { swarm.pass(60) }
    #expect(b.durable.count == Limits.storedEntries)
    let there = b.durable.suffix(Limits.urgentOnTheWay).map(\.text)
    #expect(there == (1...Limits.urgentOnTheWay).map { "urgent \($0)" })
    b.verdict = { _ in nil }
    for sequence in 1...UInt64(Limits.urgentOnTheWay) {
      b.say(StoredEntry(stream: 78, sequence: urgent(sequence), failure: nil), now: swarm.now)
    }
    for _ in 0..<20 { swarm.pass(60) }
    let rest = b.durable.dropFirst(Limits.storedEntries).map(\.text)
    #expect(rest == (Limits.urgentOnTheWay + 1...100).map { "urgent \($0)" })
  }

  /// Who was full is asked with the most urgent message.
  @Test func theFirstThatAsksForAllIsUrgent() throws {
    let (swarm, a, b) = try TestSwarm.pair()
    b.verdict = { _ in .full }
    for sequence in 1...3 as ClosedRange<UInt64> {
      try a.post("\(sequence)", to: b.id!, sequence: sequence, now: swarm.now)
    }
    swarm.commit()
    try a.post("urgent", to: b.id!, stream: 78, sequence: urgent(1), now: swarm.now)
    swarm.commit()
    let refused = b.durable.count
    b.verdict = { _ in nil }
    swarm.pass(Limits.resumeMs)
    swarm.commit()
    #expect(b.durable.dropFirst(refused).map(\.text) == ["urgent", "1", "2", "3"])
  }

  @Test func theyAreFoundWithoutALookAtTheOthers() throws {
    let (swarm, _, b) = try TestSwarm.pair()
    let plan = try swarm.registry.read { db in
      try Row.fetchAll(
        db, sql: "EXPLAIN QUERY PLAN " + Registry.spooledSql(areUrgent: true, takesSealed: true),
        arguments: [b.id!, 0, 8]
      ).map { $0["detail"] as String }
    }
    #expect(plan.count == 1 && plan[0].contains("spool_urgent"), "\(plan)")
  }
}
