import Bounded
import Durable
import Node
import SkyCrypto
import Wire

/// What must hold of a board after each of its turns.
extension Board {
  /// Nothing is kept in a ring any more, as far as it can be known.
  func isEmptied(_ drive: Drive) -> Bool { drive.ring.isEmpty && drive.ring.recordCount == 0 }

  func checkLink(_ pipe: Pipe, _ node: Node) {
    guard node.session.isEstablished else { return }
    if !isLinkHonest { world.fail("a node trusts somebody between it and its hub", index) }
    if pipe.delivered - UInt64(node.session.input.count) > pipe.spoiltFrom {
      world.fail("a node's session outlived what was altered on the way", index)
    }
  }

  func check(now: Instant) {
    guard let node, let outgoing, let incoming else { return }
    node.checkInvariants()
    outgoing.ring.checkInvariants()
    incoming.ring.checkInvariants()
    let counters = node.counters
    let out = outgoing.ring.counters
    if counters.posted != out.appended { world.fail("taken in is not what the ring took in", index) }
    if counters.posted != owner.postedNow { world.fail("taken in is not what the owner gave", index) }
    if out.refusedFull != owner.fullNow || out.refusedBusy != owner.busyNow {
      world.fail("refused is not what the owner was refused", index)
    }
    if counters.forwarded + counters.undelivered != out.consumed {
      world.fail("gone is not what the ring let go", index)
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
    guard let node, let outgoing, let incoming else { return say("board \(index) is down") }
    say("board \(index): state \(node.state.token), node's deadline \(node.nextDeadline.ms), owner's \(owner.due.ms)")
    for drive in [outgoing, incoming] { say("  ring: \(drive.describe(now))") }
    for peer in node.relay.peers { describeLeaf(peer) }
  }
}
