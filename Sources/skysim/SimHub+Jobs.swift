import Bounded
import Compute
import Node
import SkyCrypto
import Wire

/// A job at a hub.
final class SimJob {
  enum State { case queued, given, running }
  /// What the hub's store has of it.
  struct Standing {
    var state = State.queued
    /// The board that has it; -1: none.
    var worker = -1
    /// How often a node has begun it, and how often it was sent.
    var starts = 0
    var sends = 0
  }

  let id: UInt64
  /// Its number in the world's list.
  let number: Int
  let kind: JobKind
  /// The only board that may have it; -1: any with the duty.
  let only: Int
  let input: [UInt8]
  let budgetMs: UInt32
  var now = Standing()
  var saved = Standing()
  /// Somebody wants it no more; written down at once.
  var isCancelled = false
  var heardAt: Instant
  /// Boards that would not take it, until when.
  var declined: [Instant]
  /// It has ended so, and that is not written down yet.
  var end: JobEnd?
  /// What came of it was written down at this time.
  var keptAt = Instant.never
  /// The board that has it and is not done with it.
  var holder: Int? { end == nil && now.worker >= 0 ? now.worker : nil }

  init(id: UInt64, number: Int, kind: JobKind, only: Int, input: [UInt8], budgetMs: UInt32, boards: Int, now: Instant) {
    self.id = id
    self.number = number
    self.kind = kind
    self.only = only
    self.input = input
    self.budgetMs = budgetMs
    heardAt = now
    declined = [Instant](repeating: Instant(ms: 0), count: boards)
  }
}

enum JobEnd { case done, failed, cancelled }

/// Jobs at a hub, by the rules of docs/compute.md.
extension SimHub {
  static let jobsGatherMs: UInt64 = 20
  static let jobsLookMs: UInt64 = 1_000
  static let jobSilentMs: UInt64 = 15_000
  static let jobAwayMs: UInt64 = 60_000
  static let jobBusyMs: UInt64 = 1_000
  static let jobStarts = 2
  static let jobSends = 16

  // MARK: Who wants what

  private func wantJobs(now: Instant) {
    guard now >= jobAt else { return }
    jobAt = world.isEnding ? .never : now + 1 + dice.below(2 * world.scenario.jobEveryMs)
    guard !world.isEnding else { return }
    if let job = jobs.last, !job.isCancelled, dice.oneIn(6) { job.isCancelled = true }
    lastJob = max(lastJob + 1, world.wallMs(now))
    let isText = dice.below(4) != 0
    let count = isText ? 1 + dice.below(60) : 4 * (2 + dice.below(300))
    let input = (0..<count).map { _ in UInt8(0x61 + dice.below(26)) }
    let only = dice.oneIn(3) ? dice.below(live.count) : -1
    jobs.append(
      SimJob(
        id: lastJob, number: world.newJob(), kind: isText ? .infer : .score, only: only, input: input,
        budgetMs: UInt32(dice.spread(2_000, to: 600_000)), boards: live.count, now: now))
    scheduleJobs(at: now)
  }

  // MARK: Frames

  func noteDuties(_ session: HubSession, of board: Int, now: Instant) {
    guard world.scenario.jobEveryMs != 0, let told = Self.duties(session.session) else { return }
    let isNew = duties[board] == nil
    duties[board] = told
    if isNew { for job in jobs where job.holder == board { give(job, to: board, now: now) } }
    if isNew || told.contains(.compute) { scheduleJobs(at: now) }
  }

  private static func duties(_ session: borrowing Session) -> Duties? {
    do throws(ErrorCode) { return try Heartbeat(decoding: session.body).duties } catch { return nil }
  }

  private func job(_ id: UInt64, of board: Int) -> SimJob? {
    for job in jobs where job.id == id && job.holder == board { return job }
    return nil
  }

  func takeProgress(_ session: HubSession, _ board: Int, now: Instant) {
    copyBody(of: session)
    let progress: JobProgress
    do throws(ErrorCode) { progress = try JobProgress(decoding: scratch.bytes) } catch {
      return close(session, error, now: now)
    }
    guard let job = job(progress.id, of: board) else { return sendCancel(progress.id, to: board, now: now) }
    job.heardAt = now
    if progress.phase == .taken { job.now.starts += 1 }
    job.now.state = progress.phase == .running ? .running : .given
    if job.now.starts > Self.jobStarts {
      sendCancel(progress.id, to: board, now: now)
      job.end = .failed
    }
    scheduleJobs(at: now)
  }

  func takeResult(_ session: HubSession, _ board: Int, now: Instant) {
    copyBody(of: session)
    let result: JobResult
    do throws(ErrorCode) { result = try JobResult(decoding: scratch.bytes) } catch {
      return close(session, error, now: now)
    }
    world.counts.jobResults += 1
    guard let job = job(result.id, of: board) else { return }
    guard let failure = result.failure else {
      checkResult(job, board)
      job.end = .done
      return scheduleJobs(at: now)
    }
    switch failure {
    case .cancelled where job.isCancelled: job.end = .cancelled
    case .busy, .draining: decline(job, board, until: now + Self.jobBusyMs, now: now)
    case .offDuty, .replayed, .noModel, .modelFailed, .modelHung, .modelRefused:
      decline(job, board, until: .never, now: now)
    case .badSignature: world.fail("a node does not believe a job's signature", board)
    default: job.end = .failed
    }
    scheduleJobs(at: now)
  }

  /// In `scratch`, behind the result's head: what a simulated model answers is the text that it was given.
  private func checkResult(_ job: SimJob, _ board: Int) {
    // Of numbers, mean and deviation come first.
    let front = job.kind == .score ? 8 : 0
    var isRight = scratch.count == JobResult.byteCount + front + job.input.count
    if job.kind == .infer, isRight {
      for i in job.input.indices where scratch.bytes[JobResult.byteCount + i] != job.input[i] { isRight = false }
    }
    if !isRight { world.fail("a job has another's result", board) }
  }

  private func decline(_ job: SimJob, _ board: Int, until: Instant, now: Instant) {
    job.declined[board] = until
    job.now = SimJob.Standing(sends: job.now.sends)
    let hasOthers =
      job.only < 0
      && live.indices.contains { isWilling($0) && live[$0] != nil && job.declined[$0] == Instant(ms: 0) }
    if until == .never, !hasOthers { job.end = .failed }
  }

  private func isWilling(_ board: Int) -> Bool { duties[board]?.contains(.compute) ?? false }

  // MARK: Giving

  /// How many jobs each board has.
  private func loads() -> [Int] {
    var loads = [Int](repeating: 0, count: live.count)
    for job in jobs { if let board = job.holder { loads[board] += 1 } }
    return loads
  }

  private func choose(_ job: SimJob, _ loads: [Int], now: Instant) -> Int {
    var best = (board: -1, load: Limits.jobQueue)
    for board in live.indices where loads[board] < best.load && live[board] != nil && job.declined[board] <= now {
      guard job.only < 0 ? isWilling(board) : board == job.only && duties[board] != nil else { continue }
      best = (board, loads[board])
    }
    return best.board
  }

  private func give(_ job: SimJob, to board: Int, now: Instant) {
    guard let session = live[board]?.session else { return }
    guard job.now.sends < Self.jobSends else { return job.end = .failed }
    var order = JobOrder(
      id: job.id, kind: job.kind.rawValue, argument: 0, budgetMs: job.budgetMs, budgetBytes: Limits.jobBudgetBytes)
    let input = job.input
    order.signature = JobSeal.sign(order, node: Board.nodeId(board), input: input.span.bytes, by: identity)
    scratch.consume(scratch.count)
    order.append(to: &scratch)
    scratch.append(input.span.bytes)
    guard putScratch(FrameHeader(kind: .job, destination: Board.nodeId(board)), session, now: now) else { return }
    if job.now.worker != board || job.now.state == .queued { job.now.state = .given }
    job.now.worker = board
    job.now.sends += 1
    job.heardAt = now
  }

  private func sendCancel(_ id: UInt64, to board: Int, now: Instant) {
    guard let session = live[board]?.session else { return }
    scratch.consume(scratch.count)
    JobCancel(id: id).append(to: &scratch)
    putScratch(FrameHeader(kind: .jobCancel, destination: Board.nodeId(board)), session, now: now)
  }

  // MARK: Time

  func scheduleJobs(at now: Instant) { jobsDue = min(jobsDue, now + Self.jobsGatherMs) }

  func runJobs(now: Instant) {
    wantJobs(now: now)
    guard now >= jobsDue else { return }
    jobsDue = .never
    var loads = loads()
    for job in jobs where job.end == nil {
      if let board = job.holder { loads[board] -= 1 }
      look(at: job, now: now)
      if job.end == nil, job.now.worker < 0 {
        let board = choose(job, loads, now: now)
        if board >= 0 { give(job, to: board, now: now) }
      }
      if let board = job.holder { loads[board] += 1 }
    }
    // One commit. Before it, all that came of a job is as though it had not been.
    if now >= diskFailsUntil {
      for job in jobs where job.keptAt == .never {
        job.saved = job.now
        guard let end = job.end else { continue }
        world.jobEnded(job.number, end, wasCancelled: job.isCancelled)
        job.keptAt = now
      }
      let apartMs: UInt64 = world.scenario.plant == .resultApart ? 300_000 : 0
      jobs.removeAll { $0.keptAt != .never && now >= $0.keptAt + apartMs }
    }
    if !jobs.isEmpty { jobsDue = now + Self.jobsLookMs }
  }

  private func look(at job: SimJob, now: Instant) {
    let worker = job.now.worker
    guard worker >= 0 else {
      if job.isCancelled { job.end = .cancelled }
      return
    }
    let isHere = live[worker] != nil
    if job.isCancelled {
      if isHere { sendCancel(job.id, to: worker, now: now) } else { job.end = .cancelled }
    } else if isHere, duties[worker] != nil, now.since(job.heardAt) >= Self.jobSilentMs {
      give(job, to: worker, now: now)
    } else if !isHere, job.only < 0, now.since(job.heardAt) >= Self.jobAwayMs {
      job.now = SimJob.Standing(sends: job.now.sends)
    }
  }

  /// What was not written down is gone.
  func crashJobs() {
    for job in jobs {
      job.now = job.saved
      job.end = nil
      job.keptAt = .never
      for i in job.declined.indices { job.declined[i] = Instant(ms: 0) }
    }
    for i in duties.indices { duties[i] = nil }
  }

  func restartJobs(now: Instant) {
    for job in jobs { job.heardAt = now }
    jobsDue = now
  }
}
