/// CRC-32C (Castagnoli, RFC 3720 appendix B.4), slicing by eight; at once, or piece by piece.
///
/// Its tables are 8 KiB for the whole program, filled at the first use; nothing is allocated. Not a defence
/// against forgery by who knows the seed.
public struct Crc32c: Sendable {
  private var state: UInt32

  /// `seed` is an earlier result to go on from, or a secret start.
  public init(seed: UInt32 = 0) { state = ~seed }

  public var value: UInt32 { ~state }

  public mutating func add(_ bytes: UnsafeRawPointer, _ count: Int) {
    let tables = Crc32c.tables.span
    var value = state
    var at = bytes
    var left = count
    // What the index is made of keeps it below 8 * 256.
    func entry(_ table: UInt32, _ byte: UInt32) -> UInt32 { tables[unchecked: Int(table << 8 | byte & 0xFF)] }
    while left >= 8 {
      let low = UInt32(littleEndian: at.loadUnaligned(as: UInt32.self)) ^ value
      let high = UInt32(littleEndian: at.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
      value =
        entry(7, low) ^ entry(6, low >> 8) ^ entry(5, low >> 16) ^ entry(4, low >> 24)
        ^ entry(3, high) ^ entry(2, high >> 8) ^ entry(1, high >> 16) ^ entry(0, high >> 24)
      at += 8
      left -= 8
    }
    while left > 0 {
      value = (value >> 8) ^ entry(0, value ^ UInt32(at.load(as: UInt8.self)))
      at += 1
      left -= 1
    }
    state = value
  }

  public mutating func add(_ span: RawSpan) {
    span.withUnsafeBytes { bytes in
      if let start = bytes.baseAddress { add(start, bytes.count) }
    }
  }

  public mutating func add(_ byte: UInt8) {
    state = (state >> 8) ^ Crc32c.tables[Int((state ^ UInt32(byte)) & 0xFF)]
  }

  /// The four bytes of a number, the lowest first.
  public mutating func add(littleEndian value: UInt32) {
    for shift in stride(from: UInt32(0), to: 32, by: 8) { add(UInt8(truncatingIfNeeded: value >> shift)) }
  }

  public static func checksum(_ bytes: UnsafeRawPointer, _ count: Int, seed: UInt32 = 0) -> UInt32 {
    var sum = Crc32c(seed: seed)
    sum.add(bytes, count)
    return sum.value
  }

  public static func checksum(_ span: RawSpan) -> UInt32 {
    var sum = Crc32c()
    sum.add(span)
    return sum.value
  }

  // MARK: tables

  /// The polynomial 0x1EDC6F41, bits reversed.
  private static let polynomial: UInt32 = 0x82F6_3B78
  /// Eight tables of 256: what a byte does when it is followed by 0 to 7 zero bytes.
  private static let tables = InlineArray<2048, UInt32> { index in
    var value = UInt32(index & 0xFF)
    for _ in 0..<(8 * (index / 256 + 1)) { value = (value >> 1) ^ (value & 1 == 1 ? polynomial : 0) }
    return value
  }
}
