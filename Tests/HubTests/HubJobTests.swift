import Bounded
import Compute
import Foundation
import Node
import SkyCrypto
import Testing
import Wire

@testable import Hub
@testable import skyhub

/// Jobs in a whole hub: who gets them, what is kept, what a restart of either side means.
@Suite struct HubJobTests {
  private let swarm: TestSwarm
  private let numbers = Data([0x3F, 0x80, 0, 0, 0x40, 0, 0, 0])

  init() throws { swarm = try TestSwarm() }

  private func submit(_ kind: JobKind = .score, to node: TestNode? = nil) throws -> UInt64 {
    let job = try swarm.registry.submit(
      kind, argument: 0, budgetMs: 60_000, budgetBytes: 65_536, input: numbers, node: node?.id,
      at: swarm.core.wallSeconds)
    _ = try swarm.core.refresh(now: swarm.now)
    swarm.pass(1_000)
    return job.id
  }

  private func online(_ number: Int, _ duties: Duties = .all) throws -> TestNode {
    let node = try swarm.allowedNode(number)
    swarm.connect(node)
    try beat(node, duties)
    return node
  }

  private func beat(_ node: TestNode, _ duties: Duties = .all) throws {
    node.duties = duties
    try node.beat(now: swarm.now)
    swarm.settle()
    swarm.pass(50)
  }

  private func say(_ node: TestNode, _ kind: FrameKind, _ build: (inout ByteQueue) -> Void) throws {
    var body = ByteQueue(capacity: 256)
    build(&body)
    try node.session.send(FrameHeader(kind: kind, source: node.id ?? 0), body: body.bytes, now: swarm.now)
    swarm.settle()
    swarm.pass(50)
  }

  private func end(_ node: TestNode, _ id: UInt64, _ failure: ErrorCode? = nil) throws {
    try say(node, .jobResult) {
      JobResult(id: id, failure: failure, operations: 8, elapsedMs: 3).append(to: &$0)
      if failure == nil { $0.append(bigEndian: Float(1.5).bitPattern) }
    }
  }

  private func progress(_ node: TestNode, _ id: UInt64, _ phase: JobProgress.Phase) throws {
    try say(node, .jobProgress) { JobProgress(id: id, phase: phase, permille: 250).append(to: &$0) }
  }

  private func job(_ id: UInt64) throws -> Job { try #require(try swarm.registry.job(id)) }

  private func isGenuine(_ body: Data, for node: TestNode) -> Bool {
    body.withUnsafeBytes { bytes in
      guard let order = try? JobOrder(decoding: bytes.bytes) else { return false }
      let digest = JobSeal.digest(order, node: node.id!, input: JobOrder.input(of: bytes.bytes))
      return JobSeal.isGenuine(order, digest: digest, hub: swarm.hubKey)
    }
  }

  @Test func aJobGoesSignedToANodeWithTheDutyAndItsResultIsKept() throws {
    let idle = try online(1, [.heartbeat, .relay])
    let node = try online(2)
    let id = try submit()
    #expect(idle.jobs.isEmpty && node.jobs.count == 1 && isGenuine(node.jobs[0], for: node))
    #expect(node.jobs[0].suffix(8) == numbers)
    try progress(node, id, .taken)
    #expect(try job(id).state == .sent && job(id).starts == 1 && job(id).worker == node.id)
    try progress(node, id, .running)
    swarm.pass(1_000)
    #expect(try job(id).state == .running && job(id).permille == 250)
    try end(node, id)
    #expect(try job(id).state == .done && job(id).operations == 8)
    #expect(try swarm.registry.jobResult(id) == Data([0x3F, 0xC0, 0, 0]))
    #expect(swarm.core.status.jobsDone == 1 && swarm.core.status.computeOperations == 8)
    try end(node, id, .timeout)
    #expect(try job(id).state == .done, "an end is one")
  }

  @Test func aNodeThatIsBusyOrOffDutyIsLeftForAnother() throws {
    let (first, second) = (try online(1), try online(2))
    let id = try submit()
    try end(first, id, .offDuty)
    #expect(second.jobs.count == 1 && first.jobs.count == 1)
    try end(second, id, .busy)
    #expect(try job(id).state == .queued, "the other one said no for good")
    swarm.pass(HubCore.jobBusyMs)
    #expect(second.jobs.count == 2)
    try end(second, id, .noModel)
    #expect(try job(id).state == .failed && job(id).reason == "no_model")
  }

  @Test func aJobForOneNodeIsItsAlone() throws {
    let (first, second) = (try online(1), try online(2, .heartbeat))
    let id = try submit(to: second)
    #expect(first.jobs.isEmpty && second.jobs.count == 1)
    try end(second, id, .offDuty)
    #expect(try job(id).state == .failed && job(id).reason == "off_duty")
  }

  @Test func noNodeGetsMoreThanItHasPlacesFor() throws {
    let node = try online(1)
    let ids = try (0..<5).map { _ in try submit() }
    #expect(node.jobs.count == Limits.jobQueue && Set(ids).count == 5)
    let other = try online(2)
    #expect(other.jobs.count == 2, "the rest is for who comes")
    try end(node, ids[0])
    #expect(node.jobs.count == 3)
  }

  @Test func aNodeThatComesBackGetsItsJobOnceMore() throws {
    let node = try online(1)
    let id = try submit()
    for start in 1...3 {
      try progress(node, id, .taken)
      guard start < 3 else { break }
      swarm.core.lost(node.link!)
      node.link = nil
      node.session = Session()
      swarm.connect(node)
      #expect(node.jobs.count == start, "not before it beats")
      try beat(node)
      #expect(node.jobs.count == start + 1)
    }
    #expect(try job(id).state == .failed && job(id).reason == "node_restarted" && job(id).starts == 3)
    #expect(node.cancels == [id])
  }

  @Test func aNodeThatSaysNothingIsAskedAgain() throws {
    let node = try online(1)
    let id = try submit()
    swarm.pass(HubCore.jobSilentMs - 2_000)
    #expect(node.jobs.count == 1)
    swarm.pass(2_000)
    #expect(node.jobs.count == 2 && node.jobs[0] == node.jobs[1])
    #expect(try job(id).sends == 2)
  }

  @Test func whoHasGoneForAMinuteLosesIt() throws {
    let node = try online(1)
    let id = try submit()
    swarm.core.lost(node.link!)
    node.link = nil
    let other = try online(2)
    swarm.pass(HubCore.jobAwayMs - 2_000)
    #expect(other.jobs.isEmpty)
    for _ in 0..<3 { swarm.pass(1_000) }
    #expect(other.jobs.count == 1)
    try end(other, id)
    #expect(try job(id).worker == other.id)
  }

  @Test func cancellingEndsItWhereverItIs() throws {
    let waiting = try submit()
    #expect(try swarm.registry.cancelJob(waiting, at: 5) == true)
    _ = try swarm.core.refresh(now: swarm.now)
    swarm.pass(50)
    #expect(try job(waiting).state == .cancelled)
    let node = try online(1)
    let id = try submit()
    #expect(try swarm.registry.cancelJob(id, at: 5) == true)
    _ = try swarm.core.refresh(now: swarm.now)
    swarm.pass(50)
    #expect(node.cancels == [id])
    #expect(try job(id).state == .sent)
    try end(node, id, .cancelled)
    #expect(try job(id).state == .cancelled)
    #expect(try swarm.registry.cancelJob(id, at: 5) == false && swarm.registry.cancelJob(1, at: 5) == nil)
  }

  @Test func anotherNodesWordIsNotTaken() throws {
    let (node, other) = (try online(1), try online(2))
    let id = try submit()
    #expect(node.jobs.count == 1)
    try end(other, id)
    try progress(other, id, .taken)
    #expect(try job(id).state == .sent && job(id).starts == 0 && other.failure == nil)
    #expect(other.cancels == [id] && node.cancels.isEmpty, "it need not go on with it")
    try say(node, .jobResult) { $0.append(bigEndian: UInt8(1)) }
    #expect(node.failure == .malformedFrame)
  }

  @Test func whatANodeClaimsOverflowsNothing() throws {
    let node = try online(1)
    for _ in 0..<3 {
      let id = try submit()
      try say(node, .jobResult) {
        JobResult(id: id, failure: nil, operations: .max, elapsedMs: .max).append(to: &$0)
      }
      #expect(try job(id).state == .done && job(id).operations == Job.operationsMaximum)
    }
    #expect(swarm.core.status.computeOperations == 3 * Job.operationsMaximum)
  }

  @Test func jobsAreBoundedInNumber() throws {
    for _ in 0..<Job.unfinishedMaximum {
      _ = try swarm.registry.submit(
        .score, argument: 0, budgetMs: 1, budgetBytes: 1, input: numbers, node: nil, at: 1_000)
    }
    #expect(throws: HubError.self) {
      try swarm.registry.submit(.score, argument: 0, budgetMs: 1, budgetBytes: 1, input: numbers, node: nil, at: 1)
    }
    let all = try swarm.registry.unfinishedJobs().map { entry in
      var job = entry.job
      job.finish(.failed, "timeout", at: 5)
      return job
    }
    #expect(all.first?.id == 1_000 && all.last?.id == 1_000 + 255, "ids rise also within a second")
    for round in 0..<5 {
      try swarm.registry.keepJobs(
        try swarm.registry.unfinishedJobs().map { entry in
          var job = entry.job
          job.finish(.failed, "timeout", at: 5)
          return job
        }, results: [:])
      for _ in 0..<(round < 4 ? Job.unfinishedMaximum : 1) {
        _ = try swarm.registry.submit(
          .score, argument: 0, budgetMs: 1, budgetBytes: 1, input: numbers, node: nil, at: 1_000)
      }
    }
    #expect(try swarm.registry.jobs(limit: 9_999).count == Job.kept)
  }

  // MARK: Text

  @Test func numbersAreReadAsPeopleWriteThem() throws {
    #expect(try JobText.input(Data("1, 2\n-0.5e1".utf8), .score, isRaw: false).count == 12)
    #expect(throws: HubError.self) { try JobText.input(Data("1 two".utf8), .score, isRaw: false) }
    #expect(throws: HubError.self) { try JobText.input(Data("1".utf8), .score, isRaw: false) }
    #expect(throws: HubError.self) { try JobText.input(Data("1 2".utf8), .compress, isRaw: false) }
    #expect(throws: HubError.self) { try JobText.input(Data([0xFF, 0xFE]), .infer, isRaw: false) }
    #expect(try JobText.input(Data(" Hi \n".utf8), .infer, isRaw: false) == Data("Hi".utf8))
    #expect(try JobText.input(numbers, .score, isRaw: true) == numbers)
    #expect(JobText.units(35_792) == "0.035792" && JobText.units(12_000_001) == "12.000001")
  }

  @Test func resultsAreWhatTheKindGives() throws {
    let score = try JobText.Result(numbers + Data([0xBF, 0x80, 0, 0]), .score)
    #expect(score.mean == 1 && score.deviation == 2 && score.numbers == [-1])
    #expect(try JobText.Result(numbers, .compress).relativeError == 1)
    #expect(try JobText.Result(Data("Hi".utf8), .infer).text == "Hi")
    #expect(throws: HubError.self) { try JobText.Result(Data([1, 2, 3]), .score) }
  }
}
