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
    /// For how many positions there is room, `Attention.room`.
    var room: Int
    var tokens: Int
    /// Position of the first token.
    var position: Int
    /// How far a token looks back, itself included; all the way when larger than the context.
    var window: Int
    /// Whether a token sees those behind it, as in encoders.
    var looksAhead: Bool
    var scale: Float
    var kernels: UnsafePointer<sky_kernels>

    /// How many heads of a single token are worked on at once: of those with the same key, but so that two threads have
    /// something to do.
    private var headsAtOnce: Int {
      let sharing = heads / keyHeads
      return min(Self.most, keyHeads > 1 ? sharing : (sharing + 1) / 2)
    }
    /// Queries at once, at most.
    static var most: Int { 4 }
    /// Keys lie in blocks of 16 positions.
    static func room(_ context: Int) -> Int { (context + 15) / 16 * 16 }
    /// Numbers that `scores` has to have room for.
    static func scores(_ heads: Int, _ context: Int) -> Int { heads * most * room(context) }

    var pieces: Int {
      guard tokens == 1 else { return heads }
      let sharing = heads / keyHeads
      return keyHeads * ((sharing + headsAtOnce - 1) / headsAtOnce)
    }

    /// One of the pieces: a head with all tokens, or some heads of the only token.
    func attend(_ piece: Int) {
      if tokens > 1 {
        for token in stride(from: 0, to: tokens, by: Self.most) {
          attend(head: piece, token: token, count: min(Self.most, tokens - token), stride: heads * headSize)
        }
      } else {
        let sharing = heads / keyHeads
        let parts = (sharing + headsAtOnce - 1) / headsAtOnce
        let first = piece % parts * headsAtOnce
        attend(
          head: piece / parts * sharing + first, token: 0, count: min(headsAtOnce, sharing - first), stride: headSize)
      }
    }

    private func attend(head: Int, token: Int, count: Int, stride: Int) {
      let group = head / (heads / keyHeads) * room * headSize
      let vector = (token * heads + head) * headSize
      var job = sky_attention(
        queries: query + vector, stride: stride, count: count, keys: keys + group, values: values + group,
        end: looksAhead ? tokens : position + token + 1, step: looksAhead || tokens == 1 ? 0 : 1,
        window: looksAhead ? tokens : window, size: headSize, scale: scale,
        scores: scores + head * Self.most * room, out: out + vector)
      kernels.pointee.attend(&job)
    }
  }

  func run(_ attention: inout Attention) {
    let pieces = UInt32(attention.pieces)
    withUnsafeMutablePointer(to: &attention) {
      sky_pool_run(
        pool, pieces,
        { context, piece in context!.assumingMemoryBound(to: Attention.self).pointee.attend(Int(piece)) }, $0)
    }
  }
}
