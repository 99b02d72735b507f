import CKernels

/// Stored numbers to floats, in the order of operations of the format's reference, so that the results are the
/// same to the bit. For rows of embeddings and for tests; products use the kernels.
public enum Dequantise {
  /// `count` numbers from the start of a row; a multiple of the type's block.
  public static func row(
    _ from: UnsafeRawPointer, _ type: TensorType, _ count: Int, into out: UnsafeMutablePointer<Float>
  ) {
    switch type {
    case .f32: for i in 0..<count { out[i] = from.loadUnaligned(fromByteOffset: 4 * i, as: Float.self) }
    case .f16: for i in 0..<count { out[i] = half(from, 2 * i) }
    default:
      for block in 0..<(count / type.blockCount) {
        let source = from + block * type.blockBytes
        let target = out + block * type.blockCount
        switch type {
        case .q4_0: q4_0(source, target)
        case .q4_1: q4_1(source, target)
        case .q5_0: q5_0(source, target)
        case .q8_0: q8_0(source, target)
        case .q4_K: q4_K(source, target)
        default: q6_K(source, target)
        }
      }
    }
  }

  /// Half precision (IEEE 754 binary16) to float.
  @inline(__always) static func half(_ bits: UInt16) -> Float {
    let magnitude = Float(bitPattern: UInt32(bits & 0x7FFF) &<< 13) * 0x1p112
    var result = magnitude.bitPattern
    if bits & 0x7C00 == 0x7C00 { result |= 0x7F80_0000 }
    return Float(bitPattern: result | UInt32(bits & 0x8000) &<< 16)
  }

  @inline(__always) private static func half(_ from: UnsafeRawPointer, _ offset: Int) -> Float {
    half(from.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  @inline(__always) private static func byte(_ from: UnsafeRawPointer, _ offset: Int) -> UInt8 {
    from.load(fromByteOffset: offset, as: UInt8.self)
  }

  private static func q4_0(_ from: UnsafeRawPointer, _ out: UnsafeMutablePointer<Float>) {
    let d = half(from, 0)
    for i in 0..<16 {
      let pair = Int32(byte(from, 2 + i))
      out[i] = d * Float((pair & 15) - 8)
      out[16 + i] = d * Float((pair >> 4) - 8)
    }
  }

  private static func q4_1(_ from: UnsafeRawPointer, _ out: UnsafeMutablePointer<Float>) {
    let d = half(from, 0)
    let m = half(from, 2)
    for i in 0..<16 {
      let pair = byte(from, 4 + i)
      out[i] = d * Float(pair & 15) + m
      out[16 + i] = d * Float(pair >> 4) + m
    }
  }

  private static func q5_0(_ from: UnsafeRawPointer, _ out: UnsafeMutablePointer<Float>) {
    let d = half(from, 0)
    let high = from.loadUnaligned(fromByteOffset: 2, as: UInt32.self)
    for i in 0..<16 {
      let pair = Int32(byte(from, 6 + i))
      let low = pair & 15 | Int32(high &>> UInt32(i) & 1) << 4
      let upper = pair >> 4 | Int32(high &>> UInt32(16 + i) & 1) << 4
      out[i] = d * Float(low - 16)
      out[16 + i] = d * Float(upper - 16)
    }
  }

  private static func q8_0(_ from: UnsafeRawPointer, _ out: UnsafeMutablePointer<Float>) {
    let d = half(from, 0)
    for i in 0..<32 { out[i] = d * Float(Int8(bitPattern: byte(from, 2 + i))) }
  }

  /// Scale and minimum of one of a block's eight parts, 6 bits each.
  static func scaleAndMinimum(_ from: UnsafeRawPointer, _ part: Int) -> (scale: UInt8, minimum: UInt8) {
    if part < 4 { return (byte(from, part) & 63, byte(from, part + 4) & 63) }
    let both = byte(from, part + 4)
    return (both & 15 | (byte(from, part - 4) >> 6) << 4, both >> 4 | (byte(from, part) >> 6) << 4)
  }

  private static func q4_K(_ from: UnsafeRawPointer, _ out: UnsafeMutablePointer<Float>) {
    let d = half(from, 0)
    let least = half(from, 2)
    for part in 0..<8 {
      let (scale, minimum) = scaleAndMinimum(from + 4, part)
      let factor = d * Float(scale)
      let offset = least * Float(minimum)
      for i in 0..<32 {
        let pair = byte(from, 16 + 32 * (part / 2) + i)
        out[32 * part + i] = factor * Float(part & 1 == 0 ? pair & 15 : pair >> 4) - offset
      }
    }
  }

  private static func q6_K(_ from: UnsafeRawPointer, _ out: UnsafeMutablePointer<Float>) {
    let d = half(from, 208)
    for part in 0..<8 {
      let half = part / 4
      let quarter = part % 4
      for i in 0..<32 {
        let pair = byte(from, 64 * half + 32 * (quarter & 1) + i)
        let high = byte(from, 128 + 32 * half + i) >> UInt8(2 * quarter) & 3
        let number = Int32(quarter < 2 ? pair & 15 : pair >> 4) | Int32(high) << 4
        let scale = Int8(bitPattern: byte(from, 192 + 8 * half + 2 * quarter + i / 16))
        out[32 * part + i] = d * Float(scale) * Float(number - 32)
      }
    }
  }
}
