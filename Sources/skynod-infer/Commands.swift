import Bounded
import CSky
import Inference
import Platform

extension Options {
  /// Carries out the command; the exit status.
  func run() throws(InferenceError) -> Int32 {
    switch command {
    case .generate: return try generate()
    case .embed: return try embed()
    case .info: return try info()
    case .serve: return Worker(self).run()
    }
  }

  // MARK: One text

  private func generate() throws(InferenceError) -> Int32 {
    let engine = try Engine(self)
    guard case .generator(let generator) = engine.kind, let prompt else { throw .wrongKind }
    let start = sky_monotonic_us()
    let question = Question()
    question.text.append(prompt.bytes)
    if let system { question.system.append(system.bytes) }
    if let reference { question.reference.append(reference.bytes) }
    try question.put(to: generator, isRaw: isRaw, settings)
    if let stop {
      guard let text = InlineText<64>(stop.bytes), generator.output.add(stop: text) else { throw .badValue }
    }
    var promptDone: UInt64?
    var end: Generator.End?
    while end == nil {
      end = try generator.step(isCancelled: { false })
      if promptDone == nil, generator.answerCount > 0 { promptDone = sky_monotonic_us() }
      generator.output.withReady { StandardStream.write($0, to: 1) }
      generator.output.consumeReady()
    }
    StandardStream.write("\n", to: 1)
    if showsFigures {
      showFigures(generator, end!, start, promptDone ?? sky_monotonic_us(), engine)
    }
    return 0
  }

  private func showFigures(
    _ generator: Generator, _ end: Generator.End, _ start: UInt64, _ middle: UInt64, _ engine: Engine
  ) {
    var text = TextBuffer(capacity: 512)
    text.append("end=")
    text.append(end.name)
    text.append(" prompt_tokens=")
    text.append(generator.promptCount)
    text.append(" tokens=")
    text.append(generator.answerCount)
    text.append(" prompt_ms=")
    text.append((middle - start) / 1_000)
    text.append(" answer_ms=")
    text.append((sky_monotonic_us() - middle) / 1_000)
    text.append(" kernels=")
    text.append(Word(engine.pool.kernelsName).bytes)
    text.append("\n")
    StandardStream.write(text, to: 2)
  }

  private func embed() throws(InferenceError) -> Int32 {
    let engine = try Engine(self)
    guard case .encoder(let encoder) = engine.kind, let prompt else { throw .wrongKind }
    var text = TextBuffer(capacity: 32)
    for number in try encoder.embed(UnsafeRawBufferPointer(start: prompt.start, count: prompt.count)) {
      text.removeAll()
      // Numbers are at most one: six decimals are all that an 8-bit model has.
      text.append(scaled: Int64((number * 1_000_000).rounded()), places: 6)
      text.append("\n")
      StandardStream.write(text, to: 1)
    }
    return 0
  }

  // MARK: About a model

  private func info() throws(InferenceError) -> Int32 {
    var size = 0
    guard let start = sky_file_map(model, &size) else { throw .cannotMap }
    let file = try GgufFile(UnsafeRawBufferPointer(start: start, count: size))
    let pool = try WorkPool(threads: threads, kernels: kernels)
    var text = TextBuffer(capacity: 4_096)
    for (key, label): (StaticString, StaticString) in [
      ("general.name", "name="), ("general.architecture", "architecture="), ("general.license", "license="),
      ("tokenizer.ggml.model", "tokenizer="), ("tokenizer.ggml.pre", "pre_tokenizer="),
    ] {
      guard let value = try file.text(key), value.count <= 128 else { continue }
      text.append(label)
      text.append(json: RawSpan(_unsafeBytes: value))
      text.append("\n")
    }
    appendTypes(file, &text)
    var counting = Arena()
    guard let name = try file.text("general.architecture") else { throw .missingKey }
    if RawSpan(_unsafeBytes: name).elementsEqual("bert") {
      _ = try BertEncoder(file, context: context, pool: pool, &counting)
    } else {
      let generator = try Generator(file, context: context, pool: pool, &counting)
      let shape = generator.decoder.configuration
      Self.append("layers=", shape.layers, &text)
      Self.append("embedding=", shape.embedding, &text)
      Self.append("trained_context=", shape.trainedContext, &text)
      Self.append("context=", generator.decoder.context, &text)
      Self.append("vocabulary=", shape.vocabulary, &text)
      text.append(generator.isInstruct ? "chat_template=true\n" : "chat_template=false\n")
    }
    let room = MemoryRoom(weightsBytes: UInt64(size), workBytes: UInt64(counting.used))
    text.append("weights_bytes=")
    text.append(room.weightsBytes)
    text.append("\nwork_bytes=")
    text.append(room.workBytes)
    text.append("\nkernels=")
    text.append(Word(pool.kernelsName).bytes)
    text.append(room.fits ? "\nfits=true\nmemory=\"" : "\nfits=false\nmemory=\"")
    room.describe(to: &text)
    text.append("\"\n")
    StandardStream.write(text, to: 1)
    return 0
  }

  private static func append(_ label: StaticString, _ value: Int, _ text: inout TextBuffer) {
    text.append(label)
    text.append(value)
    text.append("\n")
  }

  private func appendTypes(_ file: GgufFile, _ text: inout TextBuffer) {
    for type in TensorType.allCases {
      var count = 0
      for i in 0..<file.tensorCount where file.tensor(i).tensor.type == type { count += 1 }
      guard count > 0 else { continue }
      text.append("tensors_")
      text.append(type.name)
      text.append("=")
      text.append(count)
      text.append("\n")
    }
  }
}
