import Bounded
import Durable
import TestSupport
import Testing
import Wire

@testable import Node

/// Durable messages of a node over media in memory, with the real ring and the real session.
@Suite struct NodeDurableTests {
  private let other: UInt32 = 1_000_007
  private var joined: Admission {
    var admission = Admission()
    admission.nodeId = 1_000_000
    return admission
  }

  private func scene(_ before: SceneDisk? = nil) -> NodeScene {
    NodeScene(admission: joined, disk: SceneDisk(before, now: Instant(ms: 4_000_000)))
  }

  private func isEmpty(_ scene: NodeScene) -> Bool { scene.node.stores!.outgoing.isEmpty }
  private func sequence(_ result: Result<UInt64, ErrorCode>) throws -> UInt64 { try result.get() }

  // MARK: Sending

  @Test func aMessageWaitsForTheMediumThenForAHub() throws {
    let scene = scene()
    scene.disk?.isMoving = false
    let sequence = try sequence(scene.post("keep this"))
    #expect(scene.isStored(sequence) == false, "it is not acknowledged before it is on the medium")
    scene.disk?.isMoving = true
    scene.settleDisk()
    #expect(scene.isStored(sequence) == true)
    scene.goOnline()
    #expect(scene.hub.durable.map(\.text) == ["keep this"])
    #expect(scene.hub.durable.map(\.sequence) == [sequence])
    #expect(scene.hub.frames.last { $0.header.isDurable }?.header.destination == other)
    #expect(!isEmpty(scene))
    scene.hub.sendStored(scene.hub.durable[0].stream, sequence, now: scene.now)
    scene.settle()
    #expect(isEmpty(scene) && scene.node.counters.forwarded == 1)
    #expect(scene.wait(.resend) == nil)
  }

  @Test func whatTheHubDidNotTakeOverGoesOutAgainUnderItsName() throws {
    let scene = scene()
    scene.goOnline()
    _ = scene.post("again")
    scene.settleDisk()
    #expect(scene.hub.durable.count == 1)
    scene.cut()
    scene.pass(to: .retry)
    #expect(scene.state == .online && scene.hub.durable.count == 2)
    #expect(scene.hub.durable[0] == scene.hub.durable[1])
    // And when the hub says nothing at all.
    scene.pass(to: .resend)
    #expect(scene.hub.durable.count == 3)
  }

  @Test func afterACrashTheMediumKnowsWhatWasAcknowledged() throws {
    let first = scene()
    let sequence = try sequence(first.post("outlives me"))
    first.settleDisk()
    #expect(first.isStored(sequence) == true)
    let second = scene(first.disk)
    second.goOnline()
    #expect(second.hub.durable.map(\.text) == ["outlives me"] && second.hub.durable[0].sequence == sequence)
    second.hub.sendStored(second.hub.durable[0].stream, sequence, now: second.now)
    second.settle()
    let next = try self.sequence(second.post("new"))
    #expect(next > sequence, "a name is never given twice")
  }

  @Test(arguments: [ErrorCode.full, .busy]) func aHubWithoutRoomIsAskedAgain(_ code: ErrorCode) throws {
    let scene = scene()
    scene.goOnline()
    let sequence = try sequence(scene.post("patience"))
    scene.settleDisk()
    let stream = scene.hub.durable[0].stream
    scene.hub.sendStored(stream, sequence, failure: code, now: scene.now)
    scene.settle()
    _ = scene.post("behind it")
    scene.settleDisk()
    #expect(scene.hub.durable.count == 1, "nothing goes out while the hub has no room")
    scene.pass(Limits.resumeMs)
    scene.settle()
    #expect(scene.hub.durable.map(\.text) == ["patience", "patience", "behind it"])
  }

  @Test func aHubThatStaysFullIsAskedLessOften() throws {
    let scene = scene()
    scene.goOnline()
    let sequence = try sequence(scene.post("patience"))
    scene.settleDisk()
    let stream = scene.hub.durable[0].stream
    var asked = 1
    for pause: UInt64 in [2, 4, 8, 16, 32, 32] {
      scene.hub.sendStored(stream, sequence, failure: .full, now: scene.now)
      scene.settle()
      scene.pass(pause * 1_000 - 100)
      scene.settle()
      #expect(scene.hub.durable.count == asked, "\(pause) s")
      scene.pass(100)
      scene.settle()
      asked += 1
      #expect(scene.hub.durable.count == asked, "\(pause) s")
    }
    scene.hub.sendStored(stream, sequence, now: scene.now)
    scene.settle()
    let next = try self.sequence(scene.post("again"))
    scene.settleDisk()
    scene.hub.sendStored(stream, next, failure: .full, now: scene.now)
    scene.settle()
    scene.pass(Limits.resumeMs)
    scene.settle()
    #expect(scene.hub.durable.count == asked + 2)
  }

  @Test func aRefusalForGoodIsTold() throws {
    let scene = scene()
    scene.goOnline()
    let sequence = try sequence(scene.post("nobody", to: 9_999_999))
    scene.settleDisk()
    scene.hub.sendStored(scene.hub.durable[0].stream, sequence, failure: .unreachable, now: scene.now)
    scene.settle()
    #expect(scene.notices.last == .receipt(sequence: sequence, failure: .unreachable))
    #expect(isEmpty(scene) && scene.node.counters.undelivered == 1)
  }

  @Test func aMessagePastItsTimeIsGivenUp() throws {
    let scene = scene()
    scene.wallMs = 1_800_000_000_000
    scene.node.handle(.systemClock(scene.wallMs), now: scene.now)
    let short = try sequence(scene.post("soon stale", timeToLiveS: 10))
    _ = scene.post("lasts", timeToLiveS: 1_000)
    scene.settleDisk()
    scene.now = scene.now + 11_000
    scene.wallMs += 11_000
    scene.goOnline()
    #expect(scene.hub.durable.map(\.text) == ["lasts"])
    #expect(scene.notices.contains(.receipt(sequence: short, failure: .expired)))
    let left = try #require(scene.hub.frames.first { $0.header.isDurable }).header.timeToLiveS
    #expect(left > 900 && left < 1_000)
  }

  @Test func withoutAClockTheTimeToLiveRunsFromTheHubOn() {
    let scene = scene()
    _ = scene.post("on a board without a clock", timeToLiveS: 10)
    scene.settleDisk()
    scene.pass(60_000)
    scene.goOnline()
    #expect(scene.hub.durable.count == 1)
    #expect(scene.hub.frames.first { $0.header.isDurable }?.header.timeToLiveS == 10)
  }

  @Test func namesOfOtherRingsAndOfNothingChangeNothing() throws {
    let scene = scene()
    scene.goOnline()
    let sequence = try sequence(scene.post("mine"))
    scene.settleDisk()
    let stream = scene.hub.durable[0].stream
    let ignored = scene.node.counters.ignored
    for (name, number) in [(stream &+ 1, sequence), (0, sequence), (.max, .max)] as [(UInt64, UInt64)] {
      scene.hub.sendStored(name, number, now: scene.now)
    }
    scene.hub.sendStored(stream, sequence &+ 1, now: scene.now)
    scene.settle()
    #expect(scene.node.counters.ignored == ignored + 3)
    #expect(!isEmpty(scene))
  }

  @Test(arguments: [[], [1, 2, 3], [UInt8](repeating: 0, count: 19), [UInt8](repeating: 0, count: 18 * 65)])
  func aWordOfAnotherFormEndsTheLink(_ body: [UInt8]) {
    let scene = scene()
    scene.goOnline()
    scene.hub.send(FrameHeader(kind: .stored, destination: 1_000_000), body, now: scene.now)
    scene.settle()
    #expect(scene.lastError == .malformedFrame)
  }

  @Test func aMediumThatFailsIsNoPlaceForAPromise() throws {
    let scene = scene()
    let sequence = try sequence(scene.post("on its way"))
    scene.disk?.outgoing.error = 5
    scene.settleDisk()
    #expect(scene.isStored(sequence) == nil)
    #expect(scene.post("refused") == .failure(.ioFailed))
    scene.goOnline()
    scene.settle()
    #expect(scene.hub.durable.map(\.text) == ["on its way"], "it is sent all the same")
  }

  @Test func aFullRingRefuses() throws {
    let scene = scene()
    let text = String(repeating: "x", count: Limits.messageBytes)
    var taken = 0
    while case .success = scene.post(text) {
      taken += 1
      scene.settleDisk()
    }
    #expect(taken > 20 && taken < 60)
    #expect(scene.post(text) == .failure(.full))
    scene.goOnline()
    for message in scene.hub.durable { scene.hub.sendStored(message.stream, message.sequence, now: scene.now) }
    scene.settleDisk()
    scene.pass(1_000)
    scene.settleDisk()
    #expect((try? scene.post(text).get()) != nil, "what the hub has makes room")
  }

  @Test func theReceiversWordComesThrough() throws {
    let scene = scene()
    scene.goOnline()
    let sequence = try sequence(scene.post("did you get it?"))
    scene.settleDisk()
    var queue = ByteQueue(capacity: 16)
    _ = Receipt(sequence: sequence, failure: nil).append(to: &queue)
    let body = bytes(of: queue.bytes)
    for source in [1_000_008, other] as [UInt32] {
      scene.hub.send(
        FrameHeader(kind: .receipt, flags: FrameHeader.durable, source: source, destination: 1_000_000), body,
        now: scene.now)
      scene.settle()
      #expect(scene.notices.contains(.receipt(sequence: sequence, failure: nil)) == (source == other))
    }
  }

  // MARK: Receiving

  @Test func aMessageIsAcknowledgedOnceItIsOnTheMedium() {
    let scene = scene()
    scene.goOnline()
    scene.disk?.isMoving = false
    scene.hub.sendDurable("for you", sequence: 9, now: scene.now)
    scene.settleDisk()
    #expect(scene.hub.stored.isEmpty && scene.inboxTexts().isEmpty)
    // Sent again meanwhile: still not a word.
    scene.hub.sendDurable("for you", sequence: 9, now: scene.now)
    scene.settleDisk()
    #expect(scene.hub.stored.isEmpty)
    scene.disk?.isMoving = true
    scene.settleDisk()
    #expect(scene.hub.stored == [StoredEntry(stream: 500, sequence: 9, failure: nil)])
    #expect(scene.inboxTexts() == ["for you"])
    #expect(scene.hub.receipts == [Receipt(sequence: 9, failure: nil)])
  }

  @Test func whatComesAgainIsAnsweredAndNotShown() {
    let scene = scene()
    scene.goOnline()
    for sequence in [5, 6, 5, 400, 6, 5] as [UInt64] {
      scene.hub.sendDurable("number \(sequence)", sequence: sequence, now: scene.now)
      scene.settleDisk()
    }
    #expect(scene.inboxTexts() == ["number 5", "number 6", "number 400"])
    #expect(scene.hub.stored.map(\.sequence) == [5, 6, 5, 400, 6, 5])
    #expect(scene.hub.stored.allSatisfy { $0.failure == nil })
    #expect(scene.node.counters.duplicates == 3)
  }

  /// Nodes choose the names of their rings: with another's name they must not get at its messages.
  @Test func theNameOfAnothersRingIsOfNoUse() {
    let scene = scene()
    scene.goOnline()
    scene.hub.sendDurable("mine", sequence: 5, from: 1_000_008, now: scene.now)
    scene.hub.sendDurable("far ahead", sequence: 1 << 40, from: 1_000_008, now: scene.now)
    scene.settleDisk()
    scene.hub.sendDurable("genuine", sequence: 5, from: other, now: scene.now)
    scene.settleDisk()
    #expect(scene.inboxTexts() == ["mine", "far ahead", "genuine"])
    let again = NodeScene(admission: joined, disk: SceneDisk(scene.disk, now: Instant(ms: 4_000_000)))
    again.goOnline()
    again.hub.sendDurable("genuine", sequence: 5, from: other, now: again.now)
    again.settleDisk()
    #expect(again.inboxTexts() == ["mine", "far ahead", "genuine"], "the window built from the ring says the same")
  }

  @Test func unacknowledgedMessagesComeBackAfterACrashAndOthersDoNot() {
    let first = scene()
    first.goOnline()
    for sequence in 1...3 as ClosedRange<UInt64> {
      first.hub.sendDurable("number \(sequence)", sequence: sequence, now: first.now)
    }
    first.settleDisk()
    #expect(first.inboxTexts() == ["number 1", "number 2", "number 3"])
    let second = scene(first.disk)
    second.goOnline()
    second.settleDisk()
    #expect(second.inboxTexts() == ["number 1", "number 2", "number 3"])
    #expect(second.node.inbox[0].number > first.node.inbox[2].number, "numbers never begin again")
    let dropped = second.node.acknowledge(upTo: second.node.inbox[1].number)
    #expect(dropped == 2 && !second.node.isAcknowledgementStored)
    second.settleDisk()
    #expect(second.node.isAcknowledgementStored)
    let third = scene(second.disk)
    third.goOnline()
    // The hub did not hear of it and sends again.
    for sequence in 1...3 as ClosedRange<UInt64> {
      third.hub.sendDurable("number \(sequence)", sequence: sequence, now: third.now)
    }
    third.settleDisk()
    #expect(third.inboxTexts() == ["number 3"])
    #expect(third.hub.stored.map(\.sequence) == [1, 2, 3])
  }

  @Test func anOldAcknowledgementDropsNothingNew() {
    let first = scene()
    first.goOnline()
    first.hub.sendDurable("one", sequence: 1, now: first.now)
    first.settleDisk()
    let number = first.node.inbox[0].number
    let second = scene(first.disk)
    second.goOnline()
    second.settleDisk()
    #expect(second.node.acknowledge(upTo: number) == 0)
    #expect(second.inboxTexts() == ["one"])
  }

  @Test func aFullInboxShowsTheRestLater() {
    let scene = scene()
    scene.goOnline()
    for sequence in 1...40 as ClosedRange<UInt64> {
      scene.hub.sendDurable("\(sequence)", sequence: sequence, now: scene.now)
      scene.settleDisk()
    }
    #expect(scene.node.inbox.count == Limits.inboxSlots && scene.hub.stored.count == 40)
    _ = scene.node.acknowledge(upTo: .max)
    scene.settleDisk()
    #expect(scene.inboxTexts() == (33...40).map { "\($0)" })
  }

  @Test func withoutAMediumNothingIsPromised() {
    let bare = NodeScene(admission: joined)
    bare.goOnline()
    bare.hub.sendDurable("lost otherwise", sequence: 1, now: bare.now)
    bare.settle()
    #expect(bare.hub.stored == [StoredEntry(stream: 500, sequence: 1, failure: .busy)])
    #expect(bare.post("x") == .failure(.ioFailed))
  }

  @Test func moreRingsThanPlacesAreRefusedForNow() {
    let scene = scene()
    scene.goOnline()
    for stream in 1...(UInt64(Limits.seenStreams) + 1) {
      scene.hub.sendDurable("x", stream: stream, sequence: 1, now: scene.now)
      scene.settleDisk()
      _ = scene.node.acknowledge(upTo: .max)
    }
    #expect(scene.hub.stored.filter { $0.failure == nil }.count == Limits.seenStreams)
    #expect(scene.hub.stored.last == StoredEntry(stream: UInt64(Limits.seenStreams) + 1, sequence: 1, failure: .full))
  }
}
