import Bounded
import SkyCrypto
import TestSupport
import Testing
import Wire

@testable import Node

/// Questions to the hub, as the node puts them and takes what comes.
@Suite struct QuestionTests {
  private let scene: NodeScene

  init() {
    _ = startCrypto()
    scene = NodeScene { $0.asksHub = true }
    scene.hub.configure.takesQuestions = true
  }

  @Test func anOlderHubIsNotAsked() {
    scene.hub.configure.takesQuestions = false
    scene.goOnline()
    #expect(ask() == .versionUnsupported && asked.isEmpty && scene.state == .online)
  }

  private var node: Node { scene.node }

  private func ask(_ text: String = "Why is it so?") -> ErrorCode? {
    defer { scene.settle() }
    do throws(ErrorCode) {
      try node.ask(Array(text.utf8).span.bytes, now: scene.now)
      return nil
    } catch { return error }
  }

  private var asked: [(id: UInt32, text: [UInt8])] {
    scene.hub.frames.filter { $0.header.kind == .question }.map {
      (try! Question(decoding: $0.body.span.bytes).id, Array($0.body.dropFirst(4)))
    }
  }

  private func answer(
    _ text: String = "Because.", to question: String = "Why is it so?", id: UInt32? = nil, failure: ErrorCode? = nil,
    node: UInt32 = 1_000_000, by identity: borrowing Identity
  ) {
    let head = Answer.Head(id: id ?? asked.last!.id, failure: failure, level: failure == nil ? 3 : 0, cost: 5)
    var queue = ByteQueue(capacity: 8_192)
    func compose(_ signature: InlineArray<64, UInt8>) {
      queue.clear()
      head.append(signature: signature, brand: failure == nil ? "SkyAI Advanced" : "", sources: 1, to: &queue)
      Answer.append(source: Array("What is it?".utf8).span.bytes, to: &queue)
      if failure == nil { queue.append(Array(text.utf8).span.bytes) }
    }
    compose(InlineArray(repeating: 0))
    compose(
      AnswerSeal.sign(
        queue.bytes.extracting(64..<queue.count), node: node, question: Sha256.digest(Array(question.utf8).span.bytes),
        by: identity))
    scene.hub.send(FrameHeader(kind: .answer, destination: 1_000_000), bytes(of: queue.bytes), now: scene.now)
    scene.settle()
  }

  private var text: String? {
    let told: String? = node.question.withAnswer { answer in String(decoding: bytes(of: answer.text()), as: UTF8.self) }
    return told
  }

  @Test func aQuestionGoesAsItIsAndItsAnswerComes() {
    scene.goOnline()
    #expect(ask() == nil && node.question.state == .asked)
    #expect(asked.map(\.text) == [Array("Why is it so?".utf8)])
    answer(by: scene.hub.identity)
    #expect(node.question.state == .answered && text == "Because.")
  }

  @Test func nothingLeavesTheBoardUnlessItsOwnerSaysSo() {
    scene.goOnline()
    scene.reload { $0.asksHub = false }
    #expect(ask() == .forbidden)
    #expect(throws: ErrorCode.forbidden) { try node.vote(Vote(id: 1, isGood: true), now: scene.now) }
    scene.settle()
    #expect(asked.isEmpty && scene.hub.count(.vote) == 0)
  }

  @Test func withoutALinkThereIsNobodyToAsk() {
    scene.start()
    scene.cut()
    #expect(ask() == .offline && node.question.state == .idle)
  }

  @Test func oneQuestionAtATime() {
    scene.goOnline()
    #expect(ask() == nil && ask("And this?") == .busy)
    node.question.forget()
    #expect(ask("And this?") == nil && asked.count == 2 && asked[0].id != asked[1].id)
  }

  @Test func onlyTheHubsSignatureForThisQuestionAndNodeCounts() {
    scene.goOnline()
    for wrong in 0..<3 {
      #expect(ask() == nil)
      switch wrong {
      case 0: answer(by: Identity(seed: NodeScene.secret(4_711)))
      case 1: answer(to: "Why not?", by: scene.hub.identity)
      default: answer(node: 1_000_001, by: scene.hub.identity)
      }
      #expect(node.question.state == .failed(.badSignature) && text == nil)
    }
    #expect(scene.state == .online)
  }

  @Test func anAnswerToAnotherQuestionIsNotLookedAt() {
    scene.goOnline()
    #expect(ask() == nil)
    answer(id: asked[0].id &+ 1, by: scene.hub.identity)
    #expect(node.question.state == .asked)
    node.question.forget()
    answer(by: scene.hub.identity)
    #expect(node.question.state == .idle, "nobody waits for it any more")
  }

  @Test func aHubWithoutAnAnswerSaysWhyAndWhatIsNear() {
    scene.goOnline()
    #expect(ask() == nil)
    answer(failure: .noAnswer, by: scene.hub.identity)
    #expect(node.question.state == .failed(.noAnswer))
    let sources: Int? = node.question.withAnswer { answer in answer.sourceCount }
    #expect(sources == 1)
  }

  @Test func silenceAndALostLinkEndAQuestion() {
    scene.goOnline()
    #expect(ask() == nil)
    scene.pass(Limits.questionWaitMs)
    #expect(node.question.state == .failed(.timeout))
    #expect(ask() == nil)
    scene.cut()
    #expect(node.question.state == .failed(.offline))
  }

  @Test func aVoteGoesAsItIs() throws {
    scene.goOnline()
    try node.vote(Vote(id: 77, isGood: false), now: scene.now)
    scene.settle()
    let votes = scene.hub.frames.filter { $0.header.kind == .vote }
    #expect(try votes.map { try Vote(decoding: $0.body.span.bytes) } == [Vote(id: 77, isGood: false)])
  }

  @Test func aFrameThatIsNoAnswerEndsTheLink() {
    scene.goOnline()
    scene.hub.send(FrameHeader(kind: .answer, destination: 1_000_000), [1, 2, 3], now: scene.now)
    scene.settle()
    #expect(scene.lastError == .malformedFrame)
  }

  @Test func theBufferIsForNodesThatKeepKnowledge() {
    #expect(!HubQuestion(hasRoom: false).hasRoom)
  }
}
