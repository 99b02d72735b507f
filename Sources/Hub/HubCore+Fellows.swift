import Bounded
import Foundation
import Node
import SkyCrypto
import Wire

/// What a hub with fellows has beside one without.
struct FellowDesk {
  var all: [Fellow] = []
  /// Which nodes are linked to which fellow: `link` and `relay` of a place are the fellow's.
  var away = LiveTable()
  /// The hubs that asked whether a node is alive.
  var askers: [UInt32: LinkId] = [:]
  /// How far this hub's logs reach, and the name of its registry.
  var newest = LogMarks()
  var registry: UInt64 = 0
  /// Came from fellows and is not committed yet.
  var batches: [SharedBatch] = []
  /// Words on durable messages that wait until the fellows in step have committed up to the marks.
  var words: [(marks: LogMarks, words: [HubCore.Arrival.Sender: [StoredEntry]])] = []
  /// Durable messages are held back until then.
  var wasHolding = false
  var due = Instant.never
  var pruneDue = Instant.never
  var lookDue = Instant.never
}

/// The links between hubs that keep the same (docs/protocol.md, "Fellows"): who may, how they are made, what comes over them.
extension HubCore {
  /// More nodes at one fellow than this are not believed.
  static let awayMaximum = 100_000
  static let pruneMs: UInt64 = 10_000
  /// How often the registry is asked whether another process has changed it without a word.
  static let lookMs: UInt64 = 2_000

  var hasFellows: Bool { !fellows.all.isEmpty }

  /// Before the first connection: without fellows the registry notes nothing for them.
  public func openFellows(now: Instant) throws(HubError) {
    guard !configuration.fellows.isEmpty else { return try registry.stopSharing() }
    try registry.share(firstId: configuration.firstId)
    fellows.registry = try registry.sharedName()
    fellows.newest = try registry.newestMarks()
    for entry in configuration.fellows.sorted(by: { $0.id < $1.id }) {
      let fellow = Fellow(entry, isDialled: configuration.hubId > entry.id, now: now)
      fellow.sinceSeconds = wallSeconds
      fellows.all.append(fellow)
    }
    fellows.wasHolding = true
    fellows.due = now
    fellows.pruneDue = now + Self.pruneMs
    fellows.lookDue = now + Self.lookMs
    wake(at: now)
  }

  // MARK: Making the link

  /// Fellows that are to be dialled now; each has to end in `openFellow` or `dialFailed`.
  func takeDials(now: Instant) -> [Fellow] {
    guard !isDraining else { return [] }
    let due = fellows.all.filter { $0.link == nil && ($0.dialAt ?? .never) <= now }
    for fellow in due { fellow.dialAt = .never }
    return due
  }

  func dialFailed(_ fellow: Fellow, _ code: ErrorCode, now: Instant) {
    note(code, of: fellow)
    fellow.retry(now: now)
    scheduleFellows(at: fellow.dialAt ?? .never)
  }

  private func note(_ code: ErrorCode, of fellow: Fellow) {
    guard fellow.failure != code else { return }
    fellow.failure = code
    log.line(.warning, "fellow \(fellow.name) at \(PeerHub(fellow.entry).place.text): \(code.sentence)")
  }

  /// A connection to a fellow stands, with TLS: this hub is the node on it.
  func openFellow(_ fellow: Fellow, exporter: Bytes32, now: Instant) -> HubLink {
    let link = open(address: PeerHub(fellow.entry).place.text, now: now)
    link.fellow = fellow
    var agent = InlineArray<32, UInt8>(repeating: 0)
    for (i, byte) in "skyhub/\(Version.text)".utf8.prefix(32).enumerated() { agent[i] = byte }
    var hello = Hello(
      duties: [], instance: InlineArray(repeating: 0), fingerprint: Bytes32(repeating: 0),
      identity: identity.publicKey, nonce: random.bytes32(), agent: agent, tokenId: InlineArray(repeating: 0))
    hello.nodeClass = .infrastructure
    hello.versionMax = configuration.highestVersion
    let none = Secret<32>()
    link.session.startAsNode(
      exporter: exporter, hello: hello, verifier: none, expectedHubKey: fellow.entry.key, random: &random)
    link.secured()
    touch(link)
    return link
  }

  /// A HELLO of class S: only who has the key of a configured fellow gets further.
  func judgeFellow(_ link: HubLink, _ hello: Hello, now: Instant) {
    guard let fellow = fellows.all.first(where: { equal($0.entry.key, hello.identity) }) else {
      return refuse(link, .fellowUnknown, now: now)
    }
    // The one with the higher number dials.
    guard fellow.dialAt == nil else { return refuse(link, .fellowMismatch, now: now) }
    link.fellow = fellow
    do throws(ErrorCode) {
      try link.session.accept(
        nodeId: fellow.id, hubId: configuration.hubId, identity: identity, random: &random, now: now)
    } catch { failed(link, error, now: now) }
  }

  /// Both sides have proved their keys.
  func enterFellow(_ link: HubLink, _ fellow: Fellow, now: Instant) {
    if let welcome = link.session.peerWelcome,
      welcome.hubId != fellow.id || welcome.nodeId != configuration.hubId
    {
      note(.fellowMismatch, of: fellow)
      return close(link, .fellowMismatch, now: now)
    }
    if let old = fellow.link.flatMap({ self.link($0) }) { close(old, .linkClosed, now: now) }
    entered(link, now: now)
    fellow.linked(link.id, at: wallSeconds, now: now)
    log.line(.notice, "fellow \(fellow.name) is linked, at \(link.address)")
    scratch.consume(scratch.count)
    scratch.append(bigEndian: fellows.registry)
    send(FrameHeader(kind: .fellow), scratch, to: link, now: now)
  }

  /// The link to a fellow is no more.
  func leftFellow(_ link: HubLink, _ fellow: Fellow, _ reason: ErrorCode?, now: Instant) {
    link.fellow = nil
    guard fellow.link == link.id else {
      if fellow.link == nil { dialFailed(fellow, reason ?? .linkClosed, now: now) }
      return
    }
    fellows.away.leave(link.id)
    fellows.askers = fellows.askers.filter { $0.value != link.id }
    fellow.lost(reason, at: wallSeconds, now: now)
    log.line(.warning, "fellow \(fellow.name) is away: \((fellow.failure ?? .linkClosed).sentence)")
    // What waits for it is said at the end of the turn.
    scheduleFellows(at: now)
  }

  // MARK: Frames

  func handle(_ frame: FrameHeader, of fellow: Fellow, on link: HubLink, now: Instant) {
    do throws(ErrorCode) {
      switch frame.kind {
      case .fellow: try take(name: try FellowGreeting(decoding: link.session.body).registry, of: fellow, now: now)
      case _ where !fellow.isNamed: throw .unexpectedRecord
      case .committed: try take(committed: try LogMarks(decoding: link.session.body), by: fellow, now: now)
      case .share: try take(share: try readShare(link.session.body, from: fellow), now: now)
      case .here: try take(here: try HereEntry.all(in: link.session.body), from: fellow, on: link, now: now)
      case .gone: fellows.away.detach(try NodeWord(decoding: link.session.body).id, from: link.id)
      case .alive: takeAlive(try NodeWord(decoding: link.session.body).id, now: now)
      case .probe: try take(probe: try HereEntry.all(in: link.session.body), on: link, now: now)
      case .message where !frame.isDurable, .receipt: takeRouted(frame, on: link, now: now)
      default: throw .fellowFault
      }
    } catch {
      log.line(.warning, "fellow \(fellow.name): \(error.sentence)")
      note(error, of: fellow)
      close(link, error, now: now)
    }
  }

  /// It has named its registry, and is told what is here of that.
  private func take(name: UInt64, of fellow: Fellow, now: Instant) throws(ErrorCode) {
    guard !fellow.isNamed else { throw .unexpectedRecord }
    guard name != fellows.registry else {
      log.line(
        .error, "fellow \(fellow.name) has a copy of this hub's registry: give one of the two an empty data directory")
      throw .fellowMismatch
    }
    do throws(HubError) {
      fellow.named(name, marks: try registry.marks(of: name))
    } catch { throw error.code }
    sayCommitted(to: fellow, now: now)
  }

  private func take(committed marks: LogMarks, by fellow: Fellow, now: Instant) throws(ErrorCode) {
    if fellow.isGreeted {
      guard fellow.committed(marks) else { throw .fellowFault }
      releaseWords(now: now)
    } else {
      guard fellows.newest.covers(marks) else { return try renameRegistry(after: fellow, now: now) }
      fellow.greeted(marks: marks, newest: fellows.newest, now: now)
      fellow.untold = Set(live.ids)
    }
    checkStep(of: fellow, now: now)
    pump(fellow, now: now)
    scheduleFellows(at: now + Limits.fellowLagMs)
  }

  /// The registry was restored from a copy: what is new in it would carry numbers that fellows have had.
  private func renameRegistry(after fellow: Fellow, now: Instant) throws(ErrorCode) {
    log.line(.warning, "fellow \(fellow.name) knows more of this registry than is in it: was it restored from a copy?")
    fellows.registry = random.next() >> 1 | 1
    do throws(HubError) { try registry.renameShared(to: fellows.registry) } catch { throw error.code }
    for other in fellows.all {
      if let link = other.link.flatMap({ self.link($0) }) { close(link, .linkClosed, now: now) }
    }
  }

  // MARK: Time

  func scheduleFellows(at instant: Instant) {
    fellows.due = min(fellows.due, instant)
    wake(at: fellows.due)
  }

  func runFellows(now: Instant) {
    fellows.due = .never
    guard hasFellows else { return }
    releaseWords(now: now)
    for (id, place) in fellows.away.silent(now: now) { fellows.away.detach(id, from: place.link) }
    for fellow in fellows.all {
      guard let link = fellow.link.flatMap({ self.link($0) }) else {
        if let dialAt = fellow.dialAt, dialAt > now { fellows.due = min(fellows.due, dialAt) }
        continue
      }
      renewKeys(of: link, now: now)
      if fellow.patienceEnds <= now { fallsBehind(fellow, now: now) }
      if fellow.isNamed, fellow.beatDue <= now { sayCommitted(to: fellow, now: now) }
      pump(fellow, now: now)
      fellows.due = min(fellows.due, min(fellow.patienceEnds, fellow.beatDue))
    }
    if fellows.pruneDue <= now { pruneShares(now: now) }
    if fellows.lookDue <= now {
      fellows.lookDue = now + Self.lookMs
      registryChanged(now: now)
    }
    endHold(now: now)
    if let probing = fellows.away.nextProbeDeadline { fellows.due = min(fellows.due, probing) }
    fellows.due = min(fellows.due, min(fellows.pruneDue, fellows.lookDue))
    wake(at: fellows.due)
  }

  private func renewKeys(of link: HubLink, now: Instant) {
    guard link.session.rekeyDue(by: now, afterMs: configuration.rekeyMs), link.session.peerWelcome != nil else {
      return
    }
    // Without room now there will be some before the key is too old.
    do throws(ErrorCode) {
      try link.session.beginRekey(now: now, random: &random)
      touch(link)
    } catch {}
  }

  private func pruneShares(now: Instant) {
    fellows.pruneDue = now + Self.pruneMs
    var mark = fellows.newest
    for fellow in fellows.all {
      // One that is away may lack all that it had not acknowledged when it left, and more after a restart of this hub.
      mark.registry = min(mark.registry, fellow.acknowledged.registry)
      mark.messages = min(mark.messages, fellow.acknowledged.messages)
    }
    note { () throws(HubError) in try self.registry.pruneShares(upTo: mark) }
  }

  // MARK: For people

  func fellowStatus() -> [FellowStatus] {
    fellows.all.map { fellow in
      let missing = (try? registry.sharesMissing(after: fellow.acknowledged, from: fellow.registry)) ?? 0
      return FellowStatus(
        id: fellow.id, place: PeerHub(fellow.entry).place.text, linked: fellow.link != nil, inStep: fellow.isInStep,
        missing: missing, catchingUp: fellow.link != nil && fellow.isSendingMissed, since: fellow.sinceSeconds,
        reason: fellow.failure.map { "\($0.token)" })
    }
  }
}
