import Bounded
import Testing
import Wire

/// Frames 44 to 46.
@Suite struct QuestionTests {
  private func frame(
    head: Answer.Head = Answer.Head(id: 7, level: 3, isGrounded: true, cost: 80_000, elapsedMs: 1_234),
    brand: StaticString = "SkyAI Advanced", sources: [String] = ["Where is it?", "What is it?"], text: String = "Here."
  ) -> [UInt8] {
    var queue = ByteQueue(capacity: 16_384)
    var signature = InlineArray<64, UInt8>(repeating: 9)
    signature[63] = 8
    head.append(signature: signature, brand: brand, sources: sources.count, to: &queue)
    for source in sources { Answer.append(source: Array(source.utf8).span.bytes, to: &queue) }
    queue.append(Array(text.utf8).span.bytes)
    return queue.withBytes { $0.withUnsafeBytes { Array($0) } }
  }

  private func refuses(_ bytes: [UInt8]) -> Bool {
    do throws(ErrorCode) {
      _ = try Answer(decoding: bytes.span.bytes)
      return false
    } catch { return error == .malformedFrame }
  }

  private func text(_ span: RawSpan) -> String { span.withUnsafeBytes { String(decoding: $0, as: UTF8.self) } }

  @Test func anAnswerIsReadAsItWasWritten() throws {
    let bytes = frame()
    let answer = try Answer(decoding: bytes.span.bytes)
    #expect(answer.head == Answer.Head(id: 7, level: 3, isGrounded: true, cost: 80_000, elapsedMs: 1_234))
    #expect(text(answer.brand()) == "SkyAI Advanced")
    #expect(text(answer.text()) == "Here.")
    #expect(answer.sourceCount == 2)
    #expect(text(answer.source(0)) == "Where is it?")
    #expect(text(answer.source(1)) == "What is it?")
    #expect(answer.signature[63] == 8)
    #expect(answer.signed().byteCount == bytes.count - 64)
  }

  @Test func theLongestAnswerFitsAFrame() throws {
    let source = String(repeating: "q", count: Limits.questionBytes)
    let bytes = frame(
      brand: "SkyAI of thirty-two bytes in all", sources: [source, source, source],
      text: String(repeating: "a", count: Limits.answerBytes))
    #expect(bytes.count == Limits.answerFrameBytes)
    #expect(try Answer(decoding: bytes.span.bytes).sourceCount == 3)
    #expect(refuses(bytes + [0x61]))
  }

  @Test func anErrorHasSourcesAndNoText() throws {
    let head = Answer.Head(id: 7, failure: .noAnswer)
    let bytes = frame(head: head, brand: "", text: "")
    #expect(try Answer(decoding: bytes.span.bytes).head.failure == .noAnswer)
    #expect(refuses(frame(head: head, brand: "", text: "Something.")))
  }

  @Test func whatIsNoAnswerIsRefused() {
    #expect(refuses(frame(text: "")))
    #expect(refuses(frame(brand: "")))
    #expect(refuses(frame(text: "a\u{1B}[31m")))
    #expect(refuses(frame(sources: ["a\u{0}"])))
    #expect(refuses(frame(sources: [""])))
    #expect(refuses(frame(sources: ["a", "b", "c", "d"])))
    #expect(refuses(frame(head: Answer.Head(id: 0, level: 3))))
    #expect(refuses(frame(head: Answer.Head(id: 1, level: 0))))
    #expect(refuses(frame(head: Answer.Head(id: 1, level: 6))))
    #expect(refuses(frame(head: Answer.Head(id: 1, level: 3, cost: Limits.costMaximum + 1))))
    var flags = frame()
    flags[64 + 7] = 2
    #expect(refuses(flags))
    var broken = frame()
    broken[broken.count - 1] = 0xFF
    #expect(refuses(broken))
  }

  @Test func everyShorterOneIsRefusedOrShorter() throws {
    let bytes = frame()
    for count in 0..<(bytes.count - 5) { #expect(refuses(Array(bytes[..<count]))) }
    for count in (bytes.count - 4)..<bytes.count {
      #expect(try Answer(decoding: Array(bytes[..<count]).span.bytes).text().byteCount == count - bytes.count + 5)
    }
  }

  @Test func questionsAndVotesAreExact() throws {
    var queue = ByteQueue(capacity: 600)
    Question(id: 9).append(to: &queue)
    queue.append("Why?")
    #expect(try Question(decoding: queue.bytes).id == 9)
    #expect(text(Question.text(of: queue.bytes)) == "Why?")
    for bad: [UInt8] in [
      [], [0, 0, 0, 1], [0, 0, 0, 0, 0x61], [0, 0, 0, 1, 0x07], [0, 0, 0, 1, 0xC3],
      [0, 0, 0, 1] + [UInt8](repeating: 0x61, count: Limits.questionBytes + 1),
    ] {
      #expect(throws: ErrorCode.malformedFrame) { try Question(decoding: bad.span.bytes) }
    }
    #expect(try Vote(decoding: ([0, 0, 0, 3, 1] as [UInt8]).span.bytes) == Vote(id: 3, isGood: true))
    #expect(try Vote(decoding: ([0, 0, 0, 3, 2] as [UInt8]).span.bytes) == Vote(id: 3, isGood: false))
    for bad: [UInt8] in [[], [0, 0, 0, 0, 1], [0, 0, 0, 3, 0], [0, 0, 0, 3, 3], [0, 0, 0, 3, 1, 0], [0, 0, 0, 3]] {
      #expect(throws: ErrorCode.malformedFrame) { try Vote(decoding: bad.span.bytes) }
    }
  }
}
