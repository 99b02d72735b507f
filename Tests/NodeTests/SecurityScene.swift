import Bounded
import SkyCrypto
import Testing
import Wire

@testable import Node

/// The node's state machine and a hub's session, joined by memory. Time moves only when told.
final class SecurityScene {
  var node: Node
  var hub = Session()
  var hubIdentity: Identity
  var hubRandom = generator(51)
  var now = Instant(ms: 1_000_000)
  var notices: [Node.Notice] = []
  /// What the hub got, and why it ended.
  var frames: [FrameHeader] = []
  var hubHeard: ErrorCode?
  /// The hubs that CONFIGURE names.
  var told = HubList()

  static func secret(_ first: UInt8) -> Secret<32> {
    var secret = Secret<32>()
    secret.withMutableBytes { for i in 0..<32 { $0[i] = first &+ UInt8(i) } }
    return secret
  }
  static func generator(_ first: UInt8) -> Drbg { Drbg(seed: secret(first)) }

  /// Configured hubs that are known by their certificates, not yet by their keys.
  static func settings(hubs: Int) -> NodeSettings {
    var settings = NodeSettings()
    for i in 0..<hubs {
      settings.hubs.append(
        HubEntry(
          host: InlineText<253>("hub\(i).example.org")!, port: 7_443, pin: Bytes32(repeating: 6),
          key: Bytes32(repeating: 0)))
    }
    return settings
  }

  init(hubKey: UInt8 = 151, hubs: Int = 1, admission: Admission = Admission()) {
    hubIdentity = Identity(seed: Self.secret(hubKey))
    let me = NodeSelf(
      instance: InlineArray(repeating: 3), hardware: Bytes32(repeating: 4), agent: InlineArray(repeating: 0))
    node = Node(
      seed: Self.secret(101), entropy: Self.secret(1), me: me, settings: Self.settings(hubs: hubs), admission: admission
    )
    node.handle(.start, now: now)
    settle()
  }

  /// The connection that the node asked for stands; runs until nothing moves.
  func linkUp() {
    let exporter = Bytes32(repeating: 0x42)
    node.handle(.linkUp(exporter: exporter, entropy: Bytes32(repeating: 9)), now: now)
    hub.startAsHub(exporter: exporter)
    hubHeard = nil
    pump()
  }

  /// The stream breaks; time passes until the node asks for another.
  func linkDown() {
    node.handle(.linkDown(.linkClosed), now: now)
    settle()
    while node.state == .offline {
      now = max(now, node.nextDeadline)
      node.handle(.tick, now: now)
      settle()
    }
  }

  func pass(_ ms: UInt64) {
    now = now + ms
    node.handle(.tick, now: now)
    pump()
  }

  func hubSends(_ header: FrameHeader, _ body: (inout ByteQueue) -> Void) {
    var queue = ByteQueue(capacity: 2_048)
    body(&queue)
    do throws(ErrorCode) { try hub.send(header, bodyOf: queue, now: now) } catch { Issue.record("not sent: \(error)") }
    pump()
  }

  func pump() {
    var moved = true
    while moved {
      moved = false
      if move(&node.session.output, to: &hub.input) {
        moved = true
        runHub()
      }
      if move(&hub.output, to: &node.session.input) {
        moved = true
        node.handle(.linkBytes, now: now)
      }
      settle()
    }
  }

  func settle() {
    while let action = node.nextAction() {
      if action == .sampleVitals { node.handle(.vitals(VitalSigns()), now: now) }
    }
    while let notice = node.nextNotice() { notices.append(notice) }
  }

  private func runHub() {
    do throws(ErrorCode) {
      while let event = try hub.nextEvent(now: now, identity: hubIdentity, random: &hubRandom) {
        switch event {
        case .hello:
          try hub.accept(nodeId: 1_000_000, hubId: 1, identity: hubIdentity, random: &hubRandom, now: now)
        case .established: try configure()
        case .frame(let frame): frames.append(frame)
        case .rekeyed: break
        case .closed(let code): hubHeard = code
        }
      }
    } catch { hubHeard = error }
  }

  private func configure() throws(ErrorCode) {
    var queue = ByteQueue(capacity: 1_024)
    _ = Configure(
      wallTimeMs: 1_767_225_600_000, heartbeatIntervalMs: 30_000, rekeyAfterMs: 120_000, dictionaryGeneration: 0,
      allowedDuties: .all, hubs: told
    ).append(to: &queue)
    try hub.send(FrameHeader(kind: .configure, destination: 1_000_000), bodyOf: queue, now: now)
  }

  private func move(_ from: inout ByteQueue, to: inout ByteQueue) -> Bool {
    let count = min(from.count, to.space)
    guard count > 0 else { return false }
    to.append(from.bytes.extracting(0..<count))
    from.consume(count)
    return true
  }
}

extension SecurityScene {
  var isOnline: Bool { node.state == .online }
}
