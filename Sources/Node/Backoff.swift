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

/// The attempts on the hubs of a list, in rounds: within one the next hub follows soon, after it comes a wait.
///
/// Not the order of the hubs, which is the node's. Invariant: the wait is as long as the most hopeful of the
/// round's failures asks for, so that one hub's refusal does not keep the node away from another.
struct Attempts: Equatable, Sendable {
  private var backoff = Backoff()
  private var sawBusy = false
  /// How many hubs of this round turned the node away in a way that only a person can mend.
  private var refusals = 0

  mutating func reset() { self = Attempts() }

  /// Milliseconds to wait after a failure; `isLast` when the list, of `hubs` hubs, ends with it.
  mutating func wait(after code: ErrorCode, isLast: Bool, hubs: Int, random: inout Drbg) -> UInt64 {
    if code == .sessionBusy { sawBusy = true }
    if code.needsPerson { refusals += 1 }
    guard isLast else { return random.next(below: Limits.backoffFirstMs) }
    let (busy, hopeless) = (sawBusy, refusals >= hubs)
    sawBusy = false
    refusals = 0
    if busy { return Limits.busyRetryMs + random.next(below: Limits.backoffFirstMs) }
    if hopeless { return Limits.refusedRetryMs / 2 + random.next(below: Limits.refusedRetryMs / 2) }
    return backoff.next(random: &random)
  }
}
