import Bounded
import Knowledge
import Node
import Wire

extension FuzzTarget {
  /// A relay gone bad between a node and its hub, and a board where people ask: `u8 what, u16 length, body`, over and over.
  /// Answers are read as they come; the desk of questions keeps its rules whatever the order of events.
  static let question = FuzzTarget(
    name: "question",
    run: { bytes in
      let desk = AskDesk()
      var tickets: [UInt64] = []
      var script = Script(bytes)
      while let what = script.byte() {
        let body = script.literal(script.number())
        step(desk, &tickets, what, body.span.bytes)
        precondition(desk.count <= Limits.askQueue && (desk.count > 0 || desk.state == .waiting))
        precondition(desk.count > 0 || desk.work == .nothing)
        precondition(!desk.isFromHub || desk.state == .answered, "an answer of the hub is the end")
      }
    },
    seeds: {
      func record(_ what: UInt8, _ body: [UInt8] = []) -> [UInt8] {
        [what, UInt8(body.count >> 8), UInt8(body.count & 255)] + body
      }
      func answer(_ head: Answer.Head, _ brand: StaticString, _ sources: [StaticString], _ text: StaticString)
        -> [UInt8]
      {
        var queue = ByteQueue(capacity: 4_096)
        head.append(signature: InlineArray(repeating: 7), brand: brand, sources: sources.count, to: &queue)
        for source in sources {
          Answer.append(
            source: RawSpan(
              _unsafeStart: UnsafeRawPointer(source.utf8Start), byteCount: source.utf8CodeUnitCount), to: &queue)
        }
        queue.append(text)
        return queue.array
      }
      let good = answer(
        Answer.Head(id: 7, level: 3, isGrounded: true, cost: 80, elapsedMs: 9), "SkyAI Advanced",
        ["Where is it?", "What is it?"], "Here.")
      let none = answer(Answer.Head(id: 7, failure: .noAnswer), "", ["Where is it?"], "")
      let ask = record(1, [2] + Array("Why?".utf8))
      return [
        Seed(name: "answer", bytes: record(0, good) + record(0, none)),
        Seed(name: "hub", bytes: ask + record(3) + record(4) + record(2, [0])),
        Seed(
          name: "fallback",
          bytes: ask + record(3) + record(5, [1]) + record(6) + record(7) + record(8, [65]) + record(9)),
        Seed(name: "leaves", bytes: ask + ask + record(3) + record(2, [0]) + record(4) + record(6) + record(10)),
        Seed(name: "only", bytes: record(1, [4, 65]) + record(5, [2]) + record(2, [0])),
      ]
    })

  private static func step(_ desk: AskDesk, _ tickets: inout [UInt64], _ what: UInt8, _ body: RawSpan) {
    switch what % 11 {
    case 0: read(answer: body)
    case 1:
      guard body.byteCount > 1, body.byteCount - 1 <= Limits.questionBytes else { return }
      var options = AskDesk.Options()
      options.isFree = body[0] & 1 != 0
      options.mayAskHub = body[0] & 6 != 0
      options.onlyAsksHub = body[0] & 4 != 0
      options.explains = body[0] & 8 != 0 && !options.mayAskHub
      if let ticket = try? desk.add(body.extracting(1..<body.byteCount), options, now: Instant(ms: 1)) {
        tickets.append(ticket)
      }
    case 2:
      guard body.byteCount > 0, !tickets.isEmpty else { return }
      desk.finish(tickets.remove(at: Int(body[0]) % tickets.count))
    case 3: desk.askedHub()
    case 4: desk.hubAnswered()
    case 5: desk.hubFailed(body.byteCount > 0 && body[0] & 1 != 0 ? .offline : .noAnswer)
    case 6: desk.searched()
    case 7: if desk.work == .ask { desk.began() }
    case 8: desk.take(body)
    case 9: desk.ended(isGrounded: body.byteCount > 0)
    default:
      if desk.work == .hangUp { desk.dropped() } else { desk.failed(.modelFailed) }
    }
  }

  /// What was read is written as it was, and no text is longer or dirtier than it may be.
  private static func read(answer body: RawSpan) {
    do throws(ErrorCode) {
      let answer = try Answer(decoding: body)
      precondition(body.byteCount <= Limits.answerFrameBytes && answer.text().byteCount <= Limits.answerBytes)
      precondition(answer.head.failure == nil ? answer.text().byteCount > 0 : answer.text().byteCount == 0)
      precondition(ControlText.isClean(answer.text()) && ControlText.isClean(answer.brand()))
      var bytes = Limits.signatureBytes + Answer.Head.byteCount + 2 + answer.brand().byteCount + answer.text().byteCount
      for i in 0..<answer.sourceCount {
        precondition(ControlText.isClean(answer.source(i)) && answer.source(i).byteCount > 0)
        bytes += 2 + answer.source(i).byteCount
      }
      precondition(bytes == body.byteCount, "every byte has its place")
      precondition(answer.signed().byteCount == body.byteCount - Limits.signatureBytes)
    } catch { precondition(error == .malformedFrame) }
  }
}
