import Bounded
import Foundation
import GRDB
import Node
import SkyCrypto
import Testing
import Wire

@testable import Hub
@testable import skyhub

/// Questions in a whole hub but for the upstream's sockets: what is answered with what, limits, and what is counted.
@Suite struct HubQuestionTests {
  private static func configured(_ change: (inout HubConfiguration) -> Void = { _ in }) -> HubConfiguration {
    var configuration = HubConfiguration()
    var upstream = try! UpstreamConfiguration(
      parsing: """
        url = http://127.0.0.1/v1/chat/completions
        model = m
        price_prompt = 1
        price_completion = 2
        cost_per_day = 100
        """)
    upstream.answerTokens = 100
    configuration.upstream = upstream
    configuration.questionsPerHour = 5
    change(&configuration)
    return configuration
  }

  private let swarm: TestSwarm

  init() throws {
    swarm = try TestSwarm(configuration: Self.configured())
    try swarm.core.loadQuestions()
  }

  private func online(_ number: Int, _ swarm: TestSwarm? = nil) throws -> TestNode {
    let swarm = swarm ?? self.swarm
    let node = try swarm.allowedNode(number)
    swarm.connect(node)
    return node
  }

  private func ask(_ node: TestNode, _ text: String, id: UInt32 = 7, _ swarm: TestSwarm? = nil) throws {
    let swarm = swarm ?? self.swarm
    var body = ByteQueue(capacity: 1_024)
    Question(id: id).append(to: &body)
    text.withSpan { _ = body.append($0) }
    try node.session.send(FrameHeader(kind: .question, source: node.id ?? 0), body: body.bytes, now: swarm.now)
    swarm.settle()
  }

  private func vote(_ node: TestNode, _ id: UInt32, _ isGood: Bool) throws {
    var body = ByteQueue(capacity: 16)
    Vote(id: id, isGood: isGood).append(to: &body)
    try node.session.send(FrameHeader(kind: .vote, source: node.id ?? 0), body: body.bytes, now: swarm.now)
    swarm.settle()
    swarm.pass(2_000)
  }

  private func teach(_ pairs: (String, String)...) throws {
    _ = try swarm.registry.learn(pairs.map { KnownAnswer(question: $0.0, answer: $0.1) }, now: swarm.core.wallSeconds)
  }

  private struct Told: Equatable {
    var text = ""
    var level: UInt8 = 0
    var failure: ErrorCode?
    var cost: UInt64 = 0
    var sources: [String] = []
    var brand = ""
  }

  /// The last answer, if the hub's signature on it holds.
  private func told(_ node: TestNode, to question: String, _ swarm: TestSwarm? = nil) throws -> Told {
    let body = try #require(node.answers.last)
    func text(_ span: RawSpan) -> String { span.withUnsafeBytes { String(decoding: $0, as: UTF8.self) } }
    return try body.withUnsafeBytes { bytes in
      let answer = try Answer(decoding: bytes.bytes)
      var hash = Sha256()
      let id = node.id!.bigEndian
      withUnsafeBytes(of: id) { hash.update(RawSpan(_unsafeBytes: $0)) }
      hash.update(question.withSpan { Sha256.digest($0) }.raw)
      hash.update(answer.signed())
      #expect(
        Identity.verify(
          answer.signature, by: self.swarm.hubKey, label: "skynod answer", context: self.swarm.hubKey,
          digest: hash.digest))
      return Told(
        text: text(answer.text()), level: answer.head.level, failure: answer.head.failure, cost: answer.head.cost,
        sources: (0..<answer.sourceCount).map { text(answer.source($0)) }, brand: text(answer.brand()))
    }
  }

  private func upstream(_ text: String = "Upstream.", prompt: UInt64? = 100, completion: UInt64 = 10) -> Data {
    let usage = prompt.map { ",\"usage\":{\"prompt_tokens\":\($0),\"completion_tokens\":\(completion)}" } ?? ""
    return Data("{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"\(text)\"}}]\(usage)}".utf8)
  }

  private func end(_ request: UpstreamRequest, _ body: Data? = nil, _ failure: ErrorCode? = nil, wasSent: Bool = true) {
    swarm.core.upstreamEnded(
      UpstreamOutcome(number: request.number, body: body, failure: failure, why: "", wasSent: wasSent), now: swarm.now)
    swarm.settle()
  }

  private func stats() throws -> RequestStats {
    swarm.pass(2_000)
    return try swarm.registry.requestStats(newest: 50, now: swarm.core.wallSeconds)
  }

  // MARK: L1

  @Test func theSameQuestionIsAnsweredVerbatimAndNoOther() throws {
    let node = try online(1)
    try teach(("When does the pool open?", "At six."), ("When does the pool close?", "At nine."))
    try ask(node, "At what time does the pool open?")
    #expect(
      try told(node, to: "At what time does the pool open?")
        == Told(text: "At six.", level: 1, sources: ["When does the pool open?"], brand: "SkyAI Standard"))
    #expect(swarm.core.takeUpstreamRequests().isEmpty)
    try ask(node, "When does the pool not open?", id: 8)
    #expect(node.answers.count == 1 && swarm.core.takeUpstreamRequests().count == 1, "that one goes on")
  }

  @Test func twoAnswersToWhatMayBeAnsweredAlikeAreNone() throws {
    let node = try online(1)
    try teach(("How do I open it?", "Turn."), ("How can I open it?", "Push."))
    try ask(node, "How to open it?")
    #expect(node.answers.isEmpty)
    try ask(node, "how do i open it", id: 8)
    #expect(try told(node, to: "how do i open it").text == "Turn.", "but one that is literally asked is given")
  }

  @Test func withoutAnUpstreamThereIsNoAnswerAndWhatIsNearIsNamed() throws {
    let swarm = try TestSwarm()
    let node = try online(1, swarm)
    _ = try swarm.registry.learn([KnownAnswer(question: "Where is the red key?", answer: "Here.")], now: 1)
    try ask(node, "Where is the blue key?", swarm)
    let said = try told(node, to: "Where is the blue key?", swarm)
    #expect(said == Told(failure: .noAnswer, sources: ["Where is the red key?"]))
  }

  /// Entries with one signature and different answers: what is literally one of them has its answer, whatever came before.
  @Test func ofRivalsOnlyTheLiteralOneAnswers() throws {
    let swarm = try TestSwarm()
    let questions = ["What is the capital of France?", "What's the capital of France?", "What's France's capital?"]
    _ = try swarm.registry.learn(
      questions.enumerated().map { KnownAnswer(question: $1, answer: "Answer \($0)") }, now: 1)
    for (i, question) in questions.enumerated() {
      #expect(try swarm.registry.known(question, now: 2)?.answer == "Answer \(i)")
    }
    #expect(try swarm.registry.known("What is France's capital?", now: 2) == nil)
  }

  @Test func whatHasExpiredIsNotKnown() throws {
    let now = swarm.core.wallSeconds
    _ = try swarm.registry.learn(
      [KnownAnswer(question: "Is it open?", answer: "Yes.", learntAt: now, expiresAt: now + 10)], now: now)
    #expect(try swarm.registry.known("Is it open?", now: now + 9) != nil)
    #expect(try swarm.registry.known("Is it open?", now: now + 10) == nil)
    #expect(try swarm.registry.near("Is it open?", now: now + 10).isEmpty)
  }

  // MARK: The index

  @Test func theIndexFollowsWhatIsTaughtAndForgotten() throws {
    try teach(("Where is the red key?", "In the box."), ("Where is the blue key?", "On the wall."))
    #expect(try swarm.registry.near("the wall key", now: 1).first?.answer == "On the wall.")
    try teach(("where is the BLUE key", "In the car."))
    #expect(try swarm.registry.near("blue wall key", now: 1).map(\.answer).contains("In the car."))
    #expect(try swarm.registry.near("wall", now: 1).isEmpty, "the old text is not in it any more")
    #expect(try swarm.registry.forget("Where is the blue key"))
    #expect(try !swarm.registry.forget("Where is the blue key?"))
    #expect(try swarm.registry.near("blue car", now: 1).isEmpty)
    #expect(try swarm.registry.knowledgeCount() == 1)
  }

  @Test func nothingOfAQuestionIsAnOperatorOfTheIndex() throws {
    try teach(("Where is the red key?", "In the box."))
    for question in [
      "red AND key", "NEAR(red key)", "\"red\" key*", "question:red", "red OR (", "-red ^key", "{red} + key", "'", "\"",
      "; DROP TABLE knowledge", "ключ red key", "🗝 red key",
    ] { _ = try swarm.registry.near(question, now: 1) }
    #expect(try swarm.registry.near("red NOT key", now: 1).count == 1)
  }

  @Test func hashesOfAnotherVersionAreMadeAnew() throws {
    try teach(("Is it so?", "Yes."))
    try swarm.registry.write { try $0.execute(sql: "UPDATE knowledge SET hash = 1") }
    #expect(try swarm.registry.known("Is it so?", now: 1) == nil)
    try swarm.registry.refreshKnowledge(version: "another")
    #expect(try swarm.registry.known("Is it so?", now: 1)?.answer == "Yes.")
  }

  @Test func importsAreWholeOrNothing() throws {
    let good = #"{"question":"A b?","answer":"C","ttl":60,"pinned":true}"#
    let entries = try KnowledgeImport.entries(Data("\n\(good)\n".utf8), now: 100)
    #expect(entries == [KnownAnswer(question: "A b?", answer: "C", learntAt: 100, expiresAt: 160)])
    for bad in ["{}", "[]", #"{"question":"A"}"#, #"{"question":"A","answer":"\u0001"}"#, good + "x"] {
      #expect(throws: HubError.self) { try KnowledgeImport.entries(Data("\(good)\n\(bad)".utf8), now: 1) }
    }
  }

  // MARK: The upstream

  @Test func anUpstreamsAnswerCostsWhatItCounted() throws {
    let node = try online(1)
    try teach(("Where is the red key?", "In the box."))
    try ask(node, "Where is the blue key?")
    let request = try #require(swarm.core.takeUpstreamRequests().first)
    #expect(String(decoding: request.body, as: UTF8.self).contains("In the box."))
    end(request, upstream())
    // 100 tokens at 1 and 10 at 2 for a thousand.
    #expect(
      try told(node, to: "Where is the blue key?")
        == Told(
          text: "Upstream.", level: 3, cost: 120_000, sources: ["Where is the red key?"], brand: "SkyAI Advanced"))
    let stats = try stats()
    #expect(stats.costToday == 120_000 && stats.newest.map(\.outcome) == ["ok"] && stats.newest[0].node == node.id)
  }

  @Test func whatWasSentAndNotAnsweredCountsWithTheMostItCanHaveCost() throws {
    let node = try online(1)
    try ask(node, "Is it so?")
    let request = try #require(swarm.core.takeUpstreamRequests().first)
    let most = UInt64(request.body.count) * 1_000 + 100 * 2_000
    end(request, nil, .timeout)
    #expect(try told(node, to: "Is it so?") == Told(failure: .timeout, cost: most))
    try ask(node, "Is it so?", id: 8)
    end(try #require(swarm.core.takeUpstreamRequests().first), Data("garbage".utf8))
    #expect(try told(node, to: "Is it so?") == Told(failure: .upstreamFailed, cost: most))
    try ask(node, "Is it so?", id: 9)
    end(try #require(swarm.core.takeUpstreamRequests().first), upstream("Yes.", prompt: nil))
    #expect(try told(node, to: "Is it so?").cost == most)
    try ask(node, "Is it so?", id: 10)
    end(try #require(swarm.core.takeUpstreamRequests().first), nil, .upstreamFailed, wasSent: false)
    #expect(try told(node, to: "Is it so?").cost == 0)
    #expect(try stats().costToday == 3 * most)
  }

  @Test func aModelThatDoesNotKnowIsNoAnswer() throws {
    let node = try online(1)
    try ask(node, "Is it so?")
    end(try #require(swarm.core.takeUpstreamRequests().first), upstream("NO_ANSWER"))
    #expect(try told(node, to: "Is it so?") == Told(failure: .noAnswer, cost: 120_000))
  }

  @Test func theDaysMoneyIsNeverExceededWhateverIsUnderWay() throws {
    let swarm = try TestSwarm(
      configuration: Self.configured {
        $0.upstream!.costPerDay = 3_000_000
        $0.questionsPerHour = 1_000
      })
    try swarm.core.loadQuestions()
    for number in 1...8 { try ask(online(number, swarm), "Is it so?", swarm) }
    let requests = swarm.core.takeUpstreamRequests()
    let most = UInt64(requests[0].body.count) * 1_000 + 200_000
    #expect(UInt64(requests.count) == 3_000_000 / most && requests.count < 8)
    #expect(try told(swarm.nodes[7], to: "Is it so?", swarm).failure == .quotaUsed)
    // What they did not cost is free again; the next day it all is.
    for request in requests {
      swarm.core.upstreamEnded(
        UpstreamOutcome(number: request.number, body: upstream(prompt: 1, completion: 1), wasSent: true), now: swarm.now
      )
    }
    swarm.settle()
    try ask(swarm.nodes[7], "Is it so?", id: 9, swarm)
    #expect(swarm.core.takeUpstreamRequests().count == 1)
  }

  // MARK: Limits of a node

  @Test func aNodeHasSoManyQuestionsAnHourAlsoOverARestart() throws {
    let node = try online(1)
    let other = try online(2)
    try teach(("Is it so?", "Yes."))
    for id in 1...5 as ClosedRange<UInt32> { try ask(node, "Is it so?", id: id) }
    try ask(node, "Is it so?", id: 6)
    #expect(try told(node, to: "Is it so?").failure == .quotaUsed)
    try ask(other, "Is it so?")
    #expect(try told(other, to: "Is it so?").text == "Yes.")
    #expect(try stats().requests == 6, "what was refused unseen is not written down")
    swarm.core.questions.asked = [:]
    try swarm.core.loadQuestions()
    try ask(node, "Is it so?", id: 7)
    #expect(try told(node, to: "Is it so?").failure == .quotaUsed)
    swarm.wall.ms += 3_600_000
    try ask(node, "Is it so?", id: 8)
    #expect(try told(node, to: "Is it so?").text == "Yes.")
  }

  @Test func aNodeHasTwoQuestionsAtTheUpstreamAtMost() throws {
    let node = try online(1)
    for id in 1...3 as ClosedRange<UInt32> { try ask(node, "Is it so?", id: id) }
    #expect(swarm.core.takeUpstreamRequests().count == 2)
    #expect(try told(node, to: "Is it so?").failure == .busy)
  }

  @Test func anAnswerToANodeThatHasGoneIsNobodys() throws {
    let node = try online(1)
    try ask(node, "Is it so?")
    let request = try #require(swarm.core.takeUpstreamRequests().first)
    swarm.core.lost(node.link!)
    node.link = nil
    end(request, upstream())
    #expect(node.answers.isEmpty && swarm.core.questions.unsent.isEmpty)
    #expect(try stats().newest.map(\.cost) == [120_000], "it is counted")
  }

  @Test func aNodeThatDoesNotReadMakesNothingGrow() throws {
    let swarm = try TestSwarm(configuration: Self.configured { $0.questionsPerHour = 1_000 })
    let node = try online(1, swarm)
    let long = String(repeating: "x", count: Limits.answerBytes)
    _ = try swarm.registry.learn([KnownAnswer(question: "Is it so?", answer: long)], now: 1)
    node.isReading = false
    for id in 1...60 as ClosedRange<UInt32> { try ask(node, "Is it so?", id: id, swarm) }
    #expect(swarm.core.questions.unsent.count <= HubCore.questionsPending)
    node.isReading = true
    swarm.settle()
    swarm.pass(100)
    swarm.pass(100)
    #expect(swarm.core.questions.unsent.isEmpty && node.answers.count > 3)
    node.isReading = false
    for id in 100...160 as ClosedRange<UInt32> { try ask(node, "Is it so?", id: id, swarm) }
    swarm.pass(HubCore.answerWaitMs)
    #expect(swarm.core.questions.unsent.isEmpty, "nor wait for ever")
  }

  @Test func aHubThatStopsCountsWhatIsUnderWay() throws {
    let node = try online(1)
    try ask(node, "Is it so?")
    let request = try #require(swarm.core.takeUpstreamRequests().first)
    swarm.core.finish(now: swarm.now)
    let stats = try swarm.registry.requestStats(newest: 5, now: swarm.core.wallSeconds)
    #expect(stats.newest.map(\.outcome) == ["draining"])
    #expect(stats.costToday == UInt64(request.body.count) * 1_000 + 200_000)
  }

  @Test func framesThatAreNoQuestionsEndTheLink() throws {
    let node = try online(1)
    try node.session.send(
      FrameHeader(kind: .question, source: node.id!), body: ([0, 0, 0, 0] as [UInt8]).span.bytes, now: swarm.now)
    swarm.settle()
    #expect(node.failure == .malformedFrame)
  }

  // MARK: Votes and the command

  @Test func aVoteIsForTheNodesOwnAnswer() throws {
    let node = try online(1)
    let other = try online(2)
    try teach(("Is it so?", "Yes."))
    try ask(node, "Is it so?", id: 7)
    try vote(other, 7, false)
    #expect(try stats().newest.map(\.vote) == [nil])
    try vote(node, 7, true)
    #expect(try stats().newest.map(\.vote) == [1])
    try vote(node, 7, false)
    #expect(try stats().newest.map(\.vote) == [2])
    #expect(try stats().levels.map { [$0.good, $0.bad] } == [[0, 1]])
  }

  @Test func whoeverRunsTheHubIsAnsweredAsANodeIs() throws {
    try teach(("Is it so?", "Yes."))
    let first = swarm.core.ask("is it so", now: swarm.now)
    let answers = swarm.core.takeOwnAnswers()
    #expect(
      answers.count == 1 && answers[0].0 == first && answers[0].1.text == "Yes."
        && answers[0].1.brand == "SkyAI Standard")
    _ = swarm.core.ask("Is it not so?", now: swarm.now)
    end(try #require(swarm.core.takeUpstreamRequests().first), nil, .upstreamFailed)
    #expect(swarm.core.takeOwnAnswers().first?.1.failure == "upstream_failed")
  }

  @Test func requestsAreKeptWithinABound() throws {
    let record = RequestRecord(at: 1, node: 0, question: 1, level: 1, outcome: "ok", cost: 1, elapsedMs: 1)
    try swarm.registry.keepRequests(Array(repeating: record, count: Registry.requestRows + 50), votes: [])
    #expect(try swarm.registry.requestStats(newest: 0, now: 1).requests == Registry.requestRows)
  }
}
