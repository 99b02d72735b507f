import Bounded
import Node
import Platform
import SkyCrypto
import Wire

/// Where leaves come in when this node relays: the listening socket, TLS in the server's role, and the moving of
/// bytes between each connection and its place in the relay's table. Knows nothing of what the bytes mean.
final class LeafDoor {
  static let listenerToken: UInt64 = 5 << 32
  /// With a number that is never used twice, and the place.
  private static let leafTokens: UInt64 = 1 << 40

  private struct Visitor {
    let tls: TlsConnection
    let token: UInt64
    var interest: Interest = .read
    /// TLS stands.
    var isSecured = false
    /// TLS holds bytes that there was no room for.
    var hasMore = false
  }

  /// Where leaves are told to come, with the pin; and whether that names no host.
  let place: HubEntry
  let listensEverywhere: Bool
  private let loop: EventLoop
  private let listener: TcpListener
  private let context: TlsContext
  private var visitors: [Visitor?]
  private var number: UInt64 = 0
  /// When to listen again; never, while it listens.
  private var acceptAgainAt = Instant.never

  /// Listens at `address`; `connectFailed` when it cannot. `place` is what leaves are told.
  init(at address: HubEntry, place: HubEntry, _ credentials: borrowing TlsCredentials, loop: EventLoop)
    throws(ErrorCode)
  {
    self.loop = loop
    guard let parsed = Address(address.host, port: address.port) else { throw .badConfiguration }
    do throws(ErrorCode) { listener = try TcpListener(at: parsed, backlog: 16) } catch { throw .connectFailed }
    context = try TlsContext.server(certificate: credentials.certificate.bytes, key: credentials.key.bytes)
    var place = place
    place.pin = try TlsContext.pin(ofCertificate: credentials.certificate.bytes)
    self.place = place
    listensEverywhere = place.host.bytes.elementsEqual("0.0.0.0") || place.host.bytes.elementsEqual("::")
    visitors = (0..<Limits.relayPeers).map { _ in nil }
    try loop.add(listener.descriptor, token: Self.listenerToken, .read)
  }

  /// The place in the table that an event is about; nil when it is not about a leaf that is still here.
  func index(of token: UInt64) -> Int? {
    guard token >= Self.leafTokens else { return nil }
    let index = Int(token & 0xFF)
    return index < visitors.count && visitors[index]?.token == token ? index : nil
  }

  // MARK: Coming and going

  /// When `pump` has something to do that waits for nobody else.
  var deadline: Instant { acceptAgainAt }

  func accept(_ node: Node, now: Instant) {
    do throws(ErrorCode) {
      while let socket = try listener.accept() {
        // Nobody waits in a queue for a place that may not come: he looks elsewhere.
        guard let index = node.openPeer(now: now) else { continue }
        admit(socket, index, node, now: now)
      }
    } catch {
      // No descriptor is left: those that wait are served when one is.
      acceptAgainAt = now + Limits.acceptPauseMs
      listen([])
    }
  }

  private func listen(_ interest: Interest) {
    do throws(ErrorCode) { try loop.modify(listener.descriptor, token: Self.listenerToken, interest) } catch {}
  }

  private func admit(_ socket: StreamSocket, _ index: Int, _ node: Node, now: Instant) {
    socket.tune()
    number += 1
    let token = Self.leafTokens | number << 8 | UInt64(index)
    do throws(ErrorCode) {
      let tls = try TlsConnection(context, over: socket)
      try loop.add(socket.descriptor, token: token, .read)
      visitors[index] = Visitor(tls: tls, token: token)
    } catch {
      node.handle(.peerDown(index, error), now: now)
    }
  }

  /// Sends what the session holds, as far as the socket takes it, and closes.
  func close(_ index: Int, _ node: Node, now: Instant) {
    if let visitor = visitors[index] {
      do throws(ErrorCode) { _ = try visitor.tls.write(from: &node.relay.peers[index].session.output) } catch {}
      visitor.tls.closeNotify()
    }
    lose(index, .linkClosed, node, now: now)
  }

  private func lose(_ index: Int, _ code: ErrorCode, _ node: Node, now: Instant) {
    visitors[index] = nil
    node.handle(.peerDown(index, code), now: now)
  }

  // MARK: Bytes

  func serve(_ index: Int, _ node: Node, now: Instant) {
    do throws(ErrorCode) {
      guard try secure(index, node, now: now) else { return }
      try read(index, node, now: now)
    } catch { lose(index, error, node, now: now) }
  }

  /// True when TLS stands.
  private func secure(_ index: Int, _ node: Node, now: Instant) throws(ErrorCode) -> Bool {
    guard let visitor = visitors[index] else { return false }
    if visitor.isSecured { return true }
    switch try visitor.tls.handshake() {
    case .waitRead: try want(.read, index)
    case .waitWrite: try want([.read, .write], index)
    case .done:
      visitors[index]!.isSecured = true
      try want(.read, index)
      node.handle(.peerUp(index, exporter: try visitor.tls.exporter(), entropy: Entropy.bytes()), now: now)
      return true
    }
    return false
  }

  private func read(_ index: Int, _ node: Node, now: Instant) throws(ErrorCode) {
    guard let visitor = visitors[index] else { return }
    let outcome = try visitor.tls.read(into: &node.relay.peers[index].session.input)
    visitors[index]!.hasMore = outcome == .full
    node.handle(.peerBytes(index), now: now)
    if outcome == .closed { throw .linkClosed }
  }

  /// Sends what the node wrote to leaves, reads on where there is room again, and watches for what is awaited.
  func pump(_ node: Node, now: Instant) {
    if acceptAgainAt <= now {
      acceptAgainAt = .never
      listen(.read)
    }
    for index in 0..<visitors.count {
      guard let visitor = visitors[index], visitor.isSecured else { continue }
      do throws(ErrorCode) {
        if visitor.hasMore, node.relay.peers[index].session.input.space > 0 { try read(index, node, now: now) }
        let outcome = try visitor.tls.write(from: &node.relay.peers[index].session.output)
        var interest: Interest = outcome == .waiting ? .write : []
        // Whoever sends more than goes on is not read: his own queue fills, not ours.
        if node.relay.peers[index].session.input.space > 0 { interest.insert(.read) }
        try want(interest, index)
      } catch { lose(index, error, node, now: now) }
    }
  }

  private func want(_ interest: Interest, _ index: Int) throws(ErrorCode) {
    guard let visitor = visitors[index], visitor.interest != interest else { return }
    visitors[index]!.interest = interest
    try loop.modify(visitor.tls.descriptor, token: visitor.token, interest)
  }
}
