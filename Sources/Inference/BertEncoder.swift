import Bounded
import CKernels

/// A model that makes one vector of a text: architecture `bert`, with mean or first-token pooling, brought to length
/// one. Weights stay mapped; activations are taken from the arena at load.
public final class BertEncoder {
  public let embedding: Int
  /// Tokens of a text, at most.
  public let context: Int
  public let tokenizer: Tokenizer
  private let layers: UnsafeMutablePointer<Layer>
  private let layerCount: Int
  private let heads: Int
  private let feedForward: Int
  private let epsilon: Float
  private let poolsFirst: Bool
  private let words: Tensor
  private let positions: Tensor
  private let types: Tensor
  private let norm: Norm
  private let pool: WorkPool
  private let work: Work

  struct Norm {
    let weight: UnsafePointer<Float>
    let bias: UnsafePointer<Float>
  }

  struct Line {
    let matrix: Tensor
    let bias: UnsafePointer<Float>
  }

  struct Layer {
    let query: Line
    let key: Line
    let value: Line
    let output: Line
    let outputNorm: Norm
    let up: Line
    let down: Line
    let norm: Norm
  }

  private struct Work {
    let x: UnsafeMutablePointer<Float>
    let query: UnsafeMutablePointer<Float>
    let key: UnsafeMutablePointer<Float>
    let value: UnsafeMutablePointer<Float>
    let attended: UnsafeMutablePointer<Float>
    let wide: UnsafeMutablePointer<Float>
    let scores: UnsafeMutablePointer<Float>
    /// Half precision, by heads, as `sky_attention` wants them.
    let keys: UnsafeMutablePointer<UInt16>
    let values: UnsafeMutablePointer<UInt16>
    let quantised: UnsafeMutablePointer<sky_q8>
    let groups: Int
    let tokens: UnsafeMutablePointer<UInt32>
    let result: UnsafeMutablePointer<Float>
  }

  public init(_ file: GgufFile, context wanted: Int, pool: WorkPool, _ arena: inout Arena) throws(InferenceError) {
    guard let name = try file.text("general.architecture") else { throw .missingKey }
    guard RawSpan(_unsafeBytes: name).elementsEqual("bert") else { throw .wrongKind }
    func needed(_ key: StaticString, _ most: Int) throws(InferenceError) -> Int {
      guard let value = try file.integer(key, of: name) else { throw .missingKey }
      guard value >= 1, value <= most else { throw .overLimit }
      return value
    }
    layerCount = try needed(".block_count", InferenceLimits.layers)
    let width = try needed(".embedding_length", InferenceLimits.embedding)
    let wide = try needed(".feed_forward_length", InferenceLimits.feedForward)
    heads = try needed(".attention.head_count", InferenceLimits.heads)
    guard width % heads == 0, width / heads % 8 == 0, width / heads <= InferenceLimits.headSize else { throw .badValue }
    guard let epsilon = try file.number(".attention.layer_norm_epsilon", of: name) else { throw .missingKey }
    guard epsilon >= 0, epsilon < 1 else { throw .badValue }
    self.epsilon = Float(epsilon)
    let trained = try needed(".context_length", InferenceLimits.context)
    let pooling = try file.integer(".pooling_type", of: name) ?? 1
    guard pooling == 1 || pooling == 2 else { throw .unsupportedFeature }
    poolsFirst = pooling == 2
    context = min(max(8, wanted), trained)
    embedding = width
    feedForward = wide
    self.pool = pool
    tokenizer = try Tokenizer(file, &arena)
    guard case .wordPiece = tokenizer.kind else { throw .unknownTokenizer }
    words = try file.matrix("token_embd.weight", columns: width, rows: tokenizer.count)
    positions = try file.matrix("position_embd.weight", columns: width, rows: trained)
    guard let types = file.tensor("token_types.weight") else { throw .missingTensor }
    guard types.columns == width else { throw .badShape }
    self.types = types
    norm = try Self.norm(file, "token_embd_norm.weight", "token_embd_norm.bias", nil, width)
    layers = try arena.take(layerCount)
    for i in 0..<layerCount {
      let layer = try Self.layer(file, i, width, wide)
      if !arena.isCounting { (layers + i).initialize(to: layer) }
    }
    let groups = (max(width, wide) + 127) / 128
    let room = WorkPool.Attention.room(context)
    work = Work(
      x: try arena.take(context * width), query: try arena.take(context * width), key: try arena.take(context * width),
      value: try arena.take(context * width), attended: try arena.take(context * width),
      wide: try arena.take(context * wide), scores: try arena.take(WorkPool.Attention.scores(heads, context)),
      keys: try arena.take(room * width), values: try arena.take(room * width),
      quantised: try arena.take(context * groups), groups: groups, tokens: try arena.take(context),
      result: try arena.take(width))
  }

  private static func norm(
    _ file: GgufFile, _ weight: StaticString, _ bias: StaticString, _ layer: Int?, _ width: Int
  ) throws(InferenceError) -> Norm {
    Norm(
      weight: try file.neededVector(weight, layer: layer, count: width),
      bias: try file.neededVector(bias, layer: layer, count: width))
  }

  private static func layer(_ file: GgufFile, _ i: Int, _ width: Int, _ wide: Int) throws(InferenceError) -> Layer {
    func line(_ weight: StaticString, _ bias: StaticString, _ columns: Int, _ rows: Int) throws(InferenceError) -> Line
    {
      Line(
        matrix: try file.matrix(weight, layer: i, columns: columns, rows: rows),
        bias: try file.neededVector(bias, layer: i, count: rows))
    }
    return Layer(
      query: try line("attn_q.weight", "attn_q.bias", width, width),
      key: try line("attn_k.weight", "attn_k.bias", width, width),
      value: try line("attn_v.weight", "attn_v.bias", width, width),
      output: try line("attn_output.weight", "attn_output.bias", width, width),
      outputNorm: try norm(file, "attn_output_norm.weight", "attn_output_norm.bias", i, width),
      up: try line("ffn_up.weight", "ffn_up.bias", width, wide),
      down: try line("ffn_down.weight", "ffn_down.bias", wide, width),
      norm: try norm(file, "layer_output_norm.weight", "layer_output_norm.bias", i, width))
  }

  /// Of the last text.
  public private(set) var tokenCount = 0

  /// The vector of a text; valid until the next call. Texts that are longer than the context are cut there.
  public func embed(_ text: UnsafeRawBufferPointer, isCancelled: () -> Bool = { false }) throws(InferenceError)
    -> UnsafeBufferPointer<Float>
  {
    let room = UnsafeMutableBufferPointer(start: work.tokens, count: context)
    let count = try tokenizer.encode(text, addsBegin: true, parsesSpecials: false, into: room)
    tokenCount = count
    return try embed(tokens: UnsafeBufferPointer(start: work.tokens, count: count), isCancelled: isCancelled)
  }

  public func embed(tokens: UnsafeBufferPointer<UInt32>, isCancelled: () -> Bool = { false }) throws(InferenceError)
    -> UnsafeBufferPointer<Float>
  {
    let count = tokens.count
    guard count >= 1, count <= context else { throw .contextFull }
    for i in 0..<count {
      guard tokens[i] < tokenizer.count else { throw .badToken }
      let x = work.x + i * embedding
      Dequantise.row(words.row(Int(tokens[i])), words.type, embedding, into: x)
      addRow(positions.row(i), positions.type, x)
      addRow(types.row(0), types.type, x)
      pool.kernels.pointee.layer_norm(x, norm.weight, norm.bias, embedding, epsilon)
    }
    for i in 0..<layerCount {
      if isCancelled() { throw .cancelled }
      run(layers[i], count)
    }
    return pooled(count)
  }

  private func addRow(_ row: UnsafeRawPointer, _ type: TensorType, _ x: UnsafeMutablePointer<Float>) {
    Dequantise.row(row, type, embedding, into: work.result)
    pool.kernels.pointee.add(x, work.result, embedding)
  }

  private func run(_ layer: Layer, _ count: Int) {
    let kernels = pool.kernels.pointee
    let size = embedding / heads
    let room = WorkPool.Attention.room(context)
    prepare(work.x, embedding, count)
    multiply(layer.query, layer.key, layer.value, work.x, count)
    for i in 0..<count {
      for h in 0..<heads {
        let from = i * embedding + h * size
        let to = h * room * size
        kernels.store_key(work.key + from, size, work.keys + to, i)
        kernels.store_half(work.value + from, size, work.values + to + i * size)
      }
    }
    var attention = WorkPool.Attention(
      query: work.query, keys: work.keys, values: work.values, out: work.attended, scores: work.scores, heads: heads,
      keyHeads: heads, headSize: size, room: room, tokens: count, position: 0, window: count, looksAhead: true,
      scale: 1 / Float(size).squareRoot(), kernels: pool.kernels)
    pool.run(&attention)
    prepare(work.attended, embedding, count)
    multiply(layer.output, work.attended, count, work.query)
    finish(layer.outputNorm, count)
    prepare(work.x, embedding, count)
    multiply(layer.up, work.x, count, work.wide)
    kernels.gelu_erf(work.wide, count * feedForward)
    prepare(work.wide, feedForward, count)
    multiply(layer.down, work.wide, count, work.query)
    finish(layer.norm, count)
  }

  /// Adds what is in `query` to the stream, and brings that to mean zero and length one.
  private func finish(_ norm: Norm, _ count: Int) {
    pool.kernels.pointee.add(work.x, work.query, count * embedding)
    for i in 0..<count {
      pool.kernels.pointee.layer_norm(work.x + i * embedding, norm.weight, norm.bias, embedding, epsilon)
    }
  }

  private func pooled(_ count: Int) -> UnsafeBufferPointer<Float> {
    for i in 0..<embedding { work.result[i] = work.x[i] }
    if !poolsFirst {
      for i in 1..<max(1, count) { pool.kernels.pointee.add(work.result, work.x + i * embedding, embedding) }
    }
    var squares: Float = 0
    for i in 0..<embedding { squares += work.result[i] * work.result[i] }
    if squares > 0 { pool.kernels.pointee.scale(work.result, 1 / squares.squareRoot(), embedding) }
    return UnsafeBufferPointer(start: work.result, count: embedding)
  }

  // MARK: Products

  private func prepare(_ x: UnsafeMutablePointer<Float>, _ width: Int, _ count: Int) {
    for i in 0..<count { pool.kernels.pointee.quantise(x + i * width, width, work.quantised + i * work.groups) }
  }

  private func product(
    _ line: Line, _ x: UnsafeMutablePointer<Float>, _ count: Int, _ out: UnsafeMutablePointer<Float>
  ) -> sky_matmul {
    let isQuantised = line.matrix.type.isQuantised
    return sky_matmul(
      type: line.matrix.type.rawValue, weights: line.matrix.start, row_bytes: line.matrix.rowBytes,
      columns: line.matrix.columns,
      activations: isQuantised ? UnsafeRawPointer(work.quantised) : UnsafeRawPointer(x),
      activation_stride: isQuantised
        ? work.groups * MemoryLayout<sky_q8>.stride : line.matrix.columns * MemoryLayout<Float>.stride,
      tokens: count, out: out, out_stride: line.matrix.rows)
  }

  private func add(_ bias: UnsafePointer<Float>, _ width: Int, _ count: Int, _ x: UnsafeMutablePointer<Float>) {
    for i in 0..<count { pool.kernels.pointee.add(x + i * width, bias, width) }
  }

  private func multiply(
    _ line: Line, _ x: UnsafeMutablePointer<Float>, _ count: Int, _ out: UnsafeMutablePointer<Float>
  ) {
    var products = WorkPool.Products(kernels: pool.kernels)
    products.first = product(line, x, count, out)
    products.rows.0 = line.matrix.rows
    pool.run(&products)
    add(line.bias, line.matrix.rows, count, out)
  }

  private func multiply(
    _ query: Line, _ key: Line, _ value: Line, _ x: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    var products = WorkPool.Products(kernels: pool.kernels)
    products.first = product(query, x, count, work.query)
    products.second = product(key, x, count, work.key)
    products.third = product(value, x, count, work.value)
    products.rows = (embedding, embedding, embedding)
    pool.run(&products)
    add(query.bias, embedding, count, work.query)
    add(key.bias, embedding, count, work.key)
    add(value.bias, embedding, count, work.value)
  }
}
