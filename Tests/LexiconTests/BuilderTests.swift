import Bounded
import Foundation
import Lexicon
import LexiconBuilder
import Testing

@Suite struct BuilderTests {
  @Test func theSameListGivesTheSameBytes() throws {
    let list = try WordList(parsing: Array(Sample.list(Sample.words).utf8))
    let again = try FileImage(Contents(list, generation: 7)).bytes
    #expect(again == Sample.file)
  }

  @Test func aFileReadAndWrittenAgainIsTheSame() throws {
    try withView(Sample.file) { view in
      let again = try FileImage(Contents(view)).bytes
      #expect(again == Sample.file)
    }
  }

  @Test func aSubsetKeepsIdsPointsAndLeafChecksums() throws {
    let subset = try FileImage(Sample.contents.subset(tokens: 2_048, locale: "de")).bytes
    try withView(Sample.file) { whole in
      try withView(subset) { part in
        try part.verify()
        let (count, spaces) = (part.tokenCount, [part.header.leafSpace, whole.header.leafSpace])
        #expect(count == 2_048 && spaces[0] == spaces[1])
        var text = WordText()
        var other = WordText()
        for index in 0..<part.tokenCount {
          let found = part.id(atIndex: index)
          let id = try #require(found)
          let read = part.word(id, into: &text)
          let count = try #require(read)
          let same = whole.word(id, into: &other) == count && (0..<count).allSatisfy { text[$0] == other[$0] }
          let isSameToo = part.metadata(of: id) == whole.metadata(of: id)
          #expect(same && isSameToo)
        }
        for local in 0..<Int(part.header.leafCount) {
          let entry = part.leaf(local)
          let leaf = try #require(entry)
          let isGerman = part.locale(Int(leaf.locale))?.elementsEqual("de")
          #expect(isGerman == true)
        }
      }
    }
  }

  @Test func listsWithMistakesAreRefused() {
    for text in [
      "", "word", "word\tnoun.Tops\t3", "word\tnoun.Tops\t4\ten", "word\tnoun.none\t3\ten", "\tnoun.Tops\t3\ten",
      "a\tnoun.Tops\t3\ten\na\tnoun.Tops\t3\ten", String(repeating: "x", count: 64) + "\tnoun.Tops\t3\ten",
    ] {
      #expect(throws: BuildError.self, "\(text)") { try WordList(parsing: Array(text.utf8)) }
    }
  }

  @Test func oneWordIsADictionary() throws {
    let list = try WordList(parsing: Array("alone\tnoun.Tops\t0\ten\n".utf8))
    try withView(FileImage(Contents(list, generation: 1)).bytes) { view in
      try view.verify()
      let id = Array("alone".utf8).withUnsafeBytes { view.id(of: RawSpan(_unsafeBytes: $0)) }
      #expect(id == 256)
    }
  }

  @Test func pointsAreUniqueAndRelatedWordsLieTogether() throws {
    let lines = (0..<70_000).map { "w\($0)\t\($0 % 2 == 0 ? "noun.animal" : "verb.social")\t3\ten\n" }
    let contents = try Contents(WordList(parsing: Array(lines.joined().utf8)), generation: 1)
    let tokens = contents.leaves.flatMap(\.tokens)
    let points = Set(tokens.map(\.metadata.order))
    #expect(points.count == 70_000)
    for token in tokens where token.metadata.point.band == 0 {
      // verb.social is of quadrant II, noun.animal of III.
      #expect(
        (token.metadata.point.slot < 32_768) == (contents.sectors[Int(token.metadata.sector)].name == "verb.social"))
    }
    #expect(tokens.filter { $0.metadata.point.band == 1 }.count == 70_000 - 65_536)
  }
}
