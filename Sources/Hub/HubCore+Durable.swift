import Bounded
import Durable
import Foundation
import Node
import Wire

/// What is under way to one node that is online.
///
/// Invariant: `inFlight` holds at most `Limits.storedEntries` messages; of those with one stream's name all come
/// from one node, and none lie further apart than the receiver's duplicate window reaches.
final class Delivery {
  /// Of urgent messages, and of the others: rows up to these were handed out since the beginning or since the last
  /// `startOver`.
  var cursors: [Bool: Int64] = [:]
  var inFlight: [SpoolKey] = []
  /// The link was full; goes on at this time.
  var continuesAt = Instant.never
  /// The node had no room, or has not answered: what was not answered is handed out again at this time.
  var startsOverAt = Instant.never
  /// The node had no room: nothing until then.
  var isPaused = false
  /// It has told a card, or that it has none, over this link.
  var takesSealed = false
  /// Whose offers have gone to it over this link.
  var offered: Set<UInt32> = []
  /// It had none for a moment only: the batch that its medium takes was full.
  var isBusy = false
  /// How often in a row it had none for longer. Then one message asks for all.
  var refusals = 0

  /// So many more may be on the way; others leave places to urgent ones.
  func free(areUrgent: Bool) -> Int {
    let places = Limits.storedEntries - (areUrgent ? 0 : Limits.urgentOnTheWay)
    return (refusals > 0 ? 1 : places) - inFlight.count
  }

  var deadline: Instant { min(continuesAt, startsOverAt) }

  func startOver() {
    cursors.removeAll()
    inFlight.removeAll(keepingCapacity: true)
    isPaused = false
    isBusy = false
    startsOverAt = .never
  }

  /// Whether this message may be on the way beside those that are.
  func admits(_ message: SpooledMessage) -> Bool {
    inFlight.allSatisfy { key in
      if key.ring.stream != message.stream { return true }
      // A STORED entry names no source: two of one name could not be told apart.
      return key.ring.node == message.source && message.sequence &- key.sequence < DuplicateWindowLimits.reach
    }
  }
}

/// Durable messages: into the registry before they are acknowledged, out of it once their destination has them.
extension HubCore {
  /// A durable message that came in and is not committed yet.
  struct Arrival {
    struct Sender: Hashable {
      let link: LinkId
      let id: UInt32
    }

    let message: SpooledMessage
    let link: LinkId
    var sender: Sender { Sender(link: link, id: message.source) }
  }

  // MARK: From nodes

  func takeDurable(_ frame: FrameHeader, from link: HubLink, _ id: UInt32, now: Instant) {
    let length = link.session.body.byteCount
    guard length > Limits.streamBytes, let stream = try? decodeStream(link.session.body) else {
      return close(link, .malformedFrame, now: now)
    }
    let wall = wallClockMs()
    let text = Data(
      textOf: link.session.body.extracting(Limits.streamBytes..<length), isPacked: frame.isPacked)
    let message = SpooledMessage(
      destination: frame.destination, source: id, stream: stream, sequence: frame.sequence, hops: frame.hops,
      expiresMs: frame.timeToLiveS == 0 ? 0 : wall + UInt64(frame.timeToLiveS) * 1_000,
      isSealed: frame.isSealed, text: text ?? Data())
    if let failure = text == nil ? .malformedFrame : refusal(of: message, now: now) {
      let entry = StoredEntry(stream: stream, sequence: frame.sequence, failure: failure)
      return sayStored([entry], to: id, over: link, now: now)
    }
    arrivals.append(Arrival(message: message, link: link.id))
    flushSpool(by: now + Self.gatherMs)
  }

  private func refusal(of message: SpooledMessage, now: Instant) -> ErrorCode? {
    if message.text.count > Limits.messageBytes + (message.isSealed ? Limits.sealBytes : 0) { return .tooLong }
    if message.isSealed, message.destination == 0 { return .notOpened }
    if message.isSealed, !hasOffer(from: message.source, to: message.destination, now: now) { return .busy }
    if message.hops >= Limits.hops { return .unreachable }
    // Sequences that no ring gives out; the registry's numbers are signed.
    if message.sequence >= Limits.sequencesEnd { return .badArgument }
    return arrivals.count < Self.arrivalsPending ? nil : .busy
  }

  /// A node's word on what was delivered to it.
  func takeStored(from link: HubLink, _ id: UInt32, now: Instant) {
    guard let delivery = deliveries[id] else { return }
    do throws(ErrorCode) {
      for i in 0..<(try StoredEntry.count(in: link.session.body)) {
        take(try StoredEntry.at(i, in: link.session.body), from: id, delivery, now: now)
      }
    } catch {
      return close(link, error, now: now)
    }
    if !delivery.isPaused { delivery.startsOverAt = delivery.inFlight.isEmpty ? .never : now + Limits.resendMs }
    deliver(to: id, now: now)
  }

  private func take(_ entry: StoredEntry, from id: UInt32, _ delivery: Delivery, now: Instant) {
    let index = delivery.inFlight.firstIndex { $0.ring.stream == entry.stream && $0.sequence == entry.sequence }
    guard let index else { return }
    if entry.isForLater {
      guard !delivery.isPaused else { return }
      delivery.isPaused = true
      delivery.isBusy = entry.failure == .busy
      delivery.startsOverAt = now + Limits.resumeMs(after: delivery.isBusy ? 0 : delivery.refusals)
      if !delivery.isBusy { delivery.refusals += 1 }
      return wake(at: delivery.startsOverAt)
    }
    forget(delivery.inFlight.remove(at: index), now: now)
    delivery.refusals = 0
    if entry.failure == nil { status.messagesDelivered += 1 } else { status.messagesDropped += 1 }
    // Its medium has taken that batch: there is room for the next one. Five long messages are a batch, and two
    // seconds for each would be twelve minutes for a file of 5 MiB.
    guard entry.failure == nil, delivery.isPaused, delivery.isBusy else { return }
    delivery.startsOverAt = min(delivery.startsOverAt, now + Self.gatherMs)
    wake(at: delivery.startsOverAt)
  }

  private func forget(_ key: SpoolKey, now: Instant) {
    delivered.append(key)
    flushSpool(by: now + Self.forgetMs)
  }

  // MARK: To nodes

  /// Hands a node what is kept for it, as far as the link and the rules of delivery allow, and urgent messages first.
  func deliver(to id: UInt32, now: Instant) {
    guard let delivery = deliveries[id], !delivery.isPaused, !isHolding(now: now),
      let link = live.link(of: id).flatMap({ self.link($0) })
    else { return }
    delivery.continuesAt = .never
    do throws(HubError) {
      for areUrgent in [true, false] where delivery.continuesAt == .never {
        while try handOn(to: link, id, delivery, areUrgent: areUrgent, now: now) {}
      }
    } catch { log.line(.error, error.description) }
    if !delivery.inFlight.isEmpty, delivery.startsOverAt == .never { delivery.startsOverAt = now + Limits.resendMs }
    wake(at: delivery.deadline)
  }

  /// Hands on as many as may be on the way; whether there may be more, because some of these had expired.
  private func handOn(to link: HubLink, _ id: UInt32, _ delivery: Delivery, areUrgent: Bool, now: Instant)
    throws(HubError) -> Bool
  {
    let free = delivery.free(areUrgent: areUrgent)
    guard free > 0 else { return false }
    // Where one asks for all, many may have expired before it.
    let limit = delivery.refusals > 0 ? Limits.storedEntries : free
    let messages = try registry.spooled(
      for: id, areUrgent: areUrgent, after: delivery.cursors[areUrgent, default: 0],
      takesSealed: delivery.takesSealed, limit: limit)
    for message in messages {
      // One that is on the way already was put behind another of its ring.
      let isOnTheWay = delivery.inFlight.contains(message.key)
      guard delivery.free(areUrgent: areUrgent) > 0, isOnTheWay || hand(message, to: link, delivery, now: now) else {
        return false
      }
      delivery.cursors[areUrgent] = message.row
    }
    return messages.count == limit
  }

  /// False when this message, and so those after it, have to wait.
  private func hand(_ message: SpooledMessage, to link: HubLink, _ delivery: Delivery, now: Instant) -> Bool {
    let wall = wallClockMs()
    if message.expiresMs != 0, message.expiresMs <= wall {
      forget(message.key, now: now)
      status.messagesDropped += 1
      return true
    }
    guard delivery.admits(message) else { return false }
    if message.isSealed, !bringOffer(from: message.source, to: message.destination, link, delivery, now: now) {
      delivery.continuesAt = now + Self.outputWaitMs
      return false
    }
    let left = message.expiresMs == 0 ? 0 : UInt32(clamping: (message.expiresMs - wall + 999) / 1_000)
    let frame = FrameHeader(
      kind: .message, flags: FrameHeader.durable | (message.isSealed ? FrameHeader.sealed : 0), hops: message.hops + 1,
      source: message.source,
      destination: message.destination, sequence: message.sequence, timeToLiveS: left)
    scratch.consume(scratch.count)
    scratch.append(bigEndian: message.stream)
    message.text.withUnsafeBytes { _ = scratch.append($0.bytes) }
    guard put(frame, scratch, to: link, now: now) == nil else {
      delivery.continuesAt = now + Self.outputWaitMs
      return false
    }
    delivery.inFlight.append(message.key)
    return true
  }

  private func sayStored(_ entries: [StoredEntry], to id: UInt32, over link: HubLink, now: Instant) {
    for start in stride(from: 0, to: entries.count, by: Limits.storedEntries) {
      scratch.consume(scratch.count)
      for entry in entries[start..<min(entries.count, start + Limits.storedEntries)] {
        _ = entry.append(to: &scratch)
      }
      // Without room the node asks again by sending once more.
      _ = put(FrameHeader(kind: .stored, destination: id), scratch, to: link, now: now)
    }
  }

  /// The hub is the destination: it says so like any other.
  private func sayReceived(_ arrival: Arrival, now: Instant) {
    guard let link = link(arrival.link) else { return }
    scratch.consume(scratch.count)
    _ = Receipt(sequence: arrival.message.sequence, failure: nil).append(to: &scratch)
    let frame = FrameHeader(kind: .receipt, flags: FrameHeader.durable, destination: arrival.message.source)
    _ = put(frame, scratch, to: link, now: now)
    status.messagesDelivered += 1
  }

  // MARK: Time

  func flushSpool(by deadline: Instant) {
    spoolDue = min(spoolDue, deadline)
    wake(at: spoolDue)
  }

  /// One commit for all that has gathered; only then is a word said about it.
  func flushSpool(now: Instant) {
    spoolDue = .never
    guard !arrivals.isEmpty || !delivered.isEmpty || !fellows.batches.isEmpty else { return }
    let taken = arrivals
    let batches = fellows.batches
    arrivals.removeAll(keepingCapacity: true)
    var outcome = SpoolOutcome()
    do throws(HubError) {
      outcome = try registry.spool(
        taken.map(\.message), forgetting: delivered, sharing: hasFellows, taking: batches, at: wallSeconds)
      delivered.removeAll(keepingCapacity: true)
      fellows.batches.removeAll(keepingCapacity: true)
    } catch {
      log.line(.error, error.description)
      outcome.verdicts = taken.map { _ in .busy }
      outcome.newest = fellows.newest
      // What was delivered is forgotten another time; until then it may be delivered again, and is recognised.
      if delivered.count > Self.arrivalsPending { delivered.removeFirst(delivered.count - Self.arrivalsPending) }
      flushSpool(by: now + Limits.resumeMs)
    }
    var words: [Arrival.Sender: [StoredEntry]] = [:]
    for (arrival, failure) in zip(taken, outcome.verdicts) {
      if failure == nil {
        status.messagesStored += 1
        if arrival.message.isSealed { status.messagesSealed += 1 }
        if arrival.message.destination == 0 { sayReceived(arrival, now: now) }
      }
      words[arrival.sender, default: []].append(
        StoredEntry(stream: arrival.message.stream, sequence: arrival.message.sequence, failure: failure))
    }
    if hasFellows {
      if !words.isEmpty { fellows.words.append((outcome.newest, words)) }
      noteShared(outcome.newest, now: now)
      tookShares(batches, outcome.shared, now: now)
      releaseWords(now: now)
    } else {
      say(words, now: now)
    }
    for id in outcome.destinations { deliver(to: id, now: now) }
  }

  func say(_ words: [Arrival.Sender: [StoredEntry]], now: Instant) {
    for (sender, entries) in words {
      if let link = link(sender.link) { sayStored(entries, to: sender.id, over: link, now: now) }
    }
  }

  /// Deliveries whose wait is over begin again at their oldest message.
  func resumeDeliveries(now: Instant) {
    for (id, delivery) in deliveries where delivery.deadline <= now {
      delivery.continuesAt = .never
      if delivery.startsOverAt <= now {
        // What was answered meanwhile must not be found again.
        flushSpool(now: now)
        delivery.startOver()
      }
      deliver(to: id, now: now)
    }
    for delivery in deliveries.values { wake(at: delivery.deadline) }
  }
}
