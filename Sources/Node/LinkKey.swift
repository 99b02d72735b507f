import Bounded
import SkyCrypto
import Wire

/// Which counters of one key have been seen: the newest and a bitmap of the 63 before it (RFC 4303, 3.4.3).
public struct ReplayWindow: Equatable, Sendable {
  private var newest: UInt64 = 0
  private var seen: UInt64 = 0

  public init() {}

  /// True when `counter` is new and not too old. Changes nothing: a forged record must not move it.
  public func allows(_ counter: UInt64) -> Bool {
    if seen == 0 || counter > newest { return true }
    let age = newest - counter
    return age < Limits.replayWindowFrames && seen & (1 << age) == 0
  }

  /// Marks an authenticated counter.
  public mutating func mark(_ counter: UInt64) {
    if seen == 0 {
      newest = counter
      seen = 1
    } else if counter > newest {
      let step = counter - newest
      seen = step < 64 ? seen << step | 1 : 1
      newest = counter
    } else {
      seen |= 1 << (newest - counter)
    }
  }
}

/// The key of one direction of a link, with its epoch, its counter and its age.
///
/// Invariant: a counter is used at most once with a key; a key past its age or count seals and opens nothing.
struct LinkKey: ~Copyable {
  var key = Secret<32>()
  var epoch: UInt8 = 0
  /// The next counter to use (sending) or how many records were opened (receiving).
  var counter: UInt64 = 0
  var window = ReplayWindow()
  var bornAt = Instant(ms: 0)

  /// Takes `other`'s key as the next epoch and wipes both old copies.
  mutating func advance(to fresh: inout Secret<32>, epoch: UInt8, now: Instant) {
    key.copy(from: fresh)
    fresh.wipe()
    self.epoch = epoch
    counter = 0
    window = ReplayWindow()
    bornAt = now
  }

  mutating func wipe() {
    key.wipe()
    counter = 0
    window = ReplayWindow()
  }

  func checkUsable(now: Instant) throws(ErrorCode) {
    if now.since(bornAt) > Limits.keyRefusedAfterMs || counter >= 2 * Limits.rekeyAfterFrames { throw .keyExpired }
  }
}
