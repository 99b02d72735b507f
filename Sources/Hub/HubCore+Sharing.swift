import Bounded
import Foundation
import Node
import Wire

/// What hubs tell each other of their registries: each its own changes, in the order of its log, as fast as the other commits.
extension HubCore {
  /// Changes read from a log at once.
  static let changesPerRead = 64
  /// Entries from fellows that wait for the next commit.
  static let batchesPending = 64

  // MARK: To fellows

  /// The logs have grown, or may have.
  func noteShared(_ newest: LogMarks, now: Instant) {
    guard hasFellows else { return }
    fellows.newest = newest
    for fellow in fellows.all {
      fellow.noteCommit(newest, now: now)
      pump(fellow, now: now)
    }
    scheduleFellows(at: now + Limits.fellowPatienceMs)
  }

  /// The same at the end of the turn.
  func registryChangesSoon(now: Instant) {
    guard hasFellows else { return }
    fellows.lookDue = now
    scheduleFellows(at: now)
  }

  /// The registry may have changed outside a commit of messages.
  func registryChanged(now: Instant) {
    guard hasFellows else { return }
    note { () throws(HubError) in self.noteShared(try self.registry.newestMarks(), now: now) }
  }

  /// Sends a fellow what it lacks, as far as its link and its commits allow.
  func pump(_ fellow: Fellow, now: Instant) {
    guard fellow.isGreeted, let link = fellow.link.flatMap({ self.link($0) }), link.phase == .online else { return }
    tellPresence(to: fellow, over: link, now: now)
    if fellow.owesStep, hasRoom(link) { tellStep(to: fellow, now: now) }
    do throws(HubError) {
      while fellow.onTheWay.count < Limits.sharesOnTheWay, hasRoom(link) {
        guard try share(with: fellow, over: link, now: now) else { break }
      }
    } catch { log.line(.error, error.description) }
    if !hasRoom(link) { scheduleFellows(at: now + Self.outputWaitMs) }
  }

  func hasRoom(_ link: HubLink) -> Bool {
    link.session.output.space >= Session.recordBytes(body: Limits.frameBodyBytes) + Self.outputReserve
  }

  /// One frame of the log whose turn it is; false when there is nothing to send.
  private func share(with fellow: Fellow, over link: HubLink, now: Instant) throws(HubError) -> Bool {
    // Whoever takes in a message must know its nodes.
    if fellow.sent.registry < fellows.newest.registry {
      let changes = try registry.registryChanges(after: fellow.sent.registry, limit: Self.changesPerRead)
      fellow.sent.registry = fill(
        .registry, changes, after: fellow.sent.registry, newest: fellows.newest.registry, fellow)
    } else if fellow.sent.messages < fellows.newest.messages {
      let changes = try registry.messageChanges(
        after: fellow.sent.messages, for: fellow.registry, limit: Self.changesPerRead)
      fellow.sent.messages = fill(
        .messages, changes, after: fellow.sent.messages, newest: fellows.newest.messages, fellow)
    } else if let row = fellow.windowRow {
      // Last, so that no window says of a message that it was seen before the message is there.
      let windows = try registry.windows(after: row, limit: Self.changesPerRead)
      fellow.windowRow = windows.last?.row
      guard !windows.isEmpty else {
        checkStep(of: fellow, now: now)
        return true
      }
      beginShare(.messages, upTo: fellow.sent.messages, fellow)
      for window in windows { _ = window.entry.append(to: &scratch) }
    } else {
      return false
    }
    fellow.onTheWay.append(fellow.sent)
    send(FrameHeader(kind: .share), scratch, to: link, now: now)
    return true
  }

  private func beginShare(_ log: ShareHead.Log, upTo: UInt64, _ fellow: Fellow) {
    scratch.consume(scratch.count)
    ShareHead(log: log, isInStep: fellow.isInStep, upTo: upTo).append(to: &scratch)
  }

  /// As many changes as fit into `scratch`; how far they reach.
  private func fill(
    _ log: ShareHead.Log, _ changes: [Registry.SharedChange], after: UInt64, newest: UInt64, _ fellow: Fellow
  ) -> UInt64 {
    beginShare(log, upTo: 0, fellow)
    var reached = after
    for change in changes {
      let before = scratch.count
      for entry in change.entries {
        let fits = change.text.withUnsafeBytes { entry.append(to: &scratch, text: $0.bytes) }
        guard fits else {
          scratch.truncate(to: before)
          // A token with its counts is far smaller than a frame, and so is a message.
          return patch(reached)
        }
      }
      reached = change.version
    }
    // The rest of the log is empty when less came than was asked for.
    return patch(changes.count < Self.changesPerRead ? max(newest, reached) : reached)
  }

  private func patch(_ upTo: UInt64) -> UInt64 {
    scratch.patch(bigEndian: upTo, at: ShareHead.byteCount - 8)
    return upTo
  }

  // MARK: Step

  func checkStep(of fellow: Fellow, now: Instant) {
    guard fellow.catchesUp(newest: fellows.newest, now: now) else { return }
    log.line(.notice, "fellow \(fellow.name) is in step")
    tellStep(to: fellow, now: now)
  }

  func fallsBehind(_ fellow: Fellow, now: Instant) {
    fellow.fellBehind(newest: fellows.newest, now: now)
    log.line(
      .warning,
      "fellow \(fellow.name) is out of step: it has not committed in \(Limits.fellowPatienceMs) ms; "
        + "messages are acknowledged without it")
    tellStep(to: fellow, now: now)
    releaseWords(now: now)
  }

  private func tellStep(to fellow: Fellow, now: Instant) {
    guard let link = fellow.link.flatMap({ self.link($0) }) else { return }
    beginShare(.messages, upTo: fellow.sent.messages, fellow)
    fellow.owesStep = put(FrameHeader(kind: .share), scratch, to: link, now: now) != nil
  }

  /// Says what has waited for fellows, as far as those in step have it.
  func releaseWords(now: Instant) {
    let inStep = fellows.all.filter(\.isInStep)
    while let first = fellows.words.first, inStep.allSatisfy({ $0.acknowledged.messages >= first.marks.messages }) {
      fellows.words.removeFirst()
      say(first.words, now: now)
    }
  }

  // MARK: From fellows

  func take(share: SharedBatch, now: Instant) throws(ErrorCode) {
    // As many as a fellow has on the way, from each of them; more means that the disk does not take them.
    guard fellows.batches.count < Self.batchesPending else { throw .busy }
    fellows.batches.append(share)
    flushSpool(by: now + Self.gatherMs)
  }

  func readShare(_ body: RawSpan, from fellow: Fellow) throws(ErrorCode) -> SharedBatch {
    var reader = try ShareReader(body)
    var batch = SharedBatch(registry: fellow.registry, fellow: fellow.id, head: reader.head)
    while let entry = try reader.next() {
      batch.entries.append((entry, Data(copying: body.extracting(entry.text))))
    }
    return batch
  }

  /// What fellows sent is committed.
  func tookShares(_ batches: [SharedBatch], _ outcome: SharedOutcome, now: Instant) {
    var heard: [Fellow] = []
    for (batch, isTaken) in zip(batches, outcome.taken) {
      guard let fellow = fellows.all.first(where: { $0.id == batch.fellow }), fellow.registry == batch.registry else {
        continue
      }
      guard isTaken else {
        log.line(.warning, "fellow \(fellow.name) sent a message for a node that nobody admitted")
        if let link = fellow.link.flatMap({ self.link($0) }) { close(link, .fellowFault, now: now) }
        continue
      }
      fellow.took(batch.head, now: now)
      if !heard.contains(where: { $0 === fellow }) { heard.append(fellow) }
    }
    for fellow in heard { sayCommitted(to: fellow, now: now) }
    for id in outcome.moved {
      deliveries[id] = nil
      if let place = live.place(of: id) { drop(id, at: place, .linkClosed, now: now) }
    }
    if outcome.isRegistryChanged { note { () throws(HubError) in _ = try self.closeRevoked(now: now) } }
    for id in outcome.destinations { deliver(to: id, now: now) }
    endHold(now: now)
  }

  func sayCommitted(to fellow: Fellow, now: Instant) {
    fellow.beatDue = now + Limits.fellowBeatMs
    scheduleFellows(at: fellow.beatDue)
    guard let link = fellow.link.flatMap({ self.link($0) }), link.phase == .online else { return }
    scratch.consume(scratch.count)
    fellow.taken.append(to: &scratch)
    // Without room it hears it with the next.
    if put(FrameHeader(kind: .committed), scratch, to: link, now: now) != nil {
      fellow.beatDue = now + Self.outputWaitMs
    }
  }

  // MARK: Holding deliveries

  /// A fellow may have older messages than those that are here: no durable one is delivered before them.
  func isHolding(now: Instant) -> Bool { fellows.all.contains { $0.isSendingMissed && now < $0.heldUntil } }

  /// Goes on delivering once nothing older can come, or it has taken too long.
  func endHold(now: Instant) {
    guard fellows.wasHolding || isHolding(now: now) else { return }
    fellows.wasHolding = isHolding(now: now)
    if fellows.wasHolding {
      for fellow in fellows.all where fellow.heldUntil > now { scheduleFellows(at: fellow.heldUntil) }
    } else {
      for id in deliveries.keys { deliver(to: id, now: now) }
    }
  }
}
