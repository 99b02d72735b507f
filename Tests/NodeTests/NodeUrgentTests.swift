import Bounded
import Durable
import TestSupport
import Testing
import Wire

@testable import Node

/// Urgent messages of a node: before the others, and held up by none of their waits.
@Suite struct NodeUrgentTests {
  private let other: UInt32 = 1_000_007

  private func scene(_ before: SceneDisk? = nil) -> NodeScene {
    var admission = Admission()
    admission.nodeId = 1_000_000
    return NodeScene(admission: admission, disk: SceneDisk(before, now: Instant(ms: 4_000_000)))
  }

  private func answerAll(_ scene: NodeScene, from first: Int = 0) {
    for message in scene.hub.durable.dropFirst(first) {
      scene.hub.sendStored(message.stream, message.sequence, now: scene.now)
    }
    scene.settle()
  }

  @Test func theyGoOutBeforeWhatWaitedLonger() throws {
    let scene = scene()
    for number in 1...3 { _ = try scene.post("\(number)").get() }
    let first = try scene.post("urgent 1", isUrgent: true).get()
    let second = try scene.post("urgent 2", isUrgent: true).get()
    scene.settleDisk()
    #expect(scene.isStored(first) == true && scene.isStored(second) == true)
    #expect(first >= Limits.urgentSequences && second == first + 1)
    #expect(scene.node.waitingToGo == 5 && scene.node.urgentToGo == 2)
    scene.goOnline()
    #expect(scene.hub.durable.map(\.text) == ["urgent 1", "urgent 2", "1", "2", "3"])
    #expect(Set(scene.hub.durable.map(\.stream)).count == 2, "a stream of their own")
    answerAll(scene)
    #expect(scene.node.waitingToGo == 0 && scene.node.counters.forwarded == 5)
    #expect(scene.wait(.resend) == nil)
  }

  @Test func afterACrashTheyAreThere() throws {
    let first = scene()
    let sequence = try first.post("outlives me", isUrgent: true).get()
    first.settleDisk()
    let second = scene(first.disk)
    second.goOnline()
    #expect(second.hub.durable.map(\.text) == ["outlives me"] && second.hub.durable[0].sequence == sequence)
  }

  /// The hub has no room for the others, for as long as it likes.
  @Test(arguments: [ErrorCode.full, .busy]) func aHubWithoutRoomForTheOthersHoldsNoneUp(_ code: ErrorCode) throws {
    let scene = scene()
    scene.goOnline()
    let sequence = try scene.post("patience").get()
    scene.settleDisk()
    scene.hub.sendStored(scene.hub.durable[0].stream, sequence, failure: code, now: scene.now)
    scene.settle()
    let urgent = try scene.post("urgent", isUrgent: true).get()
    scene.settleDisk()
    #expect(scene.hub.durable.map(\.text) == ["patience", "urgent"])
    // And the other way round.
    scene.hub.sendStored(scene.hub.durable[1].stream, urgent, failure: code, now: scene.now)
    scene.settle()
    _ = try scene.post("more", isUrgent: true).get()
    scene.settleDisk()
    #expect(scene.hub.durable.count == 2)
    scene.pass(Limits.resumeMs)
    scene.settle()
    #expect(scene.hub.durable.dropFirst(2).map(\.text).sorted() == ["more", "patience", "urgent"])
    answerAll(scene, from: 2)
    #expect(scene.node.waitingToGo == 0)
  }

  /// Both kinds together are no more than one hop may have on the way, and neither takes the other's places.
  @Test func eachKindHasItsPlacesOnTheWay() throws {
    let scene = scene()
    scene.goOnline()
    for number in 1...100 {
      _ = try scene.post("\(number)").get()
      if number % 20 == 0 { scene.settleDisk() }
    }
    #expect(scene.hub.durable.count == Limits.storedEntries - Limits.urgentOnTheWay)
    for number in 1...20 { _ = try scene.post("urgent \(number)", isUrgent: true).get() }
    scene.settleDisk()
    #expect(scene.hub.durable.count == Limits.storedEntries)
    #expect(scene.hub.durable.suffix(Limits.urgentOnTheWay).allSatisfy { $0.text.hasPrefix("urgent") })
  }

  @Test func aFullRingOfTheOthersLeavesThemRoom() throws {
    let scene = scene()
    let text = String(repeating: "x", count: 3_000)
    var refused: ErrorCode?
    while refused == nil {
      if case .failure(let code) = scene.post(text) { refused = code == .busy ? nil : code }
      scene.settleDisk()
    }
    #expect(refused == .full)
    let sequence = try scene.post("urgent", isUrgent: true).get()
    scene.settleDisk()
    #expect(scene.isStored(sequence) == true)
  }

  @Test func anIllMediumTakesNone() throws {
    let scene = scene()
    scene.disk!.urgent.error = 5
    _ = scene.post("never stored", isUrgent: true)
    scene.settleDisk()
    #expect(scene.post("refused", isUrgent: true) == .failure(.ioFailed) && !scene.node.isStorageWell)
    let sequence = try scene.post("the others' medium is well").get()
    scene.settleDisk()
    #expect(scene.isStored(sequence) == true)
  }

  @Test func theReceiverSeesWhatIsUrgent() {
    let scene = scene()
    scene.goOnline()
    scene.hub.sendDurable("help", sequence: Limits.urgentSequences + 9, now: scene.now)
    scene.hub.sendDurable("hello", stream: 501, sequence: 9, now: scene.now)
    scene.settle()
    scene.settleDisk()
    #expect((0..<scene.node.inbox.count).map { scene.node.inbox[$0].isUrgent } == [true, false])
    let urgent = scene.notices.compactMap { notice -> Bool? in
      if case .message(_, _, _, let isUrgent) = notice { return isUrgent }
      return nil
    }
    #expect(urgent == [true, false])
  }
}
