/// A text that knows of each byte whether it came from a stranger: from a message, not from the model's template.
/// In such bytes no name of a control token is taken for the token.
///
/// Fixed room from the arena; never grows. What does not fit is refused.
struct MarkedText {
  let bytes: UnsafeMutablePointer<UInt8>
  /// 1 where the byte is a stranger's.
  let marks: UnsafeMutablePointer<UInt8>
  let capacity: Int
  private(set) var count = 0

  init(capacity: Int, _ arena: inout Arena) throws(InferenceError) {
    self.capacity = capacity
    bytes = try arena.take(capacity)
    marks = try arena.take(capacity)
  }

  mutating func append(_ byte: UInt8, isStrange: Bool) throws(InferenceError) {
    guard count < capacity else { throw .textTooLong }
    bytes[count] = byte
    marks[count] = isStrange ? 1 : 0
    count += 1
  }

  mutating func append(_ text: UnsafeRawBufferPointer, isStrange: Bool) throws(InferenceError) {
    for byte in text { try append(byte, isStrange: isStrange) }
  }

  /// A piece of another text, or of this one, with its marks.
  mutating func append(_ other: MarkedText, _ range: Range<Int>) throws(InferenceError) {
    for i in range { try append(other.bytes[i], isStrange: other.marks[i] != 0) }
  }

  mutating func truncate(to count: Int) { self.count = min(self.count, count) }

  var buffer: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: bytes, count: count) }
}
