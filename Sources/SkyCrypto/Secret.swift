import Bounded
import CSky

/// `n` secret bytes in an allocation of their own, wiped when replaced and when freed.
///
/// Never copied by Swift, never printed. Made once and reused: a session allocates its secrets at
/// creation and overwrites them from then on.
public struct Secret<let n: Int>: ~Copyable {
  let pointer: UnsafeMutablePointer<UInt8>

  /// All zero.
  public init() {
    pointer = .allocate(capacity: n)
    pointer.initialize(repeating: 0, count: n)
  }

  /// A copy of `bytes`; nil when it does not hold exactly `n`.
  public init?(_ bytes: RawSpan) {
    guard bytes.byteCount == n else { return nil }
    self.init()
    for i in 0..<n { pointer[i] = bytes[i] }
  }

  deinit {
    sky_wipe(pointer, n)
    pointer.deallocate()
  }

  public mutating func wipe() { sky_wipe(pointer, n) }

  public mutating func copy(from other: borrowing Secret<n>) {
    pointer.update(from: other.pointer, count: n)
  }

  /// Lets `body` write the secret in place, for sources outside this module (files, getrandom).
  public mutating func withMutableBytes<R>(_ body: (UnsafeMutableRawBufferPointer) -> R) -> R {
    body(UnsafeMutableRawBufferPointer(start: pointer, count: n))
  }

  /// For writing a key to its 0600 file; nothing else should need it.
  public func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
    body(UnsafeRawBufferPointer(start: pointer, count: n))
  }

  /// Constant time in the contents.
  public func equals(_ other: borrowing Secret<n>) -> Bool { sky_equal_secret(pointer, other.pointer, n) }
}

/// 32 public bytes: a hash, a nonce, a public key, a tag.
public typealias Bytes32 = InlineArray<32, UInt8>

/// An Ed25519 signature (RFC 8032).
public typealias Signature = InlineArray<64, UInt8>

/// Equality of public values in constant time, so that it may be used for tags as well.
public func equal<let n: Int>(_ a: InlineArray<n, UInt8>, _ b: InlineArray<n, UInt8>) -> Bool {
  var difference: UInt8 = 0
  for i in 0..<n { difference |= a[i] ^ b[i] }
  return difference == 0
}

extension InlineArray where Element == UInt8 {
  /// The bytes as a span, for writers and hashes.
  public var raw: RawSpan {
    @_lifetime(borrow self)
    get { span.bytes }
  }

  /// A copy of a span of exactly `count` bytes.
  public init(copying bytes: RawSpan) {
    precondition(bytes.byteCount == count)
    self.init { bytes[$0] }
  }

  public init(zero: Void) { self.init(repeating: 0) }
}
