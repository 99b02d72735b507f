import Bounded
import Durable
import Node
import SkyCrypto
import Wire

/// A place at a relay's door: what the daemon's `LeafDoor` has of one connection.
final class LeafSeat: LinkServer {
  unowned(unsafe) var board: Board!
  let place: Int
  var link: SimLink?
  /// Whoever has it says nothing; there is no link.
  var isStranger = false

  init(place: Int) { self.place = place }

  override var standsUntil: Instant { board.pausedUntil }
  override func arrived(_ pipe: Pipe, on link: SimLink, now: Instant) -> Bool {
    board.arrived(pipe, at: self, now: now)
  }
  override func ended(_ link: SimLink, now: Instant) { board.ended(self, now: now) }
}

extension Peer {
  /// Whether a look at it finds somebody who takes connections.
  func answers(now: Instant) -> Bool {
    switch self {
    case .hub(let hub): hub.isUp
    case .relay(let board): board.answers(now: now)
    }
  }
}

/// Relay duty on a board: connections to the places of the node's table, and what must hold of it.
extension Board {
  /// The other end of a link that a leaf dials; nil when nobody is taken.
  func openSeat(_ link: SimLink, exporter: Bytes32, now: Instant) -> LeafSeat? {
    guard isRelay, let node, let place = node.openPeer(now: now) else { return nil }
    let seat = seats[place]
    if seat.link != nil || seat.isStranger { world.fail("a place of a relay is given twice", index) }
    seat.link = link
    node.handle(.peerUp(place, exporter: exporter, entropy: dice.bytes32()), now: now)
    schedule(now: now)
    return seat
  }

  /// A look from outside takes a place for a moment, and none that members need.
  func answers(now: Instant) -> Bool {
    guard isRelay, let node, now >= pausedUntil, let place = node.openPeer(now: now) else { return false }
    node.handle(.peerDown(place, .linkClosed), now: now)
    return true
  }

  func arrived(_ pipe: Pipe, at seat: LeafSeat, now: Instant) -> Bool {
    guard let node, let link = seat.link else { return true }
    let peer = node.relay.peers[seat.place]
    while seat.link === link, pipe.deliver(to: &peer.session.input, now: now) {
      node.handle(.peerBytes(seat.place), now: now)
      act(node, now: now)
    }
    if world.scenario.plant == .relayVouches, let leaf = link.dialler { vouch(for: leaf, peer, now: now) }
    settle(now: now)
    guard self.node === node, seat.link === link else { return true }
    checkSpoilt(pipe, peer)
    return pipe.due > now
  }

  func ended(_ seat: LeafSeat, now: Instant) {
    guard let node, let link = seat.link else { return }
    seat.link = nil
    link.serverLeft(now: now)
    node.handle(.peerDown(seat.place, .linkClosed), now: now)
    settle(now: now)
  }

  /// Sends what the session holds, as far as the link takes it, and closes.
  func closeSeat(_ place: Int, _ node: Node, now: Instant) {
    let seat = seats[place]
    if let link = seat.link {
      _ = link.sendDown(&node.relay.peers[place].session.output, now: now)
      seat.link = nil
      link.serverLeft(now: now)
    }
    seat.isStranger = false
    node.handle(.peerDown(place, .linkClosed), now: now)
  }

  /// The defect `relayVouches`: says STORED for whatever the leaf has on its way, as though a relay kept it.
  private func vouch(for leaf: Board, _ peer: RelayPeer, now: Instant) {
    guard peer.phase == .online, let ring = leaf.rings?.outgoing.ring, ring.onTheWayCount > 0 else { return }
    var body = ByteQueue(capacity: Limits.storedEntries * StoredEntry.byteCount)
    let newest = ring.nextSequence - 1
    for sequence in (newest - min(newest, 63))...newest where ring.gives(stream: ring.stream, sequence: sequence) {
      _ = StoredEntry(stream: ring.stream, sequence: sequence, failure: nil).append(to: &body)
    }
    guard body.count > 0 else { return }
    do throws(ErrorCode) {
      try peer.session.send(FrameHeader(kind: .stored, destination: peer.id), bodyOf: body, now: now)
    } catch {}
  }

  /// The program has ended.
  func leaveSeats(isSilent: Bool, now: Instant) {
    leaves = 0
    leavesJoined = 0
    strangersLeaveAt = .never
    for seat in seats {
      seat.isStranger = false
      guard let link = seat.link else { continue }
      seat.link = nil
      if isSilent { link.vanish(self, now: now) } else { link.serverLeft(now: now) }
    }
  }

  func flushSeats(_ node: Node, now: Instant) {
    for seat in seats {
      guard let link = seat.link, !node.relay.peers[seat.place].session.output.isEmpty else { continue }
      while link.sendDown(&node.relay.peers[seat.place].session.output, now: now),
        !node.relay.peers[seat.place].session.output.isEmpty
      {}
    }
  }

  /// When a turn is due for what leaves have sent, or are to be sent.
  func relayDue(_ node: Node, now: Instant) -> Instant {
    if node.isRelayDue { return now }
    var due = strangersLeaveAt
    for seat in seats where seat.link != nil && !node.relay.peers[seat.place].session.output.isEmpty {
      due = min(due, now + 100)
    }
    return due
  }

  // MARK: Strangers

  /// Connections that nobody says anything on: as many as are let in.
  func letStrangersIn(for ms: UInt64, now: Instant) {
    guard isRelay, let node else { return }
    while let place = node.openPeer(now: now) { seats[place].isStranger = true }
    strangersLeaveAt = now + ms
    schedule(now: now)
  }

  func sendStrangersAway(_ node: Node, now: Instant) {
    strangersLeaveAt = .never
    for seat in seats where seat.isStranger {
      seat.isStranger = false
      node.handle(.peerDown(seat.place, .linkClosed), now: now)
    }
  }

  // MARK: What must hold

  /// Whoever reads on beyond a byte that was not sent has believed a forger.
  private func checkSpoilt(_ pipe: Pipe, _ peer: RelayPeer) {
    guard peer.session.isEstablished else { return }
    if pipe.delivered - UInt64(peer.session.input.count) > pipe.spoiltFrom {
      world.fail("a relay's session outlived what was altered on the way", index)
    }
  }

  func checkRelay(_ node: Node, now: Instant) {
    var online = 0
    var strangers = 0
    for seat in seats {
      let peer = node.relay.peers[seat.place]
      if (peer.phase != .free) != (seat.link != nil || seat.isStranger) {
        world.fail("a place of a relay is taken by nobody, or a connection has none", index)
      }
      switch peer.phase {
      case .online: online += 1
      case .securing, .greeting, .asking, .confirming: strangers += 1
      case .free, .joined, .closing: break
      }
      if peer.session.isEstablished, node.nextDeadline > now,
        peer.session.keyAge(now: now) > Limits.keyRefusedAfterMs + 2 * world.scenario.heartbeatMs
      {
        world.fail("a leaf's link outlives its keys", index)
      }
    }
    if online != leaves || node.relay.counters.joined != leavesJoined {
      world.fail("a relay has told of more or fewer leaves than it has", index)
    }
    if strangers > Limits.relayStrangers { world.fail("a relay has let too many strangers in", index) }
    if node.relay.counters.loops != 0 { world.fail("a frame goes round in circles", index) }
    checkWay(node)
  }

  /// Who is above whom: nobody is above himself.
  private func checkWay(_ node: Node) {
    guard node.state == .online else { return }
    var above = link
    var relays: UInt64 = 0
    while let link = above, case .relay(let relay)? = link.peer, let upper = relay.node {
      // What is at an end without another says nothing of the way.
      guard upper.state == .online, link.answerer != nil else { return }
      relays += 1
      if relay === self || relays > UInt64(world.scenario.relays) { world.fail("a way to the hub is a circle", index) }
      above = relay.link
    }
    world.counts.deepest = max(world.counts.deepest, relays + 1)
  }

  func describeLeaf(_ peer: RelayPeer) {
    say("  place: leaf \(peer.id), input \(peer.session.input.count), output \(peer.session.output.count)")
  }
}
