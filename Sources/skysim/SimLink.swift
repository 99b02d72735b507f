import Bounded
import SkyCrypto
import Wire

/// The end of a link that was dialled: a hub's session, or a place at a relay's door.
class LinkServer {
  /// Not before this can anything arrive here: the program stands still.
  var standsUntil: Instant { fatalError("of those who inherit") }
  /// Moves what has arrived out of the pipe and works on it. False when it has no room for all of it.
  func arrived(_ pipe: Pipe, on link: SimLink, now: Instant) -> Bool { fatalError("of those who inherit") }
  /// The other side is gone.
  func ended(_ link: SimLink, now: Instant) { fatalError("of those who inherit") }
}

/// What can be dialled.
enum Peer {
  case hub(SimHub)
  /// A board that relays.
  case relay(Board)
}

extension Peer {
  var isUp: Bool {
    switch self {
    case .hub(let hub): hub.isUp
    case .relay(let board): board.isUp
    }
  }

  /// The other end of a link; nil when it takes no connection.
  func open(_ link: SimLink, exporter: Bytes32, now: Instant) -> LinkServer? {
    switch self {
    case .hub(let hub): hub.open(link, exporter: exporter, now: now)
    case .relay(let board): board.openSeat(link, exporter: exporter, now: now)
    }
  }
}

/// A connection with TLS under it, seen from outside: two pipes, two ends, and what can happen to each.
final class SimLink {
  unowned(unsafe) let world: World
  let slot: Int
  private(set) var isFree = true
  let up = Pipe()
  let down = Pipe()
  /// Who dialled, and who answers; nil when that end has let go.
  private(set) var dialler: Board?
  private(set) var answerer: LinkServer?
  /// Where it was dialled to.
  private(set) var peer: Peer?
  private var dialledAt = Instant.never
  private var waitsUntil = Instant.never
  private var dice: Dice
  private var latencyMs: UInt64 = 0
  /// It breaks when next something is sent.
  var cutsAtSend = false

  init(_ world: World, slot: Int, dice: Dice) {
    self.world = world
    self.slot = slot
    self.dice = dice
  }

  var isOpen: Bool { !isFree && dialledAt == .never }

  // MARK: Its life

  func dial(from board: Board, to peer: Peer, now: Instant) {
    isFree = false
    up.reset()
    down.reset()
    dialler = board
    self.peer = peer
    cutsAtSend = false
    latencyMs = world.scenario.latencyMs / 2 + dice.below(world.scenario.latencyMs + 1)
    // TCP and TLS 1.3: two round trips, and a slow board's arithmetic.
    dialledAt = now + 4 * latencyMs + dice.below(200)
    if board.isCutOff(from: peer, now: now) {
      // Nothing comes back: sometimes the kernel says so in time, sometimes the node's own timer has to.
      dialledAt = dice.oneIn(2) ? now + Limits.connectAttemptMs : Instant(ms: .max - 1)
    }
    schedule()
  }

  private func finishDial(now: Instant) {
    dialledAt = .never
    guard let board = dialler, let peer else { return release() }
    if case .relay(let relay) = peer, relay.isUp, relay.pausedUntil > now {
      // Its kernel takes the connection; TLS has to wait for the program.
      dialledAt = relay.pausedUntil
      return schedule()
    }
    // Whoever sits on the way with a certificate of his own, and the right pin, answers in the other's place.
    let impostor = board.impostorUntil > now && peer.isUp
    let answering = impostor && dice.oneIn(2) ? Peer.hub(world.impostor) : peer
    let exporter = dice.bytes32()
    // Or he hands every byte on, between two TLS connections of his.
    let other = impostor ? dice.bytes32() : exporter
    let isReached = answering.isUp && !board.isCutOff(from: peer, now: now)
    answerer = isReached ? answering.open(self, exporter: other, now: now) : nil
    guard answerer != nil else {
      dialler = nil
      release()
      return board.dialFailed(self, now: now)
    }
    board.dialled(self, exporter: exporter, isHonest: !impostor, now: now)
  }

  /// The board's end goes: what it has sent still arrives.
  func boardLeft(now: Instant) {
    guard dialler != nil else { return }
    dialler = nil
    if answerer == nil { return release() }
    up.end(now + latencyMs)
    schedule()
  }

  func serverLeft(now: Instant) {
    guard answerer != nil else { return }
    answerer = nil
    if dialler == nil { return release() }
    down.end(now + latencyMs)
    schedule()
  }

  /// This end goes without a word, as a board does whose power goes: the other waits for it in vain.
  func vanish(_ board: Board, now: Instant) {
    if dialler === board {
      dialler = nil
      up.swallow()
    } else {
      answerer = nil
      down.swallow()
    }
    if dialler == nil, answerer == nil { return release() }
    schedule()
  }

  private func release() {
    isFree = true
    dialler = nil
    answerer = nil
    peer = nil
    dialledAt = .never
    waitsUntil = .never
    world.setDue(of: self, .never)
  }

  // MARK: Moving bytes

  func sendUp(_ output: inout ByteQueue, now: Instant) -> Bool {
    guard isOpen else { return false }
    defer {
      if cutsAtSend { cut(now: now) }
      schedule()
    }
    return up.take(from: &output, latencyMs: latencyMs, dice: &dice, now: now)
  }

  func sendDown(_ output: inout ByteQueue, now: Instant) -> Bool {
    guard isOpen else { return false }
    defer {
      if cutsAtSend { cut(now: now) }
      schedule()
    }
    return down.take(from: &output, latencyMs: latencyMs, dice: &dice, now: now)
  }

  /// One turn: whatever is due.
  func turn(now: Instant) {
    if dialledAt <= now { return finishDial(now: now) }
    var isFull = false
    if let end = answerer, max(up.due, end.standsUntil) <= now {
      if up.hasEnded(now: now) { end.ended(self, now: now) } else { isFull = !end.arrived(up, on: self, now: now) }
    }
    if let end = dialler, max(down.due, end.standsUntil) <= now {
      if down.hasEnded(now: now) {
        end.ended(self, now: now)
      } else if !end.arrived(down, on: self, now: now) {
        isFull = true
      }
    }
    waitsUntil = isFull ? now + 50 : .never
    if !isFree { schedule() }
  }

  func schedule() {
    guard !isFree else { return }
    var due = dialledAt
    if isOpen {
      if let end = answerer { due = min(due, max(up.due, end.standsUntil)) }
      if let end = dialler { due = min(due, max(down.due, end.standsUntil)) }
      // Whoever had no room a moment ago is not asked again at once.
      if waitsUntil != .never { due = max(due, waitsUntil) }
    }
    world.setDue(of: self, due)
  }

  // MARK: What happens to it

  /// Both ends hear of it, sooner or later, and what was under way is lost from some byte on.
  func cut(now: Instant) {
    cutsAtSend = false
    guard isOpen else { return }
    up.cut(now + dice.below(500), dice: &dice)
    down.cut(now + dice.below(500), dice: &dice)
    schedule()
  }

  /// One direction, or both, is silent from now on, and nobody hears of it.
  func silence(now: Instant) {
    guard isOpen else { return }
    let which = dice.below(3)
    if which != 0 { up.swallow() }
    if which != 1 { down.swallow() }
    schedule()
  }

  func stall(now: Instant) {
    guard isOpen else { return }
    let end = now + dice.spread(500, to: 170_000)
    if dice.oneIn(2) { up.hold(until: end) }
    if dice.oneIn(2) { down.hold(until: end) }
    schedule()
  }

  func tamper(now: Instant) {
    guard isOpen else { return }
    world.trace(.fault, 100, UInt64(slot))
    let ways: [Tampering] = [.flip, .flip, .drop, .repeatThem, .insert, .cutShort, .swap]
    let how = ways[dice.below(ways.count)]
    if dice.oneIn(2) { up.tampering = how } else { down.tampering = how }
  }
}
