import Bounded
import Durable
import Node
import SkyCrypto
import Wire

/// A board with the production node on it: its flash, its clock, its owner, and what the daemon does between the node
/// and the world. The flash outlives the node; everything else of a start is lost with it.
final class Board {
  unowned(unsafe) let world: World
  let index: Int
  var dice: Dice
  private let keySeed: UInt64
  let publicKey: Bytes32
  private(set) var settings = NodeSettings()
  /// Where others find it when it relays.
  let entry: HubEntry
  /// One for each place of its relay's table.
  let seats: [LeafSeat]
  let flash: Flash
  /// The file `admission`, replaced whole.
  private var admissionFile: [UInt8]?
  /// Likewise `known`.
  private var knownFile: [UInt8]?

  // What a start makes and a crash takes.
  private(set) var node: Node?
  private(set) var rings: Rings?
  private(set) var link: SimLink?
  private(set) var isLinkHonest = true
  private var probeDue = Instant.never
  private var probed = 0
  /// Rises with each start.
  private(set) var life: UInt32 = 0
  let owner: Owner

  // What may be wrong with it.
  var startsAt = Instant(ms: 0)
  var pausedUntil = Instant(ms: 0)
  var impostorUntil = Instant(ms: 0)
  /// It falls in the middle of the next write to one of its media; `both`: of batch and checkpoint.
  var fallsAtWrite: (power: Bool, both: Bool)?
  var slowestMs: UInt64 = 20
  var cannotPersist = false
  /// Against true time, milliseconds; and whether there is a clock at all.
  var clockOffsetMs: Int64 = 0
  var hasClock = true
  /// How far the node's idea of the time was off at the last look.
  private var errorMs: Int64 = 0
  /// One deadline for each hub, and for each board behind them.
  var cutOffUntil: [Instant]
  /// No hub can be reached from here, only relays.
  var isHidden = false
  var isDraining = false
  /// Connections at its door that say nothing go at this time.
  var strangersLeaveAt = Instant.never
  /// The job that the model's worker has, and when it is done with it.
  var modelEpoch: UInt32?
  var modelEndsAt = Instant.never
  /// Leaves that have come in since this start, and those of them that have not gone, as the node told.
  var leavesJoined: UInt64 = 0
  var leaves = 0

  // What has been counted over all lives.
  var damages: UInt64 = 0
  private(set) var starts: UInt64 = 0

  static func nodeId(_ index: Int) -> UInt32 { Limits.lightNodeFirst + UInt32(index) }
  static func number(of id: UInt32) -> Int? { id >= Limits.lightNodeFirst ? Int(id - Limits.lightNodeFirst) : nil }

  init(_ world: World, index: Int, ringBytes: UInt32, seed: UInt64) {
    self.world = world
    self.index = index
    dice = Dice(seed: seed)
    keySeed = dice.next()
    var keys = Dice(seed: keySeed)
    publicKey = Identity(seed: keys.secret()).publicKey
    flash = Flash(ringBytes: ringBytes, syncLies: world.scenario.plant == .syncLies, &dice)
    let name: [UInt8] = [0x62, 0x30 + UInt8(index / 10), 0x30 + UInt8(index % 10)]
    entry = HubEntry(
      host: InlineText<253>(name.span.bytes)!, port: 7_444, pin: Bytes32(repeating: UInt8(0x80 + index)),
      key: publicKey)
    seats = (0..<(index < world.scenario.relays ? world.scenario.relayPlaces : 0)).map { LeafSeat(place: $0) }
    cutOffUntil = [Instant](repeating: Instant(ms: 0), count: world.scenario.hubs + world.scenario.nodes)
    owner = Owner(scenario: world.scenario, dice: dice.split())
    hasClock = dice.below(3) > 0
    for seat in seats { seat.board = self }
  }

  var isRelay: Bool { !seats.isEmpty }

  /// What its owner has written into the configuration: relays before hubs, behind them, or none.
  func chooseHubs() {
    var hubs: [HubEntry] = []
    let first = world.scenario.mixesHubs ? index : 0
    for i in 0..<world.hubs.count { hubs.append(world.hubs[(first + i) % world.hubs.count].entry) }
    let relays = chooseRelays()
    let relaysFirst = !relays.isEmpty && !dice.oneIn(4)
    for entry in relaysFirst ? relays + hubs : hubs + relays { settings.hubs.append(entry) }
    if relaysFirst {
      isHidden = dice.oneIn(2)
      // On the hub's list of keys: no ticket is needed, wherever it comes in.
      if dice.oneIn(2) { world.isAdmitted[index] = true }
    }
    if world.scenario.jobEveryMs != 0, index == 0 || dice.oneIn(2) { settings.duties.insert(.compute) }
    settings.ticket = Ticket(hub: settings.hubs[0], tokenId: World.tokenId, tokenSecret: World.tokenSecret)
  }

  /// Relays that this board may go through; also for a relay, and then nothing keeps two from naming each other.
  private func chooseRelays() -> [HubEntry] {
    let count = world.scenario.relays
    if count == 0 || dice.oneIn(isRelay ? 2 : 5) { return [] }
    var chosen: [HubEntry] = []
    let first = dice.below(count)
    for i in 0..<count where chosen.count < 3 {
      let board = world.boards[(first + i) % count]
      if board !== self, chosen.isEmpty || dice.oneIn(2) { chosen.append(board.entry) }
    }
    return chosen
  }

  var standsUntil: Instant { pausedUntil }
  var isUp: Bool { node != nil }

  func isCutOff(from peer: Peer, now: Instant) -> Bool {
    switch peer {
    case .hub(let hub): isHidden || cutOffUntil[hub.index] > now
    case .relay(let board): cutOffUntil[world.scenario.hubs + board.index] > now
    }
  }

  // MARK: Starting and stopping

  private func start(now: Instant) {
    startsAt = .never
    life += 1
    starts += 1
    isDraining = false
    // A file that cannot be read at all when it is opened begins anew: nobody could know then what was had.
    healReading()
    for medium in flash.all { medium.reopen() }
    let rings = Rings(flash, slowestMs: slowestMs, plant: world.scenario.plant)
    rings.open(after: self.rings, &dice, now: now)
    self.rings = rings
    if rings.hasDied { return fall(now: now, power: true, for: dice.spread(1_000, to: 60_000)) }
    for medium in flash.all { medium.diesAfter = nil }
    var keys = Dice(seed: keySeed)
    let drawn = dice.bytes32()
    var me = NodeSelf(
      instance: InlineArray { drawn[$0] }, hardware: Bytes32(repeating: UInt8(truncatingIfNeeded: index)),
      agent: InlineArray(repeating: 0x61))
    me.highestVersion = drawn[16] & 1 == 0 ? Limits.lowestVersion : Limits.highestVersion
    let node = Node(
      seed: keys.secret(), entropy: dice.secret(), me: me, settings: settings, admission: readAdmission(),
      stores: rings.stores, relayPlaces: seats.count, known: readKnown())
    self.node = node
    owner.started(now: now)
    world.trace(.start, UInt64(index), UInt64(life))
    node.handle(.start, now: now)
    settle(now: now)
  }

  /// The media give again what is asked of them; what they did not give meanwhile was passed over.
  func healReading() {
    for medium in flash.all where medium.readError != 0 {
      medium.readError = 0
      unreadable(medium)
    }
  }

  /// What lies on this medium counts as damaged when its turn comes.
  func unreadable(_ medium: Medium) {
    if medium === flash.incoming { return world.ledger.unreadable(to: index) }
    world.ledger.unreadable(from: index, areUrgent: medium === flash.urgent)
  }

  private func readAdmission() -> Admission {
    guard let admissionFile else { return Admission() }
    do throws(ErrorCode) { return try Admission(decoding: admissionFile.span.bytes) } catch {
      world.fail("what a node wrote down cannot be read")
    }
  }

  private func writeAdmission(_ admission: Admission) {
    if cannotPersist { return }
    var queue = ByteQueue(capacity: Admission.maximumBytes)
    admission.encode(to: &queue)
    admissionFile = (0..<queue.count).map { queue.bytes[$0] }
  }

  private func readKnown() -> KnownNodes {
    guard let knownFile else { return KnownNodes() }
    do throws(ErrorCode) { return try KnownNodes(decoding: knownFile.span.bytes) } catch {
      world.fail("what a node wrote down of others cannot be read")
    }
  }

  private func writeKnown(_ known: KnownNodes) {
    if cannotPersist { return }
    var queue = ByteQueue(capacity: KnownNodes.maximumBytes)
    known.encode(to: &queue)
    knownFile = (0..<queue.count).map { queue.bytes[$0] }
  }

  /// The process ends without a word; with `power`, the board does. It starts again after a while.
  func fall(now: Instant, power: Bool, for ms: UInt64) {
    if let rings {
      if node != nil {
        check(now: now)
        damages += rings.damages
      }
      for drive in rings.all { drive.abandon() }
    }
    if power { for medium in flash.all { medium.cutPower() } }
    node = nil
    fallsAtWrite = nil
    // Nobody says that a connection has ended when the power is gone.
    let isSilent = power && dice.oneIn(2)
    if isSilent, let link {
      self.link = nil
      link.vanish(self, now: now)
    } else {
      dropLink(now: now)
    }
    leaveSeats(isSilent: isSilent, now: now)
    probeDue = .never
    modelEpoch = nil
    owner.fell()
    startsAt = now + ms
    world.setDue(of: self, startsAt)
  }

  /// What this life and all before it have counted as damaged.
  var damagesNow: UInt64 { damages + (node == nil ? 0 : rings?.damages ?? 0) }

  func drain(now: Instant) {
    guard let node, !isDraining else { return }
    isDraining = true
    for drive in rings?.all ?? [] { drive.ring.askForCheckpoint() }
    node.handle(.drain, now: now)
    settle(now: now)
  }

  // MARK: A turn

  func turn(now: Instant) {
    if node == nil {
      guard now >= startsAt else { return world.setDue(of: self, startsAt) }
      return start(now: now)
    }
    guard now >= pausedUntil, let node else { return schedule(now: now) }
    // A link that is lost while deadlines are seen to may be tried again after a wait of nothing: once more.
    for _ in 0..<2 where node.nextDeadline <= now {
      node.handle(.tick, now: now)
      act(node, now: now)
    }
    if node.nextDeadline <= now { world.fail("what was due is not done", index) }
    if probeDue <= now { finishProbe(node, now: now) }
    if strangersLeaveAt <= now { sendStrangersAway(node, now: now) }
    if settings.duties.contains(.compute) { workOnJobs(node, now: now) }
    owner.turn(self, node, now: now)
    settle(now: now)
  }

  /// Ends a turn, as the daemon does.
  func settle(now: Instant) {
    guard let node, let rings else { return }
    _ = rings.pump(now: now)
    if isRelay {
      node.moveRelayed(now: now)
      flushSeats(node, now: now)
    }
    if let how = fallsAtWrite, rings.all.contains(where: { $0.isWriting(both: how.both) }) {
      return fall(now: now, power: how.power, for: dice.spread(500, to: 60_000))
    }
    repeat {
      repeat {
        act(node, now: now)
        flush(node, now: now)
      } while node.moveStored(now: now)
    } while rings.pump(now: now)
    act(node, now: now)
    owner.look(self, node, now: now)
    check(now: now)
    checkKeys(node, now: now)
    if isRelay { checkRelay(node, now: now) }
    if node.state == .stopped, rings.isSettled {
      return fall(now: now, power: false, for: dice.spread(500, to: 20_000))
    }
    schedule(now: now)
  }

  func schedule(now: Instant) {
    guard let node, let rings else { return world.setDue(of: self, startsAt) }
    var due = min(node.nextDeadline, rings.deadline(now: now))
    due = min(due, min(probeDue, owner.due))
    // What the link did not take, and what waits for a stop.
    if link != nil, !node.session.output.isEmpty { due = min(due, now + 100) }
    if isRelay { due = min(due, relayDue(node, now: now)) }
    if settings.duties.contains(.compute) { due = min(due, jobsDue(node)) }
    world.setDue(of: self, max(max(due, pausedUntil), now + 1))
  }

  // MARK: The node's actions

  func act(_ node: Node, now: Instant) {
    while let action = node.nextAction() {
      switch action {
      case .connect(let index): connect(to: node.hubs[index], node, now: now)
      case .disconnect:
        flush(node, now: now)
        dropLink(now: now)
      case .probe(let index):
        probed = index
        probeDue = now + dice.from(1, to: 3_000)
      case .sampleVitals: sample(node, now: now)
      case .persist: writeAdmission(node.admission)
      case .keepKnown: writeKnown(node.known)
      case .closePeer(let place): closeSeat(place, node, now: now)
      case .stop: break
      }
    }
  }

  private func peer(at place: HubEntry) -> Peer? {
    for hub in world.hubs where hub.entry.isSamePlace(as: place) { return .hub(hub) }
    for board in world.boards where board.entry.isSamePlace(as: place) { return .relay(board) }
    return nil
  }

  private func connect(to place: HubEntry, _ node: Node, now: Instant) {
    dropLink(now: now)
    guard let peer = peer(at: place) else { return node.handle(.linkDown(.resolveFailed), now: now) }
    let fresh = world.freeLink()
    link = fresh
    fresh.dial(from: self, to: peer, now: now)
  }

  private func finishProbe(_ node: Node, now: Instant) {
    probeDue = .never
    var isReachable = false
    if probed < node.hubs.count, let peer = peer(at: node.hubs[probed]), !isCutOff(from: peer, now: now) {
      isReachable = peer.answers(now: now)
    }
    node.handle(.probeResult(reachable: isReachable), now: now)
  }

  private func sample(_ node: Node, now: Instant) {
    let wall = hasClock ? Int64(world.wallMs(now)) + clockOffsetMs : 0
    node.handle(.systemClock(UInt64(max(0, wall))), now: now)
    noteClock(node, now: now)
    node.handle(.entropy(dice.bytes32()), now: now)
    var signs = VitalSigns()
    signs.uptimeS = UInt32(truncatingIfNeeded: now.ms / 1_000)
    signs.memoryTotalKB = 512_000
    signs.memoryAvailableKB = dice.oneIn(200) && !owner.isLeaving ? 4_000 : 300_000
    signs.temperatureMilliC = dice.oneIn(200) && !owner.isLeaving ? 96_000 : 45_000
    node.handle(.vitals(signs), now: now)
  }

  /// The node goes by another clock than before, by the board's or, after a start without one, by the hub's or a relay's.
  private func noteClock(_ node: Node, now: Instant) {
    let wall = node.wallTimeMs(now: now)
    guard wall > 0 else { return }
    let error = Int64(wall) - Int64(world.wallMs(now))
    if abs(error - errorMs) > 2_000 {
      errorMs = error
      world.ledger.clockMoved(at: index)
    }
  }

  private func flush(_ node: Node, now: Instant) {
    guard let link, !node.session.output.isEmpty else { return }
    while link.sendUp(&node.session.output, now: now), !node.session.output.isEmpty {}
  }

  private func dropLink(now: Instant) {
    let old = link
    link = nil
    old?.boardLeft(now: now)
  }

  // MARK: The link's side

  func dialled(_ link: SimLink, exporter: Bytes32, isHonest: Bool, now: Instant) {
    guard let node, self.link === link else { return link.boardLeft(now: now) }
    isLinkHonest = isHonest
    node.handle(.linkUp(exporter: exporter, entropy: dice.bytes32()), now: now)
    settle(now: now)
  }

  func dialFailed(_ link: SimLink, now: Instant) {
    guard let node, self.link === link else { return }
    self.link = nil
    node.handle(.linkDown(.connectFailed), now: now)
    settle(now: now)
  }

  func arrived(_ pipe: Pipe, on link: SimLink, now: Instant) -> Bool {
    guard let node, self.link === link else { return true }
    while pipe.deliver(to: &node.session.input, now: now) {
      node.handle(.linkBytes, now: now)
      // A leaf goes by the time of its relay, which may be wrong.
      noteClock(node, now: now)
      act(node, now: now)
      guard self.link === link else { break }
      checkLink(pipe, node)
      // What came for leaves goes out before more comes in.
      if isRelay { flushSeats(node, now: now) }
    }
    let isTaken = self.link !== link || pipe.due > now
    settle(now: now)
    return isTaken
  }

  func ended(_ link: SimLink, now: Instant) {
    guard let node, self.link === link else { return link.boardLeft(now: now) }
    dropLink(now: now)
    node.handle(.linkDown(.linkClosed), now: now)
    settle(now: now)
  }
}
