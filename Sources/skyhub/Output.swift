import Foundation
import Hub

/// Columns of text for people: as wide as their longest cell, two spaces between them.
struct Table {
  private var rows: [[String]]

  init(_ headings: String...) { rows = [headings] }

  mutating func add(_ cells: String...) { rows.append(cells) }

  func print() {
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    for row in rows {
      let cells = zip(row, widths).map { $0.padding(toLength: max($1, $0.count), withPad: " ", startingAt: 0) }
      let line = cells.joined(separator: "  ")
      Swift.print(line.replacing(#/ +$/#, with: ""))
    }
  }
}

/// Prints a value as indented JSON with sorted keys, so that two runs compare.
func printJson(_ value: some Encodable) throws {
  let encoder = JSONEncoder()
  encoder.keyEncodingStrategy = .convertToSnakeCase
  encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
  print(String(decoding: try encoder.encode(value), as: UTF8.self))
}

/// How long ago, in its largest unit; `-` for never.
func ago(_ seconds: Int64?, now: Int64) -> String {
  guard let seconds else { return "-" }
  return "\(span(max(0, now - seconds))) ago"
}

/// A number of seconds in its largest unit.
func span(_ seconds: Int64) -> String {
  switch seconds {
  case ..<60: "\(seconds) s"
  case ..<3_600: "\(seconds / 60) min"
  case ..<86_400: "\(seconds / 3_600) h"
  default: "\(seconds / 86_400) d"
  }
}

/// Text from a node, safe for a terminal: control characters become U+FFFD.
func printable(_ text: String) -> String {
  String(
    String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 }))
}
