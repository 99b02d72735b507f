import Bounded
import Wire

/// One question to the model's worker (docs/inference.md), as a state machine: lines and the time come in, what is to be
/// done comes out. No socket.
///
/// Two connections: the question goes over the first; on the second the worker is asked now and then whether it lives,
/// for a model may think for long before its first word, and a worker that was stopped keeps its sockets open.
///
/// The worker answers between two steps of its computing, so how long it may be silent follows from how long a step takes
/// here. The first answer ends at the end of a step, the second measures a whole one; so do two pieces of text, for a piece
/// takes many steps. Until then nobody knows, and it has `Limits.modelSilenceMostMs`. It has that in any case while it computes:
/// where others come first a step takes longer than it did. So only the time counts in which it used no processor, and in
/// which the daemon looked: it may have stood still itself.
///
/// Order of calls: `begin`, then `take` for each line of either connection and `tick` at `deadline`, until one of them
/// gives `.ended` or `.failed`.
public struct ModelDialogue {
  public enum Step: Equatable, Sendable {
    case nothing
    /// Write the question to the first connection.
    case ask
    /// Write `probe` to the second.
    case probe
    /// The line holds a piece of the answer.
    case piece
    /// The line holds the vector that was asked for.
    case vector
    case ended
    case failed(ErrorCode)
  }

  private enum Phase { case idle, greeting, answering }

  public static let probe: StaticString = "info\n"

  private var phase = Phase.idle
  private var begunAt = Instant(ms: 0)
  private var greetingMs = Limits.modelGreetingMs
  private var isProbeGreeted = false
  private var probedAt = Instant(ms: 0)
  private var isProbeOpen = false
  private var probeAnswers = 0
  /// The worker's, where it is known.
  private var process: Int32 = 0
  /// Its processor time when it was last looked at, when that was, and how long it had used none by then.
  private var used: UInt64 = 0
  private var lookedAt = Instant(ms: 0)
  private var quietMs: UInt64 = 0
  private var pieceAt: Instant?
  private var isPaceKnown = false
  /// To a probe, or from one piece to the next.
  private var longestAnswerMs: UInt64 = 0
  /// As the worker says: there was something to answer from.
  public private(set) var isGrounded = false
  /// Of the text and of the answer, as the worker counts them.
  public private(set) var tokens: UInt64 = 0
  private var wantsVector = false
  /// Hung up in the middle of an answer.
  private var isLeft = false

  public init() {}

  /// The worker has greeted: the question may go out.
  public var isAsked: Bool { phase == .answering }

  /// Both connections are there. Without a `process` the service manager may still have to start the worker.
  public mutating func begin(process: Int32?, wantsVector: Bool = false, now: Instant) {
    // It may still be at a step for the one who asked before; how long that takes nobody knows if he left early.
    let step = isPaceKnown || isLeft ? silenceMs : 0
    self = ModelDialogue()
    phase = .greeting
    self.wantsVector = wantsVector
    self.process = process ?? 0
    begunAt = now
    lookedAt = now
    greetingMs = max(process == nil ? Limits.modelStartMs : Limits.modelGreetingMs, step)
  }

  /// How long it may be silent.
  private var silenceMs: UInt64 {
    guard isPaceKnown else { return Limits.modelSilenceMostMs }
    return min(max(Limits.modelSilenceMs, Limits.modelSilenceSteps * longestAnswerMs), Limits.modelSilenceMostMs)
  }

  private var probePauseMs: UInt64 { isPaceKnown ? Limits.modelProbeMs : Limits.modelProbeFirstMs }

  /// Ends it; what is known of the worker's pace stays for the next.
  public mutating func hangUp() {
    if phase == .answering { isLeft = true }
    phase = .idle
  }

  /// Something is awaited of it: a greeting, or the answer to a probe.
  private var isAwaited: Bool { phase == .greeting || !isProbeGreeted || isProbeOpen }
  private var patienceMs: UInt64 { isProbeOpen ? silenceMs : greetingMs }

  public var deadline: Instant {
    if phase == .idle { return .never }
    let next =
      isAwaited
      ? lookedAt + min(Limits.modelProbeMs, patienceMs - min(patienceMs, quietMs)) : probedAt + probePauseMs
    return phase == .answering ? min(next, begunAt + Limits.modelAnswerMs) : next
  }

  /// `processorTimeOf` gives the processor time that a process has used, 0 where that is not known.
  public mutating func tick(now: Instant, processorTimeOf: (Int32) -> UInt64) -> Step {
    guard phase != .idle, now >= deadline else { return .nothing }
    if phase == .answering, now >= begunAt + Limits.modelAnswerMs { return fail(.timeout) }
    let time = process > 0 ? processorTimeOf(process) : 0
    let watched = min(now.since(lookedAt), 2 * Limits.modelProbeMs)
    lookedAt = now
    guard isAwaited else {
      (isProbeOpen, probedAt, used, quietMs) = (true, now, time, 0)
      return .probe
    }
    quietMs = time == used ? quietMs + watched : 0
    used = time
    let isOver = now >= (isProbeOpen ? probedAt : begunAt) + max(patienceMs, Limits.modelSilenceMostMs)
    return isOver || quietMs >= patienceMs ? fail(.modelHung) : .nothing
  }

  /// A line without its line feed.
  public mutating func take(_ line: RawSpan, fromProbe: Bool, now: Instant) -> Step {
    guard phase != .idle else { return .nothing }
    if Self.starts(line, "ERR ") { return fail(Self.failure(line)) }
    if fromProbe {
      if !isProbeGreeted {
        guard Self.starts(line, "SKYINFER 1 ") else { return fail(.modelFailed) }
        isProbeGreeted = true
        probedAt = now
      } else if Self.starts(line, "pid="), process == 0 {
        process = Int32(truncatingIfNeeded: min(1 << 30, parseDecimal(line.extracting(4..<line.byteCount)) ?? 0))
      } else if line.elementsEqual("OK"), isProbeOpen {
        isProbeOpen = false
        longestAnswerMs = max(longestAnswerMs, now.since(probedAt))
        probeAnswers = min(probeAnswers + 1, 2)
        if probeAnswers == 2 { isPaceKnown = true }
        probedAt = now
      }
      return .nothing
    }
    if phase == .greeting {
      guard Self.starts(line, "SKYINFER 1 ") else { return fail(.modelFailed) }
      phase = .answering
      return .ask
    }
    if wantsVector, Self.starts(line, "vector=") { return .vector }
    if !wantsVector, Self.starts(line, "piece=") {
      if let pieceAt {
        longestAnswerMs = max(longestAnswerMs, now.since(pieceAt))
        isPaceKnown = true
      }
      pieceAt = now
      return .piece
    }
    count(line, "tokens=")
    count(line, "prompt_tokens=")
    if line.elementsEqual("grounded=true") { isGrounded = true }
    guard line.elementsEqual("OK") else { return .nothing }
    phase = .idle
    return .ended
  }

  /// A connection ended or failed: the worker has gone, was killed, or took more memory than it may.
  public mutating func lost() -> Step { phase == .idle ? .nothing : fail(.modelFailed) }

  private mutating func fail(_ code: ErrorCode) -> Step {
    phase = .idle
    return .failed(code)
  }

  private mutating func count(_ line: RawSpan, _ name: StaticString) {
    guard Self.starts(line, name) else { return }
    // The worker is another program: what it says is bounded, not believed.
    tokens = min(
      1 << 20, tokens + min(1 << 20, parseDecimal(line.extracting(name.utf8CodeUnitCount..<line.byteCount)) ?? 0))
  }

  /// Of `ERR <number> ...`: 17 is said by a worker that answers somebody else; from 200 on it is the model's.
  private static func failure(_ line: RawSpan) -> ErrorCode {
    var end = 4
    while end < line.byteCount, line[end] != 0x20 { end += 1 }
    switch parseDecimal(line.extracting(4..<end)) ?? 0 {
    case 17: return .busy
    case 200..<256: return .modelRefused
    default: return .modelFailed
    }
  }

  private static func starts(_ line: RawSpan, _ text: StaticString) -> Bool {
    line.byteCount >= text.utf8CodeUnitCount
      && line.extracting(0..<text.utf8CodeUnitCount).elementsEqual(text)
  }
}
