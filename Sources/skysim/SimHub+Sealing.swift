import Bounded
import Node
import SkyCrypto
import Wire

/// Keys of sealed messages, by the rules of docs/protocol.md, "Sealed messages". Cards are the world's: hubs of one swarm
/// know the same nodes. Offers are each hub's own, committed as they come.
extension SimHub {
  private func end(_ board: Int) -> SealEnd {
    SealEnd(id: Board.nodeId(board), identity: world.boards[board].publicKey)
  }

  private func known(_ id: UInt32) -> Int? {
    guard let board = Board.number(of: id), board < live.count, world.isAdmitted[board] else { return nil }
    return board
  }

  func takeCard(_ session: HubSession, _ board: Int, now: Instant) {
    guard world.scenario.seals else { return close(session, .unexpectedRecord, now: now) }
    copyBody(of: session)
    guard Self.isCard(scratch, of: end(board)) else { world.fail("a board's card does not verify", board) }
    world.cards[board] = Self.copy(scratch)
    guard let delivery = deliveries[board], !delivery.takesSealed else { return }
    delivery.takesSealed = true
    flushSpool(now: now)
    delivery.cursors.removeAll()
    deliver(to: board, now: now)
  }

  private static func isCard(_ body: borrowing ByteQueue, of end: SealEnd) -> Bool {
    do throws(ErrorCode) { return SealSignature.isCard(try Card(decoding: body.bytes), of: end) } catch { return false }
  }

  private static func copy(_ queue: borrowing ByteQueue, from start: Int = 0) -> [UInt8] {
    (start..<queue.count).map { queue.bytes[$0] }
  }

  func answerKeyQuery(_ session: HubSession, _ board: Int, now: Instant) {
    guard let query = query(session, now: now) else { return }
    guard let other = known(query.id) else {
      let head = SealAnswerHead(id: query.id, number: query.number, failure: .unreachable)
      vouch(.key, head, [], to: board, session, now: now)
      return
    }
    let card = world.cards[other]
    let head = SealAnswerHead(id: query.id, number: query.number, failure: card.isEmpty ? .noCard : nil)
    vouch(.key, head, card.isEmpty ? [] : Self.bytes(of: end(other).identity) + card, to: board, session, now: now)
  }

  private func query(_ session: HubSession, now: Instant) -> SealQuery? {
    copyBody(of: session)
    do throws(ErrorCode) { return try SealQuery(decoding: scratch.bytes) } catch {
      close(session, error, now: now)
      return nil
    }
  }

  private static func bytes(of identity: Bytes32) -> [UInt8] { (0..<32).map { identity[$0] } }

  @discardableResult
  private func vouch(
    _ word: SealSignature.Word, _ head: SealAnswerHead, _ rest: [UInt8], to board: Int, _ session: HubSession,
    now: Instant
  ) -> Bool {
    var signed = ByteQueue(capacity: SealAnswer.maximumBytes)
    head.append(to: &signed)
    signed.append(rest.span.bytes)
    let signature = SealSignature.sign(word, signed.bytes, for: Board.nodeId(board), by: identity)
    scratch.consume(scratch.count)
    scratch.append(signature.raw)
    scratch.append(signed.bytes)
    let kind: FrameKind = word == .key ? .keyAnswer : .offer
    return putScratch(FrameHeader(kind: kind, destination: Board.nodeId(board)), session, now: now)
  }

  func takeOffer(_ session: HubSession, _ board: Int, now: Instant) {
    copyBody(of: session)
    let receiver: UInt32
    do throws(ErrorCode) { receiver = try OfferFrame.receiver(of: scratch.bytes) } catch {
      return close(session, error, now: now)
    }
    // A hub that cannot write says nothing, and is asked again.
    guard now >= diskFailsUntil, let other = known(receiver) else { return }
    if !Self.isOffer(scratch, from: end(board), to: receiver) { world.fail("a board's offer does not verify", board) }
    store.offers[board][other] = Self.copy(scratch, from: 4)
    world.counts.offers += 1
    if let delivery = deliveries[other], delivery.takesSealed, let there = live[other]?.session {
      delivery.offered[board] = false
      bringOffer(from: board, to: other, there, delivery, now: now)
    }
    sayOffered(other, nil, to: board, session, now: now)
  }

  private static func isOffer(_ body: borrowing ByteQueue, from end: SealEnd, to receiver: UInt32) -> Bool {
    do throws(ErrorCode) {
      return SealSignature.isOffer(
        try SealOffer(decoding: OfferFrame.offer(in: body.bytes)), from: end, to: receiver)
    } catch { return false }
  }

  private func sayOffered(_ other: Int, _ failure: ErrorCode?, to board: Int, _ session: HubSession, now: Instant) {
    scratch.consume(scratch.count)
    Offered(id: Board.nodeId(other), failure: failure).append(to: &scratch)
    putScratch(FrameHeader(kind: .offered, destination: Board.nodeId(board)), session, now: now)
  }

  private func wantOffer(from board: Int, to other: Int, now: Instant) {
    guard deliveries[board]?.takesSealed == true, let session = live[board]?.session else { return }
    sayOffered(other, .notFound, to: board, session, now: now)
  }

  func answerOfferRequest(_ session: HubSession, _ board: Int, now: Instant) {
    guard let query = query(session, now: now) else { return }
    let source = known(query.id)
    let offer = source.map { store.offers[$0][board] } ?? []
    if offer.isEmpty, let source { wantOffer(from: source, to: board, now: now) }
    let head = SealAnswerHead(id: query.id, number: query.number, failure: offer.isEmpty ? .notFound : nil)
    let rest = offer.isEmpty ? [] : Self.bytes(of: end(source!).identity) + offer
    vouch(.offer, head, rest, to: board, session, now: now)
  }

  /// False when the message behind it has to wait for room.
  @discardableResult
  func bringOffer(
    from board: Int, to other: Int, _ session: HubSession, _ delivery: Delivery, now: Instant
  ) -> Bool {
    guard !delivery.offered[board] else { return true }
    let offer = store.offers[board][other]
    guard !offer.isEmpty else {
      wantOffer(from: board, to: other, now: now)
      return true
    }
    let rest = Self.bytes(of: end(board).identity) + offer
    let head = SealAnswerHead(id: Board.nodeId(board), number: 0)
    guard vouch(.offer, head, rest, to: other, session, now: now) else { return false }
    delivery.offered[board] = true
    return true
  }

  /// What keeps an ordinary sealed message from going on.
  func sealRefusal(_ frame: FrameHeader, now: Instant) -> ErrorCode? {
    guard frame.isSealed, let board = known(frame.destination), let delivery = deliveries[board] else { return nil }
    return delivery.takesSealed ? nil : .keyAwaited
  }

  func hasOffer(from id: UInt32, to other: Int, now: Instant) -> Bool {
    guard let board = known(id) else { return false }
    if !store.offers[board][other].isEmpty { return true }
    wantOffer(from: board, to: other, now: now)
    return false
  }
}
