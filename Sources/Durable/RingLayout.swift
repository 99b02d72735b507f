import Bounded

/// Sizes and times of one ring. Bytes and milliseconds. `isSound` holds the relations between them.
public struct RingParameters: Equatable, Sendable {
  /// The whole file, fixed for its life.
  public var fileBytes: UInt32 = 4 << 20
  /// What the medium may spoil around a write that was cut off: every batch begins on its own block.
  public var blockBytes: UInt32 = 512
  /// One checkpoint; the head of the file takes as much.
  public var slotBytes: UInt32 = 4_096
  /// The longest body of a record.
  public var bodyBytes = 16_448
  /// Records gathered for one write. Two such buffers exist.
  public var batchBytes = 32_768
  /// Bytes read at a time when records are handed out.
  public var readBytes = 20_480
  /// How long a record may wait for others to share its write.
  public var gatherMs: UInt64 = 5
  /// How long consumption may go unrecorded while nothing forces it.
  public var checkpointMs: UInt64 = 60_000
  /// How soon a failed write is tried again.
  public var retryMs: UInt64 = 60_000
  /// Records handed out whose sequences lie further apart than this must not exist: it is the reach of
  /// the receivers' duplicate windows. `.max` where nobody outside sees the sequences.
  public var spanSequences: UInt64 = DuplicateWindowLimits.reach
  /// Records handed out and not consumed, at most.
  public var wayRecords = 64
  /// What the file may give out. Where two rings of one sender share receivers, no number is that of both.
  public var sequences: Range<UInt64> = 0..<(1 << 63)

  public init() {}

  public var dataOffset: UInt64 { 3 * UInt64(slotBytes) }
  public var dataBytes: UInt64 {
    let all = UInt64(fileBytes) - dataOffset
    return all - all % UInt64(blockBytes)
  }
  /// Room for the owner's bytes in a checkpoint.
  public var userBytes: Int { Int(slotBytes) - RingFormat.slotFixedBytes }

  public var isSound: Bool {
    guard blockBytes >= 512, blockBytes <= 65_536, blockBytes & (blockBytes - 1) == 0 else { return false }
    guard slotBytes >= blockBytes, slotBytes % blockBytes == 0, slotBytes <= 65_536 else { return false }
    guard fileBytes <= 1 << 30, UInt64(fileBytes) > dataOffset else { return false }
    guard bodyBytes > 0, batchBytes >= RingFormat.recordBytes(bodyBytes) else { return false }
    guard batchBytes % Int(blockBytes) == 0, readBytes % Int(blockBytes) == 0 else { return false }
    guard wayRecords > 0, wayRecords <= WayTable.capacity else { return false }
    // The upper half of a sequence counts openings.
    guard (sequences.lowerBound | sequences.upperBound) << 32 == 0, !sequences.isEmpty,
      sequences.upperBound <= RingFormat.sequenceLimit
    else { return false }
    guard readBytes >= RingFormat.recordBytes(bodyBytes), readBytes >= Int(slotBytes) else { return false }
    // An empty ring takes the largest batch wherever its head stands.
    return dataBytes >= 2 * UInt64(batchBytes) + UInt64(blockBytes) && spanSequences > 0
  }
}

/// A record found in memory.
struct FoundRecord {
  let sequence: UInt64
  let kind: UInt8
  let flags: UInt8
  let bodyBytes: Int
  /// With head and padding.
  let bytes: Int
}

enum FoundThing {
  case record(FoundRecord)
  /// A record's head, and not the bytes it was written with.
  case damaged(sequence: UInt64)
  /// A plausible head whose record ends outside: this many bytes are needed.
  case cut(bytes: Int, sequence: UInt64)
  case nothing
}

/// The file, to the byte (docs/reliability.md). Numbers are in network byte order.
enum RingFormat {
  /// magic u32, CRC u32, sequence u64, length u32, kind u8, flags u8, zero u16
  static let recordHeadBytes = 24
  static let recordMagic: UInt32 = 0x534B_5952
  /// Records begin at multiples of this.
  static let step = 8
  static let headMagic: UInt64 = 0x534B_5952_494E_4731
  static let slotMagic: UInt64 = 0x534B_5952_434B_5054
  static let version: UInt32 = 1
  /// Sequences, positions and serials from here on were never given out: sums of them cannot overflow.
  static let sequenceLimit: UInt64 = 1 << 63
  /// magic u64, version u32, file u32, block u32, slot u32, stream u64, salt u32, CRC u32
  static let headBytes = 40
  /// magic u64, serial u64, tail sequence u64, tail position u64, next sequence u64, stream u64,
  /// salt u32, user length u32; then the user's bytes; the last four bytes of the slot are its CRC
  static let slotHeadBytes = 56
  static let slotFixedBytes = slotHeadBytes + 4

  static func recordBytes(_ bodyBytes: Int) -> Int { (recordHeadBytes + bodyBytes + step - 1) & ~(step - 1) }

  static func writeRecord(
    _ at: UnsafeMutableRawPointer, sequence: UInt64, kind: UInt8, flags: UInt8, body: RawSpan, salt: UInt32
  ) {
    at.put(recordMagic, 0)
    at.put(sequence, 8)
    at.put(UInt32(body.byteCount), 16)
    at.put(kind, 20)
    at.put(flags, 21)
    at.put(UInt16(0), 22)
    body.withUnsafeBytes { from in
      if let base = from.baseAddress { (at + recordHeadBytes).copyMemory(from: base, byteCount: from.count) }
    }
    let end = recordHeadBytes + body.byteCount
    let padded = recordBytes(body.byteCount)
    if padded > end { (at + end).initializeMemory(as: UInt8.self, repeating: 0, count: padded - end) }
    at.put(Crc32c.checksum(UnsafeRawPointer(at + 8), end - 8, seed: salt), 4)
  }

  /// What lies at `at`, of which `available` bytes may be looked at.
  static func findRecord(
    _ at: UnsafeRawPointer, available: Int, bodyLimit: Int, salt: UInt32
  ) -> FoundThing {
    guard available >= recordHeadBytes, at.big(0, UInt32.self) == recordMagic else { return .nothing }
    let sequence = at.big(8, UInt64.self)
    let length = at.big(16, UInt32.self)
    guard length <= UInt32(bodyLimit), at.big(22, UInt16.self) == 0 else { return .damaged(sequence: sequence) }
    let bytes = recordBytes(Int(length))
    guard bytes <= available else { return .cut(bytes: bytes, sequence: sequence) }
    let sum = Crc32c.checksum(at + 8, recordHeadBytes - 8 + Int(length), seed: salt)
    guard sum == at.big(4, UInt32.self) else { return .damaged(sequence: sequence) }
    return .record(
      FoundRecord(
        sequence: sequence, kind: at.big(20, UInt8.self), flags: at.big(21, UInt8.self), bodyBytes: Int(length),
        bytes: bytes))
  }
}

/// The head of the file. The stream names this file's sequence numbers to receivers; the salt starts
/// every record's CRC, so that nobody who does not know it can put a record into a body.
struct RingHead: Equatable {
  var fileBytes: UInt32
  var blockBytes: UInt32
  var slotBytes: UInt32
  var stream: UInt64
  var salt: UInt32

  init(_ parameters: RingParameters, stream: UInt64, salt: UInt32) {
    fileBytes = parameters.fileBytes
    blockBytes = parameters.blockBytes
    slotBytes = parameters.slotBytes
    self.stream = stream
    self.salt = salt
  }

  /// Nil when it is none, or a damaged one.
  init?(reading at: UnsafeRawPointer) {
    guard at.big(0, UInt64.self) == RingFormat.headMagic, at.big(8, UInt32.self) == RingFormat.version,
      at.big(36, UInt32.self) == Crc32c.checksum(at, 36)
    else { return nil }
    fileBytes = at.big(12, UInt32.self)
    blockBytes = at.big(16, UInt32.self)
    slotBytes = at.big(20, UInt32.self)
    stream = at.big(24, UInt64.self)
    salt = at.big(32, UInt32.self)
  }

  func write(_ at: UnsafeMutableRawPointer) {
    at.put(RingFormat.headMagic, 0)
    at.put(RingFormat.version, 8)
    at.put(fileBytes, 12)
    at.put(blockBytes, 16)
    at.put(slotBytes, 20)
    at.put(stream, 24)
    at.put(salt, 32)
    at.put(Crc32c.checksum(UnsafeRawPointer(at), 36), 36)
  }
}

/// What a checkpoint says, without the owner's bytes. Two of them take turns.
struct RingSlot: Equatable {
  /// Rises by one with each checkpoint; its lowest bit says which of the two places.
  var serial: UInt64
  /// Everything before it is consumed.
  var tailSequence: UInt64
  /// Where the oldest record not consumed lies; positions count on over the laps.
  var tailPosition: UInt64
  var nextSequence: UInt64
  var stream: UInt64
  var salt: UInt32
  var userBytes: Int

  init(serial: UInt64, tailSequence: UInt64, tailPosition: UInt64, nextSequence: UInt64, stream: UInt64, salt: UInt32) {
    self.serial = serial
    self.tailSequence = tailSequence
    self.tailPosition = tailPosition
    self.nextSequence = nextSequence
    self.stream = stream
    self.salt = salt
    userBytes = 0
  }

  init?(reading at: UnsafeRawPointer, slotBytes: Int) {
    guard at.big(0, UInt64.self) == RingFormat.slotMagic else { return nil }
    let length = at.big(52, UInt32.self)
    guard length <= UInt32(slotBytes - RingFormat.slotFixedBytes) else { return nil }
    let end = slotBytes - 4
    guard at.big(end, UInt32.self) == Crc32c.checksum(at, end) else { return nil }
    serial = at.big(8, UInt64.self)
    tailSequence = at.big(16, UInt64.self)
    tailPosition = at.big(24, UInt64.self)
    nextSequence = at.big(32, UInt64.self)
    stream = at.big(40, UInt64.self)
    salt = at.big(48, UInt32.self)
    userBytes = Int(length)
    let limit = RingFormat.sequenceLimit
    guard serial < limit, tailPosition < limit, nextSequence <= limit, tailSequence <= nextSequence else { return nil }
  }

  /// The owner's bytes are in place already.
  func write(_ at: UnsafeMutableRawPointer, slotBytes: Int) {
    at.put(RingFormat.slotMagic, 0)
    at.put(serial, 8)
    at.put(tailSequence, 16)
    at.put(tailPosition, 24)
    at.put(nextSequence, 32)
    at.put(stream, 40)
    at.put(salt, 48)
    at.put(UInt32(userBytes), 52)
    let used = RingFormat.slotHeadBytes + userBytes
    let end = slotBytes - 4
    (at + used).initializeMemory(as: UInt8.self, repeating: 0, count: end - used)
    at.put(Crc32c.checksum(UnsafeRawPointer(at), end), end)
  }
}
