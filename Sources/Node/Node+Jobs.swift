import Bounded
import Compute
import SkyCrypto
import Wire

/// The compute duty's part of a link: jobs of the hub are looked at, taken or refused, and what becomes of them is told.
/// All of it is background, as updates are: reports take room in the link's output only while half of that is free.
extension Node {
  // MARK: From the hub

  func takeJob(now: Instant) throws(ErrorCode) {
    let hub = hubKey
    let duty = activeDuties.contains(.compute)
    let node = nodeId
    let hadWork = jobs.next == .arithmetic
    let (id, failure) = try session.withBody { body throws(ErrorCode) -> (UInt64, ErrorCode?) in
      let order = try JobOrder(decoding: body)
      let input = JobOrder.input(of: body)
      guard duty else { return (order.id, .offDuty) }
      let digest = JobSeal.digest(order, node: node, input: input)
      guard let hub, JobSeal.isGenuine(order, digest: digest, hub: hub) else { return (order.id, .badSignature) }
      self.jobs.use(hub: hub)
      do throws(ErrorCode) {
        try self.jobs.take(order, digest: digest, input: input, now: now)
        return (order.id, nil)
      } catch { return (order.id, error) }
    }
    if let failure { refuse(job: id, failure, now: now) }
    if !hadWork, jobs.next == .arithmetic { slicedAt = now }
    runJobs(now: now)
  }

  func takeJobCancel(now: Instant) throws(ErrorCode) {
    let cancel = try session.withBody { body throws(ErrorCode) in try JobCancel(decoding: body) }
    if !jobs.cancel(cancel.id, now: now) { refuse(job: cancel.id, .cancelled, now: now) }
    runJobs(now: now)
  }

  /// Without room the hub hears nothing and asks again.
  private func refuse(job id: UInt64, _ code: ErrorCode, now: Instant) {
    scratch.clear()
    JobResult(id: id, failure: code).append(to: &scratch)
    _ = sendQuietly(.jobResult, now: now)
  }

  // MARK: -

  /// When `runJobs` has something to do.
  var jobDeadline: Instant {
    var due = jobs.deadline
    if state == .online, let hub = hubKey, jobs.isHub(hub) { due = min(due, max(jobs.reportDue, jobReportAt)) }
    return due
  }

  /// Ends what is over and tells the hub what it does not know.
  func runJobs(now: Instant) {
    jobs.tick(now: now)
    if jobs.next != .nothing, !activeDuties.contains(.compute) { jobs.endAll(.offDuty, now: now) }
    guard state == .online, now >= jobReportAt, let hub = hubKey, jobs.isHub(hub) else { return }
    while let report = jobs.report(now: now) {
      scratch.clear()
      let kind: FrameKind
      switch report {
      case .progress(let progress):
        kind = .jobProgress
        progress.append(to: &scratch)
      case .result(let result, let place):
        kind = .jobResult
        result.append(to: &scratch)
        jobs.append(result: place, to: &scratch)
      }
      guard sendQuietly(kind, now: now) else {
        jobReportAt = now + Limits.bundleWaitMs
        return
      }
      jobs.told(report, now: now)
    }
  }

  // MARK: Arithmetic

  /// When `workOnJob` has something to do: at once, unless frames were handed on a moment ago.
  public var sliceDeadline: Instant {
    guard jobs.next == .arithmetic else { return .never }
    return min(max(slicedAt, handedOnAt + Limits.jobYieldMs), slicedAt + Limits.jobPutOffMs)
  }

  /// One slice of a job, at the end of a turn in which everybody else had theirs.
  public func workOnJob(now: Instant) {
    guard now >= sliceDeadline else { return }
    slicedAt = now
    jobs.slice(now: now)
    runJobs(now: now)
  }

  /// A frame was handed on: arithmetic waits.
  func noteHandedOn(now: Instant) { handedOnAt = now }

  /// Whoever talks to the model's worker has told `jobs` something.
  public func jobsMoved(now: Instant) { runJobs(now: now) }
}
