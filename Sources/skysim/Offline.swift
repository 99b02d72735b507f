import Bounded
import CSim
import Durable
import Node
import Wire

/// A day without a hub: a node is admitted, its hub goes, and its owner goes on giving it 20 durable messages a second.
/// The ring has the size that ships. Memory and file must not change, and every message must be accounted for; when the
/// hub is back after that day, what was promised arrives.
struct Offline {
  private static let hours: UInt64 = 24
  private static let everyMs: UInt64 = 50

  private let world: World
  private var board: Board { world.boards[0] }
  private var hub: SimHub { world.hubs[0] }

  init(seed: UInt64, plant: Plant) {
    var scenario = Scenario(seed: seed, nodes: 2, days: 1)
    scenario.plant = plant
    scenario.hubs = 1
    scenario.relays = 0
    scenario.jobEveryMs = 0
    scenario.heartbeatMs = 30_000
    scenario.faultEveryMs = 0
    scenario.postEveryMs = 1 << 40
    scenario.sendEveryMs = 1 << 40
    world = World(scenario, ringBytes: Limits.ringFileBytes)
  }

  func run() -> Never {
    world.run(until: world.now + 300_000)
    guard board.node?.state == .online else { world.fail("the node did not come online", 0) }
    hub.crash(now: world.now, for: .max / 2)
    board.owner.startPace(Self.everyMs, now: world.now)
    board.schedule(now: world.now)
    let begun = world.now
    var heap: UInt64 = 0
    for hour in 1...Self.hours {
      world.run(until: begun + 3_600_000 * hour)
      let used = sim_heap_bytes()
      // The first hour fills the ring, and the simulator's own book of what was promised.
      if hour == 1 { heap = used }
      if used != heap { world.fail("memory has changed", Int(used) - Int(heap)) }
      count(hour, used)
    }
    hub.startsAt = world.now + 1
    hub.schedule(now: world.now)
    Ending(world).run()
    let totals = world.ledger.totals
    say("promised \(totals.promised) arrived \(totals.promised - totals.excused) hash \(world.hashText)")
    finish(0)
  }

  private func count(_ hour: UInt64, _ used: UInt64) {
    guard let node = board.node, let drive = board.rings?.outgoing else { world.fail("the node is gone", 0) }
    let owner = board.owner
    let given = owner.postedNow + owner.fullNow + owner.busyNow
    let expected = hour * 3_600_000 / Self.everyMs
    if given != expected { world.fail("not every message is accounted for", Int(given)) }
    if node.waitingToGo != owner.postedNow { world.fail("what waits is not what was taken in", 0) }
    if board.flash.outgoing.bytes.count != Int(Limits.ringFileBytes) { world.fail("the file has another size", 0) }
    say(
      "hour \(hour) given \(given) taken \(owner.postedNow) full \(owner.fullNow) busy \(owner.busyNow) file_bytes "
        + "\(board.flash.outgoing.bytes.count) written_bytes \(drive.bytesWritten) heap_bytes \(used)")
  }
}
