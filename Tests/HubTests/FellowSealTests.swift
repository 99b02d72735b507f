import Bounded
import Foundation
import Node
import SkyCrypto
import Testing
import Wire

@testable import Hub

/// What sealed messages need goes to fellows, and sealed messages stay sealed on their way over them.
@Suite struct FellowSealTests {
  private let scene: FellowScene
  private let alice: SealHubTests.Keyed
  private let bob: SealHubTests.Keyed
  private let ids: (alice: UInt32, bob: UInt32)

  init() throws {
    scene = try FellowScene()
    alice = SealHubTests.Keyed(try scene.allowed(1, at: scene[1]), 1)
    bob = SealHubTests.Keyed(try scene.allowed(2, at: scene[1]), 2)
    scene.connect(alice.node, to: scene[1])
    scene.connect(bob.node, to: scene[1])
    scene.pass(200)
    ids = (alice.end.id, bob.end.id)
  }

  private func big<T: FixedWidthInteger>(_ value: T) -> Data { withUnsafeBytes(of: value.bigEndian) { Data($0) } }

  private func send(_ frame: FrameHeader, _ body: Data, from node: SealHubTests.Keyed) throws {
    try body.withUnsafeBytes { try node.node.session.send(frame, body: $0.bytes, now: scene.now) }
    scene.pass(50)
  }

  private func exchange() throws {
    try send(FrameHeader(kind: .card, source: ids.bob), bob.card(), from: bob)
    try send(FrameHeader(kind: .card, source: ids.alice), alice.card(), from: alice)
    try send(FrameHeader(kind: .offer, source: ids.alice), big(ids.bob) + alice.offer(to: bob), from: alice)
  }

  private func flags(_ flags: UInt8, sequence: UInt64) -> FrameHeader {
    FrameHeader(kind: .message, flags: flags, source: ids.alice, destination: ids.bob, sequence: sequence)
  }

  @Test func aSealedMessageWaitsAtBothAndIsDeliveredByTheOtherWithItsOffer() throws {
    try exchange()
    let made = alice.offer(to: bob)
    scene.move(bob.node, to: scene[2])
    scene.pass(200)
    try scene.kill(scene[2])
    try scene.start(scene[2])
    scene.pass(2_000)
    #expect(scene.isInStep)
    try send(
      flags(FrameHeader.durable | FrameHeader.sealed, sequence: 7), big(UInt64(77)) + Data("sealed".utf8), from: alice)
    #expect(alice.node.stored == [StoredEntry(stream: 77, sequence: 7, failure: nil)])
    try scene.kill(scene[1], losesDisk: true)
    scene.connect(bob.node, to: scene[2])
    let offersBefore = bob.node.seals.count { $0.kind == .offer }
    scene.pass(4_000)
    #expect(bob.node.durable.isEmpty, "no card over this link yet")
    try send(FrameHeader(kind: .card, source: ids.bob), bob.card(), from: bob)
    scene.pass(200)
    let message = try #require(bob.node.durable.first)
    #expect(message.frame.isSealed && message.text == "sealed" && bob.node.durable.count == 1)
    let offers = bob.node.seals.filter { $0.kind == .offer }.dropFirst(offersBefore)
    let offer = try #require(offers.first)
    #expect(offers.count == 1 && offer.body.suffix(SealOffer.byteCount) == made)
  }

  @Test func aSealedMessageGoesToTheOtherHubAsItIs() throws {
    try exchange()
    scene.connect(bob.node, to: scene[2])
    try send(FrameHeader(kind: .card, source: ids.bob), bob.card(), from: bob)
    scene.pass(200)
    try send(flags(FrameHeader.sealed, sequence: 3), Data("hello".utf8), from: alice)
    let (frame, body) = try #require(bob.node.messages.last)
    #expect(frame.isSealed && body == Data("hello".utf8))
    #expect(alice.node.receipts.last?.failure == nil)
  }

  @Test func theNewerCardCountsAndNothingGoesRound() throws {
    try exchange()
    #expect(try scene[2].registry.card(of: ids.bob) == bob.card())
    scene.partition(1, 2)
    scene.pass(3_000)
    try send(FrameHeader(kind: .card, source: ids.bob), Data(), from: bob)
    #expect(try scene[1].registry.card(of: ids.bob) == nil)
    #expect(try scene[2].registry.card(of: ids.bob) == bob.card())
    scene.heal()
    scene.pass(10_000)
    #expect(try scene[2].registry.card(of: ids.bob) == nil)
    #expect(try scene[2].registry.offer(from: ids.alice, to: ids.bob) == alice.offer(to: bob))
    let marks = try (scene[1].registry.newestMarks(), scene[2].registry.newestMarks())
    scene.pass(10_000)
    #expect(try scene[1].registry.newestMarks() == marks.0 && scene[2].registry.newestMarks() == marks.1)
  }
}
