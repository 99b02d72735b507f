/// One piece of memory, given at load, from which everything that a model needs is taken once.
///
/// Not a heap: nothing is given back. Without memory it only counts: so the size is known before it is asked for.
public struct Arena {
  private let start: UnsafeMutableRawPointer?
  public private(set) var used = 0
  private let capacity: Int

  /// Only counts. What it gives must not be touched.
  public init() {
    start = nil
    capacity = .max
  }

  /// `memory` is aligned to 64 bytes and zero.
  public init(_ memory: UnsafeMutableRawBufferPointer) {
    start = memory.baseAddress
    capacity = memory.count
  }

  public var isCounting: Bool { start == nil }

  /// Room for `count` values, at a cache line's start.
  public mutating func take<T>(_ count: Int, of _: T.Type = T.self) throws(InferenceError) -> UnsafeMutablePointer<T> {
    let (bytes, overflows) = max(1, count).multipliedReportingOverflow(by: MemoryLayout<T>.stride)
    guard !overflows, used <= .max - bytes - 64 else { throw .overLimit }
    let offset = used
    let end = (offset + bytes + 63) & ~63
    guard end <= capacity else { throw .noMemory }
    used = end
    guard let start else { return UnsafeMutablePointer(bitPattern: 64)! }
    return (start + offset).bindMemory(to: T.self, capacity: max(1, count))
  }
}
