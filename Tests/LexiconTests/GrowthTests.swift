import Bounded
import Foundation
import Lexicon
import LexiconBuilder
import Testing

@Suite struct GrowthTests {
  private static func grown(_ words: [String]) throws -> Contents {
    try Sample.contents.adding(WordList(parsing: Array(Sample.list(words).utf8)), generation: 8)
  }

  @Test func idsKeepTheirWordsAndNewOnesComeBehind() throws {
    let new = (0..<1_000).map { "new\($0)" }
    let grown = try Self.grown(new + ["hello", "moon"])
    #expect(grown.tokenCount == Sample.contents.tokenCount + 1_000, "words that are there are not added twice")
    #expect(Sample.contents.firstChangedId(in: grown) == nil)
    try withView(FileImage(grown).bytes) { view in
      try view.verify()
      #expect(view.header.generation == 8)
      var last: UInt32 = 0
      for word in new {
        let id = try #require(Array(word.utf8).withUnsafeBytes { view.id(of: RawSpan(_unsafeBytes: $0)) })
        #expect(id > last)
        last = id
      }
    }
  }

  @Test func leavesThatDidNotChangeKeepVersionAndChecksum() throws {
    let grown = try Self.grown(["onemore"])
    #expect(grown.leaves.filter { $0.version == 8 }.count == 1)
    #expect(grown.leaves.dropLast().elementsEqual(Sample.contents.leaves.prefix(grown.leaves.count - 1)))
  }

  @Test func aSubsetCannotGrow() throws {
    let subset = try Sample.contents.subset(tokens: 512)
    #expect(throws: BuildError.self) {
      try subset.adding(WordList(parsing: Array(Sample.list(["x1"]).utf8)), generation: 8)
    }
  }

  @Test func anIdWithAnotherWordIsFound() throws {
    let list = Sample.list(["hello"] + Sample.words.filter { $0 != "hello" })
    let other = try Contents(WordList(parsing: Array(list.utf8)), generation: 8)
    #expect(Sample.contents.firstChangedId(in: other) != nil)
    #expect(Sample.contents.firstChangedId(in: try Sample.contents.subset(tokens: 2_048)) == nil)
  }

  @Test(arguments: [("Hello", "hello"), ("GRÜN", "grün"), ("Ice Cream", "ice cream"), ("МИР", "мир"), ("世界", "世界")])
  func wordsAreLookedUpInLowerCase(_ word: String, _ canonical: String) {
    var text = WordText()
    let count = Canonical.lower(Array(word.utf8).span.bytes, into: &text)
    #expect((0..<count).map { text[$0] } == Array(canonical.utf8))
  }

  @Test(arguments: [
    ("moon", true), ("don't", true), ("мир", true), ("'s", false), ("a1", false), ("", false), ("a b", false),
  ])
  func lettersMakeAWord(_ text: String, _ isWord: Bool) {
    #expect(Canonical.isWord(Array(text.utf8).span.bytes) == isWord)
  }
}
