/// CRC-32C (Castagnoli, RFC 3720 appendix B.4), slicing by eight; at once, or piece by piece.
///
/// Its tables are 8 KiB for the whole program, made at the first use: the only allocation. Not a defence
/// against forgery by who knows the seed.
public struct Crc32c: Sendable {
  private var state: UInt32

  /// `seed` is an earlier result to go on from, or a secret start.
  public init(seed: UInt32 = 0) { state = ~seed }

  public var value: UInt32 { ~state }

  public mutating func add(_ bytes: UnsafeRawPointer, _ count: Int) {
    let tables = Crc32c.tables
    var value = state
    var at = bytes
    var left = count
    while left >= 8 {
      let low = UInt32(littleEndian: at.loadUnaligned(as: UInt32.self)) ^ value
      let high = UInt32(littleEndian: at.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
      value =
        tables[Int(7 << 8 | low & 0xFF)] ^ tables[Int(6 << 8 | low >> 8 & 0xFF)]
        ^ tables[Int(5 << 8 | low >> 16 & 0xFF)] ^ tables[Int(4 << 8 | low >> 24)]
        ^ tables[Int(3 << 8 | high & 0xFF)] ^ tables[Int(2 << 8 | high >> 8 & 0xFF)]
        ^ tables[Int(1 << 8 | high >> 16 & 0xFF)] ^ tables[Int(high >> 24)]
      at += 8
      left -= 8
    }
    while left > 0 {
      value = (value >> 8) ^ tables[Int((value ^ UInt32(at.load(as: UInt8.self))) & 0xFF)]
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
  // Written once, before anybody gets it.
  private nonisolated(unsafe) static let tables = makeTables()

  private static func makeTables() -> UnsafePointer<UInt32> {
    let tables = UnsafeMutablePointer<UInt32>.allocate(capacity: 8 * 256)
    for i in 0..<256 {
      var value = UInt32(i)
      for _ in 0..<8 { value = value & 1 == 1 ? (value >> 1) ^ polynomial : value >> 1 }
      tables[i] = value
    }
    for i in 256..<(8 * 256) {
      let before = tables[i - 256]
      tables[i] = (before >> 8) ^ tables[Int(before & 0xFF)]
    }
    return UnsafePointer(tables)
  }
}
