/// How a tensor's numbers are stored. Raw values are those of GGUF.
public enum TensorType: UInt32, Sendable, CaseIterable {
  case f32 = 0
  case f16 = 1
  case q4_0 = 2
  case q4_1 = 3
  case q5_0 = 6
  case q8_0 = 8
  case q4_K = 12
  case q6_K = 14

  /// Numbers that are stored together.
  public var blockCount: Int {
    switch self {
    case .f32, .f16: 1
    case .q4_0, .q4_1, .q5_0, .q8_0: 32
    case .q4_K, .q6_K: 256
    }
  }

  public var blockBytes: Int {
    switch self {
    case .f32: 4
    case .f16: 2
    case .q4_0: 18
    case .q4_1: 20
    case .q5_0: 22
    case .q8_0: 34
    case .q4_K: 144
    case .q6_K: 210
    }
  }

  public var isQuantised: Bool { blockCount > 1 }

  public var name: StaticString {
    switch self {
    case .f32: "F32"
    case .f16: "F16"
    case .q4_0: "Q4_0"
    case .q4_1: "Q4_1"
    case .q5_0: "Q5_0"
    case .q8_0: "Q8_0"
    case .q4_K: "Q4_K"
    case .q6_K: "Q6_K"
    }
  }
}

/// A tensor of a mapped file: rows of numbers, one after the other.
///
/// Not an owner: the file must stay mapped. Invariant: `rows * rowBytes` bytes from `start` are inside the file.
public struct Tensor {
  public let type: TensorType
  public let start: UnsafeRawPointer
  /// Numbers in a row.
  public let columns: Int
  public let rows: Int
  public let rowBytes: Int

  public func row(_ index: Int) -> UnsafeRawPointer { start + index * rowBytes }
  public var byteCount: Int { rows * rowBytes }
}
