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

  /// The `count` bytes (1 to 16) of `span` from `offset`, which must be inside. Reads nothing behind the span.
  @inline(__always) init(_ span: RawSpan, _ offset: Int, _ count: Int) {
    if offset <= span.byteCount &- Self.bytesMaximum {
      self.init(farFromEnd: span, offset, count)
    } else if count >= 4 {
      // Four groups of four bytes, each from its place or, where that is too near the end, from the last four:
      // a branch for each length would be foreseen wrongly.
      let last = count &- 4
      let second = min(4, last)
      let third = min(8, last)
      self.init(
        low: UInt64(span.u32(offset)) | Self.moved(span.u32(offset &+ second), 4 &- second) &<< 32,
        high: Self.moved(span.u32(offset &+ third), 8 &- third)
          | Self.moved(span.u32(offset &+ last), 12 &- last) &<< 32,
        count: count)
    } else {
      let middle = count &>> 1
      let last = count &- 1
      self.init(
        low: UInt64(span.u8(offset)) | UInt64(span.u8(offset &+ middle)) &<< UInt64(truncatingIfNeeded: 8 &* middle)
          | UInt64(span.u8(offset &+ last)) &<< UInt64(truncatingIfNeeded: 8 &* last),
        high: 0, count: count)
    }
  }

  /// The same where 16 bytes can be read.
  @inline(__always) init(farFromEnd span: RawSpan, _ offset: Int, _ count: Int) {
    // The half in which the word ends loses what is behind it. Which one that is becomes a mask: a branch would be
    // foreseen wrongly.
    let last = (count &- 1) & 8
    let unused = UInt64(truncatingIfNeeded: -8 &* count)
    let rest = (span.u64(offset &+ last) &<< unused) &>> unused
    let isLong = UInt64(truncatingIfNeeded: 0 &- last &>> 3)
    self.init(low: rest ^ (rest ^ span.u64(offset)) & isLong, high: rest & isLong, count: count)
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

extension WordKey {
  /// `high` with the length in its uppermost byte, which only a word of 16 bytes has a byte of its own in.
  @inline(__always) var sizedHigh: UInt64 { high ^ (UInt64(truncatingIfNeeded: count) &<< 56) }
}

/// The dictionary's hash: one multiplication to 128 bits for each 16 bytes, and one for the slot. Not keyed and no
/// defence against chosen words: the perfect hash needs none, each look-up takes one slot.
public enum WordHash {
  @inline(__always) public static func start(_ seed: UInt32) -> UInt64 { UInt64(seed) &* 0xC2B2_AE3D_27D4_EB4F }

  /// The two halves of the product, one upon the other.
  @inline(__always) private static func folded(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.high ^ product.low
  }
  @inline(__always) private static func step(_ hash: UInt64, _ low: UInt64, _ high: UInt64) -> UInt64 {
    folded(hash ^ low, high ^ 0x9E37_79B9_7F4A_7C15)
  }

  @inline(__always) static func of(_ key: WordKey, start: UInt64) -> UInt64 { step(start, key.low, key.sizedHigh) }

  /// Of the bytes of any word, which is not empty: whole groups of 16 while more than 16 are left, then the rest.
  public static func of(_ word: RawSpan, start: UInt64) -> UInt64 { of(0..<word.byteCount, in: word, start: start) }

  /// The same of a word that is inside a text.
  @inline(__always) static func of(_ place: Range<Int>, in text: RawSpan, start: UInt64) -> UInt64 {
    var hash = start
    var offset = place.lowerBound
    while place.upperBound &- offset > WordKey.bytesMaximum {
      hash = step(hash, text.u64(offset), text.u64(offset &+ 8))
      offset &+= WordKey.bytesMaximum
    }
    return of(WordKey(text, offset, place.upperBound &- offset), start: hash)
  }

  /// A number below `limit`, from the uppermost bits of `hash`.
  @inline(__always) static func reduce(_ hash: UInt64, _ limit: UInt32) -> Int {
    Int(truncatingIfNeeded: hash.multipliedFullWidth(by: UInt64(limit)).high)
  }
  @inline(__always) public static func bucket(_ hash: UInt64, _ buckets: UInt32) -> Int { reduce(hash, buckets) }
  /// The pilot changes the lowest bits, which the words of a bucket do not share.
  @inline(__always) public static func slot(_ hash: UInt64, pilot: UInt16, _ slots: UInt32) -> Int {
    reduce((hash ^ UInt64(pilot)) &* 0xA076_1D64_78BD_642F, slots)
  }
  @inline(__always) public static func fingerprint(_ hash: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: hash) }
}
