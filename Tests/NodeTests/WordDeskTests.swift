import Bounded
import SkyCrypto
import Testing
import Wire

@testable import Node

@Suite struct WordDeskTests {
  private let hub = Bytes32(repeating: 1)
  private let now = Instant(ms: 1_000_000)

  private static func entry(_ word: String, id: UInt32) -> WordEntry {
    var entry = WordEntry(word: InlineText(word)!)
    entry.id = id
    return entry
  }

  private func want(_ desk: WordDesk, _ word: String, at now: Instant? = nil) -> WordDesk.Answer {
    desk.want(Array(word.utf8).span.bytes, now: now ?? self.now)
  }

  /// The words of the question that is due; nil when there is none.
  private func question(_ desk: WordDesk, at now: Instant? = nil) -> [String]? {
    var body = ByteQueue(capacity: Limits.frameBodyBytes)
    guard desk.appendQuestion(to: &body, now: now ?? self.now) else { return nil }
    var reader = ByteReader(body.bytes)
    guard let count = try? reader.integer(UInt8.self) else { return nil }
    return (0..<Int(count)).map { _ in
      let length = try! reader.integer(UInt8.self)
      return String(decoding: bytes(of: try! reader.bytes(Int(length))), as: UTF8.self)
    }
  }

  private func answer(_ desk: WordDesk, _ entries: [WordEntry], from hub: Bytes32? = nil, at now: Instant? = nil)
    -> ErrorCode?
  {
    var body = ByteQueue(capacity: Limits.frameBodyBytes)
    body.append(bigEndian: UInt8(entries.count))
    for entry in entries { entry.append(to: &body) }
    do throws(ErrorCode) { try desk.take(body.bytes, from: hub ?? self.hub, now: now ?? self.now) } catch {
      return error
    }
    return nil
  }

  @Test func anUnknownWordIsAskedOnceAndThenKnown() {
    let desk = WordDesk()
    #expect(want(desk, "zorkmid") == .waiting)
    #expect(want(desk, "zorkmid") == .waiting)
    #expect(desk.waiting == 1)
    #expect(question(desk) == ["zorkmid"])
    #expect(question(desk) == nil, "one question at a time")
    let entry = Self.entry("zorkmid", id: 70_000)
    #expect(answer(desk, [entry]) == nil)
    #expect(want(desk, "zorkmid") == .learnt(entry))
    #expect(desk.find(id: 70_000) == entry)
    #expect(desk.waiting == 0 && desk.learntCount == 1)
  }

  @Test func aWordThatTheHubDoesNotKnowIsNotAskedForADay() {
    let desk = WordDesk()
    _ = want(desk, "nonesuch")
    _ = question(desk)
    #expect(answer(desk, [Self.entry("nonesuch", id: 0)]) == nil)
    #expect(want(desk, "nonesuch") == .unknown)
    #expect(want(desk, "nonesuch", at: now + Limits.unknownWordMs + 1) == .waiting)
  }

  @Test func aNewDictionaryIsAskedAgain() {
    let desk = WordDesk()
    _ = want(desk, "nonesuch")
    _ = question(desk)
    _ = answer(desk, [Self.entry("nonesuch", id: 0)])
    desk.use(known: nil)
    #expect(want(desk, "nonesuch") == .waiting)
  }

  @Test func theQueueIsBoundedAndGoesInBatches() {
    let desk = WordDesk()
    for i in 0..<Limits.wordQueue { #expect(want(desk, "w\(i)") == .waiting) }
    #expect(want(desk, "onetoomany") == .full)
    #expect(desk.counters.refused == 1)
    var asked: [String] = []
    var at = now
    while let words = question(desk, at: at) {
      #expect(words.count <= Limits.wordBatch)
      asked += words
      #expect(answer(desk, words.map { Self.entry($0, id: 0) }, at: at) == nil)
      at = at + Limits.wordIntervalMs
    }
    #expect(asked == (0..<Limits.wordQueue).map { "w\($0)" })
  }

  @Test func anAnswerThatNeverComesIsWaitedForOnlySoLong() {
    let desk = WordDesk()
    _ = want(desk, "w")
    _ = question(desk)
    #expect(desk.deadline == now + Limits.wordTimeoutMs)
    #expect(question(desk, at: now + Limits.wordTimeoutMs) == nil)
    #expect(desk.deadline > now + Limits.wordTimeoutMs)
    #expect(question(desk, at: desk.deadline) == ["w"])
  }

  @Test func whatWasAskedOnALostLinkIsAskedOnTheNext() {
    let desk = WordDesk()
    _ = want(desk, "w")
    _ = question(desk)
    desk.linkEnded()
    #expect(question(desk, at: now + Limits.wordIntervalMs) == ["w"])
  }

  @Test func aHubWhoseIdsMeanOtherWordsIsNotBelieved() {
    let desk = WordDesk()
    desk.use(known: Self.entry("moon", id: 300))
    _ = want(desk, "w")
    #expect(question(desk) == ["w", "moon"])
    #expect(answer(desk, [Self.entry("w", id: 500), Self.entry("moon", id: 301)]) == nil)
    #expect(desk.isForeign && desk.learntCount == 0)
    #expect(desk.deadline == .never, "nor asked again")
    desk.linkEnded()
    #expect(desk.deadline != .never, "before the next link")
  }

  @Test func anotherHubsWordsAreForgotten() {
    let desk = WordDesk()
    for (number, word) in ["a1", "b2"].enumerated() {
      let at = now + UInt64(number) * Limits.wordIntervalMs
      _ = want(desk, word)
      _ = question(desk, at: at)
      _ = answer(desk, [Self.entry(word, id: 400)], from: Bytes32(repeating: UInt8(number)), at: at)
    }
    #expect(want(desk, "a1") == .waiting)
    #expect(desk.learntCount == 1)
  }

  @Test func theOldestLearntWordsGoFirst() {
    let desk = WordDesk()
    var at = now
    for i in 0..<1_000 {
      _ = want(desk, "word\(i)", at: at)
      _ = question(desk, at: at)
      #expect(answer(desk, [Self.entry("word\(i)", id: UInt32(1_000 + i))], at: at) == nil)
      at = at + Limits.wordIntervalMs
    }
    #expect(desk.learntCount > 100)
    #expect(desk.find(id: 1_000) == nil && desk.find(id: 1_999) != nil)
  }

  @Test func answersThatFitNoQuestionAreRefused() {
    for wrong in [[], [Self.entry("other", id: 300)], [Self.entry("w", id: 300), Self.entry("w", id: 300)]] {
      let desk = WordDesk()
      _ = want(desk, "w")
      _ = question(desk)
      #expect(answer(desk, wrong) == .malformedFrame)
      #expect(desk.learntCount == 0)
    }
    let desk = WordDesk()
    #expect(answer(desk, [Self.entry("w", id: 300)]) == nil, "one that comes too late is nobody's")
    #expect(desk.learntCount == 0)
  }

  @Test func learntWordsOutliveARestart() throws {
    let desk = WordDesk()
    #expect(desk.writeDue == .never)
    _ = want(desk, "zorkmid")
    _ = question(desk)
    _ = answer(desk, [Self.entry("zorkmid", id: 70_000)])
    #expect(desk.writeDue == now + Limits.learntWriteMs)
    var file = ByteQueue(capacity: WordDesk.fileBytes)
    desk.encode(to: &file)
    #expect(desk.writeDue == .never)
    let next = WordDesk()
    try next.decode(file.bytes)
    #expect(next.find(id: 70_000)?.word == InlineText("zorkmid"))
    let whole = bytes(of: file.bytes)
    for i in 0..<whole.count {
      var damaged = whole
      damaged[i] ^= 4
      let desk = WordDesk()
      #expect(throws: ErrorCode.malformed) { try desk.decode(damaged.span.bytes) }
      #expect(throws: ErrorCode.malformed) { try desk.decode(Array(whole[..<i]).span.bytes) }
    }
  }
}
