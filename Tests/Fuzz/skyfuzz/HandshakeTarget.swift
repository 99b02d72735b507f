import Bounded
import Node
import SkyCrypto
import Wire

extension FuzzTarget {
  /// A node's and a hub's session with an attacker between them. The input is the attacker's script.
  ///
  /// Held for every script: a join token and `established` are taken only when every byte so far came from
  /// the other session, in order; afterwards a record is taken only when the other session sealed it, and once.
  static let handshake = FuzzTarget(
    name: "handshake",
    run: { bytes in
      // The first byte: the highest version that the node (bit 0) and the hub (bit 1) understand.
      var script = Script(bytes)
      pair.start(versions: script.byte() ?? 3)
      while let step = script.byte() { pair.take(step, &script) }
    },
    seeds: {
      func message(_ side: UInt8, _ count: UInt8) -> [UInt8] { [9, side, 0, count] }
      let pump: [UInt8] = [0]
      let scripts: [(String, [UInt8])] = [
        ("plain", pump),
        ("messages", pump + message(0, 40) + message(1, 200) + pump + message(1, 0) + pump),
        ("rekey", pump + [7, 120, 8] + message(0, 5) + message(1, 5) + pump + message(0, 9) + pump),
        ("slow", [1, 1, 0, 1, 6, 0, 2, 1, 0] + pump + message(0, 1) + [1, 0, 10, 1, 0, 200] + pump),
        ("flipped", [3, 0, 0, 100, 1] + pump),
        ("flipped-welcome", [1, 6, 0, 3, 1, 0, 90, 0x80] + pump),
        ("replayed", pump + message(0, 8) + [6, 0] + pump),
        ("replayed-hello", pump + [10, 0, 0, 0, 5, 0] + pump),
        ("injected", [5, 1, 0, 6, 5, 0, 0, 2, 0, 80] + pump),
        ("forged", pump + [13, 1, 16, 0, 0, 60] + pump),
        ("dropped", [4, 0, 0, 3] + pump),
        ("refused", [12, 1] + pump),
        ("closed", pump + [11, 1] + pump),
        ("expired", pump + [7, 200] + message(0, 1) + pump),
      ]
      return scripts.flatMap { name, script in
        [(3, name), (0, name + "-lowest")].map { Seed(name: $1, bytes: [$0] + script) }
      }
    })

  nonisolated(unsafe) private static let pair = Pair()
}

/// One direction of the stream: what was sent, what is under way, what arrived.
private struct Channel {
  /// Whole records, as the session wrote them.
  var sent: [UInt8] = []
  var underWay: [UInt8] = []
  var arrived: [UInt8] = []
  /// Where what arrived first differs from what was sent.
  var divergence = Int.max
  /// Offsets in `sent` of the records that were taken.
  private var taken: Set<Int> = []

  mutating func deliver(_ bytes: [UInt8]) {
    for byte in bytes {
      if divergence == Int.max, arrived.count >= sent.count || sent[arrived.count] != byte {
        divergence = arrived.count
      }
      arrived.append(byte)
    }
  }

  /// Marks a record that arrived as taken. False when it was never sent, or was taken before.
  mutating func take(_ range: Range<Int>) -> Bool {
    var offset = 0
    while offset < sent.count {
      let end = offset + Limits.recordHeaderBytes + (Int(sent[offset + 2]) << 8 | Int(sent[offset + 3]))
      if !taken.contains(offset), sent[offset..<end] == arrived[range] {
        taken.insert(offset)
        return true
      }
      offset = end
    }
    return false
  }
}

/// Both ends. Made once and reset for each script, as the daemon does with its session.
private final class Pair {
  private let nodeIdentity = Identity(seed: Pair.secret(1))
  private let hubIdentity = Identity(seed: Pair.secret(2))
  private var node = Session()
  private var hub = Session()
  private var nodeRandom = Drbg(seed: Pair.secret(3))
  private var hubRandom = Drbg(seed: Pair.secret(4))
  private var verifier = Secret<32>()
  private var toHub = Channel()
  private var toNode = Channel()
  private var now = Instant(ms: 1_000)
  private var refuses = false

  private static func secret(_ byte: UInt8) -> Secret<32> {
    var secret = Secret<32>()
    secret.withMutableBytes { bytes in
      for i in 0..<32 { bytes[i] = byte }
    }
    return secret
  }

  init() { Session.tokenVerifier(secret: InlineArray(repeating: 7), into: &verifier) }

  func start(versions: UInt8) {
    nodeRandom = Drbg(seed: Pair.secret(3))
    hubRandom = Drbg(seed: Pair.secret(4))
    toHub = Channel()
    toNode = Channel()
    now = Instant(ms: 1_000)
    refuses = false
    let exporter = Bytes32(repeating: 9)
    var hello = Hello(
      duties: .all, instance: InlineArray(repeating: 1), fingerprint: InlineArray(repeating: 2),
      identity: nodeIdentity.publicKey, nonce: nodeRandom.bytes32(), agent: InlineArray(repeating: 0x61),
      tokenId: InlineArray(repeating: 5))
    hello.versionMax = Limits.lowestVersion + versions & 1
    node.startAsNode(
      exporter: exporter, hello: hello, verifier: verifier, expectedHubKey: hubIdentity.publicKey,
      random: &nodeRandom)
    hub.startAsHub(exporter: exporter, highestVersion: Limits.lowestVersion + versions >> 1 & 1)
    collect()
  }

  /// One step of the attacker's script.
  func take(_ step: UInt8, _ script: inout Script) {
    switch step {
    case 0: pump()
    case 1: deliverToHub(script.number())
    case 2: deliverToNode(script.number())
    case 3:
      let isToNode = script.byte() == 1
      let (offset, mask) = (script.number(), script.byte() ?? 1)
      change(isToNode) { if offset < $0.underWay.count { $0.underWay[offset] ^= mask } }
    case 4:
      let isToNode = script.byte() == 1
      let count = script.number()
      change(isToNode) { $0.underWay.removeFirst(min(count, $0.underWay.count)) }
    case 5:
      let isToNode = script.byte() == 1
      let literal = script.literal(script.number())
      change(isToNode) { $0.underWay.insert(contentsOf: literal, at: 0) }
    case 6: change(script.byte() == 1) { if $0.underWay.count < 65_536 { $0.underWay += $0.underWay } }
    case 7: now = now + UInt64(script.byte() ?? 0) * 1_000
    case 8: try? node.beginRekey(now: now, random: &nodeRandom)
    case 9: sendMessage(fromHub: script.byte() == 1, count: script.number())
    case 10:
      let isToNode = script.byte() == 1
      let (start, count) = (script.number(), script.number())
      change(isToNode) { channel in
        guard start < channel.sent.count, channel.underWay.count < 65_536 else { return }
        channel.underWay += channel.sent[start..<min(channel.sent.count, start + count)]
      }
    case 11: if script.byte() == 1 { hub.close(.draining, now: now) } else { node.close(.draining, now: now) }
    case 12: refuses = script.byte() == 1
    case 13:
      let isToNode = script.byte() == 1
      let (type, epoch, length) = (script.byte() ?? 16, script.byte() ?? 0, script.number())
      let record = [type, epoch, UInt8(length >> 8), UInt8(length & 255)] + [UInt8](repeating: 0, count: length)
      change(isToNode) { $0.underWay.insert(contentsOf: record, at: 0) }
    default: break
    }
    collect()
  }

  private func change(_ isToNode: Bool, _ body: (inout Channel) -> Void) {
    if isToNode { body(&toNode) } else { body(&toHub) }
  }

  private func sendMessage(fromHub: Bool, count: Int) {
    let header = FrameHeader(kind: .message, source: 1, destination: 2, sequence: 3)
    let body = [UInt8](repeating: 0x55, count: count)
    let established = fromHub ? hub.isEstablished : node.isEstablished
    do throws(ErrorCode) {
      if fromHub {
        try hub.send(header, body: body.span.bytes, now: now)
      } else {
        try node.send(header, body: body.span.bytes, now: now)
      }
      precondition(established, "a frame went out before the handshake was over")
    } catch {
      precondition(error == .offline ? !established : [.full, .tooLong, .keyExpired].contains(error))
    }
  }

  /// Moves what the sessions wrote to what is under way.
  private func collect() {
    let fromNode = node.output.array
    node.output.clear()
    toHub.sent += fromNode
    toHub.underWay += fromNode
    let fromHub = hub.output.array
    hub.output.clear()
    toNode.sent += fromHub
    toNode.underWay += fromHub
  }

  private func pump() {
    for _ in 0..<16 where !(toHub.underWay.isEmpty && toNode.underWay.isEmpty) {
      deliverToHub(Int.max)
      deliverToNode(Int.max)
    }
  }

  private func deliverToHub(_ count: Int) {
    // A failed session's stream is closed: nothing more arrives.
    if hub.phase == .failed { return toHub.underWay.removeAll() }
    let part = Array(toHub.underWay.prefix(min(count, hub.input.space)))
    toHub.deliver(part)
    precondition(hub.input.append(part.span.bytes))
    toHub.underWay.removeFirst(part.count)
    drainHub()
    collect()
  }

  private func deliverToNode(_ count: Int) {
    if node.phase == .failed { return toNode.underWay.removeAll() }
    let part = Array(toNode.underWay.prefix(min(count, node.input.space)))
    toNode.deliver(part)
    precondition(node.input.append(part.span.bytes))
    toNode.underWay.removeFirst(part.count)
    do throws(ErrorCode) {
      while let event = try node.nextEvent(now: now, identity: nodeIdentity, random: &nodeRandom) {
        check(event, node.phase, &toNode, node.input)
      }
    } catch {
      precondition(node.phase == .failed)
    }

    collect()
  }

  private func drainHub() {
    do throws(ErrorCode) {
      while let event = try hub.nextEvent(now: now, identity: hubIdentity, random: &hubRandom) {
        check(event, hub.phase, &toHub, hub.input)
        guard event == .hello else { continue }
        let proved = hub.provesToken(verifier)
        if proved {
          precondition(record(toHub, hub.input).upperBound <= toHub.divergence, "a changed HELLO proved a token")
        }
        if proved && !refuses {
          try hub.accept(nodeId: 1_000_000, hubId: 1, identity: hubIdentity, random: &hubRandom, now: now)
        } else {
          hub.refuse(proved ? .hubFull : .tokenInvalid, now: now)
        }
      }
    } catch {
      precondition(hub.phase == .failed)
    }
  }

  /// Where in the stream the record lies that the session is looking at: it is still at the front of `input`.
  private func record(_ channel: Channel, _ input: borrowing ByteQueue) -> Range<Int> {
    let start = channel.arrived.count - input.count
    let length = Int(input.bytes[2]) << 8 | Int(input.bytes[3])
    return start..<(start + Limits.recordHeaderBytes + length)
  }

  private func check(
    _ event: Session.Event, _ phase: Session.Phase, _ channel: inout Channel, _ input: borrowing ByteQueue
  ) {
    let range = record(channel, input)
    switch event {
    case .hello: precondition(phase == .deciding)
    case .closed: precondition(phase == .failed)
    case .established:
      precondition(phase == .established)
      precondition(range.upperBound <= channel.divergence, "a changed handshake was completed")
    case .frame, .rekeyed:
      precondition(phase == .established)
      let isGenuine = channel.take(range)
      precondition(isGenuine, "a record was taken that the other side had not sealed, or twice")
    }
  }
}
