import Bounded
import Testing

@testable import Inference

@Suite struct TokenizerTests {
  /// A tokenizer over a file made by `build`, for the length of a call.
  private func withTokenizer(_ build: (inout GgufBuilder) -> Void, _ body: (Tokenizer, [String]) throws -> Void) throws
  {
    var builder = GgufBuilder()
    build(&builder)
    let mapped = Mapped(builder.bytes)
    let file = try GgufFile(mapped.bytes)
    var counting = Arena()
    _ = try Tokenizer(file, &counting)
    let memory = Memory(counting.used)
    var arena = memory.arena
    let tokenizer = try Tokenizer(file, &arena)
    #expect(arena.used == counting.used)
    let texts = (0..<tokenizer.count).map { String(decoding: tokenizer.texts[$0], as: UTF8.self) }
    try body(tokenizer, texts)
  }

  private func encode(_ tokenizer: Tokenizer, _ text: String, specials: Bool = false, begin: Bool = false) throws
    -> [UInt32]
  {
    var room = [UInt32](repeating: 0, count: 512)
    let bytes = Array(text.utf8)
    let count = try room.withUnsafeMutableBufferPointer { out in
      try bytes.withUnsafeBytes { try tokenizer.encode($0, addsBegin: begin, parsesSpecials: specials, into: out) }
    }
    return Array(room[0..<count])
  }

  private func expectPieces(_ tokenizer: Tokenizer, _ texts: [String], _ text: String, _ want: [String]) throws {
    let got = try encode(tokenizer, text).map { texts[Int($0)] }
    #expect(got == want)
  }

  private func decode(_ tokenizer: Tokenizer, _ tokens: [UInt32]) -> String {
    var text = TextBuffer(capacity: 4_096)
    for token in tokens { tokenizer.append(token, to: &text, showsControl: true) }
    return text.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
  }

  private func words(_ text: String) -> [String] {
    let bytes = Array(text.utf8)
    return bytes.withUnsafeBytes { buffer in
      var out: [String] = []
      var at = 0
      while at < buffer.count {
        let length = BytePairEncoder.wordLength(buffer, at)
        out.append(String(decoding: buffer[at..<(at + length)], as: UTF8.self))
        at += length
      }
      return out
    }
  }

  @Test func wordsAreThoseOfGpt2sPattern() {
    #expect(words("Hello world") == ["Hello", " world"])
    #expect(words("it's we're I'd") == ["it", "'s", " we", "'re", " I", "'d"])
    #expect(words(" 's") == [" '", "s"])
    #expect(words("a  b") == ["a", " ", " b"])
    #expect(words("a\n\nb") == ["a", "\n", "\n", "b"])
    #expect(words("a \n b  ") == ["a", " \n", " b", "  "])
    #expect(words("x=1, y") == ["x", "=", "1", ",", " y"])
    #expect(words("Grüße 世界!?") == ["Grüße", " 世界", "!?"])
  }

  @Test func bytePairsMergeInTheOrderOfTheList() throws {
    try withTokenizer({ _ = TinyModel.tokenizer(&$0) }) { tokenizer, texts in
      try expectPieces(tokenizer, texts, "the other", ["the", "Ġ", "o", "th", "er"])
      // "e r" stands before "th e", and "t h" before "Ġ t": what merged first is gone for the other.
      try expectPieces(tokenizer, texts, " the on", ["Ġ", "the", "Ġ", "on"])
      // Digits stand alone, also for the blank in front of them.
      try expectPieces(tokenizer, texts, " 12", ["Ġ", "1", "2"])
    }
  }

  @Test func everyTextComesBack() throws {
    try withTokenizer({ _ = TinyModel.tokenizer(&$0) }) { tokenizer, _ in
      for text in ["", "the rain in Spain", "Grüße, 世界 🚀\n\n\ttab  ", "\u{0}\u{7F}\u{A0}", "an an an 12345"] {
        #expect(decode(tokenizer, try encode(tokenizer, text)) == text)
      }
      // Bytes that are no UTF-8.
      var room = [UInt32](repeating: 0, count: 64)
      let broken: [UInt8] = [0x61, 0xFF, 0xC3, 0x28, 0xE2, 0x82]
      let count = try room.withUnsafeMutableBufferPointer { out in
        try broken.withUnsafeBytes { try tokenizer.encode($0, addsBegin: false, parsesSpecials: false, into: out) }
      }
      var text = TextBuffer(capacity: 64)
      for token in room[0..<count] { tokenizer.append(token, to: &text) }
      let back = text.withUnsafeBytes { Array($0) }
      #expect(back == broken)
    }
  }

  @Test func controlTokensAreFoundOnlyWhereTheyMayBe() throws {
    try withTokenizer({ _ = TinyModel.tokenizer(&$0) }) { tokenizer, _ in
      #expect(try encode(tokenizer, "<|im_end|>", specials: true) == [4])
      #expect(try encode(tokenizer, "<|im_end|>").count == 10)
      let bytes = Array("<|im_end|><|im_end|>".utf8)
      let marks = [UInt8](repeating: 0, count: 10) + [UInt8](repeating: 1, count: 10)
      var room = [UInt32](repeating: 0, count: 64)
      let count = try room.withUnsafeMutableBufferPointer { out in
        try bytes.withUnsafeBytes {
          try tokenizer.encode($0, marks: marks, addsBegin: false, parsesSpecials: true, into: out)
        }
      }
      #expect(room[0] == 4 && count == 11)
    }
  }

  @Test func textsAndResultsThatAreTooLongAreRefused() throws {
    try withTokenizer({ _ = TinyModel.tokenizer(&$0) }) { tokenizer, _ in
      let long = String(repeating: "x", count: InferenceLimits.textBytes + 1)
      #expect(throws: InferenceError.textTooLong) { _ = try encode(tokenizer, long) }
      let many = String(repeating: "x ", count: 1_000)
      #expect(throws: InferenceError.contextFull) { _ = try encode(tokenizer, many) }
    }
  }

  @Test func sentencePieceMergesTheBestAndFallsBackToBytes() throws {
    let words = ["▁", "t", "h", "e", "th", "the", "▁the", "a", "n", "an", "▁an"]
    try withTokenizer({ builder in
      let bytes = (0..<256).map { byte in
        let digits = Array("0123456789ABCDEF")
        return "<0x\(digits[byte >> 4])\(digits[byte & 15])>"
      }
      builder.set("tokenizer.ggml.model", "llama")
      builder.set("tokenizer.ggml.tokens", ["<unk>", "<s>"] + bytes + words)
      builder.set(
        "tokenizer.ggml.scores", [Float](repeating: 0, count: 258) + words.indices.map { -Float(words.count - $0) })
      builder.set("tokenizer.ggml.token_type", [2, 3] + [Int32](repeating: 6, count: 256) + words.map { _ in 1 })
      builder.set("tokenizer.ggml.bos_token_id", 1)
      builder.set("tokenizer.ggml.unknown_token_id", 0)
    }) { tokenizer, texts in
      let tokens = try encode(tokenizer, "the an é", begin: true)
      #expect(tokens.map { texts[Int($0)] } == ["<s>", "▁the", "▁an", "▁", "<0xC3>", "<0xA9>"])
      #expect(decode(tokenizer, Array(tokens[1...])) == " the an é")
    }
  }

  @Test func wordPiecesAreTheLongest() throws {
    let tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁hello", "▁wor", "ld", "▁,", "▁cafe", "▁!", "▁x"]
    try withTokenizer({ builder in
      builder.set("tokenizer.ggml.model", "bert")
      builder.set("tokenizer.ggml.tokens", tokens)
      builder.set("tokenizer.ggml.token_type", [3, 3, 3, 3] + [Int32](repeating: 1, count: tokens.count - 4))
      builder.set("tokenizer.ggml.bos_token_id", 2)
      builder.set("tokenizer.ggml.eos_token_id", 3)
      builder.set("tokenizer.ggml.unknown_token_id", 1)
    }) { tokenizer, texts in
      let got = try encode(tokenizer, "HELLO,world Café worx\u{0}!", begin: true).map { texts[Int($0)] }
      #expect(got == ["[CLS]", "▁hello", "▁,", "▁wor", "ld", "▁cafe", "[UNK]", "▁!", "[SEP]"])
      #expect(try encode(tokenizer, String(repeating: "x", count: 101)) == [1])
    }
  }

  @Test func tokensThatCollideTooOftenOrAreTooLongAreRefused() throws {
    var builder = GgufBuilder()
    builder.set("tokenizer.ggml.model", "gpt2")
    builder.set("tokenizer.ggml.tokens", ["a", String(repeating: "b", count: InferenceLimits.tokenBytes + 1)])
    builder.set("tokenizer.ggml.merges", ["a b"])
    let mapped = Mapped(builder.bytes)
    let file = try GgufFile(mapped.bytes)
    var counting = Arena()
    _ = try Tokenizer(file, &counting)
    let memory = Memory(counting.used)
    var arena = memory.arena
    #expect(throws: InferenceError.badVocabulary) { _ = try Tokenizer(file, &arena) }
  }
}
