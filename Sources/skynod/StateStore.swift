import Bounded
import CSky
import Node
import Platform
import SkyCrypto
import Wire

/// The state directory: the identity key and what the node remembers. Files are 0600, replaced whole.
struct StateStore: ~Copyable {
  private let admissionFile: PathText
  private let knownFile: PathText
  private let identityFile: PathText
  private let certificateFile: PathText
  private let certificateKeyFile: PathText
  private let lock: DirectoryLock
  private var buffer = ByteQueue(capacity: max(Admission.maximumBytes, KnownNodes.maximumBytes))

  /// Makes and locks the directory. `busy` when another skynod uses it.
  init(directory: PathText) throws(ErrorCode) {
    try Files.makeDirectory(directory)
    guard let admission = Files.join(directory, "admission"), let identity = Files.join(directory, "identity.key"),
      let certificate = Files.join(directory, "relay.crt"), let key = Files.join(directory, "relay.key"),
      let lockFile = Files.join(directory, "lock"), let known = Files.join(directory, "known")
    else { throw .badArgument }
    lock = try DirectoryLock(lockFile)
    admissionFile = admission
    knownFile = known
    identityFile = identity
    certificateFile = certificate
    certificateKeyFile = key
  }

  /// The identity's seed: systemd's credential `skynod.identity` if there is one, else the key file, else a
  /// fresh one that is written first.
  mutating func identitySeed(into seed: inout Secret<32>) throws(ErrorCode) {
    if try readCredential("skynod.identity", into: &seed) { return }
    buffer.clear()
    do throws(ErrorCode) {
      try load(identityFile)
    } catch {
      guard error == .notFound else { throw error }
      seed.withMutableBytes { Entropy.fill($0) }
      seed.withBytes { bytes in _ = buffer.append(RawSpan(_unsafeBytes: bytes)) }
      try Files.write(identityFile, buffer.bytes, mode: 0o600)
      return buffer.clear()
    }
    guard buffer.count == 32 else {
      buffer.clear()
      throw .malformed
    }
    copySeed(into: &seed)
  }

  /// The certificate that leaves find this relay by, and its key; made at first use. P-256: a small board would
  /// take seconds to make an RSA key.
  func relayCredentials(host: InlineText<253>) throws(ErrorCode) -> TlsCredentials {
    if Files.exists(certificateKeyFile) {
      var found = TlsCredentials()
      do throws(ErrorCode) {
        try Files.read(certificateFile, into: &found.certificate)
        try Files.read(certificateKeyFile, into: &found.key)
      } catch { throw .malformed }
      return found
    }
    let made = try TlsCredentials(host: host, .p256)
    try keep(made)
    return made
  }

  private func keep(_ made: borrowing TlsCredentials) throws(ErrorCode) {
    // The certificate first: a key without its certificate is the case that needs a person.
    try Files.write(certificateFile, made.certificate.bytes, mode: 0o644)
    try Files.write(certificateKeyFile, made.key.bytes, mode: 0o600)
  }

  /// A file longer than any this program writes is damaged, like one that is cut short.
  private mutating func load(_ path: PathText) throws(ErrorCode) {
    do throws(ErrorCode) { try Files.read(path, into: &buffer) } catch { throw error == .tooLong ? .malformed : error }
  }

  private mutating func copySeed(into seed: inout Secret<32>) {
    seed.withMutableBytes { out in
      for i in 0..<32 { out[i] = buffer.bytes[i] }
    }
    buffer.clear()
  }

  private mutating func readCredential(_ name: StaticString, into seed: inout Secret<32>) throws(ErrorCode) -> Bool {
    guard let path = Self.credential(name), Files.exists(path) else { return false }
    buffer.clear()
    try Files.read(path, into: &buffer)
    guard buffer.count == 32 else {
      buffer.clear()
      throw .badConfiguration
    }
    copySeed(into: &seed)
    return true
  }

  /// Where systemd put a credential of this service (systemd.exec(5), LoadCredential=).
  private static func credential(_ name: StaticString) -> PathText? {
    guard let directory: PathText = Process.environment("CREDENTIALS_DIRECTORY") else { return nil }
    return Files.join(directory, name)
  }

  /// A join ticket handed over as the credential `skynod.ticket`; nil when there is none.
  mutating func ticketCredential() throws(ErrorCode) -> Ticket? {
    guard let path = Self.credential("skynod.ticket"), Files.exists(path) else { return nil }
    buffer.clear()
    try Files.read(path, into: &buffer)
    var length = buffer.count
    while length > 0, buffer.bytes[length - 1] <= 0x20 { length -= 1 }
    let ticket: Ticket
    do throws(ErrorCode) {
      ticket = try Ticket(parsing: buffer.bytes.extracting(0..<length))
    } catch {
      buffer.clear()
      throw .badConfiguration
    }
    buffer.clear()
    return ticket
  }

  /// What was remembered; empty at the first start. A damaged file is an error: the node would otherwise
  /// forget its swarm in silence.
  mutating func admission() throws(ErrorCode) -> Admission {
    buffer.clear()
    do throws(ErrorCode) {
      try load(admissionFile)
    } catch {
      if error == .notFound { return Admission() }
      throw error
    }
    let admission = try Admission(decoding: buffer.bytes)
    buffer.clear()
    return admission
  }

  /// Which identities other nodes had; none at the first start. Damage is an error here too: to forget in silence would be
  /// to believe the next one.
  mutating func known() throws(ErrorCode) -> KnownNodes {
    buffer.clear()
    do throws(ErrorCode) {
      try load(knownFile)
    } catch {
      if error == .notFound { return KnownNodes() }
      throw error
    }
    let known = try KnownNodes(decoding: buffer.bytes)
    buffer.clear()
    return known
  }

  mutating func write(_ admission: Admission) throws(ErrorCode) {
    buffer.clear()
    admission.encode(to: &buffer)
    try writeBuffer(to: admissionFile)
  }

  mutating func write(_ known: KnownNodes) throws(ErrorCode) {
    buffer.clear()
    known.encode(to: &buffer)
    try writeBuffer(to: knownFile)
  }

  private mutating func writeBuffer(to path: PathText) throws(ErrorCode) {
    do throws(ErrorCode) {
      try Files.write(path, buffer.bytes, mode: 0o600)
    } catch {
      buffer.clear()
      throw error
    }
    buffer.clear()
  }
}

/// A hash of what identifies this board: machine id, board serial, first MAC address. It leaves the
/// machine only salted by the node.
func hardwareHash() -> Bytes32 {
  var hash = Sha256()
  hash.update("skynod hardware")
  var buffer = ByteQueue(capacity: 256)
  func add(_ path: StaticString) {
    guard let path = PathText(RawSpan(_unsafeStart: path.utf8Start, byteCount: path.utf8CodeUnitCount)) else { return }
    buffer.clear()
    do throws(ErrorCode) {
      try Files.read(path, into: &buffer)
      hash.update(buffer, 0..<buffer.count)
    } catch {}  // not every board has every identifier
    hash.update("\u{0}")
  }
  add("/etc/machine-id")
  add("/sys/class/dmi/id/product_uuid")
  add("/sys/firmware/devicetree/base/serial-number")
  add("/sys/class/net/eth0/address")
  return hash.digest
}
