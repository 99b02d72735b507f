import Bounded
import Knowledge
import KnowledgeFile
import Node
import Platform
import Wire

/// The verb `ask`: the store first, then the hub when it may be asked, then the model.
extension KnowledgeDesk {
  /// `ask grounded|free|explain[,local|,upstream] TEXT`
  func ask(
    _ request: borrowing ControlRequest, _ node: Node, _ now: Instant, _ nowS: UInt32, _ reply: inout ControlReply
  ) throws(ErrorCode) {
    let options = try Self.options(request.argument(0), asksHub: node.settings.asksHub)
    try read(request.argument(1), Limits.questionBytes)
    if options.onlyAsksHub, let failure = node.whyNotAskable {
      return reply.error(
        failure,
        sentence: failure == .forbidden
          ? "questions do not leave this board; its owner can set upstream = hub in skynod.conf(5)" : failure.sentence)
    }
    if !options.onlyAsksHub, known(text, now, nowS, &reply) { return }
    reply.hold(HeldReply(.ask, try add(text, options, now)))
  }

  private static func options(_ words: RawSpan, asksHub: Bool) throws(ErrorCode) -> AskDesk.Options {
    var options = AskDesk.Options()
    var end = 0
    while end < words.byteCount, words[end] != 0x2C { end += 1 }
    let how = words.extracting(0..<end)
    let whereTo = words.extracting(end..<words.byteCount)
    options.isFree = how.elementsEqual("free")
    options.explains = how.elementsEqual("explain")
    options.onlyAsksHub = whereTo.elementsEqual(",upstream")
    guard options.isFree || options.explains || how.elementsEqual("grounded"),
      options.onlyAsksHub && !options.explains || whereTo.byteCount == 0 || whereTo.elementsEqual(",local")
    else { throw .badArgument }
    options.mayAskHub = asksHub && !options.explains && !whereTo.elementsEqual(",local")
    return options
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
      if entry.facts.level > 0 {
        reply.field("kept_level", Self.level(entry.facts.level))
        reply.field("expires_s", UInt64(max(nowS, entry.facts.expiresAt) - nowS))
      }
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

  func finishAsk(
    _ ticket: UInt64, _ node: Node, _ now: Instant, _ nowS: UInt32, _ reply: inout ControlReply
  ) -> Bool {
    guard let index = desk.index(of: ticket) else {
      reply.error(.internalError)
      return true
    }
    guard index == 0 else { return false }
    switch desk.state {
    case .answered where desk.isFromHub:
      tellHubAnswer(node, now, &reply)
      desk.finish(ticket)
      return true
    case .answered:
      if !reply.isJson { desk.tellMore { reply.field("piece", $0) } }
      desk.withAnswer { reply.field("answer", $0) }
      head("L2", desk.askedAt(0), now, &reply)
    case .failed where desk.options(0).explains:
      reply.fieldUnknown("answer")
      head("", desk.askedAt(0), now, &reply)
    case .failed(.noAnswer): tellNoAnswer(node, &reply)
    case .failed(let code): reply.error(code)
    case .waiting, .hubNext, .hubAsked, .searching, .asking: return false
    case .answering:
      // A client that reads JSON gets one line, at the end.
      if !reply.isJson { desk.tellMore { reply.field("piece", $0) } }
      return false
    }
    if reply.failure == nil { neighbours(nowS, &reply) }
    desk.finish(ticket)
    return true
  }

  // MARK: The hub

  func askHub(_ node: Node, now: Instant) {
    do throws(ErrorCode) {
      try desk.withQuestion(0) { (text: RawSpan) throws(ErrorCode) in try node.ask(text, now: now) }
      desk.askedHub()
    } catch { desk.hubFailed(error) }
  }

  /// What came of the question that is at the hub. An answer waits until it can be kept.
  func takeFromHub(_ node: Node, nowS: UInt32) {
    guard desk.state == .hubAsked else {
      // Its asker has gone, or has been told.
      if node.question.state == .asked || desk.count == 0 { node.question.forget() }
      return
    }
    switch node.question.state {
    case .asked: break
    case .idle: desk.hubFailed(.offline)
    case .failed(let code): desk.hubFailed(code)
    case .answered:
      guard !store.isWriting else { return }
      keepAnswer(node, nowS: nowS)
      desk.hubAnswered()
    }
  }

  /// Without a clock nothing that expires can be kept; and what was taught is not displaced.
  private func keepAnswer(_ node: Node, nowS: UInt32) {
    guard keepS > 0, nowS > 0 else { return }
    _ = node.question.withAnswer { answer in
      desk.withQuestion(0) { question in
        do throws(ErrorCode) {
          _ = try store.learn(
            question, answer.text(), pinned: false, ttlS: keepS, level: answer.head.level, nowS: nowS)
        } catch {}
      }
    }
  }

  private func tellHubAnswer(_ node: Node, _ now: Instant, _ reply: inout ControlReply) {
    let isTold: Void? = node.question.withAnswer { answer in
      reply.field("answer", answer.text())
      reply.field("level", Self.level(answer.head.level))
      reply.field("brand", answer.brand())
      reply.field("latency_ms", now.since(desk.askedAt(0)))
      reply.fieldScaled("cost", Int64(answer.head.cost), places: 6)
      reply.field("grounded", answer.head.isGrounded)
      reply.field("id", UInt64(answer.head.id))
      reply.field("sources", answer.sourceCount)
      reply.beginRows()
      for i in 0..<answer.sourceCount {
        reply.beginRow()
        reply.field("source", answer.source(i))
        reply.endRow()
      }
      reply.endRows()
    }
    if isTold == nil { reply.error(.internalError) }
  }

  /// Says whether the hub was asked, and what it knows that is near.
  private func tellNoAnswer(_ node: Node, _ reply: inout ControlReply) {
    switch desk.hubFailure {
    case nil: reply.error(.noAnswer)
    case .noAnswer:
      let isNamed: Bool? = node.question.withAnswer { answer in
        guard answer.sourceCount > 0 else { return false }
        reply.error(
          .noAnswer, sentence: "neither this node nor its hub has an answer; the nearest that the hub knows is",
          nearest: answer.source(0))
        return true
      }
      if isNamed != true { reply.error(.noAnswer, sentence: "neither this node nor its hub has an answer to this") }
    case .offline:
      reply.error(.noAnswer, sentence: "nothing that this node was taught answers this, and there is no link to a hub")
    case .quotaUsed:
      reply.error(
        .noAnswer, sentence: "nothing that this node was taught answers this, and it may not ask its hub more for now")
    case .some:
      reply.error(.noAnswer, sentence: "nothing that this node was taught answers this, and asking the hub failed")
    }
  }

  private static func level(_ level: UInt8) -> StaticString {
    switch level {
    case 1: "L1"
    case 3: "L3"
    case 4: "L4"
    case 5: "L5"
    default: "L2"
    }
  }

  // MARK: The board's own answers

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
  func reference(to line: inout TextBuffer, nowS: UInt32) {
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
}
