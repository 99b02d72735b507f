import Bounded
import Foundation
import Node
import SkyCrypto
import Update
import Wire

/// The hub without its sockets: sessions, admission, clone policy, routing, deadlines.
///
/// Bytes come in through `link.session.input` and go out of `link.session.output`; time is an argument.
/// Order of calls for a connection: `open`, `secured` once TLS is up, `process` whenever `input` has grown,
/// `lost` when the stream is gone. After any call the links in `takeTouched()` have output to send or want
/// to be closed. `tick` is due at `nextDeadline`.
///
/// Invariant: every link in `live` is online and has that node id.
public final class HubCore {
  /// Frames taken from one link before the others have their turn.
  static let framesPerTurn = 64
  /// Kept free in every link's output for replies of the session itself: a rekey reply, a pong, a close.
  static let outputReserve = 2_048
  /// Messages for the hub that wait for the next commit.
  static let inboxPending = 256
  static let inboxFlushMs: UInt64 = 1_000
  /// Durable messages that wait for the next commit, and how long the first of them may.
  static let arrivalsPending = 512
  static let gatherMs: UInt64 = 5
  /// How long a delivered message may stay in the registry.
  static let forgetMs: UInt64 = 20
  /// How soon a link whose output is full is tried again.
  static let outputWaitMs: UInt64 = 50
  /// Texts sent by hand that wait for their receipts.
  static let sendsPending = 64

  struct PendingSend {
    let to: UInt32
    let deadline: Instant
  }

  public let configuration: HubConfiguration
  let registry: Registry
  let log: HubLog
  let dictionary: HubDictionary
  let bundles: HubBundles
  let identity: Identity
  private let hubs: HubList
  let wallClockMs: () -> UInt64
  var random: Drbg
  var links: [HubLink] = []
  private var freeSlots: [Int] = []
  private var nextGeneration: UInt64 = 1
  var live = LiveTable()
  private var touched: [HubLink] = []
  var sightings = Sightings()
  private var sightingsDue = Instant.never
  var kept: [(at: Int64, from: UInt32, body: Data)] = []
  var keptDue = Instant.never
  /// Copies of bodies that cannot be read and written in place.
  var scratch = ByteQueue(capacity: Limits.frameBodyBytes)
  var arrivals: [Arrival] = []
  var delivered: [SpoolKey] = []
  var spoolDue = Instant.never
  var offersSeen: Set<SealedPair> = []
  /// For every node that is online.
  var deliveries: [UInt32: Delivery] = [:]
  var updates = UpdateDesk()
  var jobs = HubJobs()
  var questions = HubQuestions()
  var fellows = FellowDesk()
  var sends: [UInt64: PendingSend] = [:]
  var sendResults: [SendReceipt] = []
  /// Rises over restarts too: it starts at the wall clock.
  private var nextSequence: UInt64
  public internal(set) var isDraining = false
  public private(set) var nextDeadline = Instant.never
  /// The time of the last call that had one.
  private var latest = Instant(ms: 0)
  var status = HubStatus()
  private(set) var handshaking = 0

  /// - Parameter wallClockMs: milliseconds since 1970.
  public init(
    configuration: HubConfiguration, registry: Registry, identity: consuming Identity, pin: Bytes32,
    dictionary: HubDictionary = HubDictionary(), bundles: HubBundles = HubBundles(), seed: borrowing Secret<32>,
    log: HubLog,
    wallClockMs: @escaping () -> UInt64
  ) {
    self.configuration = configuration
    self.registry = registry
    self.log = log
    self.dictionary = dictionary
    self.bundles = bundles
    var hubs = HubList()
    let place = configuration.advertise
    hubs.append(
      PeerHub(place: place, id: configuration.hubId, pin: pin, key: identity.publicKey).entry)
    for fellow in configuration.fellows.sorted(by: { $0.id < $1.id }) { hubs.append(fellow) }
    for peer in configuration.peers { hubs.append(peer) }
    self.hubs = hubs
    self.identity = identity
    random = Drbg(seed: seed)
    self.wallClockMs = wallClockMs
    nextSequence = wallClockMs()
    status.version = "\(Version.text)"
    status.listen = configuration.listen.text
    status.advertise = place.text
    status.maxNodes = configuration.maxNodes
  }

  var wallSeconds: Int64 { Int64(wallClockMs() / 1_000) }
  public var onlineCount: Int { live.count }
  public var handshakingCount: Int { handshaking }
  /// Connections in any phase.
  public var linkCount: Int { links.count - freeSlots.count }

  /// Mixes fresh entropy in: who once read the generator's state cannot foretell the keys to come.
  func reseed(_ entropy: Bytes32) { random.reseed(entropy) }

  // MARK: Connections

  /// True when another connection may be accepted now; otherwise it waits in the kernel's queue.
  public var canOpen: Bool {
    !isDraining && handshaking < HubConfiguration.handshakesMaximum && linkCount < configuration.linksMaximum
  }

  /// A connection was accepted. Its TLS handshake is the caller's business.
  func open(address: String, now: Instant) -> HubLink {
    let link: HubLink
    if let slot = freeSlots.popLast() {
      link = links[slot]
    } else {
      link = HubLink(slot: links.count)
      links.append(link)
    }
    link.open(generation: nextGeneration, address: address, now: now)
    nextGeneration += 1
    handshaking += 1
    status.accepted += 1
    wake(at: link.deadline(silenceMs: configuration.silenceMs))
    return link
  }

  /// TLS is up; `exporter` binds the inner handshake to it.
  func secured(_ link: HubLink, exporter: Bytes32) {
    precondition(link.phase == .securing)
    link.session.startAsHub(exporter: exporter, highestVersion: configuration.highestVersion)
    link.secured()
  }

  /// Works on what `link.session.input` holds. True when it stopped for fairness and wants another turn.
  func process(_ link: HubLink, now: Instant) -> Bool {
    latest = now
    var left = Self.framesPerTurn
    while link.phase == .joining || link.phase == .online {
      guard link.session.output.space >= Self.outputReserve else { return false }
      guard left > 0 else { return true }
      left -= 1
      let before = link.session.input.count
      do throws(ErrorCode) {
        let event = try link.session.nextEvent(now: now, identity: identity, random: &random)
        touch(link)
        // Also a record that the session kept to itself (a ping) is a sign of life: it has authenticated.
        if link.session.input.count < before { link.lastHeardAt = now }
        guard let event else { return false }
        handle(event, on: link, now: now)
      } catch {
        failed(link, error, now: now)
      }
    }
    return false
  }

  /// The stream is gone, or the transport has closed it: forget the link.
  func lost(_ link: HubLink, reason: ErrorCode? = nil) {
    guard link.phase != .free else { return }
    if link.phase == .securing || link.phase == .joining { handshaking -= 1 }
    if link.phase == .online, let id = link.nodeId, let reason {
      log.line(.info, "\(NodeName.text(id)) left: \(reason.sentence)")
    }
    leave(link, reason, now: latest)
    link.release()
    freeSlots.append(link.id.slot)
  }

  /// Ends a link with a named error. Its last words are in the output; then the transport closes it.
  func close(_ link: HubLink, _ code: ErrorCode, now: Instant) {
    guard link.phase != .closing, link.phase != .free else { return }
    link.session.close(code, now: now)
    beginClosing(link, code, now: now)
  }

  func link(_ id: LinkId) -> HubLink? {
    guard links.indices.contains(id.slot), links[id.slot].id == id else { return nil }
    return links[id.slot]
  }

  /// Links that have new output or a new phase since the last call.
  func takeTouched() -> [HubLink] {
    guard !touched.isEmpty else { return [] }
    let list = touched
    touched.removeAll(keepingCapacity: true)
    for link in list { link.isTouched = false }
    return list
  }

  func touch(_ link: HubLink) {
    guard !link.isTouched else { return }
    link.isTouched = true
    touched.append(link)
  }

  private func leave(_ link: HubLink, _ reason: ErrorCode?, now: Instant) {
    if let fellow = link.fellow { leftFellow(link, fellow, reason, now: now) }
    for id in live.leave(link.id) { noteDeparture(of: id, now: now) }
  }

  func noteDeparture(of id: UInt32, now: Instant) {
    deliveries[id] = nil
    presenceChanged(of: id, now: now)
  }

  /// Ends the session at a place where a node is not, or not any more.
  func drop(_ id: UInt32, at place: Place, _ code: ErrorCode, now: Instant) {
    guard let link = link(place.link) else { return }
    guard let relay = place.relay else { return close(link, code, now: now) }
    if live.detach(id, from: place.link) { noteDeparture(of: id, now: now) }
    sayGone(id, code, relay: relay, on: link, now: now)
  }

  private func beginClosing(_ link: HubLink, _ code: ErrorCode? = nil, now: Instant) {
    if link.phase == .securing || link.phase == .joining { handshaking -= 1 }
    leave(link, code, now: now)
    link.beginClosing(by: now + Limits.drainMs)
    wake(at: link.closesBy)
    touch(link)
  }

  func failed(_ link: HubLink, _ code: ErrorCode, now: Instant) {
    if link.phase == .joining { status.refused["\(code.token)", default: 0] += 1 }
    log.line(.notice, "\(describe(link)): \(code.sentence)")
    beginClosing(link, code, now: now)
  }

  /// A sequence never used before.
  func drawSequence() -> UInt64 {
    nextSequence += 1
    return nextSequence
  }

  func describe(_ link: HubLink) -> String {
    let name = link.nodeId.map(NodeName.text) ?? link.fellow.map { "fellow \($0.name)" }
    return name.map { "\($0) at \(link.address)" } ?? link.address
  }

  func wake(at instant: Instant) { nextDeadline = min(nextDeadline, instant) }

  // MARK: Events of a session

  private func handle(_ event: Session.Event, on link: HubLink, now: Instant) {
    switch event {
    case .hello: judge(link, now: now)
    case .established:
      if let fellow = link.fellow { enterFellow(link, fellow, now: now) } else { enter(link, now: now) }
    case .frame(let frame):
      link.lastHeardAt = now
      if let fellow = link.fellow {
        handle(frame, of: fellow, on: link, now: now)
      } else {
        handle(frame, on: link, now: now)
      }
    case .rekeyed:
      link.lastHeardAt = now
      status.rekeys += 1
    case .closed(let code):
      log.line(.info, "\(describe(link)) closed the link: \(code.sentence)")
      beginClosing(link, code, now: now)
    }
  }

  /// HELLO: nothing it says is proven yet, apart from the token.
  private func judge(_ link: HubLink, now: Instant) {
    guard let hello = link.session.peerHello else { return }
    if hello.nodeClass == .infrastructure { return judgeFellow(link, hello, now: now) }
    link.instance = Data(hello.instance)
    link.agent = hello.agentText.string
    link.fingerprint = Data(hello.fingerprint)
    switch admission(of: hello, now: now, provesToken: { link.session.provesToken($0) }) {
    case .failure(let code): refuse(link, code, now: now)
    case .success(let id): welcome(link, id, now: now)
    }
  }

  /// The id of a node that may come in, over whatever link.
  func admission(
    of hello: Hello, now: Instant, provesToken: @escaping (borrowing Secret<32>) -> Bool
  ) -> Result<UInt32, ErrorCode> {
    let request = JoinRequest(
      key: Data(hello.identity), fingerprint: Data(hello.fingerprint), nodeClass: hello.nodeClass,
      agent: hello.agentText.string, tokenId: hello.hasToken ? Data(hello.tokenId) : nil
    ) { verifier in
      guard let bytes = Bytes32(verifier), let secret = Secret<32>(bytes.raw) else { return false }
      return provesToken(secret)
    }
    do throws(HubError) {
      let verdict = try registry.admit(request, now: wallSeconds)
      if case .success(let id) = verdict, isFull(for: id) { return .failure(.hubFull) }
      // It may have been let in just now.
      if hello.hasToken { registryChangesSoon(now: now) }
      return verdict
    } catch {
      log.line(.error, error.description)
      return .failure(error.code == .busy ? .busy : .internalError)
    }
  }

  /// Whether the identity is in use already is judged at CONFIRM: a HELLO can be sent by anybody who has seen
  /// the key, and must not be able to have a live node suspected, reported or turned away.
  private func welcome(_ link: HubLink, _ id: UInt32, now: Instant) {
    link.nodeId = id
    do throws(ErrorCode) {
      try link.session.accept(
        nodeId: id, hubId: configuration.hubId, identity: identity, random: &random, now: now)
    } catch {
      failed(link, error, now: now)
    }
  }

  /// Does what the clone policy asks for; the error to turn the newcomer away with.
  func turnAway(_ link: HubLink, _ id: UInt32, _ verdict: LiveTable.Verdict, now: Instant) -> ErrorCode {
    switch verdict {
    case .welcome: return .sessionBusy
    case .busy(let suspect):
      if let suspect { probe(id, at: suspect, now: now) }
      return .sessionBusy
    case .clone(let isNews):
      if isNews { reportClone(link, id) }
      return .cloneDetected
    }
  }

  func probe(_ id: UInt32, at place: Place, now: Instant) {
    guard let link = link(place.link) else { return }
    // A link that cannot even take a ping does not answer, and is closed for that.
    do throws(ErrorCode) {
      try link.session.send(
        FrameHeader(kind: .ping, destination: place.relay == nil ? 0 : id, sequence: drawSequence()), now: now)
    } catch {}
    touch(link)
    wake(at: now + LiveTable.probeMs)
  }

  func reportClone(_ link: HubLink, _ id: UInt32) {
    let held = live.link(of: id).flatMap { self.link($0)?.address } ?? "elsewhere"
    let detail = "refused at \(link.address), in use at \(held)"
    status.clones += 1
    log.line(.warning, "\(NodeName.text(id)): another device uses the same identity: \(detail)")
    note { () throws(HubError) in try self.registry.noteClone(id: id, detail: detail, now: self.wallSeconds) }
  }

  func refuse(_ link: HubLink, _ code: ErrorCode, now: Instant) {
    status.refused["\(code.token)", default: 0] += 1
    log.line(code == .sessionBusy ? .info : .notice, "\(describe(link)) refused: \(code.sentence)")
    link.session.refuse(code, now: now)
    beginClosing(link, code, now: now)
  }

  /// CONFIRM was good: the node holds its key. Now it may take the place of an older session.
  private func enter(_ link: HubLink, now: Instant) {
    guard let id = link.nodeId else { return }
    // Somebody may have been quicker with `skyhub revoke` during the handshake.
    if (try? registry.revoked(among: [id]))?.isEmpty == false {
      status.refused["\(ErrorCode.revoked.token)", default: 0] += 1
      return close(link, .revoked, now: now)
    }
    if let objection = objection(to: id, instance: link.instance, on: link, now: now) {
      status.refused["\(objection.token)", default: 0] += 1
      return close(link, objection, now: now)
    }
    let verdict = live.enter(id: id, instance: link.instance, at: Place(link: link.id), now: now)
    guard case .welcome(let replaced) = verdict else {
      let code = turnAway(link, id, verdict, now: now)
      status.refused["\(code.token)", default: 0] += 1
      return close(link, code, now: now)
    }
    if let replaced { drop(id, at: replaced, .linkClosed, now: now) }
    entered(link, now: now)
    noteArrival(of: id, agent: link.agent, fingerprint: link.fingerprint, now: now)
    log.line(.info, "\(NodeName.text(id)) joined from \(link.address)")
    configure(link, now: now)
    deliver(to: id, now: now)
  }

  func entered(_ link: HubLink, now: Instant) {
    handshaking -= 1
    link.join(now: now)
    wake(at: link.deadline(silenceMs: configuration.silenceMs))
  }

  /// A node is here, wherever that is; its deliveries begin anew.
  func noteArrival(of id: UInt32, agent: String, fingerprint: Data?, now: Instant) {
    status.joined += 1
    sightings.joined(id, agent: agent, fingerprint: fingerprint, at: wallSeconds)
    scheduleSightings(now: now)
    deliveries[id] = Delivery()
    updates.arrivedAt[id] = now
    jobs.arrived(id)
    presenceChanged(of: id, now: now)
  }

  func configure(_ link: HubLink, now: Instant) {
    let message = Configure(
      wallTimeMs: wallClockMs(), heartbeatIntervalMs: UInt32(configuration.heartbeatMs),
      rekeyAfterMs: UInt32(configuration.rekeyMs), dictionaryGeneration: dictionary.generation, allowedDuties: .all,
      hubs: hubs, takesQuestions: true, takesSeals: true)
    scratch.consume(scratch.count)
    guard message.append(to: &scratch) else { return close(link, .internalError, now: now) }
    send(FrameHeader(kind: .configure, destination: link.nodeId ?? 0), scratch, to: link, now: now)
  }

  // MARK: Time

  /// Everything that is due. Call at `nextDeadline`, or whenever.
  func tick(now: Instant) {
    latest = now
    for (id, place) in live.silent(now: now) { drop(id, at: place, .linkSilent, now: now) }
    if now >= sightingsDue { flushSightings(now: now) }
    if now >= keptDue { flushKept(now: now) }
    if now >= spoolDue { flushSpool(now: now) }
    if now >= updates.due { runUpdates(now: now) }
    if now >= jobs.due { runJobs(now: now) }
    if now >= questions.due { runQuestions(now: now) }
    if now >= fellows.due { runFellows(now: now) }
    expireSends(now: now)
    nextDeadline = min(min(min(sightingsDue, updates.due), jobs.due), min(keptDue, spoolDue))
    wake(at: questions.due)
    wake(at: fellows.due)
    resumeDeliveries(now: now)
    for pending in sends.values { wake(at: pending.deadline) }
    for link in links where link.phase != .free {
      let deadline = link.deadline(silenceMs: configuration.silenceMs)
      if deadline <= now { expired(link, now: now) }
      wake(at: link.deadline(silenceMs: configuration.silenceMs))
    }
    if let probing = live.nextProbeDeadline { wake(at: probing) }
  }

  private func expired(_ link: HubLink, now: Instant) {
    switch link.phase {
    case .free: break
    case .securing, .joining: close(link, .handshakeTimeout, now: now)
    case .online: close(link, now >= link.session.keyDeadline ? .keyExpired : .linkSilent, now: now)
    // The transport drops it: its output did not go out in time.
    case .closing:
      link.session.output.clear()
      touch(link)
    }
  }

  func scheduleSightings(now: Instant) {
    if sightingsDue == .never { sightingsDue = now + Sightings.flushMs }
    wake(at: sightingsDue)
  }

  func flushSightings(now: Instant) {
    note { () throws(HubError) in try self.sightings.flush(to: self.registry) }
    sightingsDue = sightings.isEmpty ? .never : now + Sightings.flushMs
  }

  func flushKept(now: Instant) {
    note { () throws(HubError) in
      try self.registry.keepMessages(self.kept)
      self.kept.removeAll(keepingCapacity: true)
    }
    keptDue = kept.isEmpty ? .never : now + Self.inboxFlushMs
  }

  func note(_ body: () throws(HubError) -> Void) {
    do throws(HubError) { try body() } catch { log.line(.error, error.description) }
  }
}
