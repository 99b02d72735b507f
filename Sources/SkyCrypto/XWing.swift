import Bounded
import CSky

/// X-Wing, the hybrid KEM of X25519 and ML-KEM-768 (draft-connolly-cfrg-xwing-kem, FIPS 203).
/// Derandomised: every function takes its seed.
public enum XWing {
  public static let publicKeyBytes = 1_216
  public static let ciphertextBytes = 1_120

  /// Appends a public key of 1,216 bytes to `queue` and puts its secret into `secret`.
  /// False when the queue has no room.
  public static func makeKeyPair(
    seed: borrowing Secret<32>, secret: inout Secret<32>, appendTo queue: inout ByteQueue
  ) -> Bool {
    let (into, from) = (secret.pointer, seed.pointer)
    return queue.appendInPlace(upTo: publicKeyBytes) { room in
      let status = sky_xwing_keypair(room.baseAddress!.assumingMemoryBound(to: UInt8.self), into, from)
      precondition(status == 0, "key generation from a seed has no failing case")
      return publicKeyBytes
    }
  }

  /// Appends a ciphertext of 1,120 bytes to `queue` and puts the shared secret into `shared`. The public
  /// key is bytes `range` of `source`.
  /// False when the public key is malformed or the queue has no room; nothing is appended then.
  public static func encapsulate(
    to source: borrowing ByteQueue, _ range: Range<Int>, seed: borrowing Secret<64>, shared: inout Secret<32>,
    appendTo queue: inout ByteQueue
  ) -> Bool {
    encapsulate(to: source.bytes.extracting(range), seed: seed, shared: &shared, appendTo: &queue)
  }

  /// The same for a public key that lies anywhere but in `queue`.
  public static func encapsulate(
    to publicKey: RawSpan, seed: borrowing Secret<64>, shared: inout Secret<32>, appendTo queue: inout ByteQueue
  ) -> Bool {
    guard publicKey.byteCount == publicKeyBytes else { return false }
    let (out, from) = (shared.pointer, seed.pointer)
    var genuine = false
    return publicKey.withUnsafeBytes { key in
      queue.appendInPlace(upTo: ciphertextBytes) { room in
        genuine =
          sky_xwing_encapsulate(
            room.baseAddress!.assumingMemoryBound(to: UInt8.self), out,
            key.baseAddress!.assumingMemoryBound(to: UInt8.self), from) == 0
        return genuine ? ciphertextBytes : 0
      } && genuine
    }
  }

  /// The shared secret of the ciphertext in bytes `range` of `source`. A wrong ciphertext of the right length gives a secret nobody
  /// shares (implicit rejection, FIPS 203); false only for a wrong length.
  public static func decapsulate(
    _ source: borrowing ByteQueue, _ range: Range<Int>, secret: borrowing Secret<32>, shared: inout Secret<32>
  ) -> Bool {
    decapsulate(source.bytes.extracting(range), secret: secret, shared: &shared)
  }

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

/// Prepares the crypto library. Once, before anything else; false means do not go on.
public func startCrypto() -> Bool { sky_crypto_init() == 0 }
