import Bounded
import SkyCrypto
import Testing
import Wire

@testable import Node

enum Side: Sendable { case node, hub }

/// Where on the wire an attacker sits.
enum Stage: Sendable, CaseIterable {
  case hello, welcome, confirm, ready
  /// One sealed message each way.
  case messageToHub, messageToNode
  case rekeyInit, rekeyReply, rekeyDone
}

/// What the other side learns when a victim gives up.
enum Told: Equatable, Sendable {
  /// It hears the very error by name.
  case byName
  /// Something is sent, and the other side ends with this error of its own.
  case endsWith(ErrorCode)
  /// Nothing is sent: the closed stream is the message.
  case nothing
}

/// One attack: what it does, who must notice, with which error, and what the other side is told.
struct Attack: Sendable, CustomTestStringConvertible {
  let name: String
  let victim: Side
  let code: ErrorCode
  var told = Told.byName
  /// Genuine frames that arrive at the victim before the attack; no other frame may ever come out.
  var genuineFrames = 0
  let run: @Sendable (AttackScene) -> Void

  var testDescription: String { name }
}

/// A link under attack: runs a session pair step by step and notes every event and error of both sides.
final class AttackScene {
  let pair: SessionPair
  var errors: [Side: ErrorCode] = [:]
  var heard: [Side: ErrorCode] = [:]
  var frames: [Side: [FrameHeader]] = [.node: [], .hub: []]
  var wasEstablished: Set<Side> = []
  /// The hub's answer to a HELLO; nil lets the node in.
  var decide: (AttackScene) -> ErrorCode? = { _ in nil }

  init(version: UInt8 = Limits.lowestVersion) { pair = SessionPair(version: version) }

  func pump(_ side: Side) {
    guard errors[side] == nil, heard[side] == nil else { return }
    do throws(ErrorCode) {
      while let event = side == .hub ? try pair.hubEvent() : try pair.nodeEvent() { try take(event, at: side) }
    } catch { errors[side] = error }
    pair.collect()
  }

  private func take(_ event: Session.Event, at side: Side) throws(ErrorCode) {
    switch event {
    case .hello:
      if let refusal = decide(self) {
        pair.hub.refuse(refusal, now: pair.now)
        errors[.hub] = refusal
      } else {
        try pair.accept()
      }
    case .established: wasEstablished.insert(side)
    case .frame(let frame): frames[side]!.append(frame)
    case .rekeyed: break
    case .closed(let code): heard[side] = code
    }
  }

  /// Asks for the token as a hub does that does not know the node's key.
  func requireToken() {
    decide = { scene in
      guard let hello = scene.pair.hub.peerHello, hello.hasToken else { return .tokenRequired }
      guard hello.tokenId.span.bytes.elementsEqual(SessionPair.tokenId.span.bytes) else { return .tokenUnknown }
      return scene.pair.hub.provesToken(SessionPair.verifier()) ? nil : .tokenInvalid
    }
  }

  /// The whole session in order; `change` may alter the bytes of each stage before they arrive.
  func play(_ change: (Stage, inout [UInt8]) -> Void) {
    step(.hello, .hub, change)
    step(.welcome, .node, change)
    step(.confirm, .hub, change)
    step(.ready, .node, change)
    guard errors.isEmpty, wasEstablished.count == 2 else { return }
    say("a message", from: .node)
    step(.messageToHub, .hub, change)
    say("an answer", from: .hub)
    step(.messageToNode, .node, change)
    guard errors.isEmpty else { return }
    do throws(ErrorCode) { try pair.node.beginRekey(now: pair.now, random: &pair.nodeRandom) } catch {
      Issue.record("the renewal did not start: \(error)")
    }
    pair.collect()
    step(.rekeyInit, .hub, change)
    step(.rekeyReply, .node, change)
    step(.rekeyDone, .hub, change)
  }

  private func step(_ stage: Stage, _ receiver: Side, _ change: (Stage, inout [UInt8]) -> Void) {
    guard errors.isEmpty else { return }
    pair.collect()
    if receiver == .hub { change(stage, &pair.toHub) } else { change(stage, &pair.toNode) }
    pump(receiver)
  }

  /// Starts, then plays with one stage's bytes changed.
  func play(at attacked: Stage, withToken: Bool = false, _ change: (inout [UInt8]) -> Void) {
    pair.start(hello: pair.hello(withToken: withToken))
    play { stage, bytes in if stage == attacked { change(&bytes) } }
  }

  /// A genuine session with nothing lost, ready for what comes next.
  func establish() {
    do throws(ErrorCode) { try pair.establish() } catch { Issue.record("no handshake: \(error)") }
    wasEstablished = [.node, .hub]
  }

  func say(_ text: String, kind: FrameKind = .message, from side: Side, sequence: UInt64 = 1) {
    send(FrameHeader(kind: kind, sequence: sequence), Array(text.utf8), from: side)
  }

  func send(_ header: FrameHeader, _ body: [UInt8] = [], from side: Side) {
    do throws(ErrorCode) {
      if side == .node {
        try pair.node.send(header, body: body.span.bytes, now: pair.now)
      } else {
        try pair.hub.send(header, body: body.span.bytes, now: pair.now)
      }
    } catch { Issue.record("not sent: \(error)") }
    pair.collect()
  }

  /// Takes what is on its way to `side` off the wire.
  func intercept(to side: Side) -> [UInt8] {
    pair.collect()
    let bytes = side == .hub ? pair.toHub : pair.toNode
    if side == .hub { pair.toHub = [] } else { pair.toNode = [] }
    return bytes
  }

  /// Puts bytes on the wire to `side` and lets it work.
  func inject(_ bytes: [UInt8], to side: Side) {
    if side == .hub { pair.toHub += bytes } else { pair.toNode += bytes }
    pump(side)
  }

  /// Starts a renewal at the node and brings the offer to the hub, whose answer stays on the wire.
  func halfRekey() {
    do throws(ErrorCode) { try pair.node.beginRekey(now: pair.now, random: &pair.nodeRandom) } catch {
      Issue.record("the renewal did not start: \(error)")
    }
    pair.collect()
    pump(.hub)
  }

  /// A record sealed with `side`'s own sending key around any plaintext: what a peer that has the keys
  /// but not the manners could send.
  func forge(_ plain: [UInt8], from side: Side, epoch: UInt8? = nil) -> [UInt8] {
    var queue = ByteQueue(capacity: Limits.recordBytes)
    let aead = side == .node ? pair.node.aead : pair.hub.aead
    func seal(_ key: inout LinkKey) {
      let length = Limits.counterBytes + plain.count + aead.tagBytes
      _ = RecordHeader(type: .sealed, epoch: epoch ?? key.epoch, length: length).append(to: &queue)
      queue.append(bigEndian: key.counter)
      queue.append(plain.span.bytes)
      queue.append([UInt8](repeating: 0, count: aead.tagBytes).span.bytes)
      aead.seal(&queue, additional: 0..<12, text: 12..<(12 + plain.count), counter: key.counter, key: key.key)
      key.counter += 1
    }
    if side == .node { seal(&pair.node.sending) } else { seal(&pair.hub.sending) }
    return queue.bytes.withUnsafeBytes { Array($0) }
  }
}

extension Session {
  /// Whether any secret of the session is still in memory.
  var holdsSecrets: Bool {
    let zero = Secret<32>()
    let zero64 = Secret<64>()
    return !exporter.equals(zero) || !equal(exporterContext, Bytes32(repeating: 0)) || !ephemeral.equals(zero)
      || !shared.equals(zero) || !extracted.equals(zero) || !chain.equals(zero) || !confirmNode.equals(zero)
      || !confirmHub.equals(zero) || !seed32.equals(zero) || !seed64.equals(zero64) || !nextSend.equals(zero)
      || !nextReceive.equals(zero) || !sending.key.equals(zero) || !receiving.key.equals(zero)
  }
}

/// A plaintext frame with any kind and flags.
func rawFrame(kind: UInt8, flags: UInt8 = 0, body: [UInt8] = []) -> [UInt8] {
  [kind, flags] + [UInt8](repeating: 0, count: Limits.frameHeaderBytes - 2) + body
}

/// Flips the lowest bit of the byte at `offset`, counted from the end when negative.
func flip(_ offset: Int, mask: UInt8 = 1) -> @Sendable (inout [UInt8]) -> Void {
  { bytes in bytes[offset < 0 ? bytes.count + offset : offset] ^= mask }
}

func put(_ value: UInt8, at offset: Int) -> @Sendable (inout [UInt8]) -> Void {
  { $0[offset] = value }
}

/// Announces `delta` bytes more or fewer than there are.
func lengthened(by delta: Int) -> @Sendable (inout [UInt8]) -> Void {
  { bytes in
    let length = (Int(bytes[2]) << 8 | Int(bytes[3])) + delta
    bytes[2] = UInt8(length >> 8)
    bytes[3] = UInt8(length & 255)
  }
}
