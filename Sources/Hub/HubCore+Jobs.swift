import Bounded
import Compute
import Foundation
import Node
import SkyCrypto
import Wire

/// The jobs that have not ended, and what is known of the nodes that may do them.
struct HubJobs {
  struct Entry {
    var job: Job
    var isCancelled = false
    /// When its node last said something of it, or it was sent.
    var heardAt = Instant(ms: 0)
    /// Nodes that would not take it, until when; nil for good.
    var declined: [UInt32: Instant?] = [:]
    var isSaved = true
  }

  var entries: [UInt64: Entry] = [:]
  /// Ended, not written down yet.
  var ended: [Job] = []
  var results: [UInt64: Data] = [:]
  /// Of nodes that have beaten since they came.
  var duties: [UInt32: Duties] = [:]
  var due = Instant.never

  mutating func arrived(_ id: UInt32) { duties[id] = nil }

  /// How many jobs each node has.
  var loads: [UInt32: Int] {
    entries.values.reduce(into: [:]) { loads, entry in
      if let worker = entry.job.worker { loads[worker, default: 0] += 1 }
    }
  }
}

/// Gives jobs to nodes with the compute duty and keeps what comes of them.
extension HubCore {
  /// Changes are gathered for so long; jobs that have not ended are looked at this often.
  static let jobsGatherMs: UInt64 = 20
  static let jobsLookMs: UInt64 = 1_000
  /// A node that says nothing of its job is given it again.
  static let jobSilentMs: UInt64 = 15_000
  /// A job that any node may do does not wait longer for one that has gone.
  static let jobAwayMs: UInt64 = 60_000
  static let jobBusyMs: UInt64 = 1_000

  // MARK: Frames

  func noteDuties(_ duties: Duties, of id: UInt32, now: Instant) {
    let isNew = jobs.duties[id] == nil
    jobs.duties[id] = duties
    guard !jobs.entries.isEmpty else { return }
    if isNew {
      // A node that has come back says what has become of its jobs when it gets them again.
      for (number, entry) in jobs.entries where entry.job.worker == id { give(number, to: id, now: now) }
    }
    if isNew || duties.contains(.compute) { scheduleJobs(at: now) }
  }

  func takeJobProgress(_ link: HubLink, _ id: UInt32, now: Instant) {
    let progress: JobProgress
    do throws(ErrorCode) {
      progress = try JobProgress(decoding: link.session.body)
    } catch { return close(link, error, now: now) }
    guard var entry = jobs.entries[progress.id], entry.job.worker == id else {
      // Nobody's, or another node's by now: this one need not go on.
      return sendCancel(progress.id, to: id, now: now)
    }
    let before = entry.job.state
    entry.heardAt = now
    if progress.phase == .taken { entry.job.starts += 1 }
    entry.job.state = progress.phase == .running ? .running : .sent
    entry.job.permille = Int(progress.permille)
    entry.isSaved = false
    jobs.entries[progress.id] = entry
    if entry.job.starts > Job.startsMaximum {
      sendCancel(progress.id, to: id, now: now)
      finish(progress.id, .failed, "node_restarted", now: now)
    }
    // How far it is can wait for the next look.
    if progress.phase == .taken || entry.job.state != before { scheduleJobs(at: now) }
  }

  func takeJobResult(_ link: HubLink, _ id: UInt32, now: Instant) {
    fillScratch(link.session.body)
    let body = Data(copying: scratch.bytes)
    let result: JobResult
    do throws(ErrorCode) {
      result = try JobResult(decoding: scratch.bytes)
    } catch { return close(link, error, now: now) }
    // Of one that was given to another node meanwhile, or has ended.
    guard var entry = jobs.entries[result.id], entry.job.worker == id else { return }
    // A node's own word: bounded, so that no sum of them overflows.
    entry.job.operations = min(result.operations, Job.operationsMaximum)
    entry.job.elapsedMs = result.elapsedMs
    jobs.entries[result.id] = entry
    guard let failure = result.failure else {
      jobs.results[result.id] = Data(body.dropFirst(JobResult.byteCount))
      status.computeOperations &+= entry.job.operations
      return finish(result.id, .done, now: now)
    }
    switch failure {
    case .cancelled where entry.isCancelled: finish(result.id, .cancelled, now: now)
    case .busy, .draining: decline(result.id, id, until: now + Self.jobBusyMs, failure, now: now)
    case .offDuty, .replayed, .noModel, .modelFailed, .modelHung, .modelRefused:
      decline(result.id, id, until: nil, failure, now: now)
    default: finish(result.id, .failed, "\(failure.token)", now: now)
    }
  }

  /// This node does not do it, for now or at all: another one may.
  private func decline(_ number: UInt64, _ id: UInt32, until: Instant?, _ code: ErrorCode, now: Instant) {
    guard var entry = jobs.entries[number] else { return }
    entry.declined[id] = .some(until)
    entry.job.putBack()
    entry.isSaved = false
    jobs.entries[number] = entry
    let others =
      entry.job.node == nil
      && jobs.duties.contains { other, duties in
        duties.contains(.compute) && live.link(of: other) != nil && entry.declined[other] == nil
      }
    if until == nil, !others { finish(number, .failed, "\(code.token)", now: now) }
    scheduleJobs(at: now)
  }

  // MARK: Giving

  /// The node that is to have this job: the one with the fewest. `free`: those with the duty and a place.
  private func choose(for entry: HubJobs.Entry, _ free: Set<UInt32>, _ loads: [UInt32: Int], now: Instant) -> UInt32? {
    func mayHave(_ id: UInt32) -> Bool {
      guard let declined = entry.declined[id] else { return true }
      guard let until = declined else { return false }
      return until <= now
    }
    if let only = entry.job.node {
      // One without the duty says so itself.
      let isThere = jobs.duties[only] != nil && live.link(of: only) != nil
      return isThere && loads[only, default: 0] < Limits.jobQueue && mayHave(only) ? only : nil
    }
    return free.filter(mayHave).min { (loads[$0, default: 0], $0) < (loads[$1, default: 0], $1) }
  }

  /// Sends it, signed for this node. Without room it is tried again.
  private func give(_ number: UInt64, to id: UInt32, now: Instant) {
    guard var entry = jobs.entries[number], let kind = entry.job.jobKind,
      let target = live.link(of: id), let link = link(target)
    else { return }
    guard entry.job.sends < Job.sendsMaximum else { return finish(number, .failed, "unreachable", now: now) }
    var input: Data?
    note { () throws(HubError) in input = try self.registry.jobInput(number) }
    guard let input else { return }
    var order = JobOrder(
      id: number, kind: kind.rawValue, argument: entry.job.argument, budgetMs: entry.job.budgetMs,
      budgetBytes: entry.job.budgetBytes)
    input.withUnsafeBytes { bytes in
      order.signature = JobSeal.sign(order, node: id, input: bytes.bytes, by: identity)
      scratch.consume(scratch.count)
      order.append(to: &scratch)
      scratch.append(bytes.bytes)
    }
    guard put(FrameHeader(kind: .job, destination: id), scratch, to: link, now: now) == nil else { return }
    if entry.job.worker != id || entry.job.state == .queued { entry.job.state = .sent }
    entry.job.worker = id
    entry.job.sends += 1
    entry.heardAt = now
    entry.isSaved = false
    jobs.entries[number] = entry
  }

  private func sendCancel(_ number: UInt64, to id: UInt32, now: Instant) {
    guard let target = live.link(of: id), let link = link(target) else { return }
    scratch.consume(scratch.count)
    JobCancel(id: number).append(to: &scratch)
    _ = put(FrameHeader(kind: .jobCancel, destination: id), scratch, to: link, now: now)
  }

  private func finish(_ number: UInt64, _ state: Job.State, _ reason: String = "", now: Instant) {
    guard var entry = jobs.entries.removeValue(forKey: number) else { return }
    entry.job.finish(state, reason, at: wallSeconds)
    jobs.ended.append(entry.job)
    if state == .done { status.jobsDone += 1 } else { status.jobsFailed += 1 }
    scheduleJobs(at: now)
  }

  // MARK: Time

  func scheduleJobs(at now: Instant) {
    jobs.due = min(jobs.due, now + Self.jobsGatherMs)
    wake(at: jobs.due)
  }

  func runJobs(now: Instant) {
    jobs.due = .never
    var loads = jobs.loads
    var free = Set(
      jobs.duties.filter {
        $0.value.contains(.compute) && loads[$0.key, default: 0] < Limits.jobQueue && live.link(of: $0.key) != nil
      }.keys)
    for number in jobs.entries.keys.sorted() {
      look(at: number, now: now)
      guard let entry = jobs.entries[number], entry.job.worker == nil,
        let id = choose(for: entry, free, loads, now: now)
      else { continue }
      give(number, to: id, now: now)
      loads[id, default: 0] += 1
      if loads[id]! >= Limits.jobQueue { free.remove(id) }
    }
    let changed = jobs.ended + jobs.entries.values.filter { !$0.isSaved }.map(\.job)
    note { () throws(HubError) in
      try self.registry.keepJobs(changed, results: self.jobs.results)
      self.jobs.ended.removeAll()
      self.jobs.results.removeAll()
      for number in self.jobs.entries.keys { self.jobs.entries[number]!.isSaved = true }
    }
    guard !jobs.entries.isEmpty || !jobs.ended.isEmpty else { return }
    jobs.due = now + Self.jobsLookMs
    wake(at: jobs.due)
  }

  private func look(at number: UInt64, now: Instant) {
    guard let entry = jobs.entries[number] else { return }
    guard let worker = entry.job.worker else {
      if entry.isCancelled { finish(number, .cancelled, now: now) }
      return
    }
    let isHere = live.link(of: worker) != nil
    if entry.isCancelled {
      // A node that has gone may do it all the same; nobody will hear of it.
      isHere ? sendCancel(number, to: worker, now: now) : finish(number, .cancelled, now: now)
    } else if isHere, jobs.duties[worker] != nil, now.since(entry.heardAt) >= Self.jobSilentMs {
      give(number, to: worker, now: now)
    } else if !isHere, entry.job.node == nil, now.since(entry.heardAt) >= Self.jobAwayMs {
      jobs.entries[number]!.job.putBack()
      jobs.entries[number]!.isSaved = false
    }
  }

  // MARK: Registry

  /// Reads what was submitted or cancelled since; at the start, everything that has not ended.
  func reloadJobs(now: Instant) throws(HubError) {
    for (job, isCancelled) in try registry.unfinishedJobs() where !jobs.ended.contains(where: { $0.id == job.id }) {
      if jobs.entries[job.id] == nil { jobs.entries[job.id] = HubJobs.Entry(job: job, heardAt: now) }
      if isCancelled { jobs.entries[job.id]!.isCancelled = true }
    }
    if !jobs.entries.isEmpty { scheduleJobs(at: now) }
  }
}
