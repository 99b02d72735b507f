/// CRC-32C (Castagnoli; RFC 3720, appendix B.4), bit by bit: no table, and fast enough for what is checked
/// once, when a file arrives.
public struct Checksum: Sendable {
  private var state: UInt32 = 0xFFFF_FFFF

  public init() {}

  public var value: UInt32 { ~state }

  public mutating func add(_ byte: UInt8) {
    state ^= UInt32(byte)
    for _ in 0..<8 { state = (state &>> 1) ^ (0x82F6_3B78 & (0 &- (state & 1))) }
  }

  public mutating func add(_ span: RawSpan) {
    for i in 0..<span.byteCount { add(span.unsafeLoad(fromByteOffset: i, as: UInt8.self)) }
  }

  /// Little-endian, as the file has it.
  public mutating func add(_ value: UInt32) {
    var left = value
    for _ in 0..<4 {
      add(UInt8(truncatingIfNeeded: left))
      left &>>= 8
    }
  }

  public static func of(_ span: RawSpan) -> UInt32 {
    var sum = Checksum()
    sum.add(span)
    return sum.value
  }
}
