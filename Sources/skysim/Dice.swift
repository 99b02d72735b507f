import Bounded
import SkyCrypto

/// The only source of chance in a simulation: splitmix64 (Steele, Lea, Flood, 2014). The same seed gives the same
/// numbers on every machine.
struct Dice {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }

  /// Uniform in `0 ..< bound`; 0 when `bound` is 0.
  mutating func below(_ bound: UInt64) -> UInt64 { next().multipliedFullWidth(by: bound).high }
  mutating func below(_ bound: Int) -> Int { Int(below(UInt64(bound))) }
  /// Uniform in a range.
  mutating func from(_ least: UInt64, to most: UInt64) -> UInt64 { least + below(most - least + 1) }
  /// True once in `n`.
  mutating func oneIn(_ n: UInt64) -> Bool { below(n) == 0 }
  /// Small numbers as often as large ones: `least << k` for a random k, up to `most`.
  mutating func spread(_ least: UInt64, to most: UInt64) -> UInt64 {
    var top = least
    var doublings: UInt64 = 0
    while top < most {
      top *= 2
      doublings += 1
    }
    let chosen = least << below(doublings + 1)
    return min(most, from(chosen, to: 2 * chosen))
  }

  mutating func bytes32() -> Bytes32 {
    var words = InlineArray<4, UInt64>(repeating: 0)
    for i in 0..<4 { words[i] = next() }
    return Bytes32 { UInt8(truncatingIfNeeded: words[$0 / 8] >> UInt64(8 * ($0 % 8))) }
  }

  mutating func secret() -> Secret<32> { Secret<32>(bytes32().raw)! }
  /// Another die, which takes nothing more from this one.
  mutating func split() -> Dice { Dice(seed: next()) }
}
