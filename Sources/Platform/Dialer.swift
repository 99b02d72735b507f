import Bounded
import CSky
import Wire

/// A host's name or literal address.
public typealias HostText = InlineText<253>

/// At most `Limits.resolvedAddresses` addresses, stored inline.
public struct AddressList: Sendable {
  private var slots = InlineArray<8, sky_address>(repeating: sky_address())
  public private(set) var count = 0

  init() {}

  mutating func append(_ address: sky_address) {
    guard count < Limits.resolvedAddresses else { return }
    slots[count] = address
    count += 1
  }

  public subscript(index: Int) -> Address {
    precondition(index >= 0 && index < count)
    return Address(raw: slots[index])
  }

  /// The same with the two families taking turns, beginning with the first one's (RFC 8305, section 4).
  func interleaved() -> AddressList {
    var out = AddressList()
    guard count > 0 else { return out }
    var next = (same: 0, other: 0)
    let first = slots[0].family
    while out.count < count {
      while next.same < count, slots[next.same].family != first { next.same += 1 }
      if next.same < count {
        out.append(slots[next.same])
        next.same += 1
      }
      while next.other < count, slots[next.other].family == first { next.other += 1 }
      if next.other < count {
        out.append(slots[next.other])
        next.other += 1
      }
    }
    return out
  }
}

/// Names to addresses, one query at a time, never blocking. /etc/hosts first, then DNS; both are read
/// anew for each query.
public final class Resolver {
  private let raw: OpaquePointer

  public init() throws(ErrorCode) {
    var made: OpaquePointer?
    guard sky_dns_create(&made) == 0, let made else { throw .internalError }
    raw = made
  }

  deinit { sky_dns_free(raw) }

  /// Readable when `step` has something to do. The same for the resolver's whole life.
  public var descriptor: Int32 { sky_dns_descriptor(raw) }

  /// Starts a query, giving up an earlier one. Call `step` right after.
  public func start(_ host: HostText, port: UInt16) throws(ErrorCode) {
    let result = host.withCString { sky_dns_start(raw, $0, port) }
    guard result == 0 else { throw result == SKY_DNS_FULL ? .full : .resolveFailed }
  }

  /// The addresses, nil while the query runs. `resolveFailed` when there are none.
  public func step() throws(ErrorCode) -> AddressList? {
    let result = sky_dns_step(raw)
    if result == SKY_AGAIN { return nil }
    guard result > 0, let found = sky_dns_addresses(raw) else {
      throw result == SKY_DNS_FULL ? .full : .resolveFailed
    }
    var list = AddressList()
    for i in 0..<Int(result) { list.append(found[i]) }
    return list
  }

  /// When `step` has to be called without anything readable.
  public func deadline(_ now: Instant) -> Instant {
    let ms = sky_dns_timeout_ms(raw)
    return ms < 0 ? .never : now + UInt64(ms)
  }

  public func cancel() { sky_dns_cancel(raw) }
}

/// Makes one TLS connection to a named host: resolve, connect, handshake. Or, for who asks for that, one in the clear.
///
/// Addresses are tried one after the other, families in turn, each for `Limits.connectAttemptMs`; the
/// first that accepts a connection is used. It watches whatever descriptor is current under its one
/// token; its owner calls `step` for every event with that token and when the time of `waiting` has
/// come. Extra calls do no harm.
///
/// Order: `start`, `step`… until it returns `connected` or throws; both leave it idle.
public final class Dialer {
  public enum Outcome {
    /// Call `step` at an event or at this time, whichever is first.
    case waiting(until: Instant)
    /// Done. The connection's descriptor is in the loop for reading under the dialer's token.
    case connected(TlsConnection)
    /// The same, without TLS: nothing to trust was given.
    case connectedInClear(StreamSocket)
  }

  private enum Phase {
    case idle
    case resolving
    case connecting(StreamSocket, until: Instant)
    case securing(TlsConnection)
  }

  private let loop: EventLoop
  private let resolver: Resolver
  private var phase = Phase.idle
  private var token: UInt64 = 0
  private var host = HostText()
  private var trust: TlsContext?
  private var overall = Instant.never
  private var addresses = AddressList()
  private var nextAddress = 0
  /// The interest that the current descriptor is in the loop with.
  private var watched = Interest()

  public init(loop: EventLoop) throws(ErrorCode) {
    self.loop = loop
    resolver = try Resolver()
  }

  public var isIdle: Bool {
    if case .idle = phase { return true }
    return false
  }

  /// The address connected to or being tried, for the journal.
  public var address: Address? { nextAddress > 0 ? addresses[nextAddress - 1] : nil }

  /// Starts anew, giving up what was under way. Not later than `deadline` it ends with an error:
  /// `resolveFailed`, `connectFailed` or `handshakeTimeout`, whichever step was not done. Without `trust` there is no TLS.
  public func start(
    _ host: HostText, port: UInt16, trust: TlsContext?, token: UInt64, deadline: Instant
  ) throws(ErrorCode) {
    cancel()
    self.host = host
    self.trust = trust
    self.token = token
    overall = deadline
    addresses = AddressList()
    nextAddress = 0
    try resolver.start(host, port: port)
    try loop.add(resolver.descriptor, token: token, .read)
    phase = .resolving
  }

  /// Gives up what is under way.
  public func cancel() {
    if case .resolving = phase {
      resolver.cancel()
      loop.remove(resolver.descriptor)
    }
    phase = .idle
    trust = nil
  }

  /// Goes on. Errors: `resolveFailed`, `connectFailed`, `tlsFailed`, `pinMismatch`,
  /// `certificateInvalid`, `handshakeTimeout`, `full` (no descriptor or memory left).
  public func step(_ now: Instant) throws(ErrorCode) -> Outcome {
    do {
      return try advance(now)
    } catch {
      cancel()
      throw error
    }
  }

  private func advance(_ now: Instant) throws(ErrorCode) -> Outcome {
    while true {
      switch phase {
      case .idle: throw .internalError
      case .resolving:
        if let found = try resolver.step() {
          loop.remove(resolver.descriptor)
          addresses = found.interleaved()
          try connectNext(now)
        } else {
          guard now < overall else { throw .resolveFailed }
          return .waiting(until: min(overall, resolver.deadline(now)))
        }
      case .connecting(let socket, let until):
        var isOver = now >= until
        var isConnected = false
        do { isConnected = try socket.connectResult() } catch { isOver = true }
        if isConnected, trust == nil {
          socket.tune()
          try watch(socket.descriptor, .read)
          phase = .idle
          return .connectedInClear(socket)
        } else if isConnected {
          try secure(socket)
        } else if now >= overall {
          throw .connectFailed
        } else if isOver {
          try connectNext(now)
        } else {
          return .waiting(until: min(overall, until))
        }
      case .securing(let connection):
        let progress = try connection.handshake()
        if progress == .done {
          try watch(connection.descriptor, .read)
          phase = .idle
          trust = nil
          return .connected(connection)
        }
        guard now < overall else { throw .handshakeTimeout }
        try watch(connection.descriptor, progress == .waitRead ? .read : .write)
        return .waiting(until: overall)
      }
    }
  }

  /// Begins with the next address that takes an attempt at all.
  private func connectNext(_ now: Instant) throws(ErrorCode) {
    while nextAddress < addresses.count {
      let address = addresses[nextAddress]
      nextAddress += 1
      guard let socket = try? StreamSocket.connecting(to: address) else { continue }
      try loop.add(socket.descriptor, token: token, .write)
      watched = .write
      phase = .connecting(socket, until: now + Limits.connectAttemptMs)
      return
    }
    throw .connectFailed
  }

  private func secure(_ socket: StreamSocket) throws(ErrorCode) {
    guard let trust else { throw .internalError }
    socket.tune()
    phase = .securing(try TlsConnection(trust, over: socket, host: host))
  }

  private func watch(_ descriptor: Int32, _ interest: Interest) throws(ErrorCode) {
    guard interest != watched else { return }
    try loop.modify(descriptor, token: token, interest)
    watched = interest
  }
}
