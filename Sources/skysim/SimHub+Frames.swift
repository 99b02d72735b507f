import Bounded
import Durable
import Node
import Packing
import Wire

/// What flows over the links of a simulated hub, by the rules of docs/protocol.md.
extension SimHub {
  static let gatherMs: UInt64 = 5
  static let forgetMs: UInt64 = 20
  static let spoolRows = 10_000
  static let spoolRowsOfPair = 7_500
  static let spoolRowsUrgent = 500

  func handle(_ frame: FrameHeader, _ session: HubSession, now: Instant) {
    guard session.phase == .online else { return close(session, .unexpectedRecord, now: now) }
    guard let board = sender(of: frame, session, now: now) else { return }
    let id = Board.nodeId(board)
    switch frame.kind {
    case .heartbeat:
      world.counts.heartbeats += 1
      noteDuties(session, of: board, now: now)
      // A leaf has its answer from its relay.
      guard board == session.board else { return }
      scratch.consume(scratch.count)
      HeartbeatAck(wallTimeMs: world.wallMs(now)).append(to: &scratch)
      putScratch(FrameHeader(kind: .heartbeatAck, destination: id, sequence: frame.sequence), session, now: now)
    case .message where frame.isDurable: takeDurable(frame, session, id, now: now)
    case .message: route(frame, session, now: now)
    case .stored: takeStored(session, board, now: now)
    case .receipt:
      guard let target = live(frame.destination) else { return }
      copyBody(of: session)
      var onward = frame
      onward.hops &+= 1
      putScratch(onward, target, now: now)
    case .pong: live[board]?.probedAt = .never
    case .admit: admit(frame, session, relay: board, now: now)
    case .attach: attach(frame, session, relay: board, now: now)
    case .detach: detach(session, now: now)
    case .card: takeCard(session, board, now: now)
    case .keyQuery: answerKeyQuery(session, board, now: now)
    case .offer: takeOffer(session, board, now: now)
    case .offerRequest: answerOfferRequest(session, board, now: now)
    case .jobProgress: takeProgress(session, board, now: now)
    case .jobResult: takeResult(session, board, now: now)
    default: close(session, .unexpectedRecord, now: now)
    }
  }

  /// Whose frame this is: the link's own node's, or that of one behind it; nil when it is neither.
  private func sender(of frame: FrameHeader, _ session: HubSession, now: Instant) -> Int? {
    let own = Board.nodeId(session.board)
    if frame.source == own || frame.source == 0 && frame.kind != .message && frame.kind != .receipt {
      return session.board
    }
    if let board = Board.number(of: frame.source), board < live.count {
      if live[board]?.session === session { return board }
      // A relay may not know yet that a leaf has gone elsewhere.
      if session.routeCounts[board] != 0 {
        sayGone(board, .linkClosed, relay: session.board, session, now: now)
        return nil
      }
    }
    world.fail("a relay handed on what is not its leaf's", session.board)
  }

  private func live(_ id: UInt32) -> HubSession? {
    guard let board = Board.number(of: id), board < live.count else { return nil }
    return live[board]?.session
  }

  func copyBody(of session: HubSession) {
    scratch.consume(scratch.count)
    Self.append(session.session, to: &scratch)
  }

  /// A span cannot leave the property of a class that holds its session: it is lent for a call.
  private static func append(_ session: borrowing Session, to queue: inout ByteQueue) { queue.append(session.body) }

  private func route(_ frame: FrameHeader, _ session: HubSession, now: Instant) {
    guard frame.hops < Limits.hops else { world.fail("a message goes round in circles", session.board) }
    guard let target = live(frame.destination) else {
      return receipt(for: frame, session, frame.destination == 0 ? nil : .unreachable, now: now)
    }
    if let failure = sealRefusal(frame, now: now) { return receipt(for: frame, session, failure, now: now) }
    if frame.isSealed, let source = Board.number(of: frame.source), let board = Board.number(of: frame.destination),
      let delivery = deliveries[board]
    {
      bringOffer(from: source, to: board, target, delivery, now: now)
    }
    copyBody(of: session)
    var onward = frame
    onward.hops += 1
    if !putScratch(onward, target, now: now) { receipt(for: frame, session, .full, now: now) }
  }

  private func receipt(for frame: FrameHeader, _ session: HubSession, _ failure: ErrorCode?, now: Instant) {
    scratch.consume(scratch.count)
    _ = Receipt(sequence: frame.sequence, failure: failure).append(to: &scratch)
    let header = FrameHeader(
      kind: .receipt, source: frame.destination, destination: frame.source, sequence: frame.sequence)
    putScratch(header, session, now: now)
  }

  // MARK: Durable messages from nodes

  private func takeDurable(_ frame: FrameHeader, _ session: HubSession, _ id: UInt32, now: Instant) {
    if frame.hops >= Limits.hops { world.fail("a durable message goes round in circles", session.board) }
    let length = session.session.body.byteCount
    let stream: UInt64
    do throws(ErrorCode) { stream = try decodeStream(session.session.body) } catch {
      return close(session, .malformedFrame, now: now)
    }
    guard length > Limits.streamBytes else { return close(session, .malformedFrame, now: now) }
    let destination = frame.destination == 0 ? -1 : Board.number(of: frame.destination) ?? -2
    if let failure = refusal(destination, frame, from: id, now: now) {
      let entry = StoredEntry(stream: stream, sequence: frame.sequence, failure: failure)
      return sayStored([entry], to: id, session, now: now)
    }
    var text: [UInt8] = []
    text.reserveCapacity(length)
    for i in Limits.streamBytes..<length { text.append(session.session.body[i]) }
    if frame.isPacked { text = unpacked(text) }
    let name = Spooled.Name(destination: destination, source: id, stream: stream, sequence: frame.sequence)
    let expires = frame.timeToLiveS == 0 ? 0 : world.wallMs(now) + UInt64(frame.timeToLiveS) * 1_000
    let message = Spooled(
      row: 0, name: name, hops: frame.hops, expiresMs: expires, isSealed: frame.isSealed, text: text)
    arrivals.append(Arrival(message: message, session: session, generation: session.generation))
    if world.scenario.plant == .wordBeforeCommit {
      sayStored([StoredEntry(stream: stream, sequence: frame.sequence, failure: nil)], to: id, session, now: now)
      return spoolDue = min(spoolDue, now + 2_000)
    }
    // A commit of an honest hub takes its time as well.
    spoolDue = min(spoolDue, now + Self.gatherMs + dice.below(20))
  }

  private func unpacked(_ packed: [UInt8]) -> [UInt8] {
    var text = [UInt8](repeating: 0, count: Limits.messageBytes + Packing.spareBytes)
    let count = text.withUnsafeMutableBytes { Packing.unpack(packed.span.bytes, into: $0) }
    guard let count else { world.fail("a text does not unpack") }
    text.removeLast(text.count - count)
    return text
  }

  private func refusal(_ destination: Int, _ frame: FrameHeader, from id: UInt32, now: Instant) -> ErrorCode? {
    if destination < -1 || destination >= live.count { return .unreachable }
    if frame.isSealed, destination < 0 { world.fail("a message to the hub is sealed") }
    if frame.isSealed, !hasOffer(from: id, to: destination, now: now) { return .busy }
    if frame.sequence >= Limits.sequencesEnd { return .badArgument }
    if destination >= 0, !hasRoom(store.spool[destination], for: frame) { return .full }
    return arrivals.count < 512 ? nil : .busy
  }

  private func hasRoom(_ kept: [Spooled], for frame: FrameHeader) -> Bool {
    if kept.count < Self.spoolRowsOfPair { return true }
    let more = Limits.isUrgent(frame.sequence) ? Self.spoolRowsUrgent : 0
    var ofPair = 0
    for message in kept where message.name.source == frame.source { ofPair += 1 }
    return kept.count < Self.spoolRows + more && ofPair < Self.spoolRowsOfPair + more
  }

  /// One commit for all that has gathered; only then is a word said about it.
  func flushSpool(now: Instant) {
    spoolDue = .never
    guard !arrivals.isEmpty || !delivered.isEmpty else { return }
    let downMs = dice.spread(500, to: 60_000)
    if trap == .beforeCommit { return crash(now: now, for: downMs) }
    let fails = now < diskFailsUntil
    let taken = arrivals
    arrivals.removeAll(keepingCapacity: true)
    if fails {
      if delivered.count > 512 { delivered.removeFirst(delivered.count - 512) }
      spoolDue = now + Limits.resumeMs
    } else {
      store.commit(taken, forgetting: delivered, now: now)
      delivered.removeAll(keepingCapacity: true)
      if trap == .afterCommit { return crash(now: now, for: downMs) }
    }
    for arrival in taken {
      let name = arrival.message.name
      if !fails, name.destination == -1 { sayReceived(arrival, now: now) }
      guard world.scenario.plant != .wordBeforeCommit, arrival.session.generation == arrival.generation else {
        continue
      }
      sayStored(
        [StoredEntry(stream: name.stream, sequence: name.sequence, failure: fails ? .busy : nil)], to: name.source,
        arrival.session, now: now)
    }
    for arrival in taken where arrival.message.name.destination >= 0 {
      deliver(to: arrival.message.name.destination, now: now)
    }
  }

  private func sayStored(_ entries: [StoredEntry], to id: UInt32, _ session: HubSession, now: Instant) {
    guard session.phase == .online else { return }
    scratch.consume(scratch.count)
    for entry in entries { _ = entry.append(to: &scratch) }
    putScratch(FrameHeader(kind: .stored, destination: id), session, now: now)
  }

  private func sayReceived(_ arrival: Arrival, now: Instant) {
    guard arrival.session.phase == .online, arrival.session.generation == arrival.generation else { return }
    scratch.consume(scratch.count)
    _ = Receipt(sequence: arrival.message.name.sequence, failure: nil).append(to: &scratch)
    let frame = FrameHeader(
      kind: .receipt, flags: FrameHeader.durable, destination: arrival.message.name.source)
    putScratch(frame, arrival.session, now: now)
  }

  // MARK: Durable messages to nodes

  private func takeStored(_ session: HubSession, _ board: Int, now: Instant) {
    guard let delivery = deliveries[board] else { return }
    do throws(ErrorCode) {
      for i in 0..<(try StoredEntry.count(in: session.session.body)) {
        let entry = try StoredEntry.at(i, in: session.session.body)
        guard
          let index = delivery.inFlight.firstIndex(where: {
            $0.stream == entry.stream && $0.sequence == entry.sequence
          })
        else { continue }
        if entry.isForLater {
          guard !delivery.isPaused else { continue }
          delivery.isPaused = true
          let isBusy = entry.failure == .busy
          delivery.startsOverAt = now + Limits.resumeMs(after: isBusy ? 0 : delivery.refusals)
          if !isBusy { delivery.refusals += 1 }
        } else {
          delivery.refusals = 0
          forget(delivery.inFlight.remove(at: index), now: now)
        }
      }
    } catch { return close(session, error, now: now) }
    if !delivery.isPaused { delivery.startsOverAt = delivery.inFlight.isEmpty ? .never : now + Limits.resendMs }
    deliver(to: board, now: now)
  }

  private func forget(_ name: Spooled.Name, now: Instant) {
    delivered.append(name)
    spoolDue = min(spoolDue, now + Self.forgetMs)
  }

  func deliver(to board: Int, now: Instant) {
    guard let delivery = deliveries[board], !delivery.isPaused, let session = live[board]?.session else { return }
    var handed: [Spooled.Name] = []
    // Who has not told a card gets nothing of those who have sealed something for it.
    var blocked: [UInt32] = []
    if !delivery.takesSealed {
      for message in store.spool[board] where message.isSealed { blocked.append(message.name.source) }
    }
    delivery.continuesAt = .never
    for areUrgent in [true, false] where delivery.continuesAt == .never {
      let places = Limits.storedEntries - (areUrgent ? 0 : Limits.urgentOnTheWay)
      let most = delivery.refusals > 0 ? 1 : places
      for message in store.spool[board] where message.isUrgent == areUrgent {
        guard message.row > delivery.cursors[areUrgent, default: 0], !blocked.contains(message.name.source) else {
          continue
        }
        guard delivery.inFlight.count < most, hand(message, session, delivery, now: now) else { break }
        delivery.cursors[areUrgent] = message.row
        handed.append(message.name)
      }
    }
    if !delivery.inFlight.isEmpty, delivery.startsOverAt == .never { delivery.startsOverAt = now + Limits.resendMs }
    let isTrusted = world.scenario.plant == .relayTrusted && (live[board]?.relay ?? -1) >= 0
    if world.scenario.plant == .forgetsEarly || isTrusted { for name in handed { store.forget(name) } }
  }

  /// False when this message, and so those after it, have to wait.
  private func hand(_ message: Spooled, _ session: HubSession, _ delivery: Delivery, now: Instant) -> Bool {
    let wall = world.wallMs(now)
    if message.expiresMs != 0, message.expiresMs <= wall {
      world.ledger.expired(message)
      forget(message.name, now: now)
      return true
    }
    // After the cursor went back.
    if delivery.inFlight.contains(message.name) { return true }
    guard delivery.admits(message.name) else { return false }
    if message.isSealed, let source = Board.number(of: message.name.source),
      !bringOffer(from: source, to: message.name.destination, session, delivery, now: now)
    {
      delivery.continuesAt = now + 50
      return false
    }
    let left = message.expiresMs == 0 ? 0 : UInt32(clamping: (message.expiresMs - wall + 999) / 1_000)
    let frame = FrameHeader(
      kind: .message, flags: FrameHeader.durable | (message.isSealed ? FrameHeader.sealed : 0), hops: message.hops + 1,
      source: message.name.source,
      destination: Board.nodeId(message.name.destination), sequence: message.name.sequence, timeToLiveS: left)
    scratch.consume(scratch.count)
    scratch.append(bigEndian: message.name.stream)
    scratch.append(message.text.span.bytes)
    guard putScratch(frame, session, now: now) else {
      delivery.continuesAt = now + 50
      return false
    }
    delivery.inFlight.append(message.name)
    return true
  }

  func resumeDeliveries(now: Instant) {
    touchWaiting()
    for board in deliveries.indices {
      guard let delivery = deliveries[board], delivery.deadline <= now else { continue }
      delivery.continuesAt = .never
      if delivery.startsOverAt <= now {
        // What was answered meanwhile must not be found again.
        flushSpool(now: now)
        delivery.startOver()
      }
      deliver(to: board, now: now)
    }
  }
}
