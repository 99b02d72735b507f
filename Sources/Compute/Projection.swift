import Wire

/// The rows of `compress`: a seeded orthogonal projection from 1,536 dimensions to 384, without a matrix.
///
/// The input's signs are changed at random, then it goes through a Hadamard matrix of order 1,536, and 384 of the
/// results are kept: the subsampled randomised Hadamard transform (Ailon and Chazelle 2009, "The fast Johnson-Lindenstrauss
/// transform"; Tropp 2011, "Improved analysis of the subsampled randomized Hadamard transform"). 1,536 is 12 times 128, and
/// there is a Hadamard matrix of order 12 (Paley 1933), so nothing is padded to 2,048 and the rows stay orthonormal: what
/// comes out is a projection in the strict sense, whose error is what the rows that were not kept hold.
public enum Projection {
  static let wide = Limits.jobWideNumbers
  static let narrow = Limits.jobNarrowNumbers
  /// Of the Sylvester part; a power of two.
  static let block = 128
  static let blocks = 12

  /// Output `n` of SplitMix64 (Steele, Lea and Flood 2014) with this seed, from 0.
  static func random(_ seed: UInt64, _ n: Int) -> UInt64 {
    var z = seed &+ UInt64(n + 1) &* 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Whether number `i` of the input changes its sign: bit `i % 64` of output `i / 64`.
  static func isNegated(_ seed: UInt64, _ i: Int) -> Bool { random(seed, i / 64) >> UInt64(i % 64) & 1 == 1 }

  /// Calls `body` with each row that is kept, rising (Knuth's algorithm S, with the outputs after those for the signs).
  static func forEachKept(_ seed: UInt64, _ body: (Int) -> Void) {
    var wanted = narrow
    for i in 0..<wide where wanted > 0 {
      let draw = ((random(seed, wide / 64 + i) >> 32) &* UInt64(wide - i)) >> 32
      if draw < UInt64(wanted) {
        body(i)
        wanted -= 1
      }
    }
  }

  /// The sign at this place of the Hadamard matrix of order 12: the quadratic residues modulo 11 are 1, 3, 4, 5 and 9.
  static func isNegative(_ row: Int, _ column: Int) -> Bool {
    if row == column || row == 0 { return false }
    if column == 0 { return true }
    let residues = 0b10_0011_1010
    return residues >> ((row - column + 11) % 11) & 1 == 0
  }

  /// One pass of the butterflies of order 128, over all twelve blocks; `half` is 1, 2, 4 … 64.
  static func butterflies(_ x: UnsafeMutablePointer<Float>, half: Int) {
    var start = 0
    while start < wide {
      for i in start..<(start + half) {
        let (a, b) = (x[i], x[i + half])
        x[i] = a + b
        x[i + half] = a - b
      }
      start += 2 * half
    }
  }

  /// The matrix of order 12, over the same place of all blocks.
  static func mix(_ x: UnsafeMutablePointer<Float>, column: Int) {
    var old = InlineArray<12, Float>(repeating: 0)
    for row in 0..<blocks { old[row] = x[row * block + column] }
    for row in 0..<blocks {
      var sum: Float = 0
      for i in 0..<blocks { sum += isNegative(row, i) ? -old[i] : old[i] }
      x[row * block + column] = sum
    }
  }
}
