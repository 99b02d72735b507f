import Bounded

/// Why one question is not answered with another's answer: the first and weightiest difference of their signatures.
public struct Difference {
  public enum Cause: Sendable {
    case none, negation, number, unit, scope, name, question, word, order

    /// For people.
    public var text: StaticString {
      switch self {
      case .none: "the same"
      case .negation: "other negation"
      case .number: "other number"
      case .unit: "other unit"
      case .scope: "other scope"
      case .name: "other name"
      case .question: "other kind of question"
      case .word: "other word"
      case .order: "other order of words"
      }
    }
  }

  public var cause = Cause.none
  /// Tokens of the two phrases that have no counterpart; -1: none.
  var asked = -1
  var known = -1
}

extension Phrase {
  /// How the question `self` differs from the known one.
  public func difference(from known: borrowing Phrase) -> Difference {
    var result = Difference()
    if hasSameSignature(as: known) { return result }
    result.asked = weightiest(notIn: known)
    result.known = known.weightiest(notIn: self)
    let kinds = (
      result.asked >= 0 ? tokens[result.asked].kind : nil, result.known >= 0 ? known.tokens[result.known].kind : nil
    )
    switch kinds {
    case (nil, nil): result.cause = .order
    case (.negation?, _), (_, .negation?): result.cause = .negation
    case (.number?, _), (_, .number?): result.cause = .number
    case (.unit?, _), (_, .unit?): result.cause = .unit
    case (.scope?, _), (_, .scope?): result.cause = .scope
    case (.name?, _), (_, .name?): result.cause = .name
    case (.question?, .question?): result.cause = .question
    default: result.cause = .word
    }
    return result
  }

  /// `other number: 7 / 9`, with what the one asks before the stroke and what the other knows behind it.
  public func describe(_ difference: Difference, from known: borrowing Phrase, to out: inout TextBuffer) {
    out.append(difference.cause.text)
    guard difference.asked >= 0 || difference.known >= 0 else { return }
    out.append(": ")
    if difference.asked >= 0 { out.append(text(difference.asked)) } else { out.append("-") }
    out.append(" / ")
    if difference.known >= 0 { out.append(known.text(difference.known)) } else { out.append("-") }
  }

  /// Of the tokens that the other phrase has fewer of, the one that weighs most; -1 when there is none.
  private func weightiest(notIn other: borrowing Phrase) -> Int {
    var best = -1
    for i in 0..<tokenCount where occurrences(of: text(i), before: i + 1) > other.occurrences(of: text(i)) {
      if best < 0 || Self.weight(tokens[i].kind) > Self.weight(tokens[best].kind) { best = i }
    }
    return best
  }

  private func occurrences(of word: RawSpan, before end: Int? = nil) -> Int {
    var count = 0
    for i in 0..<(end ?? tokenCount) where text(i).elementsEqual(word) { count += 1 }
    return count
  }

  private static func weight(_ kind: Kind) -> Int {
    switch kind {
    case .negation: 6
    case .number: 5
    case .unit: 4
    case .scope: 3
    case .name: 2
    case .word: 1
    case .question: 0
    }
  }
}
