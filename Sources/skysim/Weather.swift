import Bounded
import Durable
import Node
import Wire

/// What goes wrong, when, for whom, and for how long.
final class Weather {
  private unowned(unsafe) let world: World
  private var dice: Dice
  private var nextFault = Instant.never
  private var total: UInt64 = 0
  private var isStorm = false
  private var struck = 0
  /// Media that are ill, by board, and until when.
  private var illUntil: [Instant]

  init(_ world: World, dice: Dice) {
    self.world = world
    self.dice = dice
    illUntil = [Instant](repeating: .never, count: world.scenario.nodes)
    for i in 0..<Fault.allCases.count { total += world.scenario.weights[i] }
    // The first admission is not the hardest test.
    schedule(after: Instant(ms: world.now.ms + 120_000))
  }

  private func schedule(after now: Instant) {
    let every = world.scenario.faultEveryMs
    isStorm = dice.oneIn(3)
    nextFault = every == 0 || total == 0 ? .never : now + 1 + dice.below(isStorm ? 15_000 : 2 * every)
    wake()
  }

  private func wake() {
    var due = nextFault
    for until in illUntil { due = min(due, until) }
    world.setDueOfWeather(due)
  }

  func turn(now: Instant) {
    for i in illUntil.indices where illUntil[i] <= now { heal(i, now: now) }
    if nextFault <= now {
      let fault = draw()
      // Troubles come together: often the same board is hit again, and soon.
      if !isStorm || dice.below(3) == 0 { struck = dice.below(world.boards.count) }
      let board = world.boards[struck]
      let hub = world.hubs[dice.below(world.hubs.count)]
      world.counts.faults += 1
      world.trace(.fault, UInt64(fault.rawValue), UInt64(board.index))
      strike(fault, board, hub, now: now)
      schedule(after: now)
    }
    wake()
  }

  private func draw() -> Fault {
    var left = dice.below(total)
    for fault in Fault.allCases {
      if left < world.scenario.weights[fault.rawValue] { return fault }
      left -= world.scenario.weights[fault.rawValue]
    }
    return .cut
  }

  private func strike(_ fault: Fault, _ board: Board, _ hub: SimHub, now: Instant) {
    switch fault {
    case .cut: if dice.oneIn(2) { board.link?.cutsAtSend = true } else { board.link?.cut(now: now) }
    case .halfOpen: board.link?.silence(now: now)
    case .stall: board.link?.stall(now: now)
    case .partition: part(board, hub, now: now)
    case .dutyOff:
      let duties = board.settings.duties
      board.node?.setDuties(dice.oneIn(3) ? duties.subtracting(dice.oneIn(2) ? .relay : .compute) : duties, now: now)
    case .strangers: board.letStrangersIn(for: dice.spread(1_000, to: 120_000), now: now)
    case .attack: board.link?.tamper(now: now)
    case .kill: fell(board, power: false, for: dice.spread(100, to: 60_000), now: now)
    case .powerCut: fell(board, power: true, for: dice.spread(1_000, to: 3_600_000), now: now)
    case .drain: board.drain(now: now)
    case .pause:
      board.pausedUntil = now + dice.spread(500, to: 600_000)
      board.schedule(now: now)
      board.link?.schedule()
      for seat in board.seats { seat.link?.schedule() }
    case .hubCrash:
      if dice.oneIn(2) {
        hub.trap = dice.oneIn(2) ? .beforeCommit : .afterCommit
      } else {
        hub.crash(now: now, for: dice.spread(500, to: dice.oneIn(6) ? 14_400_000 : 120_000))
      }
    case .hubPause:
      hub.pausedUntil = now + dice.spread(500, to: 240_000)
      hub.schedule(now: now)
      for link in world.links { link.schedule() }
    case .hubDisk: hub.diskFailsUntil = now + dice.spread(5_000, to: 600_000)
    case .diskError, .slowDisk: sicken(board, fault, now: now)
    case .bitFlip: flip(board, now: now)
    case .dyingStart:
      if board.isUp { board.fall(now: now, power: true, for: dice.spread(1_000, to: 60_000)) }
      let media = board.flash.all
      media[dice.below(media.count)].diesAfter = dice.below(5)
    case .clockJump:
      board.hasClock = !dice.oneIn(4)
      let jumps: [UInt64] = [5_000, 3_600_000, 86_400_000, 30 * 86_400_000]
      let jump = Int64(dice.below(jumps[dice.below(4)]))
      board.clockOffsetMs += dice.oneIn(2) ? jump : -jump
    case .impostor: board.impostorUntil = now + dice.spread(60_000, to: 3_600_000)
    case .burst: board.owner.startBurst(20 + dice.below(380), now: now)
    case .sleepingOwner: board.owner.sleepsUntil = now + dice.spread(3_600_000, to: 43_200_000)
    }
    if fault == .burst { board.schedule(now: now) }
    if fault == .dutyOff { board.settle(now: now) }
  }

  /// At once, or in the middle of the next write: most of what can go wrong, goes wrong there.
  private func fell(_ board: Board, power: Bool, for ms: UInt64, now: Instant) {
    guard board.isUp else { return }
    if dice.oneIn(2) {
      board.fallsAtWrite = (power, dice.oneIn(2))
    } else {
      board.fall(now: now, power: power, for: ms)
    }
  }

  /// A board and one hub, or all of them, do not reach each other. Links that are open stand still for a while, or
  /// for ever without a word, or break.
  private func part(_ board: Board, _ hub: SimHub, now: Instant) {
    let end = now + dice.spread(5_000, to: dice.oneIn(5) ? 21_600_000 : 600_000)
    let isTotal = dice.oneIn(2)
    for other in world.hubs where isTotal || other === hub { board.cutOffUntil[other.index] = end }
    // From relays as well, from one of them, or from none.
    let relays = world.scenario.relays
    let chosen = dice.below(2 * relays)
    for relay in 0..<relays where isTotal ? dice.oneIn(2) : relay == chosen {
      board.cutOffUntil[world.hubs.count + relay] = end
    }
    guard let link = board.link, let linked = link.peer, board.isCutOff(from: linked, now: now) else { return }
    if end.since(now) < 50_000 {
      link.stall(now: now)
    } else if dice.oneIn(2) {
      link.silence(now: now)
    } else {
      link.cut(now: now)
    }
  }

  // MARK: Media

  private func sicken(_ board: Board, _ fault: Fault, now: Instant) {
    illUntil[board.index] = now + dice.spread(1_000, to: 7_200_000)
    if fault == .slowDisk {
      let slowest = dice.spread(100, to: 5_000)
      board.slowestMs = slowest
      for drive in board.rings?.all ?? [] { drive.slowestMs = slowest }
      return
    }
    // ENOSPC, EIO, EROFS
    let error = ([28, 5, 30] as [Int32])[dice.below(3)]
    for medium in board.flash.all where dice.below(3) != 0 {
      switch dice.below(4) {
      case 0: medium.syncError = error
      case 1:
        medium.readError = 5
        board.unreadable(medium)
      default: medium.writeError = error
      }
    }
    board.cannotPersist = dice.oneIn(2)
  }

  private func heal(_ index: Int, now: Instant) {
    illUntil[index] = .never
    let board = world.boards[index]
    for medium in board.flash.all {
      medium.writeError = 0
      medium.syncError = 0
    }
    board.healReading()
    board.cannotPersist = false
    board.slowestMs = 20
    for drive in board.rings?.all ?? [] { drive.slowestMs = 20 }
    world.trace(.heal, UInt64(index), 0)
    // A ring that found its medium unusable when it was opened stays in memory until the next start: somebody
    // restarts the program.
    if let node = board.node, !node.isStorageWell { board.drain(now: now) }
  }

  /// A bit of a file at rest changes. What it spoils is written down, and nothing else may be lost.
  private func flip(_ board: Board, now: Instant) {
    let which = dice.below(board.flash.all.count)
    let medium = board.flash.all[which]
    let drive = board.rings?.all[which]
    let isOutgoing = medium !== board.flash.incoming
    var parameters = RingParameters()
    parameters.fileBytes = UInt32(medium.bytes.count)
    let dataOffset = Int(parameters.dataOffset)
    if dice.oneIn(10), let drive, drive.canLoseCheckpoint {
      let offset = dice.below(dataOffset)
      drive.loseCheckpoint()
      if !isOutgoing { world.ledger.undone(at: board.index, since: drive.checkpointAt.older) }
      return medium.flip(bit: dice.below(8), at: offset)
    }
    let offset = dataOffset + dice.below(medium.bytes.count - dataOffset)
    for at in medium.records(around: offset, from: dataOffset, longest: 3_200) {
      let sequence = medium.number(at + 8, bytes: 8)
      if isOutgoing {
        if let stream = drive?.ring.stream,
          let id = world.ledger.find(board: board.index, stream: stream, sequence: sequence)
        {
          world.ledger.spoilt(id, by: board.index)
        }
      } else {
        // Behind source, stream, sequence and time: the text, which names its letter.
        let start = at + 24 + 28
        let id = medium.number(start + 4, bytes: 8)
        if medium.number(start, bytes: 4) == 0x5349_4D4C, id < UInt64(world.ledger.letters.count) {
          world.ledger.spoilt(Int(id), by: board.index)
        }
      }
    }
    medium.flip(bit: dice.below(8), at: offset)
  }

  // MARK: The end

  /// Nothing goes wrong any more.
  func clear(now: Instant) {
    nextFault = .never
    world.isEnding = true
    for i in illUntil.indices {
      heal(i, now: now)
      let board = world.boards[i]
      board.pausedUntil = now
      board.fallsAtWrite = nil
      board.impostorUntil = now
      for peer in board.cutOffUntil.indices { board.cutOffUntil[peer] = now }
      for medium in board.flash.all { medium.diesAfter = nil }
      board.owner.isLeaving = true
    }
    for hub in world.hubs {
      hub.pausedUntil = now
      hub.diskFailsUntil = now
      hub.trap = .none
    }
    for link in world.links { link.cutsAtSend = false }
    // Whose ticket was for a relay that had no place for it comes in by the list of keys.
    for i in world.isAdmitted.indices { world.isAdmitted[i] = true }
    wake()
  }
}
