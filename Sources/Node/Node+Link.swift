import Bounded
import SkyCrypto
import Wire

/// Getting and keeping a link: connecting, the handshake's outcome, retries, failover, failback, draining.
extension Node {
  /// True from the moment a connection is asked for until it is given up.
  var hasLink: Bool {
    switch state {
    case .connecting, .securing, .joining, .online: true
    case .starting, .offline, .draining, .stopped: false
    }
  }

  mutating func connectOrWait(now: Instant) {
    guard !hubs.isEmpty else {
      lastError = .notJoined
      return enter(.offline)
    }
    enter(.connecting)
    timers.set(.handshake, now + Limits.handshakeTimeoutMs)
    act(.connect(hubIndex))
  }

  /// Gives up the present link, if any, and starts anew with `hubIndex`.
  mutating func restartLink(now: Instant) {
    if hasLink {
      if session.isEstablished { session.close(.linkClosed, now: now) }
      act(.disconnect)
    }
    dropLink()
    backoff.reset()
    connectOrWait(now: now)
  }

  private mutating func dropLink() {
    timers.cancelAll()
    linkedSince = nil
    rttMs = nil
    heartbeatSentAt = .never
  }

  mutating func secure(exporter: Bytes32, entropy: Bytes32, now: Instant) {
    guard state == .connecting else { return }
    enter(.securing)
    random.reseed(entropy)
    let entry = hubs[hubIndex]
    // A ticket is shown to its own hub only.
    var tokenId = InlineArray<8, UInt8>(repeating: 0)
    if let ticket = admission.ticket, ticket.hub.isSamePlace(as: entry) {
      tokenId = ticket.tokenId
      Session.tokenVerifier(secret: ticket.tokenSecret, into: &verifier)
    }
    let hello = Hello(
      duties: settings.duties, instance: me.instance, fingerprint: fingerprint(for: entry),
      identity: identity.publicKey, nonce: random.bytes32(), agent: me.agent, tokenId: tokenId)
    session.startAsNode(
      exporter: exporter, hello: hello, verifier: verifier, expectedHubKey: entry.key, random: &random)
    verifier.wipe()
  }

  mutating func readLink(now: Instant) {
    guard hasLink else { return }
    do throws(ErrorCode) {
      while let event = try session.nextEvent(now: now, identity: identity, random: &random) {
        lastHeard = now
        try take(event, now: now)
      }
      renewKeysIfDue(by: now, now: now)
    } catch {
      linkFailed(error, now: now)
    }
  }

  private mutating func take(_ event: Session.Event, now: Instant) throws(ErrorCode) {
    switch event {
    case .established:
      enter(.joining)
    case .frame(let frame):
      try take(frame, now: now)
    case .rekeyed(let renewals):
      timers.set(.rekey, session.rekeyStartsAt + rekeyAfterMs)
      tell(.rekeyed(renewals))
    case .closed(let code):
      throw code
    case .hello:
      throw .unexpectedRecord  // only a hub gets one
    }
  }

  /// The hub's parameters: the first ones end joining, later ones replace them.
  mutating func takeConfiguration(now: Instant) throws(ErrorCode) {
    let configure = try Configure(decoding: session.body)
    heartbeatIntervalMs = UInt64(configure.heartbeatIntervalMs)
    rekeyAfterMs = min(UInt64(configure.rekeyAfterMs), settings.rekeyAfterMs)
    dictionaryGeneration = configure.dictionaryGeneration
    takeHubTime(configure.wallTimeMs, now: now)
    let before = activeDuties
    allowedDuties = configure.allowedDuties.union(.heartbeat)
    if activeDuties != before { tell(.duties(active: activeDuties, held: policy.held)) }
    remember(configure.hubs)
    if state == .joining { cameOnline(now: now) }
  }

  private mutating func cameOnline(now: Instant) {
    lastError = nil
    linkedSince = now
    counters.links += 1
    backoff.reset()
    timers.cancel(.handshake)
    timers.set(.silence, now + silenceMs)
    timers.set(.rekey, session.rekeyStartsAt + rekeyAfterMs)
    if hubIndex > 0 { timers.set(.failback, now + Limits.failbackMs) }
    enter(.online)
    tell(.hub(hubIndex))
    act(.sampleVitals)  // the first heartbeat goes at once
  }

  private var silenceMs: UInt64 { Limits.silenceMs(heartbeatMs: heartbeatIntervalMs) }

  /// Keeps id, hub keys and hub list; asks for a write only when something is new.
  private mutating func remember(_ told: HubList) {
    let before = admission
    guard let welcome = session.peerWelcome else { return }
    if welcome.nodeId != admission.nodeId {
      admission.nodeId = welcome.nodeId
      tell(.joined(welcome.nodeId))
    }
    var current = hubs[hubIndex]
    current.key = welcome.identity
    current.id = welcome.hubId
    var list = HubList()
    list.append(current)
    // What a configured hub showed of itself outlives a stay with another hub, whatever that one says.
    for i in 0..<before.hubs.count
    where list.firstIndex(of: before.hubs[i]) == nil && settings.hubs.firstIndex(of: before.hubs[i]) != nil {
      list.append(before.hubs[i])
    }
    for i in 0..<told.count where list.firstIndex(of: told[i]) == nil { list.append(told[i]) }
    admission.hubs = list
    admission.ticket = nil
    guard admission != before else { return }
    rebuildHubs()
    hubIndex = hubs.firstIndex(of: current) ?? 0
    act(.persist)
  }

  // MARK: Failure

  mutating func linkFailed(_ code: ErrorCode, now: Instant) {
    lastError = code
    counters.linkErrors += 1
    tell(.linkError(code))
    session.close(code, now: now)  // says why, if it can still be said
    act(.disconnect)
    dropLink()
    enter(.offline)
    timers.set(.retry, now + retryDelay(after: code))
  }

  /// The next hub of the list soon; once all were tried, with growing waits.
  private mutating func retryDelay(after code: ErrorCode) -> UInt64 {
    hubIndex += 1
    if hubIndex < hubs.count { return random.next(below: Limits.backoffFirstMs) }
    hubIndex = 0
    if code == .sessionBusy { return Limits.busyRetryMs + random.next(below: Limits.backoffFirstMs) }
    let wait = backoff.next(random: &random)
    return code.needsPerson ? Limits.refusedRetryMs / 2 + random.next(below: Limits.refusedRetryMs / 2) : wait
  }

  // MARK: Timers

  mutating func fire(_ timer: Timer, now: Instant) {
    switch timer {
    case .retry: connectOrWait(now: now)
    case .handshake: if hasLink { linkFailed(.handshakeTimeout, now: now) }
    case .heartbeat: act(.sampleVitals)
    case .silence: checkSilence(now: now)
    case .rekey: renewKeysIfDue(by: now, now: now)
    case .failback: act(.probe(0))
    }
  }

  /// The timer is not moved on every byte heard; it looks back when it fires.
  private mutating func checkSilence(now: Instant) {
    guard state == .online else { return }
    if now.since(lastHeard) >= silenceMs {
      linkFailed(.linkSilent, now: now)
    } else {
      timers.set(.silence, lastHeard + silenceMs)
    }
  }

  mutating func renewKeysIfDue(by deadline: Instant, now: Instant) {
    guard state == .online, session.rekeyDue(by: deadline, afterMs: rekeyAfterMs) else { return }
    do throws(ErrorCode) {
      try session.beginRekey(now: now, random: &random)
    } catch {
      // No room in the output yet: there is time until the keys are refused.
      timers.set(.rekey, now + 1_000)
    }
  }

  mutating func takeProbe(reachable: Bool, now: Instant) {
    guard state == .online, hubIndex > 0 else { return }
    if reachable {
      hubIndex = 0
      restartLink(now: now)
    } else {
      timers.set(.failback, now + Limits.failbackMs)
    }
  }

  // MARK: Draining

  /// Says goodbye and stops. Nothing answers a goodbye, so nothing is waited for.
  mutating func drain(now: Instant) {
    guard state != .draining, state != .stopped else { return }
    let linked = hasLink
    if session.isEstablished { session.close(.draining, now: now) }
    dropLink()
    enter(.draining)
    if linked { act(.disconnect) }
    enter(.stopped)
    act(.stop)
  }
}
