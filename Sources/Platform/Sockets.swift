import Bounded
import CSky
import Wire

/// An IPv4 or IPv6 address with a port.
public struct Address: Equatable, Sendable {
  var raw: sky_address
  init(raw: sky_address) { self.raw = raw }

  /// Parses a literal without brackets. Nil when it is not one.
  public init?(_ text: InlineText<253>, port: UInt16) {
    var made = sky_address()
    guard text.withCString({ sky_address_parse($0, port, &made) }) == 0 else { return nil }
    raw = made
  }

  public var port: UInt16 {
    get { raw.port }
    set { raw.port = newValue }
  }
  public var isIPv6: Bool { raw.family == 6 }

  /// Without port and brackets.
  public var text: InlineText<46> {
    var copy = raw
    var out = InlineArray<46, CChar>(repeating: 0)
    return withUnsafeMutableBytes(of: &out) { room in
      let n = sky_address_format(&copy, room.baseAddress!.assumingMemoryBound(to: CChar.self), room.count)
      return InlineText(RawSpan(_unsafeStart: room.baseAddress!, byteCount: max(0, Int(n)))) ?? InlineText()
    }
  }

  public static func == (a: Address, b: Address) -> Bool {
    withUnsafeBytes(of: a.raw.bytes) { x in
      withUnsafeBytes(of: b.raw.bytes) { y in
        for i in 0..<16 where x[i] != y[i] { return false }
        return a.raw.family == b.raw.family && a.raw.port == b.raw.port && a.raw.scope == b.raw.scope
      }
    }
  }
}

/// How far reading got. What was read is in the queue in every case.
public enum ReadOutcome: Equatable, Sendable {
  /// Nothing more now: wait until the descriptor is readable.
  case waiting
  /// The queue has no room; there may be more.
  case full
  /// The other side has ended the stream in the proper way.
  case closed
}

/// How far writing got.
public enum WriteOutcome: Equatable, Sendable {
  /// The queue is empty.
  case done
  /// Wait until the descriptor is writable.
  case waiting
}

/// One connected stream, TCP or Unix, non-blocking. Owns its descriptor.
public final class StreamSocket {
  public let descriptor: Int32

  init(owning descriptor: Int32) { self.descriptor = descriptor }

  deinit { sky_close(descriptor) }

  /// Starts a TCP connection; `connectResult` tells the end.
  public static func connecting(to address: Address) throws(ErrorCode) -> StreamSocket {
    var to = address.raw
    let made = sky_tcp_connect(&to)
    guard made >= 0 else { throw .connectFailed }
    return StreamSocket(owning: made)
  }

  /// Connects to a Unix socket.
  public static func connected(toPath path: InlineText<255>) throws(ErrorCode) -> StreamSocket {
    let made = path.withCString { sky_unix_connect($0) }
    guard made >= 0 else { throw .daemonUnavailable }
    return StreamSocket(owning: made)
  }

  /// Two ends of one stream inside this process.
  public static func pair() throws(ErrorCode) -> (StreamSocket, StreamSocket) {
    var ends: (Int32, Int32) = (-1, -1)
    let result = withUnsafeMutableBytes(of: &ends) {
      sky_unix_pair($0.baseAddress!.assumingMemoryBound(to: Int32.self))
    }
    guard result == 0 else { throw .internalError }
    return (StreamSocket(owning: ends.0), StreamSocket(owning: ends.1))
  }

  /// True when connected, false when the attempt goes on.
  public func connectResult() throws(ErrorCode) -> Bool {
    let result = sky_tcp_result(descriptor)
    if result == 0 { return true }
    if result == SKY_IN_PROGRESS { return false }
    throw .connectFailed
  }

  /// No delay, keep-alive, and bounds for unsent and unacknowledged data (`Limits`).
  public func tune() {
    _ = sky_tcp_tune(
      descriptor, Int32(Limits.keepAliveSeconds), Int32(Limits.tcpUserTimeoutMs), Int32(Limits.tcpUnsentBytes))
  }

  /// The other side's address; nil for Unix sockets and when it is gone.
  public var peer: Address? { address(peer: true) }
  public var local: Address? { address(peer: false) }

  private func address(peer: Bool) -> Address? {
    var found = sky_address()
    guard sky_socket_address(descriptor, peer, &found) == 0, found.family != 0 else { return nil }
    return Address(raw: found)
  }

  /// Reads until nothing is left or the queue is full.
  public func read(into queue: inout ByteQueue) throws(ErrorCode) -> ReadOutcome {
    while queue.space > 0 {
      var result = 0
      queue.appendInPlace(upTo: queue.space) { room in
        result = sky_read(descriptor, room.baseAddress, room.count)
        return max(0, result)
      }
      if result == Int(SKY_AGAIN) { return .waiting }
      if result == 0 { return .closed }
      if result < 0 { throw .linkClosed }
    }
    return .full
  }

  /// Writes until the queue is empty or the descriptor takes no more.
  public func write(from queue: inout ByteQueue) throws(ErrorCode) -> WriteOutcome {
    while !queue.isEmpty {
      let result = queue.bytes.withUnsafeBytes { sky_write(descriptor, $0.baseAddress, $0.count) }
      if result == Int(SKY_AGAIN) { return .waiting }
      if result < 0 { throw .linkClosed }
      queue.consume(result)
    }
    return .done
  }

  /// Writes one piece; returns how many bytes went out, 0 when none can now.
  public func write(_ bytes: RawSpan) throws(ErrorCode) -> Int {
    let result = bytes.withUnsafeBytes { sky_write(descriptor, $0.baseAddress, $0.count) }
    if result == Int(SKY_AGAIN) { return 0 }
    if result < 0 { throw .linkClosed }
    return result
  }
}

/// Who is at the other end of a Unix socket, as the kernel vouches.
public struct PeerCredentials: Equatable, Sendable {
  public let userId: UInt32
  public let groupId: UInt32
  public let processId: Int32
}

extension StreamSocket {
  public func credentials() throws(ErrorCode) -> PeerCredentials {
    var uid: UInt32 = 0
    var gid: UInt32 = 0
    var pid: Int32 = 0
    guard sky_unix_peer(descriptor, &uid, &gid, &pid) == 0 else { throw .forbidden }
    return PeerCredentials(userId: uid, groupId: gid, processId: pid)
  }

  /// True when the other end's group or supplementary groups contain `group`.
  public func peerIsIn(group: UInt32) -> Bool { sky_unix_peer_in_group(descriptor, group) }
}

/// A listening TCP socket.
public final class TcpListener {
  public let descriptor: Int32

  /// The IPv6 any-address (`::`) takes IPv4 as well. Port 0 lets the kernel choose; see `address`.
  public init(at address: Address, backlog: Int32 = 1_024) throws(ErrorCode) {
    var at = address.raw
    let made = sky_tcp_listen(&at, backlog)
    guard made >= 0 else { throw .ioFailed }
    descriptor = made
  }

  deinit { sky_close(descriptor) }

  public var address: Address? {
    var found = sky_address()
    guard sky_socket_address(descriptor, false, &found) == 0 else { return nil }
    return Address(raw: found)
  }

  /// The next connection; nil when there is none now. `full` when the process has no descriptor left.
  public func accept() throws(ErrorCode) -> StreamSocket? { try acceptStream(descriptor) }
}

/// A listening Unix socket: the program's own, or one handed over by systemd.
public final class UnixListener {
  public let descriptor: Int32
  private let path: InlineText<255>?

  /// Makes the socket file with `mode`; a stale one is replaced. Removed again at the end.
  public init(path: InlineText<255>, mode: UInt32 = 0o660, backlog: Int32 = 16) throws(ErrorCode) {
    let made = path.withCString { sky_unix_listen($0, mode, backlog) }
    guard made >= 0 else { throw .ioFailed }
    descriptor = made
    self.path = path
  }

  /// Takes a descriptor from `HandedOver`. The socket file belongs to systemd and stays.
  public init(handedOver descriptor: Int32) {
    self.descriptor = descriptor
    path = nil
  }

  deinit {
    if let path { _ = path.withCString { sky_file_remove($0) } }
    sky_close(descriptor)
  }

  public func accept() throws(ErrorCode) -> StreamSocket? { try acceptStream(descriptor) }
}

private func acceptStream(_ descriptor: Int32) throws(ErrorCode) -> StreamSocket? {
  let made = sky_accept(descriptor, nil)
  if made == SKY_AGAIN { return nil }
  guard made >= 0 else { throw .full }
  return StreamSocket(owning: made)
}

/// Descriptors that systemd gave this process (sd_listen_fds(3)).
public enum HandedOver {
  /// How many. Call before any other descriptor is made close-on-exec by hand.
  public static var count: Int { max(0, Int(sky_listen_count())) }
  public static func descriptor(_ index: Int) -> Int32 { Int32(3 + index) }

  /// The name the unit gave it (`FileDescriptorName=`), empty when none.
  public static func name(_ index: Int) -> InlineText<255> {
    var out = InlineArray<256, CChar>(repeating: 0)
    return withUnsafeMutableBytes(of: &out) { room in
      let n = sky_listen_name(Int32(index), room.baseAddress!.assumingMemoryBound(to: CChar.self), room.count)
      return InlineText(RawSpan(_unsafeStart: room.baseAddress!, byteCount: max(0, Int(n)))) ?? InlineText()
    }
  }
}
