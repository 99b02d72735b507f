import Bounded
import Foundation
import Node
import SkyCrypto
import Testing
import Wire

@testable import Hub

/// The server's behaviour with real sessions and a real registry, without sockets.
@Suite struct HubCoreTests {
  @Test func nodeWithATicketJoinsAndIsConfigured() throws {
    let swarm = try TestSwarm()
    let token = NewToken()
    try swarm.registry.addToken(
      id: Data(token.id), verifier: Data(NewToken.verifier(of: token.secret)), uses: 1, expiresAt: 1_800_000_000,
      label: "", now: 1_700_000_000)
    let node = TestNode(1)
    node.tokenId = Data(token.id)
    node.tokenSecret = token.secret
    swarm.connect(node)
    #expect(node.isOnline && node.id == 1_000_000)
    #expect(swarm.core.onlineCount == 1 && swarm.core.handshakingCount == 0)
    #expect(node.configure?.heartbeatIntervalMs == 30_000 && node.configure?.wallTimeMs == 1_700_000_000_000)
    #expect(node.configure?.hubs.count == 1)

    let second = TestNode(2)
    second.tokenId = Data(token.id)
    second.tokenSecret = token.secret
    swarm.connect(second)
    #expect(second.failure == .tokenUsed && !second.isOnline)
    #expect(swarm.core.linkCount == 1)
  }

  @Test func wrongTokenSecretIsNamed() throws {
    let swarm = try TestSwarm()
    let token = NewToken()
    try swarm.registry.addToken(
      id: Data(token.id), verifier: Data(NewToken.verifier(of: token.secret)), uses: 1, expiresAt: 1_800_000_000,
      label: "", now: 1)
    let node = TestNode(1)
    node.tokenId = Data(token.id)
    node.tokenSecret = NewToken().secret
    swarm.connect(node)
    #expect(node.failure == .tokenInvalid)
    #expect(swarm.core.status.refused["token_invalid"] == 1)
  }

  @Test func strangerIsRefused() throws {
    let swarm = try TestSwarm()
    let node = TestNode(1)
    swarm.connect(node)
    #expect(node.failure == .tokenRequired && swarm.core.linkCount == 0 && swarm.core.handshakingCount == 0)
  }

  @Test func messageReachesItsNodeAndTheSenderGetsAReceipt() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    let b = try swarm.allowedNode(2)
    swarm.connect(a)
    swarm.connect(b)
    try a.send("good morning", to: b.id!, sequence: 41, now: swarm.now)
    swarm.settle()
    #expect(b.messages.count == 1 && b.messages.first?.1 == Data("good morning".utf8))
    #expect(b.messages.first?.0.source == a.id && b.messages.first?.0.sequence == 41 && b.messages.first?.0.hops == 1)
    #expect(a.receipts == [Receipt(sequence: 41, failure: nil)])
  }

  @Test func nodeMayWriteToItself() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    swarm.connect(a)
    try a.send("note to self", to: a.id!, sequence: 1, now: swarm.now)
    swarm.settle()
    #expect(a.messages.first?.1 == Data("note to self".utf8))
    #expect(a.receipts == [Receipt(sequence: 1, failure: nil)])
  }

  @Test func messageToNobodyComesBackUnreachable() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    swarm.connect(a)
    try a.send("hello?", to: 1_000_500, sequence: 7, now: swarm.now)
    swarm.settle()
    #expect(a.receipts == [Receipt(sequence: 7, failure: .unreachable)])
  }

  @Test func spoofedSourceEndsTheLink() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    let b = try swarm.allowedNode(2)
    swarm.connect(a)
    swarm.connect(b)
    try a.send("I am b", to: b.id!, source: b.id!, sequence: 1, now: swarm.now)
    swarm.settle()
    #expect(a.failure == .spoofedSource && b.messages.isEmpty)
    #expect(swarm.core.onlineCount == 1)
  }

  @Test func messageToTheHubIsKept() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    swarm.connect(a)
    try a.send("for the hub", to: 0, sequence: 3, now: swarm.now)
    swarm.settle()
    #expect(a.receipts == [Receipt(sequence: 3, failure: nil)])
    swarm.pass(1_000)
    let inbox = try swarm.registry.inbox(limit: 10)
    #expect(inbox.map(\.body) == [Data("for the hub".utf8)] && inbox.first?.from == a.id)
  }

  @Test func floodIntoTheHubsInboxIsBounded() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    swarm.connect(a)
    for i in 0..<(HubCore.inboxPending + 10) {
      try a.send("x", to: 0, sequence: UInt64(i), now: swarm.now)
      swarm.settle()
    }
    #expect(a.receipts.filter { $0.failure == .full }.count == 10)
  }

  @Test func messageForALinkThatDoesNotReadIsRefusedNotQueued() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    let b = try swarm.allowedNode(2)
    swarm.connect(a)
    swarm.connect(b)
    b.isReading = false
    let text = String(repeating: "y", count: 3_000)
    for i in 0..<20 {
      try a.send(text, to: b.id!, sequence: UInt64(i), now: swarm.now)
      swarm.settle()
    }
    #expect(a.receipts.last == Receipt(sequence: 19, failure: .full))
    #expect(a.receipts.allSatisfy { $0.failure == .full } && a.receipts.count >= 8)
    #expect(swarm.core.onlineCount == 2)
  }

  @Test func heartbeatIsAnsweredAndRemembered() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    swarm.connect(a)
    try a.beat(now: swarm.now)
    swarm.settle()
    #expect(a.acknowledged == [1])
    swarm.pass(30_000)
    let record = try swarm.registry.node(named: .id(a.id!))
    #expect(record.lastSeenAt == 1_700_000_000 && record.agent == "skynod/test")
    #expect(record.vitals.contains("\"inbox_used\":1"))
    #expect(record.fingerprint == keyBytes(77))
  }

  @Test func silentNodeIsDropped() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    swarm.connect(a)
    swarm.pass(90_999)
    #expect(swarm.core.onlineCount == 1)
    swarm.pass(1)
    #expect(a.failure == .linkSilent && swarm.core.onlineCount == 0)
  }

  @Test func handshakeThatStallsIsDropped() throws {
    let swarm = try TestSwarm()
    let link = swarm.core.open(address: "192.0.2.9", now: swarm.now)
    swarm.core.secured(link, exporter: Bytes32(repeating: 1))
    swarm.pass(Limits.handshakeTimeoutMs)
    #expect(link.phase == .closing && swarm.core.handshakingCount == 0)
  }

  @Test func revocationEndsTheSessionAndKeepsTheNodeOut() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    swarm.connect(a)
    _ = try swarm.registry.revoke(id: a.id!, reason: "", now: 1)
    let closed = try swarm.core.refresh(now: swarm.now)
    swarm.settle()
    #expect(closed == 1 && a.failure == .revoked && swarm.core.onlineCount == 0)
    swarm.connect(a)
    #expect(a.failure == .revoked)
  }

  @Test func cloneIsRefusedAndReported() throws {
    let swarm = try TestSwarm()
    let original = try swarm.allowedNode(1, instance: 1)
    swarm.connect(original)
    let copy = TestNode(1, instance: 2)
    swarm.connect(copy)
    #expect(copy.failure == .sessionBusy)
    swarm.pass(1_000)
    swarm.connect(copy)
    #expect(copy.failure == .cloneDetected)
    #expect(original.isOnline && swarm.core.onlineCount == 1)
    #expect(try swarm.registry.node(named: .id(1_000_000)).clonesSeen == 1)
    #expect(try swarm.registry.events(limit: 1).first?.kind == "clone")
    #expect(swarm.log.contains { $0.contains("same identity") })
  }

  @Test func whoOnlyKnowsANodesKeyCannotHaveItSuspected() throws {
    let swarm = try TestSwarm()
    let original = try swarm.allowedNode(1, instance: 1)
    swarm.connect(original)
    let stranger = TestNode(2, instance: 9)
    stranger.claimedKey = original.identity.publicKey
    for _ in 0..<3 {
      swarm.connect(stranger)
      #expect(stranger.failure == .badSignature)
      swarm.pass(1_000)
    }
    #expect(original.isOnline && swarm.core.live.nextProbeDeadline == nil)
    #expect(try swarm.registry.node(named: .id(1_000_000)).clonesSeen == 0)
    // A board that comes back after a power cut finds its place as if the stranger had never been there.
    original.isReading = false
    let after = TestNode(1, instance: 2)
    swarm.connect(after)
    #expect(after.failure == .sessionBusy)
    swarm.pass(LiveTable.probeMs)
    swarm.connect(after)
    #expect(after.isOnline)
  }

  @Test func boardAfterAPowerCutGetsInOnceItsOldSessionDoesNotAnswer() throws {
    let swarm = try TestSwarm()
    let before = try swarm.allowedNode(1, instance: 1)
    swarm.connect(before)
    before.isReading = false
    let after = TestNode(1, instance: 2)
    swarm.connect(after)
    #expect(after.failure == .sessionBusy)
    swarm.pass(LiveTable.probeMs)
    swarm.connect(after)
    #expect(after.isOnline && after.id == 1_000_000 && swarm.core.onlineCount == 1)
    #expect(try swarm.registry.node(named: .id(1_000_000)).clonesSeen == 0)
  }

  @Test func sameRunReconnectingReplacesItsOldSession() throws {
    let swarm = try TestSwarm()
    let node = try swarm.allowedNode(1)
    swarm.connect(node)
    let old = node.link
    let again = TestNode(1)
    swarm.connect(again)
    #expect(again.isOnline && swarm.core.onlineCount == 1)
    swarm.settle()
    #expect(old?.phase == .free || old?.id != again.link?.id)
  }

  @Test func helloThatNeverConfirmsThrowsNobodyOut() throws {
    let swarm = try TestSwarm()
    let node = try swarm.allowedNode(1)
    swarm.connect(node)
    // Somebody who knows the node's public key and instance, not its secret.
    let thief = TestNode(2)
    let link = swarm.core.open(address: "192.0.2.66", now: swarm.now)
    swarm.core.secured(link, exporter: Bytes32(repeating: 9))
    var hello = thief.hello()
    hello.identity = node.identity.publicKey
    hello.instance = InlineArray<16, UInt8>(node.instance)!
    thief.session.startAsNode(
      exporter: Bytes32(repeating: 9), hello: hello, verifier: .init(), expectedHubKey: swarm.hubKey,
      random: &thief.random)
    thief.link = link
    swarm.nodes.append(thief)
    swarm.settle()
    #expect(!thief.isOnline)
    #expect(thief.failure == .badSignature)
    #expect(node.isOnline && swarm.core.live.link(of: 1_000_000) == node.link?.id)
  }

  @Test func fullHubSaysSo() throws {
    var configuration = HubConfiguration()
    configuration.maxNodes = 1
    let swarm = try TestSwarm(configuration: configuration)
    let a = try swarm.allowedNode(1)
    let b = try swarm.allowedNode(2)
    swarm.connect(a)
    swarm.connect(b)
    #expect(a.isOnline && b.failure == .hubFull)
  }

  @Test func drainTellsEverybodyAndWritesDown() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    swarm.connect(a)
    swarm.core.drain(now: swarm.now)
    swarm.settle()
    swarm.core.finish(now: swarm.now)
    #expect(a.failure == .draining && swarm.core.linkCount == 0 && !swarm.core.canOpen)
    #expect(try swarm.registry.node(named: .id(1_000_000)).lastSeenAt == 1_700_000_000)
  }

  @Test func hubSendsTextByHand() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    swarm.connect(a)
    let sent = swarm.core.sendText("from the hub", to: a.id!, now: swarm.now)
    swarm.settle()
    #expect(sent.failure == nil && a.messages.first?.1 == Data("from the hub".utf8))
    #expect(a.messages.first?.0.source == 0 && a.messages.first?.0.sequence == sent.sequence)
    #expect(swarm.core.takeSendResults() == [SendReceipt(to: a.id!, sequence: sent.sequence, failure: nil)])
    #expect(swarm.core.sendText("nobody", to: 1_000_009, now: swarm.now).failure == .unreachable)
  }

  @Test func handSentTextWithoutAReceiptTimesOut() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    a.givesReceipts = false
    swarm.connect(a)
    let sent = swarm.core.sendText("anybody?", to: a.id!, now: swarm.now)
    swarm.pass(Limits.receiptTimeoutMs)
    #expect(swarm.core.takeSendResults() == [SendReceipt(to: a.id!, sequence: sent.sequence, failure: .timeout)])
  }

  @Test func receiptsAreTheDestinationsOwnWord() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    let b = try swarm.allowedNode(2)
    b.inboxIsFull = true
    swarm.connect(a)
    swarm.connect(b)
    try a.send("no room", to: b.id!, sequence: 5, now: swarm.now)
    swarm.settle()
    #expect(a.receipts == [Receipt(sequence: 5, failure: .full)])
  }

  @Test func oneLinksFloodLeavesATurnToTheOthers() throws {
    let swarm = try TestSwarm()
    let a = try swarm.allowedNode(1)
    swarm.connect(a)
    for i in 0..<100 { try a.send("", to: 0, sequence: UInt64(i), now: swarm.now) }
    let link = try #require(a.link)
    link.session.input.append(a.session.output.bytes)
    a.session.output.consume(a.session.output.count)
    #expect(swarm.core.process(link, now: swarm.now))
    #expect(swarm.core.status.messagesKept == UInt64(HubCore.framesPerTurn))
  }
}
