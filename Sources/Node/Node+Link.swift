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

  func connectOrWait(now: Instant) {
    guard !hubs.isEmpty else {
      lastError = .notJoined
      return enter(.offline)
    }
    enter(.connecting)
    timers.set(.handshake, now + Limits.handshakeTimeoutMs)
    want(.connect)
  }

  /// Gives up the present link, if any, and starts anew with `hubIndex`.
  func restartLink(now: Instant) {
    guard state != .starting else { return }  // `start` will connect
    if hasLink {
      session.close(.linkClosed, now: now)
      want(.disconnect)
    }
    dropLink()
    attempts.reset()
    connectOrWait(now: now)
  }

  /// Tries again after no more than the first wait.
  func retrySoon(now: Instant) {
    guard !hubs.isEmpty else { return }
    attempts.reset()
    timers.set(.retry, now + random.next(below: Limits.backoffFirstMs))
  }

  private func dropLink() {
    timers.cancelLink()
    linkedSince = nil
    rttMs = nil
    heartbeatSentAt = .never
    challenged = nil
    isWayNew = false
    isCutOff = false
    question.fail(.offline)
    sealLinkEnded()
    dictionaryLinkEnded()
    systemLinkEnded()
  }

  func secure(exporter: Bytes32, entropy: Bytes32, now: Instant) {
    guard state == .connecting, !wanted.contains(.connect) else { return }
    enter(.securing)
    random.reseed(entropy)
    let entry = hubs[hubIndex]
    // A ticket is shown to its own hub only.
    var tokenId = InlineArray<8, UInt8>(repeating: 0)
    if let ticket = admission.ticket, ticket.hub.isSamePlace(as: entry) {
      tokenId = ticket.tokenId
      Session.tokenVerifier(secret: ticket.tokenSecret, into: &verifier)
    }
    var hello = Hello(
      duties: settings.duties, instance: me.instance, fingerprint: fingerprint(for: entry),
      identity: identity.publicKey, nonce: random.bytes32(), agent: me.agent, tokenId: tokenId)
    hello.versionMax = me.highestVersion
    session.startAsNode(
      exporter: exporter, hello: hello, verifier: verifier, expectedHubKey: entry.key, random: &random)
    verifier.wipe()
  }

  func readLink(now: Instant) {
    switch state {
    case .securing, .joining, .online: break
    case .draining:
      // Goodbye was said: what still comes is not read, only thrown away, so that it cannot fill up.
      return session.discardInput()
    case .starting, .offline, .connecting, .stopped: return
    }
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

  private func take(_ event: Session.Event, now: Instant) throws(ErrorCode) {
    switch event {
    case .established:
      guard let welcome = session.peerWelcome, Limits.isLightNode(welcome.nodeId) else { throw .malformed }
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
  func takeConfiguration(now: Instant) throws(ErrorCode) {
    let configure = try Configure(decoding: session.body)
    heartbeatIntervalMs = UInt64(configure.heartbeatIntervalMs)
    // A renewal is work: a hub may not ask for one after the other.
    hubRekeyAfterMs = max(UInt64(configure.rekeyAfterMs), Limits.rekeyMinimumMs)
    // The wait after an update is for the one that was tried, not for a newer one.
    if configure.dictionaryGeneration > hubDictionaryGeneration { updateRetryAt = now }
    hubDictionaryGeneration = configure.dictionaryGeneration
    hubTakesQuestions = configure.takesQuestions
    let tookSeals = hubTakesSeals
    hubTakesSeals = configure.takesSeals
    if tookSeals, !hubTakesSeals { seals.linkEnded() }
    takeHubTime(configure.wallTimeMs, now: now)
    let before = activeDuties
    allowedDuties = configure.allowedDuties.union(.heartbeat)
    if activeDuties != before {
      tell(.duties(active: activeDuties, held: policy.held))
      closePeersIfOffDuty(now: now)
    }
    if let current = remember(configure.hubs) {
      rebuildHubs()
      hubIndex = hubs.firstIndex(of: current) ?? 0
      want(.persist)
    }
    if state == .joining {
      cameOnline(now: now)
    } else {
      timers.set(.silence, now + silenceMs)
      timers.set(.rekey, session.rekeyStartsAt + rekeyAfterMs)
      if timers[.heartbeat] != .never { timers.set(.heartbeat, min(timers[.heartbeat], nextBeat(now: now))) }
      if isWayNew { wayIsNew(now: now) } else if !tookSeals { learntOfSeals(now: now) }
    }
  }

  private func cameOnline(now: Instant) {
    lastError = nil
    linkedSince = now
    health.linked(hubIndex)
    counters.links += 1
    attempts.reset()
    timers.cancel(.handshake)
    timers.set(.silence, now + silenceMs)
    timers.set(.rekey, session.rekeyStartsAt + rekeyAfterMs)
    if hubIndex == 0 { preferredRefused = false }
    watchForBetterHub(now: now)
    enter(.online)
    tell(.hub(hubIndex))
    want(.sampleVitals)  // the first heartbeat goes at once
    wayIsNew(now: now)
  }

  /// What was on the way to the hub may be lost, and the hub does not know who is behind this node.
  private func wayIsNew(now: Instant) {
    isWayNew = false
    resendStored()
    sealsAnew(now: now)
    challengePeers(now: now)
  }

  /// Arms the look for a hub that would be better than the present one: one that is more preferred, or any other while
  /// the present one leads nowhere.
  func watchForBetterHub(now: Instant) {
    if isCutOff {
      guard hubs.count > 1 else { return timers.set(.failback, .never) }
      repeat { probeIndex = (probeIndex + 1) % hubs.count } while probeIndex == hubIndex
      return timers.set(.failback, now + Limits.cutOffMs)
    }
    probeIndex = 0
    let usual = health.isPoor(0) ? Limits.healthPoorFactor * Limits.failbackMs : Limits.failbackMs
    let wait = preferredRefused ? Limits.failbackRefusedMs : usual
    timers.set(.failback, hubIndex > 0 ? now + wait : .never)
  }

  var silenceMs: UInt64 { Limits.silenceMs(heartbeatMs: heartbeatIntervalMs) }

  /// Keeps id, hub keys and hub list. The present hub when something is new, and so has to be written down.
  ///
  /// Not inlined, like `rebuildHubs`: lists of hubs are large, and one stack frame at a time is enough.
  @inline(never)
  private func remember(_ told: HubList) -> HubEntry? {
    let before = admission
    guard let welcome = session.peerWelcome else { return nil }
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
    // A ticket for another hub is kept: that hub may only be away for now.
    if let ticket = admission.ticket, ticket.hub.isSamePlace(as: current) { admission.ticket = nil }
    return admission != before ? current : nil
  }

  /// Who signs what comes down the link. Behind a relay that is the hub of its challenge, not the relay itself; it could name
  /// another one, but no hub would take the leaf's answer to that.
  var hubKey: Bytes32? { top?.hub }

  // MARK: Failure

  func linkFailed(_ code: ErrorCode, now: Instant) {
    let wasRefused = code.needsPerson && state != .connecting
    lastError = code
    counters.linkErrors += 1
    tell(.linkError(code))
    if let linkedSince { health.ended(hubIndex, afterMs: now.since(linkedSince)) } else { health.failed(hubIndex) }
    session.close(code, now: now)  // says why, if it can still be said
    want(.disconnect)
    dropLink()
    enter(.offline)
    if wasRefused, hubIndex == 0 { preferredRefused = true }
    if wasRefused, dropTicketOfThisHub() { return retrySoon(now: now) }
    timers.set(.retry, now + retryDelay(after: code))
  }

  /// An admitted node whose ticket was refused stays with the hubs that know it, instead of coming back to
  /// the ticket's hub at every failback. One without any other hub keeps trying.
  private func dropTicketOfThisHub() -> Bool {
    guard admission.nodeId != 0, let ticket = admission.ticket, let hub, ticket.hub.isSamePlace(as: hub) else {
      return false
    }
    admission.ticket = nil
    want(.persist)
    hubIndex = 0
    preferredRefused = false
    rebuildHubs()
    return !hubs.isEmpty
  }

  /// The next hub of the list soon; once all were tried, with growing waits.
  private func retryDelay(after code: ErrorCode) -> UInt64 {
    hubIndex += 1
    let isLast = hubIndex >= hubs.count
    if isLast { hubIndex = 0 }
    return attempts.wait(after: code, isLast: isLast, hubs: hubs.count, random: &random)
  }

  // MARK: Timers

  func fire(_ timer: Timer, now: Instant) {
    switch timer {
    case .retry: connectOrWait(now: now)
    case .handshake: if hasLink { linkFailed(.handshakeTimeout, now: now) }
    case .heartbeat: want(.sampleVitals)
    case .silence: checkSilence(now: now)
    case .rekey: renewKeysIfDue(by: now, now: now)
    case .failback: want(.probe)
    case .receipt: expireReceipts(now: now)
    case .drain: finishDrain()
    // `moveStored` does the rest.
    case .resume: resendStored(isUrgent: false)
    case .resumeUrgent: resendStored(isUrgent: true)
    case .resend: resendStored()
    }
  }

  /// The timer is not moved on every byte heard; it looks back when it fires.
  private func checkSilence(now: Instant) {
    guard state == .online else { return }
    if now.since(lastHeard) >= silenceMs {
      linkFailed(.linkSilent, now: now)
    } else {
      timers.set(.silence, lastHeard + silenceMs)
    }
  }

  func renewKeysIfDue(by deadline: Instant, now: Instant) {
    guard state == .online, session.rekeyDue(by: deadline, afterMs: rekeyAfterMs) else { return }
    do throws(ErrorCode) {
      try session.beginRekey(now: now, random: &random)
    } catch {
      // No room in the output yet: there is time until the keys are refused.
      timers.set(.rekey, now + 1_000)
    }
  }

  func takeProbe(reachable: Bool, now: Instant) {
    guard state == .online, !wanted.contains(.probe) else { return }
    // The list of hubs, and so the place in it, may have become another one meanwhile.
    if !reachable || probeIndex == hubIndex || probeIndex >= hubs.count {
      watchForBetterHub(now: now)
    } else if outbox.unresolved > 0 {
      // Receipts come through the present hub: by then each has come or counts as lost.
      timers.set(.failback, now + Limits.receiptTimeoutMs)
    } else {
      hubIndex = probeIndex
      restartLink(now: now)
    }
  }

  // MARK: Draining

  /// Says goodbye. The hub closes once it has read that, and all that was sent before: only then, or when it
  /// takes too long, the node stops.
  func beginDrain(now: Instant) {
    guard state != .draining, state != .stopped else { return }
    let saysGoodbye = session.isEstablished
    if hasLink { session.close(.draining, now: now) }
    let hadLink = hasLink
    dropLink()
    wanted.subtract([.connect, .probe, .sampleVitals])
    enter(.draining)
    if saysGoodbye {
      timers.set(.drain, now + Limits.drainMs)
    } else {
      if hadLink { want(.disconnect) }
      stop()
    }
  }

  /// Ends a drain that said goodbye.
  func finishDrain() {
    guard state == .draining else { return }
    want(.disconnect)
    stop()
  }

  private func stop() {
    timers.cancelAll()
    enter(.stopped)
    want(.stop)
  }
}
