import Bounded
import Foundation
import Node
import Platform
import SkyCrypto
import Wire

/// A node of ours without a board: the real link (TLS, handshake, sealed records), and of what a node does only
/// what a load needs. Behind a relay it is a leaf and signs the way; at a hub it receives, and answers like a node:
/// a receipt for an ordinary message, STORED and a receipt for a durable one.
///
/// It has no rings: a durable message that it receives it answers for at once. The relay is what is measured.
final class LeafPort: LoadPort {
  private var session = Session()
  private let identity: Identity
  private var random: Drbg
  private let instance: InlineArray<16, UInt8>
  private let destination: UInt32
  private let isDurable: Bool
  private let sendsReceipts: Bool
  private let stream: UInt64
  private var isOnline = false
  private var body = ByteQueue(capacity: Limits.streamBytes + Limits.messageBytes)
  /// What a receiver has still to answer.
  private var entries = ByteQueue(capacity: Limits.storedEntries * StoredEntry.byteCount)
  private var receipts: [(sequence: UInt64, source: UInt32)] = []

  var id: UInt32 { session.peerWelcome?.nodeId ?? 0 }

  /// Joins with a ticket, of a hub or through a relay; a new identity each time.
  init(ticket text: String, destination: UInt32 = 0, isDurable: Bool, sendsReceipts: Bool = true) throws {
    let ticket = try Ticket(parsing: Array(text.utf8).span.bytes)
    self.destination = destination
    self.isDurable = isDurable
    self.sendsReceipts = sendsReceipts
    let seed = Self.secret()
    identity = Identity(seed: seed)
    random = Drbg(seed: Self.secret())
    instance = InlineArray { _ in UInt8.random(in: 0...255) }
    stream = UInt64.random(in: 1...UInt64.max)
    try super.init(try Self.dial(ticket.hub.port), pin: ticket.hub.pin)
    var verifier = Secret<32>()
    Session.tokenVerifier(secret: ticket.tokenSecret, into: &verifier)
    let agent = Array("skybench".utf8)
    var hello = Hello(
      duties: [.heartbeat], instance: instance, fingerprint: random.bytes32(), identity: identity.publicKey,
      nonce: random.bytes32(), agent: InlineArray { $0 < agent.count ? agent[$0] : 0 }, tokenId: ticket.tokenId)
    hello.versionMax = Session.highestVersion
    session.startAsNode(
      exporter: try tls.exporter(), hello: hello, verifier: verifier, expectedHubKey: ticket.hub.key, random: &random)
    try pump(until: "a leaf's joining") { isOnline }
  }

  private static func secret() -> Secret<32> {
    var secret = Secret<32>()
    let bytes: Bytes32 = Entropy.bytes()
    secret.withMutableBytes { for i in 0..<32 { $0[i] = bytes[i] } }
    return secret
  }

  private var now: Instant { Platform.Clock.now }

  // MARK: Sending

  override func hasRoom(for count: Int) -> Bool {
    session.output.space >= Session.recordBytes(body: count + Limits.streamBytes) + Limits.relayReserveBytes
  }

  override func send(_ text: [UInt8], number: UInt64) throws {
    let flags = isDurable ? FrameHeader.durable : 0
    let frame = FrameHeader(kind: .message, flags: flags, source: id, destination: destination, sequence: number)
    guard isDurable else { return try session.send(frame, body: text.span.bytes, now: now) }
    body.consume(body.count)
    body.append(bigEndian: stream)
    body.append(text.span.bytes)
    try session.send(frame, bodyOf: body, now: now)
  }

  override func flush() throws -> Bool {
    try answer()
    return try tls.write(from: &session.output) == .done
  }

  override func close() {
    session.close(.draining, now: now)
    _ = try? tls.write(from: &session.output)
    super.close()
  }

  // MARK: Receiving

  override func read() throws {
    while true {
      let outcome = try tls.read(into: &session.input)
      while let event = try session.nextEvent(now: now, identity: identity, random: &random) {
        switch event {
        case .frame(let frame): try take(frame)
        case .closed(let code): throw BenchError("a link of the load was closed: \(code.sentence)")
        case .hello, .established, .rekeyed: break
        }
      }
      if outcome == .closed { throw BenchError("a link of the load ended") }
      if outcome == .waiting { return }
    }
  }

  private func take(_ frame: FrameHeader) throws {
    switch frame.kind {
    case .configure: isOnline = true
    case .routeChallenge: try sign()
    case .message: try arrive(frame)
    case .receipt where !frame.isDurable:
      if try session.lend({ try Receipt(decoding: $0) }).failure == nil { acknowledged += 1 } else { refused += 1 }
    case .stored:
      for i in 0..<(try session.lend { try StoredEntry.count(in: $0) }) {
        if try session.lend({ try StoredEntry.at(i, in: $0) }).failure == nil {
          acknowledged += 1
        } else {
          refused += 1
        }
      }
    case .ping where frame.destination == id:
      try session.send(FrameHeader(kind: .pong, source: id, sequence: frame.sequence), now: now)
    default: break
    }
  }

  private func sign() throws {
    let challenge = try session.lend { try RouteChallenge(decoding: $0) }
    body.consume(body.count)
    _ = RouteSignature.make(challenge, leaf: id, instance: instance, identity: identity).append(to: &body)
    try session.send(FrameHeader(kind: .routeProof, source: id), bodyOf: body, now: now)
  }

  private func arrive(_ frame: FrameHeader) throws {
    let start = frame.isDurable ? Limits.streamBytes : 0
    session.lend { $0.withUnsafeBytes { onArrival(UnsafeRawBufferPointer(rebasing: $0[start...])) } }
    if frame.isDurable {
      let entry = StoredEntry(stream: try session.lend { try decodeStream($0) }, sequence: frame.sequence, failure: nil)
      if !entry.append(to: &entries) {
        try sendEntries()
        _ = entry.append(to: &entries)
      }
    }
    if sendsReceipts { receipts.append((frame.sequence, frame.source)) }
    if receipts.count >= Limits.storedEntries { try answer() }
  }

  /// As a node does: what was stored in one frame, then a receipt for each.
  private func answer() throws {
    if !entries.isEmpty { try sendEntries() }
    let flags = isDurable ? FrameHeader.durable : 0
    for receipt in receipts {
      body.consume(body.count)
      _ = Receipt(sequence: receipt.sequence, failure: nil).append(to: &body)
      try makeRoom()
      try session.send(
        FrameHeader(kind: .receipt, flags: flags, source: id, destination: receipt.source), bodyOf: body, now: now)
    }
    receipts.removeAll(keepingCapacity: true)
  }

  private func sendEntries() throws {
    try makeRoom()
    try session.send(FrameHeader(kind: .stored, source: id), bodyOf: entries, now: now)
    entries.consume(entries.count)
  }

  /// A receiver that cannot send waits: it has nothing else to do.
  private func makeRoom() throws {
    while session.output.space < Limits.relayReserveBytes + Session.recordBytes(body: entries.capacity) {
      if try tls.write(from: &session.output) == .waiting { Self.wait(tls.descriptor, POLLOUT) }
    }
  }
}

extension Session {
  /// The body lent for a call: a span cannot leave the property of a class that holds its session.
  fileprivate func lend<R>(_ use: (RawSpan) throws -> R) rethrows -> R { try use(body) }
}
