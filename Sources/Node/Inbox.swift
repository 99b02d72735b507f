import Bounded
import Wire

/// Messages that arrived for this node and were not yet acknowledged by its owner. Fixed slots, each with
/// room for the longest message; when full, a new message is refused to its sender, never an old one dropped.
public final class Inbox {
  public struct Entry: Equatable, Sendable {
    /// Numbered by this node, rising.
    public let number: UInt64
    public let source: UInt32
    /// The sender's number.
    public let sequence: UInt64
    /// Wall time of arrival, milliseconds since 1970; 0 while unknown.
    public let wallTimeMs: UInt64
    /// The stream of a durable message, which with the sequence names it for ever; 0 for an ordinary one.
    public let stream: UInt64
    /// It came sealed from end to end.
    public let isSealed: Bool
    public var isUrgent: Bool { stream != 0 && Limits.isUrgent(sequence) }
    /// The ring's record behind a durable message; 0 for an ordinary one.
    let record: UInt64
    fileprivate let slot: Int
    public let byteCount: Int
  }

  private let texts: UnsafeMutableRawBufferPointer
  private var entries = Ring<Entry, 32>()
  private var freeSlots = Ring<Int, 32>()
  private var lastNumber: UInt64

  /// Numbers begin after `lastNumber`: where they never begin again at the same, an acknowledgement of an
  /// earlier start cannot meet messages of this one.
  public init(lastNumber: UInt64 = 0) {
    self.lastNumber = lastNumber
    texts = .allocate(byteCount: Limits.inboxSlots * Limits.messageBytes, alignment: 16)
    for slot in 0..<Limits.inboxSlots { freeSlots.append(slot) }
  }

  deinit {
    wipe(texts)
    texts.deallocate()
  }

  public var count: Int { entries.count }
  public var capacity: Int { Limits.inboxSlots }
  public subscript(index: Int) -> Entry { entries[index] }

  /// The number given to the message; `full` or `tooLong` when it cannot be kept.
  public func append(
    _ text: RawSpan, source: UInt32, sequence: UInt64, wallTimeMs: UInt64, stream: UInt64 = 0, record: UInt64 = 0,
    isSealed: Bool = false
  ) throws(ErrorCode) -> UInt64 {
    guard text.byteCount <= Limits.messageBytes else { throw .tooLong }
    // A durable message has waited in its ring, in its turn; an ordinary one comes when its source likes.
    if record == 0, countOf(source) >= Limits.inboxPerSource { throw .full }
    guard let slot = freeSlots.popFirst() else { throw .full }
    let room = UnsafeMutableRawBufferPointer(rebasing: texts[(slot * Limits.messageBytes)...])
    text.withUnsafeBytes { room.copyMemory(from: $0) }
    lastNumber += 1
    entries.append(
      Entry(
        number: lastNumber, source: source, sequence: sequence, wallTimeMs: wallTimeMs, stream: stream,
        isSealed: isSealed, record: record, slot: slot, byteCount: text.byteCount))
    return lastNumber
  }

  private func countOf(_ source: UInt32) -> Int {
    var count = 0
    for i in 0..<entries.count where entries[i].source == source && entries[i].record == 0 { count += 1 }
    return count
  }

  /// The text of an entry.
  @_lifetime(borrow self)
  public func text(of entry: Entry) -> RawSpan {
    let start = entry.slot * Limits.messageBytes
    let span = RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: texts[start..<(start + entry.byteCount)]))
    return _overrideLifetime(span, borrowing: self)
  }

  /// Drops the oldest message if its number is not above this one.
  func popFirst(upTo number: UInt64) -> Entry? {
    guard entries.count > 0, entries[0].number <= number, let entry = entries.popFirst() else { return nil }
    freeSlots.append(entry.slot)
    return entry
  }

  func checkInvariants() {
    precondition(entries.count + freeSlots.count == Limits.inboxSlots, "every slot is free or in use")
    // A bit for each slot.
    var used: UInt32 = 0
    for i in 0..<freeSlots.count { used |= 1 << UInt32(freeSlots[i]) }
    for i in 0..<entries.count {
      let slot: UInt32 = 1 << UInt32(entries[i].slot)
      precondition(used & slot == 0, "no slot is in use twice")
      used |= slot
      precondition(i == 0 || entries[i].number > entries[i - 1].number, "numbers rise")
    }
  }
}
