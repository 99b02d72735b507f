import Bounded
import SkyCrypto
import Wire

/// Exponential back-off with full jitter (Brooker, "Exponential Backoff And Jitter", 2015): each wait is
/// uniform between zero and a bound that doubles up to a cap, so that a thousand nodes that lost one hub
/// do not return together.
public struct Backoff: Equatable, Sendable {
  private var failures: UInt64 = 0

  public init() {}

  public mutating func reset() { failures = 0 }

  /// Milliseconds to wait before the next try.
  public mutating func next(random: inout Drbg) -> UInt64 {
    let doubled = failures < 32 ? Limits.backoffFirstMs << failures : Limits.backoffCapMs
    failures += 1
    return random.next(below: min(doubled, Limits.backoffCapMs) + 1)
  }
}
