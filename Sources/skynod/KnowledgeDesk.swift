import Bounded
import Knowledge
import KnowledgeFile
import Node
import Platform
import Wire

/// The verbs `ask`, `vote`, `learn`, `forget` and `knowledge`: joins the store, the questions that wait, the hub and the
/// model's worker.
///
/// Made only when the configuration keeps knowledge. Makes its buffers once.
final class KnowledgeDesk {
  let store: KnowledgeStore
  let desk = AskDesk()
  private let model: ModelLink
  var text = TextBuffer(capacity: Limits.questionBytes + Limits.answerBytes)
  var answer = TextBuffer(capacity: Limits.answerBytes)
  private var failedWrite: UInt64 = 0
  /// How long an answer of the hub is kept, seconds; 0: not at all.
  var keepS: UInt32

  init(
    directory: PathText, bytes: UInt64, keepS: UInt32, model: ModelLink, loop: EventLoop
  ) throws(ErrorCode) {
    self.keepS = keepS
    store = try KnowledgeStore(directory: directory, bytes: bytes, loop: loop)
    self.model = model
  }

  // MARK: Loop

  var deadline: Instant {
    switch desk.work {
    case .nothing: desk.state == .answering ? model.deadline : .never
    case .askHub, .search, .ask, .hangUp: Instant(ms: 0)
    }
  }

  /// A question is at the worker, or is to be next: nobody else may have it.
  var needsModel: Bool { desk.state == .asking || desk.state == .answering }

  /// Once a turn. `isHeld` says whether a client still waits for a ticket.
  func pump(_ node: Node, now: Instant, nowS: UInt32, isHeld: (HeldReply) -> Bool) {
    let before = store.lastWrite
    store.pump()
    if store.lastWrite != before, store.hasLastWriteFailed { failedWrite = store.lastWrite }
    var index = desk.count - 1
    while index >= 0 {
      let ticket = desk.ticket(index)
      if !isHeld(HeldReply(.ask, ticket)) { desk.finish(ticket) }
      index -= 1
    }
    takeFromHub(node, nowS: nowS)
    switch desk.work {
    case .nothing: break
    case .askHub: askHub(node, now: now)
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

  static func lend(_ text: borrowing TextBuffer, _ body: (RawSpan) -> Void) { body(text.bytes) }

  // MARK: Requests

  func handle(
    _ request: borrowing ControlRequest, _ node: Node, now: Instant, nowS: UInt32, reply: inout ControlReply
  ) {
    do throws(ErrorCode) {
      switch request.verb {
      case .ask: try ask(request, node, now, nowS, &reply)
      case .vote:
        guard let id = request.number(0), let id = UInt32(exactly: id), id > 0,
          request.argument(1, is: "good") || request.argument(1, is: "bad")
        else { throw .badArgument }
        try node.vote(Vote(id: id, isGood: request.argument(1, is: "good")), now: now)
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
  func read(_ argument: RawSpan, _ most: Int) throws(ErrorCode) {
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
  func finish(_ held: HeldReply, _ node: Node, now: Instant, nowS: UInt32, reply: inout ControlReply) -> Bool {
    if held.verb == .ask { return finishAsk(held.value, node, now, nowS, &reply) }
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
