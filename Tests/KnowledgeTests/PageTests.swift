import Bounded
import Foundation
import Knowledge
import Testing
import Wire

/// A page as bytes that can be spoiled.
final class Leaf {
  var bytes = [UInt8](repeating: 0, count: Limits.knowledgePageBytes)
  let writer = PageWriter()

  func withPage<R>(_ body: (borrowing KnowledgePage) throws -> R) rethrows -> R {
    try bytes.withUnsafeBytes { try body(KnowledgePage(RawSpan(_unsafeBytes: $0))) }
  }

  /// Writes the page anew with one entry more.
  func write(
    _ question: String, _ answer: String, _ facts: EntryFacts, nowS: UInt32, used: Set<UInt32> = []
  ) throws {
    let asked = Array(question.utf8)
    let told = Array(answer.utf8)
    try withPage { page in
      try asked.withUnsafeBytes { asked in
        try told.withUnsafeBytes { told in
          let entry = KnowledgeEntry(
            facts: facts, question: RawSpan(_unsafeBytes: asked), answer: RawSpan(_unsafeBytes: told))
          try writer.write(page, without: nil, adding: entry, nowS: nowS, isUsed: { used.contains($0) })
        }
      }
    }
    writer.finish(pageNumber: 7, storeEntries: 3)
    bytes = Array(writer.bytes)
  }

  func add(
    _ question: String, _ answer: String, pinned: Bool = false, expiresAt: UInt32 = 0, nowS: UInt32 = 100,
    used: Set<UInt32> = [], level: UInt8 = 0
  ) throws {
    var facts = EntryFacts()
    facts.level = level
    facts.hash = phrase(question).hash
    facts.isPinned = pinned
    facts.expiresAt = expiresAt
    try write(question, answer, facts, nowS: nowS, used: used)
  }

  /// What is whole in it: question and answer.
  var entries: [(question: String, answer: String)] {
    withPage { page in
      var found: [(String, String)] = []
      for i in 0..<page.entryCount {
        if let entry = page.entry(i) { found.append((entry.question.text, entry.answer.text)) }
      }
      return found
    }
  }

  var questions: [String] { entries.map { $0.question } }
}

@Suite struct PageTests {
  @Test func aPageOfZerosIsEmpty() { #expect(Leaf().questions.isEmpty) }

  @Test func entriesComeBack() throws {
    let leaf = Leaf()
    try leaf.add("When?", "At noon.")
    try leaf.add("Where?", "")
    #expect(leaf.questions == ["When?", "Where?"])
    #expect(leaf.entries[0].answer == "At noon.")
    #expect(leaf.withPage { $0.isWhole && $0.pageNumber == 7 && $0.storeEntries == 3 })
  }

  @Test func noFlippedBitGivesAnotherEntry() throws {
    let leaf = Leaf()
    try leaf.add("When does it open?", "At seven.")
    try leaf.add("When does it close?", "At nine.")
    let good = leaf.bytes
    let known = ["When does it open?": "At seven.", "When does it close?": "At nine."]
    for at in good.indices where at < 160 || at > good.count - 80 {
      for bit in 0..<8 {
        leaf.bytes = good
        leaf.bytes[at] ^= 1 << UInt8(bit)
        #expect(leaf.withPage { !$0.isWhole }, "byte \(at), bit \(bit)")
        for entry in leaf.entries { #expect(known[entry.question] == entry.answer, "byte \(at), bit \(bit)") }
      }
    }
  }

  @Test func theLeastRecentlyUsedGoesAndPinnedOnesStay() throws {
    let leaf = Leaf()
    let long = String(repeating: "x", count: 1_000)
    try leaf.add("one", long, pinned: true)
    try leaf.add("two", long)
    try leaf.add("three", long)
    try leaf.add("four", long, used: [phrase("two").hash])
    #expect(leaf.questions == ["one", "two", "four"])
    #expect(leaf.writer.evicted == 1)
  }

  @Test func answersOfOthersNeverDisplaceWhatWasTaughtAndGoFirst() throws {
    let leaf = Leaf()
    let long = String(repeating: "x", count: 1_000)
    try leaf.add("one", long)
    try leaf.add("kept", long, level: 3)
    try leaf.add("two", long)
    try leaf.add("three", long, used: [phrase("kept").hash])
    #expect(leaf.questions == ["one", "two", "three"], "though it was used last")
    #expect(throws: ErrorCode.full) { try leaf.add("kept", long, level: 3) }
    try leaf.add("short", "x", level: 1)
    #expect(leaf.questions == ["one", "two", "three", "short"])
    try leaf.add("four", long)
    #expect(leaf.questions == ["two", "three", "four"])
  }

  @Test func whatAModelSaidIsNoNeighbour() throws {
    let leaf = Leaf()
    try addSketched(leaf, "where is the red key", "here")
    try addSketched(leaf, "where is the blue key", "there", level: 1)
    try addSketched(leaf, "where is the green key", "nowhere", level: 3)
    var search = NeighbourSearch()
    let asked = Array("where is my key".utf8)
    asked.withUnsafeBytes { search.begin(RawSpan(_unsafeBytes: $0)) }
    leaf.withPage { search.take($0, nowS: 100) }
    #expect(search.count == 2)
  }

  @Test func onlyPinnedEntriesLeftIsFull() throws {
    let leaf = Leaf()
    let long = String(repeating: "x", count: 1_900)
    try leaf.add("one", long, pinned: true)
    try leaf.add("two", long, pinned: true)
    #expect(throws: ErrorCode.full) { try leaf.add("three", long) }
  }

  @Test func whatHasExpiredGoesWhenItsPageIsWritten() throws {
    let leaf = Leaf()
    try leaf.add("one", "1", expiresAt: 50, nowS: 40)
    try leaf.add("two", "2", nowS: 60)
    #expect(leaf.questions == ["two"])
    var facts = EntryFacts()
    facts.expiresAt = 50
    #expect(facts.isFresh(at: 49) && !facts.isFresh(at: 50))
    #expect(!facts.isFresh(at: 0), "without a clock nothing that expires is used")
  }

  @Test func theNearestAreFoundInTheirOrder() throws {
    let leaf = Leaf()
    for (question, answer) in [
      ("When does the hub open?", "At seven."), ("When does the hub close?", "At nine."),
      ("Who painted the wall?", "Anna."), ("Where is the hub in the town?", "At the market."),
    ] { try addSketched(leaf, question, answer) }
    var search = NeighbourSearch()
    let asked = Array("Is the hub in town?".utf8)
    asked.withUnsafeBytes { search.begin(RawSpan(_unsafeBytes: $0)) }
    leaf.withPage { search.take($0, nowS: 100) }
    #expect(search.count == 3)
    #expect(search[0].index == 3 && search[0].shared == 2)
  }

  private func addSketched(_ leaf: Leaf, _ question: String, _ answer: String, level: UInt8 = 0) throws {
    var sketch = Sketch()
    for text in [Array(question.utf8), Array(answer.utf8)] {
      text.withUnsafeBytes { sketch.add(RawSpan(_unsafeBytes: $0)) }
    }
    var facts = EntryFacts()
    facts.hash = phrase(question).hash
    facts.level = level
    facts.sketchLow = sketch.low
    facts.sketchHigh = sketch.high
    try leaf.write(question, answer, facts, nowS: 100)
  }

  @Test func theTwoPagesOfAQuestionDifferAndFillEvenly() {
    let layout = StoreLayout(fileBytes: 1 << 20)
    var load = [Int](repeating: 0, count: layout.pages)
    for i in 0..<(layout.pages * 20) {
      let (a, b) = layout.places(phrase("question number \(i)").hash)
      #expect(a != b)
      load[load[a] <= load[b] ? a : b] += 1
    }
    #expect(load.max()! <= 25)
  }

  @Test func aHeadComesBackAndASpoiltOneIsRefused() {
    let layout = StoreLayout(fileBytes: 1 << 20)
    let head = layout.head()
    #expect(StoreLayout(head: head.span.bytes)?.pages == layout.pages)
    for i in 0..<StoreLayout.headBytes {
      var other = head
      other[i] ^= 4
      #expect(StoreLayout(head: other.span.bytes) == nil)
    }
  }
}
