import Foundation

/// One line of a result: what was measured, beside a peer and a goal where there are any.
struct Metric: Encodable {
  enum Goal {
    case atMost(Double)
    case atLeast(Double)
  }

  let name: String
  let value: Double
  let unit: String
  /// The same of the peer that the benchmark names.
  let peer: Double?
  let goal: Goal?

  init(_ name: String, _ value: Double, _ unit: String, peer: Double? = nil, goal: Goal? = nil) {
    self.name = name
    self.value = value
    self.unit = unit
    self.peer = peer
    self.goal = goal
  }

  /// Ours divided by the peer's.
  var ratio: Double? { peer.flatMap { $0 == 0 ? nil : value / $0 } }

  /// Nil when there is no goal.
  var isMet: Bool? {
    switch goal {
    case .atMost(let limit): value <= limit
    case .atLeast(let limit): value >= limit
    case nil: nil
    }
  }

  var goalText: String? {
    switch goal {
    case .atMost(let limit): "<= " + figure(limit)
    case .atLeast(let limit): ">= " + figure(limit)
    case nil: nil
    }
  }

  private enum CodingKeys: String, CodingKey { case metric, value, unit, peer, ratio, goal, met }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(name, forKey: .metric)
    try container.encode(value, forKey: .value)
    try container.encode(unit, forKey: .unit)
    try container.encode(peer, forKey: .peer)
    try container.encode(ratio, forKey: .ratio)
    try container.encode(goalText, forKey: .goal)
    try container.encode(isMet, forKey: .met)
  }
}

/// Figures beside more than one peer: words in the first column, figures in the others.
struct Table: Encodable {
  let title: String
  let head: [String]
  var rows: [[String]] = []

  func print() {
    Swift.print("\n\(title)")
    printAligned([head] + rows) { $0 > 0 }
  }
}

/// Columns with figures to the right, words to the left.
private func printAligned(_ rows: [[String]], isFigure: (Int) -> Bool) {
  let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
  for row in rows {
    let cells = row.indices.map { column in
      let gap = String(repeating: " ", count: widths[column] - row[column].count)
      return isFigure(column) ? gap + row[column] : row[column] + gap
    }
    print(cells.joined(separator: "  "))
  }
}

/// What a benchmark found out, with what is needed to read the figures.
struct Report: Encodable {
  let benchmark: String
  /// Machine, versions, durations; in the order of printing.
  var notes: [String] = []
  var peer: String?
  var tables: [Table] = []
  var metrics: [Metric] = []

  init(_ benchmark: String) { self.benchmark = benchmark }

  var isMet: Bool { !metrics.contains { $0.isMet == false } }

  private enum CodingKeys: String, CodingKey { case benchmark, notes, peer, tables, metrics, met }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(benchmark, forKey: .benchmark)
    try container.encode(notes, forKey: .notes)
    try container.encode(peer, forKey: .peer)
    if !tables.isEmpty { try container.encode(tables, forKey: .tables) }
    try container.encode(metrics, forKey: .metrics)
    try container.encode(isMet, forKey: .met)
  }

  func print(json: Bool) throws {
    if json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      Swift.print(String(decoding: try encoder.encode(self), as: UTF8.self))
      return
    }
    Swift.print("\(benchmark)" + (peer.map { ", beside \($0)" } ?? ""))
    for note in notes { Swift.print("  \(note)") }
    for table in tables { table.print() }
    if !tables.isEmpty { Swift.print() }
    let head = ["metric", "value", "unit", "peer", "ratio", "goal", "met"]
    let rows = metrics.map { metric in
      [
        metric.name, figure(metric.value), metric.unit, metric.peer.map(figure) ?? "-",
        metric.ratio.map { String(format: "%.2f", $0) } ?? "-", metric.goalText ?? "-",
        metric.isMet.map { $0 ? "yes" : "NO" } ?? "-",
      ]
    }
    printAligned([head] + rows) { [1, 3, 4].contains($0) }
    Swift.print(isMet ? "every goal is met" : "NOT every goal is met")
  }
}

/// At most three decimals, none for whole numbers.
func figure(_ value: Double) -> String {
  if value == value.rounded() { return String(format: "%.0f", value) }
  return String(format: abs(value) < 10 ? "%.3f" : "%.1f", value)
}

struct BenchError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

extension Array where Element == Double {
  /// The middle one of an odd number, the lower middle one of an even number.
  var median: Double { sorted()[(count - 1) / 2] }
}
