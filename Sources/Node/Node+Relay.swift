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
    peer.session.startAsHub(exporter: exporter)
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

  private func sayGone(_ id: UInt32, now: Instant) {
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

  private func refuse(_ place: Int, _ code: ErrorCode, now: Instant) {
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
  private func configurePeer(_ place: Int, now: Instant) {
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

  // MARK: From the hub

  func takeAdmitted(_ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    let answer = try session.withBody { body throws(ErrorCode) in try Admitted(decoding: body) }
    guard let place = relay.index(ofReference: frame.sequence), relay.peers[place].phase == .asking else {
      return relay.counters.strays += 1
    }
    let peer = relay.peers[place]
    if let failure = answer.failure { return refuse(place, failure, now: now) }
    relay.count = max(relay.count, answer.count)
    peer.id = answer.id
    peer.phase = .confirming
    do throws(ErrorCode) {
      try peer.session.accept(nodeId: answer.id, hubId: nodeId, identity: identity, random: &random, now: now)
    } catch { closePeer(place, error, now: now) }
  }

  func takeAttached(_ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    let word = try session.withBody { body throws(ErrorCode) in try RouteWord(decoding: body) }
    // A leaf that has gone meanwhile is not here: the hub hears so when it sends something there.
    guard let place = relay.index(ofReference: frame.sequence), relay.peers[place].isLinked,
      relay.peers[place].way == .claimed, relay.peers[place].id == word.id
    else { return relay.counters.strays += 1 }
    if let failure = word.failure { return closePeer(place, failure, now: now) }
    // An older link of the same run has not noticed that it is dead.
    if let older = relay.place(of: word.id), older != place {
      relay.dropRoute(to: word.id)
      closePeer(older, .linkClosed, now: now)
    }
    guard relay.setRoute(to: word.id, place: place) else { return closePeer(place, .full, now: now) }
    relay.peers[place].way = .known
    configurePeer(place, now: now)
  }

  func takeDetach(now: Instant) throws(ErrorCode) {
    let word = try session.withBody { body throws(ErrorCode) in try RouteWord(decoding: body) }
    guard let place = relay.place(of: word.id), relay.peers[place].id == word.id else { return }
    // The hub knows already.
    relay.dropRoute(to: word.id)
    closePeer(place, word.failure ?? .linkClosed, now: now)
  }

  /// A frame for somebody behind this node.
  func routeDown(_ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    guard let place = relay.place(of: frame.destination) else { return notHere(frame, now: now) }
    if frame.kind == .attached || frame.kind == .detach, frame.destination != nodeId {
      try noteWay(frame, place, now: now)
    }
    guard let failure = forwardDown(frame, from: session, to: place, now: now) else { return }
    if frame.kind == .message { refuseInItsName(frame, failure, now: now) }
  }

  /// A relay behind this one has gained or lost a leaf.
  private func noteWay(_ frame: FrameHeader, _ place: Int, now: Instant) throws(ErrorCode) {
    let word = try session.withBody { body throws(ErrorCode) in try RouteWord(decoding: body) }
    if frame.kind == .attached, word.failure == nil {
      if !relay.setRoute(to: word.id, place: place) { sayGone(word.id, now: now) }
    } else if relay.place(of: word.id) == place, relay.peers[place].id != word.id {
      relay.dropRoute(to: word.id)
    }
  }

  private func notHere(_ frame: FrameHeader, now: Instant) {
    relay.counters.strays += 1
    // The receipt first: afterwards the hub would not take it in this name.
    if frame.kind == .message, !frame.isDurable { refuseInItsName(frame, .unreachable, now: now) }
    sayGone(frame.destination, now: now)
  }

  /// Tells the hub, or the sender, that a message did not get to a leaf: ordinary ones for good, durable ones for now.
  private func refuseInItsName(_ frame: FrameHeader, _ failure: ErrorCode, now: Instant) {
    scratch.clear()
    if frame.isDurable {
      guard let stream = try? session.withBody(decodeStream) else { return }
      _ = StoredEntry(stream: stream, sequence: frame.sequence, failure: .busy).append(to: &scratch)
      sendUpIfRoom(FrameHeader(kind: .stored, source: frame.destination), now: now)
    } else {
      _ = Receipt(sequence: frame.sequence, failure: failure).append(to: &scratch)
      sendUpIfRoom(
        FrameHeader(kind: .receipt, source: frame.destination, destination: frame.source), now: now)
    }
  }

  // MARK: Handing on

  /// Nil when it is in the link to the hub.
  @discardableResult
  private func forwardUp(_ frame: FrameHeader, from place: Int, now: Instant) -> ErrorCode? {
    guard let onward = oneHopOn(frame) else { return .unreachable }
    // Before the hub knows the way it would not believe the source.
    guard state == .online, !isWayNew, relay.peers[place].way == .known else {
      relay.counters.offline += 1
      return .offline
    }
    do throws(ErrorCode) {
      try relay.peers[place].session.forward(as: onward, to: &session, now: now)
      relay.counters.up += 1
      noteHandedOn(now: now)
      return nil
    } catch {
      if error == .full { relay.counters.full += 1 } else { linkFailed(error, now: now) }
      return error == .full ? .full : .offline
    }
  }

  /// Nil when it is in the link to the leaf.
  private func forwardDown(_ frame: FrameHeader, from: borrowing Session, to place: Int, now: Instant) -> ErrorCode? {
    guard let onward = oneHopOn(frame) else { return .unreachable }
    let peer = relay.peers[place]
    if frame.kind == .receipt { peer.noteAnswered(now: now) }
    guard peer.isLinked else { return .unreachable }
    guard peer.session.output.space >= Session.recordBytes(body: from.body.byteCount) + Limits.relayReserveBytes else {
      relay.counters.full += 1
      return .full
    }
    do throws(ErrorCode) {
      try from.forward(as: onward, to: &peer.session, now: now)
      relay.counters.down += 1
      noteHandedOn(now: now)
      return nil
    } catch {
      // A key past its age: `expirePeers` ends such a link.
      return .unreachable
    }
  }

  private func oneHopOn(_ frame: FrameHeader) -> FrameHeader? {
    guard frame.hops < Limits.hops else {
      relay.counters.loops += 1
      return nil
    }
    var onward = frame
    onward.hops += 1
    return onward
  }

  /// Sends `scratch` towards the hub; false when it did not go.
  @discardableResult
  private func sendUpIfRoom(_ frame: FrameHeader, now: Instant) -> Bool {
    guard state == .online, session.output.space >= Session.recordBytes(body: scratch.count) else { return false }
    do throws(ErrorCode) {
      try sendScratch(frame, now: now)
      return true
    } catch {
      linkFailed(error, now: now)
      return false
    }
  }

  /// Sends `scratch` to a leaf; the error when it did not go.
  @discardableResult
  private func sendDown(_ frame: FrameHeader, to place: Int, now: Instant) -> ErrorCode? {
    do throws(ErrorCode) {
      try relay.peers[place].session.send(frame, bodyOf: scratch, now: now)
      return nil
    } catch { return error }
  }
}
