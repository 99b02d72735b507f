import Bounded
import CSky

/// X-Wing, the hybrid KEM of X25519 and ML-KEM-768 (draft-connolly-cfrg-xwing-kem, FIPS 203).
/// Derandomised: every function takes its seed.
public enum XWing {
  public static let publicKeyBytes = 1_216
  public static let ciphertextBytes = 1_120

  /// Writes a public key of 1,216 bytes to `publicKey` and its secret to `secret`.
  public static func makeKeyPair(
    seed: borrowing Secret<32>, secret: inout Secret<32>, publicKey: UnsafeMutableRawBufferPointer
  ) {
    precondition(publicKey.count == publicKeyBytes)
    let status = sky_xwing_keypair(
      publicKey.baseAddress!.assumingMemoryBound(to: UInt8.self), secret.pointer, seed.pointer)
    precondition(status == 0, "key generation from a seed has no failing case")
  }

  /// Writes a ciphertext of 1,120 bytes and the shared secret. False when the public key is malformed.
  public static func encapsulate(
    to publicKey: RawSpan, seed: borrowing Secret<64>, shared: inout Secret<32>,
    ciphertext: UnsafeMutableRawBufferPointer
  ) -> Bool {
    precondition(ciphertext.count == ciphertextBytes)
    guard publicKey.byteCount == publicKeyBytes else { return false }
    let (out, from) = (shared.pointer, seed.pointer)
    return publicKey.withUnsafeBytes {
      sky_xwing_encapsulate(
        ciphertext.baseAddress!.assumingMemoryBound(to: UInt8.self), out,
        $0.baseAddress!.assumingMemoryBound(to: UInt8.self), from) == 0
    }
  }

  /// The shared secret of a ciphertext. A wrong ciphertext of the right length gives a secret nobody
  /// shares (implicit rejection, FIPS 203); false only for a wrong length.
  public static func decapsulate(
    _ ciphertext: RawSpan, secret: borrowing Secret<32>, shared: inout Secret<32>
  ) -> Bool {
    guard ciphertext.byteCount == ciphertextBytes else { return false }
    let (out, from) = (shared.pointer, secret.pointer)
    return ciphertext.withUnsafeBytes {
      sky_xwing_decapsulate(out, $0.baseAddress!.assumingMemoryBound(to: UInt8.self), from) == 0
    }
  }
}

/// ChaCha20-Poly1305 (RFC 8439) in place; the 96-bit nonce is four zero bytes and a 64-bit counter.
public enum Aead {
  public static let tagBytes = 16

  public static func seal(
    _ text: UnsafeMutableRawBufferPointer, tag: UnsafeMutableRawBufferPointer, additional: UnsafeRawBufferPointer,
    counter: UInt64, key: borrowing Secret<32>
  ) {
    precondition(tag.count == tagBytes)
    sky_aead_seal(
      text.baseAddress, text.count, tag.baseAddress!.assumingMemoryBound(to: UInt8.self), additional.baseAddress,
      additional.count, counter, key.pointer)
  }

  /// False, and `text` zeroed, when it does not authenticate.
  public static func open(
    _ text: UnsafeMutableRawBufferPointer, tag: UnsafeRawBufferPointer, additional: UnsafeRawBufferPointer,
    counter: UInt64, key: borrowing Secret<32>
  ) -> Bool {
    precondition(tag.count == tagBytes)
    return sky_aead_open(
      text.baseAddress, text.count, tag.baseAddress!.assumingMemoryBound(to: UInt8.self), additional.baseAddress,
      additional.count, counter, key.pointer) == 0
  }
}

/// Prepares the crypto library. Once, before anything else; false means do not go on.
public func startCrypto() -> Bool { sky_crypto_init() == 0 }
