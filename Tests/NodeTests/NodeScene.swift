import Bounded
import SkyCrypto
import TestSupport
import Wire

@testable import Node

/// A whole node and the hubs it may reach, joined by memory: the state machine that ships, and the real
/// session on the other side. Time is virtual, randomness seeded.
///
/// The scene is the platform: it does what the node asks for at once, unless told otherwise. Order of calls:
/// make it, change what should be different, `start()`, then requests to `node` each followed by `settle()`,
/// and `pass` to let time go by.
final class NodeScene {
  let node: Node
  let disk: SceneDisk?
  let hubs: [SceneHub]
  var now = Instant(ms: 5_000_000)
  var vitals = VitalSigns()
  /// The board's clock; 0 as on a board that has none.
  var wallMs: UInt64 = 0
  /// Everything the node did and told so far.
  var actions: [Node.Action] = []
  var notices: [Node.Notice] = []
  var persisted: [Admission] = []
  /// Index of the hub at the other end of the present stream.
  private(set) var linked: Int?
  private var links: UInt8 = 0
  private(set) var hasStopped = false

  init(
    seed: UInt64 = 1, hubs count: Int = 1, admission: Admission = Admission(), disk: SceneDisk? = nil,
    known: KnownNodes = KnownNodes(), _ change: (inout NodeSettings) -> Void = { _ in }
  ) {
    hubs = (0..<count).map { SceneHub($0) }
    var settings = NodeSettings()
    for hub in hubs { settings.hubs.append(hub.entry) }
    change(&settings)
    node = Node(
      seed: Self.secret(900), entropy: Self.secret(seed &+ 1_000), me: Self.me, settings: settings,
      admission: admission, stores: disk?.stores, keepsKnowledge: true, known: known)
    self.disk = disk
  }

  static let me = NodeSelf(
    instance: InlineArray(repeating: 3), hardware: Bytes32(repeating: 4), agent: InlineArray(repeating: 0x61))

  static func secret(_ number: UInt64) -> Secret<32> {
    let bytes = Bytes32 { UInt8(truncatingIfNeeded: number >> (8 * UInt64($0 % 8))) ^ UInt8($0) }
    return Secret<32>(bytes.raw)!
  }

  // MARK: What a test reads

  var state: Node.State { node.state }
  var hub: SceneHub { hubs[0] }
  var lastError: ErrorCode? { node.lastError }
  var hubIndex: Int { node.hubIndex }
  var isEstablished: Bool { node.session.isEstablished }
  func deadline(_ timer: Timer) -> Instant { node.timers[timer] }
  /// Milliseconds until a timer is due; nil when it is not armed.
  func wait(_ timer: Timer) -> UInt64? { deadline(timer) == .never ? nil : deadline(timer).since(now) }
  var states: [Node.State] {
    notices.compactMap { if case .state(let state) = $0 { state } else { nil } }
  }
  var errors: [ErrorCode] {
    notices.compactMap { if case .linkError(let code) = $0 { code } else { nil } }
  }

  func inboxTexts() -> [String] {
    let inbox = node.inbox
    return (0..<inbox.count).map { String(decoding: bytes(of: inbox.text(of: inbox[$0])), as: UTF8.self) }
  }

  // MARK: What a test does

  func start() {
    node.handle(.start, now: now)
    settle()
  }

  /// Starts and comes online at the first hub that takes the node.
  func goOnline() {
    start()
    precondition(state == .online, "the scene's hub takes the node: \(String(describing: lastError))")
  }

  func handle(_ event: Node.Event) {
    node.handle(event, now: now)
    settle()
  }

  /// Sequence or error.
  func send(_ text: String, to destination: UInt32 = 0) -> Result<UInt64, ErrorCode> {
    defer { settle() }
    let bytes = Array(text.utf8)
    do throws(ErrorCode) { return .success(try node.send(bytes.span.bytes, to: destination, now: now)) } catch {
      return .failure(error)
    }
  }

  /// Sequence or error of a durable message.
  func post(
    _ text: String, to destination: UInt32 = 1_000_007, timeToLiveS: UInt32 = 0, isUrgent: Bool = false
  ) -> Result<UInt64, ErrorCode> {
    defer { settle() }
    let bytes = Array(text.utf8)
    do throws(ErrorCode) {
      return .success(
        try node.post(bytes.span.bytes, to: destination, timeToLiveS: timeToLiveS, isUrgent: isUrgent, now: now))
    } catch { return .failure(error) }
  }

  /// Nil when the medium has failed.
  func isStored(_ sequence: UInt64) -> Bool? {
    do throws(ErrorCode) { return try node.isStored(sequence) } catch { return nil }
  }

  /// Long enough for what was gathered to be written.
  func settleDisk() {
    for _ in 0..<3 {
      pass(10)
      settle()
    }
  }

  /// The error, if the ticket was not taken.
  func join(_ ticket: Ticket) -> ErrorCode? {
    defer { settle() }
    do throws(ErrorCode) { try node.join(ticket, now: now) } catch { return error }
    return nil
  }

  func reload(_ change: (inout NodeSettings) -> Void) {
    var settings = node.settings
    change(&settings)
    node.reload(settings, now: now)
    settle()
  }

  /// Lets time go by, stopping at every deadline on the way.
  func pass(_ ms: UInt64) {
    let end = now + ms
    while node.nextDeadline <= end {
      now = max(now, node.nextDeadline)
      node.handle(.tick, now: now)
      precondition(node.nextDeadline > now, "what was due is done")
      settle()
    }
    now = end
  }

  /// Lets time go by until the next deadline of a timer and lets it fire.
  func pass(to timer: Timer) {
    let due = deadline(timer)
    precondition(due != .never, "\(timer) is not armed")
    pass(due.since(now))
  }

  /// The stream ends without a word.
  func cut(_ code: ErrorCode = .linkClosed) {
    linked = nil
    handle(.linkDown(code))
  }

  // MARK: The platform

  /// Does what the node asks for and moves bytes both ways until nothing moves.
  func settle() {
    var moved = false
    repeat {
      while let action = node.nextAction() {
        actions.append(action)
        perform(action)
      }
      disk?.pump(now: now)
      moved = node.moveStored(now: now)
      while let notice = node.nextNotice() { notices.append(notice) }
      node.checkInvariants()
    } while moveBytes() || moved
  }

  private func perform(_ action: Node.Action) {
    switch action {
    case .connect(let index):
      let place = node.hubs[index]
      guard let number = hubs.firstIndex(where: { $0.entry.isSamePlace(as: place) && $0.isUp }) else {
        return node.handle(.linkDown(.connectFailed), now: now)
      }
      links &+= 1
      linked = number
      let exporter = Bytes32(repeating: links)
      hubs[number].open(exporter)
      node.handle(.linkUp(exporter: exporter, entropy: Bytes32(repeating: links)), now: now)
    case .disconnect:
      if let linked { hubs[linked].take(from: &node.session.output, now: now) }
      linked = nil
    case .probe(let index):
      let place = node.hubs[index]
      let answers = hubs.contains { $0.entry.isSamePlace(as: place) && $0.isUp }
      node.handle(.probeResult(reachable: answers), now: now)
    case .sampleVitals:
      node.handle(.systemClock(wallMs), now: now)
      node.handle(.vitals(vitals), now: now)
    case .persist: persisted.append(node.admission)
    case .keepKnown: break
    case .closePeer: preconditionFailure("the scene's node does not relay")
    case .stop: hasStopped = true
    }
  }

  private func moveBytes() -> Bool {
    guard let linked else { return false }
    let hub = hubs[linked]
    var moved = false
    if !node.session.output.isEmpty, !hub.isDeaf {
      hub.take(from: &node.session.output, now: now)
      moved = true
    }
    if !hub.session.output.isEmpty {
      hub.session.output.pour(into: &node.session.input)
      node.handle(.linkBytes, now: now)
      moved = true
    }
    if hub.hasEnded, hub.session.output.isEmpty, self.linked == linked {
      self.linked = nil
      node.handle(.linkDown(.linkClosed), now: now)
      moved = true
    }
    return moved
  }
}

/// A hub with one place: the real session as responder, and a few switches for what a test needs.
final class SceneHub {
  let identity: Identity
  let entry: HubEntry
  var session = Session()
  private var random: Drbg

  /// False: nothing listens.
  var isUp = true
  /// True: reads nothing and says nothing.
  var isDeaf = false
  /// The error a HELLO is answered with.
  var refusal: ErrorCode?
  var answersHeartbeats = true
  var givesReceipts = true
  var nodeId: UInt32 = 1_000_000
  var configure = Configure(
    wallTimeMs: 0, heartbeatIntervalMs: 30_000, rekeyAfterMs: 120_000, dictionaryGeneration: 0,
    allowedDuties: .all, hubs: HubList())
  /// False: READY is the last thing a node hears.
  var configures = true

  var hellos: [Hello] = []
  /// Whether each HELLO proved the scene's token.
  var proofs: [Bool] = []
  var frames: [(header: FrameHeader, body: [UInt8])] = []
  var renewals = 0
  /// What the node ended its link with.
  var heard: ErrorCode?
  /// The same for every link so far.
  var goodbyes: [ErrorCode] = []
  var failure: ErrorCode?
  var hasEnded = false

  init(_ number: Int) {
    identity = Identity(seed: NodeScene.secret(100 + UInt64(number)))
    random = Drbg(seed: NodeScene.secret(200 + UInt64(number)))
    entry = HubEntry(
      host: InlineText("hub\(number).test")!, port: 7_443, pin: Bytes32(repeating: UInt8(number + 1)),
      key: identity.publicKey)
  }

  /// A ticket for this hub.
  var ticket: Ticket {
    Ticket(hub: entry, tokenId: SessionPair.tokenId, tokenSecret: SessionPair.tokenSecret)
  }

  var heartbeats: [Heartbeat] {
    frames.compactMap { frame in
      guard frame.header.kind == .heartbeat else { return nil }
      do throws(ErrorCode) { return try Heartbeat(decoding: frame.body.span.bytes) } catch { return nil }
    }
  }
  var receipts: [Receipt] {
    frames.compactMap { frame in
      guard frame.header.kind == .receipt else { return nil }
      do throws(ErrorCode) { return try Receipt(decoding: frame.body.span.bytes) } catch { return nil }
    }
  }
  func count(_ kind: FrameKind) -> Int { frames.count { $0.header.kind == kind } }

  func open(_ exporter: Bytes32) {
    session.startAsHub(exporter: exporter)
    hasEnded = false
    heard = nil
    failure = nil
  }

  /// Reads what a node wrote, as much as there is.
  func take(from queue: inout ByteQueue, now: Instant) {
    while !queue.isEmpty, !hasEnded, !isDeaf {
      let count = min(queue.count, session.input.space)
      session.input.append(queue.bytes.extracting(0..<count))
      queue.consume(count)
      run(now: now)
    }
    queue.consume(queue.count)
  }

  func send(_ header: FrameHeader, _ body: [UInt8] = [], now: Instant) {
    do throws(ErrorCode) { try session.send(header, body: body.span.bytes, now: now) } catch { failure = error }
  }

  func sendConfigure(now: Instant) {
    var queue = ByteQueue(capacity: Limits.frameBodyBytes)
    precondition(configure.append(to: &queue))
    send(FrameHeader(kind: .configure, destination: nodeId), bytes(of: queue.bytes), now: now)
  }

  func sendReceipt(
    _ sequence: UInt64, from source: UInt32, failure: ErrorCode? = nil, to node: UInt32? = nil, now: Instant
  ) {
    var queue = ByteQueue(capacity: Receipt.byteCount)
    _ = Receipt(sequence: sequence, failure: failure).append(to: &queue)
    send(
      FrameHeader(kind: .receipt, source: source, destination: node ?? nodeId), bytes(of: queue.bytes), now: now)
  }

  func sendDurable(
    _ text: String, stream: UInt64 = 500, sequence: UInt64, from source: UInt32 = 1_000_007, now: Instant
  ) {
    send(
      FrameHeader(
        kind: .message, flags: FrameHeader.durable, source: source, destination: nodeId, sequence: sequence),
      (0..<8).map { UInt8(truncatingIfNeeded: stream >> (56 - 8 * UInt64($0))) } + Array(text.utf8), now: now)
  }

  func sendStored(_ stream: UInt64, _ sequence: UInt64, failure: ErrorCode? = nil, now: Instant) {
    var queue = ByteQueue(capacity: StoredEntry.byteCount)
    _ = StoredEntry(stream: stream, sequence: sequence, failure: failure).append(to: &queue)
    send(FrameHeader(kind: .stored, destination: nodeId), bytes(of: queue.bytes), now: now)
  }

  /// Durable messages that came: name and text.
  var durable: [(stream: UInt64, sequence: UInt64, text: String)] {
    frames.filter { $0.header.kind == .message && $0.header.isDurable }.map { frame in
      let stream = frame.body.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
      return (stream, frame.header.sequence, String(decoding: frame.body.dropFirst(8), as: UTF8.self))
    }
  }

  /// What the node said of durable messages it was sent.
  var stored: [StoredEntry] {
    frames.filter { $0.header.kind == .stored }.flatMap { frame -> [StoredEntry] in
      (0..<(frame.body.count / StoredEntry.byteCount)).compactMap { index in
        do throws(ErrorCode) { return try StoredEntry.at(index, in: frame.body.span.bytes) } catch { return nil }
      }
    }
  }

  func sendMessage(_ text: String, from source: UInt32 = 0, sequence: UInt64 = 1, now: Instant) {
    send(
      FrameHeader(kind: .message, source: source, destination: nodeId, sequence: sequence), Array(text.utf8), now: now)
  }

  private func run(now: Instant) {
    do throws(ErrorCode) {
      while let event = try session.nextEvent(now: now, identity: identity, random: &random) {
        try take(event, now: now)
      }
    } catch {
      failure = error
      hasEnded = true
    }
  }

  private func take(_ event: Session.Event, now: Instant) throws(ErrorCode) {
    switch event {
    case .hello:
      hellos.append(session.peerHello!)
      proofs.append(session.provesToken(SessionPair.verifier()))
      if let refusal {
        session.refuse(refusal, now: now)
        hasEnded = true
      } else {
        try session.accept(nodeId: nodeId, hubId: 1, identity: identity, random: &random, now: now)
      }
    case .established: if configures { sendConfigure(now: now) }
    case .frame(let frame): take(frame, now: now)
    case .rekeyed: renewals += 1
    case .closed(let code):
      heard = code
      goodbyes.append(code)
      hasEnded = true
    }
  }

  private func take(_ frame: FrameHeader, now: Instant) {
    frames.append((frame, bytes(of: session.body)))
    switch frame.kind {
    case .heartbeat where answersHeartbeats:
      let wall = configure.wallTimeMs
      let body = (0..<8).map { UInt8(truncatingIfNeeded: wall >> (56 - 8 * UInt64($0))) }
      send(FrameHeader(kind: .heartbeatAck, destination: nodeId, sequence: frame.sequence), body, now: now)
    case .message where givesReceipts && !frame.isDurable:
      sendReceipt(frame.sequence, from: frame.destination, now: now)
    default: break
    }
  }
}

func bytes(of span: RawSpan) -> [UInt8] { (0..<span.byteCount).map { span[$0] } }
