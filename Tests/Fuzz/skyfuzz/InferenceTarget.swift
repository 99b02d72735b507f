import Bounded
import CKernels
import Inference
import Wire

extension FuzzTarget {
  /// A whole model file: the header, and all that is made of it when it is loaded; then a few tokens go through it.
  static let gguf = FuzzTarget(
    name: "gguf",
    run: { bytes in
      bytes.withUnsafeBytes { buffer in
        guard let file = try? GgufFile(buffer) else { return }
        for i in 0..<file.tensorCount {
          let tensor = file.tensor(i).tensor
          guard tensor.columns <= 4_096 else { continue }
          var row = [Float](repeating: 0, count: tensor.columns)
          Dequantise.row(tensor.row(tensor.rows - 1), tensor.type, tensor.columns, into: &row)
        }
        generate(file)
        embed(file)
      }
    },
    seeds: {
      ["llama", "gemma3", "bert"].map { Seed(name: $0, bytes: TinyGguf.file($0)) }
        + [Seed(name: "types", bytes: TinyGguf.types)]
    })

  /// Texts for the three tokenizers: each must end, and byte pairs must give the bytes back.
  static let tokenizer = FuzzTarget(
    name: "tokenizer",
    run: { bytes in
      guard bytes.byteCount > 0 else { return }
      let kind = ["llama", "gemma3", "bert"][Int(bytes[0]) % 3]
      let model = TinyGguf.file(kind, hasAllBytes: true)
      model.withUnsafeBytes { buffer in
        guard let file = try? GgufFile(buffer) else { preconditionFailure("the model is good") }
        withArena { arena in
          guard let tokenizer = try? Tokenizer(file, &arena) else { return arena.isCounting }
          guard !arena.isCounting else { return true }
          tokenize(tokenizer, bytes.extracting(1..<bytes.byteCount), comesBack: kind == "llama")
          return true
        }
      }
    },
    seeds: {
      (0..<3).map { Seed(name: "text\($0)", bytes: [UInt8($0)] + Array("The café's 42 <|im_end|>\n\n  世界 don't".utf8)) }
    })

  /// Chat templates, with a question that tries to look like one.
  static let template = FuzzTarget(
    name: "template",
    run: { bytes in
      let model = TinyGguf.file("llama", template: bytes.array)
      model.withUnsafeBytes { buffer in
        guard let file = try? GgufFile(buffer), let pool = try? WorkPool(threads: 1) else { return }
        withArena { arena in
          guard let generator = try? Generator(file, context: 256, pool: pool, &arena) else { return false }
          guard !arena.isCounting else { return true }
          let question = Array("{{ x }}<|im_end|>".utf8)
          question.withUnsafeBytes { text in
            let user = ChatTemplate.Message(.user, text)
            _ = try? generator.begin(chat: (user, nil, nil, nil), Generator.Settings())
            _ = try? generator.begin(chat: (ChatTemplate.Message(.system, text), user, nil, nil), Generator.Settings())
          }
          return true
        }
      }
    },
    seeds: { TinyGguf.templates.enumerated().map { Seed(name: "\($0)", bytes: Array($1.utf8)) } })

  /// Request lines of the worker.
  static let inference = FuzzTarget(
    name: "inference",
    run: { bytes in
      do throws(ErrorCode) {
        let request = try InferenceRequest(parsing: bytes)
        var text = TextBuffer(capacity: bytes.byteCount + 1)
        request.appendText(to: &text)
        request.appendSystem(to: &text)
        request.appendReference(to: &text)
        for i in 0..<request.stopCount { request.appendStop(i, to: &text) }
        precondition(!text.isTruncated)
      } catch {}
    },
    seeds: {
      [
        "generate tokens=12 temperature=0.75 top_p=1 top_k=3 seed=9 raw=true stop=\"\\n\" system=\"be\" reference=\"x\" Hi",
        "generate \"quoted \\x41 text\"", "embed a text", "info", "cancel",
      ].enumerated().map { Seed(name: "\($0)", bytes: Array($1.utf8)) }
    })

  // MARK: Using

  /// Calls `make` with an arena that counts, then, if it says so, with one of that size.
  private static func withArena(_ make: (inout Arena) -> Bool) {
    var counting = Arena()
    guard make(&counting), counting.used <= 64 << 20 else { return }
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: max(64, counting.used), alignment: 64)
    defer { room.deallocate() }
    room.initializeMemory(as: UInt8.self, repeating: 0)
    var arena = Arena(room)
    _ = make(&arena)
  }

  private static func generate(_ file: GgufFile) {
    guard let pool = try? WorkPool(threads: 1) else { return }
    withArena { arena in
      guard let generator = try? Generator(file, context: 32, pool: pool, &arena) else { return false }
      guard !arena.isCounting else { return true }
      var settings = Generator.Settings()
      settings.tokensMaximum = 3
      Array("the an".utf8).withUnsafeBytes { text in
        guard (try? generator.begin(raw: text, settings)) != nil else { return }
        for _ in 0..<4 {
          guard let end = try? generator.step(isCancelled: { false }), end == nil else { break }
          generator.output.consumeReady()
        }
      }
      return true
    }
  }

  private static func embed(_ file: GgufFile) {
    guard let pool = try? WorkPool(threads: 1) else { return }
    withArena { arena in
      guard let encoder = try? BertEncoder(file, context: 16, pool: pool, &arena) else { return false }
      if !arena.isCounting { Array("the an".utf8).withUnsafeBytes { _ = try? encoder.embed($0) } }
      return true
    }
  }

  private static func tokenize(_ tokenizer: Tokenizer, _ text: RawSpan, comesBack: Bool) {
    let room = UnsafeMutableBufferPointer<UInt32>.allocate(capacity: 3 * text.byteCount + 16)
    defer { room.deallocate() }
    for specials in [false, true] {
      let count = text.withUnsafeBytes {
        try? tokenizer.encode($0, addsBegin: false, parsesSpecials: specials, into: room)
      }
      guard let count else { continue }
      var back = TextBuffer(capacity: 16 * text.byteCount + 64)
      for i in 0..<count { tokenizer.append(room[i], to: &back, showsControl: true) }
      if comesBack { precondition(back.bytes.elementsEqual(text)) }
    }
  }
}
