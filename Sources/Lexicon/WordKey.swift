/// A word of at most 16 bytes in two registers, the unused bytes zero. What is looked up most of the time
/// never touches memory.
public struct WordKey: Equatable, Sendable {
  public let low: UInt64
  public let high: UInt64
  public let count: Int

  public static let bytesMaximum = 16

  /// `low` and `high` must be zero behind `count` bytes.
  @inline(__always) public init(low: UInt64, high: UInt64, count: Int) {
    self.low = low
    self.high = high
    self.count = count
  }

  /// The `count` bytes (0 to 16) of `span` from `offset`, which must be inside. Reads nothing behind the span.
  @inline(__always) init(_ span: RawSpan, _ offset: Int, _ count: Int) {
    self.count = count
    if offset <= span.byteCount &- Self.bytesMaximum {
      // Half the bits that each half does not use: shifted by in two steps, as 64 is no shift.
      let low = UInt64(truncatingIfNeeded: max(0, 32 &- 4 &* count))
      let high = UInt64(truncatingIfNeeded: min(32, 64 &- 4 &* count))
      self.low = span.u64(offset) & (~0 &>> low) &>> low
      self.high = span.u64(offset &+ 8) & (~0 &>> high) &>> high
    } else if count >= 4 {
      // Four groups of four bytes, each from its place or, where that is too near the end, from the last four:
      // a branch for each length would be foreseen wrongly.
      let last = count &- 4
      let second = min(4, last)
      let third = min(8, last)
      low = UInt64(span.u32(offset)) | Self.moved(span.u32(offset &+ second), 4 &- second) &<< 32
      high =
        Self.moved(span.u32(offset &+ third), 8 &- third)
        | Self.moved(span.u32(offset &+ last), 12 &- last) &<< 32
    } else {
      high = 0
      if count > 0 {
        let middle = count &>> 1
        let last = count &- 1
        low =
          UInt64(span.u8(offset)) | UInt64(span.u8(offset &+ middle)) &<< UInt64(truncatingIfNeeded: 8 &* middle)
          | UInt64(span.u8(offset &+ last)) &<< UInt64(truncatingIfNeeded: 8 &* last)
      } else {
        low = 0
      }
    }
  }

  /// The lowest `count` bytes of eight, 0 to 8. In two steps, as 64 is no shift.
  @inline(__always) static func mask(_ count: Int) -> UInt64 {
    let half = UInt64(truncatingIfNeeded: 4 &* (8 &- count))
    return (~0 &>> half) &>> half
  }

  /// Four bytes without the first `count`; none from 4 on. In two steps, as 64 is no shift.
  @inline(__always) private static func moved(_ bytes: UInt32, _ count: Int) -> UInt64 {
    let half = UInt64(truncatingIfNeeded: 4 &* count)
    return (UInt64(bytes) &>> half) &>> half
  }
}

/// The dictionary's hash. Multiplications of 64 bits only, so that 32-bit boards have it cheaply; not
/// keyed and no defence against chosen words: the perfect hash needs none, each look-up takes one slot.
public enum WordHash {
  @inline(__always) public static func start(_ seed: UInt32) -> UInt64 { UInt64(seed) &* 0xC2B2_AE3D_27D4_EB4F }
  @inline(__always) static func with(_ start: UInt64, _ count: Int) -> UInt64 {
    start ^ (UInt64(truncatingIfNeeded: count) &* 0x9E37_79B9_7F4A_7C15)
  }
  @inline(__always) static func step(_ hash: UInt64, _ word: UInt64) -> UInt64 {
    let product = (hash ^ word) &* 0xD6E8_FEB8_6659_FD93
    return product ^ (product &>> 32)
  }
  @inline(__always) static func finish(_ hash: UInt64) -> UInt64 {
    let product = hash &* 0xE703_7ED1_A0B4_28DB
    return product ^ (product &>> 29)
  }

  @inline(__always) static func of(_ key: WordKey, start: UInt64) -> UInt64 {
    finish(step(step(with(start, key.count), key.low), key.high))
  }

  /// Of the bytes of any word: whole groups of 16 while more than 16 are left, then the rest.
  public static func of(_ word: RawSpan, start: UInt64) -> UInt64 {
    var hash = with(start, word.byteCount)
    var offset = 0
    while word.byteCount - offset > WordKey.bytesMaximum {
      hash = step(step(hash, word.u64(offset)), word.u64(offset + 8))
      offset += WordKey.bytesMaximum
    }
    let rest = WordKey(word, offset, word.byteCount - offset)
    return finish(step(step(hash, rest.low), rest.high))
  }

  /// A number below `limit`, from the upper half of `hash`.
  @inline(__always) static func reduce(_ hash: UInt64, _ limit: UInt32) -> Int {
    Int(truncatingIfNeeded: ((hash &>> 32) &* UInt64(limit)) &>> 32)
  }
  @inline(__always) public static func bucket(_ hash: UInt64, _ buckets: UInt32) -> Int { reduce(hash, buckets) }
  @inline(__always) public static func slot(_ hash: UInt64, pilot: UInt16, _ slots: UInt32) -> Int {
    reduce((hash ^ (UInt64(pilot) &* 0x9E37_79B9_7F4A_7C15)) &* 0xA076_1D64_78BD_642F, slots)
  }
  @inline(__always) public static func fingerprint(_ hash: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: hash) }
}
