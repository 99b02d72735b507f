import Bounded
import Wire

/// Messages sent and not yet answered for: a fixed table, the place of an answered one is free again.
///
/// Not their texts: what is lost is not sent again by this layer. Invariant: sequences are unique.
final class Outbox {
  private struct Entry {
    var sequence: UInt64
    var destination: UInt32
    var sentAt: Instant
  }

  private var entries = InlineArray<16, Entry?>(repeating: nil)

  /// How many messages wait for their receipts.
  private(set) var unresolved = 0

  var isFull: Bool { unresolved == Limits.outboxSlots }

  /// Takes note of a message that went out. There must be room.
  func append(sequence: UInt64, destination: UInt32, now: Instant) {
    for i in 0..<entries.count where entries[i] == nil {
      entries[i] = Entry(sequence: sequence, destination: destination, sentAt: now)
      unresolved += 1
      return
    }
    preconditionFailure("asked before whether there is room")
  }

  /// True when this message to `source` was waiting: nobody else can know what became of it.
  func resolve(_ sequence: UInt64, from source: UInt32) -> Bool {
    for i in 0..<entries.count {
      guard let entry = entries[i], entry.sequence == sequence, entry.destination == source else { continue }
      entries[i] = nil
      unresolved -= 1
      return true
    }
    return false
  }

  /// The sequence of the oldest message whose receipt is overdue; it is waited for no more.
  func popOverdue(now: Instant) -> UInt64? {
    guard let oldest, let entry = entries[oldest], now.since(entry.sentAt) >= Limits.receiptTimeoutMs else {
      return nil
    }
    entries[oldest] = nil
    unresolved -= 1
    return entry.sequence
  }

  /// When `popOverdue` has something next; `never` while nothing waits.
  var nextDeadline: Instant {
    guard let oldest, let entry = entries[oldest] else { return .never }
    return entry.sentAt + Limits.receiptTimeoutMs
  }

  /// Sequences rise with time.
  private var oldest: Int? {
    var best: Int?
    var least = UInt64.max
    for i in 0..<entries.count {
      guard let entry = entries[i], entry.sequence < least else { continue }
      best = i
      least = entry.sequence
    }
    return best
  }

  func checkInvariants() {
    var waiting = 0
    for i in 0..<entries.count {
      guard let entry = entries[i] else { continue }
      waiting += 1
      for j in 0..<i { precondition(entries[j]?.sequence != entry.sequence, "a sequence stands for one message") }
    }
    precondition(waiting == unresolved, "the count is that of the table")
  }
}
