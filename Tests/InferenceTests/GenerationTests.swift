import Bounded
import Testing

@testable import Inference

/// A decoder and a generator over the tiny model, with the memory under them.
private final class Rig {
  let mapped: Mapped
  let file: GgufFile
  let memory: Memory
  let generator: Generator
  var decoder: Decoder { generator.decoder }

  init(threads: Int = 1, kernels: String? = nil, context: Int = 64) throws {
    mapped = Mapped(TinyModel.builder().bytes)
    file = try GgufFile(mapped.bytes)
    let pool =
      try kernels.map { name in try name.withCString { try WorkPool(threads: threads, kernels: $0) } }
      ?? WorkPool(threads: threads)
    var counting = Arena()
    _ = try Generator(file, context: context, pool: pool, &counting)
    memory = Memory(counting.used)
    var arena = memory.arena
    generator = try Generator(file, context: context, pool: pool, &arena)
  }

  /// Logits behind each token, given in batches of `batch`.
  func logits(_ tokens: [UInt32], batch: Int) throws -> [[Float]] {
    decoder.rewind()
    var out: [[Float]] = []
    for start in stride(from: 0, to: tokens.count, by: batch) {
      let part = Array(tokens[start..<min(tokens.count, start + batch)])
      try part.withUnsafeBufferPointer { try decoder.evaluate($0) }
      for i in part.indices { out.append(Array(decoder.logits(at: i))) }
    }
    return out
  }

  func answer(_ text: String, _ settings: Generator.Settings, stop: String? = nil) throws -> (String, Generator.End) {
    let prompt = Mapped(Array(text.utf8))
    try generator.begin(raw: prompt.bytes, settings)
    if let stop { _ = generator.output.add(stop: InlineText(stop)!) }
    var bytes: [UInt8] = []
    while true {
      let end = try generator.step(isCancelled: { false })
      generator.output.withReady { for i in 0..<$0.byteCount { bytes.append($0[i]) } }
      generator.output.consumeReady()
      if let end { return (String(decoding: bytes, as: UTF8.self), end) }
    }
  }
}

private func distance(_ a: [[Float]], _ b: [[Float]]) -> Float {
  zip(a, b).flatMap { zip($0, $1).map { ($0 - $1).magnitude } }.max() ?? .infinity
}

private func expectEqual(_ got: String, _ want: String) { #expect(got == want) }

@Suite struct GenerationTests {
  private let tokens: [UInt32] = (0..<40).map { UInt32(5 + $0 * 53 % 250) }

  @Test func batchesThreadsAndKernelsGiveTheSameLogits() throws {
    let want = try Rig().logits(tokens, batch: 1)
    #expect(want.count == 40 && want.allSatisfy { $0.allSatisfy(\.isFinite) })
    for (rig, batch) in [(try Rig(), 32), (try Rig(threads: 4), 7), (try Rig(kernels: "portable"), 13)] {
      let got = try rig.logits(tokens, batch: batch)
      #expect(distance(want, got) < 2e-3)
    }
  }

  @Test func whatComesLaterDoesNotChangeWhatCameBefore() throws {
    let rig = try Rig()
    let short = try rig.logits(Array(tokens[0..<10]), batch: 10)
    let long = try rig.logits(tokens, batch: 32)
    #expect(distance(short, Array(long[0..<10])) < 2e-3)
    // Half precision cannot be the reason that they differ at all.
    #expect(distance([long[9]], [long[10]]) > 0.1)
  }

  @Test func theSameSeedGivesTheSameTextAndAnotherAnother() throws {
    let rig = try Rig()
    var settings = Generator.Settings()
    settings.tokensMaximum = 20
    settings.sampler = Sampler(temperature: 2, topP: 1, topK: 256, seed: 1)
    let first = try rig.answer("the rain", settings).0
    let second = try rig.answer("the rain", settings).0
    #expect(second == first)
    settings.sampler = Sampler(temperature: 2, topP: 1, topK: 256, seed: 2)
    let other = try rig.answer("the rain", settings).0
    #expect(other != first)
    // What the cache still holds of the last prompt changes nothing.
    settings.sampler = Sampler()
    let greedy = try rig.answer("the rain in Spain", settings).0
    #expect(rig.generator.reusedCount > 0)
    let fresh = try Rig().answer("the rain in Spain", settings).0
    #expect(fresh == greedy)
  }

  @Test func anAnswerEndsWhereItShould() throws {
    let rig = try Rig()
    var settings = Generator.Settings()
    settings.tokensMaximum = 8
    let whole = try rig.answer("a", settings)
    #expect(whole.1 == .length && rig.generator.answerCount == 8)
    let stop = String(whole.0.dropFirst(1).prefix(1))
    if stop.utf8.count >= 1, whole.0.first.map(String.init) != stop {
      let cut = try rig.answer("a", settings, stop: stop)
      #expect(cut.1 == .stopText && whole.0.hasPrefix(cut.0) && !cut.0.contains(stop))
    }
    settings.tokensMaximum = 1_000
    let full = try rig.answer("a", settings)
    #expect(full.1 == .context || full.1 == .stop)
    #expect(rig.decoder.position <= rig.decoder.context)
    let long = Mapped([UInt8](repeating: 0x61, count: 65))
    #expect(throws: InferenceError.contextFull) { try rig.generator.begin(raw: long.bytes, settings) }
  }

  @Test func cancellingStopsBetweenLayersAndLeavesTheCacheGood() throws {
    let rig = try Rig()
    let want = try rig.logits(tokens, batch: 8)
    rig.decoder.rewind()
    var asked = 0
    #expect(throws: InferenceError.cancelled) {
      try Array(self.tokens[0..<8]).withUnsafeBufferPointer {
        try rig.decoder.evaluate($0) {
          asked += 1
          return asked == 2
        }
      }
    }
    #expect(asked == 2 && rig.decoder.position == 0)
    let again = try rig.logits(tokens, batch: 8)
    #expect(again == want)
  }

  @Test func tokensBeyondTheVocabularyAreRefused() throws {
    let rig = try Rig()
    #expect(throws: InferenceError.badToken) { _ = try rig.logits([1_000_000], batch: 1) }
  }

  @Test func samplingKeepsToItsCandidates() {
    var logits = (0..<1_000).map { Float($0 % 97) / 10 }
    logits[500] = 20
    logits[501] = 19.9
    logits[502] = .nan
    var sampler = Sampler(temperature: 1, topP: 0.9, topK: 40, seed: 9)
    var seen = Set<UInt32>()
    logits.withUnsafeMutableBufferPointer { logits in
      for _ in 0..<200 { seen.insert(sampler.choose(logits)) }
      let best = Sampler.likeliest(logits)
      #expect(best == 500)
    }
    #expect(seen == [500, 501])
  }

  @Test func halfCharactersAndBeginningsOfStopTextsAreHeldBack() throws {
    var stream = TextStream()
    func take() -> String {
      var bytes: [UInt8] = []
      stream.withReady { for i in 0..<$0.byteCount { bytes.append($0[i]) } }
      stream.consumeReady()
      return String(decoding: bytes, as: UTF8.self)
    }
    func put(_ bytes: [UInt8]) throws { try stream.append(bytes.span.bytes) }
    stream.begin()
    let isAdded = stream.add(stop: InlineText("END")!)
    #expect(isAdded)
    try put(Array("Gr".utf8) + [0xC3])
    expectEqual(take(), "Gr")
    try put([0xBC] + Array("n E".utf8))
    expectEqual(take(), "ün ")
    try put(Array("N".utf8))
    expectEqual(take(), "")
    try put(Array("x EN".utf8))
    expectEqual(take(), "ENx ")
    try put(Array("D and more".utf8))
    let hasStopped = stream.hasStopped
    #expect(hasStopped)
    expectEqual(take(), "")
  }
}
