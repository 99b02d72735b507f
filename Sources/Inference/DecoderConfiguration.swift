import Bounded

/// The shape of a `llama` or `gemma3` model, from its file's keys, checked.
public struct DecoderConfiguration: Sendable {
  public enum Architecture: Sendable {
    case llama
    case gemma3
  }

  public let architecture: Architecture
  public let layers: Int
  public let embedding: Int
  public let feedForward: Int
  public let heads: Int
  public let keyHeads: Int
  public let headSize: Int
  /// What the model was trained for.
  public let trainedContext: Int
  public let vocabulary: Int
  public let epsilon: Float
  public let ropeBase: Double
  /// Of layers that look back only `window` tokens.
  public let localRopeBase: Double
  public let window: Int

  public init(_ file: GgufFile) throws(InferenceError) {
    guard let name = try file.text("general.architecture") else { throw .missingKey }
    let span = RawSpan(_unsafeBytes: name)
    if span.elementsEqual("llama") {
      architecture = .llama
    } else if span.elementsEqual("gemma3") {
      architecture = .gemma3
    } else {
      throw span.elementsEqual("bert") ? .wrongKind : .unknownArchitecture
    }
    func needed(_ key: StaticString, _ most: Int) throws(InferenceError) -> Int {
      guard let value = try file.integer(key, of: name) else { throw .missingKey }
      guard value >= 1, value <= most else { throw .overLimit }
      return value
    }
    layers = try needed(".block_count", InferenceLimits.layers)
    embedding = try needed(".embedding_length", InferenceLimits.embedding)
    feedForward = try needed(".feed_forward_length", InferenceLimits.feedForward)
    heads = try needed(".attention.head_count", InferenceLimits.heads)
    keyHeads = try file.integer(".attention.head_count_kv", of: name) ?? heads
    guard keyHeads >= 1, keyHeads <= heads, heads % keyHeads == 0 else { throw .badValue }
    headSize = try file.integer(".attention.key_length", of: name) ?? embedding / heads
    guard headSize >= 8, headSize <= InferenceLimits.headSize, headSize % 8 == 0 else { throw .overLimit }
    if let values = try file.integer(".attention.value_length", of: name), values != headSize {
      throw .unsupportedFeature
    }
    if let turned = try file.integer(".rope.dimension_count", of: name), turned != headSize {
      throw .unsupportedFeature
    }
    trainedContext = try needed(".context_length", Int(Int32.max))
    guard let epsilon = try file.number(".attention.layer_norm_rms_epsilon", of: name) else { throw .missingKey }
    guard epsilon > 0, epsilon < 1 else { throw .badValue }
    self.epsilon = Float(epsilon)
    ropeBase = try file.number(".rope.freq_base", of: name) ?? 10_000
    guard ropeBase >= 1, ropeBase <= 1e9 else { throw .badValue }
    localRopeBase = 10_000
    window = architecture == .gemma3 ? try file.integer(".attention.sliding_window", of: name) ?? 512 : Int(Int32.max)
    guard window >= 1 else { throw .badValue }
    // Kinds of longer context that change the angles, and of models that are more than one.
    for key: StaticString in [".rope.scaling.factor", ".rope.scale_linear"] {
      if let factor = try file.number(key, of: name), factor != 1 { throw .unsupportedFeature }
    }
    if let experts = try file.integer(".expert_count", of: name), experts > 0 { throw .unsupportedFeature }
    guard let tokens = try file.array("tokenizer.ggml.tokens", of: .string) else { throw .missingKey }
    guard tokens.count >= 1, tokens.count <= InferenceLimits.vocabulary else { throw .overLimit }
    vocabulary = tokens.count
  }

  /// Whether a layer looks back only `window` tokens: all of gemma3's but every sixth.
  func isLocal(_ layer: Int) -> Bool { architecture == .gemma3 && (layer + 1) % 6 != 0 }

  /// Numbers in all heads of one token's query, and in those of its key.
  var queryWidth: Int { heads * headSize }
  var keyWidth: Int { keyHeads * headSize }

  /// Bytes of the cache of keys and values.
  public func cacheBytes(context: Int) -> UInt64 { 4 * UInt64(layers) * UInt64(keyWidth) * UInt64(context) }
}
