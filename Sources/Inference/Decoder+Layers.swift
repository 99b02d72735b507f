import CKernels

/// The way of a batch through one layer.
extension Decoder {
  // MARK: Products

  /// Makes 8-bit activations of `count` rows, if one of the matrices wants them.
  func prepare(_ x: UnsafeMutablePointer<Float>, _ width: Int, _ count: Int, isWanted: Bool) {
    guard isWanted else { return }
    for i in 0..<count {
      pool.kernels.pointee.quantise(x + i * width, width, work.quantised + i * work.groups)
    }
  }

  func product(
    _ matrix: Tensor, _ x: UnsafeMutablePointer<Float>, _ width: Int, _ count: Int, _ out: UnsafeMutablePointer<Float>
  ) -> sky_matmul {
    let isQuantised = matrix.type.isQuantised
    return sky_matmul(
      type: matrix.type.rawValue, weights: matrix.start, row_bytes: matrix.rowBytes, columns: width,
      activations: isQuantised ? UnsafeRawPointer(work.quantised) : UnsafeRawPointer(x),
      activation_stride: isQuantised
        ? work.groups * MemoryLayout<sky_q8>.stride : width * MemoryLayout<Float>.stride,
      tokens: count, out: out, out_stride: matrix.rows)
  }

  private func multiply(
    _ matrix: Tensor, _ x: UnsafeMutablePointer<Float>, _ width: Int, _ count: Int, _ out: UnsafeMutablePointer<Float>
  ) {
    prepare(x, width, count, isWanted: matrix.type.isQuantised)
    var products = WorkPool.Products(kernels: pool.kernels)
    products.first = product(matrix, x, width, count, out)
    products.rows.0 = matrix.rows
    pool.run(&products)
  }

  private func norm(
    _ from: UnsafeMutablePointer<Float>, _ weight: UnsafePointer<Float>, _ count: Int,
    _ out: UnsafeMutablePointer<Float>
  ) {
    let width = configuration.embedding
    for i in 0..<count {
      pool.kernels.pointee.rms_norm(from + i * width, weight, width, configuration.epsilon, out + i * width)
    }
  }

  // MARK: Attention

  func attend(_ layer: Layer, _ index: Int, _ count: Int) {
    let shape = configuration
    norm(work.x, layer.attentionNorm, count, work.normed)
    let width = shape.embedding
    prepare(
      work.normed, width, count,
      isWanted: layer.query.type.isQuantised || layer.key.type.isQuantised || layer.value.type.isQuantised)
    var products = WorkPool.Products(kernels: pool.kernels)
    products.first = product(layer.query, work.normed, width, count, work.query)
    products.second = product(layer.key, work.normed, width, count, work.key)
    products.third = product(layer.value, work.normed, width, count, work.value)
    products.rows = (shape.queryWidth, shape.keyWidth, shape.keyWidth)
    pool.run(&products)
    let isLocal = shape.isLocal(index)
    for i in 0..<count {
      let angles = work.angles + ((isLocal ? InferenceLimits.batch : 0) + i) * shape.headSize
      turn(work.query + i * shape.queryWidth, shape.heads, layer.queryNorm, angles)
      turn(work.key + i * shape.keyWidth, shape.keyHeads, layer.keyNorm, angles)
      store(layer, i)
    }
    var attention = WorkPool.Attention(
      query: work.query, keys: layer.keys, values: layer.values, out: work.attended, scores: work.scores,
      heads: shape.heads, keyHeads: shape.keyHeads, headSize: shape.headSize, room: WorkPool.Attention.room(context),
      tokens: count,
      position: position, window: isLocal ? shape.window : Int(Int32.max), looksAhead: false,
      scale: 1 / Float(shape.headSize).squareRoot(), kernels: pool.kernels)
    pool.run(&attention)
    multiply(layer.output, work.attended, shape.queryWidth, count, work.normed)
    finish(layer.afterAttention, count)
  }

  /// Turns the heads of one token by its position; before that each is brought to length one, if the model does so.
  private func turn(
    _ heads: UnsafeMutablePointer<Float>, _ count: Int, _ weight: UnsafePointer<Float>?, _ angles: UnsafePointer<Float>
  ) {
    let size = configuration.headSize
    let half = size / 2
    let sines = angles + half
    for h in 0..<count {
      let head = heads + h * size
      if let weight { pool.kernels.pointee.rms_norm(head, weight, size, configuration.epsilon, head) }
      if configuration.architecture == .llama {
        // Neighbours are pairs.
        for i in 0..<half {
          let (a, b) = (head[2 * i], head[2 * i + 1])
          head[2 * i] = a * angles[i] - b * sines[i]
          head[2 * i + 1] = a * sines[i] + b * angles[i]
        }
      } else {
        // The first half with the second one.
        for i in 0..<half {
          let (a, b) = (head[i], head[half + i])
          head[i] = a * angles[i] - b * sines[i]
          head[half + i] = a * sines[i] + b * angles[i]
        }
      }
    }
  }

  /// Puts a token's key and value into the cache.
  private func store(_ layer: Layer, _ token: Int) {
    let size = configuration.headSize
    for h in 0..<configuration.keyHeads {
      let from = token * configuration.keyWidth + h * size
      let to = h * WorkPool.Attention.room(context) * size
      pool.kernels.pointee.store_key(work.key + from, size, layer.keys + to, position + token)
      pool.kernels.pointee.store_half(work.value + from, size, layer.values + to + (position + token) * size)
    }
  }

  /// Adds what is in `normed` to the stream, brought to length one before if the model does so.
  private func finish(_ weight: UnsafePointer<Float>?, _ count: Int) {
    if let weight { norm(work.normed, weight, count, work.normed) }
    pool.kernels.pointee.add(work.x, work.normed, count * configuration.embedding)
  }

  // MARK: Feed forward

  func feedForward(_ layer: Layer, _ count: Int) {
    let shape = configuration
    norm(work.x, layer.feedForwardNorm, count, work.normed)
    prepare(
      work.normed, shape.embedding, count, isWanted: layer.gate.type.isQuantised || layer.up.type.isQuantised)
    var products = WorkPool.Products(kernels: pool.kernels)
    products.first = product(layer.gate, work.normed, shape.embedding, count, work.gate)
    products.second = product(layer.up, work.normed, shape.embedding, count, work.up)
    products.rows = (shape.feedForward, shape.feedForward, 0)
    pool.run(&products)
    let numbers = count * shape.feedForward
    if shape.architecture == .gemma3 {
      pool.kernels.pointee.gelu_multiply(work.gate, work.up, numbers)
    } else {
      pool.kernels.pointee.silu_multiply(work.gate, work.up, numbers)
    }
    multiply(layer.down, work.gate, shape.feedForward, count, work.normed)
    finish(layer.afterFeedForward, count)
  }
}
