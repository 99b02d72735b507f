import Bounded
import Compute
import Node
import Wire

/// The compute duty on a board: slices of arithmetic, and a model's worker that answers a text with itself.
extension Board {
  /// When `workOnJobs` has something to do.
  func jobsDue(_ node: Node) -> Instant {
    let model = modelEpoch == node.jobs.epoch ? modelEndsAt : node.jobs.modelDue ?? .never
    return min(node.sliceDeadline, model)
  }

  func workOnJobs(_ node: Node, now: Instant) {
    node.workOnJob(now: now)
    // Another job runs, or none: who works on the one before gives up.
    if let modelEpoch, modelEpoch != node.jobs.epoch { self.modelEpoch = nil }
    if modelEpoch != nil, now >= modelEndsAt { endModel(node, now: now) }
    guard modelEpoch == nil, let due = node.jobs.modelDue, now >= due else { return }
    modelEpoch = node.jobs.epoch
    modelEndsAt = now + dice.spread(50, to: 60_000)
  }

  private func endModel(_ node: Node, now: Instant) {
    modelEpoch = nil
    if dice.oneIn(8) {
      let errors: [ErrorCode] = [.busy, .modelFailed, .modelHung]
      node.jobs.modelFailed(errors[dice.below(errors.count)], now: now)
    } else {
      let text = node.jobs.withModelJob { _, _, input in (0..<input.byteCount).map { input[$0] } } ?? []
      node.jobs.take(piece: text.span.bytes)
      node.jobs.modelEnded(tokens: 5, now: now)
    }
    node.jobsMoved(now: now)
  }
}
