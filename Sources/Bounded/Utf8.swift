/// The length of the well-formed multi-byte UTF-8 sequence at `index` (RFC 3629), or 0.
public func utf8SequenceLength(_ span: RawSpan, at index: Int) -> Int {
  let first = span[index]
  var low: UInt8 = 0x80
  var high: UInt8 = 0xBF
  let length: Int
  switch first {
  case 0x00..<0x80: return 1
  case 0xC2..<0xE0: length = 2
  case 0xE0: length = 3; low = 0xA0
  case 0xED: length = 3; high = 0x9F
  case 0xE1..<0xF0: length = 3
  case 0xF0: length = 4; low = 0x90
  case 0xF4: length = 4; high = 0x8F
  case 0xF1..<0xF4: length = 4
  default: return 0
  }
  guard index + length <= span.byteCount else { return 0 }
  guard span[index + 1] >= low, span[index + 1] <= high else { return 0 }
  for i in 2..<max(2, length) where span[index + i] & 0xC0 != 0x80 { return 0 }
  return length
}

/// The Unicode scalar whose well-formed sequence of `length` bytes is at `index`.
public func utf8Scalar(_ span: RawSpan, at index: Int, length: Int) -> UInt32 {
  guard length > 1 else { return UInt32(span[index]) }
  var scalar = UInt32(span[index] & (0x7F >> UInt8(length)))
  for i in 1..<length { scalar = scalar << 6 | UInt32(span[index + i] & 0x3F) }
  return scalar
}

extension TextBuffer {
  /// A Unicode scalar as UTF-8.
  public mutating func append(scalar: UInt32) {
    func following(_ shift: UInt32) -> UInt8 { UInt8(0x80 | scalar >> shift & 0x3F) }
    switch scalar {
    case ..<0x80: append(byte: UInt8(scalar))
    case ..<0x800:
      append(byte: UInt8(0xC0 | scalar >> 6))
      append(byte: following(0))
    case ..<0x1_0000:
      append(byte: UInt8(0xE0 | scalar >> 12))
      append(byte: following(6))
      append(byte: following(0))
    default:
      append(byte: UInt8(0xF0 | scalar >> 18 & 7))
      append(byte: following(12))
      append(byte: following(6))
      append(byte: following(0))
    }
  }
}
