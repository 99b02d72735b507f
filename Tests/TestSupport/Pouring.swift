import Bounded

extension ByteQueue {
  /// Moves as much as there is room for; false when nothing moved.
  @discardableResult
  public mutating func pour(into other: inout ByteQueue) -> Bool {
    let count = min(self.count, other.space)
    guard count > 0 else { return false }
    other.append(bytes.extracting(0..<count))
    consume(count)
    return true
  }
}
