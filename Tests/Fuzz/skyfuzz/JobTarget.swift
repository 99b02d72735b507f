import Bounded
import Compute
import SkyCrypto
import Wire

/// What the address sanitizer's heap holds now.
@_silgen_name("__sanitizer_get_current_allocated_bytes") private func allocatedBytes() -> Int

extension FuzzTarget {
  /// A hub gone bad, and a worker gone bad: `u8 what, u16 length, body`, over and over. Jobs reach the desk as if their
  /// signatures were good. It keeps its rules, its results their length, and its memory what is declared.
  static let job = FuzzTarget(
    name: "job",
    run: { bytes in
      let before = allocatedBytes()
      let desk = JobDesk()
      desk.use(hub: Bytes32(repeating: 1))
      var now = Instant(ms: 1)
      var script = Script(bytes)
      while let what = script.byte() {
        let body = script.literal(script.number())
        step(desk, what, body.span.bytes, &now)
        precondition(desk.isConsistent)
        precondition(desk.deadline == .never || desk.active > 0)
      }
      let most = (Limits.jobPlaces + 1) * Limits.jobBytes + 4_096
      precondition(allocatedBytes() - before <= most, "nothing grows")
    },
    seeds: {
      func record(_ what: UInt8, _ body: [UInt8] = []) -> [UInt8] {
        [what, UInt8(body.count >> 8), UInt8(body.count & 255)] + body
      }
      func order(_ id: UInt64, _ kind: JobKind, _ input: [UInt8], ms: UInt32 = 1_000) -> [UInt8] {
        var queue = ByteQueue(capacity: 4_096)
        JobOrder(id: id, kind: kind.rawValue, argument: 0, budgetMs: ms, budgetBytes: 65_536).append(to: &queue)
        return queue.array + input
      }
      let numbers: [UInt8] = [0x3F, 0x80, 0, 0, 0x40, 0, 0, 0, 0x40, 0x40, 0, 0]
      let tell = record(7)
      var words = ByteQueue(capacity: 128)
      JobProgress(id: 5, phase: .running, permille: 500).append(to: &words)
      var result = ByteQueue(capacity: 128)
      JobResult(id: 5, failure: nil, operations: 12, elapsedMs: 3).append(to: &result)
      return [
        Seed(name: "score", bytes: record(0, order(5, .score, numbers)) + tell + record(2) + record(2) + tell),
        Seed(
          name: "again",
          bytes: record(0, order(5, .score, numbers)) + record(2) + tell + record(0, order(5, .score, numbers)) + tell),
        Seed(
          name: "queue",
          bytes: (1...5).flatMap { record(0, order($0, .score, numbers)) } + record(6, [200]) + tell
            + record(1, [0, 0, 0, 0, 0, 0, 0, 2]) + tell),
        Seed(
          name: "texts",
          bytes: record(0, order(6, .infer, Array("hello".utf8))) + record(3, Array("Hi".utf8)) + record(5, [9]) + tell
            + record(0, order(7, .embed, Array("hello".utf8))) + record(4, Array("0.5,-1.25".utf8)) + record(5, [2])
            + tell),
        Seed(name: "words", bytes: record(8, words.array) + record(9, result.array) + record(10, [3])),
      ]
    })

  private static func step(_ desk: JobDesk, _ what: UInt8, _ body: RawSpan, _ now: inout Instant) {
    switch what % 11 {
    case 0:
      guard let order = try? JobOrder(decoding: body) else { return }
      let input = JobOrder.input(of: body)
      var queue = ByteQueue(capacity: JobOrder.byteCount)
      order.append(to: &queue)
      precondition(queue.bytes.elementsEqual(body.extracting(0..<JobOrder.byteCount)))
      let digest = JobSeal.digest(order, node: 1_000_000, input: input)
      precondition(!JobSeal.isGenuine(order, digest: digest, hub: Bytes32(repeating: 1)), "nobody signed it")
      _ = try? desk.take(order, digest: digest, input: input, now: now)
    case 1: if let cancel = try? JobCancel(decoding: body) { _ = desk.cancel(cancel.id, now: now) }
    case 2: desk.slice(now: now)
    case 3: desk.take(piece: body)
    case 4: _ = desk.take(vector: body)
    case 5:
      guard body.byteCount > 0 else { return desk.modelPutBack(until: now + 1) }
      if body[0] > 200 {
        desk.modelFailed(body[0] > 230 ? .busy : .modelFailed, now: now)
      } else {
        desk.modelEnded(tokens: UInt64(body[0]), now: now)
      }
    case 6:
      now = now + UInt64(body.byteCount > 0 ? body[0] : 1) * 10
      desk.tick(now: now)
    case 7: tell(desk, now)
    case 8:
      guard let progress = try? JobProgress(decoding: body) else { return }
      var queue = ByteQueue(capacity: 64)
      progress.append(to: &queue)
      precondition(queue.bytes.elementsEqual(body))
    case 9:
      guard let result = try? JobResult(decoding: body) else { return }
      precondition(body.byteCount - JobResult.byteCount <= Limits.jobBytes)
      precondition(result.failure == nil || body.byteCount == JobResult.byteCount)
    default:
      if body.byteCount > 0, body[0] > 250 { desk.use(hub: Bytes32(repeating: body[0])) }
      if body.byteCount > 0, body[0] == 1 { desk.endAll(.offDuty, now: now) }
    }
  }

  private static func tell(_ desk: JobDesk, _ now: Instant) {
    var told = 0
    while let report = desk.report(now: now) {
      var queue = ByteQueue(capacity: JobResult.byteCount + Limits.jobBytes)
      switch report {
      case .progress(let progress): progress.append(to: &queue)
      case .result(let result, let place):
        result.append(to: &queue)
        desk.append(result: place, to: &queue)
        precondition((try? JobResult(decoding: queue.bytes)) == result, "the hub can read it")
        precondition(result.failure != nil || queue.count > JobResult.byteCount, "what was done has a result")
      }
      desk.told(report, now: now)
      told += 1
      precondition(told <= Limits.jobPlaces, "each is told once")
    }
  }
}
