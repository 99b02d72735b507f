import Bounded
import SkyCrypto
import Testing
import Wire

@testable import Compute

@Suite struct JobDeskTests {
  private let desk = JobDesk()
  private let now = Instant(ms: 1_000)
  private let hub = Bytes32(repeating: 1)

  init() {
    _ = startCrypto()
    desk.use(hub: hub)
  }

  /// The error, if it was not taken.
  @discardableResult
  private func take(
    _ id: UInt64, _ kind: JobKind = .score, _ input: [UInt8] = bytes([1, 2, 3]), argument: UInt64 = 0,
    ms: UInt32 = 1_000, memory: UInt32 = 65_536, at now: Instant = Instant(ms: 1_000), rawKind: UInt8? = nil
  ) -> ErrorCode? {
    let order = JobOrder(
      id: id, kind: rawKind ?? kind.rawValue, argument: argument, budgetMs: ms, budgetBytes: memory)
    let digest = JobSeal.digest(order, node: 1_000_000, input: input.span.bytes)
    do throws(ErrorCode) {
      try desk.take(order, digest: digest, input: input.span.bytes, now: now)
      return nil
    } catch { return error }
  }

  /// Everything that is to be told, told.
  private func tell(at now: Instant = Instant(ms: 1_000)) -> [JobDesk.Report] {
    var all: [JobDesk.Report] = []
    while let report = desk.report(now: now) {
      all.append(report)
      desk.told(report, now: now)
    }
    return all
  }

  private func result(_ reports: [JobDesk.Report]) -> JobResult? {
    for case .result(let result, _) in reports { return result }
    return nil
  }

  private func content(_ report: JobDesk.Report?) -> [UInt8] {
    guard case .result(_, let place) = report else { return [] }
    var queue = ByteQueue(capacity: Limits.jobBytes)
    desk.append(result: place, to: &queue)
    return (0..<queue.count).map { queue.bytes[$0] }
  }

  private func work() {
    while desk.next == .arithmetic { desk.slice(now: now) }
  }

  private func fill(_ text: StaticString, _ body: (RawSpan) -> Void) {
    var buffer = TextBuffer(capacity: 256)
    buffer.append(text)
    body(buffer.bytes)
  }

  private func isVector(_ text: StaticString) -> Bool {
    var isOne = false
    fill(text) { isOne = desk.take(vector: $0) }
    return isOne
  }

  @Test func aJobIsTakenDoneAndTold() {
    #expect(take(5) == nil && desk.next == .arithmetic)
    #expect(tell() == [.progress(JobProgress(id: 5, phase: .taken, permille: 0))])
    work()
    let reports = tell()
    #expect(reports.count == 1 && floats(content(reports.first))[0..<2] == [2, 0.816_496_6])
    #expect(desk.counters == JobDesk.Counters(done: 1, failed: 0, refused: 0, operations: 12))
    #expect(desk.reportDue == .never && desk.deadline == .never)
  }

  @Test func theSameJobIsAnsweredAndNotDoneAgain() {
    take(5)
    work()
    let first = content(tell().last)
    #expect(take(5) == nil && desk.next == .nothing)
    #expect(content(tell().last) == first && desk.counters.done == 1)
    #expect(take(5, .score, bytes([1, 2, 4])) == .replayed, "another job under the same id is not answered with this")
  }

  @Test func aJobThatHasLostItsPlaceIsRefused() {
    for id in 1...70 as ClosedRange<UInt64> {
      take(id)
      work()
      _ = tell()
    }
    #expect(take(1) == .replayed && take(50) == .replayed && take(66) == .replayed)
    #expect(take(68) == nil && desk.next == .nothing && result(tell())?.id == 68, "the last are still here")
    #expect(take(71) == nil)
  }

  @Test func jobsMayComeOutOfOrder() {
    for id in [10, 8, 9, 3] as [UInt64] {
      #expect(take(id) == nil)
      work()
      _ = tell()
    }
    #expect(desk.counters.done == 4)
  }

  @Test func threeAreTakenAndTheFourthIsToldThatTheNodeIsBusy() {
    for id in 1...3 as ClosedRange<UInt64> { #expect(take(id) == nil) }
    #expect(take(4) == .busy && desk.active == 3 && desk.counters.refused == 1)
    work()
    #expect(desk.active == 0 && desk.counters.done == 3)
    #expect(take(5) == nil, "one place is left beside three that nobody was told of")
    work()
    #expect(take(6) == .busy, "what nobody was told of is not thrown away")
    #expect(tell().count == 4)
    #expect(take(6) == nil)
    #expect(desk.isConsistent)
  }

  @Test func whatDoesNotFitItsBudgetOrItsKindIsRefused() {
    #expect(take(1, memory: 16_383) == .overBudget && take(1, .infer, [65], memory: 16_384) == .overBudget)
    #expect(take(1, memory: 65_537) == .badArgument && take(1, ms: 0) == .badArgument)
    #expect(take(1, ms: 600_001) == .badArgument)
    #expect(take(1, .score, [1, 2, 3, 4]) == .badArgument && take(1, argument: 1) == .badArgument)
    #expect(take(1, rawKind: 9) == .badArgument && take(1, .infer, [0xFF]) == .badArgument)
    #expect(take(1, .infer, [65, 0, 66]) == .badArgument && take(1, .infer, [65], argument: 513) == .badArgument)
    #expect(take(1, .compress, bytes(noise(1_536, 1)), argument: .max) == nil, "any seed")
  }

  @Test func whatIsNotDoneInTimeEnds() {
    take(1, .infer, [65], ms: 500)
    take(2, .infer, [66], ms: 300)
    let epoch = desk.epoch
    #expect(desk.deadline == now + 300)
    desk.tick(now: now + 300)
    #expect(result(tell())?.failure == .timeout && desk.epoch == epoch, "the one that runs goes on")
    desk.tick(now: now + 500)
    #expect(result(tell())?.failure == .timeout && desk.next == .nothing && desk.epoch != epoch)
    #expect(desk.counters.failed == 2)
  }

  @Test func aJobIsCancelledWhereverItStands() {
    take(1)
    take(2)
    #expect(desk.cancel(1, now: now) && desk.cancel(2, now: now) && !desk.cancel(3, now: now))
    let ends = tell()
    #expect(ends.count == 2 && result(ends)?.failure == .cancelled && desk.next == .nothing)
    take(4)
    work()
    _ = tell()
    #expect(desk.cancel(4, now: now) && result(tell())?.failure == nil, "what is done is told, not taken back")
  }

  @Test func aTextComesInPiecesAndTheTokensCount() {
    take(1, .infer, [65, 66], argument: 4)
    #expect(desk.next == .model && desk.modelDue != nil)
    var seen: (JobKind, Int, Int)?
    desk.withModelJob { seen = ($0, $1, $2.byteCount) }
    #expect(seen?.0 == .infer && seen?.1 == 4 && seen?.2 == 2)
    fill("Hel") { desk.take(piece: $0) }
    fill("lo") { desk.take(piece: $0) }
    #expect(tell(at: now + 1_000) == [.progress(JobProgress(id: 1, phase: .taken, permille: 500))])
    desk.modelEnded(tokens: 7, now: now + 20)
    let reports = tell()
    #expect(content(reports.first) == Array("Hello".utf8))
    #expect(result(reports) == JobResult(id: 1, failure: nil, operations: 7_000_000, elapsedMs: 20))
  }

  @Test func anotherQuestionFirstMeansBeginningAnew() {
    take(1, .infer, [65])
    fill("lost") { desk.take(piece: $0) }
    desk.modelPutBack(until: now + 9)
    #expect(desk.modelDue == now + 9)
    fill("kept") { desk.take(piece: $0) }
    desk.modelFailed(.busy, now: now + 10)
    #expect(desk.modelDue == now + 10 + Limits.jobModelRetryMs, "a worker that is busy is asked again")
    fill("last") { desk.take(piece: $0) }
    desk.modelEnded(tokens: 1, now: now)
    #expect(content(tell().first) == Array("last".utf8))
  }

  @Test func aVectorIsReadOrRefused() {
    take(1, .embed, [65])
    for wrong: StaticString in ["", "x", "1,,2", "1.2.3", "-", "1,2x", "1234567890123456"] {
      #expect(!isVector(wrong))
    }
    #expect(isVector("0.5,-0.250000,3"))
    desk.modelEnded(tokens: 3, now: now)
    #expect(floats(content(tell().first)) == [0.5, -0.25, 3])
  }

  @Test func aModelThatSaysNothingOrFailsEndsIt() {
    take(1, .infer, [65])
    desk.modelEnded(tokens: 0, now: now)
    #expect(result(tell())?.failure == .noAnswer)
    take(2, .infer, [65])
    desk.modelFailed(.modelHung, now: now)
    #expect(result(tell())?.failure == .modelHung)
  }

  @Test func anotherHubsJobsAreItsOwn() {
    take(9)
    let epoch = desk.epoch
    desk.use(hub: Bytes32(repeating: 2))
    #expect(desk.active == 0 && desk.epoch != epoch && desk.reportDue == .never)
    #expect(take(3) == nil && !desk.isHub(hub))
  }

  @Test func progressIsToldOnceASecond() {
    take(1, .infer, [65], ms: 60_000)
    #expect(tell().count == 1 && desk.reportDue == now + Limits.jobProgressMs)
    #expect(tell(at: now + 999).isEmpty)
    #expect(tell(at: now + 1_000) == [.progress(JobProgress(id: 1, phase: .running, permille: 0))])
  }

  @Test func aSignatureIsForOneNodeOneHubAndOneInput() {
    let identity = Identity(seed: Secret<32>(Bytes32(repeating: 3).raw)!)
    var order = JobOrder(id: 1, kind: 1, argument: 0, budgetMs: 5, budgetBytes: 20_000)
    let input: [UInt8] = bytes([1, 2])
    order.signature = JobSeal.sign(order, node: 1_000_000, input: input.span.bytes, by: identity)
    func isGood(_ input: [UInt8], node: UInt32 = 1_000_000, _ change: (inout JobOrder) -> Void = { _ in }) -> Bool {
      var changed = order
      change(&changed)
      return JobSeal.isGenuine(
        changed, digest: JobSeal.digest(changed, node: node, input: input.span.bytes), hub: identity.publicKey)
    }
    #expect(isGood(input))
    #expect(!isGood(input, node: 1_000_001) && !isGood(bytes([1, 3])) && !isGood(input, { $0.id = 2 }))
    #expect(!isGood(input, { $0.kind = 2 }) && !isGood(input, { $0.argument = 1 }))
    #expect(!isGood(input, { $0.budgetMs = 6 }) && !isGood(input, { $0.budgetBytes = 20_001 }))
    #expect(!isGood(input, { $0.signature[63] ^= 1 }))
    let digest = JobSeal.digest(order, node: 1_000_000, input: input.span.bytes)
    #expect(!JobSeal.isGenuine(order, digest: digest, hub: Bytes32(repeating: 5)))
  }
}
