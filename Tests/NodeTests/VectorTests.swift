import Bounded
import Foundation
import SkyCrypto
import Testing
import Wire

@testable import Node

/// docs/vectors/handshake.txt: one `name = hex` or `name = "text"` a line, in the order of a session.
struct Vectors: Equatable {
  private(set) var lines: [(name: String, value: String)] = []

  static func == (a: Vectors, b: Vectors) -> Bool { a.lines.elementsEqual(b.lines, by: ==) }

  init() {}

  init(file text: String) throws {
    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
      let parts = line.split(separator: "=", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
      guard parts.count == 2, self[parts[0]] == nil else { throw CocoaError(.fileReadCorruptFile) }
      lines.append((parts[0], parts[1]))
    }
  }

  subscript(name: String) -> String? { lines.first { $0.name == name }?.value }

  mutating func add(_ name: String, _ bytes: [UInt8]) {
    lines.append((name, bytes.map { String(format: "%02x", $0) }.joined()))
  }
  mutating func add<let n: Int>(_ name: String, _ bytes: InlineArray<n, UInt8>) {
    add(name, bytes.span.withUnsafeBytes { Array($0) })
  }
  mutating func add<let n: Int>(_ name: String, _ secret: borrowing Secret<n>) {
    add(name, secret.withBytes { Array($0) })
  }
  mutating func add(_ name: String, _ queue: borrowing ByteQueue) {
    add(name, queue.bytes.withUnsafeBytes { Array($0) })
  }
  mutating func add(_ name: String, text: String) { lines.append((name, "\"\(text)\"")) }
  mutating func add(_ name: String, text: borrowing TextBuffer) {
    let bytes = text.bytes.withUnsafeBytes { Array($0) }
    add(name, text: String(decoding: bytes, as: UTF8.self))
  }
}

/// The production code gives every value of docs/vectors/handshake.txt. `Tests/System/vectors.py` derives the
/// same values without it.
///
/// After a change of the protocol: `SKYNOD_WRITE_VECTORS=1 swift test --filter VectorTests` writes the file.
@Suite struct VectorTests {
  static let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("docs/vectors/handshake.txt")

  static let title = """
    # Test vectors of the link protocol (docs/protocol.md, "Test vectors"). Made by Tests/NodeTests/VectorTests.swift,
    # checked by it and, without any of the project's code, by Tests/System/vectors.

    """

  @Test func theProductionCodeGivesEveryValueOfTheVectors() throws {
    let made = try VectorSession().run()
    if ProcessInfo.processInfo.environment["SKYNOD_WRITE_VECTORS"] != nil {
      let text = made.lines.map { "\($0.name) = \($0.value)\n" }.joined()
      try (Self.title + text).write(to: Self.file, atomically: true, encoding: .utf8)
    }
    let written = try Vectors(file: String(contentsOf: Self.file, encoding: .utf8))
    #expect(written.lines.map(\.name) == made.lines.map(\.name))
    for (name, value) in made.lines { #expect(written[name] == value, "\(name)") }
    #expect(made.lines.count > 60)
  }
}

/// One session with fixed inputs, every value noted as it appears.
private final class VectorSession {
  private var vectors = Vectors()
  private let pair = SessionPair()
  // Generators that run beside the sessions' own, to see which seeds those draw.
  private var nodeShadow = generator(1)
  private var hubShadow = generator(51)

  private let hardware = Bytes32 { 0xC0 ^ UInt8($0) }
  private let instance = InlineArray<16, UInt8> { 0x10 + UInt8($0) }
  private let tokenId = InlineArray<8, UInt8> { 0xA1 + UInt8($0) }
  private let tokenSecret = InlineArray<16, UInt8> { 0xB1 + UInt8($0) }
  private let pin = Bytes32 { 0x40 + UInt8($0) }

  static func secret(_ first: UInt8) -> Secret<32> {
    var secret = Secret<32>()
    secret.withMutableBytes { for i in 0..<32 { $0[i] = first &+ UInt8(i) } }
    return secret
  }
  static func generator(_ first: UInt8) -> Drbg { Drbg(seed: secret(first)) }

  private var hub: HubEntry {
    HubEntry(
      host: InlineText<253>("hub.example.org")!, port: 7_443, id: 1, pin: pin, key: pair.hubIdentity.publicKey)
  }

  func run() throws(ErrorCode) -> Vectors {
    identities()
    try handshake()
    try frames()
    try renewal()
    return vectors
  }

  // MARK: Parts

  private func identities() {
    vectors.add("node_identity_seed", Self.secret(101))
    vectors.add("hub_identity_seed", Self.secret(151))
    vectors.add("node_identity", pair.nodeIdentity.publicKey)
    vectors.add("hub_identity", pair.hubIdentity.publicKey)
    var address = TextBuffer(capacity: 100)
    Identity.appendAddress(of: pair.nodeIdentity.publicKey, to: &address)
    vectors.add("node_address", text: address)
    vectors.add("hub_host", text: "hub.example.org")
    vectors.add("hub_port", text: "7443")
    vectors.add("pin", pin)
    vectors.add("token_id", tokenId)
    vectors.add("token_secret", tokenSecret)
    var ticket = TextBuffer(capacity: Ticket.textBytes)
    Ticket(hub: hub, tokenId: tokenId, tokenSecret: tokenSecret).append(to: &ticket)
    vectors.add("ticket", text: ticket)
    vectors.add("token_verifier", SessionPair.verifier(tokenSecret))
    vectors.add("hardware", hardware)
  }

  private func hello() -> Hello {
    let me = NodeSelf(instance: instance, hardware: hardware, agent: pair.agentBytes("example 1.0"))
    let node = Node(
      seed: Self.secret(101), entropy: Self.secret(1), me: me, settings: NodeSettings(), admission: Admission())
    let fingerprint = node.fingerprint(for: hub)
    vectors.add("fingerprint", fingerprint)
    vectors.add("instance", instance)
    vectors.add("agent", text: "example 1.0")
    let nonce = pair.nodeRandom.bytes32()
    _ = nodeShadow.bytes32()
    vectors.add("node_nonce", nonce)
    return Hello(
      duties: [.heartbeat, .relay], instance: instance, fingerprint: fingerprint,
      identity: pair.nodeIdentity.publicKey, nonce: nonce, agent: me.agent, tokenId: tokenId)
  }

  private func handshake() throws(ErrorCode) {
    vectors.add("exporter", SessionPair.exporter)
    let hello = hello()
    var ephemeral = Secret<32>()
    keyPair("node_xwing", into: &ephemeral)
    pair.start(secret: tokenSecret, hello: hello)
    pair.collect()
    vectors.add("hello", pair.toHub)
    guard try pair.hubEvent() == .hello, pair.hub.provesToken(SessionPair.verifier(tokenSecret)) else {
      throw .internalError
    }
    vectors.add("hello_digest", pair.hub.helloDigest)
    vectors.add("token_mac", Array(record("hello").suffix(32)))
    vectors.add("transcript_hello", pair.hub.transcript.digest)

    vectors.add("hub_nonce", hubShadow.bytes32())
    drawEncapsulationSeed("hub_xwing_seed")
    try pair.accept()
    pair.collect()
    let welcome = pair.toNode
    vectors.add("node_id", text: "1000000")
    vectors.add("hub_id", text: "1")
    vectors.add("welcome", welcome)
    noteShared("xwing_shared", ciphertext: Array(welcome[80..<1_200]), ephemeral)
    vectors.add("transcript_welcome", pair.hub.transcript.digest)
    noteExtracted("extracted_0", salt: pair.hub.transcript.digest)
    vectors.add("confirm_key_node", pair.hub.confirmNode)
    vectors.add("confirm_key_hub", pair.hub.confirmHub)

    guard try pair.nodeEvent() == nil else { throw .internalError }
    noteKeys(0)
    pair.collect()
    vectors.add("confirm", pair.toHub)
    vectors.add("transcript_confirm", pair.node.transcript.digest)
    guard try pair.hubEvent() == .established else { throw .internalError }
    pair.collect()
    vectors.add("ready", pair.toNode)
    guard try pair.nodeEvent() == .established else { throw .internalError }
  }

  /// Two sealed records each way.
  private func frames() throws(ErrorCode) {
    var body = ByteQueue(capacity: 1_024)
    var hubs = HubList()
    hubs.append(hub)
    _ = Configure(
      wallTimeMs: 1_767_225_600_000, heartbeatIntervalMs: 30_000, rekeyAfterMs: 120_000, dictionaryGeneration: 0,
      allowedDuties: .all, hubs: hubs
    ).append(to: &body)
    try send("configure", FrameHeader(kind: .configure, destination: 1_000_000), body, from: .hub)

    body.clear()
    var signs = VitalSigns()
    signs.uptimeS = 86_400
    signs.loadMilli = 250
    signs.memoryTotalKB = 524_288
    signs.memoryAvailableKB = 262_144
    signs.temperatureMilliC = -5_500
    signs.power = .battery
    signs.batteryPercent = 87
    _ = Heartbeat(
      vitals: signs, inboxUsed: 2, inboxCapacity: 32, outboxUsed: 1, outboxCapacity: 16, dictionaryGeneration: 0,
      duties: [.heartbeat, .relay]
    ).append(to: &body)
    try send("heartbeat", FrameHeader(kind: .heartbeat, source: 1_000_000, sequence: 1), body, from: .node)

    body.clear()
    body.append(bigEndian: UInt64(1_767_225_600_250))
    try send("heartbeat_ack", FrameHeader(kind: .heartbeatAck, destination: 1_000_000, sequence: 1), body, from: .hub)

    body.clear()
    body.append("Grüße")
    try send(
      "message", FrameHeader(kind: .message, source: 1_000_000, destination: 1_000_001, sequence: 1), body, from: .node)
  }

  private func renewal() throws(ErrorCode) {
    var ephemeral = Secret<32>()
    let publicKey = keyPair("rekey_xwing", into: &ephemeral)
    let chain = copy(of: pair.node.chain)
    drawEncapsulationSeed("rekey_encapsulation_seed")
    try pair.node.beginRekey(now: pair.now, random: &pair.nodeRandom)
    pair.collect()
    vectors.add("rekey_init", pair.toHub)
    guard try pair.hubEvent() == .rekeyed(1) else { throw .internalError }
    pair.collect()
    vectors.add("rekey_reply", pair.toNode)
    guard try pair.nodeEvent() == .rekeyed(1) else { throw .internalError }
    let ciphertext = body(of: pair.node)
    noteShared("rekey_shared", ciphertext: ciphertext, ephemeral)
    let digest = Sha256.digest((publicKey + ciphertext).span.bytes)
    vectors.add("rekey_transcript", digest)
    noteExtracted("extracted_1", salt: digest, from: chain)
    noteKeys(1)
    pair.collect()
    vectors.add("rekey_done", pair.toHub)
    guard try pair.hubEvent() == nil, pair.hub.receiving.epoch == 1 else { throw .internalError }
    pair.hub.close(.draining, now: pair.now)
    pair.collect()
    vectors.add("close", pair.toNode)
    guard try pair.nodeEvent() == .closed(.draining) else { throw .internalError }

    let refused = SessionPair()
    refused.start()
    refused.collect()
    guard try refused.hubEvent() == .hello else { throw .internalError }
    refused.hub.refuse(.tokenExpired, now: refused.now)
    refused.collect()
    vectors.add("refusal", refused.toNode)
  }

  // MARK: Steps

  private var shared = Secret<32>()
  private var extracted = Secret<32>()

  private func record(_ name: String) -> [UInt8] {
    let text = vectors[name]!
    return stride(from: 0, to: text.count, by: 2).map { at in
      let start = text.index(text.startIndex, offsetBy: at)
      return UInt8(text[start..<text.index(start, offsetBy: 2)], radix: 16)!
    }
  }

  /// The next key pair that the node will draw.
  @discardableResult
  private func keyPair(_ name: String, into ephemeral: inout Secret<32>) -> [UInt8] {
    var seed = Secret<32>()
    nodeShadow.fill(&seed)
    vectors.add("\(name)_seed", seed)
    var queue = ByteQueue(capacity: XWing.publicKeyBytes)
    _ = XWing.makeKeyPair(seed: seed, secret: &ephemeral, appendTo: &queue)
    vectors.add("\(name)_public", queue)
    return queue.bytes.withUnsafeBytes { Array($0) }
  }

  private func drawEncapsulationSeed(_ name: String) {
    var seed = Secret<64>()
    hubShadow.fill(&seed)
    vectors.add(name, seed)
  }

  private func noteShared(_ name: String, ciphertext: [UInt8], _ ephemeral: borrowing Secret<32>) {
    var queue = ByteQueue(capacity: XWing.ciphertextBytes)
    queue.append(ciphertext.span.bytes)
    _ = XWing.decapsulate(queue, 0..<queue.count, secret: ephemeral, shared: &shared)
    vectors.add(name, shared)
  }

  /// From the exporter (handshake) or the chain (renewal), and the shared secret noted last.
  private func noteExtracted(_ name: String, salt: Bytes32) {
    noteExtracted(name, salt: salt, from: Secret<32>(SessionPair.exporter.raw)!)
  }
  private func noteExtracted(_ name: String, salt: Bytes32, from first: borrowing Secret<32>) {
    Hkdf.extract(salt: salt, first, shared, into: &extracted)
    vectors.add(name, extracted)
  }

  /// The keys that the node's session has now; they must be the ones that `extracted` gives.
  private func noteKeys(_ epoch: Int) {
    vectors.add("chain_\(epoch)", pair.node.chain)
    vectors.add("node_to_hub_\(epoch)", pair.node.sending.key)
    vectors.add("hub_to_node_\(epoch)", pair.node.receiving.key)
    var key = Secret<32>()
    Hkdf.expand(extracted, label: "skynod 1 node to hub", into: &key)
    let same = key.equals(pair.node.sending.key)
    #expect(same, "the session's keys are not those of the noted secret")
  }

  /// The record of the frame that the node sent last, sealed with the same key as in version 2.
  private func underVersion2(_ plain: borrowing ByteQueue) -> ByteQueue {
    var queue = ByteQueue(capacity: Limits.recordBytes)
    let (aead, front) = (Aead.aegis256, Limits.recordHeaderBytes + Limits.counterBytes)
    let length = Limits.counterBytes + plain.count + aead.tagBytes
    let counter = pair.node.sending.counter - 1
    _ = RecordHeader(type: .sealed, epoch: 0, length: length).append(to: &queue)
    queue.append(bigEndian: counter)
    queue.append(plain.bytes)
    queue.append([UInt8](repeating: 0, count: aead.tagBytes).span.bytes)
    aead.seal(
      &queue, additional: 0..<front, text: front..<(front + plain.count), counter: counter, key: pair.node.sending.key)
    return queue
  }

  /// Notes the plaintext and the record, and brings it to the other side.
  private func send(
    _ name: String, _ header: FrameHeader, _ body: borrowing ByteQueue, from side: Side
  ) throws(ErrorCode) {
    var plain = ByteQueue(capacity: 1_024)
    _ = header.append(to: &plain)
    plain.append(body.bytes)
    vectors.add("\(name)_frame", plain)
    if side == .node {
      try pair.node.send(header, bodyOf: body, now: pair.now)
      pair.collect()
      vectors.add("\(name)_record", pair.toHub)
      if name == "message" { vectors.add("message_record_2", underVersion2(plain)) }
      guard try pair.hubEvent() == .frame(header) else { throw .internalError }
    } else {
      try pair.hub.send(header, bodyOf: body, now: pair.now)
      pair.collect()
      vectors.add("\(name)_record", pair.toNode)
      guard try pair.nodeEvent() == .frame(header) else { throw .internalError }
    }
  }

  private func copy(of secret: borrowing Secret<32>) -> Secret<32> {
    var copy = Secret<32>()
    copy.copy(from: secret)
    return copy
  }

  private func body(of session: borrowing Session) -> [UInt8] { session.body.withUnsafeBytes { Array($0) } }
}
