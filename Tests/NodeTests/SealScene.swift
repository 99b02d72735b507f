import Bounded
import SkyCrypto
import TestSupport
import Wire

@testable import Node

/// Another node, as far as sealed messages go: what it signs, offers and seals.
final class SealPeer {
  let end: SealEnd
  let identity: Identity
  var secrets: SealSecrets
  var key = PairKey()

  init(_ id: UInt32 = 1_000_007, seed: UInt64 = 700) {
    identity = Identity(seed: NodeScene.secret(seed))
    secrets = SealSecrets(seed: NodeScene.secret(seed))
    end = SealEnd(id: id, identity: identity.publicKey)
  }

  var publicKey: [UInt8] {
    var queue = ByteQueue(capacity: 2_048)
    _ = secrets.appendPublicKey(to: &queue)
    return bytes(of: queue.bytes)
  }

  var card: [UInt8] { publicKey + array(SealSignature.signCard(publicKey.span.bytes, id: end.id, by: identity)) }

  /// What this node offers to another; its key for that is `key` from here on.
  func offer(to receiver: SealEnd, publicKey: [UInt8]) -> [UInt8] {
    var queue = ByteQueue(capacity: 2_048)
    precondition(
      secrets.offer(from: end, to: receiver, publicKey: publicKey.span.bytes, appendTo: &queue, into: &key))
    let card = Sha256.digest(publicKey.span.bytes)
    let signature = SealSignature.signOffer(queue.bytes, card: card, from: end.id, to: receiver.id, by: identity)
    return array(card) + bytes(of: queue.bytes) + array(signature)
  }

  /// Takes what the node offered to this one.
  func take(offer: [UInt8], from sender: SealEnd) -> Bool {
    let view = try! SealOffer(decoding: offer.span.bytes)
    return SealSignature.isOffer(view, from: sender, to: end.id)
      && secrets.take(
        view.ciphertext(), from: sender, to: end, card: Sha256.digest(publicKey.span.bytes), into: &key)
  }

  func seal(_ text: String, _ context: SealContext) -> [UInt8] {
    var queue = ByteQueue(capacity: 4_096)
    // In plain: a text can be too long for whoever packs.
    precondition(key.seal((Array(text.utf8) + [0]).span.bytes, context, appendTo: &queue))
    return bytes(of: queue.bytes)
  }

  func open(_ sealed: [UInt8], _ context: SealContext) -> String? {
    var queue = ByteQueue(capacity: 4_096)
    guard key.open(sealed.span.bytes, context, appendTo: &queue), PackRoom().restore(&queue, from: 0) else {
      return nil
    }
    return String(decoding: bytes(of: queue.bytes), as: UTF8.self)
  }
}

func array<let n: Int>(_ bytes: InlineArray<n, UInt8>) -> [UInt8] { (0..<n).map { bytes[$0] } }

/// A node with rings, and a hub that says about keys what a test wants.
final class SealScene {
  let scene: NodeScene
  let peer = SealPeer()
  static let nodeId: UInt32 = 1_000_000

  init(
    _ policy: SealPolicy = .prefer, known: KnownNodes = KnownNodes(), hubTakesSeals: Bool = true,
    goesOnline: Bool = true
  ) {
    _ = startCrypto()
    var admission = Admission()
    admission.nodeId = Self.nodeId
    scene = NodeScene(
      admission: admission, disk: SceneDisk(nil, now: Instant(ms: 4_000_000)), known: known
    ) { $0.seal = policy }
    scene.hub.configure.takesSeals = hubTakesSeals
    scene.hub.givesReceipts = false
    if goesOnline { scene.goOnline() }
  }

  var node: Node { scene.node }
  var me: SealEnd { SealEnd(id: Self.nodeId, identity: node.identity.publicKey) }

  func bodies(_ kind: FrameKind) -> [[UInt8]] { scene.hub.frames.filter { $0.header.kind == kind }.map(\.body) }
  var messages: [(header: FrameHeader, body: [UInt8])] { scene.hub.frames.filter { $0.header.kind == .message } }
  var lastQuery: SealQuery? { bodies(.keyQuery).last.map { try! SealQuery(decoding: $0.span.bytes) } }
  var lastRequest: SealQuery? { bodies(.offerRequest).last.map { try! SealQuery(decoding: $0.span.bytes) } }
  var results: [ErrorCode?] {
    scene.notices.compactMap { if case .receipt(_, let failure) = $0 { .some(failure) } else { nil } }
  }

  /// The hub's word, signed for this node unless a test says otherwise.
  func vouch(
    _ word: SealSignature.Word, id: UInt32, number: UInt64, failure: ErrorCode? = nil, _ rest: [UInt8] = [],
    for node: UInt32 = SealScene.nodeId, flip: Int? = nil, by signer: SealPeer? = nil
  ) {
    var signed = ByteQueue(capacity: SealAnswer.maximumBytes)
    SealAnswerHead(id: id, number: number, failure: failure).append(to: &signed)
    signed.append(rest.span.bytes)
    let signature =
      if let signer { SealSignature.sign(word, signed.bytes, for: node, by: signer.identity) } else {
        SealSignature.sign(word, signed.bytes, for: node, by: scene.hub.identity)
      }
    var body = array(signature) + bytes(of: signed.bytes)
    if let flip { body[flip] ^= 1 }
    scene.hub.send(
      FrameHeader(kind: word == .key ? .keyAnswer : .offer, destination: Self.nodeId), body, now: scene.now)
    scene.settle()
  }

  /// Answers the query that is under way with this card.
  func answer(_ peer: SealPeer, card: [UInt8]? = nil, flip: Int? = nil) {
    vouch(
      .key, id: peer.end.id, number: lastQuery?.number ?? 1, array(peer.end.identity) + (card ?? peer.card), flip: flip)
  }

  func answer(_ failure: ErrorCode, for peer: SealPeer) {
    vouch(.key, id: peer.end.id, number: lastQuery?.number ?? 1, failure: failure)
  }

  func acknowledgeOffer(_ peer: SealPeer, _ failure: ErrorCode? = nil) {
    var queue = ByteQueue(capacity: 16)
    Offered(id: peer.end.id, failure: failure).append(to: &queue)
    scene.hub.send(FrameHeader(kind: .offered, destination: Self.nodeId), bytes(of: queue.bytes), now: scene.now)
    scene.settle()
  }

  /// The node has a key for the peer, and the peer that key.
  func makeOutgoing() -> Bool {
    answer(peer)
    guard let body = bodies(.offer).last, peer.take(offer: Array(body.dropFirst(4)), from: me) else { return false }
    acknowledgeOffer(peer)
    return true
  }

  /// The node's own X-Wing key, as its card told it.
  var publicKey: [UInt8] { Array(bodies(.card).last!.prefix(Limits.xwingPublicKeyBytes)) }

  /// The hub brings the peer's offer.
  func bringOffer(number: UInt64 = 0, to receiver: SealEnd? = nil) {
    let offer = peer.offer(to: receiver ?? me, publicKey: publicKey)
    vouch(.offer, id: peer.end.id, number: number, array(peer.end.identity) + offer)
  }

  func frame(sequence: UInt64 = 1, isDurable: Bool = false, from source: UInt32? = nil) -> FrameHeader {
    FrameHeader(
      kind: .message, flags: FrameHeader.sealed | (isDurable ? FrameHeader.durable : 0),
      source: source ?? peer.end.id, destination: Self.nodeId, sequence: sequence)
  }

  func deliver(_ frame: FrameHeader, _ body: [UInt8]) {
    scene.hub.send(frame, body, now: scene.now)
    scene.settle()
    scene.settleDisk()
  }

  /// A sealed message of the peer, as it seals it for this frame.
  func deliver(_ text: String, _ frame: FrameHeader, stream: UInt64 = 0) {
    let sealed = peer.seal(text, Node.context(of: frame, stream: stream))
    deliver(frame, frame.isDurable ? big(stream) + sealed : sealed)
  }

  func big(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * UInt64($0))) } }
}
