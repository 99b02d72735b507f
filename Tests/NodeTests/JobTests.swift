import Bounded
import Compute
import SkyCrypto
import TestSupport
import Testing
import Wire

@testable import Node

@Suite struct JobTests {
  private let scene: NodeScene
  private let input: [UInt8] = [0x3F, 0x80, 0, 0, 0x40, 0, 0, 0, 0x40, 0x40, 0, 0]

  init() {
    _ = startCrypto()
    scene = NodeScene { $0.duties = .all }
  }

  private var node: Node { scene.node }

  private func job(
    _ id: UInt64, _ kind: JobKind = .score, _ input: [UInt8]? = nil, ms: UInt32 = 10_000,
    by identity: borrowing Identity, node: UInt32 = 1_000_000
  ) -> [UInt8] {
    let input = input ?? self.input
    var order = JobOrder(id: id, kind: kind.rawValue, argument: 0, budgetMs: ms, budgetBytes: 65_536)
    order.signature = JobSeal.sign(order, node: node, input: input.span.bytes, by: identity)
    var queue = ByteQueue(capacity: 256)
    order.append(to: &queue)
    return bytes(of: queue.bytes) + input
  }

  private func send(_ body: [UInt8], _ kind: FrameKind = .job) {
    scene.hub.send(FrameHeader(kind: kind, destination: 1_000_000), body, now: scene.now)
    scene.settle()
  }

  private func send(_ id: UInt64, _ kind: JobKind = .score, _ input: [UInt8]? = nil, ms: UInt32 = 10_000) {
    send(job(id, kind, input, ms: ms, by: scene.hub.identity))
  }

  private var results: [JobResult] {
    scene.hub.frames.filter { $0.header.kind == .jobResult }.map { try! JobResult(decoding: $0.body.span.bytes) }
  }
  private var progress: [JobProgress] {
    scene.hub.frames.filter { $0.header.kind == .jobProgress }.map { try! JobProgress(decoding: $0.body.span.bytes) }
  }

  private func work() {
    while node.sliceDeadline <= scene.now { node.workOnJob(now: scene.now) }
    scene.settle()
  }

  @Test func aJobIsDoneAndAnsweredOnce() {
    scene.goOnline()
    send(5)
    #expect(progress == [JobProgress(id: 5, phase: .taken, permille: 0)] && results.isEmpty)
    work()
    #expect(results == [JobResult(id: 5, failure: nil, operations: 12, elapsedMs: 0)])
    let body = scene.hub.frames.last!.body
    #expect(body.count == JobResult.byteCount + 20)
    send(5)
    #expect(scene.hub.frames.last!.body == body && node.jobs.counters.done == 1, "told again, not done again")
  }

  @Test func onlyTheHubsSignatureForThisNodeCounts() {
    scene.goOnline()
    var changed = job(5, by: scene.hub.identity)
    changed[changed.count - 1] ^= 1
    send(changed)
    send(job(6, by: Identity(seed: NodeScene.secret(4_711))))
    send(job(7, by: scene.hub.identity, node: 1_000_001))
    #expect(results.map(\.failure) == [.badSignature, .badSignature, .badSignature])
    #expect(node.jobs.active == 0 && scene.state == .online)
  }

  @Test func withoutTheDutyNothingIsTaken() {
    scene.goOnline()
    node.setDuties([.heartbeat, .relay], now: scene.now)
    send(5)
    #expect(results.map(\.failure) == [.offDuty])
  }

  @Test func aBoardThatGrowsHotGivesItsJobsBack() {
    scene.goOnline()
    send(5, .infer, [65], ms: 60_000)
    send(6, ms: 60_000)
    scene.vitals.temperatureMilliC = 85_000
    scene.pass(40_000)
    #expect(results.map(\.failure) == [.offDuty, .offDuty] && node.sliceDeadline == .never)
  }

  @Test func aJobIsCancelledOrEndsWithItsTime() {
    scene.goOnline()
    send(5, .infer, [65], ms: 3_000)
    send([0, 0, 0, 0, 0, 0, 0, 9], .jobCancel)
    #expect(results == [JobResult(id: 9, failure: .cancelled)], "one that is not here")
    send(6, .infer, [65], ms: 60_000)
    send([0, 0, 0, 0, 0, 0, 0, 6], .jobCancel)
    scene.pass(3_000)
    #expect(results.map(\.failure) == [.cancelled, .cancelled, .timeout] && results.last?.elapsedMs == 3_000)
    #expect(progress.filter { $0.id == 5 }.count >= 3, "the hub hears of it meanwhile")
  }

  @Test func aFrameThatIsNoneEndsTheLink() {
    scene.goOnline()
    send([1, 2, 3])
    #expect(scene.errors == [.malformedFrame])
  }

  @Test func whatWasDoneWithoutALinkIsToldWithTheNext() {
    scene.goOnline()
    send(5)
    scene.cut()
    work()
    #expect(results.isEmpty && node.jobs.counters.done == 1)
    scene.pass(60_000)
    #expect(scene.state == .online && results.map(\.id) == [5])
  }

  @Test func aSliceIsBoundedAndAJobTakesSeveral() {
    scene.goOnline()
    send(5, .compress, (0..<1_536).flatMap { [UInt8(0x3F), UInt8(truncatingIfNeeded: $0), UInt8($0 % 7), 1] })
    var slices = 0
    while node.sliceDeadline <= scene.now {
      node.workOnJob(now: scene.now)
      slices += 1
    }
    scene.settle()
    let operations = Arithmetic.operations(.compress, byteCount: 6_144)
    // A step that begins within a slice may go beyond its end by itself.
    #expect(slices >= Int(operations) / (2 * Limits.jobSliceOperations) && slices <= 16)
    #expect(results.map(\.operations) == [operations])
  }

  // MARK: Pre-emption

  @Test func framesThatAreHandedOnPutArithmeticOff() {
    let world = RelayWorld()
    let node = world.node
    node.setDuties(.all, now: world.now)
    let hub = FrameHeader(kind: .job, destination: RelayWorld.relayId)
    world.send(fromHub: true, hub, job(5, by: world.hubIdentity).span.bytes)
    world.settle()
    #expect(node.sliceDeadline <= world.now, "nothing else is to be done")
    // The leaf says something for the hub.
    let text: [UInt8] = [65]
    world.send(
      fromHub: false, FrameHeader(kind: .message, source: RelayWorld.leafId, sequence: 1), text.span.bytes)
    let up = node.relay.counters.up
    world.settle()
    #expect(node.relay.counters.up > up && node.sliceDeadline == world.now + Limits.jobYieldMs)
    node.workOnJob(now: world.now)
    #expect(node.jobs.counters.done == 0, "not now")
    node.workOnJob(now: world.now + Limits.jobYieldMs)
    #expect(node.jobs.counters.done == 1)
  }

  @Test func arithmeticGetsASliceInATenthOfASecondWhateverIsHandedOn() {
    scene.goOnline()
    send(5)
    node.slicedAt = scene.now
    let begun = scene.now
    while node.jobs.counters.done == 0 {
      node.noteHandedOn(now: scene.now)
      node.workOnJob(now: scene.now)
      scene.now = scene.now + 1
    }
    #expect(scene.now.since(begun) == Limits.jobPutOffMs + 1)
  }
}
