/// Builds text in one allocation made when it is created: status lines, replies, datagrams.
///
/// What does not fit is cut off and `isTruncated` says so; it never grows.
public struct TextBuffer: ~Copyable {
  private var queue: ByteQueue
  public private(set) var isTruncated = false

  public init(capacity: Int) { queue = ByteQueue(capacity: capacity) }

  public var count: Int { queue.count }
  public var capacity: Int { queue.capacity }
  public var isEmpty: Bool { queue.isEmpty }
  public var bytes: RawSpan {
    @_lifetime(borrow self)
    get { queue.bytes }
  }

  public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R { bytes.withUnsafeBytes(body) }

  public mutating func removeAll() {
    queue.consume(queue.count)
    isTruncated = false
  }

  /// Takes back what was appended after `count` bytes were there.
  public mutating func truncate(to count: Int) {
    queue.truncate(to: count)
    isTruncated = false
  }

  public mutating func append(_ span: RawSpan) {
    if !queue.append(span) { isTruncated = true }
  }

  public mutating func append(_ text: StaticString) {
    if !queue.append(text) { isTruncated = true }
  }

  /// For start-up and tests: `String` uses the heap.
  public mutating func append(string text: String) {
    for byte in text.utf8 { append(byte: byte) }
  }

  public mutating func append(byte: UInt8) {
    if !queue.append(bigEndian: byte) { isTruncated = true }
  }

  public mutating func append<let n: Int>(_ text: InlineText<n>) { append(text.bytes) }

  public mutating func append(_ value: UInt64) {
    var digits = InlineArray<20, UInt8>(repeating: 0)
    var left = value
    var start = 20
    repeat {
      start -= 1
      digits[start] = UInt8(ascii: "0") + UInt8(left % 10)
      left /= 10
    } while left > 0
    append(digits.span.bytes.extracting(start..<20))
  }

  public mutating func append(_ value: Int) {
    if value < 0 { append(byte: UInt8(ascii: "-")) }
    append(UInt64(value.magnitude))
  }

  /// `value / 10^places` with exactly `places` decimals: `append(milli: 1234, places: 3)` is 1.234.
  public mutating func append(scaled value: Int64, places: Int) {
    var divisor: UInt64 = 1
    for _ in 0..<places { divisor *= 10 }
    if value < 0 { append(byte: UInt8(ascii: "-")) }
    append(value.magnitude / divisor)
    guard places > 0 else { return }
    append(byte: UInt8(ascii: "."))
    var rest = value.magnitude % divisor
    for _ in 0..<places {
      divisor /= 10
      append(byte: UInt8(ascii: "0") + UInt8(rest / divisor))
      rest %= divisor
    }
  }

  /// Lower-case hexadecimal, two digits a byte.
  public mutating func append(hex span: RawSpan) {
    let digits: StaticString = "0123456789abcdef"
    for i in 0..<span.byteCount {
      append(byte: digits.utf8Start[Int(span[i] >> 4)])
      append(byte: digits.utf8Start[Int(span[i] & 15)])
    }
  }

  /// A JSON string with its quotes (RFC 8259, section 7). Bytes that are not UTF-8 become U+FFFD.
  public mutating func append(json span: RawSpan) {
    append(byte: UInt8(ascii: "\""))
    var i = 0
    while i < span.byteCount {
      let byte = span[i]
      switch byte {
      case UInt8(ascii: "\""): append("\\\"")
      case UInt8(ascii: "\\"): append("\\\\")
      case 0x0A: append("\\n")
      case 0x0D: append("\\r")
      case 0x09: append("\\t")
      case 0..<0x20, 0x7F:
        append("\\u00")
        var one = InlineArray<1, UInt8>(repeating: byte)
        one[0] = byte
        append(hex: one.span.bytes)
      case 0x20..<0x7F: append(byte: byte)
      default:
        let length = utf8SequenceLength(span, at: i)
        if length == 0 {
          append("\\ufffd")
        } else {
          append(span.extracting(i..<(i + length)))
          i += length - 1
        }
      }
      i += 1
    }
    append(byte: UInt8(ascii: "\""))
  }
}

/// The value of a hexadecimal digit in either case.
public func hexDigit(_ byte: UInt8) -> UInt8? {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
  case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
  case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
  default: nil
  }
}

/// Two hexadecimal digits as a byte.
public func hexByte(_ high: UInt8, _ low: UInt8) -> UInt8? {
  guard let high = hexDigit(high), let low = hexDigit(low) else { return nil }
  return high << 4 | low
}
