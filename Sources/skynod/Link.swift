import Bounded
import Node
import Platform
import SkyCrypto
import Wire

/// The daemon's one link to a hub, seen from the outside: dialling, the TLS stream, and moving bytes between
/// it and the node's session. Knows nothing of what the bytes mean.
final class Link {
  static let token: UInt64 = 1 << 32
  static let probeToken: UInt64 = 2 << 32

  private let loop: EventLoop
  private let dialer: Dialer
  private let prober: Dialer
  private var authorities = ByteQueue(capacity: Limits.authorityFileBytes)
  /// Where a file is read before it takes the place of `authorities`.
  private var nextAuthorities = ByteQueue(capacity: Limits.authorityFileBytes)
  private var connection: TlsConnection?
  private var wantsWrite = false
  private(set) var deadline = Instant.never
  private(set) var probeDeadline = Instant.never

  init(loop: EventLoop) throws(ErrorCode) {
    self.loop = loop
    dialer = try Dialer(loop: loop)
    prober = try Dialer(loop: loop)
  }

  /// The authorities that hubs without a pin are checked against. On `certificateInvalid`, whatever keeps the
  /// file from being read, the ones before stay.
  func loadAuthorities(_ path: PathText) throws(ErrorCode) {
    nextAuthorities.clear()
    if !path.isEmpty {
      do throws(ErrorCode) { try Files.read(path, into: &nextAuthorities) } catch { throw .certificateInvalid }
    }
    swap(&authorities, &nextAuthorities)
  }

  var isConnected: Bool { connection != nil }

  private func trust(_ hub: HubEntry) throws(ErrorCode) -> TlsContext {
    if hub.isPinned { return try TlsContext.client(pin: hub.pin) }
    guard !authorities.isEmpty else { throw .certificateInvalid }
    return try Self.context(authorities)
  }

  /// A span cannot leave the property that holds its buffer: it is lent for a call.
  private static func context(_ authorities: borrowing ByteQueue) throws(ErrorCode) -> TlsContext {
    try TlsContext.client(caPem: authorities.bytes)
  }

  // MARK: Actions of the node

  func connect(to hub: HubEntry, now: Instant) throws(ErrorCode) {
    drop()
    try dialer.start(
      hub.host, port: hub.port, trust: try trust(hub), token: Self.token, deadline: now + Limits.handshakeTimeoutMs)
    deadline = now  // the first step is due at once
  }

  func probe(_ hub: HubEntry, now: Instant) throws(ErrorCode) {
    try prober.start(
      hub.host, port: hub.port, trust: try trust(hub), token: Self.probeToken,
      deadline: now + Limits.handshakeTimeoutMs)
    probeDeadline = now
  }

  /// Sends what is left as far as the socket takes it, says goodbye and closes.
  func disconnect(_ session: inout Session) {
    if let connection {
      do throws(ErrorCode) { _ = try connection.write(from: &session.output) } catch {}
      connection.closeNotify()
    }
    drop()
  }

  private func drop() {
    dialer.cancel()
    connection = nil
    wantsWrite = false
    deadline = .never
  }

  // MARK: Progress

  /// Goes on dialling. The exporter once TLS stands, nil before.
  func step(now: Instant) throws(ErrorCode) -> Bytes32? {
    guard connection == nil, !dialer.isIdle else { return nil }
    switch try dialer.step(now) {
    case .waiting(let until):
      deadline = until
      return nil
    case .connected(let made):
      deadline = .never
      connection = made
      return try made.exporter()
    // With something to trust there is always TLS.
    case .connectedInClear: throw .internalError
    }
  }

  /// True or false once it is known whether the probed hub answers.
  func stepProbe(now: Instant) -> Bool? {
    guard !prober.isIdle else { return nil }
    do throws(ErrorCode) {
      switch try prober.step(now) {
      case .waiting(let until):
        probeDeadline = until
        return nil
      case .connected(let made):
        made.closeNotify()
        probeDeadline = .never
        return true
      case .connectedInClear: throw .internalError
      }
    } catch {
      probeDeadline = .never
      return false
    }
  }

  /// Reads once into the session. False when there was nothing more to read.
  func read(into session: inout Session) throws(ErrorCode) -> Bool {
    guard let connection else { return false }
    switch try connection.read(into: &session.input) {
    case .waiting: return false
    case .full: return true
    case .closed: throw .linkClosed
    }
  }

  /// Writes what the session has, and watches for room when the socket takes no more.
  func flush(_ session: inout Session) throws(ErrorCode) {
    guard let connection else { return }
    let outcome = try connection.write(from: &session.output)
    let waits = outcome == .waiting
    if waits != wantsWrite {
      wantsWrite = waits
      try loop.modify(connection.descriptor, token: Self.token, waits ? [.read, .write] : .read)
    }
  }
}
