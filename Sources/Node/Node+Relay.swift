import Bounded
import SkyCrypto
import Wire

/// Relay duty: leaves link to this node as they would to a hub; the hub decides who may, and is told the way.
///
/// Nothing is kept here that was acknowledged: a durable message stays with its sender until the hub has it, and with
/// the hub until its receiver has it (docs/reliability.md). Ordinary frames go on at once or are dropped and counted.
extension Node {
  // MARK: Connections

  /// A place for a connection that was accepted; nil: close it. TLS is the caller's business, then `peerUp`.
  public func openPeer(now: Instant) -> Int? {
    guard activeDuties.contains(.relay), hasWayUp, let place = relay.freePlace() else { return nil }
    relay.references += 1
    relay.peers[place].open(reference: relay.references, now: now)
    return place
  }

  /// Without one nobody can be let in; those who look for a way had better find this one closed.
  private var hasWayUp: Bool { state == .online && !isCutOff }

  func peerSecured(_ place: Int, exporter: Bytes32, entropy: Bytes32) {
    let peer = relay.peers[place]
    guard peer.phase == .securing else { return }
    random.reseed(entropy)
    peer.exporter = exporter
    peer.session.startAsHub(exporter: exporter, highestVersion: me.highestVersion)
    peer.phase = .greeting
  }

  /// The stream is gone: after this the place is anybody's.
  func peerLost(_ place: Int, _ code: ErrorCode, now: Instant) {
    let peer = relay.peers[place]
    guard peer.phase != .free else { return }
    leave(place, code, now: now)
    peer.release()
  }

  /// Ends a link with a named error. Its last words are in the output; the daemon sends them and reports `peerDown`.
  func closePeer(_ place: Int, _ code: ErrorCode, now: Instant) {
    let peer = relay.peers[place]
    guard peer.phase != .free, peer.phase != .closing else { return }
    peer.session.close(code, now: now)
    leave(place, code, now: now)
    peer.phase = .closing
    peer.wantsClose = true
  }

  /// Forgets whom this place led to, and tells the hub.
  private func leave(_ place: Int, _ code: ErrorCode, now: Instant) {
    let peer = relay.peers[place]
    guard peer.isLinked else { return }
    if peer.phase == .online { tell(.leafLeft(peer.id, code)) }
    if code != .linkClosed, code != .draining { relay.counters.linkErrors += 1 }
    peer.phase = .closing
    while let id = relay.popRoute(through: place) { sayGone(id, now: now) }
  }

  func sayGone(_ id: UInt32, now: Instant) {
    scratch.clear()
    _ = RouteWord(id: id, failure: .linkClosed).append(to: &scratch)
    // Without room the hub hears it when it next sends something there.
    sendUpIfRoom(FrameHeader(kind: .detach, source: nodeId, destination: 0), now: now)
  }

  /// Closes links whose time is up; when the next one's will be.
  func expirePeers(now: Instant) {
    for place in 0..<relay.peers.count where relay.peers[place].deadline(silenceMs: silenceMs) <= now {
      let peer = relay.peers[place]
      guard peer.phase == .online else {
        closePeer(place, .handshakeTimeout, now: now)
        continue
      }
      peer.forgiveIfDue(now: now)
      guard peer.endOfLink(silenceMs: silenceMs) <= now else { continue }
      closePeer(place, now >= peer.session.keyDeadline ? .keyExpired : .linkSilent, now: now)
    }
  }

  var relayDeadline: Instant {
    var earliest = Instant.never
    for peer in relay.peers { earliest = min(earliest, peer.deadline(silenceMs: silenceMs)) }
    return earliest
  }

  /// Leaves look for another way when this node stops relaying.
  func closePeersIfOffDuty(now: Instant) {
    guard !activeDuties.contains(.relay) || state == .draining || state == .stopped else { return }
    for place in 0..<relay.peers.count { closePeer(place, .draining, now: now) }
  }

  // MARK: From a leaf

  /// Bytes have come. Those of a member wait for `moveRelayed`, where all have equal turns.
  func noteBytes(_ place: Int, now: Instant) {
    if relay.peers[place].isLinked { relay.peers[place].hasMore = true } else { readPeer(place, now: now) }
  }

  /// Works on what a leaf has sent, one turn of it.
  private func readPeer(_ place: Int, now: Instant) {
    let peer = relay.peers[place]
    var left = Limits.relayFramesPerTurn
    peer.hasMore = false
    while peer.phase != .free, peer.phase != .closing, peer.phase != .securing {
      // What is read must have a place to go: who sends more than the hub takes has to wait.
      guard left > 0, !peer.isLinked || canGoOn(peer), peer.session.output.space >= Limits.relayReserveBytes else {
        peer.hasMore = true
        return
      }
      left -= 1
      do throws(ErrorCode) {
        let before = peer.session.input.count
        let event = try peer.session.nextEvent(now: now, identity: identity, random: &random)
        if peer.session.input.count < before { peer.lastHeard = now }
        guard let event else { return }
        try take(event, from: place, now: now)
      } catch {
        closePeer(place, error, now: now)
      }
    }
  }

  /// Goes on with what leaves have sent, each in turn, as far as there is room.
  public func moveRelayed(now: Instant) {
    for step in 0..<relay.peers.count {
      let place = (relay.turn + step) % relay.peers.count
      let peer = relay.peers[place]
      if peer.hasMore { readPeer(place, now: now) }
    }
    // The one after the first has the first turn next time.
    if !relay.peers.isEmpty { relay.turn = (relay.turn + 1) % relay.peers.count }
  }

  /// Whether `moveRelayed` has something to do that waits for nobody.
  public var isRelayDue: Bool {
    for peer in relay.peers where peer.hasMore && canGoOn(peer) {
      if peer.session.output.space >= Limits.relayReserveBytes { return true }
    }
    return false
  }

  /// There is room towards the hub, and the leaf has not had its share of what is on its way.
  private func canGoOn(_ peer: RelayPeer) -> Bool {
    guard state == .online else { return true }
    return session.output.count <= Limits.relayQueueBytes && !peer.hasItsShare
  }

  private func take(_ event: Session.Event, from place: Int, now: Instant) throws(ErrorCode) {
    let peer = relay.peers[place]
    switch event {
    case .hello: askToAdmit(place, now: now)
    case .established:
      peer.phase = .joined
      peer.linkedSince = now
      challenge(place, now: now)
    case .frame(let frame): try take(frame, from: place, now: now)
    case .rekeyed: break
    case .closed(let code):
      leave(place, code, now: now)
      peer.phase = .closing
      peer.wantsClose = true
    }
  }

  /// The hub knows tokens and keys; this node only passes the question on.
  private func askToAdmit(_ place: Int, now: Instant) {
    let peer = relay.peers[place]
    guard let hello = peer.session.peerHello else { return }
    if equal(hello.identity, identity.publicKey) { return refuse(place, .routeLoop, now: now) }
    guard state == .online else { return refuse(place, .offline, now: now) }
    peer.instance = hello.instance
    scratch.clear()
    scratch.append(peer.exporter.raw)
    peer.session.copyHello(to: &scratch)
    guard sendUpIfRoom(FrameHeader(kind: .admit, source: nodeId, sequence: peer.reference), now: now) else {
      return refuse(place, .busy, now: now)
    }
    peer.phase = .asking
  }

  func refuse(_ place: Int, _ code: ErrorCode, now: Instant) {
    let peer = relay.peers[place]
    peer.session.refuse(code, now: now)
    peer.phase = .closing
    peer.wantsClose = true
  }

  private func take(_ frame: FrameHeader, from place: Int, now: Instant) throws(ErrorCode) {
    let peer = relay.peers[place]
    if frame.kind == .routeProof { return try claim(place, now: now) }
    guard peer.phase == .online else { throw .unexpectedRecord }
    guard frame.source == peer.id || relay.place(of: frame.source) == place else { throw .spoofedSource }
    switch frame.kind {
    case .heartbeat:
      if frame.source == peer.id {
        try acknowledgeBeat(frame, place, now: now)
        if peer.way != .known { challenge(place, now: now) }
      }
      forwardUp(frame, from: place, now: now)
    case .message where frame.isDurable: forwardUp(frame, from: place, now: now)
    case .message: try takeFromLeaf(message: frame, place, now: now)
    case .receipt: try takeFromLeaf(receipt: frame, place, now: now)
    case .stored, .wordQuery, .dictionaryRequest, .system, .bundleRequest, .jobProgress, .jobResult, .question, .vote,
      .card, .keyQuery, .offer, .offerRequest:
      forwardUp(frame, from: place, now: now)
    case .pong: if frame.sequence != 0 { forwardUp(frame, from: place, now: now) }
    // A leaf may be a relay itself.
    case .admit: try passAdmit(frame, place, now: now)
    case .attach: forwardUp(frame, from: place, now: now)
    case .detach:
      let gone = try peer.session.withBody { body throws(ErrorCode) in try RouteWord(decoding: body) }
      guard gone.id != peer.id, relay.place(of: gone.id) == place else { return relay.counters.strays += 1 }
      relay.dropRoute(to: gone.id)
      forwardUp(frame, from: place, now: now)
    default: throw .unexpectedRecord
    }
  }

  private func acknowledgeBeat(_ frame: FrameHeader, _ place: Int, now: Instant) throws(ErrorCode) {
    let peer = relay.peers[place]
    scratch.clear()
    HeartbeatAck(wallTimeMs: wallTimeMs(now: now), isCutOff: !hasWayUp).append(to: &scratch)
    try peer.session.send(
      FrameHeader(kind: .heartbeatAck, destination: peer.id, sequence: frame.sequence), bodyOf: scratch, now: now)
  }

  private func takeFromLeaf(message frame: FrameHeader, _ place: Int, now: Instant) throws(ErrorCode) {
    let failure: ErrorCode?
    if frame.destination == nodeId {
      scratch.clear()
      let closed = try relay.peers[place].session.withBody { body throws(ErrorCode) in
        self.openIntoScratch(body, frame, now: now)
      }
      failure = closed ?? putScratchIntoInbox(frame, now: now)
      sendReceipt(for: frame, failure, to: place, now: now)
      return runSeals(now: now)
    } else if let other = relay.place(of: frame.destination), other != place {
      failure = forwardDown(frame, from: relay.peers[place].session, to: other, now: now)
    } else {
      failure = forwardUp(frame, from: place, now: now)
    }
    // What became of it the receiver says; here only that it cannot go on.
    if let failure {
      sendReceipt(for: frame, failure, to: place, now: now)
    } else {
      relay.peers[place].noteHandedOn(now: now)
    }
  }

  private func takeFromLeaf(receipt frame: FrameHeader, _ place: Int, now: Instant) throws(ErrorCode) {
    if frame.destination == nodeId {
      let receipt = try relay.peers[place].session.withBody { body throws(ErrorCode) in try Receipt(decoding: body) }
      takeReceipt(receipt, frame)
    } else if let other = relay.place(of: frame.destination), other != place {
      _ = forwardDown(frame, from: relay.peers[place].session, to: other, now: now)
    } else {
      forwardUp(frame, from: place, now: now)
    }
  }

  private func sendReceipt(for frame: FrameHeader, _ failure: ErrorCode?, to place: Int, now: Instant) {
    scratch.clear()
    _ = Receipt(sequence: frame.sequence, failure: failure).append(to: &scratch)
    sendDown(FrameHeader(kind: .receipt, source: frame.destination, destination: frame.source), to: place, now: now)
  }

  /// A relay behind this one asks for a node that wants in; not for this node, or the way would be a circle.
  private func passAdmit(_ frame: FrameHeader, _ place: Int, now: Instant) throws(ErrorCode) {
    let key = try relay.peers[place].session.withBody { body throws(ErrorCode) in
      try Admit.check(body)
      return try Hello(decoding: body.extracting(Limits.exporterBytes..<body.byteCount)).identity
    }
    let failure: ErrorCode? =
      equal(key, identity.publicKey) ? .routeLoop : forwardUp(frame, from: place, now: now)
    guard let failure else { return }
    scratch.clear()
    _ = Admitted(id: 0, failure: failure, count: 0).append(to: &scratch)
    sendDown(
      FrameHeader(kind: .admitted, destination: frame.source, sequence: frame.sequence), to: place, now: now)
  }

  // MARK: The way to a leaf

  /// What names the hub's link at the top of the way; nil while there is none.
  var top: (nonce: Bytes32, hub: Bytes32)? {
    guard state == .online, let welcome = session.peerWelcome else { return nil }
    // Behind a relay the top is where that relay's challenge said.
    if welcome.hubId >= Limits.lightNodeFirst { return challenged.map { ($0.nonce, $0.hub) } }
    return (session.linkNonce, welcome.identity)
  }

  /// Asks a leaf to sign that it is reached through here.
  private func challenge(_ place: Int, now: Instant) {
    let peer = relay.peers[place]
    peer.way = .unknown
    guard let top, peer.isLinked else { return }
    relay.count += 1
    peer.count = relay.count
    scratch.clear()
    _ = RouteChallenge(nonce: top.nonce, hub: top.hub, relay: nodeId, count: peer.count).append(to: &scratch)
    if sendDown(FrameHeader(kind: .routeChallenge, destination: peer.id), to: place, now: now) == nil {
      peer.way = .challenged
    }
  }

  /// A new way to the hub: it has to hear of every leaf again.
  func challengePeers(now: Instant) {
    for place in 0..<relay.peers.count where relay.peers[place].isLinked { challenge(place, now: now) }
  }

  private func claim(_ place: Int, now: Instant) throws(ErrorCode) {
    let peer = relay.peers[place]
    let proof = try peer.session.withBody { body throws(ErrorCode) in try RouteProof(decoding: body) }
    // To a challenge of before, or one that the way's own top has made out of date: with CONFIGURE comes another.
    guard peer.isLinked, !isWayNew, peer.way == .challenged, proof.count == peer.count else {
      return relay.counters.strays += 1
    }
    scratch.clear()
    _ = Attach(id: peer.id, instance: peer.instance, proof: proof).append(to: &scratch)
    if sendUpIfRoom(FrameHeader(kind: .attach, source: nodeId, sequence: peer.reference), now: now) {
      peer.way = .claimed
    }
  }

  /// The parameters a leaf gets from here: the hub's own, with the hubs it may try when this relay is gone.
  func configurePeer(_ place: Int, now: Instant) {
    let peer = relay.peers[place]
    let message = Configure(
      wallTimeMs: wallTimeMs(now: now), heartbeatIntervalMs: UInt32(heartbeatIntervalMs),
      rekeyAfterMs: UInt32(hubRekeyAfterMs), dictionaryGeneration: hubDictionaryGeneration,
      allowedDuties: allowedDuties, hubs: admission.hubs, takesQuestions: hubTakesQuestions,
      takesSeals: hubTakesSeals)
    scratch.clear()
    guard message.append(to: &scratch),
      sendDown(FrameHeader(kind: .configure, destination: peer.id), to: place, now: now) == nil
    else { return closePeer(place, .full, now: now) }
    guard peer.phase == .joined else { return }
    peer.phase = .online
    relay.counters.joined += 1
    tell(.leafJoined(peer.id))
  }
}
