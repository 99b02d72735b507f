/// Why a decoder stopped.
public enum DecodeError: Error, Equatable {
  /// Fewer bytes than the field needs.
  case truncated
  /// Bytes left over where there must be none.
  case trailing
  /// A value outside what the format allows.
  case invalid
}

/// Reads big-endian fields from a span, front to back, checking every length.
public struct ByteReader: ~Escapable {
  private let span: RawSpan
  public private(set) var offset = 0

  @_lifetime(copy span)
  public init(_ span: RawSpan) { self.span = span }

  public var remaining: Int { span.byteCount - offset }

  public mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type = T.self) throws(DecodeError) -> T {
    let size = MemoryLayout<T>.size
    guard remaining >= size else { throw .truncated }
    let value = span.unsafeLoadUnaligned(fromByteOffset: offset, as: T.self)
    offset += size
    return T(bigEndian: value)
  }

  /// The next `n` bytes, without copying.
  @_lifetime(copy self)
  public mutating func bytes(_ n: Int) throws(DecodeError) -> RawSpan {
    guard n >= 0, remaining >= n else { throw .truncated }
    let part = span.extracting(offset..<(offset + n))
    offset += n
    return part
  }

  /// The next `n` bytes by value.
  public mutating func array<let n: Int>() throws(DecodeError) -> InlineArray<n, UInt8> {
    guard remaining >= n else { throw .truncated }
    let start = offset
    offset += n
    return InlineArray { span.unsafeLoad(fromByteOffset: start + $0, as: UInt8.self) }
  }

  public mutating func skip(_ n: Int) throws(DecodeError) {
    guard n >= 0, remaining >= n else { throw .truncated }
    offset += n
  }

  /// All that is left.
  @_lifetime(copy self)
  public mutating func rest() -> RawSpan {
    let part = span.extracting(offset..<span.byteCount)
    offset = span.byteCount
    return part
  }

  public func finish() throws(DecodeError) {
    if remaining != 0 { throw .trailing }
  }
}

extension RawSpan {
  /// The byte at `index`, which must be inside.
  public subscript(index: Int) -> UInt8 {
    precondition(index >= 0 && index < byteCount)
    return unsafeLoad(fromByteOffset: index, as: UInt8.self)
  }

  /// Byte-wise equality. Not constant time: never for secrets.
  public func elementsEqual(_ other: RawSpan) -> Bool {
    guard byteCount == other.byteCount else { return false }
    for i in 0..<byteCount where self[i] != other[i] { return false }
    return true
  }

  public func elementsEqual(_ text: StaticString) -> Bool {
    guard byteCount == text.utf8CodeUnitCount else { return false }
    for i in 0..<byteCount where self[i] != text.utf8Start[i] { return false }
    return true
  }
}
