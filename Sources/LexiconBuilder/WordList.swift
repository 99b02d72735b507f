import Foundation
import Lexicon

/// A word with what its source says of it.
public struct ListedWord: Equatable, Sendable {
  /// Canonical: NFC, lower case, 1 to 63 bytes.
  public var bytes: [UInt8]
  /// Index into the list's sectors.
  public var sector: UInt8
  public var confidence: SectorConfidence
  /// Index into the list's locales.
  public var locale: UInt8
}

/// Ranked words, the commonest first, with sources and licence. `docs/lexicon.md` describes the text form.
///
/// Invariant: no word twice; every index is inside its table.
public struct WordList: Sendable {
  public var words: [ListedWord] = []
  public var sectors: [SectorEntry] = []
  public var locales: [String] = []
  /// The lines that began with `#`: sources, licence, how it was made.
  public var about = ""

  public init() {}

  /// Lines `word TAB sector TAB confidence TAB locale`; those before the first word that begin with `# ` are
  /// the text about the list.
  public init(parsing text: [UInt8]) throws(BuildError) {
    var sectorIndex: [[UInt8]: UInt8] = [:]
    var localeIndex: [[UInt8]: UInt8] = [:]
    var seen = Set<[UInt8]>()
    var about: [UInt8] = []
    for (line, bytes) in text.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
      if bytes.isEmpty { continue }
      if words.isEmpty, bytes.starts(with: [0x23, 0x20]) {
        about += bytes.dropFirst(2) + [0x0A]
        continue
      }
      let fields = bytes.split(separator: 0x09, omittingEmptySubsequences: false)
      guard fields.count == 4 else { throw BuildError("line \(line + 1): not word, sector, confidence, locale") }
      let word = Array(fields[0])
      guard (1...Layout.wordBytesMaximum).contains(word.count) else {
        throw BuildError("line \(line + 1): a word has 1 to \(Layout.wordBytesMaximum) bytes")
      }
      guard seen.insert(word).inserted else { throw BuildError("line \(line + 1): this word was there already") }
      guard let digit = fields[2].first, fields[2].count == 1,
        let confidence = SectorConfidence(rawValue: digit &- 0x30)
      else { throw BuildError("line \(line + 1): confidence is 0 to 3") }
      let sector = try Self.number(Array(fields[1]), &sectorIndex) { (name) throws(BuildError) in
        guard let entry = SectorTable.entry(name) else { throw BuildError("line \(line + 1): unknown sector \(name)") }
        sectors.append(entry)
      }
      let locale = try Self.number(Array(fields[3]), &localeIndex) { (name) throws(BuildError) in
        guard (2...16).contains(name.utf8.count) else { throw BuildError("line \(line + 1): \(name) is no locale") }
        locales.append(name)
      }
      words.append(ListedWord(bytes: word, sector: sector, confidence: confidence, locale: locale))
    }
    guard !words.isEmpty else { throw BuildError("there is no word in the list") }
    self.about = String(decoding: about, as: UTF8.self)
  }

  private static func number(
    _ key: [UInt8], _ index: inout [[UInt8]: UInt8], _ add: (String) throws(BuildError) -> Void
  ) throws(BuildError) -> UInt8 {
    if let found = index[key] { return found }
    guard index.count < 200 else { throw BuildError("more than 200 sectors or locales") }
    try add(String(decoding: key, as: UTF8.self))
    let next = UInt8(index.count)
    index[key] = next
    return next
  }
}

/// What is wrong with an input, for the person who gave it.
public struct BuildError: Error, Equatable, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}
