import Bounded
import CSky

/// A node's or a hub's long-term Ed25519 key pair (RFC 8032). The seed is what the key file holds.
public struct Identity: ~Copyable {
  public let publicKey: Bytes32
  private let secret: Secret<64>

  public init(seed: borrowing Secret<32>) {
    let secret = Secret<64>()
    let (into, from) = (secret.pointer, seed.pointer)
    publicKey = filled32 { sky_ed25519_keypair($0, into, from) }
    self.secret = secret
  }

  /// Signs `label ‖ context ‖ digest`: fixed lengths after the label, so no two meanings collide.
  public func sign(label: StaticString, context: Bytes32, digest: Bytes32) -> Signature {
    let message = SignedMessage(label: label, context: context, digest: digest)
    var signature = Signature(repeating: 0)
    let key = secret.pointer
    var span = signature.mutableSpan
    message.bytes.withUnsafeBytes { text in
      span.withUnsafeMutableBufferPointer {
        sky_ed25519_sign($0.baseAddress!, text.baseAddress, text.count, key)
      }
    }
    return signature
  }

  public static func verify(
    _ signature: Signature, by key: Bytes32, label: StaticString, context: Bytes32, digest: Bytes32
  ) -> Bool {
    let message = SignedMessage(label: label, context: context, digest: digest)
    return message.bytes.withUnsafeBytes { text in
      signature.span.withUnsafeBufferPointer { signature in
        key.span.withUnsafeBufferPointer { key in
          sky_ed25519_verify(signature.baseAddress!, text.baseAddress, text.count, key.baseAddress!)
        }
      }
    }
  }

  /// The address of a public key (blueprint, Economy): `SKC-` and the SHA-256 of the key in hex.
  public static func appendAddress(of key: Bytes32, to text: inout TextBuffer) {
    text.append("SKC-")
    text.append(hex: Sha256.digest(key.raw).raw)
  }
}

/// What is signed: a 16-byte label padded with zeros, a 32-byte context, a 32-byte digest.
private struct SignedMessage {
  var storage = InlineArray<80, UInt8>(repeating: 0)

  init(label: StaticString, context: Bytes32, digest: Bytes32) {
    precondition(label.utf8CodeUnitCount <= 16)
    for i in 0..<label.utf8CodeUnitCount { storage[i] = label.utf8Start[i] }
    for i in 0..<32 {
      storage[16 + i] = context[i]
      storage[48 + i] = digest[i]
    }
  }

  var bytes: RawSpan {
    @_lifetime(borrow self)
    get { storage.span.bytes }
  }
}
