import Bounded
import Durable
import Node

/// The files of rings on a board's flash. They outlive the node.
final class Flash {
  let outgoing: Medium
  let urgent: Medium
  let incoming: Medium
  var all: [Medium] { [outgoing, urgent, incoming] }

  init(ringBytes: UInt32, syncLies: Bool, _ dice: inout Dice) {
    outgoing = Medium(bytes: Int(ringBytes), dice: dice.split())
    urgent = Medium(bytes: Int(min(ringBytes, Stores.urgentParameters.fileBytes)), dice: dice.split())
    incoming = Medium(bytes: Int(ringBytes), dice: dice.split())
    for medium in all { medium.syncLies = syncLies }
  }
}

/// The rings of one start, each over its file: what `RingFiles` is in the daemon.
final class Rings {
  let outgoing: Drive
  let urgent: Drive
  let incoming: Drive
  var all: [Drive] { [outgoing, urgent, incoming] }
  let seen = SeenMessages()
  private let plant: Plant

  init(_ flash: Flash, slowestMs: UInt64, plant: Plant) {
    func drive(_ parameters: RingParameters, _ medium: Medium) -> Drive {
      var parameters = parameters
      parameters.fileBytes = UInt32(medium.bytes.count)
      return Drive(parameters, medium, slowestMs: slowestMs, plant: plant)
    }
    self.plant = plant
    outgoing = drive(Stores.outgoingParameters, flash.outgoing)
    urgent = drive(Stores.urgentParameters, flash.urgent)
    incoming = drive(Stores.incomingParameters, flash.incoming)
  }

  var stores: Stores { Stores(outgoing: outgoing.ring, urgent: urgent.ring, incoming: incoming.ring, seen: seen) }

  func open(after before: Rings?, _ dice: inout Dice, now: Instant) {
    for drive in [outgoing, urgent] {
      drive.ring.open(
        drive.medium, Self.fresh(&dice), now: now, restore: { _ in }, visit: { _, _ in }, user: { _ in 0 })
    }
    incoming.ring.open(
      incoming.medium, Self.fresh(&dice), now: now, restore: { seen.restore($0, now: now) },
      visit: { seen.visit($1, now: now) }, user: { writeSeen($0) })
    for (i, drive) in all.enumerated() { drive.opened(after: before?.all[i], now: now) }
  }

  private static func fresh(_ dice: inout Dice) -> DurableRing.Fresh {
    DurableRing.Fresh(
      stream: dice.next(), memoryStream: dice.next(), salt: UInt32(truncatingIfNeeded: dice.next()))
  }

  private func writeSeen(_ memory: UnsafeMutableRawBufferPointer) -> Int {
    plant == .windowNotKept ? 0 : seen.write(into: memory)
  }

  func pump(now: Instant) -> Bool {
    let sent = outgoing.pump(now: now) { _ in 0 }
    let hurried = urgent.pump(now: now) { _ in 0 }
    let received = incoming.pump(now: now) { self.writeSeen($0) }
    return sent || hurried || received
  }

  func deadline(now: Instant) -> Instant {
    min(min(outgoing.deadline(now: now), urgent.deadline(now: now)), incoming.deadline(now: now))
  }

  var hasDied: Bool { all.contains { $0.medium.hasDied } }
  var isSettled: Bool { all.allSatisfy { $0.ring.isSettled } }
  /// Nothing is kept any more, as far as it can be known.
  var isEmpty: Bool { all.allSatisfy { $0.ring.isEmpty && $0.ring.recordCount == 0 } }

  /// What has been counted as damaged since this start.
  var damages: UInt64 {
    all.reduce(0) { sum, drive in
      let counters = drive.ring.counters
      return sum + counters.quarantined + counters.missing + counters.passedOver + counters.damagedHeads
    }
  }
}
