import Bounded
import Node
import Wire

/// The end of a simulation: nothing goes wrong any more, nobody sends anything new, and all that was promised has to
/// arrive. Hubs do not share what they keep, so each in turn is the only one.
struct Ending {
  private unowned(unsafe) let world: World
  /// Longer than every wait there is: for a hub that turned a node away, for one that does not answer, for receipts.
  private static let stayMs: UInt64 = 45 * 60_000
  private static let rounds = 3

  init(_ world: World) { self.world = world }

  func run() {
    world.weather.clear(now: world.now)
    // A ring that found its medium unusable works in memory until the next start.
    for board in world.boards {
      board.fall(now: world.now, power: false, for: 1_000)
    }
    for round in 0..<Self.rounds {
      // First through the relays alone; but they may have too few places for all.
      if round > 0 { for board in world.boards { board.isHidden = false } }
      for chosen in world.hubs {
        world.trace(.phase, UInt64(chosen.index), 0)
        for hub in world.hubs {
          if hub === chosen {
            hub.startsAt = min(hub.startsAt, world.now + 1)
          } else {
            hub.crash(now: world.now, for: .max / 2)
          }
          if !hub.isUp, hub !== chosen { hub.startsAt = .never }
          hub.schedule(now: world.now)
        }
        world.run(until: world.now + Self.stayMs)
      }
      if isAtRest, !world.boards.contains(where: { $0.isHidden }) { break }
    }
    check()
  }

  private var isAtRest: Bool {
    for board in world.boards {
      guard let node = board.node, board.owner.isAtRest else { return false }
      if node.waitingToGo > 0 || node.waitingHere > 0 { return false }
    }
    for hub in world.hubs where hub.store.count > 0 { return false }
    return true
  }

  /// The last hub knows where everybody is: over a link of its own, or from leaf to relay up to one that has such.
  private func checkWay(to board: Board) {
    guard let hub = world.hubs.last(where: { $0.isUp }) else { world.fail("there is no hub in the end") }
    var lower = board
    for _ in world.boards {
      guard let place = hub.live[lower.index], place.session === hub.live[board.index]?.session else {
        world.fail("a hub does not know where a node is", board.index)
      }
      if place.relay < 0 {
        if lower.link?.answerer === place.session { return }
        world.fail("a hub takes a node for linked to itself", board.index)
      }
      let relay = world.boards[place.relay]
      guard let seat = relay.seats.first(where: { $0.link != nil && $0.link === lower.link }),
        let peer = relay.node?.relay.peers[seat.place], peer.phase == .online, peer.id == Board.nodeId(lower.index)
      else { world.fail("a hub takes a node for linked to a relay", board.index) }
      lower = relay
    }
    world.fail("a hub's ways go in circles", board.index)
  }

  private func check() {
    for hub in world.hubs {
      if hub.store.count > 0 { world.fail("a hub keeps messages that nobody takes", hub.index) }
      if hub.store.taken != hub.store.forgotten { world.fail("a hub has lost count", hub.index) }
    }
    world.ledger.settle()
    if let number = world.jobEnds.firstIndex(where: { $0 == nil }) { world.fail("a job has not ended", number) }
    for board in world.boards { checkWay(to: board) }
    for board in world.boards {
      guard let node = board.node, let rings = board.rings else {
        world.fail("a board did not come back", board.index)
      }
      if !board.owner.isAtRest { world.fail("an owner waits for an answer", board.index) }
      if rings.isEmpty, node.isStorageWell { continue }
      world.fail("a ring is not empty in the end", board.index)
    }
  }
}
