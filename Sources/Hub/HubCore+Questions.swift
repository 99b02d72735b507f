import Bounded
import Foundation
import Node
import SkyCrypto
import Wire

/// What the hub says to a question.
public struct HubAnswer: Codable, Equatable, Sendable {
  /// Empty when there is none.
  public var text = ""
  public var level: UInt8 = 0
  public var brand = ""
  public var isGrounded = false
  /// Millionths.
  public var cost: UInt64 = 0
  public var elapsedMs: UInt64 = 0
  public var sources: [String] = []
  /// Token of the error without an answer.
  public var failure: String?
}

/// Questions that are at the upstream, and what is counted of all.
struct HubQuestions {
  /// Who asked: a node, or by a sequence of the hub's own whoever runs it.
  struct Asker {
    var node: UInt32 = 0
    var question: UInt32 = 0
    var digest = Bytes32(repeating: 0)
    var sequence: UInt64 = 0
    var at = Instant(ms: 0)
  }

  struct Pending {
    var asker: Asker
    var sources: [String]
    /// Set aside of the day's money.
    var reserved: UInt64
  }

  var pending: [UInt64: Pending] = [:]
  var requests: [UpstreamRequest] = []
  /// Answers that found no room in a node's link.
  var unsent: [(node: UInt32, body: Data, until: Instant)] = []
  var own: [(UInt64, HubAnswer)] = []
  /// Questions of each node in the hour that began then.
  var asked: [UInt32: Int] = [:]
  var hour: Int64 = 0
  /// Millionths, of the day that began then.
  var spent: UInt64 = 0
  var day: Int64 = 0
  var unsaved: [RequestRecord] = []
  var votes: [(node: UInt32, vote: Vote)] = []
  var due = Instant.never

  var reserved: UInt64 { pending.values.reduce(0) { $0 + $1.reserved } }
}

/// Answers questions of nodes: from the hub's knowledge when that has the same question, else by the upstream with what is
/// near, else not at all.
extension HubCore {
  /// Of one node, at the upstream at once: one that came back may ask while its last question is still there.
  static let questionsPending = 2
  static let votesPending = 256
  static let questionsFlushMs: UInt64 = 1_000
  static let answerWaitMs: UInt64 = 10_000

  static func brand(_ level: UInt8) -> StaticString {
    switch level {
    case 1, 2: "SkyAI Standard"
    case 3: "SkyAI Advanced"
    default: "SkyAI Pro"
    }
  }

  /// What was asked and spent before a restart counts.
  func loadQuestions() throws(HubError) {
    let now = wallSeconds
    try registry.refreshKnowledge(version: "\(Version.text)")
    questions.hour = Registry.hourStart(now)
    questions.day = Registry.dayStart(now)
    questions.asked = try registry.questionsOfHour(now)
    questions.spent = try registry.costOfDay(now)
  }

  // MARK: Frames

  func takeQuestion(_ link: HubLink, _ id: UInt32, now: Instant) {
    fillScratch(link.session.body)
    var asker = HubQuestions.Asker(node: id, at: now)
    let text: String
    do throws(ErrorCode) {
      asker.question = try Question(decoding: scratch.bytes).id
      let bytes = Question.text(of: scratch.bytes)
      asker.digest = Sha256.digest(bytes)
      text = String(decoding: Data(copying: bytes), as: UTF8.self)
    } catch { return close(link, error, now: now) }
    startHourAndDay()
    let count = questions.asked[id, default: 0]
    let waiting = questions.pending.values.count { $0.asker.node == id }
    guard count < configuration.questionsPerHour, waiting < Self.questionsPending else {
      // Not written down: a node must not be able to push what others did out of the table.
      status.questionsRefused += 1
      let body = seal(HubAnswer(), waiting < Self.questionsPending ? .quotaUsed : .busy, for: asker)
      // Without room it is not told: who asks so much may wait in vain.
      _ = put(answer: body, to: id, now: now)
      return
    }
    questions.asked[id] = count + 1
    decide(text, asker, now: now)
  }

  func takeVote(_ link: HubLink, _ id: UInt32, now: Instant) {
    do throws(ErrorCode) {
      let vote = try Vote(decoding: link.session.body)
      guard questions.votes.count < Self.votesPending else { return }
      questions.votes.append((id, vote))
      scheduleQuestions(now: now)
    } catch { close(link, error, now: now) }
  }

  /// A question of whoever runs the hub; the answer comes with this sequence.
  func ask(_ text: String, now: Instant) -> UInt64 {
    startHourAndDay()
    let asker = HubQuestions.Asker(sequence: drawSequence(), at: now)
    decide(text, asker, now: now)
    return asker.sequence
  }

  func takeOwnAnswers() -> [(UInt64, HubAnswer)] {
    guard !questions.own.isEmpty else { return [] }
    defer { questions.own.removeAll() }
    return questions.own
  }

  // MARK: Deciding

  private func startHourAndDay() {
    let now = wallSeconds
    if Registry.hourStart(now) != questions.hour {
      questions.hour = Registry.hourStart(now)
      questions.asked.removeAll()
    }
    if Registry.dayStart(now) != questions.day {
      questions.day = Registry.dayStart(now)
      questions.spent = 0
    }
  }

  private func decide(_ text: String, _ asker: HubQuestions.Asker, now: Instant) {
    status.questionsTaken += 1
    var answer = HubAnswer()
    let near: [KnownAnswer]
    do throws(HubError) {
      if let known = try registry.known(text, now: wallSeconds) {
        answer.text = known.answer
        answer.level = 1
        answer.isGrounded = true
        answer.sources = [known.question]
        return finish(&answer, nil, asker, now: now)
      }
      near = try registry.near(text, now: wallSeconds)
    } catch {
      log.line(.error, error.description)
      return finish(&answer, .internalError, asker, now: now)
    }
    answer.sources = near.map(\.question)
    guard let upstream = configuration.upstream else { return finish(&answer, .noAnswer, asker, now: now) }
    let body = ChatCompletion.body(text, near, upstream)
    let most = upstream.mostCost(requestBytes: body.count)
    guard most == 0 || questions.spent + questions.reserved + most <= upstream.costPerDay else {
      return finish(&answer, .quotaUsed, asker, now: now)
    }
    let number = drawSequence()
    questions.pending[number] = HubQuestions.Pending(asker: asker, sources: answer.sources, reserved: most)
    questions.requests.append(UpstreamRequest(number: number, body: body))
  }

  // MARK: The upstream

  func takeUpstreamRequests() -> [UpstreamRequest] {
    guard !questions.requests.isEmpty else { return [] }
    defer { questions.requests.removeAll() }
    return questions.requests
  }

  func upstreamEnded(_ outcome: UpstreamOutcome, now: Instant) {
    guard let upstream = configuration.upstream, let pending = questions.pending.removeValue(forKey: outcome.number)
    else { return }
    var answer = HubAnswer()
    answer.sources = pending.sources
    // What was sent may be billed, whatever became of it.
    if outcome.wasSent { answer.cost = pending.reserved }
    var failure = outcome.failure
    if let body = outcome.body {
      if let result = ChatCompletion.result(body) {
        if let prompt = result.promptTokens, let completion = result.completionTokens {
          answer.cost = upstream.cost(promptTokens: prompt, completionTokens: completion)
        }
        answer.text = result.text ?? ""
        if result.text == nil { failure = .noAnswer }
      } else {
        failure = .upstreamFailed
        log.line(.warning, "upstream: what it answers is no chat completion")
      }
    }
    if let code = outcome.failure { log.line(.warning, "upstream: \(code.token): \(outcome.why)") }
    if failure == nil {
      answer.level = upstream.level
      answer.isGrounded = !answer.sources.isEmpty
    }
    startHourAndDay()
    finish(&answer, failure, pending.asker, now: now)
  }

  // MARK: Answering

  private func finish(_ answer: inout HubAnswer, _ failure: ErrorCode?, _ asker: HubQuestions.Asker, now: Instant) {
    answer.elapsedMs = now.since(asker.at)
    questions.spent += answer.cost
    questions.unsaved.append(
      RequestRecord(
        at: wallSeconds, node: asker.node, question: asker.question, level: answer.level,
        outcome: failure.map { "\($0.token)" } ?? "ok", cost: answer.cost, elapsedMs: answer.elapsedMs))
    scheduleQuestions(now: now)
    send(&answer, failure, to: asker, now: now)
  }

  private func send(_ answer: inout HubAnswer, _ failure: ErrorCode?, to asker: HubQuestions.Asker, now: Instant) {
    guard asker.node != 0 else {
      answer.failure = failure.map { "\($0.token)" }
      answer.brand = failure == nil ? "\(Self.brand(answer.level))" : ""
      return questions.own.append((asker.sequence, answer))
    }
    let body = seal(answer, failure, for: asker)
    guard let left = put(answer: body, to: asker.node, now: now), left == .full else { return }
    // A node that does not read has no more waiting for it than questions may be under way.
    let waiting = questions.unsent.indices.filter { questions.unsent[$0].node == asker.node }
    if waiting.count >= Self.questionsPending { questions.unsent.remove(at: waiting[0]) }
    questions.unsent.append((asker.node, body, now + Self.answerWaitMs))
    questions.due = min(questions.due, now + Self.outputWaitMs)
    wake(at: questions.due)
  }

  private func seal(_ answer: HubAnswer, _ failure: ErrorCode?, for asker: HubQuestions.Asker) -> Data {
    let head = Answer.Head(
      id: asker.question, failure: failure, level: answer.level, isGrounded: answer.isGrounded,
      cost: min(answer.cost, Limits.costMaximum), elapsedMs: UInt32(clamping: answer.elapsedMs))
    var queue = ByteQueue(capacity: Limits.answerFrameBytes)
    func compose(_ signature: InlineArray<64, UInt8>) {
      queue.clear()
      head.append(
        signature: signature, brand: failure == nil ? Self.brand(answer.level) : "", sources: answer.sources.count,
        to: &queue)
      for source in answer.sources { source.withSpan { Answer.append(source: $0, to: &queue) } }
      answer.text.withSpan { _ = queue.append($0) }
    }
    compose(InlineArray(repeating: 0))
    compose(
      AnswerSeal.sign(
        queue.bytes.extracting(Limits.signatureBytes..<queue.count), node: asker.node, question: asker.digest,
        by: identity))
    return Data(copying: queue.bytes)
  }

  private func put(answer body: Data, to node: UInt32, now: Instant) -> ErrorCode? {
    guard let target = live.link(of: node), let link = link(target) else { return .unreachable }
    body.withUnsafeBytes { fillScratch($0.bytes) }
    return put(FrameHeader(kind: .answer, destination: node), scratch, to: link, now: now)
  }

  // MARK: Time

  private func scheduleQuestions(now: Instant) {
    questions.due = min(questions.due, now + Self.questionsFlushMs)
    wake(at: questions.due)
  }

  /// The hub stops: what is at the upstream may have cost money, which counts after the next start.
  func endQuestions(now: Instant) {
    for pending in questions.pending.values {
      var answer = HubAnswer()
      answer.cost = pending.reserved
      finish(&answer, .draining, pending.asker, now: now)
    }
    questions.pending.removeAll()
    runQuestions(now: now)
  }

  /// Writes down what became of questions, and sends answers that found no room before.
  func runQuestions(now: Instant) {
    questions.due = .never
    questions.unsent = questions.unsent.filter { entry in
      entry.until > now && put(answer: entry.body, to: entry.node, now: now) == .full
    }
    note { () throws(HubError) in
      try self.registry.keepRequests(self.questions.unsaved, votes: self.questions.votes)
      self.questions.unsaved.removeAll()
      self.questions.votes.removeAll()
    }
    // A registry that cannot be written must not make this grow.
    if questions.unsaved.count > Self.votesPending { questions.unsaved.removeFirst(questions.unsaved.count / 2) }
    if !questions.unsent.isEmpty { questions.due = now + Self.outputWaitMs }
    if !questions.unsaved.isEmpty { questions.due = min(questions.due, now + Self.questionsFlushMs) }
    wake(at: questions.due)
  }
}
