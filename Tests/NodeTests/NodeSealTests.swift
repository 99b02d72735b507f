import Bounded
import SkyCrypto
import TestSupport
import Testing
import Wire

@testable import Node

/// A node as an end of sealed messages, before a hub that says what the tests want.
@Suite struct NodeSealTests {
  // MARK: Sending

  @Test func theFirstMessageWaitsForItsKeyAndTheNextOnesDoNot() throws {
    let it = SealScene()
    #expect(it.bodies(.card).map(\.count) == [Card.byteCount])
    _ = try it.scene.send("first", to: 1_000_007).get()
    #expect(it.messages.isEmpty && it.lastQuery?.id == 1_000_007)
    #expect(it.makeOutgoing())
    _ = try it.scene.send("second", to: 1_000_007).get()
    #expect(it.messages.map { it.peer.open($0.body, Node.context(of: $0.header)) } == ["first", "second"])
    #expect(it.messages.allSatisfy { $0.header.isSealed } && it.bodies(.keyQuery).count == 1)
    #expect(it.node.known.contains(1_000_007) && it.scene.actions.contains(.keepKnown))
  }

  @Test func anOlderHubAndTheHubItselfGetPlainText() throws {
    let old = SealScene(hubTakesSeals: false)
    _ = try old.scene.send("hello", to: 1_000_007).get()
    #expect(old.messages.map(\.body) == [Array("hello".utf8)] && old.bodies(.card).isEmpty)
    let new = SealScene()
    _ = try new.scene.send("hub", to: 0).get()
    #expect(new.messages.map(\.body) == [Array("hub".utf8)] && new.bodies(.keyQuery).isEmpty)
  }

  @Test func withoutACardPlainTextGoesUnlessItMustNot() throws {
    let prefers = SealScene()
    _ = try prefers.scene.send("postcard", to: 1_000_007).get()
    prefers.answer(.noCard, for: prefers.peer)
    #expect(prefers.messages.map(\.header.isSealed) == [false])
    _ = try prefers.scene.send("another", to: 1_000_007).get()
    #expect(prefers.messages.count == 2 && prefers.bodies(.keyQuery).count == 1, "not asked for every message")

    let requires = SealScene(.require)
    _ = try requires.scene.send("letter", to: 1_000_007).get()
    requires.answer(.noCard, for: requires.peer)
    #expect(requires.messages.isEmpty && requires.results == [.noCard])
    #expect(requires.scene.send("letter", to: 1_000_007) == .failure(.noCard))
  }

  @Test func whoHadACardGetsNothingInPlainAgain() throws {
    let it = SealScene()
    _ = try it.scene.send("first", to: 1_000_007).get()
    #expect(it.makeOutgoing())
    // A start later the hub says there is none.
    let later = SealScene(known: it.node.known)
    _ = try later.scene.send("second", to: 1_000_007).get()
    later.answer(.noCard, for: later.peer)
    #expect(later.messages.isEmpty && later.results == [.noCard])
    // Nor does an older hub, or a relay that says nothing of seals.
    let older = SealScene(known: it.node.known, hubTakesSeals: false)
    #expect(older.scene.send("third", to: 1_000_007) == .failure(.sealUnavailable))
    // Nor does silence.
    let silent = SealScene(known: it.node.known)
    _ = try silent.scene.send("fourth", to: 1_000_007).get()
    silent.scene.pass(4_000)
    #expect(silent.messages.isEmpty && silent.results == [.timeout] && silent.bodies(.keyQuery).count == 2)
  }

  @Test func aHubThatSaysNothingHoldsUpPlainTextForThreeSeconds() throws {
    let it = SealScene()
    _ = try it.scene.send("hello", to: 1_000_007).get()
    _ = try it.scene.post("kept", to: 1_000_008).get()
    it.scene.settleDisk()
    it.scene.pass(2_900)
    #expect(it.messages.isEmpty)
    it.scene.pass(400)
    #expect(it.messages.count == 2 && it.messages.allSatisfy { !$0.header.isSealed })
  }

  @Test func durableMessagesWaitInOrderAndAreTheSameBytesEachTime() throws {
    let it = SealScene()
    _ = try it.scene.post("one", to: 1_000_007).get()
    _ = try it.scene.post("two", to: 1_000_007).get()
    it.scene.settleDisk()
    #expect(it.messages.isEmpty)
    #expect(it.makeOutgoing())
    it.scene.settleDisk()
    #expect(it.messages.count == 2)
    let stream = it.messages[0].body.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    #expect(
      it.messages.map { it.peer.open(Array($0.body.dropFirst(8)), Node.context(of: $0.header, stream: stream)) }
        == ["one", "two"])
    it.scene.pass(to: .resend)
    #expect(it.messages.count == 4 && it.messages[0].body == it.messages[2].body)
    // And after a start, from nothing but the identity's seed.
    let again = SealScene(goesOnline: false)
    again.scene.goOnline()
    _ = try again.scene.send("x", to: 1_000_007).get()
    #expect(again.makeOutgoing() && again.bodies(.offer) == it.bodies(.offer))
  }

  @Test func aDurableMessageThatMustNotGoInPlainIsGivenUpByName() throws {
    let it = SealScene(.require)
    _ = try it.scene.post("letter", to: 1_000_007).get()
    it.scene.settleDisk()
    it.answer(.noCard, for: it.peer)
    it.scene.settleDisk()
    #expect(it.messages.isEmpty && it.results == [.noCard])
    #expect(it.node.counters.undelivered == 1 && it.node.waitingToGo == 0)
  }

  @Test func whatWaitsForAKeyOfOneNodeDoesNotHoldUpOthersForLong() throws {
    var known: KnownNodes?
    do {
      let it = SealScene()
      _ = try it.scene.send("x", to: 1_000_007).get()
      #expect(it.makeOutgoing())
      known = it.node.known
    }
    // Nothing may go there in plain, and the hub says nothing; the other has no card.
    let it = SealScene(known: known!)
    _ = try it.scene.post("stays", to: 1_000_007).get()
    _ = try it.scene.post("goes", to: 1_000_008).get()
    it.scene.settleDisk()
    it.scene.pass(3_200)
    it.vouch(.key, id: 1_000_008, number: it.lastQuery!.number, failure: .noCard)
    it.scene.settleDisk()
    #expect(it.messages.map { String(decoding: $0.body.dropFirst(8), as: UTF8.self) } == ["goes"])
    #expect(it.node.waitingToGo == 2 && it.results.isEmpty)
    // Later it is asked for again, and goes.
    it.scene.pass(31_000)
    #expect(it.lastQuery?.id == 1_000_007)
    #expect(it.makeOutgoing())
    it.scene.settleDisk()
    #expect(it.messages.contains { $0.header.isSealed && $0.header.destination == 1_000_007 })
  }

  @Test func answersThatTakeLongMakeAKeyAllTheSame() throws {
    var known: KnownNodes?
    do {
      let it = SealScene()
      _ = try it.scene.send("x", to: 1_000_007).get()
      #expect(it.makeOutgoing())
      known = it.node.known
    }
    let it = SealScene(known: known!)
    _ = try it.scene.post("slowly", to: 1_000_007).get()
    it.scene.settleDisk()
    // Each answer is later than anybody waits for it.
    it.scene.pass(5_000)
    it.answer(it.peer)
    it.scene.pass(5_000)
    #expect(it.bodies(.offer).count == 1 && it.messages.isEmpty)
    #expect(it.peer.take(offer: Array(it.bodies(.offer)[0].dropFirst(4)), from: it.me))
    it.acknowledgeOffer(it.peer)
    it.scene.settleDisk()
    #expect(it.messages.map(\.header.isSealed) == [true])
    // So does a late offer.
    _ = it.peer.offer(to: it.me, publicKey: it.publicKey)
    it.deliver("kept", it.frame(sequence: 6, isDurable: true), stream: 99)
    let number = it.lastRequest!.number
    it.scene.pass(5_000)
    it.bringOffer(number: number)
    it.deliver("kept", it.frame(sequence: 6, isDurable: true), stream: 99)
    #expect(it.scene.inboxTexts() == ["kept"])
  }

  @Test func anotherHubIsOfferedAnewAndAWantedOfferIsMadeAgain() throws {
    let it = SealScene()
    _ = try it.scene.send("first", to: 1_000_007).get()
    #expect(it.makeOutgoing())
    it.acknowledgeOffer(it.peer, .notFound)
    #expect(it.bodies(.keyQuery).count == 2)
    it.answer(it.peer)
    #expect(it.bodies(.offer).count == 2 && it.bodies(.offer)[0] == it.bodies(.offer)[1])
    // The same key over a new link to the same hub.
    it.acknowledgeOffer(it.peer)
    it.scene.cut()
    it.scene.pass(to: .retry)
    _ = try it.scene.send("second", to: 1_000_007).get()
    #expect(it.bodies(.keyQuery).count == 2 && it.messages.last?.header.isSealed == true)
    #expect(it.bodies(.card).count == 2, "each link hears of the card")
  }

  @Test func whatWaitedWhenTheLinkEndedIsSaidToBeLost() throws {
    let it = SealScene()
    _ = try it.scene.send("first", to: 1_000_007).get()
    it.scene.cut()
    #expect(it.results == [.offline])
  }

  @Test func theOwnerSwitchesSealingOffAndOn() throws {
    let it = SealScene()
    var settings = it.node.settings
    settings.seal = .off
    it.node.reload(settings, now: it.scene.now)
    it.scene.pass(10)
    #expect(it.bodies(.card).map(\.count) == [Card.byteCount, 0])
    _ = try it.scene.send("plain", to: 1_000_007).get()
    #expect(it.messages.map(\.header.isSealed) == [false])
    // What others sealed is opened all the same.
    it.bringOfferWithOwnKey()
    it.deliver("still here", it.frame())
    #expect(it.scene.inboxTexts() == ["still here"])
  }

  // MARK: Receiving

  @Test func bothKindsOpenOnceTheOfferIsThere() throws {
    let it = SealScene()
    it.bringOffer()
    it.deliver("now", it.frame(sequence: 5))
    it.deliver("kept", it.frame(sequence: 6, isDurable: true), stream: 99)
    #expect(it.scene.inboxTexts() == ["now", "kept"])
    #expect((0..<2).allSatisfy { it.node.inbox[$0].isSealed })
    #expect(it.scene.hub.receipts.map(\.failure) == [nil, nil] && it.node.counters.sealedReceived == 2)
    // What comes again is recognised.
    it.deliver("kept", it.frame(sequence: 6, isDurable: true), stream: 99)
    #expect(it.node.inbox.count == 2 && it.node.counters.duplicates == 1)
  }

  @Test func theLongestTextFits() throws {
    let it = SealScene()
    let text = String(repeating: "x", count: Limits.messageBytes)
    it.bringOffer()
    it.deliver(text, it.frame())
    it.deliver(text, it.frame(sequence: 2, isDurable: true), stream: 99)
    #expect(it.scene.inboxTexts() == [text, text])
    it.deliver(text + "x", it.frame(sequence: 3))
    it.deliver(text + "x", it.frame(sequence: 4, isDurable: true), stream: 99)
    #expect(it.node.inbox.count == 2 && it.scene.state == .online)
    #expect(it.scene.hub.stored.last?.failure == .tooLong)
  }

  @Test func withoutTheKeyItIsAskedForAndNothingDurableIsLost() throws {
    let it = SealScene()
    _ = it.peer.offer(to: it.me, publicKey: it.publicKey)
    it.deliver("kept", it.frame(sequence: 6, isDurable: true), stream: 99)
    it.deliver("now", it.frame(sequence: 5))
    #expect(it.scene.hub.stored.map(\.failure) == [.busy])
    #expect(it.scene.hub.receipts.map(\.failure) == [.keyAwaited])
    #expect(it.bodies(.offerRequest).count == 1 && it.lastRequest?.id == it.peer.end.id)
    it.bringOffer(number: it.lastRequest!.number)
    it.deliver("kept", it.frame(sequence: 6, isDurable: true), stream: 99)
    #expect(it.scene.inboxTexts() == ["kept"] && it.scene.hub.stored.map(\.failure) == [.busy, nil])
  }

  @Test func whoRequiresSealsRefusesPlainTextByName() throws {
    let it = SealScene(.require)
    it.scene.hub.sendMessage("bare", from: 1_000_007, now: it.scene.now)
    it.scene.hub.sendDurable("bare", sequence: 9, now: it.scene.now)
    it.scene.hub.sendMessage("of the hub", now: it.scene.now)
    it.scene.settle()
    it.scene.settleDisk()
    #expect(it.scene.inboxTexts() == ["of the hub"])
    #expect(it.scene.hub.receipts.map(\.failure) == [.plainRefused, .plainRefused, nil])
    #expect(it.scene.hub.stored.map(\.failure) == [.plainRefused])
  }
}

extension SealScene {
  /// After a withdrawn card: the key is the one that the first card told.
  fileprivate func bringOfferWithOwnKey() {
    let first = Array(bodies(.card)[0].prefix(Limits.xwingPublicKeyBytes))
    vouch(.offer, id: peer.end.id, number: 0, array(peer.end.identity) + peer.offer(to: me, publicKey: first))
  }
}
