import Bounded

public enum DuplicateWindowLimits {
  /// How far behind a source's newest sequence one is still told new from old. Whoever sends keeps what
  /// it has on the way within this, so that what is older was certainly seen.
  public static let reach: UInt64 = 256
  /// Bytes of one source: name u64, newest u64, 256 bits.
  static let sourceBytes = 48
  /// magic u32, count u32 in front, CRC u32 behind.
  static let fixedBytes = 12
  static let magic: UInt32 = 0x534B_5957
}

/// What a duplicate window says of a message.
public enum Novelty: Equatable, Sendable {
  case new
  case duplicate
  /// Further behind than the window reaches: by the sender's duty it was seen.
  case tooOld
  /// A source never seen, and no place that may be given up: not to be acknowledged.
  case noRoom
}

/// Which messages were seen, by source and sequence: for each source the newest sequence and one bit for
/// each of the 256 up to it.
///
/// It is no proof against a source that breaks the rule of `reach`, and it knows at most `sources` of
/// them; one that was silent for `keepMs` gives up its place to a newcomer, and what it sends a second
/// time after that counts as new.
///
/// Invariant: sources differ; the bit of each newest sequence is set; unused places are zero.
public struct DuplicateWindow<let sources: Int>: ~Copyable {
  private struct Entry {
    var source: UInt64 = 0
    var newest: UInt64 = 0
    /// Bit `b` of word `w`: sequence `newest - (64 w + b)` was seen. No bits: the place is free.
    var seen = InlineArray<4, UInt64>(repeating: 0)
    var usedAt = Instant(ms: 0)

    var isFree: Bool { seen[0] & 1 == 0 }
  }

  /// Not inline: a window is too large to be moved about.
  private let entries: UnsafeMutablePointer<Entry>
  private let keepMs: UInt64
  public private(set) var count = 0
  /// Sources forgotten to make room.
  public private(set) var evictions: UInt64 = 0

  /// Bytes of `encode`.
  public static var encodedBytes: Int {
    DuplicateWindowLimits.fixedBytes + sources * DuplicateWindowLimits.sourceBytes
  }

  public init(keepMs: UInt64) {
    self.keepMs = keepMs
    entries = .allocate(capacity: sources)
    entries.initialize(repeating: Entry(), count: sources)
  }

  deinit { entries.deallocate() }

  /// What `insert` would say.
  public func novelty(source: UInt64, sequence: UInt64, now: Instant) -> Novelty {
    guard let i = place(of: source) else { return placeToGive(now) == nil ? .noRoom : .new }
    let newest = entries[i].newest
    if sequence > newest { return .new }
    let behind = newest - sequence
    guard behind < DuplicateWindowLimits.reach else { return .tooOld }
    return entries[i].seen[Int(behind >> 6)] >> (behind & 63) & 1 == 1 ? .duplicate : .new
  }

  /// Notes a message as seen; changes nothing unless it is new.
  @discardableResult
  public mutating func insert(source: UInt64, sequence: UInt64, now: Instant) -> Novelty {
    let verdict = novelty(source: source, sequence: sequence, now: now)
    guard verdict == .new else {
      if let i = place(of: source) { entries[i].usedAt = now }
      return verdict
    }
    guard let i = place(of: source) else {
      let i = placeToGive(now)!
      if entries[i].isFree { count += 1 } else { evictions += 1 }
      entries[i] = Entry(source: source, newest: sequence, usedAt: now)
      entries[i].seen[0] = 1
      return .new
    }
    entries[i].usedAt = now
    if sequence > entries[i].newest {
      shift(i, by: sequence - entries[i].newest)
      entries[i].newest = sequence
      entries[i].seen[0] |= 1
    } else {
      let behind = entries[i].newest - sequence
      entries[i].seen[Int(behind >> 6)] |= 1 << (behind & 63)
    }
    return .new
  }

  /// Forgets a source: it began anew.
  public mutating func forget(source: UInt64) {
    guard let i = place(of: source) else { return }
    entries[i] = Entry()
    count -= 1
  }

  public mutating func removeAll() {
    for i in 0..<sources { entries[i] = Entry() }
    count = 0
  }

  private func place(of source: UInt64) -> Int? {
    for i in 0..<sources where entries[i].source == source && !entries[i].isFree { return i }
    return nil
  }

  /// A free place, or that of the source silent the longest if it was long enough.
  private func placeToGive(_ now: Instant) -> Int? {
    var oldest = 0
    for i in 0..<sources {
      if entries[i].isFree { return i }
      if entries[i].usedAt < entries[oldest].usedAt { oldest = i }
    }
    return now.since(entries[oldest].usedAt) >= keepMs ? oldest : nil
  }

  private mutating func shift(_ i: Int, by distance: UInt64) {
    guard distance < DuplicateWindowLimits.reach else {
      entries[i].seen = InlineArray(repeating: 0)
      return
    }
    let words = Int(distance >> 6)
    let bits = distance & 63
    for w in stride(from: 3, through: 0, by: -1) {
      var value: UInt64 = 0
      if w >= words {
        value = entries[i].seen[w - words] << bits
        if bits > 0, w > words { value |= entries[i].seen[w - words - 1] >> (64 - bits) }
      }
      entries[i].seen[w] = value
    }
  }

  // MARK: Persistence

  /// Writes exactly `encodedBytes` bytes.
  public func encode(into memory: UnsafeMutableRawBufferPointer) {
    precondition(memory.count >= Self.encodedBytes)
    let at = memory.baseAddress!
    at.put(DuplicateWindowLimits.magic, 0)
    at.put(UInt32(count), 4)
    var offset = 8
    for i in 0..<sources where !entries[i].isFree {
      at.put(entries[i].source, offset)
      at.put(entries[i].newest, offset + 8)
      for w in 0..<4 { at.put(entries[i].seen[w], offset + 16 + 8 * w) }
      offset += DuplicateWindowLimits.sourceBytes
    }
    let end = Self.encodedBytes - 4
    (at + offset).initializeMemory(as: UInt8.self, repeating: 0, count: end - offset)
    at.put(Crc32c.checksum(UnsafeRawPointer(at), end), end)
  }

  /// Replaces the content by what `encode` wrote. False, and empty, when the bytes are not such. Every
  /// source counts as heard at `now`.
  @discardableResult
  public mutating func decode(_ bytes: UnsafeRawBufferPointer, now: Instant) -> Bool {
    removeAll()
    let end = Self.encodedBytes - 4
    guard bytes.count == Self.encodedBytes, let at = bytes.baseAddress,
      at.big(0, UInt32.self) == DuplicateWindowLimits.magic, at.big(end, UInt32.self) == Crc32c.checksum(at, end)
    else { return false }
    let stored = at.big(4, UInt32.self)
    guard stored <= UInt32(sources) else { return false }
    for i in 0..<Int(stored) {
      let offset = 8 + i * DuplicateWindowLimits.sourceBytes
      var entry = Entry(source: at.big(offset), newest: at.big(offset + 8), usedAt: now)
      for w in 0..<4 { entry.seen[w] = at.big(offset + 16 + 8 * w) }
      guard !entry.isFree, place(of: entry.source) == nil else {
        removeAll()
        return false
      }
      entries[i] = entry
      count += 1
    }
    return true
  }

  /// For tests and the simulator: traps when the invariant is broken.
  public func checkInvariants() {
    var used = 0
    for i in 0..<sources {
      if entries[i].isFree {
        precondition(entries[i].source == 0 && entries[i].newest == 0)
        for w in 0..<4 { precondition(entries[i].seen[w] == 0) }
        continue
      }
      used += 1
      for j in 0..<i { precondition(entries[j].isFree || entries[j].source != entries[i].source) }
    }
    precondition(used == count)
  }
}
