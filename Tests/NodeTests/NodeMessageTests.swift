import Bounded
import Testing
import Wire

@testable import Node

@Suite struct NodeMessageTests {
  private let other: UInt32 = 1_000_007

  @Test func aMessageGoesOutAndItsReceiptComesBack() {
    let scene = NodeScene()
    scene.goOnline()
    #expect(scene.send("to the hub") == .success(1))
    #expect(scene.send("to a node", to: other) == .success(2))
    let sent = scene.hub.frames.filter { $0.header.kind == .message }
    #expect(sent.map(\.header.destination) == [0, other])
    #expect(sent.map(\.header.source) == [1_000_000, 1_000_000])
    #expect(sent.map { String(decoding: $0.body, as: UTF8.self) } == ["to the hub", "to a node"])
    #expect(scene.notices.contains(.receipt(sequence: 1, failure: nil)))
    #expect(scene.notices.contains(.receipt(sequence: 2, failure: nil)))
    #expect(scene.node.outboxUsed == 0)
    #expect(scene.node.counters.sent == 2)
  }

  @Test func aReceiptMayNameAFailure() {
    let scene = NodeScene()
    scene.goOnline()
    scene.hub.givesReceipts = false
    _ = scene.send("to nobody", to: other)
    scene.hub.sendReceipt(1, from: other, failure: .unreachable, now: scene.now)
    scene.settle()
    #expect(scene.notices.last == .receipt(sequence: 1, failure: .unreachable))
  }

  /// Any node may write to this one; none may speak for another.
  @Test func aReceiptFromAnybodyElseSaysNothing() {
    let scene = NodeScene()
    scene.goOnline()
    scene.hub.givesReceipts = false
    _ = scene.send("to a node", to: other)
    let before = scene.notices
    for stranger in [0, 1_000_000, 1_000_008] as [UInt32] {
      scene.hub.sendReceipt(1, from: stranger, now: scene.now)
      scene.hub.sendReceipt(1, from: stranger, failure: .revoked, now: scene.now)
    }
    scene.hub.sendReceipt(2, from: other, now: scene.now)
    scene.settle()
    #expect(scene.notices == before)
    #expect(scene.node.outboxUsed == 1)
    #expect(scene.node.counters.ignored == 7)
    scene.hub.sendReceipt(1, from: other, now: scene.now)
    scene.hub.sendReceipt(1, from: other, failure: .full, now: scene.now)
    scene.settle()
    #expect(scene.notices.count == before.count + 1, "the first word counts")
    #expect(scene.notices.last == .receipt(sequence: 1, failure: nil))
  }

  @Test func aReceiptForAnotherNodeEndsTheLink() {
    let scene = NodeScene()
    scene.goOnline()
    scene.hub.sendReceipt(1, from: 0, to: 1_000_001, now: scene.now)
    scene.settle()
    #expect(scene.lastError == .malformedFrame)
  }

  @Test func aMessageWithoutAReceiptIsLostAfterThirtySeconds() {
    let scene = NodeScene()
    scene.hub.configure.heartbeatIntervalMs = 600_000
    scene.hub.givesReceipts = false
    scene.goOnline()
    _ = scene.send("one")
    scene.pass(10_000)
    _ = scene.send("two")
    scene.pass(19_999)
    #expect(scene.node.outboxUsed == 2)
    scene.pass(1)
    #expect(scene.notices.last == .receipt(sequence: 1, failure: .timeout))
    #expect(scene.node.outboxUsed == 1)
    scene.pass(10_000)
    #expect(scene.notices.last == .receipt(sequence: 2, failure: .timeout))
    #expect(scene.wait(.receipt) == nil)
    scene.hub.sendReceipt(1, from: 0, now: scene.now)
    scene.settle()
    #expect(scene.notices.last == .receipt(sequence: 2, failure: .timeout), "too late is too late")
  }

  @Test func receiptsAreWaitedForWhileTheLinkIsAway() {
    let scene = NodeScene()
    scene.hub.givesReceipts = false
    scene.goOnline()
    _ = scene.send("before the cut")
    scene.hub.isUp = false
    scene.cut()
    scene.pass(Limits.receiptTimeoutMs)
    #expect(scene.state == .offline)
    #expect(scene.notices.contains(.receipt(sequence: 1, failure: .timeout)))
  }

  @Test func aReceiptCountsOnTheNextLinkToo() {
    let scene = NodeScene()
    scene.hub.givesReceipts = false
    scene.goOnline()
    _ = scene.send("before the cut", to: other)
    scene.cut()
    scene.pass(Limits.backoffFirstMs)
    scene.hub.sendReceipt(1, from: other, now: scene.now)
    scene.settle()
    #expect(scene.notices.contains(.receipt(sequence: 1, failure: nil)))
  }

  @Test func sixteenMessagesMayWaitAndNoMore() {
    let scene = NodeScene()
    scene.hub.givesReceipts = false
    scene.goOnline()
    for i in 1...16 as ClosedRange<UInt64> { #expect(scene.send("\(i)") == .success(i)) }
    #expect(scene.send("one too many") == .failure(.full))
    #expect(scene.hub.count(.message) == 16)
    #expect(scene.node.counters.sent == 16)
    scene.hub.sendReceipt(9, from: 0, now: scene.now)
    scene.settle()
    #expect(scene.send("there is room again") == .success(17))
  }

  @Test func oneSilentNodeDoesNotBlockTheOutbox() {
    let scene = NodeScene()
    scene.goOnline()
    scene.hub.givesReceipts = false
    _ = scene.send("to a silent node", to: other)
    scene.hub.givesReceipts = true
    for i in 2...100 as ClosedRange<UInt64> { #expect(scene.send("\(i)") == .success(i)) }
    #expect(scene.node.outboxUsed == 1)
  }

  @Test func whatCannotBeSentIsRefusedByName() {
    let scene = NodeScene()
    scene.hub.isUp = false
    scene.start()
    #expect(scene.send("hi") == .failure(.notJoined))
    scene.hub.isUp = true
    scene.pass(to: .retry)
    #expect(scene.send("") == .failure(.badArgument))
    #expect(scene.send("me", to: 1_000_000) == .failure(.badArgument))
    #expect(scene.send(String(repeating: "x", count: Limits.messageBytes + 1)) == .failure(.tooLong))
    #expect(scene.send(String(repeating: "x", count: Limits.messageBytes)) == .success(1))
    scene.cut()
    #expect(scene.send("hi") == .failure(.offline))
    #expect(scene.node.counters.sent == 1)
  }

  @Test func aFullOutputIsFullAndTakesNoSequence() {
    let scene = NodeScene()
    scene.goOnline()
    scene.hub.isDeaf = true
    let text = String(repeating: "x", count: Limits.messageBytes)
    var sent: UInt64 = 0
    while case .success = scene.send(text) { sent += 1 }
    #expect(sent == 10, "as many as fit two of the longest records")
    #expect(scene.send(text) == .failure(.full))
    #expect(scene.node.outboxUsed == 10)
    scene.hub.isDeaf = false
    scene.settle()
    #expect(scene.send(text) == .success(sent + 1))
  }

  @Test func aKeyPastItsAgeEndsTheLinkAndLeavesNothingBehind() {
    let scene = NodeScene()
    scene.goOnline()
    scene.now = scene.now + Limits.keyRefusedAfterMs + 1  // as after a board's sleep
    #expect(scene.send("stale") == .failure(.offline))
    #expect(scene.lastError == .keyExpired)
    #expect(scene.node.outboxUsed == 0)
    scene.pass(Limits.backoffFirstMs)
    #expect(scene.state == .online)
    #expect(scene.send("fresh") == .success(1))
  }

  @Test func anExpiredKeyAtAHeartbeatEndsTheLinkForGood() {
    let scene = NodeScene()
    scene.goOnline()
    scene.now = scene.now + Limits.keyRefusedAfterMs + 1
    scene.handle(.vitals(VitalSigns()))
    #expect(scene.state == .offline)
    #expect(scene.wait(.heartbeat) == nil)
    #expect(scene.wait(.retry) != nil)
  }
}

@Suite struct NodeInboxTests {
  @Test func messagesAreKeptAndReceiptsSent() {
    let scene = NodeScene()
    scene.goOnline()
    scene.hub.sendMessage("from the hub", sequence: 9, now: scene.now)
    scene.hub.sendMessage("from a node", from: 1_000_007, sequence: 4, now: scene.now)
    scene.settle()
    #expect(scene.inboxTexts() == ["from the hub", "from a node"])
    #expect(scene.notices.contains(.message(number: 1, source: 0)))
    #expect(scene.notices.contains(.message(number: 2, source: 1_000_007)))
    #expect(scene.hub.receipts == [Receipt(sequence: 9, failure: nil), Receipt(sequence: 4, failure: nil)])
    let destinations = scene.hub.frames.filter { $0.header.kind == .receipt }.map(\.header.destination)
    #expect(destinations == [0, 1_000_007])
  }

  @Test func aFullInboxRefusesToTheSenderAndKeepsWhatItHas() {
    let scene = NodeScene()
    scene.goOnline()
    for i in 1...33 as ClosedRange<UInt64> {
      scene.hub.sendMessage("\(i)", from: 1_000_007 + UInt32(i % 2), sequence: i, now: scene.now)
      scene.settle()
    }
    #expect(scene.inboxTexts() == (1...32).map { "\($0)" })
    #expect(scene.hub.receipts.last == Receipt(sequence: 33, failure: .full))
    #expect(scene.node.counters.refusedFull == 1)
    #expect(scene.node.counters.received == 32)
    #expect(scene.node.acknowledge(upTo: 2) == 2)
    scene.hub.sendMessage("34", sequence: 34, now: scene.now)
    scene.settle()
    #expect(scene.hub.receipts.last == Receipt(sequence: 34, failure: nil))
    #expect(scene.node.inbox[scene.node.inbox.count - 1].number == 33)
  }

  @Test func oneSourceLeavesRoomInTheInboxForOthers() {
    let scene = NodeScene()
    scene.goOnline()
    for i in 1...40 as ClosedRange<UInt64> {
      scene.hub.sendMessage("\(i)", from: 1_000_007, sequence: i, now: scene.now)
      scene.settle()
    }
    #expect(scene.inboxTexts() == (1...Limits.inboxPerSource).map { "\($0)" })
    #expect(scene.node.counters.refusedFull == 40 - UInt64(Limits.inboxPerSource))
    scene.hub.sendMessage("from another", from: 1_000_008, sequence: 1, now: scene.now)
    scene.settle()
    #expect(scene.hub.receipts.last == Receipt(sequence: 1, failure: nil))
    #expect(scene.node.acknowledge(upTo: 1) == 1)
    scene.hub.sendMessage("41", from: 1_000_007, sequence: 41, now: scene.now)
    scene.settle()
    #expect(scene.hub.receipts.last == Receipt(sequence: 41, failure: nil))
  }

  @Test func aMessageThatIsTooLongIsRefused() {
    let scene = NodeScene()
    scene.goOnline()
    scene.hub.sendMessage(String(repeating: "x", count: Limits.messageBytes + 1), now: scene.now)
    scene.settle()
    #expect(scene.hub.receipts == [Receipt(sequence: 1, failure: .tooLong)])
    #expect(scene.node.inbox.count == 0)
    #expect(scene.state == .online)
  }

  @Test func aMessageForAnotherNodeEndsTheLink() {
    let scene = NodeScene()
    scene.goOnline()
    scene.hub.send(FrameHeader(kind: .message, destination: 1_000_001, sequence: 1), [1], now: scene.now)
    scene.settle()
    #expect(scene.lastError == .malformedFrame)
    #expect(scene.hub.heard == .malformedFrame)
    #expect(scene.node.inbox.count == 0)
  }

  @Test func aRestartedNumberingIsNeverSeenByTheOwner() {
    let inbox = Inbox()
    let text: [UInt8] = [1, 2, 3]
    for round in 1...100 as ClosedRange<UInt64> {
      let number = try? inbox.append(text.span.bytes, source: 1, sequence: 1, wallTimeMs: 0)
      #expect(number == round)
      let dropped = inbox.acknowledge(upTo: round)
      #expect(dropped == 1)
      inbox.checkInvariants()
    }
  }

  @Test func acknowledgingDropsTheOldestAndFreesTheirPlaces() {
    let inbox = Inbox()
    for i in 0..<32 as Range<UInt8> {
      let text = [UInt8](repeating: i, count: Limits.messageBytes)
      let number = try? inbox.append(text.span.bytes, source: UInt32(i), sequence: 1, wallTimeMs: 0)
      #expect(number == UInt64(i) + 1)
    }
    let none = inbox.acknowledge(upTo: 0)
    #expect(none == 0)
    let ten = inbox.acknowledge(upTo: 10)
    #expect(ten == 10)
    inbox.checkInvariants()
    let fresh = [UInt8](repeating: 0xEE, count: 5)
    _ = try? inbox.append(fresh.span.bytes, source: 99, sequence: 1, wallTimeMs: 0)
    for i in 0..<22 {
      let entry = inbox[i]
      let text = bytes(of: inbox.text(of: entry))
      #expect(text == [UInt8](repeating: UInt8(i + 10), count: Limits.messageBytes))
    }
    let last = bytes(of: inbox.text(of: inbox[22]))
    #expect(last == fresh)
    let rest = inbox.acknowledge(upTo: .max)
    #expect(rest == 23)
    inbox.checkInvariants()
  }

  @Test func anEmptyMessageIsAMessage() {
    let inbox = Inbox()
    let number = try? inbox.append(RawSpan(), source: 1, sequence: 1, wallTimeMs: 0)
    #expect(number == 1)
    let text = bytes(of: inbox.text(of: inbox[0]))
    #expect(text == [])
  }
}

extension Inbox {
  fileprivate func acknowledge(upTo number: UInt64) -> Int {
    var dropped = 0
    while popFirst(upTo: number) != nil { dropped += 1 }
    return dropped
  }
}
