import Bounded
import SkyCrypto
import Wire

/// Messages sealed from end to end: which way a message goes out, how keys come about, and the opening of what comes in
/// (docs/protocol.md, "Sealed messages").
extension Node {
  /// How a message to another node goes out now.
  enum SealVerdict {
    case plain
    case sealed(SealPair)
    /// The hub is being asked; known within a few seconds.
    case wait
    /// Not now; durable messages are looked at again later.
    case later(ErrorCode)
    case refused(ErrorCode)

    var isSealed: Bool { if case .sealed = self { true } else { false } }
  }

  // MARK: Deciding

  func sealVerdict(for destination: UInt32, isDurable: Bool = false, now: Instant) -> SealVerdict {
    if destination == 0 || settings.seal == .off { return .plain }
    let mustSeal = settings.seal == .require || known.contains(destination)
    guard hubTakesSeals, hubKey != nil else { return mustSeal ? .later(.sealUnavailable) : .plain }
    let pair = seals.pair(destination, isOutgoing: true)
    // No hub will answer; a neighbour behind the same relay may be reached all the same.
    if isCutOff, pair?.state != .ready { return mustSeal || isDurable ? .later(.offline) : .plain }
    guard let pair else { return beginKey(for: destination, now: now) }
    switch pair.state {
    case .ready: return .sealed(pair)
    case .free, .asking, .offering: return .wait
    case .none, .failed: if now >= pair.deadline { return beginKey(for: destination, now: now) }
    }
    switch pair.state {
    case .none(let code): return mustSeal ? .refused(code) : .plain
    case .failed(.timeout) where !mustSeal: return .plain
    case .failed(.identityChanged): return .refused(.identityChanged)
    case .failed(let code):
      seals.resumeAt = min(seals.resumeAt, pair.deadline)
      return .later(code)
    case .free, .asking, .offering, .ready: return .wait
    }
  }

  private func beginKey(for destination: UInt32, now: Instant) -> SealVerdict {
    _ = seals.begin(destination, isOutgoing: true, number: drawNumber(), now: now)
    return .wait
  }

  private func drawNumber() -> UInt64 { max(1, random.next()) }

  // MARK: Sending

  /// Sends what need not wait any more, and says of the rest why it will not go.
  private func moveWaiting(now: Instant) {
    var left = seals.waiting.count
    while left > 0, state == .online, let head = SealDesk.Waiting(seals.waiting) {
      left -= head.byteCount
      let frame = FrameHeader(
        kind: .message, source: nodeId, destination: head.destination, sequence: head.sequence)
      let verdict = sealVerdict(for: head.destination, now: now)
      scratch.clear()
      switch verdict {
      case .wait:
        // Behind the others.
        Self.copy(seals.waiting, 0..<head.byteCount, to: &scratch)
        seals.waiting.consume(head.byteCount)
        Self.copy(scratch, 0..<scratch.count, to: &seals.waiting)
        continue
      case .plain: Self.copy(seals.waiting, head.text, to: &scratch)
      case .sealed(let pair): sealWaiting(head, frame, pair)
      case .later(let code), .refused(let code): endWaiting(head, code)
      }
      seals.waiting.consume(head.byteCount)
      if !scratch.isEmpty { sendWaiting(head, frame, isSealed: verdict.isSealed, now: now) }
    }
  }

  private static func copy(_ queue: borrowing ByteQueue, _ range: Range<Int>, to other: inout ByteQueue) {
    other.append(queue.bytes.extracting(range))
  }

  private func sealWaiting(_ head: SealDesk.Waiting, _ frame: FrameHeader, _ pair: SealPair) {
    var sealed = frame
    sealed.flags = FrameHeader.sealed
    let salt = random.bytes32()
    _ = Self.seal(seals.waiting, head.text, Self.context(of: sealed), salt.raw, pair, packRoom, into: &scratch)
  }

  /// The text is a part of a queue.
  private static func seal(
    _ queue: borrowing ByteQueue, _ range: Range<Int>, _ context: SealContext, _ salt: RawSpan, _ pair: SealPair,
    _ packRoom: PackRoom, into other: inout ByteQueue
  ) -> Bool { seal(queue.bytes.extracting(range), context, salt, pair, packRoom, into: &other) }

  /// Appends the sealed text.
  static func seal(
    _ text: RawSpan, _ context: SealContext, _ salt: RawSpan, _ pair: SealPair, _ packRoom: PackRoom,
    into other: inout ByteQueue
  ) -> Bool {
    let isSealed = pair.key.seal(packRoom.sealable(text), context, salt: salt, appendTo: &other)
    packRoom.clear()
    return isSealed
  }

  /// The body is in `scratch`.
  private func sendWaiting(_ head: SealDesk.Waiting, _ frame: FrameHeader, isSealed: Bool, now: Instant) {
    var frame = frame
    if isSealed { frame.flags = FrameHeader.sealed }
    do throws(ErrorCode) {
      try sendScratch(frame, now: now)
      if isSealed { counters.sealedSent += 1 }
    } catch {
      endWaiting(head, error == .full ? .full : .offline)
      if error != .full { linkFailed(error, now: now) }
    }
  }

  /// Seals an ordinary message into `scratch`.
  func sealIntoScratch(_ text: RawSpan, _ frame: FrameHeader, _ pair: SealPair) -> Bool {
    scratch.clear()
    let salt = random.bytes32()
    return Self.seal(text, Self.context(of: frame), salt.raw, pair, packRoom, into: &scratch)
  }

  static func context(of frame: FrameHeader, stream: UInt64 = 0) -> SealContext {
    SealContext(
      flags: frame.flags, source: frame.source, destination: frame.destination, sequence: frame.sequence,
      stream: stream)
  }

  private func endWaiting(_ head: SealDesk.Waiting, _ failure: ErrorCode) {
    guard outbox.resolve(head.sequence, from: head.destination) else { return }
    timers.set(.receipt, outbox.nextDeadline)
    tell(.receipt(sequence: head.sequence, failure: failure))
  }

  // MARK: Keys

  /// When `runSeals` has something to do.
  var sealDeadline: Instant { state == .online && !isWayNew ? seals.deadline : .never }

  /// A new way to the hub: it has to hear of this node's card again.
  func sealsAnew(now: Instant) {
    guard let hub = hubKey else { return }
    seals.use(hub: hub)
    if hubTakesSeals { seals.cardAt = now }
    runSeals(now: now)
  }

  /// The hub knows seals after all.
  func learntOfSeals(now: Instant) {
    guard hubTakesSeals else { return }
    seals.resumeAt = now
    sealsAnew(now: now)
  }

  /// What was passed over may go now.
  func resumeSealing(now: Instant) {
    seals.resumeAt = now
    runSeals(now: now)
  }

  /// The owner wants it otherwise from now on.
  func sealPolicyChanged(now: Instant) {
    guard state == .online, hubTakesSeals else { return }
    seals.cardAt = now
    seals.resumeAt = now
  }

  func sealLinkEnded() {
    seals.linkEnded()
    while let head = SealDesk.Waiting(seals.waiting) {
      seals.waiting.consume(head.byteCount)
      endWaiting(head, .offline)
    }
  }

  /// Asks what is to be asked, and gives up what was not answered.
  func runSeals(now: Instant) {
    guard state == .online, !isWayNew else { return }
    if now >= seals.cardAt { sendCard(now: now) }
    while state == .online, let pair = seals.due(now: now) {
      guard pair.tries < Limits.sealTries else {
        giveUp(pair, .timeout, now: now)
        continue
      }
      guard hubTakesSeals, ask(for: pair, now: now) else {
        pair.deadline = now + Limits.bundleWaitMs
        continue
      }
      pair.state = .asking
      pair.isOffered = false
      pair.tries += 1
      pair.deadline = now + Limits.sealAnswerMs
    }
    if now >= seals.resumeAt {
      seals.resumeAt = .never
      resendStored()
    }
    moveWaiting(now: now)
  }

  /// False when there is no room for it now.
  private func ask(for pair: SealPair, now: Instant) -> Bool {
    scratch.clear()
    SealQuery(id: pair.peer, number: pair.number).append(to: &scratch)
    return sendSealFrame(pair.isOutgoing ? .keyQuery : .offerRequest, now: now)
  }

  private func sendSealFrame(_ kind: FrameKind, now: Instant) -> Bool {
    guard session.output.space >= Session.recordBytes(body: scratch.count) + Limits.relayReserveBytes else {
      return false
    }
    do throws(ErrorCode) {
      try sendScratch(FrameHeader(kind: kind, source: nodeId), now: now)
      return true
    } catch {
      linkFailed(error, now: now)
      return false
    }
  }

  /// An empty card when nothing is to be sealed for this node.
  private func sendCard(now: Instant) {
    scratch.clear()
    guard seals.secrets.appendPublicKey(to: &scratch) else { return }
    seals.card = Self.digest(of: scratch)
    if settings.seal == .off {
      scratch.clear()
    } else {
      scratch.append(Self.signCard(scratch, id: nodeId, by: identity).raw)
    }
    seals.cardAt = sendSealFrame(.card, now: now) ? .never : now + Limits.bundleWaitMs
  }

  private static func digest(of queue: borrowing ByteQueue) -> Bytes32 { Sha256.digest(queue.bytes) }

  private static func signCard(_ queue: borrowing ByteQueue, id: UInt32, by identity: borrowing Identity) -> Signature {
    SealSignature.signCard(queue.bytes, id: id, by: identity)
  }

  private func giveUp(_ pair: SealPair, _ code: ErrorCode, now: Instant) {
    // For an offer nobody waits here: its messages come again, and it is asked for again.
    if !pair.isOutgoing, code == .timeout { return pair.release() }
    // An answer that takes long is an answer all the same: over some ways each one does.
    if code != .timeout { pair.key.wipe() }
    pair.state = .failed(code)
    pair.deadline = now + Limits.sealRetryMs
  }

  // MARK: From the hub

  func takeKeyAnswer(now: Instant) throws(ErrorCode) {
    let (node, hub) = (nodeId, hubKey)
    scratch.clear()
    try session.withBody { body throws(ErrorCode) in
      let answer = try SealAnswer(decoding: body, rest: Card.byteCount)
      guard let pair = self.seals.pair(answer.head.id, isOutgoing: true), pair.number == answer.head.number,
        pair.state == .asking || pair.state == .failed(.timeout) && !pair.isOffered
      else { return self.counters.ignored += 1 }
      guard let hub, SealSignature.isGenuine(.key, answer, for: node, hub: hub) else {
        return self.giveUp(pair, .badSignature, now: now)
      }
      if let failure = answer.head.failure {
        pair.state = .none(failure)
        pair.deadline = now + Limits.noCardMs
        return
      }
      let receiver = SealEnd(id: pair.peer, identity: answer.identity)
      guard self.known.allows(receiver.id, receiver.identity) else {
        return self.giveUp(pair, .identityChanged, now: now)
      }
      let card = try Card(decoding: answer.rest())
      guard SealSignature.isCard(card, of: receiver), self.composeOffer(pair, receiver, card.publicKey()) else {
        return self.giveUp(pair, .badSignature, now: now)
      }
      self.remember(receiver)
      pair.state = .offering
      pair.isOffered = true
      pair.deadline = now + Limits.sealAnswerMs
    }
    // Without room it is asked for, and offered, again.
    if !scratch.isEmpty { _ = sendSealFrame(.offer, now: now) }
    runSeals(now: now)
  }

  /// Leaves the body of OFFER in `scratch`.
  private func composeOffer(_ pair: SealPair, _ receiver: SealEnd, _ publicKey: RawSpan) -> Bool {
    let sender = SealEnd(id: nodeId, identity: identity.publicKey)
    let card = Sha256.digest(publicKey)
    scratch.clear()
    scratch.append(bigEndian: receiver.id)
    scratch.append(card.raw)
    let start = scratch.count
    guard
      seals.secrets.offer(from: sender, to: receiver, publicKey: publicKey, appendTo: &scratch, into: &pair.key)
    else { return false }
    let signature = Self.signOffer(scratch, start, card, sender.id, receiver.id, by: identity)
    return scratch.append(signature.raw)
  }

  private static func signOffer(
    _ queue: borrowing ByteQueue, _ start: Int, _ card: Bytes32, _ sender: UInt32, _ receiver: UInt32,
    by identity: borrowing Identity
  ) -> Signature {
    SealSignature.signOffer(
      queue.bytes.extracting(start..<queue.count), card: card, from: sender, to: receiver, by: identity)
  }

  private func remember(_ end: SealEnd) {
    if known.note(end.id, end.identity) { want(.keepKnown) }
  }

  /// What became of an offer; or the hub wants one again.
  func takeOffered(now: Instant) throws(ErrorCode) {
    let word = try session.withBody { body throws(ErrorCode) in try Offered(decoding: body) }
    let pair = seals.pair(word.id, isOutgoing: true)
    switch word.failure {
    case nil:
      guard let pair, pair.isOffered, pair.state == .offering || pair.state == .failed(.timeout) else {
        return counters.ignored += 1
      }
      pair.state = .ready
      pair.deadline = .never
      if seals.resumeAt != .never { seals.resumeAt = now }
    case .notFound:
      // Its receiver waits for it, whatever this node still knows of the pair; unless that is under way.
      if settings.seal == .off || pair?.state == .asking || pair?.state == .offering { break }
      _ = seals.begin(word.id, isOutgoing: true, number: drawNumber(), now: now)
    case .some(let code): if let pair, pair.state == .offering { giveUp(pair, code, now: now) }
    }
    runSeals(now: now)
  }

  func takeOffer(now: Instant) throws(ErrorCode) {
    let (node, hub) = (nodeId, hubKey)
    try session.withBody { body throws(ErrorCode) in
      let answer = try SealAnswer(decoding: body, rest: SealOffer.byteCount)
      let head = answer.head
      var pair = self.seals.pair(head.id, isOutgoing: false)
      let isAsked = pair?.state == .asking && pair?.number == head.number
      // An offer is welcome whenever it comes; that there is none, only as an answer.
      guard isAsked || head.failure == nil else { return self.counters.ignored += 1 }
      if head.failure != nil {
        pair?.state = .none(.keyAwaited)
        pair?.deadline = now + Limits.resumeMs
        return
      }
      let offer = try SealOffer(decoding: answer.rest())
      let sender = SealEnd(id: head.id, identity: answer.identity)
      if pair?.state == .ready, pair?.key.id == PairKey.id(ofCiphertext: Sha256.digest(offer.ciphertext())) { return }
      guard let hub, let card = self.seals.card, SealSignature.isGenuine(.offer, answer, for: node, hub: hub) else {
        // What nobody asked for must not cost anything that stands.
        if isAsked, let pair { self.giveUp(pair, .badSignature, now: now) }
        return self.counters.ignored += 1
      }
      pair = pair ?? self.seals.begin(head.id, isOutgoing: false, number: 1, now: now)
      guard let pair else { return }
      guard self.known.allows(sender.id, sender.identity) else {
        return self.giveUp(pair, .identityChanged, now: now)
      }
      guard SealSignature.isOffer(offer, from: sender, to: node), equal(offer.card, card),
        self.seals.secrets.take(
          offer.ciphertext(), from: sender, to: SealEnd(id: node, identity: self.identity.publicKey), card: card,
          into: &pair.key)
      else { return self.giveUp(pair, .badSignature, now: now) }
      self.remember(sender)
      pair.state = .ready
      // Until then another key's messages are damaged ones, not a reason to ask again.
      pair.deadline = now + Limits.sealRetryMs
    }
  }

  // MARK: Receiving

  /// Appends the text of a message to `scratch`, opened if it is sealed. Nil when it is there; `keyAwaited` when it may be
  /// once the sender's key has come.
  func openIntoScratch(_ body: RawSpan, _ frame: FrameHeader, stream: UInt64 = 0, now: Instant) -> ErrorCode? {
    guard frame.isSealed else {
      guard frame.source == 0 || settings.seal != .require else { return .plainRefused }
      scratch.append(body)
      return nil
    }
    guard frame.source != 0, let keyId = PairKey.id(in: body) else { return noteNotOpened() }
    guard let pair = seals.pair(frame.source, isOutgoing: false) else {
      return awaitOffer(from: frame.source, now: now)
    }
    switch pair.state {
    case .ready where pair.key.id == keyId:
      let start = scratch.count
      guard pair.key.open(body, Self.context(of: frame, stream: stream), appendTo: &scratch),
        packRoom.restore(&scratch, from: start)
      else { return noteNotOpened() }
      packRoom.clear()
      return nil
    // One that was made lately is the right one: this message is not.
    case .ready where now < pair.deadline: return noteNotOpened()
    case .failed(.identityChanged) where now < pair.deadline: return .identityChanged
    case .none where now < pair.deadline, .failed where now < pair.deadline: return .keyAwaited
    case .asking: return .keyAwaited
    case .free, .offering, .ready, .none, .failed: return awaitOffer(from: frame.source, now: now)
    }
  }

  private func noteNotOpened() -> ErrorCode {
    counters.notOpened += 1
    return .notOpened
  }

  /// Asks the hub, unless much is asked for already: the message comes again.
  private func awaitOffer(from source: UInt32, now: Instant) -> ErrorCode {
    if seals.offersAsked < Limits.sealPairs / 4 {
      _ = seals.begin(source, isOutgoing: false, number: drawNumber(), now: now)
    }
    return .keyAwaited
  }

  // MARK: Requests

  /// Forgets the identity of one node, or of all (0): what comes next from there is believed again. How many were known.
  public func forgetKeys(of id: UInt32) -> Int {
    var count = 0
    while count < Limits.knownNodes, known.count > 0 {
      let entry = known[known.count - 1]
      guard known.forget(id == 0 ? entry.id : id) else { break }
      seals.forget(id == 0 ? entry.id : id)
      count += 1
    }
    if count > 0 { want(.keepKnown) }
    return count
  }
}
