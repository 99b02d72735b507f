import Bounded
import SkyCrypto
import TestSupport
import Testing
import Wire

@testable import Node

/// What a hub or a relay gone bad tries on an end of sealed messages: each try fails by its name, ends no link, and shows
/// nothing.
@Suite struct SealAttackTests {
  private func expectNothingShown(_ it: SealScene) {
    #expect(it.node.inbox.count == 0 && it.scene.state == .online && it.scene.errors.isEmpty)
  }

  // MARK: Messages

  @Test func everyFlippedBitIsNoticed() throws {
    let it = SealScene()
    it.bringOffer()
    let frame = it.frame(sequence: 5)
    let sealed = it.peer.seal("pay 10", Node.context(of: frame))
    for position in 0..<sealed.count {
      var body = sealed
      body[position] ^= 1 << UInt8(position % 8)
      it.scene.hub.send(frame, body, now: it.scene.now)
      it.scene.settle()
    }
    expectNothingShown(it)
    #expect(it.scene.hub.receipts.count == sealed.count)
    #expect(it.scene.hub.receipts.allSatisfy { $0.failure == .notOpened })
    #expect(it.node.counters.notOpened == UInt64(sealed.count))
    // The control: whole, it opens.
    it.deliver(frame, sealed)
    #expect(it.scene.inboxTexts() == ["pay 10"])
  }

  @Test func aMessageKeepsItsNameSourceAndKind() throws {
    let it = SealScene()
    it.bringOffer()
    let frame = it.frame(sequence: 5, isDurable: true)
    let sealed = it.peer.seal("pay 10", Node.context(of: frame, stream: 99))
    var renamed = frame
    renamed.sequence = 6
    it.deliver(renamed, it.big(99) + sealed)
    it.deliver(frame, it.big(98) + sealed)
    // As an ordinary one.
    var ordinary = it.frame(sequence: 5)
    it.deliver(ordinary, sealed)
    // In another's name, whose key is here as well.
    let other = SealPeer(1_000_009, seed: 701)
    it.vouch(
      .offer, id: other.end.id, number: 0,
      array(other.end.identity) + other.offer(to: it.me, publicKey: it.publicKey))
    ordinary = it.frame(sequence: 5, isDurable: true, from: other.end.id)
    it.deliver(ordinary, it.big(99) + sealed)
    expectNothingShown(it)
    // The last has the other's key id: it is asked for again once, which changes nothing.
    #expect(it.scene.hub.stored.map(\.failure) == [.notOpened, .notOpened, .notOpened])
    #expect(it.node.counters.notOpened == 4)
    it.deliver(frame, it.big(99) + sealed)
    #expect(it.scene.inboxTexts() == ["pay 10"])
  }

  @Test func aMessageForAnotherNodeDoesNotOpenHere() throws {
    let it = SealScene()
    it.bringOffer()
    let frame = it.frame(sequence: 5)
    var there = frame
    there.destination = 1_000_003
    it.deliver(frame, it.peer.seal("not for you", Node.context(of: there)))
    expectNothingShown(it)
    #expect(it.scene.hub.receipts.map(\.failure) == [.notOpened])
  }

  @Test(arguments: [0, 1, 43, 44])
  func whatIsTooShortToBeSealedIsRefused(count: Int) throws {
    let it = SealScene()
    it.bringOffer()
    if count > 0 { it.deliver(it.frame(sequence: 5), [UInt8](repeating: 1, count: count)) }
    it.deliver(it.frame(sequence: 6, isDurable: true), it.big(99) + [UInt8](repeating: 1, count: max(1, count)))
    expectNothingShown(it)
    #expect(it.scene.hub.stored.map(\.failure) == [.notOpened])
  }

  @Test func anotherKeyIdIsAskedForOnce() throws {
    let it = SealScene()
    it.bringOffer()
    it.scene.pass(40_000)
    var body = it.peer.seal("hello", Node.context(of: it.frame()))
    body[0] ^= 1
    it.deliver(it.frame(), body)
    #expect(it.scene.hub.receipts.map(\.failure) == [.keyAwaited] && it.bodies(.offerRequest).count == 1)
    it.bringOffer(number: it.lastRequest!.number)
    it.deliver(it.frame(), body)
    #expect(it.scene.hub.receipts.last?.failure == .notOpened && it.bodies(.offerRequest).count == 1)
    it.deliver("hello", it.frame())
    #expect(it.scene.inboxTexts() == ["hello"])
  }

  // MARK: Keys for sending

  @Test func anAnswerThatTheHubDidNotSignIsNone() throws {
    for (flip, signer) in [(3, nil), (70, nil), (200, nil), (nil, SealPeer(1_000_007, seed: 702))]
      as [(Int?, SealPeer?)]
    {
      let it = SealScene()
      _ = try it.scene.send("letter", to: 1_000_007).get()
      it.vouch(
        .key, id: 1_000_007, number: it.lastQuery!.number, array(it.peer.end.identity) + it.peer.card, flip: flip,
        by: signer)
      #expect(it.bodies(.offer).isEmpty && it.messages.isEmpty && !it.node.known.contains(1_000_007))
      // One about another id or number is not looked at.
      #expect(it.results == (flip == 70 ? [] : [.badSignature]))
    }
  }

  @Test func anAnswerToAnotherNodeOrQueryIsNone() throws {
    let it = SealScene()
    _ = try it.scene.send("letter", to: 1_000_007).get()
    let rest = array(it.peer.end.identity) + it.peer.card
    it.vouch(.key, id: 1_000_007, number: it.lastQuery!.number &+ 1, rest)
    #expect(it.bodies(.offer).isEmpty && it.results.isEmpty)
    it.vouch(.key, id: 1_000_007, number: it.lastQuery!.number, rest, for: 1_000_001)
    #expect(it.bodies(.offer).isEmpty && it.results == [.badSignature])
    #expect(it.messages.isEmpty)
  }

  @Test func aCardMustBeItsOwners() throws {
    let mallory = SealPeer(1_000_007, seed: 703)
    let moved = SealPeer(1_000_009, seed: 700)
    // Another's card under the right identity; the right one's, but of another id.
    for card in [mallory.card, moved.card] {
      let it = SealScene()
      _ = try it.scene.send("letter", to: 1_000_007).get()
      it.answer(it.peer, card: card)
      #expect(it.bodies(.offer).isEmpty && it.messages.isEmpty && it.results == [.badSignature])
    }
  }

  @Test func aHubThatNamesAnotherIdentityIsNotBelieved() throws {
    let it = SealScene()
    _ = try it.scene.send("first", to: 1_000_007).get()
    #expect(it.makeOutgoing())
    let mallory = SealPeer(1_000_007, seed: 703)
    let later = SealScene(known: it.node.known)
    _ = try later.scene.send("second", to: 1_000_007).get()
    later.answer(mallory)
    #expect(later.bodies(.offer).isEmpty && later.messages.isEmpty && later.results == [.identityChanged])
    _ = try later.scene.post("third", to: 1_000_007).get()
    later.scene.settleDisk()
    #expect(later.results == [.identityChanged, .identityChanged] && later.messages.isEmpty)
    // Nor as a sender.
    later.vouch(
      .offer, id: mallory.end.id, number: 0,
      array(mallory.end.identity) + mallory.offer(to: later.me, publicKey: later.publicKey))
    let frame = later.frame(sequence: 8)
    later.deliver(frame, mallory.seal("it is me", Node.context(of: frame)))
    #expect(later.node.inbox.count == 0 && later.scene.hub.receipts.map(\.failure) == [.identityChanged])
    // Its owner's word ends that.
    #expect(later.node.forgetKeys(of: 1_000_007) == 1)
    _ = try later.scene.send("fourth", to: 1_000_007).get()
    later.answer(mallory)
    #expect(later.bodies(.offer).count == 1)
  }

  @Test func anAcknowledgementThatNobodyWaitsForMakesNoKey() throws {
    let it = SealScene()
    it.acknowledgeOffer(it.peer)
    _ = try it.scene.send("letter", to: 1_000_007).get()
    it.acknowledgeOffer(it.peer)
    #expect(it.messages.isEmpty)
    it.answer(it.peer)
    it.acknowledgeOffer(it.peer, .badSignature)
    #expect(it.messages.isEmpty && it.results == [.badSignature])
  }

  // MARK: Keys for receiving

  private func expectNoKey(_ it: SealScene) {
    let frame = it.frame(sequence: 5)
    it.deliver(frame, it.peer.seal("believe me", Node.context(of: frame)))
    expectNothingShown(it)
    #expect(it.scene.hub.receipts.map(\.failure) == [.keyAwaited])
  }

  @Test func anOfferMustBeItsSendersAndForThisPair() throws {
    let stranger = SealEnd(id: 1_000_003, identity: Bytes32(repeating: 9))
    func body(_ it: SealScene, _ change: (inout [UInt8]) -> Void) -> [UInt8] {
      var offer = it.peer.offer(to: it.me, publicKey: it.publicKey)
      change(&offer)
      return offer
    }
    // Flipped in card, ciphertext and signature.
    for position in [0, 40, 1_150, 1_160] {
      let it = SealScene()
      it.vouch(.offer, id: it.peer.end.id, number: 0, array(it.peer.end.identity) + body(it) { $0[position] ^= 1 })
      expectNoKey(it)
    }
    // For another receiver, though signed by the sender.
    let moved = SealScene()
    moved.bringOffer(to: stranger)
    expectNoKey(moved)
    // For another key than this node's.
    let other = SealScene()
    other.vouch(
      .offer, id: other.peer.end.id, number: 0,
      array(other.peer.end.identity) + other.peer.offer(to: other.me, publicKey: SealPeer(5, seed: 9).publicKey))
    expectNoKey(other)
    // Of another sender, in this one's name.
    let forged = SealScene()
    let mallory = SealPeer(1_000_007, seed: 703)
    forged.vouch(
      .offer, id: 1_000_007, number: 0,
      array(forged.peer.end.identity) + mallory.offer(to: forged.me, publicKey: forged.publicKey))
    _ = forged.peer.offer(to: forged.me, publicKey: forged.publicKey)
    expectNoKey(forged)
  }

  @Test func anOfferThatTheHubDidNotSignForThisNodeIsNone() throws {
    for forOther in [true, false] {
      let it = SealScene()
      let offer = it.peer.offer(to: it.me, publicKey: it.publicKey)
      it.vouch(
        .offer, id: it.peer.end.id, number: 0, array(it.peer.end.identity) + offer,
        for: forOther ? 1_000_003 : SealScene.nodeId, by: forOther ? nil : SealPeer(5, seed: 9))
      expectNoKey(it)
    }
  }

  @Test func aPushedForgeryCostsNoKeyThatStands() throws {
    let it = SealScene()
    it.bringOffer()
    let mallory = SealPeer(1_000_007, seed: 703)
    it.vouch(
      .offer, id: 1_000_007, number: 0,
      array(mallory.end.identity) + mallory.offer(to: it.me, publicKey: it.publicKey), by: SealPeer(5, seed: 9))
    it.deliver("still", it.frame())
    #expect(it.scene.inboxTexts() == ["still"])
  }

  @Test func aFloodOfSourcesAsksForAFewAtATime() throws {
    let it = SealScene()
    for i in 0..<200 as Range<UInt32> {
      it.scene.hub.send(
        it.frame(sequence: 1, from: 1_000_100 + i), [UInt8](repeating: 7, count: 60), now: it.scene.now)
      it.scene.settle()
    }
    #expect(it.bodies(.offerRequest).count == Limits.sealPairs / 4)
    it.node.checkInvariants()
  }
}
