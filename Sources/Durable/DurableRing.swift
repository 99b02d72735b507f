import Bounded

/// Where a ring keeps what is appended to it.
public enum RingHealth: Equatable, Sendable {
  /// On the medium, before it is acknowledged.
  case stored
  /// Writing failed with this error number; records wait in memory, and the write is tried again.
  case degraded(Int32)
  /// The medium could not be written when the ring was opened: new records stay in memory until the
  /// next start. What the medium held is still handed out where it can be read.
  case memory(Int32)
}

public enum RingRefusal: Error, Equatable {
  /// The ring is full: somebody has to consume first.
  case full
  /// The gathering buffer is full: a write has to end first.
  case busy
  case tooLong
}

/// What happened since the ring was opened, exactly.
public struct RingCounters: Equatable, Sendable {
  public var appended: UInt64 = 0
  /// Live records found when it was opened.
  public var recovered: UInt64 = 0
  public var consumed: UInt64 = 0
  public var refusedFull: UInt64 = 0
  public var refusedBusy: UInt64 = 0
  public var refusedTooLong: UInt64 = 0
  /// Records whose bytes are not those that were written; they are passed over.
  public var quarantined: UInt64 = 0
  /// Sequences absent between live records when the ring was opened: damaged beyond recognition, or
  /// never acknowledged.
  public var missing: UInt64 = 0
  /// Sequences that were not there when their turn came, those missing since the opening included.
  public var passedOver: UInt64 = 0
  /// Heads and checkpoints found damaged.
  public var damagedHeads: UInt64 = 0
  public var readErrors: UInt64 = 0
  public var writeErrors: UInt64 = 0
  public var batches: UInt64 = 0
  public var checkpoints: UInt64 = 0
  /// Bytes given to the medium, padding and checkpoints included.
  public var bytesWritten: UInt64 = 0

  public init() {}
}

/// A record handed out. Its body is `DurableRing.body` until the ring is called again.
public struct RingOffer: Equatable, Sendable {
  /// Names, with the sequence, the record to receivers for ever.
  public let stream: UInt64
  public let sequence: UInt64
  public let kind: UInt8
  public let flags: UInt8
  /// False while it is only in memory.
  public let isStored: Bool
}

/// A first-in first-out queue of records in a file of fixed size, which survives crashes, torn writes
/// and flipped bits.
///
/// It does no IO: `pollWrite` and `pollRead` say what is to be done, `handleWritten` and `handleRead`
/// what came of it. One object for whoever uses it and for who keeps it on the medium. Order of calls: `open` once; then `append`, `next`, `consume`, `rewind` in any
/// order, and after each turn `pollWrite` and `pollRead` until they give nothing. It allocates when it
/// is created and never after.
///
/// A record may be acknowledged to its sender when `settledSequence` has reached it: it is on the medium
/// then, or already consumed. It is no priority queue and has no times to live: its owner consumes what
/// is to be dropped.
///
/// Invariant: `reclaimed <= tail <= cursor <= offerEnd <= head <= reclaimed + dataBytes`, all positions;
/// a position is an offset into the data plus the laps before it.
public final class DurableRing {
  public let parameters: RingParameters
  let dataBytes: UInt64
  let block: UInt64

  public internal(set) var health = RingHealth.memory(0)
  public internal(set) var counters = RingCounters()
  /// Names this file's records to receivers.
  public internal(set) var stream: UInt64 = 0
  /// Sequences from here on were made without a medium; they are named by `memoryStream`.
  var memoryFrom = UInt64.max
  var memoryStream: UInt64 = 0
  var salt: UInt32 = 0

  // MARK: Writing

  var filling: Batch
  /// The batch with a place: being written, or waiting to be written again.
  var placed: Batch
  var placedAt: UInt64 = 0
  let slotImage: UnsafeMutableRawBufferPointer
  var isWriting = false
  var slotInWrite: RingSlot?
  var fillingSince = Instant(ms: 0)
  var retryAt = Instant(ms: 0)
  var lastCheckpoint = Instant(ms: 0)
  /// Somebody was refused for want of room.
  var isPressed = false
  /// A checkpoint is wanted before its time.
  var isAsked = false

  /// The position of the next batch.
  var head: UInt64 = 0
  /// The end of what is on the medium.
  var committed: UInt64 = 0
  /// `committed` when the ring was opened: what lies before was looked at once.
  var openedAt: UInt64 = 0
  public internal(set) var nextSequence: UInt64 = 1
  /// The last sequence that is on the medium or was consumed, with all before it.
  public internal(set) var settledSequence: UInt64 = 0
  /// The two checkpoints on the medium; room is given back only when both agree that it is free, so that
  /// either may be lost.
  var slots: (even: RingSlot, odd: RingSlot)

  // MARK: Handing out

  /// Records handed out and not consumed, oldest first.
  var onTheWay = WayTable()
  /// How many of them were handed out since the last `rewind`.
  var handedOut = 0
  /// Where the next record never handed out is looked for, and the least sequence it may have.
  var cursor: UInt64 = 0
  var cursorSequence: UInt64 = 0
  let readMemory: UnsafeMutableRawBufferPointer
  var readAt: UInt64 = 0
  var readCount = 0
  var wanted: Wanted?
  /// A read is under way: its bytes come into this ring's memory.
  public internal(set) var isReading = false
  var bodyPointer: UnsafeRawPointer?
  var bodyCount = 0

  /// Allocates all that the ring will ever use.
  public init(_ parameters: RingParameters) {
    precondition(parameters.isSound)
    self.parameters = parameters
    dataBytes = parameters.dataBytes
    block = UInt64(parameters.blockBytes)
    filling = Batch(capacity: parameters.batchBytes)
    placed = Batch(capacity: parameters.batchBytes)
    slotImage = .allocate(byteCount: Int(parameters.slotBytes), alignment: 16)
    readMemory = .allocate(byteCount: parameters.readBytes, alignment: 16)
    let none = RingSlot(serial: 0, tailSequence: 0, tailPosition: 0, nextSequence: 0, stream: 0, salt: 0)
    slots = (none, none)
  }

  deinit {
    slotImage.deallocate()
    readMemory.deallocate()
  }

  /// Records kept, on the medium or in memory; exact while nothing was damaged before the opening.
  public var recordCount: UInt64 {
    let came = counters.appended + counters.recovered
    let went = counters.consumed + counters.passedOver
    return came > went ? came - went : 0
  }

  /// Records handed out and not consumed.
  public var onTheWayCount: Int { onTheWay.count }

  /// True when the name is one that this ring gives: (stream, sequence) of `RingOffer`.
  public func gives(stream: UInt64, sequence: UInt64) -> Bool {
    stream == (sequence >= memoryFrom ? memoryStream : self.stream)
  }

  /// The oldest record that is not consumed, or where the next would be.
  var tail: (position: UInt64, sequence: UInt64) {
    onTheWay.isEmpty ? (cursor, cursorSequence) : (onTheWay[0].position, onTheWay[0].sequence)
  }

  /// Everything before it may be overwritten.
  var reclaimed: UInt64 { min(slots.even.tailPosition, slots.odd.tailPosition) }

  /// Bytes between the oldest position that may not be overwritten and the head.
  public var usedBytes: UInt64 { head - reclaimed }
  public var capacityBytes: UInt64 { dataBytes }
  /// True when nothing is kept: all that was appended is consumed.
  public var isEmpty: Bool {
    onTheWay.isEmpty && filling.isEmpty && placed.isEmpty && cursorSequence > settledSequence
  }

  // MARK: Appending

  /// Takes a record in; its sequence. It is not acknowledged by this: see `settledSequence`.
  public func append(kind: UInt8, flags: UInt8 = 0, _ body: RawSpan, now: Instant) throws(RingRefusal)
    -> UInt64
  {
    guard body.byteCount <= parameters.bodyBytes else {
      counters.refusedTooLong += 1
      throw .tooLong
    }
    let bytes = RingFormat.recordBytes(body.byteCount)
    guard filling.used + bytes <= parameters.batchBytes else {
      counters.refusedBusy += 1
      throw .busy
    }
    let whole = rounded(filling.used + bytes)
    guard place(whole) + whole - reclaimed <= dataBytes else {
      counters.refusedFull += 1
      isPressed = true
      throw .full
    }
    if filling.isEmpty {
      fillingSince = now
      filling.firstSequence = nextSequence
    }
    let sequence = nextSequence
    RingFormat.writeRecord(
      filling.memory.baseAddress! + filling.used, sequence: sequence, kind: kind, flags: flags, body: body, salt: salt)
    filling.used += bytes
    filling.lastSequence = sequence
    nextSequence += 1
    counters.appended += 1
    return sequence
  }

  func rounded(_ bytes: Int) -> UInt64 { (UInt64(bytes) + block - 1) & ~(block - 1) }

  /// Where a batch of this size begins: at the head, or on the next lap, for it never wraps.
  func place(_ bytes: UInt64) -> UInt64 {
    let offset = head % dataBytes
    return offset + bytes > dataBytes ? head + (dataBytes - offset) : head
  }

  // MARK: Consuming

  /// A record handed out has arrived, or is to be dropped. False when it is not on the way.
  @discardableResult
  public func consume(_ sequence: UInt64) -> Bool {
    guard let i = onTheWay.index(of: sequence), !onTheWay[i].isDone else { return false }
    onTheWay[i].isDone = true
    counters.consumed += 1
    dropDone()
    return true
  }

  /// The link broke: everything handed out and not consumed is handed out again, in order.
  public func rewind() {
    handedOut = 0
    dropDone()
  }

  /// The last record handed out could not be sent after all; it is the next one again.
  public func putBack() {
    if handedOut > 0 { handedOut -= 1 }
  }

  func dropDone() {
    while !onTheWay.isEmpty, onTheWay[0].isDone {
      onTheWay.removeFirst()
      if handedOut > 0 { handedOut -= 1 }
    }
    dropPlacedIfConsumed()
  }

  /// Without a medium a batch is done when all of it is consumed, and its place is free again.
  func dropPlacedIfConsumed() {
    guard health != .stored, !isWriting, !placed.isEmpty, tail.sequence > placed.lastSequence else { return }
    settledSequence = placed.lastSequence
    placed.removeAll()
    head = committed
    cursor = committed
  }

  /// For tests and the simulator: traps when the invariant is broken.
  public func checkInvariants() {
    precondition(reclaimed <= tail.position && tail.position <= cursor)
    precondition(cursor <= offerEnd && offerEnd <= head && committed <= head)
    precondition(head - reclaimed <= dataBytes)
    precondition(filling.used <= parameters.batchBytes && placed.used <= parameters.batchBytes)
    precondition(filling.isEmpty || filling.lastSequence == nextSequence - 1)
    precondition(placed.isEmpty ? committed == head : placedAt + rounded(placed.used) == head)
    precondition(settledSequence < nextSequence && cursorSequence <= nextSequence)
    precondition(handedOut <= onTheWay.count)
    for i in 1..<max(1, onTheWay.count) {
      precondition(onTheWay[i - 1].sequence < onTheWay[i].sequence)
      precondition(onTheWay[i - 1].position < onTheWay[i].position)
    }
    if !onTheWay.isEmpty {
      precondition(!onTheWay[0].isDone && onTheWay[onTheWay.count - 1].sequence < cursorSequence)
      precondition(onTheWay[onTheWay.count - 1].sequence - onTheWay[0].sequence < parameters.spanSequences)
    }
  }
}

/// Records being gathered, as they will lie on the medium.
struct Batch: ~Copyable {
  let memory: UnsafeMutableRawBufferPointer
  var used = 0
  var firstSequence: UInt64 = 0
  var lastSequence: UInt64 = 0

  init(capacity: Int) { memory = .allocate(byteCount: capacity, alignment: 16) }
  deinit { memory.deallocate() }

  var isEmpty: Bool { used == 0 }
  mutating func removeAll() { used = 0 }
}

/// A record handed out.
struct OnTheWay {
  var position: UInt64 = 0
  var sequence: UInt64 = 0
  var isDone = false
}

/// The first-in first-out table of records handed out.
struct WayTable {
  static let capacity = 64
  private var slots = InlineArray<64, OnTheWay>(repeating: OnTheWay())
  private var first = 0
  private(set) var count = 0

  var isEmpty: Bool { count == 0 }

  subscript(index: Int) -> OnTheWay {
    get { slots[(first + index) & 63] }
    set { slots[(first + index) & 63] = newValue }
  }

  mutating func append(_ entry: OnTheWay) {
    precondition(count < WayTable.capacity)
    slots[(first + count) & 63] = entry
    count += 1
  }

  mutating func removeFirst() {
    first = (first + 1) & 63
    count -= 1
  }

  mutating func removeAll() { count = 0 }

  func index(of sequence: UInt64) -> Int? {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if self[middle].sequence < sequence { low = middle + 1 } else { high = middle }
    }
    return low < count && self[low].sequence == sequence ? low : nil
  }
}

/// What has to be read before the next record can be handed out.
struct Wanted {
  var position: UInt64
  var bytes: Int
  /// The least that would help; less than `bytes` is read after a failure.
  var least: Int
}
