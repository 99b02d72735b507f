import Bounded
import Durable
import Node
import SkyCrypto
import Wire

/// What must hold of a board after each of its turns.
extension Board {
  func checkLink(_ pipe: Pipe, _ node: Node) {
    guard node.session.isEstablished else { return }
    if !isLinkHonest { world.fail("a node trusts somebody between it and its hub", index) }
    if pipe.delivered - UInt64(node.session.input.count) > pipe.spoiltFrom {
      world.fail("a node's session outlived what was altered on the way", index)
    }
  }

  func check(now: Instant) {
    guard let node, let rings else { return }
    node.checkInvariants()
    for drive in rings.all { drive.ring.checkInvariants() }
    if rings.outgoing.ring.onTheWayCount + rings.urgent.ring.onTheWayCount > Limits.storedEntries {
      world.fail("more is on the way than may be", index)
    }
    let counters = node.counters
    let (out, urgent) = (rings.outgoing.ring.counters, rings.urgent.ring.counters)
    if counters.posted != out.appended + urgent.appended { world.fail("taken in is not what the rings took in", index) }
    if counters.posted != owner.postedNow { world.fail("taken in is not what the owner gave", index) }
    if out.refusedFull + urgent.refusedFull != owner.fullNow || out.refusedBusy + urgent.refusedBusy != owner.busyNow {
      world.fail("refused is not what the owner was refused", index)
    }
    if counters.forwarded + counters.undelivered != out.consumed + urgent.consumed {
      world.fail("gone is not what the rings let go", index)
    }
    if counters.sent != owner.sentNow { world.fail("sent is not what the owner sent", index) }
    if counters.received != owner.seenNow { world.fail("received is not what is shown", index) }
    if counters.heartbeatsAcked > counters.heartbeatsSent { world.fail("more answers than heartbeats", index) }
    world.trace(
      .board, UInt64(index) << 8 | UInt64(node.state.rawValue), counters.heartbeatsAcked &+ counters.received << 32)
  }

  /// Old keys may be there until somebody wants to use them, which at the latest the next heartbeat does.
  func checkKeys(_ node: Node, now: Instant) {
    guard node.session.isEstablished, node.nextDeadline > now else { return }
    let most = Limits.keyRefusedAfterMs + 2 * world.scenario.heartbeatMs
    if node.session.keyAge(now: now) > most { world.fail("a link outlives its keys", index) }
  }

  /// For the report of a failure that is about this board.
  func describe(_ now: Instant) {
    guard let node, let rings else { return say("board \(index) is down") }
    say("board \(index): state \(node.state.token), node's deadline \(node.nextDeadline.ms), owner's \(owner.due.ms)")
    for drive in rings.all { say("  ring: \(drive.describe(now))") }
    for peer in node.relay.peers { describeLeaf(peer) }
  }
}
