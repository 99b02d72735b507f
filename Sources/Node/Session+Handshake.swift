import Bounded
import SkyCrypto
import Wire

/// The inner handshake (docs/protocol.md, "Handshake"). Labels and the order of what is hashed are part
/// of the protocol.
extension Session {
  /// Starts as a node: writes HELLO. `expectedHubKey` all zero accepts the key the hub shows; `verifier`
  /// is the presented token's, ignored when `hello.tokenId` is zero.
  public mutating func startAsNode(
    exporter tls: Bytes32, hello: Hello, verifier: borrowing Secret<32>, expectedHubKey: Bytes32, random: inout Drbg
  ) {
    start(exporter: tls, initiator: true, versions: hello.versionMin...hello.versionMax)
    self.expectedHubKey = expectedHubKey
    random.fill(&seed32)
    _ = RecordHeader(type: .hello, epoch: 0, length: Hello.byteCount).append(to: &output)
    hello.appendFront(to: &output)
    let made = XWing.makeKeyPair(seed: seed32, secret: &ephemeral, appendTo: &output)
    precondition(made, "an empty output queue holds a HELLO")
    seed32.wipe()
    output.append(hello.agent.raw)
    output.append(hello.tokenId.raw)
    transcript.update(output, 0..<output.count)
    let proof = hello.hasToken ? Self.tokenMac(verifier, exporterContext, transcript.digest) : Bytes32(repeating: 0)
    output.append(proof.raw)
    transcript.update(proof.raw)
    phase = .awaitingWelcome
  }

  /// Starts as a hub: waits for HELLO. The highest version that both ends understand is chosen.
  public mutating func startAsHub(exporter tls: Bytes32, highestVersion: UInt8 = Limits.lowestVersion) {
    start(exporter: tls, initiator: false, versions: Limits.lowestVersion...highestVersion)
    phase = .awaitingHello
  }

  /// The highest version for a program on this processor: AEGIS is for those that have instructions for it.
  public static var highestVersion: UInt8 { Aead.hasFastAegis ? Limits.highestVersion : Limits.lowestVersion }

  private mutating func start(exporter tls: Bytes32, initiator: Bool, versions: ClosedRange<UInt8>) {
    reset()
    self.versions = versions
    isInitiator = initiator
    exporterContext = tls
    exporter.withMutableBytes { bytes in
      for i in 0..<32 { bytes[i] = tls[i] }
    }
  }

  /// What a token's secret becomes at both ends: SHA-256("skynod token" ‖ secret). The hub keeps only this.
  public static func tokenVerifier(secret: InlineArray<16, UInt8>, into verifier: inout Secret<32>) {
    var hash = Sha256()
    hash.update("skynod token")
    hash.update(secret.raw)
    let digest = hash.digest
    verifier.withMutableBytes { bytes in
      for i in 0..<32 { bytes[i] = digest[i] }
    }
  }

  /// HMAC over this TLS connection and this HELLO: a token overheard elsewhere is of no use.
  private static func tokenMac(
    _ verifier: borrowing Secret<32>, _ context: Bytes32, _ helloDigest: Bytes32
  ) -> Bytes32 {
    var label = InlineArray<12, UInt8>(repeating: 0)
    let text: StaticString = "skynod1 join"
    for i in 0..<12 { label[i] = text.utf8Start[i] }
    return hmac(key: verifier, label.raw, context.raw, helloDigest.raw)
  }

  // MARK: Hub

  /// `total` is the length of the record at the front of `input`.
  mutating func readHello(_ total: Int) throws(ErrorCode) {
    let hello = try Hello(decoding: input.bytes.extracting(Limits.recordHeaderBytes..<total))
    guard hello.versionMin <= versions.upperBound, hello.versionMax >= versions.lowerBound else {
      throw .versionUnsupported
    }
    version = min(hello.versionMax, versions.upperBound)
    let macStart = Limits.recordHeaderBytes + Hello.macOffset
    transcript.update(input, 0..<macStart)
    helloDigest = transcript.digest
    transcript.update(input, macStart..<total)
    peerHello = hello
    phase = .deciding
  }

  /// While deciding: true when the HELLO proves knowledge of the token behind `verifier`.
  public func provesToken(_ verifier: borrowing Secret<32>) -> Bool {
    guard phase == .deciding, let hello = peerHello, hello.hasToken else { return false }
    let start = Limits.recordHeaderBytes + Hello.macOffset
    let shown = Bytes32(copying: input.bytes.extracting(start..<(start + Limits.hashBytes)))
    return equal(shown, Self.tokenMac(verifier, exporterContext, helloDigest))
  }

  /// The same for a HELLO that somebody else was shown, given as its payload and that connection's exporter.
  public static func provesToken(_ verifier: borrowing Secret<32>, exporter: Bytes32, hello: RawSpan) -> Bool {
    precondition(hello.byteCount == Hello.byteCount)
    var front = ByteQueue(capacity: Limits.recordHeaderBytes)
    _ = RecordHeader(type: .hello, epoch: 0, length: Hello.byteCount).append(to: &front)
    var hash = Sha256()
    hash.update(front.bytes)
    hash.update(hello.extracting(0..<Hello.macOffset))
    let shown = Bytes32(copying: hello.extracting(Hello.macOffset..<Hello.byteCount))
    return equal(shown, tokenMac(verifier, exporter, hash.digest))
  }

  /// Lets the node in as `nodeId`: writes WELCOME. Throws `keyExchangeFailed` for a malformed X-Wing key.
  public mutating func accept(
    nodeId: UInt32, hubId: UInt32, identity: borrowing Identity, random: inout Drbg, now: Instant
  ) throws(ErrorCode) {
    precondition(phase == .deciding)
    linkNonce = random.bytes32()
    let welcome = Welcome(
      version: version, nodeId: nodeId, hubId: hubId, identity: identity.publicKey, nonce: linkNonce)
    random.fill(&seed64)
    _ = RecordHeader(type: .welcome, epoch: 0, length: Welcome.byteCount).append(to: &output)
    welcome.appendFront(to: &output)
    let keyStart = Limits.recordHeaderBytes + Hello.xwingOffset
    let offered = keyStart..<(keyStart + Limits.xwingPublicKeyBytes)
    guard XWing.encapsulate(to: input, offered, seed: seed64, shared: &shared, appendTo: &output) else {
      output.clear()
      fail(.keyExchangeFailed, now: now)
      throw .keyExchangeFailed
    }
    seed64.wipe()
    transcript.update(output, 0..<output.count)
    let signature = identity.sign(label: "skynod1 welcome", context: exporterContext, digest: transcript.digest)
    output.append(signature.raw)
    transcript.update(signature.raw)
    deriveLinkKeys(now: now)
    phase = .awaitingConfirm
  }

  /// Turns the node away with a named error.
  public mutating func refuse(_ code: ErrorCode, now: Instant) {
    precondition(phase == .deciding)
    fail(code, now: now)
  }

  mutating func readConfirm(_ total: Int, now: Instant) throws(ErrorCode) {
    let tagStart = Limits.recordHeaderBytes + Limits.signatureBytes
    let signature = Signature(copying: input.bytes.extracting(Limits.recordHeaderBytes..<tagStart))
    guard let hello = peerHello,
      Identity.verify(
        signature, by: hello.identity, label: "skynod1 confirm", context: exporterContext, digest: transcript.digest)
    else { throw .badSignature }
    transcript.update(input, 0..<tagStart)
    let shown = Bytes32(copying: input.bytes.extracting(tagStart..<total))
    guard equal(shown, hmac(key: confirmNode, transcript.digest.raw)) else { throw .confirmationFailed }
    transcript.update(shown.raw)
    let tag = hmac(key: confirmHub, transcript.digest.raw)
    _ = RecordHeader(type: .ready, epoch: 0, length: Limits.hashBytes).append(to: &output)
    output.append(tag.raw)
    endHandshake()
  }

  // MARK: Node

  mutating func readWelcome(_ total: Int, now: Instant, identity: borrowing Identity) throws(ErrorCode) {
    let welcome = try Welcome(decoding: input.bytes.extracting(Limits.recordHeaderBytes..<total))
    guard versions.contains(welcome.version) else { throw .versionUnsupported }
    version = welcome.version
    let unpinned = equal(expectedHubKey, Bytes32(repeating: 0))
    guard unpinned || equal(expectedHubKey, welcome.identity) else { throw .hubKeyMismatch }
    let signatureStart = Limits.recordHeaderBytes + Welcome.signatureOffset
    transcript.update(input, 0..<signatureStart)
    let signature = Signature(copying: input.bytes.extracting(signatureStart..<total))
    guard
      Identity.verify(
        signature, by: welcome.identity, label: "skynod1 welcome", context: exporterContext,
        digest: transcript.digest)
    else { throw .badSignature }
    transcript.update(signature.raw)
    let cipherStart = Limits.recordHeaderBytes + Welcome.ciphertextOffset
    let ciphertext = cipherStart..<(cipherStart + Limits.xwingCiphertextBytes)
    guard XWing.decapsulate(input, ciphertext, secret: ephemeral, shared: &shared) else { throw .keyExchangeFailed }
    ephemeral.wipe()
    deriveLinkKeys(now: now)
    peerWelcome = welcome
    linkNonce = welcome.nonce
    writeConfirm(identity: identity)
  }

  private mutating func writeConfirm(identity: borrowing Identity) {
    let signature = identity.sign(label: "skynod1 confirm", context: exporterContext, digest: transcript.digest)
    let start = output.count
    _ = RecordHeader(type: .confirm, epoch: 0, length: Confirm.byteCount).append(to: &output)
    output.append(signature.raw)
    transcript.update(output, start..<output.count)
    let tag = hmac(key: confirmNode, transcript.digest.raw)
    output.append(tag.raw)
    transcript.update(tag.raw)
    phase = .awaitingReady
  }

  mutating func readReady(_ total: Int) throws(ErrorCode) {
    let shown = Bytes32(copying: input.bytes.extracting(Limits.recordHeaderBytes..<total))
    guard equal(shown, hmac(key: confirmHub, transcript.digest.raw)) else { throw .confirmationFailed }
    endHandshake()
  }

  private mutating func endHandshake() {
    confirmNode.wipe()
    confirmHub.wipe()
    exporterContext = Bytes32(repeating: 0)
    phase = .established
  }
}
