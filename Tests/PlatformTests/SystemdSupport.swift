import Bounded
import Glibc
import Platform
import SystemdOracle
import Testing

/// A datagram as it arrived.
struct Datagram: Equatable, CustomStringConvertible {
  let bytes: [UInt8]
  /// How the attached descriptor is known: "device:inode"; nil without one.
  let attached: String?
  let sender: Int32

  var text: String { String(decoding: bytes, as: UTF8.self) }
  var description: String { "\(text.debugDescription) attached \(attached ?? "nothing") from \(sender)" }
}

/// A socket to be sent to: in a folder of its own, or in the abstract namespace.
///
/// For one thread at a time; the kernel lets another one read.
final class Listener: @unchecked Sendable {
  let path: String
  private let folder: String?
  private(set) var descriptor: Int32

  enum Place { case file, abstract, longPath }

  init(_ place: Place = .file) throws {
    let unique = "skynod-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    if place == .abstract {
      folder = nil
      path = "@" + unique
    } else {
      let made = "/tmp/" + unique
      try #require(mkdir(made, 0o700) == 0)
      folder = made
      // 107 bytes are the most that sockaddr_un takes with its terminator.
      path = place == .file ? made + "/socket" : made + "/" + String(repeating: "s", count: 106 - made.utf8.count)
    }
    descriptor = -1
    try open()
  }

  deinit {
    shut()
    if let folder { rmdir(folder) }
  }

  /// Binds, again after `shut`.
  func open() throws {
    descriptor = oracle_bind(path)
    try #require(descriptor >= 0)
  }

  /// As when the receiver has gone: nobody listens, and the path is free.
  func shut() {
    if descriptor >= 0 { close(descriptor) }
    descriptor = -1
    if folder != nil { unlink(path) }
  }

  /// What has arrived; nil when nothing has.
  func next() -> Datagram? {
    var bytes = [UInt8](repeating: 0, count: 8_192)
    var attached: Int32 = -1
    var sender: pid_t = 0
    let count = oracle_receive(descriptor, &bytes, bytes.count, &attached, &sender)
    guard count >= 0 else { return nil }
    defer { if attached >= 0 { close(attached) } }
    let id = attached == -1 ? nil : attached >= 0 ? streamId(attached) : "more than one descriptor"
    return Datagram(bytes: Array(bytes.prefix(count)), attached: id, sender: sender)
  }

  /// The content of the sealed memory that came instead of bytes, with its seals.
  func nextMemory() throws -> (content: [UInt8], seals: Int32) {
    var bytes = [UInt8](repeating: 0, count: 16)
    var attached: Int32 = -1
    var sender: pid_t = 0
    try #require(oracle_receive(descriptor, &bytes, bytes.count, &attached, &sender) == 0)
    try #require(attached >= 0)
    defer { close(attached) }
    var content = [UInt8](repeating: 0, count: 20 << 20)
    let count = pread(attached, &content, content.count, 0)
    return (Array(content.prefix(max(0, count))), oracle_seals(attached))
  }
}

func streamId(_ descriptor: Int32) -> String {
  var text = [CChar](repeating: 0, count: 64)
  oracle_stream_id(descriptor, &text)
  return text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
}

/// Lends a text's bytes.
func withSpan<R>(_ text: String, _ body: (RawSpan) -> R) -> R {
  let bytes = Array(text.utf8)
  return bytes.withUnsafeBytes { body(RawSpan(_unsafeBytes: $0)) }
}
