import Bounded
import Foundation
import Node
import SkyCrypto
import Wire

struct SealedPair: Hashable {
  let source: UInt32
  let receiver: UInt32
}

/// Keys of messages that the hub cannot read: it keeps the cards of nodes and the offers between them, vouches for who has
/// which id, and hands on. What it keeps opens nothing.
extension HubCore {
  /// How long a node that has come may take until it tells its card.
  static let cardWaitMs: UInt64 = 10_000
  /// Offers that need not be looked up for every message.
  static let offersSeenMaximum = 10_000

  // MARK: Cards

  /// A node tells its card, or that it has none; either way it knows sealed messages over this link.
  func takeCard(_ link: HubLink, _ id: UInt32, now: Instant) {
    let body = Data(copying: link.session.body)
    guard body.isEmpty || body.count == Card.byteCount else { return close(link, .malformedFrame, now: now) }
    note { () throws(HubError) in
      let record = try self.registry.node(id: id)
      guard body.isEmpty || self.isCard(body, of: id, record) else {
        return self.log.line(.warning, "\(NodeName.text(id)): its card does not verify")
      }
      try self.registry.setCard(body.isEmpty ? nil : body, of: id, at: self.wallSeconds)
      self.registryChangesSoon(now: now)
    }
    guard let delivery = deliveries[id], !delivery.takesSealed else { return }
    delivery.takesSealed = true
    // What was answered meanwhile must not be found again.
    flushSpool(now: now)
    delivery.cursors.removeAll()
    deliver(to: id, now: now)
  }

  private func isCard(_ body: Data, of id: UInt32, _ record: NodeRecord?) -> Bool {
    guard let key = (record?.key).flatMap({ Bytes32($0) }) else { return false }
    return body.withUnsafeBytes { bytes in
      guard let card = try? Card(decoding: bytes.bytes) else { return false }
      return SealSignature.isCard(card, of: SealEnd(id: id, identity: key))
    }
  }

  /// A node wants to seal for another.
  func answerKeyQuery(_ link: HubLink, _ id: UInt32, now: Instant) {
    let query: SealQuery
    do throws(ErrorCode) { query = try SealQuery(decoding: link.session.body) } catch {
      return close(link, error, now: now)
    }
    var failure: ErrorCode?
    var rest = Data()
    do throws(HubError) {
      if let record = try registry.node(id: query.id), !record.isRevoked {
        if let card = try registry.card(of: query.id), !isWithoutSeals(query.id, now: now) {
          rest = record.key + card
        } else {
          failure = .noCard
        }
      } else {
        failure = .unreachable
      }
    } catch {
      // Without an answer it asks again.
      return log.line(.error, error.description)
    }
    status.keysAnswered += 1
    vouch(.key, SealAnswerHead(id: query.id, number: query.number, failure: failure), rest, to: id, link, now: now)
  }

  /// The hub's word, signed for this node. False when there was no room for it.
  @discardableResult
  private func vouch(
    _ word: SealSignature.Word, _ head: SealAnswerHead, _ rest: Data, to id: UInt32, _ link: HubLink, now: Instant
  ) -> Bool {
    var signed = ByteQueue(capacity: SealAnswer.maximumBytes)
    head.append(to: &signed)
    rest.withUnsafeBytes { _ = signed.append($0.bytes) }
    let signature = SealSignature.sign(word, signed.bytes, for: id, by: identity)
    scratch.consume(scratch.count)
    scratch.append(signature.raw)
    scratch.append(signed.bytes)
    let kind: FrameKind = word == .key ? .keyAnswer : .offer
    return put(FrameHeader(kind: kind, destination: id), scratch, to: link, now: now) == nil
  }

  // MARK: Offers

  func takeOffer(_ link: HubLink, _ id: UInt32, now: Instant) {
    fillScratch(link.session.body)
    let receiver: UInt32
    let body: Data
    do throws(ErrorCode) {
      receiver = try OfferFrame.receiver(of: scratch.bytes)
      body = Data(copying: OfferFrame.offer(in: scratch.bytes))
    } catch { return close(link, error, now: now) }
    var failure: ErrorCode?
    do throws(HubError) {
      failure = try refusal(of: body, from: id, to: receiver)
      if failure == nil {
        try registry.keep(OfferRecord(source: id, destination: receiver, body: body), at: wallSeconds)
        registryChangesSoon(now: now)
      }
    } catch {
      return log.line(.error, error.description)
    }
    if failure == nil {
      status.offersTaken += 1
      // Before its sender seals anything, so that it is there before the first sealed message.
      if let delivery = deliveries[receiver], delivery.takesSealed, let target = live.link(of: receiver),
        let there = self.link(target)
      {
        delivery.offered.remove(id)
        bringOffer(from: id, to: receiver, there, delivery, now: now)
      }
    }
    sayOffered(receiver, failure, to: id, link, now: now)
  }

  /// The card that it is made for is looked at here too: an offer for another key would be of no use to anybody.
  private func refusal(of body: Data, from id: UInt32, to receiver: UInt32) throws(HubError) -> ErrorCode? {
    guard let source = try registry.node(id: id), let key = Bytes32(source.key) else { return .notJoined }
    guard let card = try registry.card(of: receiver) else { return .noCard }
    let digest = card.prefix(Limits.xwingPublicKeyBytes).withUnsafeBytes { Sha256.digest($0.bytes) }
    return body.withUnsafeBytes { bytes -> ErrorCode? in
      guard let offer = try? SealOffer(decoding: bytes.bytes), equal(offer.card, digest),
        SealSignature.isOffer(offer, from: SealEnd(id: id, identity: key), to: receiver)
      else { return .badSignature }
      return nil
    }
  }

  private func sayOffered(
    _ receiver: UInt32, _ failure: ErrorCode?, to id: UInt32, _ link: HubLink, now: Instant
  ) {
    scratch.consume(scratch.count)
    Offered(id: receiver, failure: failure).append(to: &scratch)
    _ = put(FrameHeader(kind: .offered, destination: id), scratch, to: link, now: now)
  }

  /// Asks the sender of sealed messages for its offer, if it is here.
  func wantOffer(from source: UInt32, to receiver: UInt32, now: Instant) {
    guard deliveries[source]?.takesSealed == true, let target = live.link(of: source), let link = link(target)
    else { return }
    sayOffered(receiver, .notFound, to: source, link, now: now)
  }

  /// A receiver has not the key of one who writes to it.
  func answerOfferRequest(_ link: HubLink, _ id: UInt32, now: Instant) {
    do throws(ErrorCode) {
      let query = try SealQuery(decoding: link.session.body)
      do throws(HubError) {
        let rest = try offerWithIdentity(from: query.id, to: id)
        if rest == nil { wantOffer(from: query.id, to: id, now: now) }
        let head = SealAnswerHead(id: query.id, number: query.number, failure: rest == nil ? .notFound : nil)
        vouch(.offer, head, rest ?? Data(), to: id, link, now: now)
      } catch { log.line(.error, error.description) }
    } catch { close(link, error, now: now) }
  }

  private func offerWithIdentity(from source: UInt32, to receiver: UInt32) throws(HubError) -> Data? {
    guard let record = try registry.node(id: source), let offer = try registry.offer(from: source, to: receiver) else {
      return nil
    }
    return record.key + offer
  }

  /// Sees to it that a receiver has the offer before a sealed message of that sender, once on each link. False when the
  /// message has to wait for room.
  @discardableResult
  func bringOffer(
    from source: UInt32, to receiver: UInt32, _ link: HubLink, _ delivery: Delivery, now: Instant
  ) -> Bool {
    guard !delivery.offered.contains(source) else { return true }
    do throws(HubError) {
      guard let rest = try offerWithIdentity(from: source, to: receiver) else {
        wantOffer(from: source, to: receiver, now: now)
        return true
      }
      guard vouch(.offer, SealAnswerHead(id: source, number: 0), rest, to: receiver, link, now: now) else {
        return false
      }
      delivery.offered.insert(source)
    } catch { log.line(.error, error.description) }
    return true
  }

  /// Who has been here for a while and has told nothing of a card runs a version that knows none.
  private func isWithoutSeals(_ id: UInt32, now: Instant) -> Bool {
    guard let delivery = deliveries[id], !delivery.takesSealed, let since = updates.arrivedAt[id] else { return false }
    return now.since(since) > Self.cardWaitMs
  }

  /// What keeps a sealed ordinary message from going on now; nil when nothing does.
  func sealRefusal(_ frame: FrameHeader, now: Instant) -> ErrorCode? {
    guard frame.isSealed else { return nil }
    // The hub is no end of sealed messages.
    if frame.destination == 0 { return .notOpened }
    if let delivery = deliveries[frame.destination], !delivery.takesSealed {
      return isWithoutSeals(frame.destination, now: now) ? .noCard : .keyAwaited
    }
    return nil
  }

  /// Of a durable one: whether the receiver will be able to open it once it is there.
  func hasOffer(from source: UInt32, to receiver: UInt32, now: Instant) -> Bool {
    let pair = SealedPair(source: source, receiver: receiver)
    if offersSeen.contains(pair) { return true }
    do throws(HubError) {
      if try registry.offer(from: source, to: receiver) != nil {
        if offersSeen.count >= Self.offersSeenMaximum { offersSeen.removeAll() }
        offersSeen.insert(pair)
        return true
      }
    } catch {
      log.line(.error, error.description)
      return true
    }
    wantOffer(from: source, to: receiver, now: now)
    return false
  }
}
