import CKernels

/// A model that continues texts: architectures `llama` and `gemma3`.
///
/// Weights stay where they are mapped; what is written is the cache of keys and values in half precision, one batch's
/// activations and one row of logits, all taken from the arena at load. Not for several callers at once.
///
/// Invariant: positions below `position` are in the cache of every layer.
public final class Decoder {
  public let configuration: DecoderConfiguration
  public let context: Int
  /// How many tokens are in the cache: the next one gets this position.
  public private(set) var position = 0
  let pool: WorkPool
  let layers: UnsafeMutablePointer<Layer>
  let embeddings: Tensor
  private let head: Tensor
  private let outputNorm: UnsafePointer<Float>
  private let ropeFactors: UnsafePointer<Float>?
  let work: Work

  struct Layer {
    let attentionNorm: UnsafePointer<Float>
    let query: Tensor
    let key: Tensor
    let value: Tensor
    let output: Tensor
    let queryNorm: UnsafePointer<Float>?
    let keyNorm: UnsafePointer<Float>?
    let afterAttention: UnsafePointer<Float>?
    let feedForwardNorm: UnsafePointer<Float>
    let gate: Tensor
    let up: Tensor
    let down: Tensor
    let afterFeedForward: UnsafePointer<Float>?
    /// Half precision: heads, then positions, then numbers.
    let keys: UnsafeMutablePointer<UInt16>
    let values: UnsafeMutablePointer<UInt16>
  }

  /// What one batch needs; rows of one token after the other.
  struct Work {
    let x: UnsafeMutablePointer<Float>
    let normed: UnsafeMutablePointer<Float>
    let query: UnsafeMutablePointer<Float>
    let key: UnsafeMutablePointer<Float>
    let value: UnsafeMutablePointer<Float>
    let attended: UnsafeMutablePointer<Float>
    let gate: UnsafeMutablePointer<Float>
    let up: UnsafeMutablePointer<Float>
    let scores: UnsafeMutablePointer<Float>
    let logits: UnsafeMutablePointer<Float>
    let quantised: UnsafeMutablePointer<sky_q8>
    /// Groups of 128 activations in the longest row.
    let groups: Int
    /// Cosines and sines of one batch, for both bases: local, global.
    let angles: UnsafeMutablePointer<Float>
  }

  /// Takes its memory from `arena`; one that only counts tells how much that is.
  public init(_ file: GgufFile, context: Int, pool: WorkPool, _ arena: inout Arena) throws(InferenceError) {
    let shape = try DecoderConfiguration(file)
    guard context >= 16, context <= InferenceLimits.context else { throw .overLimit }
    configuration = shape
    self.context = min(context, shape.trainedContext)
    self.pool = pool
    embeddings = try file.matrix("token_embd.weight", columns: shape.embedding, rows: shape.vocabulary)
    if let own = file.tensor("output.weight") {
      guard own.columns == shape.embedding, own.rows == shape.vocabulary else { throw .badShape }
      head = own
    } else {
      head = embeddings
    }
    outputNorm = try file.neededVector("output_norm.weight", count: shape.embedding)
    ropeFactors = try file.vector("rope_freqs.weight", count: shape.headSize / 2)
    layers = try arena.take(shape.layers)
    for i in 0..<shape.layers {
      let layer = try Self.layer(file, i, shape, context: self.context, &arena)
      if !arena.isCounting { (layers + i).initialize(to: layer) }
    }
    let batch = InferenceLimits.batch
    let widest = max(shape.embedding, shape.queryWidth, shape.feedForward)
    let groups = (widest + 127) / 128
    work = Work(
      x: try arena.take(batch * shape.embedding), normed: try arena.take(batch * shape.embedding),
      query: try arena.take(batch * shape.queryWidth), key: try arena.take(batch * shape.keyWidth),
      value: try arena.take(batch * shape.keyWidth), attended: try arena.take(batch * shape.queryWidth),
      gate: try arena.take(batch * shape.feedForward), up: try arena.take(batch * shape.feedForward),
      scores: try arena.take(WorkPool.Attention.scores(shape.heads, self.context)),
      logits: try arena.take(shape.vocabulary),
      quantised: try arena.take(batch * groups), groups: groups, angles: try arena.take(2 * batch * shape.headSize))
  }

  private static func layer(
    _ file: GgufFile, _ i: Int, _ shape: DecoderConfiguration, context: Int, _ arena: inout Arena
  ) throws(InferenceError) -> Layer {
    let isGemma = shape.architecture == .gemma3
    let width = shape.embedding
    let room = WorkPool.Attention.room(context)
    guard file.tensor("attn_q.bias", layer: i) == nil, file.tensor("attn_output.bias", layer: i) == nil else {
      throw .unsupportedFeature
    }
    func own(_ name: StaticString, _ count: Int) throws(InferenceError) -> UnsafePointer<Float>? {
      isGemma ? try file.neededVector(name, layer: i, count: count) : nil
    }
    return Layer(
      attentionNorm: try file.neededVector("attn_norm.weight", layer: i, count: width),
      query: try file.matrix("attn_q.weight", layer: i, columns: width, rows: shape.queryWidth),
      key: try file.matrix("attn_k.weight", layer: i, columns: width, rows: shape.keyWidth),
      value: try file.matrix("attn_v.weight", layer: i, columns: width, rows: shape.keyWidth),
      output: try file.matrix("attn_output.weight", layer: i, columns: shape.queryWidth, rows: width),
      queryNorm: try own("attn_q_norm.weight", shape.headSize), keyNorm: try own("attn_k_norm.weight", shape.headSize),
      afterAttention: try own("post_attention_norm.weight", width),
      feedForwardNorm: try file.neededVector("ffn_norm.weight", layer: i, count: width),
      gate: try file.matrix("ffn_gate.weight", layer: i, columns: width, rows: shape.feedForward),
      up: try file.matrix("ffn_up.weight", layer: i, columns: width, rows: shape.feedForward),
      down: try file.matrix("ffn_down.weight", layer: i, columns: shape.feedForward, rows: width),
      afterFeedForward: try own("post_ffw_norm.weight", width),
      keys: try arena.take(shape.keyWidth * room), values: try arena.take(shape.keyWidth * room))
  }

  /// Forgets what is behind the first `count` tokens.
  public func rewind(to count: Int = 0) {
    precondition(count >= 0 && count <= position)
    position = count
  }

  /// Puts at most `InferenceLimits.batch` tokens behind those in the cache. `isCancelled` is asked between layers;
  /// once it says so the call ends with `cancelled`, and the tokens are not in the cache.
  public func evaluate(_ tokens: UnsafeBufferPointer<UInt32>, isCancelled: () -> Bool = { false })
    throws(InferenceError)
  {
    guard tokens.count >= 1, tokens.count <= InferenceLimits.batch else { throw .overLimit }
    guard position + tokens.count <= context else { throw .contextFull }
    let width = configuration.embedding
    for (i, token) in tokens.enumerated() {
      guard token < configuration.vocabulary else { throw .badToken }
      Dequantise.row(embeddings.row(Int(token)), embeddings.type, width, into: work.x + i * width)
    }
    if configuration.architecture == .gemma3 {
      pool.kernels.pointee.scale(work.x, Float(width).squareRoot(), tokens.count * width)
    }
    prepareAngles(tokens.count)
    for i in 0..<configuration.layers {
      if isCancelled() { throw .cancelled }
      attend(layers[i], i, tokens.count)
      feedForward(layers[i], tokens.count)
    }
    position += tokens.count
  }

  /// How likely each token comes behind the `index`th token of the last batch. Valid until the next call.
  public func logits(at index: Int) -> UnsafeMutableBufferPointer<Float> {
    let width = configuration.embedding
    pool.kernels.pointee.rms_norm(work.x + index * width, outputNorm, width, configuration.epsilon, work.normed)
    var products = WorkPool.Products(kernels: pool.kernels)
    prepare(work.normed, width, 1, isWanted: head.type.isQuantised)
    products.first = product(head, work.normed, width, 1, work.logits)
    products.rows.0 = head.rows
    pool.run(&products)
    return UnsafeMutableBufferPointer(start: work.logits, count: configuration.vocabulary)
  }

  private func prepareAngles(_ count: Int) {
    let half = configuration.headSize / 2
    for i in 0..<count {
      let place = work.angles + i * configuration.headSize
      sky_rope_angles(
        place, place + half, configuration.headSize, configuration.ropeBase, Double(position + i), ropeFactors)
      guard configuration.architecture == .gemma3 else { continue }
      let local = place + InferenceLimits.batch * configuration.headSize
      sky_rope_angles(
        local, local + half, configuration.headSize, configuration.localRopeBase, Double(position + i), nil)
    }
  }
}
