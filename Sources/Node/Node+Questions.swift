import Bounded
import SkyCrypto
import Wire

/// Questions to the hub: they leave the board only when its owner allows it, and go as they are.
extension Node {
  /// Whether a question could go now; the error that says why not.
  public var whyNotAskable: ErrorCode? {
    guard question.hasRoom, settings.asksHub else { return .forbidden }
    guard state == .online, !isCutOff else { return .offline }
    return hubTakesQuestions ? nil : .versionUnsupported
  }

  /// Sends a question. What becomes of it `question` says; its answer is given up when the link ends.
  public func ask(_ text: RawSpan, now: Instant) throws(ErrorCode) {
    if let failure = whyNotAskable { throw failure }
    guard question.state != .asked else { throw .busy }
    let id = UInt32(1 + random.next(below: UInt64(UInt32.max)))
    scratch.clear()
    Question(id: id).append(to: &scratch)
    scratch.append(text)
    try sendOrSayWhy(.question, now: now)
    question.begin(id: id, digest: Sha256.digest(text), now: now)
  }

  /// Tells the hub what an answer of it was worth. `OK` is its way, not its arrival.
  public func vote(_ vote: Vote, now: Instant) throws(ErrorCode) {
    if let failure = whyNotAskable { throw failure }
    scratch.clear()
    vote.append(to: &scratch)
    try sendOrSayWhy(.vote, now: now)
  }

  private func sendOrSayWhy(_ kind: FrameKind, now: Instant) throws(ErrorCode) {
    do throws(ErrorCode) {
      try sendScratch(FrameHeader(kind: kind, source: nodeId), now: now)
    } catch {
      if error != .full { linkFailed(error, now: now) }  // a key past its age
      throw error == .full ? .full : .offline
    }
  }

  func takeAnswer(now: Instant) throws(ErrorCode) {
    let hub = hubKey
    let node = nodeId
    let question = question
    try session.withBody { body throws(ErrorCode) in
      let answer = try Answer(decoding: body)
      // To a question that nobody waits for any more.
      guard question.state == .asked, answer.head.id == question.id else { return }
      guard let hub, AnswerSeal.isGenuine(answer, node: node, question: question.digest, hub: hub) else {
        return question.fail(.badSignature)
      }
      question.take(body, answer.head.failure)
    }
  }
}
