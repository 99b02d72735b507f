/// A point on the monotonic clock, in milliseconds since an arbitrary start.
///
/// Not wall time: it never jumps, and a board whose clock says 1970 has a good one.
public struct Instant: Comparable, Equatable, Sendable {
  public var ms: UInt64
  public init(ms: UInt64) { self.ms = ms }

  /// Further than any timer reaches.
  public static let never = Instant(ms: .max)

  public static func < (a: Instant, b: Instant) -> Bool { a.ms < b.ms }
  /// Saturates: `never` plus anything is `never`.
  public static func + (a: Instant, ms: UInt64) -> Instant {
    let (sum, overflow) = a.ms.addingReportingOverflow(ms)
    return overflow ? .never : Instant(ms: sum)
  }
  /// Milliseconds from `earlier` to `self`; 0 when `earlier` is not earlier.
  public func since(_ earlier: Instant) -> UInt64 { ms > earlier.ms ? ms - earlier.ms : 0 }
}
