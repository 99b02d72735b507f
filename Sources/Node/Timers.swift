import Bounded

/// What the node waits for. One deadline each; no callbacks.
public enum Timer: Int, CaseIterable, Sendable {
  /// The next attempt to reach a hub.
  case retry
  /// The end of the time a connection and its handshake may take.
  case handshake
  /// The next heartbeat.
  case heartbeat
  /// The moment at which a silent link counts as dead.
  case silence
  /// The last moment for a key renewal when no heartbeat comes in time to carry it.
  case rekey
  /// The next look whether the preferred hub is back.
  case failback
  /// The moment at which the oldest message without a receipt counts as lost.
  case receipt
  /// The end of draining.
  case drain
  /// The next try after the hub had no room for a durable message, and for an urgent one.
  case resume, resumeUrgent
  /// The moment at which durable messages without an answer are sent again.
  case resend
}

/// The deadlines of all timers; `never` when not armed.
public struct Timers: Sendable {
  private var deadlines = InlineArray<11, Instant>(repeating: .never)

  public init() {}

  public mutating func set(_ timer: Timer, _ deadline: Instant) { deadlines[timer.rawValue] = deadline }
  public mutating func cancel(_ timer: Timer) { deadlines[timer.rawValue] = .never }
  public mutating func cancelAll() { deadlines = InlineArray(repeating: .never) }
  /// Those that belong to a link or to the wait for the next one.
  public mutating func cancelLink() {
    let receipt = self[.receipt]
    cancelAll()
    set(.receipt, receipt)
  }
  public subscript(timer: Timer) -> Instant { deadlines[timer.rawValue] }

  /// The earliest deadline.
  public var next: Instant {
    var earliest = Instant.never
    for i in 0..<deadlines.count where deadlines[i] < earliest { earliest = deadlines[i] }
    return earliest
  }

  /// Disarms and returns one timer that is due.
  public mutating func popDue(now: Instant) -> Timer? {
    for i in 0..<deadlines.count where deadlines[i] <= now {
      deadlines[i] = .never
      return Timer(rawValue: i)
    }
    return nil
  }
}
