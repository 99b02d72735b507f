import Bounded
import Wire

/// Messages that arrived for this node and were not yet acknowledged by its owner. Fixed slots, each with
/// room for the longest message; when full, a new message is refused to its sender, never an old one dropped.
public struct Inbox: ~Copyable {
  public struct Entry: Equatable, Sendable {
    /// Numbered by this node, rising by one.
    public let number: UInt64
    public let source: UInt32
    /// The sender's number.
    public let sequence: UInt64
    /// Wall time of arrival, milliseconds since 1970; 0 while unknown.
    public let wallTimeMs: UInt64
    fileprivate let slot: Int
    public let byteCount: Int
  }

  private let texts: UnsafeMutableRawBufferPointer
  private var entries = Ring<Entry, 32>()
  private var freeSlots = Ring<Int, 32>()
  private var lastNumber: UInt64 = 0

  public init() {
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
  public mutating func append(
    _ text: RawSpan, source: UInt32, sequence: UInt64, wallTimeMs: UInt64
  ) throws(ErrorCode) -> UInt64 {
    guard text.byteCount <= Limits.messageBytes else { throw .tooLong }
    guard let slot = freeSlots.popFirst() else { throw .full }
    let room = UnsafeMutableRawBufferPointer(rebasing: texts[(slot * Limits.messageBytes)...])
    text.withUnsafeBytes { room.copyMemory(from: $0) }
    lastNumber += 1
    entries.append(
      Entry(
        number: lastNumber, source: source, sequence: sequence, wallTimeMs: wallTimeMs, slot: slot,
        byteCount: text.byteCount))
    return lastNumber
  }

  /// The text of an entry.
  @_lifetime(borrow self)
  public func text(of entry: Entry) -> RawSpan {
    let start = entry.slot * Limits.messageBytes
    let span = RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: texts[start..<(start + entry.byteCount)]))
    return _overrideLifetime(span, borrowing: self)
  }

  /// Drops everything up to and including `number`; how many went.
  public mutating func acknowledge(upTo number: UInt64) -> Int {
    var dropped = 0
    while entries.count > 0, entries[0].number <= number, let entry = entries.popFirst() {
      freeSlots.append(entry.slot)
      dropped += 1
    }
    return dropped
  }

  func checkInvariants() {
    precondition(entries.count + freeSlots.count == Limits.inboxSlots, "every slot is free or in use")
    var used = InlineArray<32, Bool>(repeating: false)
    for i in 0..<freeSlots.count { used[freeSlots[i]] = true }
    for i in 0..<entries.count {
      precondition(!used[entries[i].slot], "no slot is in use twice")
      used[entries[i].slot] = true
      precondition(i == 0 || entries[i].number > entries[i - 1].number, "numbers rise")
    }
  }
}
