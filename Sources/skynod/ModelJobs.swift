import Bounded
import Compute
import Knowledge
import Node
import Platform
import Wire

/// Puts jobs that need a model to its worker. Questions of whoever sits at the board come first: a job that is under way
/// is then given up and begins anew afterwards.
final class ModelJobs {
  private let model: ModelLink
  /// Of the job that the worker has.
  private var epoch: UInt32?
  private var isVector = false
  private var text = TextBuffer(capacity: Limits.answerBytes)

  init(_ model: ModelLink) { self.model = model }

  func deadline(_ node: Node, isModelNeeded: Bool) -> Instant {
    if epoch != nil { return model.deadline }
    return isModelNeeded ? .never : node.jobs.modelDue ?? .never
  }

  /// Once a turn. `isModelNeeded`: by a question.
  func pump(_ node: Node, isModelNeeded: Bool, now: Instant) {
    if let epoch, epoch != node.jobs.epoch || isModelNeeded {
      // The question may have taken the connection already.
      if model.user == .job { model.hangUp() }
      self.epoch = nil
      if epoch == node.jobs.epoch { node.jobs.modelPutBack(until: now) }
    }
    if epoch == nil, !isModelNeeded, let due = node.jobs.modelDue, now >= due { begin(node, now: now) }
    guard epoch != nil else { return }
    var isWhole = true
    let isVector = isVector
    let step = model.step(now: now) { line in
      if isVector {
        isWhole = node.jobs.take(vector: line)
      } else {
        text.removeAll()
        if ControlText.read(line, into: &text) { Self.lend(text) { node.jobs.take(piece: $0) } }
      }
    }
    take(isWhole ? step : .failed(.modelFailed), node, now: now)
  }

  private func begin(_ node: Node, now: Instant) {
    let step = node.jobs.withModelJob { kind, tokens, input in
      isVector = kind == .embed
      return model.begin(for: .job, wantsVector: isVector, now: now) { line in
        if kind == .embed {
          line.append("embed ")
        } else {
          line.append("generate tokens=")
          line.append(tokens)
          line.append(" temperature=0 ")
        }
        ControlText.writeQuoted(input, to: &line)
        line.append("\n")
      }
    }
    guard let step else { return }
    epoch = node.jobs.epoch
    take(step, node, now: now)
  }

  private static func lend(_ text: borrowing TextBuffer, _ body: (RawSpan) -> Void) { body(text.bytes) }

  private func take(_ step: ModelDialogue.Step, _ node: Node, now: Instant) {
    switch step {
    case .ended:
      epoch = nil
      node.jobs.modelEnded(tokens: model.tokens, now: now)
    case .failed(let code):
      model.hangUp()
      epoch = nil
      node.jobs.modelFailed(code, now: now)
    case .nothing, .ask, .probe, .piece, .vector: return
    }
    node.jobsMoved(now: now)
  }
}
