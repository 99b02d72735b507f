import Bounded
import SkyCrypto
import Wire

/// Messages sent and not yet answered for: a fixed table, the oldest answered entry making room.
struct Outbox: ~Copyable {
  struct Entry {
    var sequence: UInt64
    var destination: UInt32
    var sentAt: Instant
    var isResolved: Bool
  }

  private var entries = Ring<Entry, 16>()

  var unresolved: Int {
    var n = 0
    for i in 0..<entries.count where !entries[i].isResolved { n += 1 }
    return n
  }

  /// False when sixteen messages wait for their receipts.
  mutating func append(sequence: UInt64, destination: UInt32, now: Instant) -> Bool {
    while entries.count > 0, entries[0].isResolved { _ = entries.popFirst() }
    return entries.append(Entry(sequence: sequence, destination: destination, sentAt: now, isResolved: false))
  }

  /// True when the message was waiting for a word from `source`: nobody answers for somebody else.
  mutating func resolve(_ sequence: UInt64, from source: UInt32) -> Bool {
    for i in 0..<entries.count
    where entries[i].sequence == sequence && entries[i].destination == source && !entries[i].isResolved {
      entries[i].isResolved = true
      return true
    }
    return false
  }

  /// The sequence of one message whose receipt is overdue, resolved by this call.
  mutating func popOverdue(now: Instant) -> UInt64? {
    for i in 0..<entries.count where !entries[i].isResolved && now.since(entries[i].sentAt) >= Limits.receiptTimeoutMs {
      entries[i].isResolved = true
      return entries[i].sequence
    }
    return nil
  }
}

/// What flows over an established link: heartbeats, messages, receipts, time.
extension Node {
  mutating func take(_ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    if state == .joining, frame.kind != .configure { throw .unexpectedRecord }
    switch frame.kind {
    case .configure: try takeConfiguration(now: now)
    case .heartbeatAck: try takeHeartbeatAck(frame, now: now)
    case .message: try takeMessage(frame, now: now)
    case .receipt: try takeReceipt(frame, now: now)
    case .pong: break
    case .heartbeat, .rekeyInit, .rekeyReply, .ping, .close, .rekeyDone:
      counters.ignored += 1
    }
  }

  // MARK: Heartbeat

  /// Every sample ends in a heartbeat: the reading is never older than the beat that carries it.
  mutating func takeVitals(_ signs: VitalSigns, now: Instant) {
    vitals = signs
    if policy.update(signs) { tell(.duties(active: activeDuties, held: policy.held)) }
    while let sequence = outbox.popOverdue(now: now) { tell(.receipt(sequence: sequence, failure: .timeout)) }
    guard state == .online else { return }
    beat(now: now)
    let spread = heartbeatIntervalMs * Limits.heartbeatJitterPercent / 100
    let earliest = heartbeatIntervalMs - spread
    let next = now + earliest + random.next(below: 2 * spread + 1)
    timers.set(.heartbeat, next)
    renewKeysIfDue(by: now + heartbeatIntervalMs + spread, now: now)
  }

  private mutating func beat(now: Instant) {
    let sequence = counters.heartbeatsSent + 1
    scratch.clear()
    let kind: FrameKind = settings.duties.contains(.heartbeat) ? .heartbeat : .ping
    if kind == .heartbeat {
      let body = Heartbeat(
        vitals: vitals, inboxUsed: UInt16(inbox.count), inboxCapacity: UInt16(inbox.capacity),
        outboxUsed: UInt16(outbox.unresolved), outboxCapacity: UInt16(Limits.outboxSlots),
        dictionaryGeneration: dictionaryGeneration, duties: activeDuties)
      _ = body.append(to: &scratch)
    }
    do throws(ErrorCode) {
      try sendScratch(FrameHeader(kind: kind, source: nodeId, sequence: sequence), now: now)
      counters.heartbeatsSent = sequence
      heartbeatSentAt = now
    } catch {
      // A full output means the hub is not reading; the silence timer ends such a link.
      if error != .full { linkFailed(error, now: now) }
    }
  }

  private mutating func takeHeartbeatAck(_ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    takeHubTime(try decodeWallTime(session.body), now: now)
    counters.heartbeatsAcked += 1
    guard frame.sequence == counters.heartbeatsSent, heartbeatSentAt != .never else { return }
    let rtt = now.since(heartbeatSentAt)
    rttMs = rtt
    tell(.heartbeatAcked(rttMs: rtt))
  }

  // MARK: Time

  mutating func takeSystemClock(_ wallMs: UInt64, now: Instant) {
    guard wallMs >= Limits.clockIsSetAfterMs else { return }
    clockSource = .system
    wallBaseMs = wallMs
    wallBaseAt = now
  }

  mutating func takeHubTime(_ wallMs: UInt64, now: Instant) {
    guard clockSource != .system, wallMs >= Limits.clockIsSetAfterMs else { return }
    wallBaseMs = wallMs
    wallBaseAt = now
    if clockSource == .unknown {
      clockSource = .hub
      tell(.clockFromHub)
    }
  }

  // MARK: Messages

  /// Sends text to a node, or to the hub itself (0). Returns its sequence; a receipt follows as a notice.
  public mutating func send(_ text: RawSpan, to destination: UInt32, now: Instant) throws(ErrorCode) -> UInt64 {
    guard state != .draining, state != .stopped else { throw .draining }
    guard nodeId != 0 else { throw .notJoined }
    guard state == .online else { throw .offline }
    guard text.byteCount <= Limits.messageBytes else { throw .tooLong }
    guard text.byteCount > 0, destination != nodeId else { throw .badArgument }
    guard session.output.space >= Session.recordBytes(body: text.byteCount) else { throw .full }
    let sequence = messageSequence + 1
    guard outbox.append(sequence: sequence, destination: destination, now: now) else { throw .full }
    messageSequence = sequence
    try session.send(
      FrameHeader(kind: .message, source: nodeId, destination: destination, sequence: sequence), body: text, now: now)
    counters.sent += 1
    renewKeysIfDue(by: now, now: now)
    return sequence
  }

  /// Drops inbox entries up to `number`; how many went.
  public mutating func acknowledge(upTo number: UInt64) -> Int { inbox.acknowledge(upTo: number) }

  private mutating func takeMessage(_ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    guard frame.destination == nodeId else { throw .malformedFrame }
    let stamp = wallTimeMs(now: now)
    var failure: ErrorCode?
    do throws(ErrorCode) {
      let number = try inbox.append(
        session.body, source: frame.source, sequence: frame.sequence, wallTimeMs: stamp)
      counters.received += 1
      tell(.message(number: number, source: frame.source))
    } catch {
      failure = error
      counters.refusedFull += 1
    }
    scratch.clear()
    _ = Receipt(sequence: frame.sequence, failure: failure).append(to: &scratch)
    do throws(ErrorCode) {
      try sendScratch(FrameHeader(kind: .receipt, source: nodeId, destination: frame.source), now: now)
    } catch {
      // Without room for the receipt the sender hears "timeout"; the message itself is kept.
      if error != .full { throw error }
    }
  }

  /// The hub checks that a node's receipt names that node as its source, and puts the destination there when
  /// it answers in its place.
  private mutating func takeReceipt(_ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    let receipt = try Receipt(decoding: session.body)
    guard outbox.resolve(receipt.sequence, from: frame.source) else {
      counters.ignored += 1
      return
    }
    tell(.receipt(sequence: receipt.sequence, failure: receipt.failure))
  }

  private mutating func sendScratch(_ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    try session.send(frame, bodyOf: scratch, now: now)
  }
}
