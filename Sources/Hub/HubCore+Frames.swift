import Bounded
import Foundation
import Lexicon
import Node
import Wire

/// What flows over an established link: heartbeats, messages, receipts.
extension HubCore {
  func handle(_ frame: FrameHeader, on link: HubLink, now: Instant) {
    guard let id = sender(of: frame, on: link, now: now) else { return }
    switch frame.kind {
    case .heartbeat: beat(frame, on: link, id, now: now)
    case .message where frame.isDurable: takeDurable(frame, from: link, id, now: now)
    case .stored: takeStored(from: link, id, now: now)
    case .message: route(frame, from: link, id, now: now)
    case .pong: answered(id, now: now)
    case .receipt: takeReceipt(frame, from: link, id, now: now)
    case .wordQuery: answerWords(link, id, now: now)
    case .dictionaryRequest: sendPiece(link, id, now: now)
    case .system: takeSystem(link, id, now: now)
    case .bundleRequest: sendBundlePiece(link, id, now: now)
    case .jobProgress: takeJobProgress(link, id, now: now)
    case .jobResult: takeJobResult(link, id, now: now)
    case .question: takeQuestion(link, id, now: now)
    case .vote: takeVote(link, id, now: now)
    case .card: takeCard(link, id, now: now)
    case .keyQuery: answerKeyQuery(link, id, now: now)
    case .offer: takeOffer(link, id, now: now)
    case .offerRequest: answerOfferRequest(link, id, now: now)
    case .admit: admit(frame, over: link, id, now: now)
    case .attach: attach(frame, over: link, id, now: now)
    case .detach: detach(over: link, id, now: now)
    default: close(link, .unexpectedRecord, now: now)
    }
  }

  /// Whose frame this is: the link's own node's, or that of one behind it. Nil when it is neither: the link is closed
  /// for that, but a relay may not know yet that a leaf has gone elsewhere.
  private func sender(of frame: FrameHeader, on link: HubLink, now: Instant) -> UInt32? {
    guard let own = link.nodeId else { return nil }
    if frame.source == own || frame.source == 0 && frame.kind != .message && frame.kind != .receipt { return own }
    guard let place = live.place(of: frame.source), place.link == link.id else {
      if link.routeCounts[frame.source] != nil {
        sayGone(frame.source, .linkClosed, relay: own, on: link, now: now)
      } else {
        log.line(.warning, "\(describe(link)): \(ErrorCode.spoofedSource.sentence)")
        close(link, .spoofedSource, now: now)
      }
      return nil
    }
    return frame.source
  }

  private func beat(_ frame: FrameHeader, on link: HubLink, _ id: UInt32, now: Instant) {
    do throws(ErrorCode) {
      let heartbeat = try Heartbeat(decoding: link.session.body)
      sightings.heard(id, heartbeat, at: wallSeconds)
      noteDuties(heartbeat.duties, of: id, now: now)
    } catch {
      return close(link, error, now: now)
    }
    scheduleSightings(now: now)
    status.heartbeats += 1
    // A leaf has its answer from its relay.
    guard id == link.nodeId else { return }
    scratch.consume(scratch.count)
    HeartbeatAck(wallTimeMs: wallClockMs()).append(to: &scratch)
    send(FrameHeader(kind: .heartbeatAck, destination: id, sequence: frame.sequence), scratch, to: link, now: now)
  }

  private func route(_ frame: FrameHeader, from link: HubLink, _ id: UInt32, now: Instant) {
    if let failure = sealRefusal(frame, now: now) {
      status.messagesUnreachable += 1
      return receipt(for: frame, to: link, failure: failure, now: now)
    }
    switch Router.decide(frame, live: live) {
    case .undeliverable where frame.hops < Limits.hops && linkElsewhere(to: frame.destination) != nil:
      fillScratch(link.session.body)
      let failure = forward(frame, to: fellows.away.link(of: frame.destination)!, now: now)
      if let failure { receipt(for: frame, to: link, failure: failure, now: now) }
    case .undeliverable(let code):
      status.messagesUnreachable += 1
      receipt(for: frame, to: link, failure: code, now: now)
    case .keep:
      receipt(for: frame, to: link, failure: keep(frame, link.session.body, from: id, now: now), now: now)
    case .deliver(let target):
      if frame.isSealed, let there = self.link(target), let delivery = deliveries[frame.destination] {
        bringOffer(from: id, to: frame.destination, there, delivery, now: now)
        status.messagesSealed += 1
      }
      // A copy, because a node may write to itself: its session cannot be read and written at once.
      fillScratch(link.session.body)
      // What became of it the destination says itself, end to end; the hub only says what it cannot do.
      if let failure = forward(frame, to: target, now: now) {
        receipt(for: frame, to: link, failure: failure, now: now)
      }
    }
  }

  /// A node's word on a message it was sent: handed on, or taken when the hub itself was the sender.
  private func takeReceipt(_ frame: FrameHeader, from link: HubLink, _ id: UInt32, now: Instant) {
    fillScratch(link.session.body)
    do throws(ErrorCode) {
      let receipt = try Receipt(decoding: scratch.bytes)
      if frame.destination == 0 { return resolve(receipt, from: id) }
    } catch {
      return close(link, error, now: now)
    }
    let here = live.link(of: frame.destination).flatMap { self.link($0) }
    guard let target = here ?? linkElsewhere(to: frame.destination), frame.hops < Limits.hops else { return }
    var onward = frame
    onward.hops += 1
    // Without room for it the sender hears nothing and counts the message as lost in time.
    _ = put(onward, scratch, to: target, now: now)
  }

  // MARK: Dictionary

  private func answerWords(_ link: HubLink, _ id: UInt32, now: Instant) {
    answer(link, .wordAnswer, id, now: now) { body, answer throws(ErrorCode) in
      try self.dictionary.answer(body, into: &answer)
      self.status.wordsAnswered += 1
    }
  }

  func warnOfOutdatedDictionaries() {
    for path in dictionary.outdated { log.line(.warning, "not used: \(path): \(LexiconError.unknownVersion.sentence)") }
  }

  /// Tells every node when another dictionary is published.
  func reloadDictionary(now: Instant) throws(HubError) {
    let before = dictionary.generation
    try dictionary.reload()
    warnOfOutdatedDictionaries()
    guard dictionary.generation != before else { return }
    log.line(.notice, "dictionary generation \(dictionary.generation)")
    // Who does not read now hears of it with its next link.
    let room = Session.recordBytes(body: Limits.frameBodyBytes)
    for link in links where link.phase == .online && link.fellow == nil && link.session.output.space >= room {
      configure(link, now: now)
    }
  }

  private func sendPiece(_ link: HubLink, _ id: UInt32, now: Instant) {
    answer(link, .dictionaryPiece, id, now: now) { body, answer throws(ErrorCode) in
      try self.dictionary.piece(for: try PieceRequest(decoding: body), into: &answer)
      self.status.dictionaryPieces += 1
    }
  }

  /// Without room for the answer there is none: the node asks again.
  func answer(
    _ link: HubLink, _ kind: FrameKind, _ id: UInt32, now: Instant,
    _ build: (RawSpan, inout ByteQueue) throws(ErrorCode) -> Void
  ) {
    scratch.consume(scratch.count)
    do throws(ErrorCode) {
      try build(link.session.body, &scratch)
    } catch {
      return close(link, error, now: now)
    }
    _ = put(FrameHeader(kind: kind, destination: id), scratch, to: link, now: now)
  }

  func fillScratch(_ body: RawSpan) {
    scratch.consume(scratch.count)
    scratch.append(body)
  }

  /// Hands on the body in `scratch`. Nil when it is in the destination's link.
  func forward(_ frame: FrameHeader, to target: LinkId, now: Instant) -> ErrorCode? {
    guard let link = self.link(target) else { return .unreachable }
    var onward = frame
    onward.hops += 1
    let failure = put(onward, scratch, to: link, now: now)
    if failure == nil { status.messagesRouted += 1 } else { status.messagesUnreachable += 1 }
    return failure
  }

  /// Nil when there was room in the inbox.
  private func keep(_ frame: FrameHeader, _ body: RawSpan, from id: UInt32, now: Instant) -> ErrorCode? {
    guard body.byteCount <= Limits.messageBytes else { return .tooLong }
    guard kept.count < Self.inboxPending else { return .full }
    guard let text = Data(textOf: body, isPacked: frame.isPacked) else { return .malformedFrame }
    kept.append((wallSeconds, id, text))
    status.messagesKept += 1
    if keptDue == .never { keptDue = now + Self.inboxFlushMs }
    wake(at: keptDue)
    return nil
  }

  func receipt(for frame: FrameHeader, to link: HubLink, failure: ErrorCode?, now: Instant) {
    scratch.consume(scratch.count)
    _ = Receipt(sequence: frame.sequence, failure: failure).append(to: &scratch)
    send(
      FrameHeader(kind: .receipt, source: frame.destination, destination: frame.source, sequence: frame.sequence),
      scratch, to: link, now: now)
  }

  /// Sends what belongs to the session; `process` has seen to it that there is room.
  func send(_ frame: FrameHeader, _ body: borrowing ByteQueue, to link: HubLink, now: Instant) {
    do throws(ErrorCode) {
      try link.session.send(frame, body: body.bytes, now: now)
      touch(link)
    } catch {
      close(link, error, now: now)
    }
  }

  /// Sends what may be refused: leaves the reserve free. Nil when it went in.
  func put(_ frame: FrameHeader, _ body: borrowing ByteQueue, to link: HubLink, now: Instant) -> ErrorCode? {
    guard link.session.output.space >= Session.recordBytes(body: body.count) + Self.outputReserve else {
      return .full
    }
    do throws(ErrorCode) {
      try link.session.send(frame, body: body.bytes, now: now)
      touch(link)
      return nil
    } catch {
      return error
    }
  }

  // MARK: Messages from the hub itself

  /// Sends text; what becomes of it comes later through `takeSendResults`, with this sequence.
  /// Fails at once when it cannot go out.
  func sendText(_ text: String, to id: UInt32, now: Instant) -> (sequence: UInt64, failure: ErrorCode?) {
    let sequence = drawSequence()
    guard let target = live.link(of: id) else { return (sequence, .unreachable) }
    guard sends.count < Self.sendsPending else { return (sequence, .busy) }
    let body = Data(text.utf8)
    body.withUnsafeBytes { fillScratch($0.bytes) }
    let frame = FrameHeader(kind: .message, source: 0, destination: id, sequence: sequence)
    let failure = forward(frame, to: target, now: now)
    if failure == nil {
      sends[sequence] = PendingSend(to: id, deadline: now + Limits.receiptTimeoutMs)
      wake(at: now + Limits.receiptTimeoutMs)
    }
    return (sequence, failure)
  }

  private func resolve(_ receipt: Receipt, from id: UInt32) {
    guard let pending = sends[receipt.sequence], pending.to == id else { return }
    sends[receipt.sequence] = nil
    sendResults.append(SendReceipt(to: id, sequence: receipt.sequence, failure: receipt.failure))
  }

  func expireSends(now: Instant) {
    for (sequence, pending) in sends where pending.deadline <= now {
      sends[sequence] = nil
      sendResults.append(SendReceipt(to: pending.to, sequence: sequence, failure: .timeout))
    }
  }

  /// Answers to `sendText` since the last call.
  func takeSendResults() -> [SendReceipt] {
    guard !sendResults.isEmpty else { return [] }
    defer { sendResults.removeAll() }
    return sendResults
  }
}
