import Bounded
import CSky
import Foundation
import Platform
import SkyCrypto
import Wire

/// Everything by which nodes recognise this hub: certificate, its key, and the Ed25519 identity.
///
/// Made at first use, then the same for ever: nodes pin the certificate's key and the identity.
public struct HubKeys: ~Copyable {
  private let identity: Identity
  /// PEM with terminator, as mbedTLS reads it.
  let certificate: [UInt8]
  let privateKey: KeyBytes
  /// SHA-256 of the certificate's SubjectPublicKeyInfo.
  public let pin: Bytes32

  /// PEM text with a terminator, wiped when freed.
  final class KeyBytes {
    let memory: UnsafeMutableRawBufferPointer
    /// Without the terminator.
    var count = 0

    init(capacity: Int) { memory = .allocate(byteCount: capacity, alignment: 1) }
    deinit {
      sky_wipe(memory.baseAddress, memory.count)
      memory.deallocate()
    }

    /// All but a byte for the terminator.
    var room: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(rebasing: memory.dropLast()) }
    var text: UnsafeMutablePointer<CChar> { memory.baseAddress!.assumingMemoryBound(to: CChar.self) }
    var content: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<count]) }
    var terminated: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[...count]) }
  }

  static let pemBytes = 4_096

  public init(in directory: DataDirectory) throws(HubError) {
    let (certificate, key) = try Self.openCertificate(directory)
    let pin = try Self.pin(of: certificate, file: directory.certificatePath)
    let identity = try Self.openIdentity(directory)
    self.init(identity: identity, certificate: certificate, privateKey: key, pin: pin)
  }

  private init(identity: consuming Identity, certificate: [UInt8], privateKey: KeyBytes, pin: Bytes32) {
    self.identity = identity
    self.certificate = certificate
    self.privateKey = privateKey
    self.pin = pin
  }

  /// Both with their terminators.
  private static func openCertificate(_ directory: DataDirectory) throws(HubError) -> ([UInt8], KeyBytes) {
    let key = KeyBytes(capacity: pemBytes)
    let certificate = KeyBytes(capacity: pemBytes)
    if let count = try directory.readSecret(directory.privateKeyPath, into: key.room) {
      key.count = count
      guard let count = try directory.readSecret(directory.certificatePath, into: certificate.room) else {
        throw HubError(
          .badConfiguration, "\(directory.certificatePath) is missing beside its key",
          hint: "restore it from a backup; without it, move hub.key away and join every node again")
      }
      certificate.count = count
    } else {
      let status = sky_tls_make_certificate(
        "skyhub", true, certificate.text, certificate.room.count, key.text, key.room.count)
      guard status == 0 else { throw HubError(.internalError, "the certificate cannot be made (\(status))") }
      certificate.count = strlen(certificate.text)
      key.count = strlen(key.text)
      // The certificate first: a key without its certificate is the case that needs a person.
      try directory.writeNew(directory.certificatePath, certificate.content)
      try directory.writeNew(directory.privateKeyPath, key.content)
    }
    key.memory[key.count] = 0
    return (Array(certificate.content) + [0], key)
  }

  private static func openIdentity(_ directory: DataDirectory) throws(HubError) -> Identity {
    guard startCrypto() else { throw HubError(.internalError, "the crypto library does not start") }
    var seed = Secret<32>()
    let path = directory.identityPath
    var failure: HubError?
    let found = seed.withMutableBytes { bytes -> Int? in
      do throws(HubError) { return try directory.readSecret(path, into: bytes) } catch {
        failure = error
        return nil
      }
    }
    if let failure { throw failure }
    if let found {
      guard found == 32 else {
        throw HubError(.badConfiguration, "\(path) does not hold 32 bytes", hint: "restore it from a backup")
      }
    } else {
      seed.withMutableBytes { fillRandom($0) }
      seed.withBytes { bytes in
        do throws(HubError) { try directory.writeNew(path, bytes) } catch { failure = error }
      }
      if let failure { throw failure }
    }
    return Identity(seed: seed)
  }

  private static func pin(of certificate: [UInt8], file: String) throws(HubError) -> Bytes32 {
    var pin = Bytes32(repeating: 0)
    var span = pin.mutableSpan
    let status = certificate.withUnsafeBytes { pem in
      span.withUnsafeMutableBufferPointer { sky_tls_certificate_pin(pem.baseAddress, pem.count, $0.baseAddress!) }
    }
    guard status == 0 else {
      throw HubError(.badConfiguration, "\(file) holds no certificate", hint: "restore it from a backup")
    }
    return pin
  }

  public var publicKey: Bytes32 { identity.publicKey }

  /// Gives the identity away, to whoever signs with it.
  consuming func takeIdentity() -> Identity { identity }

  /// The server's side of TLS. `badConfiguration` when the certificate is not the one that nodes pin.
  func tlsContext(expecting expected: Bytes32) throws(HubError) -> TlsContext {
    guard equal(pin, expected) else {
      throw HubError(
        .badConfiguration, "the certificate's key has changed while the hub runs",
        hint: "nodes pin it: restore it, or restart the hub and give every node a new ticket")
    }
    do throws(ErrorCode) {
      return try TlsContext.server(certificate: certificate.span.bytes, key: privateKey.terminated.bytes)
    } catch {
      throw HubError(
        .badConfiguration, "certificate and key do not fit: \(error.sentence)", hint: "see hub.crt, hub.key")
    }
  }

  /// What a ticket says of this hub when nodes reach it at `place`.
  public func entry(at place: HostPort) -> HubEntry {
    PeerHub(place: place, pin: pin, key: identity.publicKey).entry
  }
}

/// Fills at most 256 bytes from the kernel's random source, which has no failing case for so few.
func fillRandom(_ memory: UnsafeMutableRawBufferPointer) {
  precondition(getentropy(memory.baseAddress!, memory.count) == 0, "getentropy")
}
