import CKernels

/// The kernels that this processor runs best, and the threads that share their work.
public final class WorkPool {
  let kernels: UnsafePointer<sky_kernels>
  private let pool: OpaquePointer
  public let threads: Int

  /// 1 to 4 threads, this one counted. `kernels` names a set; the best one when nil.
  public init(threads: Int, kernels name: UnsafePointer<CChar>? = nil) throws(InferenceError) {
    guard threads >= 1, threads <= InferenceLimits.threads else { throw .overLimit }
    guard let kernels = sky_kernels_choose(name) else { throw .unsupportedFeature }
    guard let pool = sky_pool_start(UInt32(threads)) else { throw .noMemory }
    self.kernels = kernels
    self.pool = pool
    self.threads = threads
  }

  deinit { sky_pool_stop(pool) }

  /// The name of the kernels: "avx512", "portable" and so on; lives as long as the program.
  public var kernelsName: UnsafePointer<CChar> { kernels.pointee.name }

  /// Some products of the same activations with different matrices.
  struct Products {
    var first = sky_matmul()
    var second = sky_matmul()
    var third = sky_matmul()
    var rows: (Int, Int, Int) = (0, 0, 0)
    var pieceRows = 0
    var kernels: UnsafePointer<sky_kernels>

    func multiply(_ piece: Int) {
      let start = piece * pieceRows
      let end = min(start + pieceRows, rows.0 + rows.1 + rows.2)
      part(first, 0, rows.0, start, end)
      part(second, rows.0, rows.1, start, end)
      part(third, rows.0 + rows.1, rows.2, start, end)
    }

    private func part(_ job: sky_matmul, _ begin: Int, _ count: Int, _ start: Int, _ end: Int) {
      let from = max(start, begin)
      let to = min(end, begin + count)
      guard from < to else { return }
      withUnsafePointer(to: job) { kernels.pointee.matmul($0, from - begin, to - from) }
    }
  }

  func run(_ products: inout Products) {
    let rows = products.rows.0 + products.rows.1 + products.rows.2
    // Several pieces for each thread: one that is kept waiting takes fewer of them.
    let pieces = threads == 1 ? 1 : max(1, min(4 * threads, rows / 16))
    products.pieceRows = (rows + pieces - 1) / pieces
    withUnsafeMutablePointer(to: &products) {
      sky_pool_run(
        pool, UInt32(pieces),
        { context, piece in context!.assumingMemoryBound(to: Products.self).pointee.multiply(Int(piece)) }, $0)
    }
  }

  /// Attention of some tokens with all of their heads.
  struct Attention {
    var query: UnsafePointer<Float>
    var keys: UnsafePointer<UInt16>
    var values: UnsafePointer<UInt16>
    var out: UnsafeMutablePointer<Float>
    var scores: UnsafeMutablePointer<Float>
    var heads: Int
    var keyHeads: Int
    var headSize: Int
    var context: Int
    var tokens: Int
    /// Position of the first token.
    var position: Int
    /// How far a token looks back, itself included; all the way when larger than the context.
    var window: Int
    /// Whether a token sees those behind it, as in encoders.
    var looksAhead: Bool
    var scale: Float
    var kernels: UnsafePointer<sky_kernels>

    func attend(_ head: Int) {
      let group = head / (heads / keyHeads)
      for token in 0..<tokens {
        let end = looksAhead ? position + tokens : position + token + 1
        let start = looksAhead ? 0 : max(0, end - window)
        let place = (group * context + start) * headSize
        let vector = (token * heads + head) * headSize
        var job = sky_attention(
          query: query + vector, keys: keys + place, values: values + place, count: end - start, size: headSize,
          scale: scale, scores: scores + head * context, out: out + vector)
        kernels.pointee.attend(&job)
      }
    }
  }

  func run(_ attention: inout Attention) {
    let heads = attention.heads
    withUnsafeMutablePointer(to: &attention) {
      sky_pool_run(
        pool, UInt32(heads),
        { context, head in context!.assumingMemoryBound(to: Attention.self).pointee.attend(Int(head)) }, $0)
    }
  }
}
