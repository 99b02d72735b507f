import Bounded
import Wire

/// How alike two questions are, of which one may be answered with the other's answer; the higher the better.
public enum QuestionMatch: UInt8, Comparable, Sendable {
  case guarded, normal, exact

  public static func < (a: QuestionMatch, b: QuestionMatch) -> Bool { a.rawValue < b.rawValue }

  public var token: StaticString {
    switch self {
    case .exact: "exact"
    case .normal: "normalised"
    case .guarded: "guarded"
    }
  }
}

extension Phrase {
  /// Whether this phrase, read from `question`, may be answered with what is known for `other`, which `known` reads.
  public func match(_ question: RawSpan, with other: RawSpan, known: inout Phrase) -> QuestionMatch? {
    if other.elementsEqual(question) { return .exact }
    known.read(other)
    if known.hasSameNormal(as: self) { return .normal }
    return known.hasSameSignature(as: self) ? .guarded : nil
  }
}

/// Which of several entries answers a question: the one that matches best; none when two that only match by their signature
/// have different answers.
public struct QuestionChoice {
  public private(set) var match: QuestionMatch?
  private var isAmbiguous = false

  public init() {}

  /// Whether this entry is the best so far; `hasSameAnswer` as the best before it.
  public mutating func take(_ other: QuestionMatch, hasSameAnswer: Bool) -> Bool {
    if other == .guarded, match == .guarded, !hasSameAnswer { isAmbiguous = true }
    if let match, other <= match { return false }
    match = other
    return true
  }

  /// The best one's match, if it is the answer.
  public var answer: QuestionMatch? { match == .guarded && isAmbiguous ? nil : match }
}
