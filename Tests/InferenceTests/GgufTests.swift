import Bounded
import Testing

@testable import Inference

@Suite struct GgufTests {
  @Test func whatWasWrittenIsRead() throws {
    let mapped = Mapped(TinyModel.builder().bytes)
    let file = try GgufFile(mapped.bytes)
    #expect(file.tensorCount == 20)
    let name = try #require(try file.text("general.architecture"))
    #expect(Array(name) == Array("llama".utf8))
    #expect(try file.integer(".block_count", of: name) == 2)
    #expect(try file.integer(".no_such_key", of: name) == nil)
    let tensor = try #require(file.tensor("attn_k.weight", layer: 1))
    #expect(tensor.columns == 64 && tensor.rows == 32 && tensor.type == .f32)
  }

  @Test func aFileThatIsCutAnywhereIsRefused() throws {
    var builder = GgufBuilder()
    builder.set("general.architecture", "llama")
    builder.set("a.list", ["one", "two"])
    builder.set("a.number", 3)
    builder.tensor("weights", [32, 2], type: TensorType.q8_0.rawValue, [UInt8](repeating: 1, count: 68))
    let whole = builder.bytes
    let wholeMapped = Mapped(whole)
    _ = try GgufFile(wholeMapped.bytes)
    // Behind the last tensor's numbers there is only padding.
    for count in 0..<(whole.count - 28) {
      let mapped = Mapped(Array(whole[0..<count]))
      #expect(throws: InferenceError.self, "\(count) bytes") { _ = try GgufFile(mapped.bytes) }
    }
  }

  @Test func countsAndSizesBeyondTheLimitsAreRefused() {
    func error(_ bytes: [UInt8]) -> InferenceError? {
      let mapped = Mapped(bytes)
      do throws(InferenceError) {
        _ = try GgufFile(mapped.bytes)
        return nil
      } catch { return error }
    }
    let head = Array("GGUF".utf8) + GgufBuilder.little(UInt32(3))
    func counts(_ tensors: UInt64, _ keys: UInt64) -> [UInt8] {
      head + GgufBuilder.little(tensors) + GgufBuilder.little(keys)
    }
    #expect(error(counts(.max, 0)) == .overLimit)
    #expect(error(counts(0, .max)) == .overLimit)
    #expect(error(counts(0, 1) + GgufBuilder.little(UInt64.max)) == .truncated)
    #expect(error(Array("GGUX".utf8) + [UInt8](repeating: 0, count: 40)) == .notGguf)
    #expect(
      error(Array("GGUF".utf8) + GgufBuilder.little(UInt32(1)) + [UInt8](repeating: 0, count: 40)) == .unknownVersion)

    var builder = GgufBuilder()
    builder.raw("list", 9, GgufBuilder.little(UInt32(0)) + GgufBuilder.little(UInt64.max))
    #expect(error(builder.bytes) == .overLimit)
    builder = GgufBuilder()
    builder.raw("nested", 9, GgufBuilder.little(UInt32(9)) + GgufBuilder.little(UInt64(1)))
    #expect(error(builder.bytes) == .badValue)
    builder = GgufBuilder()
    builder.set("general.alignment", 3)
    #expect(error(builder.bytes) == .badValue)
    builder = GgufBuilder()
    builder.tensor("huge", [1 << 24, 1 << 24], [])
    #expect(error(builder.bytes) == .truncated)
    builder = GgufBuilder()
    builder.tensor("huge", [1 << 23, 1 << 24, 1 << 24], [])
    #expect(error(builder.bytes) == .overLimit)
    builder = GgufBuilder()
    builder.tensor("partOfABlock", [33], type: TensorType.q8_0.rawValue, [UInt8](repeating: 0, count: 64))
    #expect(error(builder.bytes) == .badShape)
    builder = GgufBuilder()
    builder.tensor("q2", [256], type: 10, [UInt8](repeating: 0, count: 84))
    #expect(error(builder.bytes) == .unknownTensorType)
  }

  @Test func aModelWithAWrongShapeIsRefused() throws {
    let pool = try WorkPool(threads: 1)
    for (name, shape) in [
      ("blk.1.ffn_up.weight", [64, 95]), ("blk.0.attn_norm.weight", [63]), ("token_embd.weight", [64, 7]),
    ] {
      // The same file with one tensor's shape changed where it is written.
      var bytes = TinyModel.builder().bytes
      let label = GgufBuilder.string(name) + GgufBuilder.little(UInt32(shape.count))
      let place = try #require(
        (0..<(bytes.count - label.count)).first { Array(bytes[$0..<($0 + label.count)]) == label })
      for (i, size) in shape.enumerated() {
        bytes.replaceSubrange(
          (place + label.count + 8 * i)..<(place + label.count + 8 * i + 8), with: GgufBuilder.little(UInt64(size)))
      }
      let mapped = Mapped(bytes)
      let file = try GgufFile(mapped.bytes)
      var arena = Arena()
      #expect(throws: InferenceError.badShape, "\(name)") { _ = try Decoder(file, context: 64, pool: pool, &arena) }
    }
  }
}
