import Bounded
import Testing
import Wire

@Suite struct JobFrameTests {
  private let order = JobOrder(
    id: 0x0102_0304_0506_0708, kind: 2, argument: 7, budgetMs: 60_000, budgetBytes: 65_536,
    signature: InlineArray { UInt8($0) })

  private func bytes(_ body: (inout ByteQueue) -> Void) -> [UInt8] {
    encoded {
      body(&$0)
      return true
    }!
  }

  @Test func anOrderIsTheBytesOfThePage() throws {
    let head = bytes { order.append(to: &$0) }
    #expect(
      Array(head[..<25]) == [1, 2, 3, 4, 5, 6, 7, 8, 2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0xEA, 0x60, 0, 1, 0, 0])
    #expect(Array(head[25...]) == (0..<64).map { UInt8($0) } && head.count == JobOrder.byteCount)
    let body = head + [9, 8]
    let again = try JobOrder(decoding: body.span.bytes)
    #expect(again.id == order.id && again.kind == 2 && again.argument == 7 && again.budgetMs == 60_000)
    let input = JobOrder.input(of: body.span.bytes)
    let (count, first) = (input.byteCount, input[0])
    #expect(count == 2 && first == 9)
  }

  @Test func anOrderHasAnIdAndAnInputThatFits() {
    func error(_ body: [UInt8]) -> ErrorCode? {
      outcome { () throws(ErrorCode) in try JobOrder(decoding: body.span.bytes).id }.error
    }
    let head = bytes { order.append(to: &$0) }
    for count in 0...head.count { #expect(error(Array(head[..<count])) == .malformedFrame, "\(count)") }
    #expect(error(head + [1]) == nil && error(head + [UInt8](repeating: 1, count: 8_192)) == nil)
    #expect(error(head + [UInt8](repeating: 1, count: 8_193)) == .malformedFrame)
    #expect(error([UInt8](repeating: 0, count: 8) + head[8...] + [1]) == .malformedFrame, "no id")
  }

  @Test func progressAndCancelReadBackWhatTheyWrote() throws {
    let progress = JobProgress(id: 5, phase: .running, permille: 1_000)
    let body = bytes { progress.append(to: &$0) }
    #expect(body == [0, 0, 0, 0, 0, 0, 0, 5, 3, 3, 0xE8])
    let again = try JobProgress(decoding: body.span.bytes)
    #expect(again == progress)
    for wrong in [
      Array(body.dropLast()), body + [0], body[..<8] + [0, 0, 0], body[..<8] + [4, 0, 0], body[..<9] + [3, 0xE9],
    ]
      as [[UInt8]]
    {
      #expect(outcome { () throws(ErrorCode) in try JobProgress(decoding: wrong.span.bytes) }.error == .malformedFrame)
    }
    let cancel = bytes { JobCancel(id: 5).append(to: &$0) }
    let cancelled = try JobCancel(decoding: cancel.span.bytes)
    #expect(cancelled.id == 5)
    #expect(outcome { () throws(ErrorCode) in try JobCancel(decoding: body.span.bytes) }.error == .malformedFrame)
  }

  @Test func aResultIsAnErrorOrBytes() throws {
    let done = JobResult(id: 5, failure: nil, operations: 2_000, elapsedMs: 3)
    let head = bytes { done.append(to: &$0) }
    #expect(head == [0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0xD0, 0, 0, 0, 3])
    let body = head + [1, 2]
    let again = try JobResult(decoding: body.span.bytes)
    #expect(again == done)
    let failed = bytes { JobResult(id: 5, failure: .busy).append(to: &$0) }
    let refused = try JobResult(decoding: failed.span.bytes)
    #expect(refused.failure == .busy)
    func error(_ body: [UInt8]) -> ErrorCode? {
      outcome { () throws(ErrorCode) in try JobResult(decoding: body.span.bytes) }.error
    }
    #expect(error(failed + [1]) == .malformedFrame && error(Array(head.dropLast())) == .malformedFrame)
    #expect(error(head + [UInt8](repeating: 1, count: 8_192)) == nil)
    #expect(error(head + [UInt8](repeating: 1, count: 8_193)) == .malformedFrame)
  }

  @Test func whatAKindNeedsIsWithinWhatAJobMayBeGiven() {
    for kind in JobKind.allCases { #expect(kind.memoryBytes <= Int(Limits.jobBudgetBytes)) }
    #expect(JobKind.score.memoryBytes == 16_384 && JobKind.infer.memoryBytes == 33_792)
  }
}
