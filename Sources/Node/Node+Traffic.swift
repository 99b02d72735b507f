import Bounded
import SkyCrypto
import Wire

/// What flows over an established link: heartbeats, messages, receipts, time.
extension Node {
  func take(_ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    if frame.kind == .routeChallenge { return try answerChallenge(now: now) }
    if state == .joining, frame.kind != .configure { throw .unexpectedRecord }
    if relay.isOn, frame.destination != 0, frame.destination != nodeId, state == .online {
      return try routeDown(frame, now: now)
    }
    switch frame.kind {
    case .configure: try takeConfiguration(now: now)
    case .heartbeatAck: try takeHeartbeatAck(frame, now: now)
    case .message where frame.isDurable: try takeDurableMessage(frame, now: now)
    case .message: try takeMessage(frame, now: now)
    case .receipt: try takeReceipt(frame)
    case .stored: try takeStored(now: now)
    case .pong: break
    // Of the hub, to somebody behind a relay: the link itself has the others.
    case .ping:
      scratch.clear()
      try sendScratchIfRoom(FrameHeader(kind: .pong, source: nodeId, sequence: frame.sequence), now: now)
    case .admitted: try takeAdmitted(frame, now: now)
    case .attached: try takeAttached(frame, now: now)
    case .detach: try takeDetach(now: now)
    case .wordAnswer: try takeWordAnswer(now: now)
    case .dictionaryPiece: try takeDictionaryPiece(now: now)
    case .bundleOffer: try takeBundleOffer(now: now)
    case .bundlePiece: try takeBundlePiece(now: now)
    case .job: try takeJob(now: now)
    case .jobCancel: try takeJobCancel(now: now)
    case .answer: try takeAnswer(now: now)
    case .keyAnswer: try takeKeyAnswer(now: now)
    case .offered: try takeOffered(now: now)
    case .offer: try takeOffer(now: now)
    case .heartbeat, .rekeyInit, .rekeyReply, .close, .rekeyDone, .wordQuery, .dictionaryRequest, .system,
      .bundleRequest, .admit, .attach, .routeChallenge, .routeProof, .jobProgress, .jobResult, .question,
      .vote, .card, .keyQuery, .offerRequest, .fellow, .share, .committed, .here, .gone, .probe, .alive:
      counters.ignored += 1
    }
  }

  // MARK: Heartbeat

  /// Every sample ends in a heartbeat: the reading is never older than the beat that carries it.
  func takeVitals(_ signs: VitalSigns, now: Instant) {
    vitals = signs
    if policy.update(signs) {
      tell(.duties(active: activeDuties, held: policy.held))
      closePeersIfOffDuty(now: now)
    }
    guard state == .online else { return }
    beat(now: now)
    guard state == .online else { return }  // a key past its age has ended the link
    timers.set(.heartbeat, nextBeat(now: now))
    renewKeysIfDue(by: now + heartbeatIntervalMs + heartbeatSpreadMs, now: now)
  }

  private var heartbeatSpreadMs: UInt64 { heartbeatIntervalMs * Limits.heartbeatJitterPercent / 100 }

  /// One interval from now, spread evenly so that a thousand nodes do not beat together.
  func nextBeat(now: Instant) -> Instant {
    let spread = heartbeatSpreadMs
    return now + (heartbeatIntervalMs - spread) + random.next(below: 2 * spread + 1)
  }

  /// A node that is not to send heartbeats keeps its link alive with pings.
  private func beat(now: Instant) {
    let sequence = beatSequence + 1
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
      beatSequence = sequence
      guard kind == .heartbeat else { return }
      counters.heartbeatsSent += 1
      heartbeatSentAt = now
    } catch {
      // A full output means the hub is not reading; the silence timer ends such a link.
      if error != .full { linkFailed(error, now: now) }
    }
  }

  private func takeHeartbeatAck(_ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    let ack = try session.withBody { body throws(ErrorCode) in try HeartbeatAck(decoding: body) }
    takeHubTime(ack.wallTimeMs, now: now)
    counters.heartbeatsAcked += 1
    if ack.isCutOff != isCutOff {
      isCutOff = ack.isCutOff
      watchForBetterHub(now: now)
      if !isCutOff { resumeSealing(now: now) }
    }
    guard frame.sequence == beatSequence, heartbeatSentAt != .never else { return }
    let rtt = now.since(heartbeatSentAt)
    rttMs = rtt
    tell(.heartbeatAcked(rttMs: rtt))
  }

  // MARK: Time

  private static func isPlausible(_ wallMs: UInt64) -> Bool {
    wallMs >= Limits.clockIsSetAfterMs && wallMs < Limits.clockEndsAtMs
  }

  func takeSystemClock(_ wallMs: UInt64, now: Instant) {
    guard Self.isPlausible(wallMs) else { return }
    clockSource = .system
    wallBaseMs = wallMs
    wallBaseAt = now
  }

  func takeHubTime(_ wallMs: UInt64, now: Instant) {
    guard clockSource != .system, Self.isPlausible(wallMs) else { return }
    wallBaseMs = wallMs
    wallBaseAt = now
    if clockSource == .unknown {
      clockSource = .hub
      tell(.clockFromHub)
    }
  }

  // MARK: Messages

  /// Sends text to a node, or to the hub itself (0). Returns its sequence; a receipt follows as a notice.
  public func send(_ text: RawSpan, to destination: UInt32, now: Instant) throws(ErrorCode) -> UInt64 {
    guard state != .draining, state != .stopped else { throw .draining }
    guard nodeId != 0 else { throw .notJoined }
    guard state == .online else { throw .offline }
    guard text.byteCount <= Limits.messageBytes else { throw .tooLong }
    guard text.byteCount > 0, destination != nodeId else { throw .badArgument }
    guard session.output.space >= Session.recordBytes(body: text.byteCount + Limits.sealBytes) else { throw .full }
    guard !outbox.isFull else { throw .full }
    let sequence = messageSequence + 1
    try send(text, FrameHeader(kind: .message, source: nodeId, destination: destination, sequence: sequence), now: now)
    messageSequence = sequence
    outbox.append(sequence: sequence, destination: destination, now: now)
    timers.set(.receipt, outbox.nextDeadline)
    counters.sent += 1
    renewKeysIfDue(by: now, now: now)
    return sequence
  }

  /// Sends an ordinary message in plain or sealed, or has it wait for its receiver's key.
  private func send(_ text: RawSpan, _ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    var frame = frame
    let verdict = sealVerdict(for: frame.destination, now: now)
    switch verdict {
    case .plain: if frame.destination == 0, hubTakesSeals, packIntoScratch(text) { frame.flags = FrameHeader.packed }
    case .sealed(let pair):
      frame.flags = FrameHeader.sealed
      guard sealIntoScratch(text, frame, pair) else { throw .tooLong }
    case .wait:
      try seals.park(text, to: frame.destination, sequence: frame.sequence)
      return runSeals(now: now)
    case .later(let code), .refused(let code): throw code
    }
    do throws(ErrorCode) {
      if frame.flags != 0 { try sendScratch(frame, now: now) } else { try session.send(frame, body: text, now: now) }
      if frame.isSealed { counters.sealedSent += 1 }
    } catch {
      linkFailed(error, now: now)  // there was room: a key past its age
      throw .offline
    }
  }

  /// False when the text does not get shorter.
  private func packIntoScratch(_ text: RawSpan) -> Bool {
    scratch.clear()
    return packRoom.pack(text, appendTo: &scratch)
  }

  /// Messages whose receipts did not come in time count as lost.
  func expireReceipts(now: Instant) {
    while let sequence = outbox.popOverdue(now: now) { tell(.receipt(sequence: sequence, failure: .timeout)) }
    timers.set(.receipt, outbox.nextDeadline)
  }

  private func takeMessage(_ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    guard frame.destination == nodeId else { throw .malformedFrame }
    scratch.clear()
    let closed = try session.withBody { body throws(ErrorCode) in self.openIntoScratch(body, frame, now: now) }
    let failure = closed ?? putScratchIntoInbox(frame, now: now)
    scratch.clear()
    _ = Receipt(sequence: frame.sequence, failure: failure).append(to: &scratch)
    // Without room for the receipt the sender hears "timeout"; the message itself is kept.
    try sendScratchIfRoom(FrameHeader(kind: .receipt, source: nodeId, destination: frame.source), now: now)
    runSeals(now: now)
  }

  /// Nil when there was room.
  func putScratchIntoInbox(_ frame: FrameHeader, now: Instant) -> ErrorCode? {
    do throws(ErrorCode) {
      let number = try Self.put(scratch, into: inbox, frame, wallMs: wallTimeMs(now: now))
      counters.received += 1
      if frame.isSealed { counters.sealedReceived += 1 }
      tell(.message(number: number, source: frame.source, isSealed: frame.isSealed))
      return nil
    } catch {
      counters.refusedFull += 1
      return error
    }
  }

  private static func put(
    _ text: borrowing ByteQueue, into inbox: Inbox, _ frame: FrameHeader, wallMs: UInt64
  ) throws(ErrorCode) -> UInt64 {
    try inbox.append(
      text.bytes, source: frame.source, sequence: frame.sequence, wallTimeMs: wallMs, isSealed: frame.isSealed)
  }

  private func takeReceipt(_ frame: FrameHeader) throws(ErrorCode) {
    guard frame.destination == nodeId else { throw .malformedFrame }
    takeReceipt(try Receipt(decoding: session.body), frame)
  }

  /// Only the destination of a message, or the hub in its name, may say what became of it.
  func takeReceipt(_ receipt: Receipt, _ frame: FrameHeader) {
    if frame.isDurable { return takeDurableReceipt(receipt, from: frame.source) }
    guard outbox.resolve(receipt.sequence, from: frame.source) else { return counters.ignored += 1 }
    timers.set(.receipt, outbox.nextDeadline)
    tell(.receipt(sequence: receipt.sequence, failure: receipt.failure))
  }

  /// Signs that this node is reached through the relay that it is linked to.
  private func answerChallenge(now: Instant) throws(ErrorCode) {
    let challenge = try session.withBody { body throws(ErrorCode) in try RouteChallenge(decoding: body) }
    // A signature is for the one at the other end of this link only.
    guard let welcome = session.peerWelcome, challenge.relay == welcome.hubId, challenge.relay >= Limits.lightNodeFirst
    else { throw .unexpectedRecord }
    challenged = challenge
    isWayNew = true
    scratch.clear()
    _ = RouteSignature.make(challenge, leaf: welcome.nodeId, instance: me.instance, identity: identity)
      .append(to: &scratch)
    try sendScratch(FrameHeader(kind: .routeProof, source: welcome.nodeId), now: now)
  }

  func sendScratch(_ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    try session.send(frame, bodyOf: scratch, now: now)
  }

  /// Sends what the other side can do without, or asks for again.
  func sendScratchIfRoom(_ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    guard session.output.space >= Session.recordBytes(body: scratch.count) else { return }
    try sendScratch(frame, now: now)
  }
}
