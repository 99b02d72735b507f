import Bounded
import Foundation
import GRDB
import Node
import Testing
import Wire

@testable import Hub

/// Hubs that share what they keep: links, registries, waiting messages, who is where.
@Suite struct FellowTests {
  @Test func fellowsComeInStep() throws {
    let scene = try FellowScene([1, 2, 3])
    scene.pass(200)
    #expect(scene.isInStep)
    #expect(scene[1].core.fellowStatus().map(\.id) == [2, 3])
    #expect(scene[1].core.fellowStatus().allSatisfy { $0.linked && $0.inStep && $0.missing == 0 })
  }

  @Test func aNodeMovesWithoutAdmissionAndKeepsItsId() throws {
    let scene = try FellowScene()
    let a = try scene.allowed(1, at: scene[1])
    scene.connect(a, to: scene[1])
    let id = a.id
    scene.pass(50)
    try scene.kill(scene[1], losesDisk: true)
    scene.connect(a, to: scene[2])
    #expect(a.failure == nil && a.isOnline && a.id == id && id == 2_000_000)
  }

  @Test func nothingIsAcknowledgedBeforeTheFellowInStepHasIt() throws {
    let scene = try FellowScene()
    let a = try scene.allowed(1, at: scene[1])
    let b = try scene.allowed(2, at: scene[1])
    scene.connect(a, to: scene[1])
    let destination = try #require(try scene[1].registry.node(key: b.key)).id
    scene.pass(200)
    #expect(scene.isInStep)
    scene.stalls = [[1, 2]]
    try a.post("kept twice", to: destination, sequence: 1, now: scene.now)
    scene.pass(500)
    #expect(try a.stored.isEmpty && scene[1].registry.spoolCount() == 1)
    scene.stalls = []
    scene.pass(50)
    #expect(a.stored == [StoredEntry(stream: 77, sequence: 1, failure: nil)])
    #expect(try scene[2].registry.spoolCount() == 1)
  }

  @Test func aFellowThatSaysNothingFallsOutOfStepAndCatchesUp() throws {
    let scene = try FellowScene()
    let a = try scene.allowed(1, at: scene[1])
    let b = try scene.allowed(2, at: scene[1])
    scene.connect(a, to: scene[1])
    let destination = try #require(try scene[1].registry.node(key: b.key)).id
    scene.pass(200)
    scene.stalls = [[1, 2]]
    try a.post("alone", to: destination, sequence: 1, now: scene.now)
    scene.pass(Limits.fellowPatienceMs + 100)
    #expect(a.stored.count == 1 && !scene.fellow(2, at: 1).isInStep)
    #expect(try scene[2].registry.spoolCount() == 0)
    scene.stalls = []
    scene.pass(1_500)
    #expect(try scene.isInStep && scene[2].registry.spoolCount() == 1)
  }

  @Test func aHubWithoutItsDiskGetsEverythingBack() throws {
    let scene = try FellowScene()
    let a = try scene.allowed(1, at: scene[1])
    let b = try scene.allowed(2, at: scene[1])
    scene.connect(a, to: scene[1])
    let destination = try #require(try scene[1].registry.node(key: b.key)).id
    scene.pass(100)
    for sequence in 1...150 as ClosedRange<UInt64> {
      try a.post("number \(sequence)", to: destination, sequence: sequence, now: scene.now)
      if sequence % 30 == 0 { scene.pass(30) }
    }
    scene.pass(100)
    #expect(a.stored.count == 150)
    try scene.kill(scene[1], losesDisk: true)
    scene.pass(500)
    try scene.start(scene[1])
    scene.pass(Limits.fellowRetryCapMs + 1_000)
    #expect(try scene.isInStep && scene[1].registry.spoolCount() == 150)
    scene.connect(b, to: scene[1])
    scene.pass(500)
    #expect(b.durable.map(\.text) == (1...150).map { "number \($0)" })
    #expect(try scene[1].registry.spoolCount() == 0 && scene[2].registry.spoolCount() == 0)
  }

  @Test func messagesOfBothKindsCrossFromHubToHub() throws {
    let scene = try FellowScene()
    let a = try scene.allowed(1, at: scene[1])
    let b = try scene.allowed(2, at: scene[1])
    scene.pass(100)
    scene.connect(a, to: scene[1])
    scene.connect(b, to: scene[2])
    scene.pass(100)
    try a.send("hello", to: b.id!, sequence: 5, now: scene.now)
    try b.post("kept", to: a.id!, sequence: 7, now: scene.now)
    scene.pass(100)
    #expect(b.messages.map { String(decoding: $0.1, as: UTF8.self) } == ["hello"])
    #expect(a.receipts == [Receipt(sequence: 5, failure: nil)])
    #expect(a.durable.map(\.text) == ["kept"] && a.durable[0].frame.source == b.id)
    #expect(b.stored == [StoredEntry(stream: 77, sequence: 7, failure: nil)])
    scene.pass(200)
    #expect(try scene[1].registry.spoolCount() == 0 && scene[2].registry.spoolCount() == 0)
  }

  /// A hub dies between its commit and the word on it.
  @Test func whatWasCommittedAndNotToldArrivesOnce() throws {
    let scene = try FellowScene()
    let a = try scene.allowed(1, at: scene[1])
    let b = try scene.allowed(2, at: scene[1])
    scene.pass(200)
    scene.connect(a, to: scene[1])
    let destination = try #require(try scene[1].registry.node(key: b.key)).id
    scene.stalls = [[1, 2]]
    try a.post("once", to: destination, sequence: 1, now: scene.now)
    scene.pass(100)
    #expect(try a.stored.isEmpty && scene[1].registry.spoolCount() == 1)
    try scene.kill(scene[1])
    scene.stalls = []
    // Unanswered, so it goes again.
    scene.connect(a, to: scene[2])
    try a.post("once", to: destination, sequence: 1, now: scene.now)
    scene.connect(b, to: scene[2])
    scene.pass(Limits.fellowHoldMs + 200)
    #expect(b.durable.map(\.text) == ["once"] && a.stored.count == 1)
    try scene.start(scene[1])
    scene.pass(8_000)
    #expect(try b.durable.count == 1 && scene.hubs.map { try $0.registry.spoolCount() } == [0, 0])
    scene.connect(b, to: scene[1])
    scene.pass(500)
    #expect(b.durable.count == 1)
  }

  /// While the hubs were apart a sender went from one to the other: the older messages go first, however far behind.
  @Test func olderMessagesOfAFellowGoFirst() throws {
    let scene = try FellowScene()
    let a = try scene.allowed(1, at: scene[1])
    let b = try scene.allowed(2, at: scene[1])
    scene.pass(200)
    let destination = try #require(try scene[1].registry.node(key: b.key)).id
    scene.partition(1, 2)
    scene.connect(a, to: scene[1])
    for sequence in 1...40 as ClosedRange<UInt64> {
      try a.post("\(sequence)", to: destination, sequence: sequence, now: scene.now)
    }
    scene.pass(100)
    scene.connect(a, to: scene[2])
    for sequence in 41...400 as ClosedRange<UInt64> {
      try a.post("\(sequence)", to: destination, sequence: sequence, now: scene.now)
      if sequence % 20 == 0 { scene.pass(20) }
    }
    #expect(a.stored.count == 400)
    scene.heal()
    scene.pass(8_000)
    #expect(try scene.hubs.map { try $0.registry.spoolCount() } == [400, 400])
    scene.connect(b, to: scene[2])
    scene.pass(2_000)
    #expect(b.durable.map(\.text) == (1...400).map { "\($0)" })
    #expect(try scene.hubs.map { try $0.registry.spoolCount() } == [0, 0])
  }

  @Test func nothingIsDeliveredWhileAFellowMayHaveOlderMessages() throws {
    let scene = try FellowScene()
    let a = try scene.allowed(1, at: scene[1])
    let b = try scene.allowed(2, at: scene[1])
    scene.pass(200)
    let destination = try #require(try scene[1].registry.node(key: b.key)).id
    try scene.kill(scene[2])
    scene.connect(a, to: scene[1])
    try a.post("older", to: destination, sequence: 1, now: scene.now)
    scene.pass(50)
    #expect(a.stored.count == 1)
    scene.partition(1, 2)
    try scene.start(scene[2])
    scene.connect(b, to: scene[2])
    scene.connect(a, to: scene[2])
    try a.post("newer", to: destination, sequence: 300, now: scene.now)
    scene.pass(1_000)
    #expect(a.stored.count == 2 && b.durable.isEmpty, "taken in, and held back")
    scene.heal()
    scene.pass(1_500)
    #expect(b.durable.map(\.text) == ["older", "newer"])
    // But not for ever.
    try scene.kill(scene[1])
    scene.pass(100)
    try a.post("now", to: destination, sequence: 301, now: scene.now)
    scene.pass(Limits.fellowHoldMs + 100)
    #expect(b.durable.last?.text == "now")
  }

  @Test func bothSidesGetWhatTheOtherHasGained() throws {
    let scene = try FellowScene()
    let nodes = try (1...4).map { try scene.allowed($0, at: scene[1]) }
    scene.pass(200)
    let away = try nodes.suffix(2).map { try #require(try scene[1].registry.node(key: $0.key)).id }
    scene.partition(1, 2)
    scene.connect(nodes[0], to: scene[1])
    scene.connect(nodes[1], to: scene[2])
    for sequence in 1...100 as ClosedRange<UInt64> {
      try nodes[0].post("a\(sequence)", to: away[Int(sequence % 2)], sequence: sequence, now: scene.now)
      try nodes[1].post("b\(sequence)", to: away[Int(sequence % 2)], sequence: sequence, now: scene.now)
      if sequence % 20 == 0 { scene.pass(20) }
    }
    scene.heal()
    scene.pass(8_000)
    #expect(try scene.hubs.map { try $0.registry.spoolCount() } == [200, 200])
    scene.connect(nodes[2], to: scene[1])
    scene.connect(nodes[3], to: scene[2])
    scene.pass(1_000)
    for node in nodes.suffix(2) {
      #expect(node.durable.count == 100)
      for sender in ["a", "b"] {
        let numbers = node.durable.map(\.text).filter { $0.hasPrefix(sender) }.compactMap { Int($0.dropFirst()) }
        #expect(numbers.count == 50 && numbers == numbers.sorted())
      }
    }
    #expect(try scene.hubs.map { try $0.registry.spoolCount() } == [0, 0])
  }
}
