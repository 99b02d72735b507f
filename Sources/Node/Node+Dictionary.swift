import Bounded
import SkyCrypto
import Wire

/// The dictionary's part of a link: unknown words, and updates. All of it is background: it takes room in the
/// link's output only while half of that is free, and never more than a piece and a question at a time.
extension Node {
  /// What the owner has mapped; 0 for no dictionary. `known` is any word of it.
  public func useDictionary(generation: UInt32, known: WordEntry?) {
    dictionaryGeneration = generation
    words.use(known: known)
  }

  /// Asks the hub for a newer dictionary now. False when what it has is known to be no newer.
  public func updateDictionary(now: Instant) throws(ErrorCode) -> Bool {
    guard state == .online else { throw .offline }
    guard hubDictionaryGeneration > 0 else { throw .notFound }
    guard hubDictionaryGeneration > dictionaryGeneration else { return false }
    updateRetryAt = now
    runDictionary(now: now)
    return true
  }

  /// What came of `update.work`. Tells when the update has ended.
  public func finishUpdateWork(_ result: Result<Bool, ErrorCode>, now: Instant) {
    guard update.work != nil else { return }
    update.finish(result)
    updateMoved(now: now)
  }

  /// Writes the learnt words into a buffer and lends it.
  public func withLearntWords<E: Error>(_ body: (RawSpan) throws(E) -> Void) throws(E) {
    scratch.clear()
    words.encode(to: &scratch)
    try Self.lend(scratch, body)
  }

  private static func lend<E: Error>(
    _ queue: borrowing ByteQueue, _ body: (RawSpan) throws(E) -> Void
  ) throws(E) { try body(queue.bytes) }

  /// What an earlier run has learnt.
  public func takeLearntWords(_ file: RawSpan) throws(ErrorCode) { try words.decode(file) }

  // MARK: -

  /// When `runDictionary` has something to do.
  var dictionaryDeadline: Instant {
    guard state == .online, hubDictionaryGeneration > 0 else { return .never }
    var due = words.deadline
    if update.isIdle {
      if hubDictionaryGeneration > dictionaryGeneration { due = min(due, updateRetryAt) }
    } else if update.request != nil {
      due = min(due, nextPieceAt)
    }
    return due
  }

  /// Sends what is due.
  func runDictionary(now: Instant) {
    guard state == .online, hubDictionaryGeneration > 0 else { return }
    if update.isIdle, hubDictionaryGeneration > dictionaryGeneration, now >= updateRetryAt {
      update.start()
      nextPieceAt = now
      updateRetryAt = now + Limits.updateRetryMs
    }
    if let request = update.request, now >= nextPieceAt {
      scratch.clear()
      request.append(to: &scratch)
      sendInBackground(.dictionaryRequest, now: now)
      nextPieceAt = now + Limits.pieceTimeoutMs
      pieceAskedAt = now
    }
    guard words.deadline <= now else { return }
    guard session.output.space >= Limits.linkOutputBytes / 2 else { return words.postpone(now: now) }
    scratch.clear()
    if words.appendQuestion(to: &scratch, now: now) { sendInBackground(.wordQuery, now: now) }
  }

  /// What finds no room is asked for again when its answer does not come.
  private func sendInBackground(_ kind: FrameKind, now: Instant) {
    guard session.output.space >= Limits.linkOutputBytes / 2 else { return }
    do throws(ErrorCode) {
      try sendScratch(FrameHeader(kind: kind, source: nodeId), now: now)
    } catch {
      linkFailed(error, now: now)  // a key past its age
    }
  }

  func takeWordAnswer(now: Instant) throws(ErrorCode) {
    guard let hub = hubKey else { return }
    try session.withBody { body throws(ErrorCode) in try words.take(body, from: hub, now: now) }
    runDictionary(now: now)
  }

  func takeDictionaryPiece(now: Instant) throws(ErrorCode) {
    guard let hub = hubKey else { return }
    let present = dictionaryGeneration
    let isTaken = try session.withBody { body throws(ErrorCode) in
      try update.arrived(body, key: hub, present: present)
    }
    guard isTaken else { return counters.ignored += 1 }
    nextPieceAt = max(now, pieceAskedAt + Limits.pieceIntervalMs)
    updateMoved(now: now)
  }

  private func updateMoved(now: Instant) {
    if update.isIdle {
      updateRetryAt = now + Limits.updateRetryMs
      tell(.dictionary(update.outcome))
    }
    runDictionary(now: now)
  }

  func dictionaryLinkEnded() {
    words.linkEnded()
    update.stop()
    updateRetryAt = Instant(ms: 0)
  }
}
