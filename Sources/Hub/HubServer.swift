import Bounded
import Foundation
import Node
import Platform
import SkyCrypto
import Wire

/// The hub's loop: one thread, epoll, TLS. Moves bytes between sockets and the core's sessions.
///
/// Fair by construction: a link gives at most `HubCore.framesPerTurn` frames a turn, handshakes have a
/// budget of their own a turn, writes never wait. What is left over goes to the next turn's queue.
public final class HubServer {
  /// Steps of handshakes (about a millisecond of CPU each) before established links have their turn.
  static let handshakeStepsPerTurn = 8
  static let acceptsPerTurn = 32
  /// The longest wait for the other side's end of stream after our last words.
  static let lingerMs: UInt64 = 1_000

  enum Token {
    static let listener: UInt64 = 0
    static let signals: UInt64 = 1
    static let admin: UInt64 = 2
    /// As many as `UpstreamPool` has connections.
    static let upstreamFirst: UInt64 = 4
    /// As many as there can be fellows.
    static let fellowsFirst: UInt64 = 8
    static let adminFirst: UInt64 = 16
    /// Links: generation (1 and up) and slot. Never used twice.
    static let slotBits: UInt64 = 20
  }

  /// One connection's transport.
  private final class Peer {
    let link: HubLink
    let tls: TlsConnection
    let token: UInt64
    var interest: Interest = .read
    var isQueued = false
    /// Our last words are out; only the other side's end of stream is awaited.
    var isLingering = false

    init(link: HubLink, tls: TlsConnection, token: UInt64) {
      self.link = link
      self.tls = tls
      self.token = token
    }
  }

  let core: HubCore
  private let log: HubLog
  private let loop: EventLoop
  private let signals: SignalSource
  private var listener: TcpListener?
  private let admin: AdminServer
  /// Nil without an upstream.
  private let upstream: UpstreamPool?
  private let dialer: FellowDialer
  private var context: TlsContext
  private let reloadContext: () throws(HubError) -> TlsContext
  private let notify: (HubNotice) -> Void
  private var peers: [Peer?] = []
  /// Peers with work left over from an earlier turn, handshakes apart from the rest.
  private var ready: [Peer] = []
  private var handshakes: [Peer] = []
  private var isListening = true
  private var acceptAgainAt = Instant.never
  private var drainEndsAt = Instant.never
  private let startedAt = Clock.now

  /// Makes the admin socket. Nodes that connect to `listener` are served by `run`.
  ///
  /// - Parameter reloadContext: makes the TLS identity, now and again at SIGHUP.
  public init(
    core: HubCore, listener: TcpListener, directory: DataDirectory, log: HubLog, upstreamKey: String = "",
    notify: @escaping (HubNotice) -> Void,
    reloadContext: @escaping () throws(HubError) -> TlsContext
  ) throws(HubError) {
    self.core = core
    self.log = log
    self.notify = notify
    self.reloadContext = reloadContext
    context = try reloadContext()
    do throws(ErrorCode) {
      loop = try EventLoop()
      signals = try SignalSource()
    } catch { throw HubError(.internalError, "the event loop cannot be made") }
    self.listener = listener
    admin = try AdminServer(directory, loop: loop, firstToken: Token.adminFirst)
    let loop = loop
    upstream = try core.configuration.upstream.map { settings throws(HubError) in
      try UpstreamPool(settings, key: upstreamKey, loop: loop, firstToken: Token.upstreamFirst)
    }
    do throws(ErrorCode) {
      dialer = try FellowDialer(core.fellows.all, loop: loop, firstToken: Token.fellowsFirst)
    } catch { throw HubError(.internalError, "the resolver for fellows cannot be made") }
    do throws(ErrorCode) {
      try loop.add(listener.descriptor, token: Token.listener, .read)
      try loop.add(signals.descriptor, token: Token.signals, .read)
      try loop.add(admin.descriptor, token: Token.admin, .read)
    } catch { throw HubError(.internalError, "the event loop refuses a descriptor") }
  }

  /// Listens at `place`; `badConfiguration` says why not.
  public static func bind(_ place: HostPort) throws(HubError) -> TcpListener {
    guard let host = InlineText<253>(place.host), let address = Address(host, port: place.port) else {
      throw HubError(
        .badConfiguration, "--listen \(place.text): not an address", hint: "give an IPv4 or IPv6 address, not a name")
    }
    do throws(ErrorCode) { return try TcpListener(at: address) } catch {
      throw HubError(
        .badConfiguration, "cannot listen on \(place.text): \(DataDirectory.reason())",
        hint: "is another program using the port? ss -ltnp shows it")
    }
  }

  /// Serves until SIGTERM and the end of draining.
  public func run() throws(HubError) {
    notify(.ready)
    notify(.status(statusLine))
    while !isFinished {
      do throws(ErrorCode) { try loop.wait(until: nextDeadline) } catch {
        throw HubError(.internalError, "waiting for events failed")
      }
      turn()
    }
    core.finish(now: Clock.now)
    notify(.stopped)
  }

  private var isFinished: Bool {
    core.isDraining && (core.linkCount == 0 || Clock.now >= drainEndsAt)
  }

  private var nextDeadline: Instant {
    if !ready.isEmpty || !handshakes.isEmpty { return Instant(ms: 0) }
    let upstreamDue = upstream?.nextDeadline ?? .never
    return min(core.nextDeadline, admin.nextDeadline, upstreamDue, dialer.nextDeadline, acceptAgainAt, drainEndsAt)
  }

  private func turn() {
    let began = Clock.now
    core.reseed(Entropy.bytes())
    let online = core.onlineCount
    let pending = ready
    ready.removeAll(keepingCapacity: true)
    for i in 0..<loop.count { dispatch(loop[i], now: began) }
    for peer in pending {
      peer.isQueued = false
      if isCurrent(peer) { serve(peer, now: began) }
    }
    stepHandshakes(now: began)
    if core.nextDeadline <= Clock.now { core.tick(now: Clock.now) }
    dialFellows(now: Clock.now)
    flushTouched()
    workUpstream()
    for result in core.takeSendResults() { admin.finish(result.sequence, AdminReply(receipt: result)) }
    for (sequence, answer) in core.takeOwnAnswers() { admin.finish(sequence, AdminReply(answer: answer)) }
    admin.tick(now: Clock.now)
    resumeListening(now: Clock.now)
    if core.onlineCount != online { notify(.status(statusLine)) }
    core.status.longestTurnMs = max(core.status.longestTurnMs, Clock.now.since(began))
  }

  private var statusLine: String {
    if core.isDraining { return "draining, \(core.linkCount) links left" }
    return "\(core.onlineCount) nodes online, listening on \(core.status.listen)"
  }

  private func dispatch(_ event: Event, now: Instant) {
    switch event.token {
    case Token.listener: acceptBurst(now: now)
    case Token.signals: takeSignals(now: now)
    case Token.admin: admin.accept(now: now)
    case Token.fellowsFirst..<Token.adminFirst: adoptFellows(dialer.step(token: event.token, now: now), now: now)
    case Token.upstreamFirst..<Token.fellowsFirst: upstream?.handle(token: event.token, now: now)
    case ..<(1 << Token.slotBits): admin.handle(event, now: now) { self.answer($0, now: now) }
    default:
      let slot = Int(event.token & ((1 << Token.slotBits) - 1))
      guard peers.indices.contains(slot), let peer = peers[slot], peer.token == event.token else { return }
      if peer.isLingering { return discard(peer) }
      if event.isWritable { flush(peer) }
      guard event.isReadable || event.isHangup || peer.link.phase == .securing else { return }
      if event.isHangup, !event.isReadable, !peer.interest.contains(.read) { return drop(peer, .linkClosed) }
      enqueueOrServe(peer, now: now)
    }
  }

  private func enqueueOrServe(_ peer: Peer, now: Instant) {
    switch peer.link.phase {
    case .securing, .joining: enqueue(peer)
    case .online: serve(peer, now: now)
    case .free, .closing: break
    }
  }

  private func enqueue(_ peer: Peer) {
    guard !peer.isQueued else { return }
    peer.isQueued = true
    switch peer.link.phase {
    case .securing, .joining: handshakes.append(peer)
    default: ready.append(peer)
    }
  }

  private func stepHandshakes(now: Instant) {
    let batch = handshakes.prefix(Self.handshakeStepsPerTurn)
    handshakes.removeFirst(batch.count)
    for peer in batch {
      peer.isQueued = false
      // Its slot may serve somebody else by now.
      guard isCurrent(peer) else { continue }
      if peer.link.phase == .securing { secure(peer) }
      if peer.link.phase != .securing { serve(peer, now: now) }
    }
  }

  // MARK: Connections

  private func acceptBurst(now: Instant) {
    guard let listener else { return }
    do throws(ErrorCode) {
      for _ in 0..<Self.acceptsPerTurn {
        guard core.canOpen else { break }
        guard let socket = try listener.accept() else { return }
        adopt(socket, now: now)
      }
    } catch {
      log.line(.error, "no descriptor left for another connection: raise LimitNOFILE or lower --max-nodes")
      acceptAgainAt = now + Limits.acceptPauseMs
    }
    if !core.canOpen || acceptAgainAt != .never { listen(false) }
  }

  private func listen(_ on: Bool) {
    guard on != isListening, let listener else { return }
    isListening = on
    try? loop.modify(listener.descriptor, token: Token.listener, on ? .read : [])
  }

  private func resumeListening(now: Instant) {
    if acceptAgainAt <= now { acceptAgainAt = .never }
    if !isListening, core.canOpen, acceptAgainAt == .never { listen(true) }
  }

  private func adopt(_ socket: StreamSocket, now: Instant) {
    socket.tune()
    let link = core.open(address: socket.peer?.text.string ?? "an unknown address", now: now)
    do throws(ErrorCode) {
      let tls = try TlsConnection(context, over: socket)
      try loop.add(socket.descriptor, token: token(of: link), .read)
      install(Peer(link: link, tls: tls, token: token(of: link)))
    } catch {
      log.line(.error, "\(link.address): \(error.sentence)")
      core.lost(link)
    }
  }

  private func dialFellows(now: Instant) {
    for fellow in core.takeDials(now: now) { dialer.dial(fellow, now: now) }
    adoptFellows(dialer.step(now: now), now: now)
  }

  private func adoptFellows(_ ended: [(Fellow, FellowDialer.Outcome)], now: Instant) {
    for (fellow, outcome) in ended {
      do throws(ErrorCode) {
        switch outcome {
        case .failed(let code): throw code
        case .connected(let tls):
          // The other side may have become the one that is linked, or this one is stopping.
          guard !core.isDraining, fellow.link == nil else { continue }
          let link = core.openFellow(fellow, exporter: try tls.exporter(), now: now)
          install(Peer(link: link, tls: tls, token: token(of: link)))
          try loop.modify(tls.descriptor, token: token(of: link), .read)
        }
      } catch { core.dialFailed(fellow, error, now: now) }
    }
  }

  private func token(of link: HubLink) -> UInt64 { link.id.generation << Token.slotBits | UInt64(link.id.slot) }

  private func install(_ peer: Peer) {
    while peers.count <= peer.link.id.slot { peers.append(nil) }
    peers[peer.link.id.slot] = peer
  }

  private func secure(_ peer: Peer) {
    do throws(ErrorCode) {
      switch try peer.tls.handshake() {
      case .waitRead: want(peer, .read)
      case .waitWrite: want(peer, [.read, .write])
      case .done:
        want(peer, .read)
        core.secured(peer.link, exporter: try peer.tls.exporter())
      }
    } catch {
      core.status.refused["\(error.token)", default: 0] += 1
      log.line(.notice, "\(peer.link.address): \(error.sentence)")
      drop(peer, error)
    }
  }

  /// Reads, works, and says what to wait for. Twice at most, so that nobody reads for ever.
  private func serve(_ peer: Peer, now: Instant) {
    guard peer.link.phase == .joining || peer.link.phase == .online else { return }
    do throws(ErrorCode) {
      for _ in 0..<2 {
        let before = peer.link.session.input.count
        let outcome = try peer.tls.read(into: &peer.link.session.input)
        core.status.bytesIn += UInt64(peer.link.session.input.count - before)
        let wantsTurn = core.process(peer.link, now: now)
        if outcome == .closed { return drop(peer, .linkClosed) }
        guard peer.link.phase == .joining || peer.link.phase == .online else { return }
        if isBlocked(peer) {
          // Whoever does not read its answers is not read either.
          core.touch(peer.link)
          return
        }
        if wantsTurn { return enqueue(peer) }
        if outcome == .waiting { return }
      }
      enqueue(peer)
    } catch {
      drop(peer, error)
    }
  }

  private func isCurrent(_ peer: Peer) -> Bool { peers[peer.link.id.slot] === peer }

  private func isBlocked(_ peer: Peer) -> Bool { peer.link.session.output.space < HubCore.outputReserve }

  // MARK: Output

  private func flushTouched() {
    // Closing one link touches others at most once (a replaced session).
    for _ in 0..<3 {
      let links = core.takeTouched()
      if links.isEmpty { return }
      for link in links {
        guard peers.indices.contains(link.id.slot), let peer = peers[link.id.slot], peer.link === link else { continue }
        flush(peer)
      }
    }
  }

  private func flush(_ peer: Peer) {
    let link = peer.link
    if link.phase == .closing, link.closesBy <= Clock.now { return drop(peer, nil) }
    guard link.phase != .free, link.phase != .securing, !peer.isLingering else { return }
    let wasBlocked = isBlocked(peer)
    do throws(ErrorCode) {
      let before = link.session.output.count
      let outcome = try peer.tls.write(from: &link.session.output)
      core.status.bytesOut += UInt64(before - link.session.output.count)
      if link.phase == .closing {
        if outcome == .done { return linger(peer) }
        return want(peer, .write)
      }
      want(peer, interest(peer, outcome))
      if wasBlocked, !isBlocked(peer) { enqueue(peer) }
    } catch {
      drop(peer, error)
    }
  }

  private func interest(_ peer: Peer, _ outcome: WriteOutcome) -> Interest {
    switch (outcome, isBlocked(peer)) {
    case (.done, _): .read
    case (.waiting, false): [.read, .write]
    case (.waiting, true): .write
    }
  }

  private func want(_ peer: Peer, _ interest: Interest) {
    guard interest != peer.interest else { return }
    peer.interest = interest
    try? loop.modify(peer.tls.descriptor, token: peer.token, interest)
  }

  /// Closing at once could reset the connection and take our last words with it.
  private func linger(_ peer: Peer) {
    peer.isLingering = true
    peer.link.session.reset()
    peer.tls.closeNotify()
    shutdown(peer.tls.descriptor, Int32(SHUT_WR))
    peer.link.closeNoLater(than: Clock.now + Self.lingerMs)
    core.wake(at: peer.link.closesBy)
    want(peer, .read)
  }

  private func discard(_ peer: Peer) {
    var bin = InlineArray<4_096, UInt8>(repeating: 0)
    let count = withUnsafeMutableBytes(of: &bin) { recv(peer.tls.descriptor, $0.baseAddress, $0.count, 0) }
    if count == 0 || (count < 0 && errno != EAGAIN) { drop(peer, nil) }
  }

  private func drop(_ peer: Peer, _ reason: ErrorCode?) {
    let slot = peer.link.id.slot
    guard peers[slot] === peer else { return }
    peers[slot] = nil
    core.lost(peer.link, reason: reason)
  }

  // MARK: Upstream

  /// Carries requests out and brings back what came of them, in this turn.
  private func workUpstream() {
    guard let upstream else { return }
    let now = Clock.now
    for request in core.takeUpstreamRequests() { upstream.submit(request, now: now) }
    upstream.tick(now: now)
    for outcome in upstream.takeFinished() { core.upstreamEnded(outcome, now: now) }
    flushTouched()
  }

  // MARK: Signals and administration

  private func takeSignals(now: Instant) {
    while let signal = signals.next() {
      switch signal {
      case .terminate: drain(now: now)
      case .reload: reload(now: now)
      case .child: break
      }
    }
  }

  private func drain(now: Instant) {
    guard !core.isDraining else { return }
    log.line(.notice, "stopping: telling \(core.onlineCount) nodes")
    notify(.stopping)
    // The port is free for a successor from here.
    listener = nil
    dialer.cancel()
    core.drain(now: now)
    drainEndsAt = now + Limits.drainMs
    notify(.status(statusLine))
  }

  private func reload(now: Instant) {
    notify(.reloading)
    do throws(HubError) {
      context = try reloadContext()
      let closed = try core.refresh(now: now)
      log.line(.notice, "reloaded: certificate and registry; \(closed) sessions closed")
    } catch {
      log.line(.error, "reload failed, going on as before: \(error.description)")
    }
    notify(.ready)
  }

  private func answer(_ request: AdminRequest, now: Instant) -> AdminServer.Answer {
    switch request.verb {
    case .status:
      core.status.uptimeSeconds = now.since(startedAt) / 1_000
      core.status.online = core.onlineCount
      core.status.dictionaryGeneration = core.dictionary.generation
      core.status.handshaking = core.handshakingCount
      core.status.fellows = core.hasFellows ? core.fellowStatus() : nil
      return .reply(AdminReply(status: core.status))
    case .online:
      return .reply(AdminReply(online: core.onlineNodes(now: now)))
    case .refresh:
      do throws(HubError) {
        return .reply(AdminReply(closed: try core.refresh(now: now)))
      } catch {
        log.line(.error, error.description)
        return .reply(AdminReply(error: error.code))
      }
    case .send:
      guard let to = request.to, let text = request.text, text.utf8.count <= Limits.messageBytes else {
        return .reply(AdminReply(error: .badArgument))
      }
      let sent = core.sendText(text, to: to, now: now)
      guard let failure = sent.failure else {
        return .later(sequence: sent.sequence, withinMs: Limits.receiptTimeoutMs)
      }
      return .reply(AdminReply(receipt: SendReceipt(to: to, sequence: sent.sequence, failure: failure)))
    case .ask:
      guard let text = request.text, (1...Limits.questionBytes).contains(text.utf8.count) else {
        return .reply(AdminReply(error: .badArgument))
      }
      return .later(sequence: core.ask(text, now: now), withinMs: Limits.upstreamMs)
    }
  }
}

/// What the service manager is told (sd_notify(3)).
public enum HubNotice: Equatable, Sendable {
  case ready
  case reloading
  case stopping
  case stopped
  /// One line for people.
  case status(String)
}
