import Bounded
import Foundation
import GRDB
import Node
import SkyCrypto
import Testing
import Wire

@testable import Hub

/// The hub's part of sealed messages, before nodes that send what the tests want.
@Suite struct SealHubTests {
  private let swarm: TestSwarm
  private let alice: Keyed
  private let bob: Keyed

  /// A node with the secrets that make cards and offers.
  final class Keyed {
    let node: TestNode
    var secrets: SealSecrets
    init(_ node: TestNode, _ number: Int) {
      self.node = node
      secrets = SealSecrets(seed: Secret<32>(Bytes32(keyBytes(number))!.raw)!)
    }

    var end: SealEnd { SealEnd(id: node.id!, identity: node.identity.publicKey) }

    var publicKey: Data {
      var queue = ByteQueue(capacity: 2_048)
      _ = secrets.appendPublicKey(to: &queue)
      return queue.bytes.withUnsafeBytes { Data($0) }
    }

    func card(for id: UInt32? = nil) -> Data {
      let key = publicKey
      let signature = key.withUnsafeBytes {
        SealSignature.signCard($0.bytes, id: id ?? end.id, by: node.identity)
      }
      return key + signature.raw.withUnsafeBytes { Data($0) }
    }

    func offer(to other: Keyed, signedFor receiver: UInt32? = nil) -> Data {
      var queue = ByteQueue(capacity: 2_048)
      var key = PairKey()
      let publicKey = other.publicKey
      publicKey.withUnsafeBytes {
        _ = secrets.offer(from: end, to: other.end, publicKey: $0.bytes, appendTo: &queue, into: &key)
      }
      let card = publicKey.withUnsafeBytes { Sha256.digest($0.bytes) }
      let signature = SealSignature.signOffer(
        queue.bytes, card: card, from: end.id, to: receiver ?? other.end.id, by: node.identity)
      return card.raw.withUnsafeBytes { Data($0) } + queue.bytes.withUnsafeBytes { Data($0) }
        + signature.raw.withUnsafeBytes { Data($0) }
    }
  }

  init() throws {
    swarm = try TestSwarm()
    alice = Keyed(try swarm.allowedNode(1), 1)
    bob = Keyed(try swarm.allowedNode(2), 2)
    swarm.connect(alice.node)
    swarm.connect(bob.node)
  }

  private func send(_ kind: FrameKind, _ body: Data, from node: Keyed) throws {
    try body.withUnsafeBytes {
      try node.node.session.send(FrameHeader(kind: kind, source: node.end.id), body: $0.bytes, now: swarm.now)
    }
    swarm.settle()
  }

  private func big<T: FixedWidthInteger>(_ value: T) -> Data { withUnsafeBytes(of: value.bigEndian) { Data($0) } }

  private func postSealed(from: Keyed, to id: UInt32, sequence: UInt64, text: String = "sealed") throws {
    let header = FrameHeader(
      kind: .message, flags: FrameHeader.durable | FrameHeader.sealed, source: from.end.id, destination: id,
      sequence: sequence)
    try (big(UInt64(77)) + Data(text.utf8)).withUnsafeBytes {
      try from.node.session.send(header, body: $0.bytes, now: swarm.now)
    }
    swarm.settle()
    swarm.pass(10)
  }

  private func exchange() throws {
    try send(.card, bob.card(), from: bob)
    try send(.card, alice.card(), from: alice)
    try send(.offer, big(bob.end.id) + alice.offer(to: bob), from: alice)
  }

  private func offered(_ node: Keyed) -> [ErrorCode?] {
    node.node.seals.filter { $0.kind == .offered }.map { entry in
      try! entry.body.withUnsafeBytes { try Offered(decoding: $0.bytes).failure }
    }
  }

  private func answer(_ node: Keyed) throws -> SealAnswerHead? {
    guard let last = node.node.seals.last(where: { $0.kind == .keyAnswer }) else { return nil }
    return try last.body.withUnsafeBytes { try SealAnswer(decoding: $0.bytes, rest: Card.byteCount).head }
  }

  @Test func theHubSaysThatItKnowsSeals() { #expect(alice.node.configure?.takesSeals == true) }

  @Test func aCardIsGivenOutOnlyWhenItIsItsOwners() throws {
    var flipped = bob.card()
    flipped[5] ^= 1
    for card in [flipped, bob.card(for: alice.end.id), alice.card(for: bob.end.id)] {
      try send(.card, card, from: bob)
      #expect(try swarm.registry.card(of: bob.end.id) == nil)
    }
    try send(.card, bob.card(), from: bob)
    #expect(try swarm.registry.card(of: bob.end.id) == bob.card())
    try send(.keyQuery, big(bob.end.id) + big(UInt64(9)), from: alice)
    let head = try answer(alice)
    #expect(head == SealAnswerHead(id: bob.end.id, number: 9))
    // Taken back, it is given out no more.
    try send(.card, Data(), from: bob)
    try send(.keyQuery, big(bob.end.id) + big(UInt64(10)), from: alice)
    #expect(try answer(alice) == SealAnswerHead(id: bob.end.id, number: 10, failure: .noCard))
    try send(.keyQuery, big(UInt32(1_000_009)) + big(UInt64(11)), from: alice)
    #expect(try answer(alice)?.failure == .unreachable)
    #expect(bob.node.isOnline && alice.node.isOnline)
  }

  @Test(arguments: [(FrameKind.card, 7), (.keyQuery, 11), (.offer, 50), (.offerRequest, 13)])
  func whatIsNotWellFormedEndsTheLink(kind: FrameKind, count: Int) throws {
    try send(kind, Data(repeating: 1, count: count), from: alice)
    #expect(!alice.node.isOnline && bob.node.isOnline)
  }

  @Test func anOfferIsKeptOnlyWhenItIsItsSendersAndForThisPair() throws {
    try send(.offer, big(bob.end.id) + alice.offer(to: bob), from: alice)
    #expect(offered(alice) == [.noCard], "there is no card that it could be for")
    try send(.card, bob.card(), from: bob)
    var flipped = alice.offer(to: bob)
    flipped[100] ^= 1
    let carol = Keyed(try swarm.allowedNode(3), 3)
    swarm.connect(carol.node)
    for offer in [flipped, alice.offer(to: bob, signedFor: carol.end.id), carol.offer(to: bob), alice.offer(to: carol)]
    {
      try send(.offer, big(bob.end.id) + offer, from: alice)
      #expect(offered(alice).last == .badSignature)
      #expect(try swarm.registry.offer(from: alice.end.id, to: bob.end.id) == nil)
    }
    #expect(!bob.node.seals.contains { $0.kind == .offer })
    try send(.offer, big(bob.end.id) + alice.offer(to: bob), from: alice)
    #expect(offered(alice).last == .some(nil))
    #expect(bob.node.seals.count { $0.kind == .offer } == 1, "it is brought at once")
  }

  @Test func aSealedMessageWithoutAnOfferIsRefusedForNowAndTheOfferAskedFor() throws {
    try send(.card, bob.card(), from: bob)
    try send(.card, alice.card(), from: alice)
    try postSealed(from: alice, to: bob.end.id, sequence: 1)
    #expect(alice.node.stored.map(\.failure) == [.busy] && offered(alice) == [.notFound])
    try send(.offer, big(bob.end.id) + alice.offer(to: bob), from: alice)
    try postSealed(from: alice, to: bob.end.id, sequence: 1)
    #expect(alice.node.stored.map(\.failure) == [.busy, nil] && bob.node.durable.count == 1)
    #expect(bob.node.durable[0].frame.isSealed)
  }

  @Test func theHubItselfIsNoEnd() throws {
    try postSealed(from: alice, to: 0, sequence: 1)
    #expect(alice.node.stored.map(\.failure) == [.notOpened])
    let header = FrameHeader(kind: .message, flags: FrameHeader.sealed, source: alice.end.id, sequence: 4)
    try Data(repeating: 1, count: 60).withUnsafeBytes {
      try alice.node.session.send(header, body: $0.bytes, now: swarm.now)
    }
    swarm.settle()
    #expect(alice.node.receipts.map(\.failure) == [.notOpened])
  }

  @Test func whoTellsNoCardGetsNothingSealedAndNothingBehindIt() throws {
    try exchange()
    // Bob comes again with an older version: no card over this link.
    bob.node.session = Session()
    swarm.core.lost(bob.node.link!)
    bob.node.link = nil
    swarm.connect(bob.node)
    let carol = Keyed(try swarm.allowedNode(3), 3)
    swarm.connect(carol.node)
    try postSealed(from: alice, to: bob.end.id, sequence: 1)
    try alice.node.post("behind it", to: bob.end.id, sequence: 2, now: swarm.now)
    try carol.node.post("of another", to: bob.end.id, stream: 78, sequence: 1, now: swarm.now)
    swarm.settle()
    swarm.pass(10)
    #expect(bob.node.durable.map(\.text) == ["of another"])
    // For who was here long enough to have told one, there is none.
    swarm.pass(11_000)
    try send(.keyQuery, big(bob.end.id) + big(UInt64(9)), from: alice)
    #expect(try answer(alice)?.failure == .noCard)
    try send(.card, bob.card(), from: bob)
    swarm.pass(10)
    #expect(bob.node.durable.map(\.text) == ["of another", "sealed", "behind it"])
    #expect(bob.node.seals.count { $0.kind == .offer } == 2, "the offer came first on this link too")
    swarm.pass(5_000)
    #expect(bob.node.durable.count == 3)
    #expect(try swarm.registry.spoolCount() == 0)
  }

  @Test func offersOfOneNodeAreBoundedButNoneWhoseMessagesWait() throws {
    try exchange()
    bob.node.verdict = nil
    try postSealed(from: alice, to: bob.end.id, sequence: 1)
    let body = alice.offer(to: bob)
    for i in 0..<UInt32(Registry.offersPerNode + 20) {
      try swarm.registry.keep(
        OfferRecord(source: alice.end.id, destination: 2_000_000 + i, body: body), at: 2_000_000_000)
    }
    let count = try swarm.registry.queue.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM offers") }
    #expect(count == Registry.offersPerNode + 1)
    #expect(try swarm.registry.offer(from: alice.end.id, to: bob.end.id) != nil)
  }
}
