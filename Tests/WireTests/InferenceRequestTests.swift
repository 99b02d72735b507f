import Bounded
import Testing
import Wire

@Suite struct InferenceRequestTests {
  private func with<R>(_ line: String, _ body: (borrowing InferenceRequest) throws -> R) throws -> R {
    let bytes = Array(line.utf8)
    return try body(InferenceRequest(parsing: bytes.span.bytes))
  }

  private func text(_ append: (inout TextBuffer) -> Void) -> String {
    var out = TextBuffer(capacity: 1_024)
    append(&out)
    return out.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
  }

  @Test func keysComeBeforeTheText() throws {
    try with(
      "generate tokens=12 temperature=0.75 top_p=1 top_k=3 seed=9 raw=true stop=\"\\n\" system=\"be a bee\" "
        + "reference=\"x=1\" What is x=2?\r"
    ) { request in
      #expect(request.verb == .generate && request.tokens == 12 && request.temperatureMilli == 750)
      #expect(request.topPMilli == 1_000 && request.topK == 3 && request.seed == 9 && request.isRaw)
      #expect(request.stopCount == 1)
      let got = [
        text { request.appendText(to: &$0) }, text { request.appendSystem(to: &$0) },
        text { request.appendReference(to: &$0) }, text { request.appendStop(0, to: &$0) },
      ]
      #expect(got == ["What is x=2?", "be a bee", "x=1", "\n"])
    }
  }

  @Test func aQuotedTextMayLookLikeAKey() throws {
    try with("generate \"tokens=5 \\\"is\\\" a text\"") { request in
      #expect(request.tokens == nil)
      let got = text { request.appendText(to: &$0) }
      #expect(got == "tokens=5 \"is\" a text")
    }
    try with("generate colour=red is nice") { request in
      let got = text { request.appendText(to: &$0) }
      #expect(got == "colour=red is nice")
    }
  }

  @Test func otherVerbsTakeNothing() throws {
    for line in ["info", "cancel", "version", "help", "quit"] { try with(line) { _ in } }
    try with("embed tokens=5") { request in
      let got = text { request.appendText(to: &$0) }
      #expect(got == "tokens=5")
    }
  }

  @Test func wrongLinesAreRefused() {
    for line in [
      "generate", "generate tokens=0 x", "generate tokens=5000 x", "generate temperature=5.001 x",
      "generate temperature=.5 x", "generate temperature=1.2345 x", "generate seed=x y", "generate raw=1 x",
      "generate \"open", "generate \"a\" b", "generate system=\"open x", "generate stop= x", "embed", "info x",
      "generate \"\\q\"", "generate a\u{1}b",
    ] {
      #expect(throws: ErrorCode.badArgument, "\(line)") { try with(line) { _ in } }
    }
    #expect(throws: ErrorCode.unknownCommand) { try with("gen x") { _ in } }
    #expect(throws: ErrorCode.unknownCommand) { try with("") { _ in } }
    let long = "generate " + String(repeating: "x", count: InferenceRequest.lineBytes)
    #expect(throws: ErrorCode.tooLong) { try with(long) { _ in } }
  }
}
