import Bounded
import Durable
import SkyCrypto
import Wire

/// Durable messages: on the medium before they are acknowledged, sent until the hub has them, recognised when
/// they come twice (docs/reliability.md).
///
/// The rings are written beside the loop; nothing here waits for them. `moveStored` goes on with whatever has
/// become possible.
extension Node {
  /// A record of the incoming ring that is not on the medium yet; its sender is to hear of it when it is.
  struct Owed {
    let record: UInt64
    let source: UInt32
    let stream: UInt64
    let sequence: UInt64
  }

  /// A durable message whose receiver may still say that it came.
  struct Awaited {
    let sequence: UInt64
    let destination: UInt32
  }

  /// One of the two rows in which durable messages leave. Each has its own waits: what holds one up lets the other go.
  struct Lane {
    let isUrgent: Bool
    /// Runs while the hub has no room for its messages.
    let resume: Timer
    /// How often the hub had none since all had gone.
    var refusals = 0

    static var urgent: Lane { Lane(isUrgent: true, resume: .resumeUrgent) }
    static var ordinary: Lane { Lane(isUrgent: false, resume: .resume) }

    func ring(of stores: Stores) -> DurableRing { stores.ring(isUrgent: isUrgent) }
  }

  // MARK: Sending

  /// Takes a message for the medium. It may be acknowledged to whoever gave it once `isStored` says so; it goes
  /// out whenever there is a hub, an urgent one before those that are not. `timeToLiveS` 0 means without limit.
  public func post(
    _ text: RawSpan, to destination: UInt32, timeToLiveS: UInt32 = 0, isUrgent: Bool = false, now: Instant
  ) throws(ErrorCode) -> UInt64 {
    guard let stores else { throw .ioFailed }
    guard state != .draining, state != .stopped else { throw .draining }
    guard nodeId != 0 else { throw .notJoined }
    guard text.byteCount <= Limits.messageBytes else { throw .tooLong }
    guard text.byteCount > 0, destination != nodeId else { throw .badArgument }
    // What cannot be on the medium is not taken: an acknowledgement would be a lie.
    let ring = stores.ring(isUrgent: isUrgent)
    guard ring.health == .stored else { throw .ioFailed }
    scratch.clear()
    StoredMessage(to: destination, timeToLiveS: timeToLiveS, takenMs: wallTimeMs(now: now))
      .appendOutgoing(to: &scratch)
    scratch.append(text)
    let sequence = try Self.append(scratch, to: ring, now: now)
    counters.posted += 1
    if awaited.isFull { _ = awaited.popFirst() }
    awaited.append(Awaited(sequence: sequence, destination: destination))
    return sequence
  }

  /// True once a posted message is on the medium; an error when the medium has failed meanwhile: the message
  /// is then only in memory, and may arrive all the same.
  public func isStored(_ sequence: UInt64) throws(ErrorCode) -> Bool {
    guard let stores else { throw .ioFailed }
    let ring = stores.ring(isUrgent: Limits.isUrgent(sequence))
    if ring.settledSequence >= sequence { return true }
    guard ring.health == .stored else { throw .ioFailed }
    return false
  }

  /// True when no acknowledged message would come back after a crash.
  public var isAcknowledgementStored: Bool {
    guard let stores, stores.incoming.health == .stored else { return true }
    return stores.incoming.isCheckpointed
  }

  /// Durable messages that wait for a hub, and the urgent ones of them.
  public var waitingToGo: UInt64 { urgentToGo + (stores?.outgoing.recordCount ?? 0) }
  public var urgentToGo: UInt64 { stores?.urgent.recordCount ?? 0 }
  /// Durable messages that wait for the owner, those in the inbox included.
  public var waitingHere: UInt64 { stores?.incoming.recordCount ?? 0 }

  /// Whether the media take what is to be kept.
  public var isStorageWell: Bool {
    guard let stores else { return false }
    return stores.outgoing.health == .stored && stores.urgent.health == .stored && stores.incoming.health == .stored
  }

  private static func append(
    _ body: borrowing ByteQueue, flags: UInt8 = 0, to store: DurableRing, now: Instant
  ) throws(ErrorCode) -> UInt64 {
    do throws(RingRefusal) {
      return try store.append(kind: 1, flags: flags, body.bytes, now: now)
    } catch {
      switch error {
      case .full: throw .full
      case .busy: throw .busy
      case .tooLong: throw .tooLong
      }
    }
  }

  // MARK: Progress

  /// Goes on with stored messages as far as the rings and the link allow. True when it wrote to the link: call
  /// again once that has been sent.
  public func moveStored(now: Instant) -> Bool {
    guard let stores else { return false }
    fillInbox(stores)
    guard state == .online else {
      // Whoever sent them sends again on the next link, and hears of it then.
      while !owed.isEmpty, owed[0].record <= stores.incoming.settledSequence { _ = owed.popFirst() }
      return false
    }
    let before = session.output.count
    do throws(ErrorCode) {
      try sayStored(stores, now: now)
      try sendStored(stores, now: now)
    } catch {
      linkFailed(error, now: now)
    }
    return session.output.count > before
  }

  /// A new link, or no answer: what was on the way may be lost.
  func resendStored() {
    resendStored(isUrgent: true)
    resendStored(isUrgent: false)
  }

  /// The same of one lane, whose wait is over.
  func resendStored(isUrgent: Bool) {
    guard let stores else { return }
    let lane = isUrgent ? Lane.urgent : .ordinary
    timers.cancel(lane.resume)
    timers.cancel(.resend)  // set anew by what goes out
    lane.ring(of: stores).rewind()
  }

  private func sendStored(_ stores: Stores, now: Instant) throws(ErrorCode) {
    var awaitsKey = false
    for i in 0..<lanes.count where timers[lanes[i].resume] == .never {
      if try sendStored(lanes[i].ring(of: stores), now: now) { awaitsKey = true }
    }
    if awaitsKey { runSeals(now: now) }
    renewKeysIfDue(by: now, now: now)
  }

  /// True when the next message waits for its receiver's key.
  private func sendStored(_ ring: DurableRing, now: Instant) throws(ErrorCode) -> Bool {
    let room = Session.recordBytes(body: Limits.streamBytes + Limits.sealBytes + Limits.messageBytes)
    while session.output.space >= 2 * room, let offer = ring.next() {
      guard let message = Self.message(at: ring) else {
        // Whole by its checksum and not ours: written by a version to come, or by a stranger.
        ring.consume(offer.sequence)
        counters.ignored += 1
        continue
      }
      guard let left = message.secondsLeft(wallMs: wallTimeMs(now: now)) else {
        ring.consume(offer.sequence)
        giveUp(offer.sequence, .expired)
        continue
      }
      var frame = FrameHeader(
        kind: .message, flags: FrameHeader.durable, source: nodeId, destination: message.peer,
        sequence: offer.sequence, timeToLiveS: left)
      switch sealVerdict(for: message.peer, isDurable: true, now: now) {
      case .plain:
        let isPacked = message.peer == 0 && hubTakesSeals
        frame.flags |= Self.copyBody(of: ring, stream: offer.stream, isPacked ? packRoom : nil, to: &scratch)
      case .sealed(let pair):
        frame.flags |= FrameHeader.sealed
        Self.sealBody(of: ring, frame, stream: offer.stream, pair, packRoom, to: &scratch)
        counters.sealedSent += 1
      case .wait:
        // Those behind it wait as well, for a few seconds at most: order is what windows rest on.
        ring.putBack()
        return true
      case .later: continue
      case .refused(let code):
        ring.consume(offer.sequence)
        giveUp(offer.sequence, code)
        continue
      }
      try session.send(frame, bodyOf: scratch, now: now)
      if timers[.resend] == .never { timers.set(.resend, now + Limits.resendMs) }
    }
    return false
  }

  private static func message(at ring: DurableRing) -> StoredMessage? { StoredMessage(outgoing: ring.body) }

  /// Leaves the stream's name and the text of the outgoing record at hand in `scratch`, packed in a room if it is given one
  /// and that is shorter. What to add to the flags.
  private static func copyBody(
    of ring: DurableRing, stream: UInt64, _ packRoom: PackRoom?, to scratch: inout ByteQueue
  ) -> UInt8 {
    scratch.clear()
    scratch.append(bigEndian: stream)
    let text = ring.body.extracting(StoredMessage.outgoingBytes..<ring.body.byteCount)
    if let packRoom, packRoom.pack(text, appendTo: &scratch) { return FrameHeader.packed }
    scratch.append(text)
    return 0
  }

  /// The same with the text sealed; whenever that is done it gives the same bytes.
  private static func sealBody(
    of ring: DurableRing, _ frame: FrameHeader, stream: UInt64, _ pair: SealPair, _ packRoom: PackRoom,
    to scratch: inout ByteQueue
  ) {
    scratch.clear()
    scratch.append(bigEndian: stream)
    let text = ring.body.extracting(StoredMessage.outgoingBytes..<ring.body.byteCount)
    _ = seal(text, context(of: frame, stream: stream), RawSpan(), pair, packRoom, into: &scratch)
  }

  /// The hub's word on what this node sent.
  func takeStored(now: Instant) throws(ErrorCode) {
    guard let stores else { return counters.ignored += 1 }
    for i in 0..<(try session.withBody(StoredEntry.count)) {
      let entry = try session.withBody { body throws(ErrorCode) in try StoredEntry.at(i, in: body) }
      guard let lane = lane(of: entry, stores) else {
        counters.ignored += 1
        continue
      }
      if entry.isForLater {
        guard timers[lanes[lane].resume] == .never else { continue }
        let isBusy = entry.failure == .busy
        timers.set(lanes[lane].resume, now + Limits.resumeMs(after: isBusy ? 0 : lanes[lane].refusals))
        if !isBusy { lanes[lane].refusals += 1 }
      } else if lanes[lane].ring(of: stores).consume(entry.sequence) {
        if let failure = entry.failure { giveUp(entry.sequence, failure) } else { counters.forwarded += 1 }
      }
    }
    var onTheWay = 0
    for i in 0..<lanes.count {
      let count = lanes[i].ring(of: stores).onTheWayCount
      if count == 0 { lanes[i].refusals = 0 }
      onTheWay += count
    }
    timers.set(.resend, onTheWay > 0 ? now + Limits.resendMs : .never)
  }

  /// Where the message that an entry speaks of is on the way from.
  private func lane(of entry: StoredEntry, _ stores: Stores) -> Int? {
    for i in 0..<lanes.count where lanes[i].ring(of: stores).gives(stream: entry.stream, sequence: entry.sequence) {
      return i
    }
    return nil
  }

  /// A posted message will not arrive.
  private func giveUp(_ sequence: UInt64, _ failure: ErrorCode) {
    counters.undelivered += 1
    stopAwaiting(sequence)
    tell(.receipt(sequence: sequence, failure: failure))
  }

  /// The receiver of a durable message has it.
  func takeDurableReceipt(_ receipt: Receipt, from source: UInt32) {
    guard stopAwaiting(receipt.sequence, from: source) else { return counters.ignored += 1 }
    tell(.receipt(sequence: receipt.sequence, failure: receipt.failure))
  }

  /// False when nobody's word on this message is awaited, or another's.
  @discardableResult
  private func stopAwaiting(_ sequence: UInt64, from destination: UInt32? = nil) -> Bool {
    var found = false
    for _ in 0..<awaited.count {
      guard let entry = awaited.popFirst() else { break }
      if entry.sequence == sequence, destination == nil || destination == entry.destination {
        found = true
      } else {
        awaited.append(entry)
      }
    }
    return found
  }

  // MARK: Receiving

  /// A durable message from the hub: kept before a word is said about it.
  func takeDurableMessage(_ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    guard frame.destination == nodeId, session.body.byteCount > Limits.streamBytes else { throw .malformedFrame }
    let stream = try session.withBody(decodeStream)
    var failure: ErrorCode?
    do throws(ErrorCode) {
      guard let stores else { throw .busy }
      let name = SeenMessages.name(stream, of: frame.source)
      switch stores.seen.novelty(frame.sequence, of: name, now: now) {
      case .new:
        try keep(frame, stream: stream, stores, now: now)
        return stores.seen.insert(frame.sequence, of: name, now: now)
      case .noRoom: throw .full
      case .duplicate, .tooOld:
        counters.duplicates += 1
        // Not before it is on the medium: its turn comes in `sayStored`.
        if isOwed(frame, stream: stream) { return }
      }
    } catch { failure = error }
    try refuse(frame, stream: stream, failure, now: now)
  }

  /// Says at once what became of a durable message that is not to be kept, or is kept already.
  private func refuse(_ frame: FrameHeader, stream: UInt64, _ failure: ErrorCode?, now: Instant) throws(ErrorCode) {
    var entry = StoredEntry(stream: stream, sequence: frame.sequence, failure: failure)
    switch failure {
    case nil: break
    case .keyAwaited: entry.failure = .busy
    case .notOpened, .plainRefused, .identityChanged:
      // To a hub that is too old to know the number it would mean: not now.
      if !hubTakesSeals { entry.failure = .forbidden }
      scratch.clear()
      _ = Receipt(sequence: frame.sequence, failure: failure).append(to: &scratch)
      try sendScratchIfRoom(
        FrameHeader(kind: .receipt, flags: FrameHeader.durable, source: nodeId, destination: frame.source), now: now)
    default: counters.refusedFull += 1
    }
    scratch.clear()
    _ = entry.append(to: &scratch)
    try sendScratchIfRoom(FrameHeader(kind: .stored, source: nodeId), now: now)
    runSeals(now: now)
  }

  private func keep(_ frame: FrameHeader, stream: UInt64, _ stores: Stores, now: Instant) throws(ErrorCode) {
    let most = Limits.streamBytes + Limits.messageBytes + (frame.isSealed ? Limits.sealBytes : 0)
    guard session.body.byteCount <= most else { throw .tooLong }
    guard !owed.isFull else { throw .busy }
    scratch.clear()
    StoredMessage(
      from: frame.source, stream: stream, sequence: frame.sequence, arrivedMs: wallTimeMs(now: now)
    ).appendIncoming(to: &scratch)
    let closed = try session.withBody { body throws(ErrorCode) in
      self.openIntoScratch(
        body.extracting(Limits.streamBytes..<body.byteCount), frame, stream: stream, now: now)
    }
    if let closed { throw closed }
    let flags = frame.isSealed ? StoredMessage.sealed : 0
    let record = try Self.append(scratch, flags: flags, to: stores.incoming, now: now)
    if frame.isSealed { counters.sealedReceived += 1 }
    owed.append(Owed(record: record, source: frame.source, stream: stream, sequence: frame.sequence))
  }

  private func isOwed(_ frame: FrameHeader, stream: UInt64) -> Bool {
    for i in 0..<owed.count {
      let entry = owed[i]
      if entry.source == frame.source, entry.stream == stream, entry.sequence == frame.sequence { return true }
    }
    return false
  }

  /// Tells the hub, and the sender, of what has reached the medium.
  private func sayStored(_ stores: Stores, now: Instant) throws(ErrorCode) {
    let settled = stores.incoming.settledSequence
    let least = Session.recordBytes(body: Limits.storedEntries * StoredEntry.byteCount)
    guard !owed.isEmpty, owed[0].record <= settled, session.output.space >= 2 * least else { return }
    scratch.clear()
    var count = 0
    while count < owed.count, count < Limits.storedEntries, owed[count].record <= settled {
      _ = StoredEntry(stream: owed[count].stream, sequence: owed[count].sequence, failure: nil).append(to: &scratch)
      count += 1
    }
    try sendScratch(FrameHeader(kind: .stored, source: nodeId), now: now)
    for _ in 0..<count {
      guard let entry = owed.popFirst() else { return }
      scratch.clear()
      _ = Receipt(sequence: entry.sequence, failure: nil).append(to: &scratch)
      try sendScratchIfRoom(
        FrameHeader(kind: .receipt, flags: FrameHeader.durable, source: nodeId, destination: entry.source), now: now)
    }
  }

  /// What is on the medium and was not shown yet becomes visible to the owner.
  private func fillInbox(_ stores: Stores) {
    while inbox.count < inbox.capacity, let offer = stores.incoming.next() {
      do throws(ErrorCode) {
        let entry = try Self.show(offer, of: stores.incoming, in: inbox)
        counters.received += 1
        tell(
          .message(
            number: entry.number, source: entry.source, isSealed: offer.isSealed, isUrgent: entry.isUrgent))
      } catch {
        // Whole by its checksum and not ours.
        stores.incoming.consume(offer.sequence)
        counters.ignored += 1
      }
    }
  }

  private static func show(_ offer: RingOffer, of ring: DurableRing, in inbox: Inbox)
    throws(ErrorCode) -> (number: UInt64, source: UInt32, isUrgent: Bool)
  {
    guard let message = StoredMessage(incoming: ring.body) else { throw .malformed }
    let number = try inbox.append(
      ring.body.extracting(StoredMessage.incomingBytes..<ring.body.byteCount), source: message.peer,
      sequence: message.sequence, wallTimeMs: message.timeMs, stream: message.stream, record: offer.sequence,
      isSealed: offer.isSealed)
    return (number, message.peer, Limits.isUrgent(message.sequence))
  }

  /// Drops inbox entries up to `number`; how many went. Those that were durable are gone for good once
  /// `isAcknowledgementStored` says so.
  public func acknowledge(upTo number: UInt64) -> Int {
    var dropped = 0
    while let entry = inbox.popFirst(upTo: number) {
      dropped += 1
      guard entry.record != 0, let stores else { continue }
      stores.incoming.consume(entry.record)
      stores.incoming.askForCheckpoint()
    }
    return dropped
  }
}
