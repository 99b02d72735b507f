import Bounded
import SkyCrypto
import Wire

/// One side of one link: the inner handshake, the record layer and key renewal (docs/protocol.md).
///
/// It is not a connection: bytes go in through `input` and come out of `output`; whoever owns the TLS
/// stream moves them. The same code serves a node (`initiator`) and a hub (`responder`).
///
/// Order of calls: `start…` once TLS is up; then, whenever `input` has grown, `nextEvent` until it gives
/// nil; `send` once `.established` was seen. After `.hello` a responder calls `accept` or `refuse` before
/// the next `nextEvent`. A thrown error ends the session: keys are gone and `output` holds the last words.
///
/// Invariant: no frame goes out or in unless `phase == .established`.
public struct Session: ~Copyable {
  public enum Phase: Sendable {
    case idle, awaitingHello, deciding, awaitingWelcome, awaitingConfirm, awaitingReady, established, failed
  }

  public enum Event: Equatable, Sendable {
    /// Responder: `peerHello` is filled; call `accept` or `refuse` now.
    case hello
    /// Both sides have proved the same keys.
    case established
    /// A frame for the owner; its body is `body` until the next call of `nextEvent`.
    case frame(FrameHeader)
    /// New keys are in force; the number of renewals so far.
    case rekeyed(UInt32)
    /// The other side ended the link with this error.
    case closed(ErrorCode)
  }

  public var input = ByteQueue(capacity: Limits.linkInputBytes)
  public var output = ByteQueue(capacity: Limits.linkOutputBytes)
  public internal(set) var phase = Phase.idle
  /// What the node said of itself (responder, after `.hello`).
  public internal(set) var peerHello: Hello?
  /// What the hub answered (initiator, after `.established`).
  public internal(set) var peerWelcome: Welcome?
  /// The nonce of the WELCOME: names this link to whoever is at one of its ends (after `.established`).
  public internal(set) var linkNonce = Bytes32(repeating: 0)
  /// Key renewals since the handshake, modulo 2^32: a peer may renew as often as it likes.
  public private(set) var renewals: UInt32 = 0

  var isInitiator = true
  /// What this side understands, and what was agreed on.
  var versions = Limits.lowestVersion...Limits.lowestVersion
  public internal(set) var version = Limits.lowestVersion
  /// What seals its records.
  public var aead: Aead { version == 1 ? .chaCha20Poly1305 : .aegis256 }
  var expectedHubKey = Bytes32(repeating: 0)
  var exporter = Secret<32>()
  var exporterContext = Bytes32(repeating: 0)
  var transcript = Sha256()
  var helloDigest = Bytes32(repeating: 0)
  var ephemeral = Secret<32>()
  var shared = Secret<32>()
  var extracted = Secret<32>()
  var chain = Secret<32>()
  var confirmNode = Secret<32>()
  var confirmHub = Secret<32>()
  var seed32 = Secret<32>()
  var seed64 = Secret<64>()
  /// Where keys and ciphertexts are made before they go into a record.
  var scratch = ByteQueue(capacity: Limits.xwingPublicKeyBytes)
  var nextSend = Secret<32>()
  var nextReceive = Secret<32>()

  var sending = LinkKey()
  var receiving = LinkKey()
  /// Responder only: new keys derived, the node's first record under them not yet seen.
  private var receivePending = false
  /// Initiator only: REKEY INIT sent, no reply yet.
  private var rekeyUnderway = false
  private var rekeyTranscript = Sha256()

  /// Bytes of the record in `input` that was handed out and goes at the next call.
  private var consumed = 0
  private var bodyStart = 0
  private var bodyCount = 0

  /// Makes every allocation the session will ever need.
  public init() {}

  /// Forgets everything: keys wiped, queues emptied.
  public mutating func reset() {
    input.clear()
    output.clear()
    scratch.clear()
    wipeSecrets()
    phase = .idle
    peerHello = nil
    peerWelcome = nil
    renewals = 0
    version = Limits.lowestVersion
    receivePending = false
    rekeyUnderway = false
    consumed = 0
    bodyCount = 0
    transcript = Sha256()
  }

  /// Throws away what has come in: for a session that has ended while its stream has not.
  mutating func discardInput() {
    releaseRecord()
    input.consume(input.count)
  }

  /// The body of the frame last returned.
  public var body: RawSpan {
    @_lifetime(borrow self)
    get { input.bytes.extracting(bodyRange) }
  }
  /// Appends the body, without its first bytes.
  func copyBody(from start: Int, to queue: inout ByteQueue) {
    queue.append(body.extracting(start..<bodyCount))
  }
  /// The body lent for a call: a span cannot leave the property of a class that holds its session.
  func withBody<R>(_ use: (RawSpan) throws(ErrorCode) -> R) throws(ErrorCode) -> R { try use(body) }
  private var bodyRange: Range<Int> { bodyStart..<(bodyStart + bodyCount) }

  public var isEstablished: Bool { phase == .established }
  public var keyEpoch: UInt8 { sending.epoch }
  public func keyAge(now: Instant) -> UInt64 { now.since(sending.bornAt) }

  /// When the keys stop working if nothing renews them.
  public var keyDeadline: Instant { sending.bornAt + Limits.keyRefusedAfterMs }

  /// True when the initiator should renew by `deadline`.
  public func rekeyDue(by deadline: Instant, afterMs: UInt64) -> Bool {
    guard isEstablished, !rekeyUnderway else { return false }
    return deadline >= sending.bornAt + afterMs || sending.counter >= Limits.rekeyAfterFrames
      || receiving.counter >= Limits.rekeyAfterFrames
  }

  public var rekeyStartsAt: Instant { sending.bornAt }

  /// The HELLO's payload, while deciding.
  func copyHello(to queue: inout ByteQueue) {
    precondition(phase == .deciding)
    let start = Limits.recordHeaderBytes
    queue.append(input.bytes.extracting(start..<(start + Hello.byteCount)))
  }

  /// Seals the frame at hand for another session: what a relay does all day.
  func forward(as frame: FrameHeader, to other: inout Session, now: Instant) throws(ErrorCode) {
    try other.send(frame, body: body, now: now)
  }

  // MARK: Receiving

  /// Works on the next whole record of `input`; nil when there is none.
  public mutating func nextEvent(
    now: Instant, identity: borrowing Identity, random: inout Drbg
  ) throws(ErrorCode) -> Event? {
    do throws(ErrorCode) {
      return try advance(now: now, identity: identity, random: &random)
    } catch {
      fail(error, now: now)
      throw error
    }
  }

  private mutating func advance(
    now: Instant, identity: borrowing Identity, random: inout Drbg
  ) throws(ErrorCode) -> Event? {
    while true {
      // While the owner decides, the HELLO stays: `accept` reads its key.
      if phase == .deciding { return nil }
      releaseRecord()
      if phase == .failed { return nil }
      guard let header = try RecordHeader.peek(input.bytes, tagBytes: aead.tagBytes) else { return nil }
      let total = Limits.recordHeaderBytes + header.length
      guard input.count >= total else { return nil }
      consumed = total
      switch (phase, header.type) {
      case (.awaitingHello, .hello):
        try readHello(total)
        return .hello
      case (.awaitingWelcome, .welcome):
        try readWelcome(total, now: now, identity: identity)
      case (.awaitingConfirm, .confirm):
        try readConfirm(total, now: now)
        return .established
      case (.awaitingReady, .ready):
        try readReady(total)
        return .established
      case (.established, .sealed):
        if let event = try readSealed(header, total, now: now, random: &random) { return event }
      case (.awaitingWelcome, .refusal), (.awaitingReady, .refusal), (.awaitingConfirm, .refusal):
        let code = try decodeCode(input.bytes.extracting(Limits.recordHeaderBytes..<total))
        wipeSecrets()
        phase = .failed
        return .closed(code)
      default:
        throw .unexpectedRecord
      }
    }
  }

  private mutating func releaseRecord() {
    input.consume(consumed)
    consumed = 0
    bodyCount = 0
  }

  private mutating func readSealed(
    _ header: RecordHeader, _ total: Int, now: Instant, random: inout Drbg
  ) throws(ErrorCode) -> Event? {
    let counter: UInt64
    if receivePending, header.epoch == receiving.epoch &+ 1 {
      // The waiting key is as old as the sending key that was derived with it.
      let madeAt = sending.bornAt
      guard now.since(madeAt) <= Limits.keyRefusedAfterMs else { throw .keyExpired }
      counter = try Self.open(&input, total, aead, key: nextReceive, window: ReplayWindow())
      receiving.advance(to: &nextReceive, epoch: header.epoch, now: madeAt)
      receivePending = false
    } else {
      guard header.epoch == receiving.epoch else { throw .wrongEpoch }
      try receiving.checkUsable(now: now)
      counter = try Self.open(&input, total, aead, key: receiving.key, window: receiving.window)
    }
    receiving.window.mark(counter)
    receiving.counter += 1

    let frameStart = Limits.recordHeaderBytes + Limits.counterBytes
    let frameEnd = total - aead.tagBytes
    let frame = try FrameHeader(decoding: input.bytes.extracting(frameStart..<frameEnd))
    bodyStart = frameStart + Limits.frameHeaderBytes
    bodyCount = frameEnd - bodyStart
    switch frame.kind {
    case .rekeyInit:
      try answerRekey(now: now, random: &random)
      return .rekeyed(renewals)
    case .rekeyReply:
      try finishRekey(now: now)
      return .rekeyed(renewals)
    case .rekeyDone:
      guard !isInitiator, bodyCount == 0 else { throw .malformedFrame }
      return nil
    // One for somebody behind this side is the owner's to pass on.
    case .ping where frame.destination == 0:
      try sendIfRoom(FrameHeader(kind: .pong, sequence: frame.sequence), now: now)
      return nil
    case .close:
      let code = try decodeCode(body)
      wipeSecrets()
      phase = .failed
      return .closed(code)
    case .configure, .heartbeat, .heartbeatAck, .message, .receipt, .ping, .pong, .stored, .wordQuery, .wordAnswer,
      .dictionaryRequest, .dictionaryPiece, .system, .bundleOffer, .bundleRequest, .bundlePiece, .admit, .admitted,
      .routeChallenge, .routeProof, .attach, .attached, .detach, .job, .jobProgress, .jobResult, .jobCancel, .question,
      .answer, .vote, .card, .keyQuery, .keyAnswer, .offer, .offered, .offerRequest, .fellow, .share, .committed, .here,
      .gone, .probe, .alive:
      return .frame(frame)
    }
  }

  /// Authenticates and decrypts the record at the front of `queue`, in place.
  private static func open(
    _ queue: inout ByteQueue, _ total: Int, _ aead: Aead, key: borrowing Secret<32>, window: ReplayWindow
  ) throws(ErrorCode) -> UInt64 {
    let number: UInt64 = queue.bytes.unsafeLoadUnaligned(fromByteOffset: Limits.recordHeaderBytes, as: UInt64.self)
    let counter = UInt64(bigEndian: number)
    guard window.allows(counter) else { throw .replayed }
    let textStart = Limits.recordHeaderBytes + Limits.counterBytes
    guard
      aead.open(
        &queue, additional: 0..<textStart, text: textStart..<(total - aead.tagBytes), counter: counter, key: key)
    else { throw .decryptFailed }
    return counter
  }

  // MARK: Sending

  /// The most that a frame with a body of `count` takes in `output`.
  public static func recordBytes(body count: Int) -> Int {
    Limits.recordHeaderBytes + Limits.counterBytes + Limits.frameHeaderBytes + count + Limits.tagBytes
  }

  /// Seals one frame into `output`. `full` when it does not fit now; nothing is lost then.
  public mutating func send(_ frame: FrameHeader, body: RawSpan = RawSpan(), now: Instant) throws(ErrorCode) {
    guard isEstablished else { throw .offline }
    try Self.seal(frame, body, aead, key: &sending, into: &output, now: now)
  }

  /// The same with all of a queue as the body.
  public mutating func send(_ frame: FrameHeader, bodyOf queue: borrowing ByteQueue, now: Instant) throws(ErrorCode) {
    guard isEstablished else { throw .offline }
    try Self.seal(frame, queue, aead, key: &sending, into: &output, now: now)
  }

  /// For frames that may be left out: a peer that reads slowly is no reason to end the link.
  private mutating func sendIfRoom(_ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    guard output.space >= Self.recordBytes(body: 0) else { return }
    try send(frame, now: now)
  }

  private static func seal(
    _ frame: FrameHeader, _ body: borrowing ByteQueue, _ aead: Aead, key: inout LinkKey, into queue: inout ByteQueue,
    now: Instant
  ) throws(ErrorCode) {
    try seal(frame, body.bytes, aead, key: &key, into: &queue, now: now)
  }

  private static func seal(
    _ frame: FrameHeader, _ body: RawSpan, _ aead: Aead, key: inout LinkKey, into queue: inout ByteQueue, now: Instant
  ) throws(ErrorCode) {
    guard body.byteCount <= Limits.frameBodyBytes else { throw .tooLong }
    guard queue.space >= recordBytes(body: body.byteCount) else { throw .full }
    try key.checkUsable(now: now)
    let start = queue.count
    let plain = Limits.frameHeaderBytes + body.byteCount
    let length = Limits.counterBytes + plain + aead.tagBytes
    _ = RecordHeader(type: .sealed, epoch: key.epoch, length: length).append(to: &queue)
    queue.append(bigEndian: key.counter)
    _ = frame.append(to: &queue)
    queue.append(body)
    for _ in 0..<(aead.tagBytes / 8) { queue.append(bigEndian: UInt64(0)) }  // room for the tag
    let textStart = start + Limits.recordHeaderBytes + Limits.counterBytes
    aead.seal(
      &queue, additional: start..<textStart, text: textStart..<(textStart + plain), counter: key.counter, key: key.key)
    key.counter += 1
  }

  /// Says why and ends the session. The owner closes the stream once `output` has gone out.
  public mutating func close(_ code: ErrorCode, now: Instant) { fail(code, now: now) }

  mutating func fail(_ code: ErrorCode, now: Instant) {
    let before = phase
    guard before != .failed else { return }
    switch before {
    case .established:
      var body = InlineArray<2, UInt8>(repeating: UInt8(truncatingIfNeeded: code.rawValue))
      body[0] = UInt8(truncatingIfNeeded: code.rawValue >> 8)
      // When even this cannot be sent, the closed stream is the message.
      do throws(ErrorCode) { try send(FrameHeader(kind: .close), body: body.raw, now: now) } catch {}
    case .awaitingHello, .deciding, .awaitingConfirm, .awaitingWelcome, .awaitingReady:
      if RecordHeader(type: .refusal, epoch: 0, length: 2).append(to: &output) {
        output.append(bigEndian: code.rawValue)
      }
    case .idle, .failed: break
    }
    wipeSecrets()
    phase = .failed
  }

  private mutating func wipeSecrets() {
    exporter.wipe()
    exporterContext = Bytes32(repeating: 0)
    ephemeral.wipe()
    shared.wipe()
    extracted.wipe()
    chain.wipe()
    confirmNode.wipe()
    confirmHub.wipe()
    seed32.wipe()
    seed64.wipe()
    nextSend.wipe()
    nextReceive.wipe()
    sending.wipe()
    receiving.wipe()
  }

  // MARK: Keys

  /// From the handshake's secrets: chain, confirmation and first link keys; what made them is wiped.
  mutating func deriveLinkKeys(now: Instant) {
    Hkdf.extract(salt: transcript.digest, exporter, shared, into: &extracted)
    Hkdf.expand(extracted, label: "skynod 1 confirm node", into: &confirmNode)
    Hkdf.expand(extracted, label: "skynod 1 confirm hub", into: &confirmHub)
    expandDirections()
    sending.advance(to: &nextSend, epoch: 0, now: now)
    receiving.advance(to: &nextReceive, epoch: 0, now: now)
    exporter.wipe()
  }

  private mutating func expandDirections() {
    Hkdf.expand(extracted, label: "skynod 1 chain", into: &chain)
    if isInitiator {
      Hkdf.expand(extracted, label: "skynod 1 node to hub", into: &nextSend)
      Hkdf.expand(extracted, label: "skynod 1 hub to node", into: &nextReceive)
    } else {
      Hkdf.expand(extracted, label: "skynod 1 hub to node", into: &nextSend)
      Hkdf.expand(extracted, label: "skynod 1 node to hub", into: &nextReceive)
    }
    extracted.wipe()
    shared.wipe()
  }

  /// Initiator: offers a fresh X-Wing key. Frames go on under the old keys until the reply.
  public mutating func beginRekey(now: Instant, random: inout Drbg) throws(ErrorCode) {
    guard isInitiator, isEstablished, !rekeyUnderway else { throw .rekeyFailed }
    guard output.space >= Self.recordBytes(body: XWing.publicKeyBytes) else { throw .full }
    random.fill(&seed32)
    scratch.clear()
    guard XWing.makeKeyPair(seed: seed32, secret: &ephemeral, appendTo: &scratch) else { throw .internalError }
    seed32.wipe()
    rekeyTranscript = Sha256()
    rekeyTranscript.update(scratch, 0..<scratch.count)
    try Self.seal(FrameHeader(kind: .rekeyInit), scratch, aead, key: &sending, into: &output, now: now)
    rekeyUnderway = true
  }

  /// Responder: answers under the old keys, then sends under the new ones. The old receiving key stays
  /// until the node's first record under the new one.
  private mutating func answerRekey(now: Instant, random: inout Drbg) throws(ErrorCode) {
    guard !isInitiator, !receivePending else { throw .rekeyFailed }
    rekeyTranscript = Sha256()
    rekeyTranscript.update(input, bodyRange)
    random.fill(&seed64)
    scratch.clear()
    guard XWing.encapsulate(to: input, bodyRange, seed: seed64, shared: &shared, appendTo: &scratch) else {
      throw .rekeyFailed
    }
    seed64.wipe()
    rekeyTranscript.update(scratch, 0..<scratch.count)
    try Self.seal(FrameHeader(kind: .rekeyReply), scratch, aead, key: &sending, into: &output, now: now)
    deriveNextKeys()
    sending.advance(to: &nextSend, epoch: sending.epoch &+ 1, now: now)
    receivePending = true
    renewals &+= 1
  }

  /// Initiator: both directions change over here, because the hub's next record is under the new key.
  private mutating func finishRekey(now: Instant) throws(ErrorCode) {
    guard isInitiator, rekeyUnderway else { throw .rekeyFailed }
    guard XWing.decapsulate(input, bodyRange, secret: ephemeral, shared: &shared) else { throw .rekeyFailed }
    ephemeral.wipe()
    rekeyTranscript.update(input, bodyRange)
    deriveNextKeys()
    sending.advance(to: &nextSend, epoch: sending.epoch &+ 1, now: now)
    receiving.advance(to: &nextReceive, epoch: receiving.epoch &+ 1, now: now)
    rekeyUnderway = false
    renewals &+= 1
    // Without room for it, the next frame under the new keys tells the hub the same.
    try sendIfRoom(FrameHeader(kind: .rekeyDone), now: now)
  }

  private mutating func deriveNextKeys() {
    Hkdf.extract(salt: rekeyTranscript.digest, chain, shared, into: &extracted)
    expandDirections()
  }
}
