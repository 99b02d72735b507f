import Bounded
import Foundation
import Node
import SkyCrypto
import TestSupport
import Wire

@testable import Hub

/// A node as the tests need it: the real session in the initiator's role, and what it received.
final class TestNode {
  let identity: Identity
  var session = Session()
  var random: Drbg
  var instance: Data
  var tokenId: Data?
  /// Shown in HELLO instead of its own: a key that this node does not hold.
  var claimedKey: Bytes32?
  var tokenSecret = InlineArray<16, UInt8>(repeating: 0)
  /// The hub's end of the present connection.
  var link: HubLink?
  var events: [Session.Event] = []
  var failure: ErrorCode?
  var messages: [(FrameHeader, Data)] = []
  var receipts: [Receipt] = []
  /// Durable messages: what came, and what the hub said of those that went.
  var durable: [(frame: FrameHeader, stream: UInt64, text: String)] = []
  var stored: [StoredEntry] = []
  /// What it answers to durable messages: nil not at all.
  var verdict: ((UInt64) -> ErrorCode?)? = { _ in nil }
  var configure: Configure?
  /// Offers and pieces of bundles.
  var offers: [Data] = []
  var pieces: [Data] = []
  /// Jobs that came, and the ids of those that were taken back.
  var jobs: [Data] = []
  var cancels: [UInt64] = []
  var answers: [Data] = []
  /// Frames about keys.
  var seals: [(kind: FrameKind, body: Data)] = []
  /// Told with each heartbeat.
  var duties: Duties = .heartbeat
  /// Sequences of the heartbeats that the hub answered.
  var acknowledged: [UInt64] = []
  /// False: the board is dead as far as the hub can tell.
  var isReading = true
  var givesReceipts = true
  var inboxIsFull = false
  var beats: UInt64 = 0

  init(_ number: Int, instance: UInt8 = 1) {
    identity = Identity(seed: Secret<32>(Bytes32(keyBytes(number))!.raw)!)
    random = Drbg(seed: Secret<32>(Bytes32(keyBytes(number + 500))!.raw)!)
    self.instance = Data(repeating: instance, count: 16)
  }

  var key: Data { Data(identity.publicKey) }
  var id: UInt32? { session.peerWelcome?.nodeId }
  var isOnline: Bool { session.isEstablished }

  func hello() -> Hello {
    var agent = InlineArray<32, UInt8>(repeating: 0)
    for (i, byte) in "skynod/test".utf8.enumerated() { agent[i] = byte }
    return Hello(
      duties: .heartbeat, instance: InlineArray<16, UInt8>(instance)!, fingerprint: Bytes32(keyBytes(77))!,
      identity: claimedKey ?? identity.publicKey, nonce: random.bytes32(), agent: agent,
      tokenId: tokenId.flatMap { InlineArray<8, UInt8>($0) } ?? InlineArray(repeating: 0))
  }

  func send(_ text: String, to destination: UInt32, source: UInt32? = nil, sequence: UInt64, now: Instant) throws {
    let header = FrameHeader(
      kind: .message, source: source ?? id ?? 0, destination: destination, sequence: sequence)
    let body = Data(text.utf8)
    try body.withUnsafeBytes { try session.send(header, body: $0.bytes, now: now) }
  }

  func post(
    _ text: String, to destination: UInt32, stream: UInt64 = 77, sequence: UInt64, timeToLiveS: UInt32 = 0,
    source: UInt32? = nil, now: Instant
  ) throws {
    var queue = ByteQueue(capacity: 4_096)
    queue.append(bigEndian: stream)
    for byte in text.utf8 { queue.append(bigEndian: byte) }
    let header = FrameHeader(
      kind: .message, flags: FrameHeader.durable, source: source ?? id ?? 0, destination: destination,
      sequence: sequence, timeToLiveS: timeToLiveS)
    try session.send(header, body: queue.bytes, now: now)
  }

  func say(_ entry: StoredEntry, now: Instant) {
    var queue = ByteQueue(capacity: StoredEntry.byteCount)
    _ = entry.append(to: &queue)
    do {
      try session.send(FrameHeader(kind: .stored, source: id ?? 0), body: queue.bytes, now: now)
    } catch { failure = error }
  }

  private func take(_ frame: FrameHeader, _ body: Data, now: Instant) {
    let stream = body.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    durable.append((frame, stream, String(decoding: body.dropFirst(8), as: UTF8.self)))
    guard let verdict else { return }
    say(StoredEntry(stream: stream, sequence: frame.sequence, failure: verdict(frame.sequence)), now: now)
  }

  func beat(now: Instant) throws {
    var queue = ByteQueue(capacity: 64)
    _ = Heartbeat(
      vitals: VitalSigns(), inboxUsed: 1, inboxCapacity: 32, outboxUsed: 0, outboxCapacity: 16,
      dictionaryGeneration: 0, duties: duties
    ).append(to: &queue)
    beats += 1
    try session.send(FrameHeader(kind: .heartbeat, source: id ?? 0, sequence: beats), body: queue.bytes, now: now)
  }

  /// The receipt that a node's state machine sends for a message.
  private func acknowledge(_ frame: FrameHeader, now: Instant) {
    guard givesReceipts else { return }
    var queue = ByteQueue(capacity: 16)
    _ = Receipt(sequence: frame.sequence, failure: inboxIsFull ? .full : nil).append(to: &queue)
    let header = FrameHeader(kind: .receipt, source: id ?? 0, destination: frame.source)
    do { try session.send(header, body: queue.bytes, now: now) } catch { failure = error }
  }

  func received(_ event: Session.Event, now: Instant) {
    events.append(event)
    switch event {
    case .closed(let code): failure = code
    case .frame(let frame):
      let body = copy(of: session.body)
      switch frame.kind {
      case .message where frame.isDurable: take(frame, body, now: now)
      case .stored:
        body.withUnsafeBytes { bytes in
          for i in 0..<(try! StoredEntry.count(in: bytes.bytes)) {
            stored.append(try! StoredEntry.at(i, in: bytes.bytes))
          }
        }
      case .message:
        messages.append((frame, body))
        acknowledge(frame, now: now)
      case .receipt: receipts.append(try! body.withUnsafeBytes { try Receipt(decoding: $0.bytes) })
      case .heartbeatAck: acknowledged.append(frame.sequence)
      case .configure: configure = try! body.withUnsafeBytes { try Configure(decoding: $0.bytes) }
      case .bundleOffer: offers.append(body)
      case .bundlePiece: pieces.append(body)
      case .job: jobs.append(body)
      case .answer: answers.append(body)
      case .keyAnswer, .offer, .offered: seals.append((frame.kind, body))
      case .jobCancel: cancels.append(try! body.withUnsafeBytes { try JobCancel(decoding: $0.bytes).id })
      default: break
      }
    default: break
    }
  }
}

private func copy(of span: RawSpan) -> Data { span.withUnsafeBytes { Data($0) } }

/// A hub core and its nodes, joined by memory instead of TLS. Time moves only when told.
final class TestSwarm {
  let directory: TemporaryDirectory
  let registry: Registry
  let core: HubCore
  let hubKey: Bytes32
  var now = Instant(ms: 1_000)
  var nodes: [TestNode] = []
  private let collected: Lines

  /// Added to the hub's wall clock.
  let wall: Wall

  final class Lines { var all: [String] = [] }
  final class Wall { var ms: UInt64 = 0 }

  init(
    configuration: HubConfiguration = HubConfiguration(), dictionary: HubDictionary = HubDictionary(),
    publishes: Bool = false
  ) throws {
    _ = startCrypto()
    directory = try TemporaryDirectory()
    registry = try directory.registry()
    let identity = Identity(seed: Secret<32>(Bytes32(keyBytes(9_999))!.raw)!)
    hubKey = identity.publicKey
    let lines = Lines()
    let wall = Wall()
    collected = lines
    core = HubCore(
      configuration: configuration, registry: registry, identity: identity, pin: Bytes32(repeating: 3),
      dictionary: dictionary, bundles: publishes ? try HubBundles(in: directory.hub(), registry) : HubBundles(),
      seed: Secret<32>(Bytes32(keyBytes(4_242))!.raw)!, log: HubLog { lines.all.append($0) },
      wallClockMs: { 1_700_000_000_000 + wall.ms })
    self.wall = wall
  }

  var log: [String] { collected.all }

  /// A node whose key is on the list.
  func allowedNode(_ number: Int, instance: UInt8 = 1) throws -> TestNode {
    let node = TestNode(number, instance: instance)
    _ = try registry.allow(key: node.key, label: nil, now: 1)
    nodes.append(node)
    return node
  }

  /// Opens a connection and runs the handshake as far as it goes.
  func connect(_ node: TestNode, exporter: Bytes32 = Bytes32(repeating: 0x42)) {
    if !nodes.contains(where: { $0 === node }) { nodes.append(node) }
    node.failure = nil
    node.events = []
    let link = core.open(address: "192.0.2.\(nodes.count)", now: now)
    node.link = link
    core.secured(link, exporter: exporter)
    var verifier = Secret<32>()
    Session.tokenVerifier(secret: node.tokenSecret, into: &verifier)
    node.session.startAsNode(
      exporter: exporter, hello: node.hello(), verifier: verifier, expectedHubKey: hubKey, random: &node.random)
    settle()
  }

  /// Moves bytes both ways until nothing moves.
  func settle() {
    var moved = true
    while moved {
      moved = false
      for node in nodes {
        guard let link = node.link, link.phase != .free else { continue }
        if node.session.output.pour(into: &link.session.input) { moved = true }
        while core.process(link, now: now) {}
        if node.isReading, link.session.output.pour(into: &node.session.input) {
          moved = true
          run(node)
        }
        if link.phase == .closing, link.session.output.isEmpty {
          core.lost(link)
          node.link = nil
        }
      }
    }
    _ = core.takeTouched()
    core.live.checkInvariants()
  }

  private func run(_ node: TestNode) {
    do {
      while let event = try node.session.nextEvent(now: now, identity: node.identity, random: &node.random) {
        node.received(event, now: now)
      }
    } catch { node.failure = error }
  }

  /// Lets time pass, then does what is due.
  func pass(_ ms: UInt64) {
    now = now + ms
    core.tick(now: now)
    settle()
  }
}

extension TestSwarm {
  /// A hub with two nodes that are online.
  static func pair() throws -> (swarm: TestSwarm, a: TestNode, b: TestNode) {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    let b = try swarm.allowedNode(2)
    swarm.connect(a)
    swarm.connect(b)
    return (swarm, a, b)
  }

  /// Long enough for a commit, and for what was delivered to be forgotten.
  func commit() { for _ in 0..<3 { pass(30) } }
}
