import Bounded
import Node
import TestSupport
import Testing
import Wire

/// A relay behind a relay: what is above it finds a new way to its hub.
struct RelayWayTests {
  private let world = RelayWorld(isBehindRelay: true)
  private var relay: Relay { world.node.relay }

  private func sendFromLeaf() {
    let text: [UInt8] = [65]
    let header = FrameHeader(kind: .message, source: RelayWorld.leafId, sequence: 1)
    world.send(fromHub: false, header, text.span.bytes)
    world.settle()
  }

  /// The hub would take what came in their name for a forgery, and end the link of the relay above.
  @Test func nothingOfLeavesGoesUpBeforeTheHubKnowsTheNewWay() throws {
    sendFromLeaf()
    let before = relay.counters
    #expect(before.up > 0 && before.offline == 0)
    world.holdsConfiguration = true
    world.challenge()
    world.settle()
    sendFromLeaf()
    #expect(relay.counters.up == before.up && relay.counters.offline == 1)
    try world.configure()
    world.settle()
    sendFromLeaf()
    #expect(relay.counters.up == before.up + 1 && relay.routeCount == 1)
  }

  /// It said goodbye while its signature was on the way: a route to its place would lead to whoever comes next.
  @Test func theHubsWordOnALeafThatHasGoneMakesNoRoute() throws {
    world.holdsWay = true
    world.keepsClosing = true
    world.challenge()
    world.settle()
    let code: [UInt8] = [0, 20]
    world.send(fromHub: false, FrameHeader(kind: .close, source: RelayWorld.leafId), code.span.bytes)
    world.settle()
    #expect(relay.routeCount == 0 && relay.peers[0].phase == .closing)
    let before = relay.counters.strays
    try world.attach()
    world.settle()
    #expect(relay.routeCount == 0 && relay.counters.strays == before + 1)
  }
}
