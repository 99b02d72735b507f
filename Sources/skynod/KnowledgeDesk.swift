import Bounded
import Knowledge
import KnowledgeFile
import Node
import Platform
import Wire

/// The verbs `ask`, `learn`, `forget` and `knowledge`: joins the store, the questions that wait, and the
/// model's worker.
///
/// Made only when the configuration keeps knowledge. Makes its buffers once.
final class KnowledgeDesk {
  private let store: KnowledgeStore
  private let desk = AskDesk()
  private let model: ModelLink
  private var text = TextBuffer(capacity: Limits.questionBytes + Limits.answerBytes)
  private var answer = TextBuffer(capacity: Limits.answerBytes)
  private var failedWrite: UInt64 = 0

  init(
    directory: PathText, bytes: UInt64, model: ModelLink, loop: EventLoop
  ) throws(ErrorCode) {
    store = try KnowledgeStore(directory: directory, bytes: bytes, loop: loop)
    self.model = model
  }

  // MARK: Loop

  var deadline: Instant {
    switch desk.work {
    case .nothing: desk.state == .answering ? model.deadline : .never
    case .search, .ask, .hangUp: Instant(ms: 0)
    }
  }

  /// A question is at the worker, or is to be next: nobody else may have it.
  var needsModel: Bool { desk.state == .asking || desk.state == .answering }

  /// Once a turn. `isHeld` says whether a client still waits for a ticket.
  func pump(now: Instant, nowS: UInt32, isHeld: (HeldReply) -> Bool) {
    let before = store.lastWrite
    store.pump()
    if store.lastWrite != before, store.hasLastWriteFailed { failedWrite = store.lastWrite }
    var index = desk.count - 1
    while index >= 0 {
      let ticket = desk.ticket(index)
      if !isHeld(HeldReply(.ask, ticket)) { desk.finish(ticket) }
      index -= 1
    }
    switch desk.work {
    case .nothing: break
    case .search: search(nowS: nowS)
    case .ask: askModel(now: now, nowS: nowS)
    case .hangUp:
      model.hangUp()
      desk.dropped()
    }
    guard desk.state == .answering else { return }
    take(
      model.step(now: now) { piece in
        answer.removeAll()
        if ControlText.read(piece, into: &answer) { Self.lend(answer) { desk.take($0) } }
      })
  }

  private func take(_ step: ModelDialogue.Step) {
    switch step {
    case .ended: desk.ended(isGrounded: model.isGrounded)
    case .failed(let code): desk.failed(code)
    case .nothing, .ask, .probe, .piece, .vector: break
    }
  }

  /// Some pages a turn, so that everybody else has theirs.
  private func search(nowS: UInt32) {
    for _ in 0..<Limits.knowledgePagesPerTurn where desk.search.nextPage < store.layout.pages {
      store.withPage(desk.search.nextPage) { desk.search.take($0, nowS: nowS) }
    }
    if desk.search.nextPage >= store.layout.pages { desk.searched() }
  }

  private func askModel(now: Instant, nowS: UInt32) {
    desk.began()
    let step = model.begin(for: .ask, now: now) { line in
      line.append("generate tokens=")
      line.append(UInt64(Limits.modelTokens))
      line.append(" temperature=0 ")
      if desk.search.count > 0 {
        line.append("reference=")
        reference(to: &line, nowS: nowS)
        line.append(" ")
      }
      desk.withQuestion(0) { ControlText.writeQuoted($0, to: &line) }
      line.append("\n")
    }
    take(step)
  }

  private static func lend(_ text: borrowing TextBuffer, _ body: (RawSpan) -> Void) { body(text.bytes) }

  // MARK: Requests

  func handle(_ request: borrowing ControlRequest, now: Instant, nowS: UInt32, reply: inout ControlReply) {
    do throws(ErrorCode) {
      switch request.verb {
      case .ask: try ask(request, now, nowS, &reply)
      case .learn: try learn(request, nowS, &reply)
      case .forget:
        try read(request.argument(0), Limits.questionBytes)
        reply.hold(HeldReply(.forget, try forget(text, nowS)))
      case .knowledge: try knowledge(request, nowS, &reply)
      default: throw .unknownCommand
      }
    } catch {
      if reply.failure == nil { reply.error(error) }
    }
  }

  /// The argument without its quotes, in `text`.
  private func read(_ argument: RawSpan, _ most: Int) throws(ErrorCode) {
    text.removeAll()
    guard ControlText.read(argument, into: &text), !text.isEmpty, Self.isClean(text) else { throw .badArgument }
    guard text.count <= most, !text.isTruncated else { throw .tooLong }
  }

  private static func isClean(_ text: borrowing TextBuffer) -> Bool { ControlText.isClean(text.bytes) }

  private func forget(_ text: borrowing TextBuffer, _ nowS: UInt32) throws(ErrorCode) -> UInt64 {
    try store.forget(text.bytes, nowS: nowS)
  }

  /// `learn plain|pin SECONDS "QUESTION" ANSWER`
  private func learn(
    _ request: borrowing ControlRequest, _ nowS: UInt32, _ reply: inout ControlReply
  ) throws(ErrorCode) {
    let isPinned = request.argument(0, is: "pin")
    guard isPinned || request.argument(0, is: "plain"), let seconds = request.number(1),
      let ttlS = UInt32(exactly: seconds)
    else { throw .badArgument }
    if ttlS > 0, nowS == 0 {
      return reply.error(
        .badArgument, sentence: "this node does not know the time yet; learn it without a time to live")
    }
    let rest = request.argument(2)
    let split = ControlText.valueLength(rest)
    try read(rest.extracting(0..<split), Limits.questionBytes)
    var start = split
    while start < rest.byteCount, rest[start] == 0x20 { start += 1 }
    answer.removeAll()
    guard ControlText.read(rest.extracting(start..<rest.byteCount), into: &answer), !answer.isEmpty,
      Self.isClean(answer)
    else { throw .badArgument }
    guard !answer.isTruncated else { throw .tooLong }
    let number = try learn(text, answer, isPinned, ttlS, nowS)
    reply.hold(HeldReply(.learn, number))
  }

  private func learn(
    _ question: borrowing TextBuffer, _ answer: borrowing TextBuffer, _ isPinned: Bool, _ ttlS: UInt32, _ nowS: UInt32
  ) throws(ErrorCode) -> UInt64 {
    try store.learn(question.bytes, answer.bytes, pinned: isPinned, ttlS: ttlS, level: 0, nowS: nowS)
  }

  /// A held reply whose time may have come.
  func finish(_ held: HeldReply, now: Instant, nowS: UInt32, reply: inout ControlReply) -> Bool {
    if held.verb == .ask { return finishAsk(held.value, now, nowS, &reply) }
    guard store.lastWrite >= held.value else { return false }
    if failedWrite == held.value {
      reply.error(.ioFailed, sentence: "the medium did not take it: nothing was changed; see the journal")
    } else if held.verb == .learn {
      reply.field("result", store.change.replaced ? "replaced" : "learnt")
      reply.field("evicted", store.change.evicted)
    } else {
      reply.field("result", "forgotten")
    }
    return true
  }

  // MARK: Asking

  /// `ask grounded|free|explain TEXT`
  private func ask(
    _ request: borrowing ControlRequest, _ now: Instant, _ nowS: UInt32, _ reply: inout ControlReply
  ) throws(ErrorCode) {
    var options = AskDesk.Options()
    options.isFree = request.argument(0, is: "free")
    options.explains = request.argument(0, is: "explain")
    guard options.isFree || options.explains || request.argument(0, is: "grounded") else { throw .badArgument }
    try read(request.argument(1), Limits.questionBytes)
    if known(text, now, nowS, &reply) { return }
    reply.hold(HeldReply(.ask, try add(text, options, now)))
  }

  private func add(
    _ text: borrowing TextBuffer, _ options: AskDesk.Options, _ now: Instant
  ) throws(ErrorCode) -> UInt64 {
    try desk.add(text.bytes, options, now: now)
  }

  /// Answers from the store, if it can.
  private func known(
    _ question: borrowing TextBuffer, _ now: Instant, _ nowS: UInt32, _ reply: inout ControlReply
  ) -> Bool {
    store.find(question.bytes, nowS: nowS) { entry, match in
      reply.field("answer", entry.answer)
      reply.field("level", "L0")
      reply.field("match", match.token)
      reply.field("brand", entry.facts.level == 0 ? "taught" : "kept")
      reply.field("latency_ms", Clock.now.since(now))
      reply.field("cost", 0)
      reply.field("grounded", true)
      if entry.facts.learntAt == 0 || nowS < entry.facts.learntAt {
        reply.fieldUnknown("age_s")
      } else {
        reply.field("age_s", UInt64(nowS - entry.facts.learntAt))
      }
      reply.field("sources", 1)
      reply.beginRows()
      reply.beginRow()
      reply.field("source", entry.question)
      reply.endRow()
      reply.endRows()
      return true
    } ?? false
  }

  private func finishAsk(_ ticket: UInt64, _ now: Instant, _ nowS: UInt32, _ reply: inout ControlReply) -> Bool {
    guard let index = desk.index(of: ticket) else {
      reply.error(.internalError)
      return true
    }
    guard index == 0 else { return false }
    switch desk.state {
    case .answered:
      if !reply.isJson { desk.tellMore { reply.field("piece", $0) } }
      desk.withAnswer { reply.field("answer", $0) }
      head("L2", desk.askedAt(0), now, &reply)
    case .failed where desk.options(0).explains:
      reply.fieldUnknown("answer")
      head("", desk.askedAt(0), now, &reply)
    case .failed(let code): reply.error(code)
    case .waiting, .searching, .asking: return false
    case .answering:
      // A client that reads JSON gets one line, at the end.
      if !reply.isJson { desk.tellMore { reply.field("piece", $0) } }
      return false
    }
    if reply.failure == nil { neighbours(nowS, &reply) }
    desk.finish(ticket)
    return true
  }

  private func head(_ level: StaticString, _ askedAt: Instant, _ now: Instant, _ reply: inout ControlReply) {
    reply.field("level", level)
    reply.field("brand", level.utf8CodeUnitCount > 0 ? "skynod-infer" : "")
    reply.field("latency_ms", now.since(askedAt))
    reply.field("cost", 0)
    reply.field("grounded", desk.isGrounded)
    reply.field("sources", desk.search.count)
  }

  /// The nearest entries: what the model had before it, or why none of them is the answer.
  private func neighbours(_ nowS: UInt32, _ reply: inout ControlReply) {
    reply.beginRows()
    for i in 0..<desk.search.count {
      withNeighbour(desk.search[i], nowS: nowS) { entry in
        reply.beginRow()
        reply.field("source", entry.question)
        reply.field("shared_words", desk.search[i].shared)
        if desk.options(0).explains {
          reply.field("why_not", scratch: &answer) { out in
            desk.withQuestion(0) { store.describeDifference(of: $0, from: entry, to: &out) }
          }
        }
        reply.endRow()
      }
    }
    reply.endRows()
  }

  /// What the neighbours say, as one quoted value.
  private func reference(to line: inout TextBuffer, nowS: UInt32) {
    line.append("\"")
    for i in 0..<desk.search.count {
      withNeighbour(desk.search[i], nowS: nowS) { entry in
        if i > 0 { line.append("\\n") }
        ControlText.writeQuotedPart(entry.question, to: &line)
        line.append(" ")
        ControlText.writeQuotedPart(entry.answer, to: &line)
      }
    }
    line.append("\"")
  }

  /// An entry may have moved or gone since it was found.
  private func withNeighbour(
    _ neighbour: NeighbourSearch.Neighbour, nowS: UInt32, _ body: (borrowing KnowledgeEntry) -> Void
  ) {
    store.withPage(neighbour.page) { page in
      if let entry = page.entry(neighbour.index), entry.facts.hash == neighbour.hash { body(entry) }
    }
  }

  // MARK: The whole store

  /// `knowledge status`, `knowledge after N`
  private func knowledge(
    _ request: borrowing ControlRequest, _ nowS: UInt32, _ reply: inout ControlReply
  ) throws(ErrorCode) {
    if request.argument(0, is: "after"), let number = request.number(1) { return list(after: number, nowS, &reply) }
    guard request.argument(0, is: "status"), request.argumentCount == 1 else { throw .badArgument }
    reply.field("entries", UInt64(store.entries))
    reply.field("size_bytes", store.layout.fileBytes)
    reply.field("pages", store.layout.pages)
    reply.field("hits", store.counters.hits)
    reply.field("misses", store.counters.misses)
    reply.field("evicted", store.counters.evicted)
    reply.field("damaged", store.counters.damaged)
    reply.field("failed_reads", store.failedReads)
    reply.field("questions_waiting", desk.count)
  }

  /// As many entries as fit one reply, numbered by their place: page and entry. A page that changes between two
  /// requests may show an entry twice or not at all.
  private func list(after number: UInt64, _ nowS: UInt32, _ reply: inout ControlReply) {
    let perPage = UInt64(Limits.knowledgePageEntries)
    var page = Int(min(number / perPage, UInt64(store.layout.pages)))
    var index = Int(number % perPage)
    var isFull = false
    var looked = 0
    reply.beginRows()
    while page < store.layout.pages, !isFull, looked < Limits.knowledgePagesPerTurn {
      store.withPage(page) { view in
        while index < view.entryCount, !isFull {
          if let entry = view.entry(index), entry.facts.isFresh(at: nowS) {
            reply.beginRow()
            row(entry, &reply)
            isFull = !reply.endRow()
          }
          if !isFull { index += 1 }
        }
      }
      if !isFull {
        page += 1
        index = 0
        looked += 1
      }
    }
    reply.endRows()
    reply.field("next", page < store.layout.pages ? UInt64(page) * perPage + UInt64(index) : 0)
  }

  private func row(_ entry: borrowing KnowledgeEntry, _ reply: inout ControlReply) {
    reply.field("question", entry.question)
    reply.field("answer", entry.answer)
    reply.field("pinned", entry.facts.isPinned)
    reply.field("level", UInt64(entry.facts.level))
    reply.field("learnt", UInt64(entry.facts.learntAt))
    reply.field("expires", UInt64(entry.facts.expiresAt))
  }
}
