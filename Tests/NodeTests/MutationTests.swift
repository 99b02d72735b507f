import Bounded
import SkyCrypto
import Testing
import Wire

@testable import Node

/// What one side of an honest session received, and the frames it made of it.
struct Recording: Sendable {
  var bytes: [UInt8] = []
  /// Header and body of each frame, as one array.
  var frames: [[UInt8]] = []
  /// Where each record starts, and the end.
  var cuts: [Int] = [0]
}

/// 100,000 damaged copies of a recorded session: nothing crashes and nothing that was not sent comes out.
///
/// Both sides are deterministic, so a side fed with the recording goes through the whole session again.
@Suite struct MutationTests {
  /// Tests run in parallel: four parts of 25,000.
  @Test(arguments: [1, 2, 3, 4] as [UInt64]) func aDamagedSessionYieldsOnlyWhatWasSent(_ seed: UInt64) {
    let (atHub, atNode) = Self.record()
    var random = Lcg(state: seed)
    let pair = SessionPair()
    var stopped = 0
    for round in 0..<25_000 {
      let side: Side = round % 2 == 0 ? .hub : .node
      let recording = side == .hub ? atHub : atNode
      var bytes = recording.bytes
      Self.damage(&bytes, recording, other: side == .hub ? atNode.bytes : atHub.bytes, &random)
      let (frames, ended) = Self.replay(bytes, at: side, with: pair)
      if ended { stopped += 1 }
      var left = recording.frames
      for frame in frames {
        guard let index = left.firstIndex(of: frame) else {
          Issue.record("seed \(seed), round \(round), \(side): a frame that was not sent, or twice")
          return
        }
        left.remove(at: index)
      }
    }
    #expect(stopped > 15_000, "most damage must be noticed")
  }

  @Test func anUndamagedRecordingGivesEveryFrameAgain() {
    let (atHub, atNode) = Self.record()
    #expect(atHub.frames.count == 4)
    #expect(atNode.frames.count == 4)
    #expect(Self.replay(atHub.bytes, at: .hub).frames == atHub.frames)
    #expect(Self.replay(atNode.bytes, at: .node).frames == atNode.frames)
  }

  // MARK: Parts

  struct Lcg {
    var state: UInt64
    mutating func next(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(bound))
    }
  }

  /// Handshake, two messages each way, a renewal, two more each way.
  static func record() -> (hub: Recording, node: Recording) {
    let scene = AttackScene()
    var atHub = Recording()
    var atNode = Recording()
    func note(_ bytes: [UInt8], _ recording: inout Recording) {
      var at = 0
      while at < bytes.count {
        let size = 4 + Int(bytes[at + 2]) << 8 + Int(bytes[at + 3])
        at += size
        recording.cuts.append(recording.cuts.last! + size)
      }
      recording.bytes += bytes
    }
    func talk(_ from: UInt64) {
      for sequence in from...(from + 1) {
        for side in [Side.node, .hub] {
          scene.say("text \(sequence) of the \(side)", from: side, sequence: sequence)
        }
      }
    }
    scene.pair.start(hello: scene.pair.hello(withToken: false))
    func exchange() {
      for _ in 0..<3 {
        scene.pair.collect()
        note(scene.pair.toHub, &atHub)
        scene.pump(.hub)
        note(scene.pair.toNode, &atNode)
        scene.pump(.node)
      }
    }
    exchange()
    talk(1)
    exchange()
    try? scene.pair.node.beginRekey(now: scene.pair.now, random: &scene.pair.nodeRandom)
    exchange()
    talk(3)
    exchange()
    atHub.frames = replay(atHub.bytes, at: .hub).frames
    atNode.frames = replay(atNode.bytes, at: .node).frames
    return (atHub, atNode)
  }

  private static func damage(
    _ bytes: inout [UInt8], _ recording: Recording, other: [UInt8], _ random: inout Lcg
  ) {
    // Half of all damage goes into or after the sealed records: the handshake is most of the bytes.
    let sealed = recording.cuts[2]
    func place() -> Int { random.next(2) == 0 ? random.next(bytes.count) : sealed + random.next(bytes.count - sealed) }
    let records = recording.cuts.count - 1
    func range(_ i: Int) -> Range<Int> { recording.cuts[i]..<recording.cuts[i + 1] }
    switch random.next(10) {
    case 0...3:
      for _ in 0...random.next(4) { bytes[place()] ^= 1 << UInt8(random.next(8)) }
    case 4: bytes[place()] = UInt8(random.next(256))
    case 5:
      let at = place()
      bytes.removeSubrange(at..<min(bytes.count, at + 1 + random.next(64)))
    case 6: bytes.insert(contentsOf: (0...random.next(64)).map { _ in UInt8(random.next(256)) }, at: place())
    case 7:
      let (from, to) = (range(random.next(records)), recording.cuts[random.next(records + 1)])
      bytes.insert(contentsOf: bytes[from], at: to)
    case 8:
      let (a, b) = (random.next(records), random.next(records))
      guard a != b else { return }
      let (first, second) = (range(min(a, b)), range(max(a, b)))
      let swapped = bytes[second] + bytes[first.upperBound..<second.lowerBound] + bytes[first]
      bytes.replaceSubrange(first.lowerBound..<second.upperBound, with: swapped)
    default:
      let at = random.next(other.count)
      bytes.replaceSubrange(place()..., with: other[at..<min(other.count, at + 2_000)])
    }
  }

  /// Feeds one side; what comes out, and whether it ended.
  private static func replay(_ bytes: [UInt8], at side: Side, with pair: SessionPair = SessionPair()) -> (
    frames: [[UInt8]], ended: Bool
  ) {
    pair.restart(side)
    var frames: [[UInt8]] = []
    var rekeyed = false
    var rest = bytes[...]
    do throws(ErrorCode) {
      while !rest.isEmpty {
        let n = pair.deliver(Array(rest), to: &pair[side])
        rest.removeFirst(n)
        var progress = n > 0
        while let event = try side == .hub ? pair.hubTurn() : pair.nodeTurn() {
          progress = true
          switch event {
          case .hello: try pair.accept()
          case .frame(let header): frames.append(Self.flat(header, side == .hub ? pair.hubBody : pair.nodeBody))
          case .closed: return (frames, true)
          case .established, .rekeyed: break
          }
          pair[side].output.consume(pair[side].output.count)
          // The recording's node renews after its second message from the hub.
          if side == .node, frames.count == 2, !rekeyed {
            rekeyed = true
            try pair.node.beginRekey(now: pair.now, random: &pair.nodeRandom)
          }
        }
        if !progress { break }
      }
    } catch { return (frames, true) }
    return (frames, false)
  }

  private static func flat(_ header: FrameHeader, _ body: [UInt8]) -> [UInt8] {
    var queue = ByteQueue(capacity: Limits.frameHeaderBytes)
    _ = header.append(to: &queue)
    return queue.bytes.withUnsafeBytes { Array($0) } + body
  }
}

extension SessionPair {
  /// One side from the beginning, with the random numbers of the first time.
  func restart(_ side: Side) {
    func generator(_ first: UInt8) -> Drbg {
      var seed = Secret<32>()
      seed.withMutableBytes { for i in 0..<32 { $0[i] = first &+ UInt8(i) } }
      return Drbg(seed: seed)
    }
    if side == .hub {
      hubRandom = generator(51)
      hub.startAsHub(exporter: Self.exporter)
    } else {
      nodeRandom = generator(1)
      node.startAsNode(
        exporter: Self.exporter, hello: hello(withToken: false), verifier: Self.verifier(),
        expectedHubKey: hubIdentity.publicKey, random: &nodeRandom)
      node.output.consume(node.output.count)
    }
  }

  subscript(side: Side) -> Session {
    _read { if side == .hub { yield hub } else { yield node } }
    _modify { if side == .hub { yield &hub } else { yield &node } }
  }
  func hubTurn() throws(ErrorCode) -> Session.Event? {
    try hub.nextEvent(now: now, identity: hubIdentity, random: &hubRandom)
  }
  func nodeTurn() throws(ErrorCode) -> Session.Event? {
    try node.nextEvent(now: now, identity: nodeIdentity, random: &nodeRandom)
  }
}
