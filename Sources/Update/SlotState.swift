import Bounded
import Durable
import SkyCrypto
import Wire

/// The disk that the slots are on.
public protocol SlotStore: BlockStore {
  /// Lets go of what the operating system would answer from memory: it is read from the medium again.
  func forget()
}

/// What the slot that is not the good one holds.
public enum SlotContent: UInt8, Sendable {
  case empty = 0
  /// An update was begun and has not ended.
  case partial = 1
  /// A system that was good once.
  case previous = 2
  /// A whole system that has to prove itself.
  case trial = 3
  /// A whole system that did not.
  case failed = 4

  public var token: StaticString {
    switch self {
    case .empty: "empty"
    case .partial: "partial"
    case .previous: "previous"
    case .trial: "trial"
    case .failed: "failed"
    }
  }
}

/// Which of a disk's two slots is started, and what they hold: a sector of 512 bytes, kept twice.
///
/// `"SKYSLOT1", u64 sequence, u8 good, u8 content of the other, u8 tries, u8 flags, u64 floor, u64 slot bytes, u64 offset
/// of each slot, kernel 32`, then of each slot `u64 release, name 48, digest 32`; zeros up to 508; CRC-32C.
///
/// It is not the update: it says nothing of how far one has come. Invariant: the good slot changes only by
/// `confirm`, and no method makes the other one startable but `activate` and `rollBack`.
public struct SlotState: Equatable, Sendable {
  static let magic: StaticString = "SKYSLOT1"
  private static let fieldBytes =
    8 + 8 + 4 + 8 + 8 + 2 * 8 + Limits.hashBytes + 2 * (8 + Limits.releaseNameBytes + Limits.hashBytes)
  private static let sumOffset = Limits.updateSectorBytes - 4

  public struct Slot: Equatable, Sendable {
    /// Where it begins on the disk.
    public var offset: UInt64
    public var release: UInt64 = 0
    public var name = InlineText<48>("-")!
    /// Of the bundle; zeros for what came with the image.
    public var digest = Bytes32(repeating: 0)

    public init(offset: UInt64) { self.offset = offset }

    public static func == (a: Slot, b: Slot) -> Bool {
      a.offset == b.offset && a.release == b.release && a.name == b.name && equal(a.digest, b.digest)
    }
  }

  public private(set) var sequence: UInt64 = 0
  /// The slot that is started unless the other is on trial.
  public private(set) var good = 0
  public private(set) var content = SlotContent.empty
  /// Starts that a system on trial has left.
  public private(set) var tries: UInt8 = 0
  /// The highest release that was ever confirmed here.
  public private(set) var floor: UInt64 = 0
  public let slotBytes: Int
  /// The SHA-256 of the kernel that the boot loader starts.
  public let kernel: Bytes32
  /// The running kernel cannot start another one on this board.
  public let isKernelFixed: Bool
  public private(set) var slots: InlineArray<2, Slot>

  public var idle: Int { 1 - good }

  /// A new disk: the system is in the first slot and confirmed.
  public init(
    offsets: (UInt64, UInt64), slotBytes: Int, release: UInt64, name: InlineText<48>, kernel: Bytes32,
    isKernelFixed: Bool
  ) {
    slots = [Slot(offset: offsets.0), Slot(offset: offsets.1)]
    slots[0].release = release
    slots[0].name = name
    floor = release
    self.slotBytes = slotBytes
    self.kernel = kernel
    self.isKernelFixed = isKernelFixed
  }

  public static func == (a: SlotState, b: SlotState) -> Bool {
    a.sequence == b.sequence && a.good == b.good && a.content == b.content && a.tries == b.tries && a.floor == b.floor
      && a.slotBytes == b.slotBytes && equal(a.kernel, b.kernel) && a.isKernelFixed == b.isKernelFixed
      && a.slots[0] == b.slots[0] && a.slots[1] == b.slots[1]
  }

  // MARK: What happens to it

  /// The slot to start now; true when that has changed the state, which then must be on the medium first.
  public mutating func choose() -> (slot: Int, changed: Bool) {
    guard content == .trial else { return (good, false) }
    if tries == 0 {
      content = .failed
      return (good, true)
    }
    tries -= 1
    return (idle, true)
  }

  /// From here on the other slot may hold anything.
  mutating func begin(_ manifest: BundleManifest) {
    content = .partial
    tries = 0
    slots[idle].release = manifest.release
    slots[idle].name = manifest.name
    slots[idle].digest = manifest.digest
  }

  mutating func activate() {
    precondition(content == .partial)
    content = .trial
    tries = Limits.updateTries
  }

  /// The system in slot `running` is good. False when that was known.
  public mutating func confirm(running: Int) throws(UpdateError) -> Bool {
    if running == good { return false }
    guard content == .trial else { throw .notOnTrial }
    good = running
    content = .previous
    tries = 0
    floor = max(floor, slots[good].release)
    return true
  }

  /// An update that is not confirmed is given up; else the system before gets another trial.
  public mutating func rollBack() throws(UpdateError) {
    switch content {
    case .trial:
      content = .failed
      tries = 0
    case .previous:
      content = .trial
      tries = Limits.updateTries
    case .empty, .partial, .failed: throw .nothingToRollBack
    }
  }

  // MARK: Bytes

  public init(decoding bytes: RawSpan) throws(DecodeError) {
    var reader = ByteReader(bytes)
    guard bytes.byteCount == Limits.updateSectorBytes, try reader.bytes(8).elementsEqual(Self.magic) else {
      throw .invalid
    }
    let sum = bytes.unsafeLoadUnaligned(fromByteOffset: Self.sumOffset, as: UInt32.self)
    guard UInt32(bigEndian: sum) == Crc32c.checksum(bytes.extracting(0..<Self.sumOffset)) else { throw .invalid }
    sequence = try reader.integer()
    good = Int(try reader.integer(UInt8.self))
    guard good < 2, let content = SlotContent(rawValue: try reader.integer()) else { throw .invalid }
    self.content = content
    tries = try reader.integer()
    let flags: UInt8 = try reader.integer()
    floor = try reader.integer()
    let bytes: UInt64 = try reader.integer()
    slots = [Slot(offset: try reader.integer()), Slot(offset: try reader.integer())]
    // So that sums of them do not overflow.
    guard flags < 2, sequence < 1 << 63, bytes <= 1 << 40, slots[0].offset <= 1 << 48, slots[1].offset <= 1 << 48,
      tries <= Limits.updateTries, content == .trial || tries == 0
    else { throw .invalid }
    slotBytes = Int(truncatingIfNeeded: bytes)
    isKernelFixed = flags == 1
    kernel = try reader.array()
    for i in 0..<2 {
      slots[i].release = try reader.integer()
      slots[i].name = try reader.name()
      slots[i].digest = try reader.array()
    }
    try reader.zeros(Self.sumOffset - Self.fieldBytes)
  }

  /// Appends the 512 bytes.
  public func append(to queue: inout ByteQueue) {
    let start = queue.count
    queue.append(Self.magic)
    queue.append(bigEndian: sequence)
    queue.append(bigEndian: UInt8(good))
    queue.append(bigEndian: content.rawValue)
    queue.append(bigEndian: tries)
    queue.append(bigEndian: UInt8(isKernelFixed ? 1 : 0))
    queue.append(bigEndian: floor)
    queue.append(bigEndian: UInt64(slotBytes))
    for i in 0..<2 { queue.append(bigEndian: slots[i].offset) }
    queue.append(kernel.raw)
    for i in 0..<2 {
      queue.append(bigEndian: slots[i].release)
      queue.append(name: slots[i].name)
      queue.append(slots[i].digest.raw)
    }
    queue.append(zeros: Self.sumOffset - Self.fieldBytes)
    queue.append(bigEndian: Crc32c.checksum(queue.bytes.extracting(start..<queue.count)))
  }

  // MARK: The medium

  /// Before the first partition of every image, far enough behind the boot loaders that lie there, and a mebibyte
  /// apart: a medium that loses what lies around an interrupted write does not lose both.
  public static let places: InlineArray<2, UInt64> = [14 << 20, 15 << 20]

  /// The newest copy that is whole.
  public static func read<Store: BlockStore>(_ store: Store) throws(UpdateError) -> SlotState {
    var found: SlotState?
    var sector = InlineArray<512, UInt8>(repeating: 0)
    for i in 0..<2 {
      let error = withUnsafeMutableBytes(of: &sector) { store.read(at: places[i], into: $0) }
      guard error == 0, let state = try? SlotState(decoding: sector.span.bytes) else { continue }
      if state.sequence >= found?.sequence ?? 0 { found = state }
    }
    guard let found else { throw .noState }
    return found
  }

  /// Replaces the older copy; the newer one stays until this one is on the medium.
  public mutating func write<Store: BlockStore>(_ store: Store) throws(UpdateError) {
    sequence += 1
    var queue = ByteQueue(capacity: Limits.updateSectorBytes)
    append(to: &queue)
    let place = Self.places[Int(sequence & 1)]
    guard queue.bytes.withUnsafeBytes({ store.write(at: place, $0) }) == 0, store.sync() == 0 else { throw .ioFailed }
  }

  /// Both copies, for a disk that has none yet.
  public mutating func format<Store: BlockStore>(_ store: Store) throws(UpdateError) {
    try write(store)
    try write(store)
  }
}
