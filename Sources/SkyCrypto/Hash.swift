import Bounded
import CSky

/// SHA-256 (FIPS 180-4) over bytes as they come; `digest` may be read at any point.
public struct Sha256 {
  private var state = sky_sha256_state()

  public init() { sky_sha256_start(&state) }

  public mutating func update(_ bytes: RawSpan) {
    bytes.withUnsafeBytes { sky_sha256_update(&state, $0.baseAddress, $0.count) }
  }

  /// Bytes `range` of a queue, counted from its oldest.
  public mutating func update(_ queue: borrowing ByteQueue, _ range: Range<Int>) {
    update(queue.bytes.extracting(range))
  }

  public mutating func update(_ text: StaticString) {
    sky_sha256_update(&state, text.utf8Start, text.utf8CodeUnitCount)
  }

  /// In network byte order.
  public mutating func update(bigEndian value: UInt32) {
    let bytes = InlineArray<4, UInt8> { UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * $0)) }
    update(bytes.span.bytes)
  }

  /// The digest of everything so far.
  public var digest: Bytes32 {
    var copy = state
    return filled32 { sky_sha256_peek(&copy, $0) }
  }

  public static func digest(_ bytes: RawSpan) -> Bytes32 {
    var hash = Sha256()
    hash.update(bytes)
    return hash.digest
  }
}

/// Runs a C function that writes 32 bytes.
func filled32(_ body: (UnsafeMutablePointer<UInt8>) -> Void) -> Bytes32 {
  var out = Bytes32(repeating: 0)
  var span = out.mutableSpan
  span.withUnsafeMutableBufferPointer { body($0.baseAddress!) }
  return out
}

/// HMAC-SHA-256 (RFC 2104) of up to three parts.
public func hmac(
  key: borrowing Secret<32>, _ a: RawSpan, _ b: RawSpan = RawSpan(), _ c: RawSpan = RawSpan()
) -> Bytes32 {
  let pointer = key.pointer
  return a.withUnsafeBytes { a in
    b.withUnsafeBytes { b in
      c.withUnsafeBytes { c in
        filled32 {
          sky_hmac_sha256($0, pointer, a.baseAddress, a.count, b.baseAddress, b.count, c.baseAddress, c.count)
        }
      }
    }
  }
}

/// HKDF-SHA-256 (RFC 5869).
public enum Hkdf {
  /// PRK = HMAC(salt, first ‖ second), written over `prk`.
  public static func extract(
    salt: Bytes32, _ first: borrowing Secret<32>, _ second: borrowing Secret<32>, into prk: inout Secret<32>
  ) {
    let (a, b, out) = (first.pointer, second.pointer, prk.pointer)
    salt.span.withUnsafeBufferPointer { sky_hkdf_extract(out, $0.baseAddress!, a, 32, b, 32) }
  }

  /// The same of one secret.
  public static func extract(salt: Bytes32, _ secret: borrowing Secret<32>, into prk: inout Secret<32>) {
    let (from, out) = (secret.pointer, prk.pointer)
    salt.span.withUnsafeBufferPointer { sky_hkdf_extract(out, $0.baseAddress!, from, 32, nil, 0) }
  }

  /// 32 bytes for `label`, written over `key`.
  public static func expand(_ prk: borrowing Secret<32>, label: StaticString, into key: inout Secret<32>) {
    sky_hkdf_expand(key.pointer, prk.pointer, label.utf8Start, label.utf8CodeUnitCount)
  }
}

/// A deterministic random generator: ChaCha20 with fast key erasure (Bernstein, 2017).
///
/// Seeded from outside, so that the state machine reads no random source and a simulation repeats.
public struct Drbg: ~Copyable {
  private var key: Secret<32>

  public init(seed: borrowing Secret<32>) {
    key = Secret()
    key.copy(from: seed)
  }

  /// Mixes fresh entropy in: what comes after depends on both.
  public mutating func reseed(_ entropy: Bytes32) {
    let mixed = hmac(key: key, entropy.raw)
    mixed.span.withUnsafeBufferPointer { key.pointer.update(from: $0.baseAddress!, count: 32) }
  }

  public mutating func fill(_ out: inout Secret<32>) { sky_drbg_next(key.pointer, out.pointer) }

  public mutating func fill(_ out: inout Secret<64>) {
    sky_drbg_next(key.pointer, out.pointer)
    sky_drbg_next(key.pointer, out.pointer + 32)
  }

  public mutating func bytes32() -> Bytes32 {
    let pointer = key.pointer
    return filled32 { sky_drbg_next(pointer, $0) }
  }

  public mutating func next() -> UInt64 {
    let block = bytes32()
    return block.raw.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt64.self)
  }

  /// Uniform in `0 ..< bound` (bias below 2^-32 for bounds under 2^32); 0 when `bound` is 0.
  public mutating func next(below bound: UInt64) -> UInt64 {
    bound == 0 ? 0 : next().multipliedFullWidth(by: bound).high
  }
}
