import Foundation
import Knowledge
import Testing

@Suite struct NormalFormTests {
  @Test func caseSpacingAndPunctuationAroundWordsDoNotMatter() {
    #expect(normal("  What IS the   Capital of France ?") == "what is the capital of france")
    #expect(normal("\u{201C}What\u{2019}s up\u{201D}, (doc)!") == "what's up doc")
    #expect(normal("\u{FF37}\u{FF28}\u{FF21}\u{FF34} is \u{FB01}ne\u{FF1F}") == "what is fine")
  }

  @Test func composedLettersAreOne() {
    #expect(normal("Was hei\u{DF}t Gru\u{308}\u{DF}e?") == normal("was hei\u{DF}t gr\u{FC}\u{DF}e"))
  }

  @Test func signsThatMeanSomethingStay() {
    #expect(normal("What is C++?") != normal("What is C?"))
    #expect(normal("What is 5!?") != normal("What is 5?"))
    #expect(normal("what does != mean") != normal("what does = mean"))
    #expect(normal("What is -5?") != normal("What is 5?"))
  }

  @Test func caseThatMeansSomethingStays() {
    #expect(normal("How long for 5 MB?") != normal("How long for 5 Mb?"))
    #expect(normal("What does US mean?") != normal("What does us mean?"))
  }
}

@Suite struct SignatureTests {
  /// `same` or `other`, a question, another: of our own making.
  private static let pairs = {
    let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "pairs.tsv")
    let text = try! String(contentsOf: file, encoding: .utf8)
    return text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { $0.split(separator: "\t").map(String.init) }
  }()

  @Test func noTrapIsTakenForItsQuestion() {
    let traps = Self.pairs.filter { $0[0] == "other" }
    #expect(traps.count >= 80)
    for pair in traps { #expect(!isSame(pair[1], pair[2]), "\(pair[1]) / \(pair[2])") }
  }

  @Test func aCleanShareOfParaphrasesIsRecognised() {
    let same = Self.pairs.filter { $0[0] == "same" }
    let hits = same.filter { isSame($0[1], $0[2]) }.count
    #expect(same.count >= 40)
    #expect(hits * 2 >= same.count, "\(hits) of \(same.count)")
  }

  @Test func equalNormalFormsHaveEqualHashes() {
    var count = 0
    for pair in Self.pairs {
      for question in pair[1...] where normal(question) == normal(question.lowercased()) {
        count += 1
        #expect(phrase(question).hash == phrase(question.lowercased()).hash, "\(question)")
      }
    }
    #expect(count > 200)
  }

  @Test func differencesAreNamed() {
    #expect(why("When do 7 buses leave?", "When do 9 buses leave?") == "other number: 7 / 9")
    #expect(why("Is the door not open?", "Is the door open?") == "other negation: not / -")
    #expect(why("Does a dog bite a man?", "Does a man bite a dog?") == "other order of words")
    #expect(why("What is the capital of Spain?", "What is the capital of France?") == "other name: spain / france")
    #expect(why("How long is 5 km?", "How long is 5 miles?") == "other unit: km / mile")
    #expect(why("Are all birds black?", "Are some birds black?") == "other scope: all / some")
    #expect(why("Where is the hub?", "What is the hub?") == "other kind of question: where / what")
  }

  @Test func otherLanguagesAreMatchedByTheirNormalForm() {
    #expect(isSame("Wie hei\u{DF}t die Hauptstadt von Frankreich?", "wie hei\u{DF}t die hauptstadt von frankreich"))
    #expect(!isSame("Was ist die Hauptstadt?", "Was ist Hauptstadt?"))
  }
}
