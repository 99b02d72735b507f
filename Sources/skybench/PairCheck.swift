import Bounded
import Foundation
import Knowledge
import Wire

/// The match on pairs that carry a label: `same` or `other`, kind, question, question. Made by tools/knowledge.
enum PairCheck {
  struct Pair {
    let isSame: Bool
    let kind: String
    let questions: (String, String)
    let verdict: String
  }

  static func run(_ file: String) throws -> Report {
    guard let text = try? String(contentsOfFile: file, encoding: .utf8) else {
      throw BenchError("\(file) is missing: tools/knowledge makes it")
    }
    var report = Report("l0, the match")
    let pairs = try text.split(separator: "\n").map { line in
      let fields = line.split(separator: "\t").map(String.init)
      guard fields.count == 4, ["same", "other"].contains(fields[0]) else { throw BenchError("no pair: \(line)") }
      return Pair(
        isSame: fields[0] == "same", kind: fields[1], questions: (fields[2], fields[3]),
        verdict: verdict(fields[2], fields[3]))
    }
    for isSame in [false, true] {
      let some = pairs.filter { $0.isSame == isSame }
      guard !some.isEmpty else { throw BenchError("\(file) has no pairs that are \(isSame ? "the same" : "others")") }
      report.tables.append(
        table(some, isSame ? "the same question: hits" : "another question: hits, all of them false"))
      let hits = some.filter { $0.verdict != "none" }
      if isSame {
        report.metrics.append(Metric("hits on the same question", 100 * Double(hits.count) / Double(some.count), "%"))
      } else {
        report.metrics += [
          Metric("pairs", Double(pairs.count), "", goal: .atLeast(500)),
          Metric("false hits", Double(hits.count), "", goal: .atMost(0)),
        ]
        report.notes += hits.map { "false, \($0.kind), \($0.verdict): \($0.questions.0) / \($0.questions.1)" }
      }
    }
    let met = collisions(pairs)
    report.notes += met.map { "false, taken for one another: \($0.0) / \($0.1)" }
    report.metrics.append(
      Metric("different questions of the set taken for one another", Double(met.count), "", goal: .atMost(0)))
    return report
  }

  private static func table(_ pairs: [Pair], _ title: String) -> Table {
    var table = Table(title: title, head: ["kind", "pairs", "normalised", "guarded", "none", "%"])
    for kind in Set(pairs.map(\.kind)).sorted() {
      let some = pairs.filter { $0.kind == kind }
      func count(_ verdict: String) -> Int { some.filter { $0.verdict == verdict }.count }
      let none = count("none")
      let rate = 100 * Double(some.count - none) / Double(some.count)
      table.rows.append(
        [kind] + [some.count, count("normalised"), count("guarded"), none].map(String.init)
          + [String(format: "%.1f", rate)])
    }
    return table
  }

  /// As the store decides: the hash leads to an entry, then its normal form or its signature must be equal.
  static func verdict(_ a: String, _ b: String) -> String {
    let first = read(a)
    let second = read(b)
    guard first.hash == second.hash else { return "none" }
    if first.hasSameNormal(as: second) { return "normalised" }
    return first.hasSameSignature(as: second) ? "guarded" : "none"
  }

  static func read(_ question: String) -> Phrase {
    var phrase = Phrase()
    let bytes = Array(question.utf8)
    bytes.withUnsafeBytes { phrase.read(RawSpan(_unsafeBytes: $0)) }
    return phrase
  }

  /// The first questions of `other` pairs beside one another, but those that a rule has lengthened too: none may be
  /// answered with another's answer unless a pair says that they are the same.
  private static func collisions(_ pairs: [Pair]) -> [(String, String)] {
    var groups: [UInt32: Set<String>] = [:]
    for pair in pairs where !pair.isSame && pair.kind != "unit" && pair.kind != "measure" {
      groups[read(pair.questions.0).hash, default: []].insert(pair.questions.0)
    }
    let same = Set(
      pairs.filter(\.isSame).flatMap { [[$0.questions.0, $0.questions.1], [$0.questions.1, $0.questions.0]] })
    var found: [(String, String)] = []
    for group in groups.values where group.count > 1 {
      let questions = group.sorted()
      for (i, a) in questions.enumerated() {
        for b in questions[(i + 1)...] where verdict(a, b) == "guarded" && !same.contains([a, b]) {
          found.append((a, b))
        }
      }
    }
    return found.sorted { $0 < $1 }
  }
}
