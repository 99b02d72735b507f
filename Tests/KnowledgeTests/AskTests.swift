import Bounded
import Knowledge
import Testing
import Wire

private func say(
  _ dialogue: inout ModelDialogue, _ line: String, probe: Bool = false, at ms: UInt64
) -> ModelDialogue.Step {
  let bytes = Array(line.utf8)
  return dialogue.take(bytes.span.bytes, fromProbe: probe, now: Instant(ms: ms))
}

@Suite struct ModelDialogueTests {
  private func begun() -> ModelDialogue {
    var dialogue = ModelDialogue()
    dialogue.begin(process: Self.process, now: Instant(ms: 1_000))
    return dialogue
  }

  @Test func aQuestionFollowsTheGreetingAndPiecesFollowThat() {
    var dialogue = begun()
    #expect(say(&dialogue, "SKYINFER 1 0.1.0", at: 1_010) == .ask)
    #expect(say(&dialogue, "piece=\"It \"", at: 1_100) == .piece)
    #expect(say(&dialogue, "grounded=true", at: 1_110) == .nothing)
    #expect(say(&dialogue, "OK", at: 1_120) == .ended)
    #expect(dialogue.isGrounded && dialogue.deadline == .never)
  }

  @Test func aWorkerThatDoesNotGreetIsHung() {
    var dialogue = begun()
    #expect(Self.hungAt(&dialogue) == Instant(ms: 1_000 + Limits.modelGreetingMs))
  }

  @Test func oneThatIsStartedOnDemandHasLonger() {
    var dialogue = ModelDialogue()
    dialogue.begin(process: nil, now: Instant(ms: 1_000))
    #expect(Self.hungAt(&dialogue) == Instant(ms: 1_000 + Limits.modelStartMs))
  }

  private static let process: Int32 = 4_242

  /// When the silent worker is called hung, looked at whenever it is time.
  private static func hungAt(_ dialogue: inout ModelDialogue, time: (Instant) -> UInt64 = { _ in 0 }) -> Instant {
    while true {
      let now = dialogue.deadline
      let step = dialogue.tick(now: now) { $0 == process ? time(now) : 0 }
      if step == .failed(.modelHung) { return now }
      #expect(step == .nothing)
      if step != .nothing { return .never }
    }
  }

  /// Greeted twice and asked; the worker answers each sign of life after `stepMs`.
  private func working(stepMs: UInt64, answers: Int) -> ModelDialogue {
    var dialogue = begun()
    _ = say(&dialogue, "SKYINFER 1 0.1.0", at: 1_010)
    _ = say(&dialogue, "SKYINFER 1 0.1.0", probe: true, at: 1_020)
    for _ in 0..<answers {
      let asked = dialogue.deadline
      #expect(dialogue.tick(now: asked) == .probe)
      #expect(dialogue.tick(now: asked + stepMs) == .nothing)
      _ = say(&dialogue, "kind=generate", probe: true, at: asked.ms + stepMs)
      #expect(say(&dialogue, "OK", probe: true, at: asked.ms + stepMs) == .nothing)
    }
    return dialogue
  }

  @Test func oneThatStopsInTheMiddleIsToldWithinASecond() {
    var dialogue = working(stepMs: 30, answers: 4)
    let stoppedAt = dialogue.deadline
    #expect(dialogue.tick(now: stoppedAt) == .probe)
    #expect(Self.hungAt(&dialogue).since(stoppedAt) <= 900)
    #expect(dialogue.deadline == .never)
  }

  /// As on a board where others come first: its processor time tells.
  @Test func whileItComputesItIsNotHung() {
    for stopsAfterMs: UInt64 in [0, 700, 3_000, 60_000] {
      var dialogue = working(stepMs: 30, answers: 4)
      let asked = dialogue.deadline
      #expect(dialogue.tick(now: asked) { _ in 5_000 } == .probe)
      let told = Self.hungAt(&dialogue) { now in 5_000 + min(now.since(asked), stopsAfterMs) / 10 }
      let quiet = told.since(asked + stopsAfterMs)
      if stopsAfterMs < 10_000 {
        #expect(quiet >= Limits.modelSilenceMs && quiet <= 1_000, "\(stopsAfterMs)")
      } else {
        #expect(told == asked + Limits.modelSilenceMostMs, "not for ever")
      }
    }
  }

  @Test func timeInWhichTheDaemonStoodStillDoesNotCount() {
    var dialogue = working(stepMs: 30, answers: 4)
    let asked = dialogue.deadline
    #expect(dialogue.tick(now: asked) == .probe)
    #expect(dialogue.tick(now: asked + 5_000) == .nothing)
    #expect(Self.hungAt(&dialogue) > asked + 5_500)
  }

  /// One that the service manager started says itself which process it is.
  @Test func theWorkerTellsItsProcess() {
    var dialogue = ModelDialogue()
    dialogue.begin(process: nil, now: Instant(ms: 1_000))
    _ = say(&dialogue, "SKYINFER 1 0.1.0", at: 1_010)
    _ = say(&dialogue, "SKYINFER 1 0.1.0", probe: true, at: 1_020)
    _ = say(&dialogue, "pid=77", probe: true, at: 1_021)
    var asked: Int32 = 0
    _ = dialogue.tick(now: dialogue.deadline) { process in
      asked = process
      return 1
    }
    #expect(asked == 77)
  }

  /// Two pieces come before the worker has been asked twice whether it lives: on a quick board the whole answer may.
  @Test func piecesMeasureItsPaceToo() {
    for (gap, patience): (UInt64, UInt64) in [(5, Limits.modelSilenceMs), (400, 3_200), (5_000, 10_000)] {
      var dialogue = working(stepMs: 1, answers: 0)
      #expect(say(&dialogue, #"piece="a""#, at: 2_000) == .piece)
      let asked = dialogue.deadline
      #expect(dialogue.tick(now: asked) == .probe)
      var unknown = dialogue
      #expect(Self.hungAt(&unknown).since(asked) == Limits.modelSilenceMostMs)
      #expect(say(&dialogue, #"piece="b""#, at: 2_000 + gap) == .piece)
      #expect(Self.hungAt(&dialogue).since(asked) == patience)
    }
  }

  @Test func aSlowOneHasAsLongAsItsStepsTake() {
    for stepMs: UInt64 in [120, 900, 1_200, 4_000, 9_000] {
      var dialogue = working(stepMs: stepMs, answers: 5)
      let stoppedAt = dialogue.deadline
      #expect(dialogue.tick(now: stoppedAt) == .probe)
      #expect(Self.hungAt(&dialogue).since(stoppedAt) == max(850, min(8 * stepMs, 10_000)))
    }
  }

  @Test func theNextQuestionWaitsForTheStepThatIsUnderWay() {
    var dialogue = working(stepMs: 500, answers: 2)
    dialogue.hangUp()
    #expect(dialogue.deadline == .never)
    dialogue.begin(process: Self.process, now: Instant(ms: 50_000))
    #expect(Self.hungAt(&dialogue) == Instant(ms: 54_000))
  }

  @Test func oneThatWasLeftBeforeItsPaceWasKnownMayStillBeAtAStep() {
    var dialogue = begun()
    _ = say(&dialogue, "SKYINFER 1 0.1.0", at: 1_010)
    dialogue.hangUp()
    dialogue.begin(process: Self.process, now: Instant(ms: 50_000))
    var other = dialogue
    #expect(Self.hungAt(&other) == Instant(ms: 50_000 + Limits.modelSilenceMostMs))
    dialogue.hangUp()
    dialogue.begin(process: Self.process, now: Instant(ms: 90_000))
    #expect(Self.hungAt(&dialogue) == Instant(ms: 90_000 + Limits.modelGreetingMs), "nothing was left there")
  }

  @Test func aVectorIsWhatWasAskedForOrNothing() {
    for wantsVector in [false, true] {
      var dialogue = ModelDialogue()
      dialogue.begin(process: nil, wantsVector: wantsVector, now: Instant(ms: 1_000))
      _ = say(&dialogue, "SKYINFER 1 0.1.0", at: 1_001)
      #expect(say(&dialogue, "vector=0.5,1", at: 1_002) == (wantsVector ? .vector : .nothing))
      #expect(say(&dialogue, "piece=x", at: 1_003) == (wantsVector ? .nothing : .piece))
      for line in ["prompt_tokens=7", "reused_tokens=3", "tokens=5", "tokens=x"] { _ = say(&dialogue, line, at: 1_004) }
      #expect(dialogue.tokens == 12 && say(&dialogue, "OK", at: 1_005) == .ended)
    }
  }

  @Test func whatTheWorkerRefusesHasItsName() {
    for (line, code) in [
      ("ERR 17 busy another", ErrorCode.busy), ("ERR 210 too-large the model does not fit", .modelRefused),
      ("ERR 11 bad_argument x", .modelFailed), ("ERR ", .modelFailed), ("HELLO", .modelFailed),
    ] {
      var dialogue = begun()
      #expect(say(&dialogue, line, at: 1_010) == .failed(code), "\(line)")
    }
    var dialogue = begun()
    #expect(dialogue.lost() == .failed(.modelFailed))
    #expect(dialogue.lost() == .nothing)
  }

  @Test func anAnswerWithoutEndIsCutOff() {
    var dialogue = begun()
    _ = say(&dialogue, "SKYINFER 1 0.1.0", at: 1_010)
    _ = say(&dialogue, "SKYINFER 1 0.1.0", probe: true, at: 1_020)
    var now = Instant(ms: 1_020)
    var step = ModelDialogue.Step.nothing
    while case .nothing = step {
      now = dialogue.deadline
      step = dialogue.tick(now: now)
      if step == .probe {
        _ = say(&dialogue, "OK", probe: true, at: now.ms + 1)
        step = .nothing
      }
    }
    #expect(step == .failed(.timeout))
    #expect(now.ms <= 1_000 + Limits.modelAnswerMs)
  }
}

@Suite struct AskDeskTests {
  private func add(_ desk: AskDesk, _ text: String, free: Bool = false) throws -> UInt64 {
    var options = AskDesk.Options()
    options.isFree = free
    let bytes = Array(text.utf8)
    return try desk.add(bytes.span.bytes, options, now: Instant(ms: 0))
  }

  private func take(_ desk: AskDesk, _ piece: String) {
    let bytes = Array(piece.utf8)
    desk.take(bytes.span.bytes)
  }

  @Test func withoutNeighboursThereIsNoAnswer() throws {
    let desk = AskDesk()
    _ = try add(desk, "why")
    #expect(desk.work == .search)
    desk.searched()
    #expect(desk.state == .failed(.noAnswer) && desk.work == .nothing)
  }

  @Test func aFreeQuestionGoesToTheModelAllTheSame() throws {
    let desk = AskDesk()
    let ticket = try add(desk, "why", free: true)
    desk.searched()
    #expect(desk.work == .ask)
    desk.began()
    take(desk, "Be")
    take(desk, "cause.")
    desk.ended(isGrounded: false)
    #expect(desk.state == .answered && !desk.isGrounded)
    #expect(desk.withAnswer { $0.text } == "Because.")
    desk.finish(ticket)
    #expect(desk.count == 0 && desk.work == .nothing)
  }

  private func addForHub(_ desk: AskDesk, only: Bool = false) throws -> UInt64 {
    var options = AskDesk.Options()
    options.mayAskHub = true
    options.onlyAsksHub = only
    return try desk.add(Array("why".utf8).span.bytes, options, now: Instant(ms: 0))
  }

  @Test func theHubIsAskedFirstAndThisBoardGoesOnWithoutIt() throws {
    let desk = AskDesk()
    let first = try addForHub(desk)
    #expect(desk.work == .askHub)
    desk.askedHub()
    #expect(desk.work == .nothing && desk.state == .hubAsked)
    desk.hubAnswered()
    #expect(desk.state == .answered && desk.isFromHub)
    desk.finish(first)
    let second = try addForHub(desk)
    desk.hubFailed(.offline)
    #expect(desk.work == .search && desk.hubFailure == .offline)
    desk.searched()
    #expect(desk.state == .failed(.noAnswer) && !desk.isFromHub)
    desk.finish(second)
    _ = try add(desk, "why")
    #expect(desk.work == .search && desk.hubFailure == nil, "one that may not go there does not")
  }

  @Test func whoAsksTheHubOnlyHearsWhyItDidNotAnswer() throws {
    let desk = AskDesk()
    _ = try addForHub(desk, only: true)
    desk.askedHub()
    desk.hubFailed(.quotaUsed)
    #expect(desk.state == .failed(.quotaUsed) && desk.work == .nothing)
  }

  @Test func anAskerWhoLeavesTheHubsQuestionMakesRoom() throws {
    let desk = AskDesk()
    let first = try addForHub(desk)
    _ = try add(desk, "two")
    desk.askedHub()
    desk.finish(first)
    #expect(desk.count == 1 && desk.work == .search)
    desk.hubAnswered()
    #expect(desk.state == .searching, "what comes late is nobody's")
  }

  @Test func questionsAreAnsweredInTheirOrderAndAFifthIsRefused() throws {
    let desk = AskDesk()
    let tickets = try (1...4).map { try add(desk, "question \($0)", free: true) }
    #expect(throws: ErrorCode.full) { try add(desk, "one more", free: true) }
    for ticket in tickets {
      #expect(desk.index(of: ticket) == 0)
      desk.searched()
      desk.began()
      desk.failed(.modelFailed)
      #expect(desk.state == .failed(.modelFailed))
      desk.finish(ticket)
    }
    #expect(desk.count == 0)
  }

  @Test func anAskerWhoLeavesStopsTheModel() throws {
    let desk = AskDesk()
    let first = try add(desk, "one", free: true)
    let second = try add(desk, "two", free: true)
    desk.searched()
    desk.began()
    desk.finish(first)
    #expect(desk.work == .hangUp)
    desk.dropped()
    #expect(desk.index(of: second) == 0 && desk.work == .search)
  }

  @Test func anAnswerLongerThanItsRoomIsCutBetweenPieces() throws {
    let desk = AskDesk()
    _ = try add(desk, "why", free: true)
    desk.searched()
    desk.began()
    for _ in 0..<300 { take(desk, "0123456789") }
    #expect(desk.withAnswer { $0.byteCount } == 2_040)
  }
}

extension ModelDialogue {
  /// The worker uses no processor.
  fileprivate mutating func tick(now: Instant) -> Step { tick(now: now) { _ in 0 } }
}
