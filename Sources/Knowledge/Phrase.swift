import Bounded
import Wire

/// A question as matching sees it: its normal form, and its *signature*, the words that two questions must have in
/// common, one by one and in the same order, for one to be answered with the other's answer.
///
/// What is dropped or replaced on the way to the signature is a closed list, in `Words` and here: politeness around the
/// question, contractions, spellings, a few words that mean the same, digits and units in one form, a plural that stands
/// for one of its kind, `X's capital`. Everything else stays: numbers, negation, names, prepositions, tenses.
/// So what is not foreseen here is a miss, never a wrong answer.
///
/// Not a parser of English: a question that is not English has its normal form as signature.
///
/// Invariant: questions with equal normal forms have equal hashes.
public struct Phrase: ~Copyable {
  enum Kind: UInt8 {
    case word, question, negation, scope, number, unit, name
  }

  struct Token {
    var start: UInt16
    var count: UInt16
    var kind: Kind
    var isName: Bool

    var range: Range<Int> { Int(start)..<Int(start) + Int(count) }
  }

  private(set) var normal = NormalForm()
  /// The words on their way to the signature; those that were replaced stay behind unused.
  private var work = TextBuffer(capacity: 8 * Limits.questionBytes)
  private(set) var tokens = InlineArray<128, Token>(repeating: Token(start: 0, count: 0, kind: .word, isName: false))
  private(set) var tokenCount = 0
  private var isFull = false
  public private(set) var isEnglish = false
  /// Equal for questions that may be answered alike, and for equal normal forms: of the signature as if no word were a
  /// name, so that capitals do not hide what was typed in small letters.
  public private(set) var hash: UInt32 = 0

  public init() {}

  /// `question` is clean UTF-8 of at most `Limits.questionBytes`.
  public mutating func read(_ question: RawSpan) {
    normal.read(question)
    split(withNames: false)
    isEnglish = isAnyEnglish
    if isEnglish { reduce() }
    if isFull || work.isTruncated { isEnglish = false }
    guard isEnglish else {
      hash = Crc32c.checksum(normal.text.bytes)
      split(withNames: true)
      return
    }
    hash = signatureHash()
    if split(withNames: true) { reduce() }
  }

  public func withNormal<R>(_ body: (RawSpan) -> R) -> R { body(normal.text.bytes) }

  public func hasSameNormal(as other: borrowing Phrase) -> Bool { Self.areEqual(normal, other.normal) }

  private static func areEqual(_ a: borrowing NormalForm, _ b: borrowing NormalForm) -> Bool {
    a.text.bytes.elementsEqual(b.text.bytes)
  }

  public func hasSameSignature(as other: borrowing Phrase) -> Bool {
    guard isEnglish, other.isEnglish else { return hasSameNormal(as: other) }
    guard tokenCount == other.tokenCount else { return false }
    for i in 0..<tokenCount where !text(i).elementsEqual(other.text(i)) { return false }
    return true
  }

  @_lifetime(borrow self)
  func text(_ index: Int) -> RawSpan {
    work.bytes.extracting(tokens[index].range)
  }

  // MARK: From words to tokens

  /// The words of the normal form as tokens. Nothing is done, and false told, when no word is a name after all.
  @discardableResult
  private mutating func split(withNames: Bool) -> Bool {
    isFull = normal.wordCount > Limits.questionWords
    if isFull { tokenCount = 0 }
    guard !isFull, !withNames || !isEnglish || normal.hasCapitals else { return false }
    work.removeAll()
    tokenCount = 0
    var start = 0
    var word = 0
    let count = normal.text.count
    while start < count {
      var end = start
      while end < count, normal.text.bytes[end] != 0x20 { end += 1 }
      add(start..<end, isName: withNames && normal.capitals[word])
      word += 1
      start = end + 1
    }
    return true
  }

  private mutating func store(_ text: StaticString) -> Token {
    let start = UInt16(work.count)
    work.append(text)
    return Token(start: start, count: UInt16(text.utf8CodeUnitCount), kind: .word, isName: false)
  }

  private mutating func add(_ word: Range<Int>, isName: Bool) {
    guard tokenCount < Limits.questionTokens else {
      isFull = true
      return
    }
    let start = UInt16(work.count)
    for at in word {
      let byte = normal.text.bytes[at]
      work.append(byte: byte)
    }
    tokens[tokenCount] = Token(start: start, count: UInt16(word.count), kind: .word, isName: isName)
    tokenCount += 1
  }

  private mutating func replace(_ index: Int, with text: RawSpan) {
    let start = UInt16(work.count)
    work.append(text)
    tokens[index] = Token(start: start, count: UInt16(text.byteCount), kind: .word, isName: false)
  }
  private mutating func replace(_ index: Int, with text: StaticString) { tokens[index] = store(text) }

  private mutating func remove(_ index: Int) {
    for i in index..<(tokenCount - 1) { tokens[i] = tokens[i + 1] }
    tokenCount -= 1
  }

  private mutating func insert(_ text: StaticString, at index: Int) {
    guard tokenCount < Limits.questionTokens else {
      isFull = true
      return
    }
    for i in stride(from: tokenCount, to: index, by: -1) { tokens[i] = tokens[i - 1] }
    tokens[index] = store(text)
    tokenCount += 1
  }

  private func token(_ index: Int, is text: StaticString) -> Bool {
    index >= 0 && index < tokenCount && self.text(index).elementsEqual(text)
  }

  private func token(_ index: Int, isIn table: WordTable) -> Bool {
    index >= 0 && index < tokenCount && table.contains(text(index))
  }

  private var isAnyEnglish: Bool {
    for i in 0..<tokenCount where token(i, isIn: Words.english) { return true }
    return false
  }

  // MARK: From tokens to the signature

  private mutating func reduce() {
    expandContractions()
    dropPoliteness()
    joinPhrases()
    useNumbersAndUnits()
    turnPossessives()
    reduceNouns()
    for i in 0..<tokenCount { classify(i) }
  }

  /// `isn't` is `is not`, `what's` is `what is`.
  private mutating func expandContractions() {
    var i = 0
    while i < tokenCount {
      if token(i, is: "can't") || token(i, is: "cannot") {
        replace(i, with: "can")
        insert("not", at: i + 1)
      } else if token(i, is: "won't") {
        replace(i, with: "will")
        insert("not", at: i + 1)
      } else if shorten(i, by: "n't") {
        insert("not", at: i + 1)
      } else if shorten(i, by: "'re") {
        insert("are", at: i + 1)
      } else if shorten(i, by: "'ll") {
        insert("will", at: i + 1)
      } else if shorten(i, by: "'ve") {
        insert("have", at: i + 1)
      } else if token(i, is: "i'm") {
        replace(i, with: "i")
        insert("am", at: i + 1)
      } else if token(i, isIn: Self.contracted), shorten(i, by: "'s") {
        insert("is", at: i + 1)
      }
      i += 1
    }
  }

  private static let contracted = WordTable(" what's who's where's when's how's why's it's that's there's here's ")

  /// Takes the ending away; false when the word has another, or would be nothing without it.
  private mutating func shorten(_ index: Int, by ending: StaticString) -> Bool {
    let count = text(index).byteCount
    let rest = count - ending.utf8CodeUnitCount
    guard rest > 0, text(index).extracting(rest..<count).elementsEqual(ending) else { return false }
    tokens[index].count = UInt16(rest)
    return true
  }

  /// What is said around a question, before its own first word only. In whole phrases: `can i tell who called` does not
  /// ask who called.
  private mutating func dropPoliteness() {
    var first = 0
    while token(first, isIn: Self.greeting) { first += 1 }
    first += politePhrase(first)
    if token(first, is: "please") { first += 1 }
    if first > 0, token(first, isIn: Words.question) { for _ in 0..<first { remove(0) } }
    if tokenCount > 1, token(tokenCount - 1, is: "please") { remove(tokenCount - 1) }
  }

  private static let greeting = WordTable(" please hello hi hey ")

  /// How many words from this one on are `could you please tell me` or the like.
  private func politePhrase(_ start: Int) -> Int {
    var at = start
    if token(at, is: "do"), token(at + 1, is: "you"), token(at + 2, is: "know") { return 3 }
    if token(at, is: "i") {
      at += 1
      if token(at, is: "want") {
        at += 1
      } else if token(at, is: "would"), token(at + 1, is: "like") {
        at += 2
      } else {
        return 0
      }
      return token(at, is: "to") && token(at + 1, is: "know") ? at + 2 - start : 0
    }
    if token(at, is: "can") || token(at, is: "could") || token(at, is: "would"), token(at + 1, is: "you") {
      at += 2
      if token(at, is: "please") { at += 1 }
    }
    return token(at, is: "tell") && token(at + 1, is: "me") ? at + 2 - start : 0
  }

  /// `at what time do` and `what time do` are `when do`: of what is once, `when` asks for the day. `how do i` and
  /// `how can i` are `how to`, but not how somebody looks.
  private mutating func joinPhrases() {
    let isHabit = token(2, is: "do") || token(2, is: "does") || token(3, is: "do") || token(3, is: "does")
    if token(0, is: "at"), token(1, is: "what"), token(2, is: "time"), isHabit { remove(0) }
    if token(0, is: "what"), token(1, is: "time"), token(2, is: "do") || token(2, is: "does") {
      remove(0)
      replace(0, with: "when")
    }
    if token(0, is: "how"), token(1, is: "do") || token(1, is: "can"), token(2, is: "i") || token(2, is: "we"),
      !token(3, isIn: Self.state)
    {
      remove(1)
      replace(1, with: "to")
    }
  }

  private static let state = WordTable(
    " look feel sound seem appear smell taste differ compare rank score stand fit weigh measure ")

  // MARK: Numbers

  private mutating func useNumbersAndUnits() {
    var i = 0
    while i < tokenCount {
      if let digit = Words.number.value(of: text(i)) { replace(i, with: digit) }
      dropThousandsMarks(i)
      splitUnit(i)
      if i > 0, isNumber(i - 1), let unit = Words.unit.value(of: text(i)) {
        replace(i, with: unit)
        tokens[i].kind = .unit
      }
      i += 1
    }
  }

  private func isDigit(_ index: Int, _ at: Int) -> Bool { text(index)[at] >= 0x30 && text(index)[at] <= 0x39 }

  private func isNumber(_ index: Int) -> Bool {
    for at in 0..<text(index).byteCount where !isDigit(index, at) && text(index)[at] != 0x2E { return false }
    return text(index).byteCount > 0
  }

  /// `1,000` is `1000`; `1,5` stays.
  private mutating func dropThousandsMarks(_ index: Int) {
    let count = text(index).byteCount
    let first = count % 4
    // Groups of three behind one to three digits.
    guard count > 4, first != 0 else { return }
    for at in 0..<count {
      let isMark = at >= first && (at - first) % 4 == 0
      guard isMark ? text(index)[at] == 0x2C : isDigit(index, at) else { return }
    }
    let start = UInt16(work.count)
    for at in 0..<count {
      let byte = text(index)[at]
      if byte != 0x2C { work.append(byte: byte) }
    }
    tokens[index].start = start
    tokens[index].count = UInt16(work.count) - start
  }

  /// `5km` is `5 km`.
  private mutating func splitUnit(_ index: Int) {
    let count = text(index).byteCount
    var digits = 0
    while digits < count, isDigit(index, digits) || (text(index)[digits] == 0x2E && digits > 0) { digits += 1 }
    guard digits > 0, digits < count, Words.unit.value(of: text(index).extracting(digits..<count)) != nil,
      tokenCount < Limits.questionTokens
    else { return }
    insert("", at: index + 1)
    tokens[index + 1] = tokens[index]
    tokens[index + 1].start += UInt16(digits)
    tokens[index + 1].count -= UInt16(digits)
    tokens[index].count = UInt16(digits)
  }

  // MARK: Nouns

  /// `france's capital` is `capital of france`, where a function word stands before it: else it is a longer name.
  private mutating func turnPossessives() {
    var i = 0
    while i + 1 < tokenCount {
      let isFree = i == 0 || token(i - 1, isIn: Words.function)
      if isFree, token(i + 1, isIn: Words.relation), !isFunctionWithoutEnding(i), shorten(i, by: "'s") {
        turn(i)
      }
      i += 1
    }
  }

  /// Owner and what it has change places; a `the` before them is the owner's.
  private mutating func turn(_ index: Int) {
    let owner = tokens[index]
    tokens[index] = tokens[index + 1]
    tokens[index + 1] = owner
    insert("of", at: index + 1)
    guard token(index - 1, is: "the"), tokenCount > index + 2 else { return }
    let article = tokens[index - 1]
    tokens[index - 1] = tokens[index]
    tokens[index] = tokens[index + 1]
    tokens[index + 1] = article
  }

  private func isFunctionWithoutEnding(_ index: Int) -> Bool {
    let word = text(index)
    return word.byteCount > 2 && Words.function.contains(word.extracting(0..<(word.byteCount - 2)))
  }

  /// Drops `the` of `the capital of`; a plural that stands for one of its kind becomes that one, with `a`.
  private mutating func reduceNouns() {
    // Where the verb is whose plural may be told from "one of its kind" by its ending alone.
    var verb = -1
    var i = 0
    while i < tokenCount {
      // `the water` is not `water`, `the time` is not `time`; whose king or size it is makes it the one anyway.
      if token(i, is: "the"), token(i + 1, isIn: Words.relation), token(i + 2, is: "of") {
        remove(i)
        continue
      }
      if token(i, is: "an") { replace(i, with: "a") }
      if token(i, isIn: Words.function) {
        verb = asksOfKind(i) ? i : -1
      } else if isNumber(i) || token(i, isIn: Words.scope) {
        verb = -1
      } else if !tokens[i].isName {
        // The subject of `do` and `can`; behind `what are`, what ends the question.
        let isPlace = verb >= 0 && (token(verb, is: "are") ? i + 1 == tokenCount : i == verb + 1)
        if isPlace, makeSingular(i) {
          if token(verb, is: "are") { replace(verb, with: "is") }
          if token(verb, is: "do") { replace(verb, with: "does") }
          insert("a", at: verb + 1)
          i += 1
          verb = -1
        }
        if let other = Words.same.value(of: text(i)), !isState(i) { replace(i, with: other) }
      }
      i += 1
    }
  }

  /// `is it shut` does not ask whether it is close.
  private func isState(_ index: Int) -> Bool {
    guard token(index, is: "shut") else { return false }
    for i in 0..<index where token(i, isIn: Self.acting) { return false }
    return true
  }

  private static let acting = WordTable(" do does did can could will would shall should must may to ")

  /// `what are`; `do` and `can` at the beginning or behind these words: `when do buses come` or `how many eggs do birds
  /// lay` may not be asked of one of them.
  private func asksOfKind(_ index: Int) -> Bool {
    if token(index, is: "are") { return index == 1 && token(0, is: "what") }
    guard token(index, is: "do") || token(index, is: "can") else { return false }
    return index == 0 || index == 1 && token(0, isIn: Self.ofKind)
  }

  private static let ofKind = WordTable(" what why how where ")

  private mutating func makeSingular(_ index: Int) -> Bool {
    let count = text(index).byteCount
    guard count >= 4, text(index)[count - 1] == UInt8(ascii: "s"), !Words.fixed.contains(text(index)) else {
      return false
    }
    for at in 0..<count where text(index)[at] < 0x61 || text(index)[at] > 0x7A { return false }
    switch text(index)[count - 2] {
    case UInt8(ascii: "s"), UInt8(ascii: "u"), UInt8(ascii: "i"): return false
    case UInt8(ascii: "e"):
      switch text(index)[count - 3] {
      // Of a leaf or to leave, of a base or a basis.
      case UInt8(ascii: "v"), UInt8(ascii: "s"): return false
      case UInt8(ascii: "i") where count >= 5:
        let start = UInt16(work.count)
        for at in 0..<(count - 3) {
          let byte = text(index)[at]
          work.append(byte: byte)
        }
        work.append("y")
        tokens[index].start = start
        tokens[index].count = UInt16(work.count) - start
      case UInt8(ascii: "x"), UInt8(ascii: "h"): tokens[index].count -= 2
      default: tokens[index].count -= 1
      }
    default: tokens[index].count -= 1
    }
    return true
  }

  private mutating func classify(_ index: Int) {
    guard tokens[index].kind == .word else { return }
    if isDigit(index, 0) {
      tokens[index].kind = .number
    } else if token(index, isIn: Words.negation) {
      tokens[index].kind = .negation
    } else if token(index, isIn: Words.scope) {
      tokens[index].kind = .scope
    } else if token(index, isIn: Words.question) {
      tokens[index].kind = .question
    } else if tokens[index].isName {
      tokens[index].kind = .name
    }
  }

  // MARK: Hash

  private func signatureHash() -> UInt32 {
    var sum = Crc32c()
    for i in 0..<tokenCount {
      sum.add(text(i))
      sum.add(0x20)
    }
    return sum.value
  }
}
