import Bounded
import Testing
import Wire

@testable import Node

@Suite struct NodeRekeyTests {
  @Test func keysAreRenewedAtTheIntervalWhenNoHeartbeatComes() {
    let scene = NodeScene { $0.rekeyAfterMs = 10_000 }
    scene.hub.configure.heartbeatIntervalMs = 600_000
    scene.goOnline()
    // A renewal travels with the first heartbeat, the next one is due by the timer.
    let first = scene.hub.renewals
    scene.pass(9_999)
    #expect(scene.hub.renewals == first)
    scene.pass(1)
    #expect(scene.hub.renewals == first + 1)
    scene.pass(60_000)
    #expect(scene.hub.renewals == first + 7)
    #expect(scene.node.session.renewals == UInt32(scene.hub.renewals))
    #expect(scene.state == .online)
  }

  @Test func aHeartbeatCarriesTheRenewalThatWouldFallDueBeforeTheNext() {
    let scene = NodeScene()
    scene.goOnline()
    var renewedWithBeat = 0
    for _ in 0..<100 {
      let before = scene.hub.renewals
      scene.pass(to: .heartbeat)
      if scene.hub.renewals > before { renewedWithBeat += 1 }
    }
    #expect(scene.hub.renewals == renewedWithBeat, "no wake-up for a renewal alone")
    #expect(25...50 ~= renewedWithBeat, "at every third or fourth heartbeat")
    #expect(scene.node.counters.linkErrors == 0)
  }

  @Test func noKeyGetsOlderThanItsInterval() {
    let scene = NodeScene()
    scene.goOnline()
    for _ in 0..<600 {
      scene.pass(1_000)
      #expect(scene.node.session.keyAge(now: scene.now) <= Limits.rekeyAfterMs)
    }
  }

  @Test func theSoonerOfTheHubsAndTheOwnersIntervalHolds() {
    let scene = NodeScene { $0.rekeyAfterMs = 60_000 }
    scene.hub.configure.rekeyAfterMs = 5_000
    scene.goOnline()
    #expect(scene.node.rekeyAfterMs == 5_000)
    scene.hub.configure.rekeyAfterMs = 120_000
    scene.hub.sendConfigure(now: scene.now)
    scene.settle()
    #expect(scene.node.rekeyAfterMs == 60_000)
    scene.reload { $0.rekeyAfterMs = 30_000 }
    #expect(scene.node.rekeyAfterMs == 30_000)
    #expect(scene.wait(.rekey)! <= 30_000)
    scene.reload { $0.rekeyAfterMs = 120_000 }
    #expect(scene.node.rekeyAfterMs == 120_000, "what an earlier configuration asked for is forgotten")
  }

  @Test func aHubCannotMakeItRenewWithoutPause() {
    let scene = NodeScene()
    scene.hub.configure.rekeyAfterMs = 1
    scene.goOnline()
    scene.pass(60_000)
    #expect(50...65 ~= scene.hub.renewals)
    #expect(scene.state == .online)
  }
}

@Suite struct NodeReloadTests {
  @Test func theSameHubsKeepTheLink() {
    let scene = NodeScene(hubs: 2)
    scene.goOnline()
    scene.reload { _ in }
    #expect(scene.state == .online)
    #expect(scene.hub.hellos.count == 1)
    #expect(scene.hub.heard == nil)
  }

  @Test func hubsAddedOrMovedKeepTheLink() {
    let scene = NodeScene(hubs: 3)
    scene.hubs[0].isUp = false
    scene.start()
    scene.pass(Limits.backoffFirstMs)
    #expect(scene.hubIndex == 1)
    scene.reload { settings in
      settings.hubs = HubList()
      for i in [1, 2, 0] { settings.hubs.append(scene.hubs[i].entry) }
    }
    #expect(scene.state == .online)
    #expect(scene.hubIndex == 0)
    #expect(scene.wait(.failback) == nil, "it is on its preferred hub now")
    scene.reload { settings in
      settings.hubs = HubList()
      for i in [0, 1] { settings.hubs.append(scene.hubs[i].entry) }
    }
    #expect(scene.hubIndex == 1)
    #expect(scene.wait(.failback) == Limits.failbackMs)
    #expect(scene.node.counters.links == 1)
  }

  @Test func aHubThatIsGoneFromTheListIsLeft() {
    let scene = NodeScene(hubs: 2) { settings in
      let first = settings.hubs[0]
      settings.hubs = HubList()
      settings.hubs.append(first)
    }
    scene.goOnline()
    var changed = scene.hub.entry
    changed.pin = InlineArray(repeating: 99)
    scene.reload { $0.hubs[0] = changed }
    #expect(scene.hub.goodbyes == [.linkClosed], "another pin is another hub")
    #expect(scene.hub.hellos.count == 2)
    #expect(scene.state == .online)
    // The hub that admitted the node stays known: it is left for the configured one without an interruption.
    scene.reload {
      $0.hubs = HubList()
      $0.hubs.append(scene.hubs[1].entry)
    }
    #expect(scene.hubIndex == 1)
    scene.pass(to: .failback)
    #expect(scene.state == .online)
    #expect(scene.hubs[1].hellos.count == 1)
    #expect(scene.hubIndex == 0)
  }

  @Test func dutiesChangeWithoutTouchingTheLink() {
    let scene = NodeScene()
    scene.goOnline()
    scene.reload { $0.duties = [.heartbeat, .compute] }
    #expect(scene.node.activeDuties == [.heartbeat, .compute])
    #expect(scene.notices.last == .duties(active: [.heartbeat, .compute], held: []))
    #expect(scene.hub.hellos.count == 1)
    scene.pass(to: .heartbeat)
    #expect(scene.hub.heartbeats.last?.duties == [.heartbeat, .compute])
  }

  @Test func aNodeThatWaitsTriesAgainSoon() {
    let scene = NodeScene()
    scene.hub.refusal = .revoked
    scene.start()
    #expect(scene.wait(.retry)! > Limits.backoffFirstMs)
    scene.hub.refusal = nil
    scene.reload { _ in }
    scene.pass(Limits.backoffFirstMs)
    #expect(scene.state == .online)
  }

  @Test func aTicketThatIsNewReplacesTheOneThatFailed() {
    let scene = NodeScene()
    var old = scene.hub.ticket
    old.tokenSecret[0] ^= 1
    scene.hub.refusal = .tokenInvalid
    scene.start()
    _ = scene.join(old)
    scene.hub.refusal = nil
    scene.reload { $0.ticket = scene.hub.ticket }
    #expect(scene.state == .online)
    #expect(scene.hub.proofs.last == true)
    #expect(scene.persisted.last?.ticket == nil)
  }

  @Test func theTicketOfAnUnchangedConfigurationDoesNotUndoAJoin() {
    let scene = NodeScene { $0.hubs = HubList() }
    let stale = SceneHub(1).ticket
    scene.start()
    scene.reload { $0.ticket = stale }
    scene.hub.refusal = .hubFull
    _ = scene.join(scene.hub.ticket)
    scene.reload { $0.ticket = stale }
    #expect(scene.node.admission.ticket == scene.hub.ticket)
  }

  @Test func anAdmittedNodeTakesNoTicketFromItsConfiguration() {
    let scene = NodeScene()
    scene.goOnline()
    scene.reload { $0.ticket = SceneHub(1).ticket }
    #expect(scene.node.admission.ticket == nil)
    #expect(scene.hub.hellos.count == 1)
  }

  @Test func withoutAnyHubLeftItWaits() {
    let scene = NodeScene()
    scene.hub.isUp = false
    scene.start()
    scene.reload { $0.hubs = HubList() }
    #expect(scene.state == .offline)
    #expect(scene.lastError == .notJoined)
    #expect(scene.node.nextDeadline == .never)
    scene.hub.isUp = true
    scene.reload { $0.hubs.append(scene.hub.entry) }
    #expect(scene.state == .online)
  }
}

@Suite struct NodeDrainTests {
  @Test func withALinkItSaysGoodbyeAndStopsOnceTheHubHasHeardIt() {
    let scene = NodeScene()
    scene.goOnline()
    #expect(scene.send("last words") == .success(1))
    scene.handle(.drain)
    #expect(scene.hub.heard == .draining)
    #expect(scene.states.suffix(2) == [.draining, .stopped])
    #expect(scene.hasStopped)
    #expect(scene.actions.suffix(2) == [.disconnect, .stop])
    #expect(scene.node.nextDeadline == .never)
  }

  @Test func aHubThatDoesNotListenIsNotWaitedForLong() {
    let scene = NodeScene()
    scene.goOnline()
    scene.hub.isDeaf = true
    scene.handle(.drain)
    #expect(scene.state == .draining)
    scene.pass(Limits.drainMs - 1)
    #expect(!scene.hasStopped)
    scene.pass(1)
    #expect(scene.hasStopped)
    #expect(scene.state == .stopped)
  }

  @Test func withoutALinkItStopsAtOnce() {
    for isUp in [false, true] {
      let scene = NodeScene()
      scene.hub.isUp = isUp
      scene.hub.isDeaf = true
      scene.start()  // offline, or in the middle of a handshake
      scene.handle(.drain)
      #expect(scene.state == .stopped)
      #expect(scene.hasStopped)
      #expect(scene.actions.last == .stop)
    }
    let idle = NodeScene()
    idle.handle(.drain)
    #expect(idle.hasStopped)
  }

  @Test func whoDrainsTakesNoRequests() {
    let scene = NodeScene()
    scene.goOnline()
    scene.hub.isDeaf = true
    scene.handle(.drain)
    #expect(scene.join(scene.hub.ticket) == .draining)
    #expect(scene.send("too late") == .failure(.draining))
    let before = scene.actions
    scene.reload { $0.hubs = HubList() }
    scene.handle(.drain)
    scene.handle(.linkUp(exporter: InlineArray(repeating: 1), entropy: InlineArray(repeating: 2)))
    scene.handle(.vitals(VitalSigns()))
    #expect(scene.actions == before)
    #expect(scene.state == .draining)
    scene.pass(Limits.drainMs)
    #expect(scene.state == .stopped)
    #expect(scene.join(scene.hub.ticket) == .draining)
    #expect(scene.send("much too late") == .failure(.draining))
  }

  @Test func whatTheHubStillSaysIsNotRead() {
    let scene = NodeScene()
    scene.goOnline()
    scene.hub.isDeaf = true
    scene.handle(.drain)
    for _ in 0..<20 {
      let more = [UInt8](repeating: 7, count: 4_000)
      scene.node.session.input.append(more.span.bytes)
      scene.node.handle(.linkBytes, now: scene.now)
      let left = scene.node.session.input.count
      #expect(left == 0)
    }
    #expect(scene.state == .draining)
    #expect(scene.node.inbox.count == 0)
  }
}
