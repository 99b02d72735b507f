import Bounded
import Durable
import Node
import SkyCrypto
import Wire

/// A hub's side of one link: the production session in the hub's role.
final class HubSession: LinkServer {
  enum Phase { case free, joining, online, closing }

  unowned(unsafe) let hub: SimHub
  /// Which connection this is: what comes for an earlier one is for nobody.
  var generation: UInt64 = 0
  var session = Session()
  var phase = Phase.free
  var link: SimLink?
  /// Number of the board; -1 before its HELLO.
  var board = -1
  var instance = InlineArray<16, UInt8>(repeating: 0)
  var openedAt = Instant(ms: 0)
  var lastHeard = Instant(ms: 0)
  var closesBy = Instant.never
  /// Of a relay: the number of the last proof taken for each of its leaves, by board; 0: none.
  var routeCounts: [UInt32]

  init(_ hub: SimHub, boards: Int) {
    self.hub = hub
    routeCounts = [UInt32](repeating: 0, count: boards)
  }

  override var standsUntil: Instant { hub.pausedUntil }
  override func arrived(_ pipe: Pipe, on link: SimLink, now: Instant) -> Bool { hub.arrived(pipe, self, now: now) }
  override func ended(_ link: SimLink, now: Instant) { hub.lost(self, now: now) }

  var deadline: Instant {
    switch phase {
    case .free: .never
    case .joining: openedAt + Limits.handshakeTimeoutMs
    case .online:
      min(lastHeard + Limits.silenceMs(heartbeatMs: hub.world.scenario.heartbeatMs), session.keyDeadline + 1)
    case .closing: closesBy
    }
  }
}

/// Where a node is reached: over a link of its own, or over that of a relay.
struct Place {
  let session: HubSession
  /// Number of the board that the node is linked to; -1: the link is its own.
  var relay = -1
  /// Of the start of the node.
  let instance: InlineArray<16, UInt8>
  /// Asked whether it lives, at this time.
  var probedAt = Instant.never
}

/// A small hub around the production session and the production duplicate window. It follows the rules of
/// docs/protocol.md as `HubCore` does, with a store in memory that commits whole or not at all in the place of SQLite.
///
/// It is not `HubCore`: that one needs Foundation and SQLite, which boards do not have.
final class SimHub {
  static let probeMs: UInt64 = 5_000
  static let outputReserve = 2_048

  unowned(unsafe) let world: World
  let index: Int
  let identity: Identity
  let entry: HubEntry
  let isImpostor: Bool
  let store: HubStore
  var random: Drbg
  var dice: Dice
  private(set) var isUp = true
  var startsAt = Instant.never
  var pausedUntil = Instant(ms: 0)
  /// It crashes at its next commit: before it, or after it and before a word is said about it.
  enum Trap { case none, beforeCommit, afterCommit }
  var trap = Trap.none
  /// Commits fail until then.
  var diskFailsUntil = Instant(ms: 0)

  private var sessions: [HubSession] = []
  private var free: [HubSession] = []
  private var generations: UInt64 = 0
  /// By number of the board.
  var live: [Place?]
  /// When the earliest of those who were asked has had long enough to answer.
  var probesDue = Instant.never
  var deliveries: [Delivery?]
  var arrivals: [Arrival] = []
  var delivered: [Spooled.Name] = []
  var spoolDue = Instant.never
  /// Jobs that have not ended, oldest first; what nodes that have come may do, once they have told.
  var jobs: [SimJob] = []
  var duties: [Duties?]
  /// When they are looked at, and when somebody wants another one.
  var jobsDue = Instant.never
  var jobAt: Instant
  var lastJob: UInt64 = 0
  var scratch = ByteQueue(capacity: Limits.frameBodyBytes)
  private var touched: [HubSession] = []

  init(_ world: World, index: Int, boards: Int, isImpostor: Bool, seed: UInt64) {
    self.world = world
    self.index = index
    self.isImpostor = isImpostor
    dice = Dice(seed: seed)
    identity = Identity(seed: dice.secret())
    random = Drbg(seed: dice.secret())
    store = HubStore(boards: boards, hub: index, ledger: world.ledger, plant: world.scenario.plant)
    live = [Place?](repeating: nil, count: boards)
    duties = [Duties?](repeating: nil, count: boards)
    jobAt = world.scenario.jobEveryMs == 0 || isImpostor ? .never : world.now + 600_000
    deliveries = [Delivery?](repeating: nil, count: boards)
    var host = InlineText<253>()
    let name: [UInt8] = [0x68, 0x30 + UInt8(index)]
    host = InlineText<253>(name.span.bytes) ?? host
    entry = HubEntry(host: host, port: 7_443, pin: Bytes32(repeating: UInt8(index + 1)), key: identity.publicKey)
  }

  // MARK: Links

  func open(_ link: SimLink, exporter: Bytes32, now: Instant) -> HubSession {
    let session: HubSession
    if let old = free.popLast() {
      session = old
    } else {
      session = HubSession(self, boards: live.count)
      sessions.append(session)
    }
    generations += 1
    session.generation = generations
    session.phase = .joining
    session.link = link
    session.board = -1
    session.openedAt = now
    session.lastHeard = now
    session.closesBy = .never
    session.session.startAsHub(
      exporter: exporter, highestVersion: index & 1 == 0 ? Limits.highestVersion : Limits.lowestVersion)
    schedule(now: now)
    return session
  }

  /// True when all that has arrived was taken.
  func arrived(_ pipe: Pipe, _ session: HubSession, now: Instant) -> Bool {
    var moved = false
    repeat {
      moved = pipe.deliver(to: &session.session.input, now: now)
      if session.phase == .closing { session.session.input.consume(session.session.input.count) }
      process(session, now: now)
      checkSpoilt(pipe, session)
    } while moved && session.phase != .free
    let isTaken = pipe.due > now || session.phase == .free
    settle(now: now)
    return isTaken
  }

  /// Whoever reads on beyond a byte that was not sent has believed a forger.
  private func checkSpoilt(_ pipe: Pipe, _ session: HubSession) {
    guard session.session.isEstablished else { return }
    if pipe.delivered - UInt64(session.session.input.count) > pipe.spoiltFrom {
      world.fail("a hub's session outlived what was altered on the way")
    }
  }

  private func process(_ session: HubSession, now: Instant) {
    while session.phase == .joining || session.phase == .online {
      guard session.session.output.space >= Self.outputReserve else { return }
      do throws(ErrorCode) {
        guard let event = try session.session.nextEvent(now: now, identity: identity, random: &random) else { return }
        session.lastHeard = now
        touch(session)
        handle(event, session, now: now)
      } catch {
        world.trace(.hubError, UInt64(session.board + 1), UInt64(error.rawValue))
        beginClosing(session, now: now)
      }
    }
  }

  private func handle(_ event: Session.Event, _ session: HubSession, now: Instant) {
    switch event {
    case .hello: judge(session, now: now)
    case .established: enter(session, now: now)
    case .frame(let frame):
      if session.session.keyAge(now: now) > Limits.keyRefusedAfterMs { world.fail("a frame came in under an old key") }
      handle(frame, session, now: now)
    case .rekeyed: world.counts.renewals += 1
    case .closed: beginClosing(session, now: now)
    }
  }

  func close(_ session: HubSession, _ code: ErrorCode, now: Instant) {
    guard session.phase == .joining || session.phase == .online else { return }
    session.session.close(code, now: now)
    beginClosing(session, now: now)
  }

  private func beginClosing(_ session: HubSession, now: Instant) {
    leave(session)
    session.phase = .closing
    session.closesBy = now + Limits.drainMs
    touch(session)
  }

  /// Forgets who was reached over this link: its own node, and those behind it.
  private func leave(_ session: HubSession) {
    guard session.board >= 0 else { return }
    for board in live.indices where live[board]?.session === session { forget(board) }
    for board in session.routeCounts.indices { session.routeCounts[board] = 0 }
  }

  func forget(_ board: Int) {
    live[board] = nil
    deliveries[board] = nil
  }

  func lost(_ session: HubSession, now: Instant) {
    guard session.phase != .free else { return }
    leave(session)
    session.phase = .free
    let link = session.link
    session.link = nil
    free.append(session)
    link?.serverLeft(now: now)
  }

  // MARK: Admission

  private func judge(_ session: HubSession, now: Instant) {
    guard let hello = session.session.peerHello else { return }
    let board: Int
    do throws(ErrorCode) {
      board = try admission(of: hello) { verifier in session.session.provesToken(verifier) }
    } catch { return refuse(session, error, now: now) }
    session.board = board
    session.instance = hello.instance
    do throws(ErrorCode) {
      try session.session.accept(
        nodeId: Board.nodeId(board), hubId: UInt32(index + 1), identity: identity, random: &random, now: now)
    } catch { beginClosing(session, now: now) }
  }

  /// Which board this is, if it may come in, over whatever link.
  func admission(of hello: Hello, provesToken: (borrowing Secret<32>) -> Bool) throws(ErrorCode) -> Int {
    guard let board = world.boards.firstIndex(where: { equal($0.publicKey, hello.identity) }) else {
      throw .tokenRequired
    }
    guard !isImpostor, !world.isAdmitted[board] else { return board }
    guard hello.hasToken else { throw .tokenRequired }
    var verifier = Secret<32>()
    Session.tokenVerifier(secret: World.tokenSecret, into: &verifier)
    guard provesToken(verifier) else { throw .tokenInvalid }
    world.isAdmitted[board] = true
    return board
  }

  private func refuse(_ session: HubSession, _ code: ErrorCode, now: Instant) {
    world.trace(.hubError, 0, UInt64(code.rawValue))
    session.session.refuse(code, now: now)
    beginClosing(session, now: now)
  }

  private func enter(_ session: HubSession, now: Instant) {
    if isImpostor { world.fail("a node joined an impostor", session.board) }
    let place = Place(session: session, instance: session.instance)
    if let failure = take(session.board, at: place, now: now) { return close(session, failure, now: now) }
    session.phase = .online
    world.counts.links += 1
    scratch.consume(scratch.count)
    let configure = Configure(
      wallTimeMs: world.wallMs(now), heartbeatIntervalMs: UInt32(world.scenario.heartbeatMs),
      rekeyAfterMs: UInt32(world.scenario.rekeyMs), dictionaryGeneration: 0, allowedDuties: .all, hubs: world.hubList,
      takesSeals: world.scenario.seals)
    guard configure.append(to: &scratch) else { return close(session, .internalError, now: now) }
    putScratch(FrameHeader(kind: .configure, destination: Board.nodeId(session.board)), session, now: now)
    deliver(to: session.board, now: now)
  }

  /// One identity, one session: the error that keeps a newcomer out; nil when it is reached there from now on.
  func take(_ board: Int, at place: Place, now: Instant) -> ErrorCode? {
    if let old = live[board] {
      guard equal(old.instance, place.instance) else {
        // Another start of the node, or another device: does the one before still live?
        if old.probedAt == .never { probe(board, old, now: now) }
        return .sessionBusy
      }
      if old.session !== place.session || old.relay != place.relay { drop(board, at: old, .linkClosed, now: now) }
    }
    live[board] = place
    deliveries[board] = Delivery(boards: live.count)
    duties[board] = nil
    return nil
  }

  private func probe(_ board: Int, _ place: Place, now: Instant) {
    live[board]?.probedAt = now
    probesDue = min(probesDue, now + Self.probeMs)
    let ping = FrameHeader(
      kind: .ping, destination: place.relay < 0 ? 0 : Board.nodeId(board), sequence: dice.from(1, to: 1 << 40))
    put(ping, place.session, now: now)
  }

  private func endProbes(now: Instant) {
    probesDue = .never
    for board in live.indices {
      guard let place = live[board], place.probedAt != .never else { continue }
      let due = place.probedAt + Self.probeMs
      if due <= now { drop(board, at: place, .linkSilent, now: now) } else { probesDue = min(probesDue, due) }
    }
  }

  /// Ends the session at a place where a node is not, or not any more.
  func drop(_ board: Int, at place: Place, _ code: ErrorCode, now: Instant) {
    guard place.relay >= 0 else { return close(place.session, code, now: now) }
    forget(board)
    sayGone(board, code, relay: place.relay, place.session, now: now)
  }

  // MARK: Time

  func turn(now: Instant) {
    if !isUp {
      guard now >= startsAt else { return }
      isUp = true
      startsAt = .never
      store.restart()
      restartJobs(now: now)
      world.trace(.hubStart, UInt64(index), 0)
    }
    guard now >= pausedUntil else { return schedule(now: now) }
    if now >= probesDue { endProbes(now: now) }
    if now >= spoolDue { flushSpool(now: now) }
    store.keepWindows(now: now)
    runJobs(now: now)
    resumeDeliveries(now: now)
    for session in sessions where session.phase != .free && session.deadline <= now { expired(session, now: now) }
    settle(now: now)
  }

  private func expired(_ session: HubSession, now: Instant) {
    switch session.phase {
    case .free: break
    case .joining: close(session, .handshakeTimeout, now: now)
    case .online: close(session, now >= session.session.keyDeadline + 1 ? .keyExpired : .linkSilent, now: now)
    case .closing: lost(session, now: now)
    }
  }

  /// A lost process: every connection breaks, what was not committed is gone.
  func crash(now: Instant, for ms: UInt64) {
    guard isUp else { return }
    isUp = false
    trap = .none
    startsAt = now + ms
    for session in sessions where session.phase != .free {
      session.session.reset()
      lost(session, now: now)
    }
    arrivals.removeAll()
    delivered.removeAll()
    touched.removeAll()
    spoolDue = .never
    probesDue = .never
    store.crash()
    crashJobs()
    schedule(now: now)
  }

  // MARK: Output

  func touch(_ session: HubSession) { if !touched.contains(where: { $0 === session }) { touched.append(session) } }

  /// Sends what sessions have written, and closes what has said its last word.
  func settle(now: Instant) {
    while let session = touched.popLast() {
      guard session.phase != .free, let link = session.link else { continue }
      _ = link.sendDown(&session.session.output, now: now)
      if session.phase == .closing, session.session.output.isEmpty { lost(session, now: now) }
    }
    schedule(now: now)
  }

  func schedule(now: Instant) {
    guard isUp else { return world.setDue(of: self, startsAt) }
    var due = min(min(spoolDue, probesDue), min(store.windowsDue, min(jobsDue, jobAt)))
    for session in sessions where session.phase != .free {
      due = min(due, session.deadline)
      // Output that the link did not take.
      if !session.session.output.isEmpty { due = min(due, now + 100) }
    }
    for delivery in deliveries { if let delivery { due = min(due, delivery.deadline) } }
    world.setDue(of: self, max(max(due, pausedUntil), now + 1))
  }

  /// For output that waits.
  func touchWaiting() {
    for session in sessions where session.phase != .free && !session.session.output.isEmpty { touch(session) }
  }

  @discardableResult
  func put(_ frame: FrameHeader, _ session: HubSession, now: Instant) -> Bool {
    scratch.consume(scratch.count)
    return putScratch(frame, session, now: now)
  }

  /// Sends the body in `scratch`. False when there is no room for it.
  @discardableResult
  func putScratch(_ frame: FrameHeader, _ session: HubSession, now: Instant) -> Bool {
    guard session.session.output.space >= Session.recordBytes(body: scratch.count) + Self.outputReserve else {
      return false
    }
    do throws(ErrorCode) {
      try session.session.send(frame, bodyOf: scratch, now: now)
      touch(session)
      return true
    } catch {
      close(session, error, now: now)
      return false
    }
  }
}
