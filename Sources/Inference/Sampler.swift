import CKernels

/// Chooses the next token from logits: the likeliest one, or one drawn from the likeliest.
///
/// Randomness is an argument, its seed: the same seed and logits give the same tokens.
public struct Sampler {
  /// 0 takes the likeliest always.
  public var temperature: Float
  /// Draws from the fewest candidates whose probabilities together reach this; from 0 to 1.
  public var topP: Float
  /// And from so many at most, 1 to `InferenceLimits.candidates`.
  public var topK: Int
  private var state: UInt64

  private struct Candidate {
    var token: UInt32
    var logit: Float
  }

  public init(temperature: Float = 0, topP: Float = 0.95, topK: Int = 40, seed: UInt64 = 0) {
    self.temperature = temperature
    self.topP = topP
    self.topK = max(1, min(topK, InferenceLimits.candidates))
    state = seed
  }

  public mutating func choose(_ logits: UnsafeMutableBufferPointer<Float>) -> UInt32 {
    guard temperature > 0, topK > 1 else { return Self.likeliest(logits) }
    var candidates = InlineArray<256, Candidate>(repeating: Candidate(token: 0, logit: -.infinity))
    let count = select(logits, &candidates)
    guard count > 1 else { return candidates[0].token }
    // Probabilities relative to the first one's.
    var total: Float = 0
    let best = candidates[0].logit
    for i in 0..<count {
      candidates[i].logit = sky_exp((candidates[i].logit - best) / temperature)
      total += candidates[i].logit
    }
    var kept = 0
    var sum: Float = 0
    repeat {
      sum += candidates[kept].logit
      kept += 1
    } while kept < count && sum < topP * total
    var left = uniform() * sum
    for i in 0..<kept {
      left -= candidates[i].logit
      if left < 0 { return candidates[i].token }
    }
    return candidates[kept - 1].token
  }

  static func likeliest(_ logits: UnsafeMutableBufferPointer<Float>) -> UInt32 {
    var best = 0
    for i in 1..<max(1, logits.count) where logits[i] > logits[best] { best = i }
    return UInt32(best)
  }

  /// The `topK` largest, in falling order. Returns how many there are.
  private func select(_ logits: UnsafeMutableBufferPointer<Float>, _ out: inout InlineArray<256, Candidate>) -> Int {
    var count = 0
    for i in 0..<logits.count {
      let logit = logits[i]
      if count == topK, !(logit > out[count - 1].logit) { continue }
      guard !logit.isNaN else { continue }
      var place = count < topK ? count : count - 1
      while place > 0, out[place - 1].logit < logit {
        out[place] = out[place - 1]
        place -= 1
      }
      out[place] = Candidate(token: UInt32(i), logit: logit)
      if count < topK { count += 1 }
    }
    return count
  }

  /// From 0 to below 1 (SplitMix64).
  private mutating func uniform() -> Float {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    z ^= z >> 31
    return Float(z >> 40) * 0x1p-24
  }
}
