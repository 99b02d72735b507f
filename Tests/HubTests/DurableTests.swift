import Bounded
import Foundation
import GRDB
import Node
import Testing
import Wire

@testable import Hub

/// Durable messages through the hub: real sessions, a real registry, virtual time.
@Suite struct HubDurableTests {
  @Test func aMessageIsAcknowledgedAfterTheCommitAndWaitsForItsNode() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    let b = try swarm.allowedNode(2)
    swarm.connect(b)
    let destination = b.id!
    swarm.core.close(b.link!, .draining, now: swarm.now)
    swarm.settle()
    swarm.connect(a)
    try a.post("while you were out", to: destination, sequence: 5, now: swarm.now)
    swarm.settle()
    #expect(a.stored.isEmpty, "nothing is said before it is on the disk")
    swarm.commit()
    #expect(a.stored == [StoredEntry(stream: 77, sequence: 5, failure: nil)])
    #expect(try swarm.registry.spoolCount() == 1)
    swarm.connect(b)
    #expect(b.durable.map(\.text) == ["while you were out"])
    #expect(b.durable[0].frame.source == a.id && b.durable[0].frame.hops == 1 && b.durable[0].stream == 77)
    swarm.commit()
    #expect(try swarm.registry.spoolCount() == 0 && swarm.core.status.messagesDelivered == 1)
  }

  @Test func whatComesTwiceIsKeptOnce() throws {
    let (swarm, a, b) = try TestSwarm.pair()
    for sequence in [7, 8, 7, 300, 8, 7] as [UInt64] {
      try a.post("number \(sequence)", to: b.id!, sequence: sequence, now: swarm.now)
      swarm.commit()
    }
    #expect(b.durable.map(\.text) == ["number 7", "number 8", "number 300"])
    #expect(a.stored.map(\.sequence) == [7, 8, 7, 300, 8, 7] && a.stored.allSatisfy { $0.failure == nil })
  }

  @Test func whatComesTwiceInOneCommitIsKeptOnce() throws {
    let (swarm, a, b) = try TestSwarm.pair()
    for _ in 0..<3 { try a.post("once", to: b.id!, sequence: 1, now: swarm.now) }
    swarm.commit()
    #expect(b.durable.count == 1 && a.stored.count == 3)
  }

  @Test func whatANodeNeverAnswersIsSentAgainOnItsNextLink() throws {
    let (swarm, a, b) = try TestSwarm.pair()
    b.verdict = nil
    try a.post("hello?", to: b.id!, sequence: 1, now: swarm.now)
    swarm.commit()
    #expect(b.durable.count == 1)
    swarm.core.close(b.link!, .linkSilent, now: swarm.now)
    swarm.settle()
    b.verdict = { _ in nil }
    swarm.connect(b)
    #expect(b.durable.count == 2 && b.durable[0].frame.sequence == b.durable[1].frame.sequence)
  }

  @Test func aNodeWithoutRoomIsAskedAgain() throws {
    let (swarm, a, b) = try TestSwarm.pair()
    b.verdict = { _ in .full }
    for sequence in 1...3 as ClosedRange<UInt64> {
      try a.post("\(sequence)", to: b.id!, sequence: sequence, now: swarm.now)
    }
    swarm.commit()
    let refused = b.durable.count
    #expect(refused >= 1 && refused <= 3)
    b.verdict = { _ in nil }
    swarm.pass(Limits.resumeMs)
    swarm.commit()
    #expect(b.durable.dropFirst(refused).map(\.text) == ["1", "2", "3"])
    #expect(try swarm.registry.spoolCount() == 0)
  }

  /// Its owner does not read: one message asks for all, and less and less often.
  @Test func aNodeThatStaysFullIsAskedLessOften() throws {
    let (swarm, a, b) = try TestSwarm.pair()
    b.verdict = { _ in .full }
    for sequence in 1...40 as ClosedRange<UInt64> {
      try a.post("\(sequence)", to: b.id!, sequence: sequence, now: swarm.now)
    }
    swarm.commit()
    var asked = b.durable.count
    for pause: UInt64 in [2, 4, 8, 16, 32, 32, 32] {
      swarm.pass(pause * 1_000 - 200)
      swarm.commit()
      #expect(b.durable.count == asked, "\(pause) s")
      swarm.pass(200)
      swarm.commit()
      #expect(b.durable.count == asked + 1, "\(pause) s")
      asked = b.durable.count
    }
    b.verdict = { _ in nil }
    swarm.pass(32_000)
    swarm.commit()
    #expect(b.durable.dropFirst(asked).map(\.text) == (1...40).map { "\($0)" })
    #expect(try swarm.registry.spoolCount() == 0)
  }

  /// What asks for all may have expired meanwhile: then the next one asks.
  @Test func expiredMessagesAreNoEndOfAsking() throws {
    let (swarm, a, b) = try TestSwarm.pair()
    b.verdict = { _ in .full }
    for sequence in 1...3 as ClosedRange<UInt64> {
      try a.post(
        "\(sequence)", to: b.id!, sequence: sequence, timeToLiveS: sequence < 3 ? 1 : 0, now: swarm.now)
    }
    swarm.commit()
    let refused = b.durable.count
    b.verdict = { _ in nil }
    swarm.wall.ms = 2_000
    swarm.pass(Limits.resumeMs)
    swarm.commit()
    #expect(b.durable.dropFirst(refused).map(\.text) == ["3"])
    #expect(try swarm.registry.spoolCount() == 0)
  }

  /// A node whose batch is full says busy; its next word on something stored means that there is room again.
  @Test(arguments: [(ErrorCode.busy, 2), (.full, 0)])
  func aNodeThatWasBusyIsAskedAgainAtItsNextStored(refusal: ErrorCode, handedOut: Int) throws {
    let (swarm, a, b) = try TestSwarm.pair()
    b.verdict = nil
    for sequence in 1...3 as ClosedRange<UInt64> {
      try a.post("\(sequence)", to: b.id!, sequence: sequence, now: swarm.now)
    }
    swarm.commit()
    #expect(b.durable.count == 3)
    b.say(StoredEntry(stream: 77, sequence: 2, failure: refusal), now: swarm.now)
    swarm.pass(30)
    #expect(b.durable.count == 3)
    b.verdict = { _ in nil }
    b.say(StoredEntry(stream: 77, sequence: 1, failure: nil), now: swarm.now)
    swarm.commit()
    #expect(b.durable.count == 3 + handedOut)
    swarm.pass(Limits.resumeMs)
    swarm.commit()
    #expect(b.durable.dropFirst(3).map(\.text) == ["2", "3"])
  }

  /// One source cannot take the place of all others at a node, nor fill the disk by way of many.
  @Test func oneSourceHasItsShareOfTheRoom() throws {
    let swarm = try TestSwarm()
    let ids = try (1...5).map { try swarm.allowedNode($0) }.map { node in
      swarm.connect(node)
      return node.id!
    }
    let registry = swarm.registry
    var sequence: UInt64 = 0
    func give(_ count: Int, from source: UInt32, to destination: UInt32) throws -> [ErrorCode?] {
      let messages = (0..<count).map { _ in
        sequence += 1
        return SpooledMessage(
          destination: destination, source: source, stream: UInt64(source), sequence: sequence, hops: 0, expiresMs: 0,
          text: Data([1]))
      }
      return try registry.spool(messages, forgetting: [], at: 7).verdicts
    }
    let (a, b) = (ids[0], ids[1])
    #expect(try give(7_499, from: a, to: b).allSatisfy { $0 == nil })
    #expect(try give(3, from: a, to: b) == [nil, .full, .full], "7,500 of one source")
    #expect(try give(2_501, from: ids[2], to: b).filter { $0 == .full }.count == 1, "10,000 in all")
    #expect(try give(7_500, from: a, to: ids[3]).allSatisfy { $0 == nil })
    #expect(try give(5_001, from: a, to: ids[4]).filter { $0 == .full }.count == 1, "20,000 of one source")
    #expect(try give(1, from: a, to: 1_000_900) == [.unreachable])
    #expect(try registry.spoolCount() == 22_500)
    // Urgent ones find room beyond each of these.
    sequence = Limits.urgentSequences
    #expect(try give(501, from: a, to: b).filter { $0 == .full }.count == 1)
    #expect(try give(1, from: ids[2], to: b) == [.full], "10,500 in all")
    #expect(try give(1, from: ids[2], to: ids[4]) == [nil])
  }

  @Test func aMessageItsNodeCannotTakeIsGivenUp() throws {
    let (swarm, a, b) = try TestSwarm.pair()
    b.verdict = { _ in .tooLong }
    try a.post("too long for you", to: b.id!, sequence: 1, now: swarm.now)
    swarm.commit()
    #expect(try swarm.registry.spoolCount() == 0 && swarm.core.status.messagesDropped == 1)
  }

  @Test func aMessageToNobodyIsRefusedForGood() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    swarm.connect(a)
    try a.post("hello?", to: 1_000_500, sequence: 1, now: swarm.now)
    swarm.commit()
    #expect(a.stored == [StoredEntry(stream: 77, sequence: 1, failure: .unreachable)])
  }

  @Test func aMessageToTheHubIsInItsInboxWhenItIsAcknowledged() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    swarm.connect(a)
    try a.post("dear hub", to: 0, sequence: 3, now: swarm.now)
    try a.post("dear hub", to: 0, sequence: 3, now: swarm.now)
    swarm.commit()
    #expect(a.stored.map(\.failure) == [nil, nil])
    #expect(try swarm.registry.inbox(limit: 10).map(\.body) == [Data("dear hub".utf8)])
    #expect(a.receipts.contains(Receipt(sequence: 3, failure: nil)))
  }

  @Test func aMessagePastItsTimeIsNotDelivered() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    let b = try swarm.allowedNode(2)
    swarm.connect(b)
    let destination = b.id!
    swarm.core.close(b.link!, .draining, now: swarm.now)
    swarm.settle()
    swarm.connect(a)
    try a.post("stale", to: destination, sequence: 1, timeToLiveS: 10, now: swarm.now)
    try a.post("lasts", to: destination, sequence: 2, timeToLiveS: 100, now: swarm.now)
    swarm.commit()
    swarm.wall.ms = 11_000
    swarm.connect(b)
    #expect(b.durable.map(\.text) == ["lasts"] && b.durable[0].frame.timeToLiveS == 89)
  }

  /// A window of 256 tells duplicates only within its reach: the hub must not have more on the way.
  @Test func nothingIsSentThatTheReceiverCouldTakeForOld() throws {
    let (swarm, a, b) = try TestSwarm.pair()
    b.verdict = nil
    for sequence in [1, 200, 256, 257, 1_000] as [UInt64] {
      try a.post("\(sequence)", to: b.id!, sequence: sequence, now: swarm.now)
    }
    swarm.commit()
    #expect(b.durable.map(\.text) == ["1", "200", "256"])
    b.say(StoredEntry(stream: 77, sequence: 1, failure: nil), now: swarm.now)
    swarm.commit()
    #expect(b.durable.map(\.text) == ["1", "200", "256", "257"])
  }

  /// Nodes choose the names of their rings: with another's name they must not get at its messages.
  @Test func theNameOfAnothersRingIsOfNoUse() throws {
    let (swarm, a, b) = try TestSwarm.pair()
    let thief = try swarm.allowedNode(3)
    swarm.connect(thief)
    try thief.post("mine", to: b.id!, sequence: 5, now: swarm.now)
    try thief.post("far ahead", to: b.id!, sequence: 1 << 40, now: swarm.now)
    swarm.commit()
    for sequence in 5...6 as ClosedRange<UInt64> {
      try a.post("genuine \(sequence)", to: b.id!, sequence: sequence, now: swarm.now)
    }
    swarm.commit()
    #expect(b.durable.map(\.text) == ["mine", "far ahead", "genuine 5", "genuine 6"])
    #expect(b.durable.map(\.frame.source) == [thief.id!, thief.id!, a.id!, a.id!])
  }

  /// A STORED entry names no source.
  @Test func twoOfOneNameAreNeverOnTheWayTogether() throws {
    let (swarm, a, b) = try TestSwarm.pair()
    let thief = try swarm.allowedNode(3)
    swarm.connect(thief)
    b.verdict = nil
    try thief.post("mine", to: b.id!, sequence: 5, now: swarm.now)
    swarm.commit()
    try a.post("genuine", to: b.id!, sequence: 5, now: swarm.now)
    swarm.commit()
    #expect(b.durable.map(\.text) == ["mine"])
    b.say(StoredEntry(stream: 77, sequence: 5, failure: nil), now: swarm.now)
    swarm.commit()
    #expect(b.durable.map(\.text) == ["mine", "genuine"] && swarm.core.status.messagesDelivered == 1)
  }

  @Test func noMoreIsOnTheWayThanTheRuleAllows() throws {
    let (swarm, a, b) = try TestSwarm.pair()
    b.verdict = nil
    for sequence in 1...100 as ClosedRange<UInt64> {
      try a.post("\(sequence)", to: b.id!, sequence: sequence, now: swarm.now)
      if sequence % 20 == 0 { swarm.commit() }
    }
    for _ in 0..<20 { swarm.pass(60) }
    #expect(b.durable.count == Limits.storedEntries - Limits.urgentOnTheWay, "urgent ones would have room")
    for sequence in 1...56 as ClosedRange<UInt64> {
      b.say(StoredEntry(stream: 77, sequence: sequence, failure: nil), now: swarm.now)
    }
    b.verdict = { _ in nil }
    for _ in 0..<20 { swarm.pass(60) }
    #expect(b.durable.map(\.text) == (1...100).map { "\($0)" })
    #expect(try swarm.registry.spoolCount() == 0)
  }

  @Test func anotherSourceEndsTheLink() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    swarm.connect(a)
    try a.post("not me", to: 0, sequence: 1, source: 1_000_999, now: swarm.now)
    swarm.settle()
    #expect(a.failure == .spoofedSource)
  }

  @Test func aWordOnNothingChangesNothing() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    swarm.connect(a)
    a.say(StoredEntry(stream: 1, sequence: 2, failure: nil), now: swarm.now)
    swarm.commit()
    #expect(a.isOnline && swarm.core.status.messagesDelivered == 0)
  }

  @Test func aRingThatBeginsAnewDoesNotPushOutTheOthers() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    swarm.connect(a)
    for stream in 1...20 as ClosedRange<UInt64> {
      try a.post("x", to: 0, stream: stream, sequence: 1, now: swarm.now)
      swarm.commit()
    }
    let kept = try swarm.registry.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM streams") }
    #expect(kept == Registry.streamsPerNode)
  }
}
