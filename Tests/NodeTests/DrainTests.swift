import Bounded
import Node
import SkyCrypto
import Testing
import Wire

/// Saying goodbye: what has been asked for by the time the daemon may end.
@Suite struct Drain {
  func node(hubs: Int) throws -> Node {
    var settings = NodeSettings()
    for i in 0..<hubs {
      let host = try #require(InlineText<253>("hub\(i).example"))
      settings.hubs.append(HubEntry(host: host, port: 7_411, pin: Bytes32(repeating: 1), key: Bytes32(zero: ())))
    }
    var seed = Secret<32>()
    seed.withMutableBytes { $0[0] = 1 }
    let me = NodeSelf(
      instance: InlineArray(repeating: 1), hardware: Bytes32(zero: ()), agent: InlineArray(repeating: 0))
    return Node(seed: seed, entropy: seed, me: me, settings: settings, admission: Admission())
  }

  @Test func aLinkIsClosedAndTheEndIsAtOnce() throws {
    let node = try node(hubs: 1)
    let now = Instant(ms: 1_000)
    node.handle(.start, now: now)
    let first = node.nextAction()
    #expect(first == .connect(0))
    node.handle(.drain, now: now)
    let second = node.nextAction()
    let third = node.nextAction()
    let fourth = node.nextAction()
    #expect(second == .disconnect)
    #expect(third == .stop)
    #expect(fourth == nil)
    let deadline = node.nextDeadline
    #expect(deadline == .never)
    let state = node.state
    #expect(state == .stopped)
  }

  @Test func withoutALinkTheEndIsAtOnce() throws {
    let node = try node(hubs: 0)
    node.handle(.start, now: Instant(ms: 1_000))
    node.handle(.drain, now: Instant(ms: 1_000))
    let first = node.nextAction()
    let second = node.nextAction()
    #expect(first == .stop)
    #expect(second == nil)
  }

  @Test func asTwiceIsAsOnce() throws {
    let node = try node(hubs: 1)
    node.handle(.start, now: Instant(ms: 1_000))
    node.handle(.drain, now: Instant(ms: 1_000))
    node.handle(.drain, now: Instant(ms: 2_000))
    var stops = 0
    while let action = node.nextAction() { if action == .stop { stops += 1 } }
    #expect(stops == 1)
  }
}
