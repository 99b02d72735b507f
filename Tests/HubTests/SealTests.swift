import Bounded
import Foundation
import GRDB
import Node
import SkyCrypto
import TestSupport
import Testing
import Wire

@testable import Hub

/// Messages that are sealed from end to end: the shipped state machines of both ends, a relay and a real hub between them.
@Suite struct SealTests {
  /// What the hub has of a text: in its spool, and in whatever else it keeps.
  private func hubHas(_ text: String, _ scene: RelayScene) throws -> Bool {
    let bodies = try scene.swarm.registry.queue.read { db in
      try Data.fetchAll(db, sql: "SELECT body FROM spool UNION ALL SELECT body FROM inbox")
    }
    return bodies.contains { $0.range(of: Data(text.utf8)) != nil }
  }

  @Test func ordinaryAndDurableMessagesOpenAtTheirEndAndNowhereElse() throws {
    let scene = try RelayScene()
    let relay = try scene.member("relay", relays: true)
    let leaf = try scene.member("leaf", behind: [relay])
    let peer = try scene.member("peer")
    scene.start(relay, leaf, peer)
    scene.pass(1_000)
    try scene.send("ordinary up", from: leaf, to: peer.node.nodeId)
    try scene.send("ordinary down", from: peer, to: leaf.node.nodeId)
    try scene.post("durable up", from: leaf, to: peer)
    try scene.post("durable down", from: peer, to: leaf)
    scene.pass(500)
    #expect(Set(peer.texts) == ["ordinary up", "durable up"])
    #expect(Set(leaf.texts) == ["ordinary down", "durable down"])
    #expect(peer.sealed == [true, true] && leaf.sealed == [true, true])
    #expect(leaf.receipts == [nil, nil] && peer.receipts == [nil, nil])
    #expect(leaf.node.counters.sealedSent == 2 && leaf.node.counters.sealedReceived == 2)
    #expect(scene.core.status.messagesSealed == 4)
  }

  @Test(arguments: [SealPolicy.prefer, .off])
  func theHubKeepsWhatItCannotRead(policy: SealPolicy) throws {
    let scene = try RelayScene()
    let sender = try scene.member("sender", seal: policy)
    let receiver = try scene.member("receiver")
    scene.start(sender, receiver)
    scene.pass(1_000)
    scene.cutPower(of: receiver)
    try scene.post("nobody else may read this", from: sender, to: receiver)
    scene.pass(500)
    #expect(try scene.swarm.registry.spoolCount() == 1)
    // Without sealing it is found: the look at the hub can fail.
    #expect(try hubHas("nobody else may read this", scene) == (policy == .off))
    let again = try scene.member("receiver", instance: 2, sameAs: receiver)
    scene.start(again)
    scene.pass(10_000)
    #expect(again.texts == ["nobody else may read this"])
    #expect(again.sealed == [policy != .off])
  }
}
