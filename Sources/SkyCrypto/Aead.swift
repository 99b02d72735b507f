import Bounded
import CSky

/// What seals records, in place inside a queue. The nonce is a 64-bit counter with zero bytes before it; ranges
/// count from the queue's oldest byte; the tag follows the text.
public enum Aead: Sendable {
  /// ChaCha20-Poly1305 (RFC 8439): quick on every processor.
  case chaCha20Poly1305
  /// AEGIS-256 (draft-irtf-cfrg-aegis-aead) with the 256-bit tag: several times as quick where there are instructions for
  /// AES, many times as slow where there are none.
  case aegis256

  public var name: StaticString {
    switch self {
    case .chaCha20Poly1305: "ChaCha20-Poly1305"
    case .aegis256: "AEGIS-256"
    }
  }

  public var tagBytes: Int {
    switch self {
    case .chaCha20Poly1305: 16
    case .aegis256: 32
    }
  }

  /// Whether this processor has such instructions.
  public static var hasFastAegis: Bool { sky_aegis_is_fast() }

  public func seal(
    _ queue: inout ByteQueue, additional: Range<Int>, text: Range<Int>, counter: UInt64, key: borrowing Secret<32>
  ) {
    let secret = key.pointer
    queue.withMutableBytes { bytes in
      let base = bytes.baseAddress!.assumingMemoryBound(to: UInt8.self)
      precondition(text.upperBound + tagBytes <= bytes.count)
      let (first, tag, extra) = (base + text.lowerBound, base + text.upperBound, base + additional.lowerBound)
      switch self {
      case .chaCha20Poly1305: sky_aead_seal(first, text.count, tag, extra, additional.count, counter, secret)
      case .aegis256: sky_aegis_seal(first, text.count, tag, extra, additional.count, counter, secret)
      }
    }
  }

  /// False, and the text zeroed, when it does not authenticate.
  public func open(
    _ queue: inout ByteQueue, additional: Range<Int>, text: Range<Int>, counter: UInt64, key: borrowing Secret<32>
  ) -> Bool {
    let secret = key.pointer
    return queue.withMutableBytes { bytes in
      let base = bytes.baseAddress!.assumingMemoryBound(to: UInt8.self)
      precondition(text.upperBound + tagBytes <= bytes.count)
      let (first, tag, extra) = (base + text.lowerBound, base + text.upperBound, base + additional.lowerBound)
      return switch self {
      case .chaCha20Poly1305: sky_aead_open(first, text.count, tag, extra, additional.count, counter, secret) == 0
      case .aegis256: sky_aegis_open(first, text.count, tag, extra, additional.count, counter, secret) == 0
      }
    }
  }
}
