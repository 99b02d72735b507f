import Bounded
import Foundation
import Platform
import Wire

/// One TLS connection of a load generator, whatever is spoken over it. Subclasses speak; this moves the bytes.
///
/// It is not thread safe: one load, one thread.
class LoadPort {
  let tls: TlsConnection
  /// The interest it is in the loop with.
  var interest: Interest = .read
  /// What has come for a receiver: the text of each message.
  var onArrival: (UnsafeRawBufferPointer) -> Void = { _ in }
  /// Messages whose taking over the other side has confirmed, and those that it refused.
  var acknowledged = 0
  var refused = 0

  /// Connects over an established TCP stream; accepts the key with this pin.
  init(_ socket: StreamSocket, pin: InlineArray<32, UInt8>, onlyAes: Bool = false) throws {
    socket.tune()
    let context = try TlsContext.client(pin: pin)
    if onlyAes { context.offerOnlyAes() }
    tls = try TlsConnection(context, over: socket)
    let deadline = Clock.now + 10
    while true {
      let outcome = try tls.handshake()
      if outcome == .done { return }
      guard Clock.now < deadline else { throw BenchError("a TLS handshake took 10 s") }
      Self.wait(tls.descriptor, outcome == .waitWrite ? POLLOUT : POLLIN)
    }
  }

  static func dial(_ port: UInt16) throws -> StreamSocket {
    let socket = try StreamSocket.connecting(to: Address(InlineText("127.0.0.1")!, port: port)!)
    let deadline = Clock.now + 10
    while try !socket.connectResult() {
      guard Clock.now < deadline else { throw BenchError("connecting took 10 s") }
      usleep(1_000)
    }
    return socket
  }

  static func wait(_ descriptor: Int32, _ events: Int32) {
    var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
    _ = poll(&entry, 1, 20)
  }

  /// Moves bytes until `isDone`: for what is said before a load begins.
  func pump(until what: String, _ isDone: () -> Bool) throws {
    let deadline = Clock.now + 20
    while !isDone() {
      guard Clock.now < deadline else { throw BenchError("\(what) did not happen in 20 s") }
      let isFlushed = try flush()
      Self.wait(tls.descriptor, isFlushed ? POLLIN : POLLIN | POLLOUT)
      try read()
    }
    _ = try flush()
  }

  // MARK: For subclasses

  /// Whether a message of `count` bytes has room in the output.
  func hasRoom(for count: Int) -> Bool { false }
  func send(_ text: [UInt8], number: UInt64) throws {}
  /// Reads and works on all that has come.
  func read() throws {}
  /// True when everything has gone out.
  func flush() throws -> Bool { true }
  func close() { tls.closeNotify() }
}

/// A port whose protocol is a plain stream: the peers'.
class StreamPort: LoadPort {
  static let queueBytes = 512 * 1_024
  var input = ByteQueue(capacity: queueBytes)
  var output = ByteQueue(capacity: queueBytes)

  /// The peers' TLS libraries are at their best with AES; ours is not.
  init(_ socket: StreamSocket, pin: InlineArray<32, UInt8>) throws { try super.init(socket, pin: pin, onlyAes: true) }

  override func hasRoom(for count: Int) -> Bool { output.space >= count + 256 }

  override func read() throws {
    while true {
      let outcome = try tls.read(into: &input)
      var used = 0
      try input.bytes.withUnsafeBytes { bytes in used = try take(bytes) }
      input.consume(used)
      if outcome == .closed { throw BenchError("the peer closed a connection of the load") }
      if outcome == .waiting { return }
    }
  }

  override func flush() throws -> Bool { try tls.write(from: &output) == .done }

  /// Works on whole packets at the front; returns how many bytes they were.
  func take(_ bytes: UnsafeRawBufferPointer) throws -> Int { bytes.count }

  func say(_ text: String) { append(Array(text.utf8)) }
  func append(_ bytes: [UInt8]) { output.append(bytes.span.bytes) }
}

extension RawSpan {
  /// The numbers at the front of every message of a load.
  func stamp() -> (sentNs: UInt64, sender: Int) {
    (
      unsafeLoadUnaligned(fromByteOffset: 0, as: UInt64.self),
      Int(unsafeLoadUnaligned(fromByteOffset: 8, as: UInt32.self))
    )
  }
}
