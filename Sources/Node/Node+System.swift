import Bounded
import SkyCrypto
import Update
import Wire

/// The system's part of a link: telling the hub what the board runs, and bringing a bundle to the board's updater. All of
/// it is background: it takes room in the link's output only while half of that is free, a piece at a time.
extension Node {
  // MARK: Requests of whoever operates the board

  /// Asks hub and updater anew.
  public func checkSystem(now: Instant) {
    system.look()
    systemReportAt = now
    runSystem(now: now)
  }

  /// Starts putting what the hub has published into the other slot. False when it is under way, or there already.
  public func applySystem(now: Instant) throws(ErrorCode) -> Bool {
    guard settings.updates != .off else { throw .forbidden }
    guard state == .online else { throw .offline }
    guard let offer = system.offer, let standing = system.standing else { throw .notFound }
    guard system.phase == .idle else { return false }
    if standing.isRestartDue, equal(standing.other.digest, offer.digest) { return false }
    systemRetryAt = now
    system.start(isAskedFor: true)
    return true
  }

  /// The number of this word to the updater, for `systemWord`.
  public func rollBackSystem() -> UInt64 {
    system.rollBack()
    return system.wordsAsked
  }

  public func restartSystem() -> UInt64 {
    system.restart(isAskedFor: true)
    return system.wordsAsked
  }

  /// What became of a word to the updater; nil while that is open.
  public func systemWord(_ number: UInt64) -> Result<Bool, UpdateError>? {
    guard system.wordsEnded >= number else { return nil }
    return system.wordResult.map { .failure($0) } ?? .success(true)
  }

  // MARK: From whoever talks to the updater

  /// Takes the updater's answer. False when it is none.
  public func updaterAnswered(_ kind: UpdaterRecord.Kind, _ body: RawSpan, now: Instant) -> Bool {
    let (before, phase) = (system.standing, system.phase)
    guard system.answered(kind, body) else { return false }
    if kind == .standing {
      systemLookAt = now + (system.standing?.isOnTrial == true ? Limits.systemTrialMs : Limits.systemReportMs)
      if before != system.standing { systemReportAt = now }
    }
    if phase != .idle, system.phase == .idle { systemEnded(now: now) }
    nextBundleRequestAt = max(now, bundleAskedAt + Limits.bundlePieceIntervalMs)
    runSystem(now: now)
    return true
  }

  public func updaterLost(isAbsent: Bool, now: Instant) {
    let wasAtWork = system.phase != .idle
    system.lost(isAbsent: isAbsent)
    systemLookAt = now + Limits.systemReportMs
    if wasAtWork { systemEnded(now: now) }
  }

  /// An update has ended; what failed is tried again after an hour, or when somebody asks.
  private func systemEnded(now: Instant) {
    if case .ready = system.outcome {} else { systemRetryAt = now + Limits.updateRetryMs }
    systemReportAt = now
    tell(.system(system.outcome))
  }

  // MARK: From the hub

  func takeBundleOffer(now: Instant) throws(ErrorCode) {
    let before = system.offer?.release
    try session.withBody { body throws(ErrorCode) in try system.takeOffer(body) }
    // The wait after an update is for the one that was tried, not for a newer one.
    if let offer = system.offer, offer.release != before { systemRetryAt = now }
    // The hub has paused a roll-out.
    if settings.updates == .auto, system.offer?.isDue == false, !system.isAskedFor { system.stop() }
    runSystem(now: now)
  }

  func takeBundlePiece(now: Instant) throws(ErrorCode) {
    let isTaken = try session.withBody { body throws(ErrorCode) in try system.arrived(body) }
    if !isTaken { counters.ignored += 1 }
  }

  // MARK: -

  /// When `runSystem` has something to do.
  var systemDeadline: Instant {
    guard state == .online else { return .never }
    var due = system.needsUpdater ? Instant.never : systemLookAt
    if settings.updates != .off, system.hasStanding { due = min(due, systemReportAt) }
    if system.request != nil { due = min(due, nextBundleRequestAt) }
    if decision != nil { due = min(due, systemRetryAt) }
    return due
  }

  /// Does what is due.
  func runSystem(now: Instant) {
    guard state == .online else { return }
    if now >= systemLookAt, !system.needsUpdater {
      system.look()
      systemLookAt = now + Limits.systemReportMs
    }
    report(now: now)
    if let decision, now >= systemRetryAt {
      switch decision {
      case .apply: system.start(isAskedFor: false)
      case .restart:
        system.restart(isAskedFor: false)
        systemRetryAt = now + Limits.systemReportMs
      }
    }
    guard let request = system.request, now >= nextBundleRequestAt else { return }
    scratch.clear()
    request.append(to: &scratch)
    if sendQuietly(.bundleRequest, now: now) {
      bundleAskedAt = now
      nextBundleRequestAt = now + Limits.pieceTimeoutMs
    } else {
      nextBundleRequestAt = now + Limits.bundleWaitMs
    }
  }

  private enum Decision { case apply, restart }

  /// What this node does by itself: nothing unless the hub says that it is its turn, and never twice what did not prove
  /// itself here, nor what was confirmed here once and left again.
  private var decision: Decision? {
    guard state == .online, system.phase == .idle, system.hasStanding, !system.needsUpdater,
      let standing = system.standing, let offer = system.offer, !standing.isOnTrial
    else { return nil }
    let isHere = standing.isRestartDue && equal(standing.other.digest, offer.digest)
    if system.isAskedFor { return isHere ? nil : .apply }
    guard settings.updates == .auto, offer.isDue, offer.release > standing.release, offer.release > standing.floor,
      !standing.hasFailed(offer.digest)
    else { return nil }
    return isHere ? .restart : .apply
  }

  private func report(now: Instant) {
    guard settings.updates != .off, now >= systemReportAt, let standing = system.standing else { return }
    scratch.clear()
    SystemReport(
      policy: settings.updates, failure: system.failedRelease > 0 ? system.failure?.rawValue ?? 0 : 0,
      failedRelease: system.failedRelease, standing: standing
    ).append(to: &scratch)
    systemReportAt = now + (sendQuietly(.system, now: now) ? Limits.systemReportMs : Limits.bundleWaitMs)
  }

  /// Sends `scratch` when there is room for what is not urgent.
  func sendQuietly(_ kind: FrameKind, now: Instant) -> Bool {
    guard session.output.space >= Limits.linkOutputBytes / 2 else { return false }
    do throws(ErrorCode) {
      try sendScratch(FrameHeader(kind: kind, source: nodeId), now: now)
      return true
    } catch {
      linkFailed(error, now: now)  // a key past its age
      return false
    }
  }

  func systemLinkEnded() {
    system.stop()
    systemReportAt = Instant(ms: 0)
    systemLookAt = Instant(ms: 0)
  }
}
