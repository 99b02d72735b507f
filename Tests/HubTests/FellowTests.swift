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
}
