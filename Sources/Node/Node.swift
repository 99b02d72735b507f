import Bounded
import Compute
import Durable
import SkyCrypto
import Update
import Wire

/// What the owner of a board decides; replaced as a whole on reload.
public struct NodeSettings: Sendable {
  /// Most preferred first. May be empty when the node joins by ticket.
  public var hubs = HubList()
  public var duties: Duties = [.heartbeat, .relay]
  public var thresholds = DutyThresholds()
  public var rekeyAfterMs: UInt64 = Limits.rekeyAfterMs
  public var updates = UpdatePolicy.ask
  /// Questions may leave the board, for its hub.
  public var asksHub = false
  public var seal = SealPolicy.prefer
  public var ticket: Ticket?

  public init() {}

  /// From the configuration file; `badArgument` when its ticket does not parse.
  public init(_ configuration: Configuration) throws(ErrorCode) {
    hubs = configuration.hubs
    duties = configuration.duties
    thresholds = DutyThresholds(configuration)
    rekeyAfterMs = configuration.rekeyIntervalMs
    updates = configuration.updates
    asksHub = configuration.upstream == .hub
    seal = configuration.seal
    if !configuration.ticket.isEmpty { ticket = try Ticket(parsing: configuration.ticket.bytes) }
  }
}

/// What the program knows of itself and its board at start.
public struct NodeSelf: Sendable {
  /// Drawn at each start.
  public var instance: InlineArray<16, UInt8>
  /// A hash of the board's hardware identifiers; leaves the node only salted.
  public var hardware: Bytes32
  /// Program and version, zero padded.
  public var agent: InlineArray<32, UInt8>
  /// Of the protocol: which one depends on the board's processor.
  public var highestVersion = Limits.lowestVersion

  public init(instance: InlineArray<16, UInt8>, hardware: Bytes32, agent: InlineArray<32, UInt8>) {
    self.instance = instance
    self.hardware = hardware
    self.agent = agent
  }
}

/// The light node as a pure state machine: events and the time come in, actions come out. It reads no
/// clock, file, socket or random source.
///
/// Order of calls, once and for all: `handle(.start)`; from then on, for whatever happens, `handle(_:now:)`
/// or one of the requests (`join`, `send`, …), each followed by `nextAction()` until it gives nil; and
/// `moveStored` whenever the rings or the link may have come further, and `moveRelayed` on a relay. Bytes from
/// the link are appended to `session.input` before `handle(.linkBytes)`; bytes for it are taken from
/// `session.output`. `handle(.tick)` is due at `nextDeadline`.
///
/// Actions that nobody took are not piled up: what was overtaken is dropped, so no sequence of events and
/// requests can overflow anything. An event that has no place in the present state changes nothing.
///
/// Invariant: `session.isEstablished` exactly in `joining` and `online`; see `checkInvariants()`.
public final class Node {
  public enum State: UInt8, Sendable {
    case starting, offline, connecting, securing, joining, online, draining, stopped

    public var token: StaticString {
      switch self {
      case .starting: "starting"
      case .offline: "offline"
      case .connecting: "connecting"
      case .securing: "securing"
      case .joining: "joining"
      case .online: "online"
      case .draining: "draining"
      case .stopped: "stopped"
      }
    }
  }

  public enum Event: Sendable {
    case start
    /// TLS to the hub stands; its exporter and fresh entropy for the handshake.
    case linkUp(exporter: Bytes32, entropy: Bytes32)
    /// `session.input` has grown.
    case linkBytes
    /// The link ended or could not be made.
    case linkDown(ErrorCode)
    case vitals(VitalSigns)
    /// Fresh random bytes, with every `sampleVitals`: what was read from memory once foretells no later key.
    case entropy(Bytes32)
    /// Answer to the action `probe`.
    case probeResult(reachable: Bool)
    /// The system's wall clock, milliseconds since 1970.
    case systemClock(UInt64)
    /// TLS of the connection in this place of the relay's table stands, with this node as the server.
    case peerUp(Int, exporter: Bytes32, entropy: Bytes32)
    /// The input of that place's session has grown.
    case peerBytes(Int)
    /// The connection has ended, or was closed after `closePeer`.
    case peerDown(Int, ErrorCode)
    case drain
    /// `nextDeadline` has come.
    case tick
  }

  public enum Action: Equatable, Sendable {
    /// Resolve, connect and secure `hubs[index]`, then report `linkUp` or `linkDown`.
    case connect(Int)
    /// Send what `session.output` holds, then close the link, or stop making one. No report is due.
    case disconnect
    /// See whether `hubs[index]` answers, then report `probeResult`.
    case probe(Int)
    /// Read the sensors, the system clock and the random source, then report `systemClock`, `entropy` and `vitals`.
    case sampleVitals
    /// Write `admission` to the state directory.
    case persist
    /// Write `known` to the state directory.
    case keepKnown
    /// Send what the session of this place of the relay's table holds, close the connection, report `peerDown`.
    case closePeer(Int)
    case stop
  }

  /// For people and fronts: what happened, in order.
  public enum Notice: Equatable, Sendable {
    case state(State)
    /// A link or an attempt ended with this error.
    case linkError(ErrorCode)
    case joined(UInt32)
    case hub(Int)
    case heartbeatAcked(rttMs: UInt64)
    case rekeyed(UInt32)
    case message(number: UInt64, source: UInt32, isSealed: Bool = false, isUrgent: Bool = false)
    case receipt(sequence: UInt64, failure: ErrorCode?)
    case duties(active: Duties, held: Duties)
    case clockFromHub
    /// A node has come in through this one, or has gone.
    case leafJoined(UInt32)
    case leafLeft(UInt32, ErrorCode)
    /// An update of the dictionary has ended.
    case dictionary(DictionaryUpdate.Outcome)
    /// An update of the system has ended.
    case system(SystemUpdate.Outcome)
  }

  public enum ClockSource: UInt8, Sendable {
    case unknown, hub, system

    public var token: StaticString {
      switch self {
      case .unknown: "unknown"
      case .hub: "hub"
      case .system: "system"
      }
    }
  }

  /// Totals since start.
  public struct Counters: Equatable, Sendable {
    public var heartbeatsSent: UInt64 = 0
    public var heartbeatsAcked: UInt64 = 0
    public var sent: UInt64 = 0
    public var received: UInt64 = 0
    /// Messages refused because the inbox was full.
    public var refusedFull: UInt64 = 0
    /// Durable messages taken in, and those of them that a hub has taken over.
    public var posted: UInt64 = 0
    public var forwarded: UInt64 = 0
    /// Durable messages that were refused for good or too old to be sent.
    public var undelivered: UInt64 = 0
    /// Durable messages that came again.
    public var duplicates: UInt64 = 0
    /// Messages that went out sealed, those sent again included; that came in sealed; that did not open.
    public var sealedSent: UInt64 = 0
    public var sealedReceived: UInt64 = 0
    public var notOpened: UInt64 = 0
    /// Frames of a kind that has no place here.
    public var ignored: UInt64 = 0
    public var linkErrors: UInt64 = 0
    public var links: UInt64 = 0
    /// Notices lost because nobody took them in time.
    public var noticesLost: UInt64 = 0
  }

  // MARK: What others may see

  public internal(set) var state = State.starting
  public internal(set) var settings: NodeSettings
  public internal(set) var admission: Admission
  /// The hubs in the order they are tried: configured or from the ticket first, learnt ones after.
  public internal(set) var hubs = HubList()
  public internal(set) var hubIndex = 0
  public internal(set) var health = HubHealth()
  /// Why the last link ended; nil once online again.
  public internal(set) var lastError: ErrorCode?
  public internal(set) var counters = Counters()
  public internal(set) var vitals = VitalSigns()
  public internal(set) var heartbeatIntervalMs = Limits.heartbeatDefaultMs
  public internal(set) var rttMs: UInt64?
  public internal(set) var linkedSince: Instant?
  /// Of the dictionary in use here, and of the one that the hub has; 0: none.
  public internal(set) var dictionaryGeneration: UInt32 = 0
  public internal(set) var hubDictionaryGeneration: UInt32 = 0
  /// The hub, and every relay on the way to it, knows what a question is.
  public internal(set) var hubTakesQuestions = false
  /// Likewise what a sealed message is.
  public internal(set) var hubTakesSeals = false
  public let words = WordDesk()
  public let update = DictionaryUpdate()
  public let system = SystemUpdate()
  public let jobs = JobDesk()
  /// The one question that is at the hub.
  public let question: HubQuestion
  public internal(set) var policy = DutyPolicy()
  public internal(set) var clockSource = ClockSource.unknown
  public var session = Session()
  public let inbox: Inbox
  /// Nil where there is no place for durable messages.
  public let stores: Stores?
  /// Nodes that are linked to this one; no places unless it is to relay.
  public let relay: Relay
  public let identity: Identity
  public let me: NodeSelf
  public let known: KnownNodes
  let seals: SealDesk
  let packRoom = PackRoom()

  // MARK: Inside

  var random: Drbg
  var timers = Timers()
  var attempts = Attempts()
  /// The first hub of the list turned the node away; it is not asked again at every failback.
  var preferredRefused = false
  var allowedDuties = Duties.all
  var wanted = Wanted()
  var notices = Ring<Notice, 64>()
  var scratch = ByteQueue(capacity: Limits.frameBodyBytes)
  var verifier = Secret<32>()
  var heartbeatSentAt = Instant.never
  var lastHeard = Instant(ms: 0)
  let outbox = Outbox()
  var owed = Ring<Owed, 64>()
  var awaited = Ring<Awaited, 64>()
  var lanes: InlineArray<2, Lane> = [.urgent, .ordinary]
  var messageSequence: UInt64 = 0
  var beatSequence: UInt64 = 0
  var wallBaseMs: UInt64 = 0
  var wallBaseAt = Instant(ms: 0)
  var updateRetryAt = Instant(ms: 0)
  var pieceAskedAt = Instant(ms: 0)
  var nextPieceAt = Instant(ms: 0)
  /// When the updater is asked what the board runs, when the hub is told, when a decision is carried out.
  var systemLookAt = Instant(ms: 0)
  var systemReportAt = Instant(ms: 0)
  var systemRetryAt = Instant(ms: 0)
  var bundleAskedAt = Instant(ms: 0)
  var nextBundleRequestAt = Instant(ms: 0)
  /// Until when nothing of jobs is told, when arithmetic was last worked on or began, and when a frame was last handed on.
  var jobReportAt = Instant(ms: 0)
  var slicedAt = Instant(ms: 0)
  var handedOnAt = Instant(ms: 0)
  /// Behind a relay: what it last asked this node to sign.
  var challenged: RouteChallenge?
  /// The way to the hub is a new one since the last CONFIGURE: nothing of leaves goes up until that has come.
  var isWayNew = false
  /// The relay that this node is linked to says that it has no way to a hub.
  public internal(set) var isCutOff = false
  /// Which hub is looked at next, to see whether it answers.
  var probeIndex = 0
  /// What the hub asks for; the owner may ask for less.
  var hubRekeyAfterMs = Limits.rekeyAfterMs

  /// `seed` is the identity key file's content, `entropy` 32 fresh random bytes.
  public init(
    seed: borrowing Secret<32>, entropy: borrowing Secret<32>, me: NodeSelf, settings: NodeSettings,
    admission: Admission, stores: Stores? = nil, relayPlaces: Int = 0, keepsKnowledge: Bool = false,
    known: KnownNodes = KnownNodes()
  ) {
    self.known = known
    seals = SealDesk(seed: seed)
    question = HubQuestion(hasRoom: keepsKnowledge)
    self.stores = stores
    relay = Relay(places: relayPlaces)
    inbox = Inbox(lastNumber: stores.map { $0.incoming.nextSequence - 1 } ?? 0)
    identity = Identity(seed: seed)
    random = Drbg(seed: entropy)
    self.me = me
    self.settings = settings
    self.admission = admission
    policy.thresholds = settings.thresholds
    if admission.nodeId == 0, admission.ticket == nil { self.admission.ticket = settings.ticket }
    rebuildHubs()
  }

  // MARK: Events

  public func handle(_ event: Event, now: Instant) {
    switch event {
    case .start: if state == .starting { connectOrWait(now: now) }
    case .linkUp(let exporter, let entropy): secure(exporter: exporter, entropy: entropy, now: now)
    case .linkBytes: readLink(now: now)
    case .linkDown(let code):
      if state == .draining { return finishDrain() }
      // Before the action is taken there is no new link yet: this is about the one before.
      if hasLink, !wanted.contains(.connect) { linkFailed(code, now: now) }
    case .vitals(let signs): takeVitals(signs, now: now)
    case .entropy(let bytes): random.reseed(bytes)
    case .probeResult(let reachable): takeProbe(reachable: reachable, now: now)
    case .systemClock(let wallMs): takeSystemClock(wallMs, now: now)
    case .peerUp(let place, let exporter, let entropy): peerSecured(place, exporter: exporter, entropy: entropy)
    case .peerBytes(let place): noteBytes(place, now: now)
    case .peerDown(let place, let code): peerLost(place, code, now: now)
    case .drain:
      beginDrain(now: now)
      closePeersIfOffDuty(now: now)
    case .tick:
      while let timer = timers.popDue(now: now) { fire(timer, now: now) }
      expirePeers(now: now)
      runDictionary(now: now)
      runSystem(now: now)
      runJobs(now: now)
      question.expire(now: now)
      runSeals(now: now)
    }
  }

  /// The next thing to do outside; nil when there is nothing. Indices are those of `hubs` as it is now.
  public func nextAction() -> Action? {
    for place in 0..<relay.peers.count where relay.peers[place].wantsClose {
      relay.peers[place].wantsClose = false
      return .closePeer(place)
    }
    guard let next = wanted.popFirst() else { return nil }
    switch next {
    case .persist: return .persist
    case .keepKnown: return .keepKnown
    case .disconnect: return .disconnect
    case .connect: return .connect(hubIndex)
    case .probe: return .probe(probeIndex)
    case .sampleVitals: return .sampleVitals
    default: return .stop
    }
  }

  /// The next thing to tell, oldest first.
  public func nextNotice() -> Notice? { notices.popFirst() }

  /// When `handle(.tick)` is due.
  public var nextDeadline: Instant {
    let background = min(min(systemDeadline, jobDeadline), min(question.deadline, sealDeadline))
    return min(min(timers.next, background), min(dictionaryDeadline, relayDeadline))
  }

  /// The duties in force: wanted by the owner, allowed by the hub, not held back by the board.
  public var activeDuties: Duties { settings.duties.intersection(allowedDuties).subtracting(policy.held) }

  /// The node's id; 0 before admission.
  public var nodeId: UInt32 { admission.nodeId }

  public var outboxUsed: Int { outbox.unresolved }

  /// Milliseconds since 1970; 0 while nobody knows.
  public func wallTimeMs(now: Instant) -> UInt64 {
    // The sum stays far below 2^64: the base is before the year 10000 and monotonic time starts at 0.
    clockSource == .unknown ? 0 : wallBaseMs &+ now.since(wallBaseAt)
  }

  /// The salted hardware hash that `hub` gets to see: another hub sees another.
  public func fingerprint(for hub: HubEntry?) -> Bytes32 {
    var hash = Sha256()
    hash.update("skynod fingerprint")
    hash.update(me.hardware.raw)
    if let hub {
      if hub.hasKey { hash.update(hub.key.raw) } else { hash.update(hub.host.bytes) }
    }
    return hash.digest
  }

  public var hub: HubEntry? { hubIndex < hubs.count ? hubs[hubIndex] : nil }

  // MARK: Requests

  /// Takes a join ticket: the node leaves its present hub and asks the ticket's hub to admit it.
  public func join(_ ticket: Ticket, now: Instant) throws(ErrorCode) {
    guard state != .draining, state != .stopped else { throw .draining }
    admission.ticket = ticket
    want(.persist)
    rebuildHubs()
    hubIndex = hubs.firstIndex(of: ticket.hub) ?? 0
    preferredRefused = false
    restartLink(now: now)
  }

  /// Replaces the settings; the link stays unless the hubs it may use have changed. A node that waits to try
  /// again does so at once: somebody may have mended what stood in the way.
  public func reload(_ settings: NodeSettings, now: Instant) {
    let before = hub
    if settings.updates != self.settings.updates { systemReportAt = now }
    if settings.seal != self.settings.seal { sealPolicyChanged(now: now) }
    let isNewTicket = settings.ticket != nil && settings.ticket != self.settings.ticket
    self.settings = settings
    policy.thresholds = settings.thresholds
    var tookTicket = false
    if admission.nodeId == 0, let ticket = settings.ticket, admission.ticket == nil || isNewTicket {
      admission.ticket = ticket
      tookTicket = true
      want(.persist)
    }
    rebuildHubs()
    preferredRefused = false
    tell(.duties(active: activeDuties, held: policy.held))
    closePeersIfOffDuty(now: now)
    if let before, !tookTicket, let index = hubs.firstIndex(of: before), hubs[index] == before {
      hubIndex = index
      if state == .offline { retrySoon(now: now) }
      if state == .online {
        timers.set(.rekey, session.rekeyStartsAt + rekeyAfterMs)
        watchForBetterHub(now: now)
      }
    } else if state != .draining, state != .stopped {
      hubIndex = 0
      restartLink(now: now)
    }
  }

  /// Switches duties until the next reload or restart.
  public func setDuties(_ duties: Duties, now: Instant) {
    settings.duties = duties
    tell(.duties(active: activeDuties, held: policy.held))
    closePeersIfOffDuty(now: now)
  }

  // MARK: Shared by the parts

  /// The age at which keys are renewed: the hub's wish or the owner's, whichever is sooner.
  var rekeyAfterMs: UInt64 { min(hubRekeyAfterMs, settings.rekeyAfterMs) }

  /// Adds an action for `nextAction`. Ending a link takes back what was wanted of it and not yet begun.
  func want(_ action: Wanted) {
    if action == .disconnect { wanted.subtract([.connect, .probe, .sampleVitals]) }
    wanted.insert(action)
  }

  func tell(_ notice: Notice) {
    if notices.isFull {
      _ = notices.popFirst()
      counters.noticesLost += 1
    }
    notices.append(notice)
  }

  func enter(_ next: State) {
    guard state != next else { return }
    state = next
    tell(.state(next))
  }

  /// The ticket's hub first, then configured ones, then those a hub has told of. The hub that admitted the
  /// node has a place even when the list is full: another one may not know it.
  @inline(never)
  func rebuildHubs() {
    var list = HubList()
    if let ticket = admission.ticket { list.append(ticket.hub) }
    for i in 0..<settings.hubs.count where list.firstIndex(of: settings.hubs[i]) == nil {
      list.append(completed(settings.hubs[i]))
    }
    for i in 0..<admission.hubs.count where list.firstIndex(of: admission.hubs[i]) == nil {
      if !list.append(admission.hubs[i]), i == 0 { list[list.count - 1] = admission.hubs[0] }
    }
    health = health.moved(from: hubs, to: list)
    hubs = list
    if hubIndex >= hubs.count { hubIndex = 0 }
    if probeIndex >= hubs.count { probeIndex = 0 }
  }

  /// A configured hub gets the id it told, and its key when the configuration names none.
  private func completed(_ entry: HubEntry) -> HubEntry {
    guard let index = admission.hubs.firstIndex(of: entry) else { return entry }
    let known = admission.hubs[index]
    var entry = entry
    if !entry.hasKey { entry.key = known.key }
    if equal(entry.key, known.key) { entry.id = known.id }
    return entry
  }
}
