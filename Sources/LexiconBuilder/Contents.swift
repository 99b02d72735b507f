import Foundation
import Lexicon

/// A token with its place in the whole dictionary decided.
public struct Token: Equatable, Sendable {
  public var word: [UInt8]
  public var metadata: TokenMetadata
}

/// Up to 256 tokens of one locale.
public struct Leaf: Equatable, Sendable {
  /// The upper bits of the tokens' ids, 1 or more.
  public var number: UInt16
  /// Index into `Contents.locales`.
  public var locale: UInt8
  public var version: UInt32
  public var tokens: [Token]
}

/// All that a dictionary file says, before it is laid out.
///
/// Invariant: leaves ascend by number, and only the last one may be short.
public struct Contents: Sendable {
  public var leaves: [Leaf]
  public var sectors: [SectorEntry]
  public var locales: [String]
  public var about: String
  public var generation: UInt32
  /// Leaves of the whole dictionary, the bytes' leaf included.
  public var leafSpace: Int

  public var tokenCount: Int { leaves.reduce(0) { $0 + $1.tokens.count } }

  /// The locale of leaves that are filled with what was left of all of them.
  public static let mixedLocale = "mul"

  /// Gives every word of a list its id, band and slot.
  ///
  /// Ids: words go, in the list's order, to the open leaf of their locale; a leaf that is full takes the next
  /// number. So a leaf is of one locale, leaves of common words have low numbers, and a subset is a choice of
  /// leaves. Bands are by rank; see `slots` for the rest.
  public init(_ list: WordList, generation: UInt32) throws(BuildError) {
    let room = (TokenPoint.bandCount - 1) * TokenPoint.slotCount + Int(TokenPoint.byteSlot)
    guard list.words.count <= room else { throw BuildError("more than \(room) words") }
    let slots = Self.slots(list)
    sectors = list.sectors
    locales = list.locales + [Self.mixedLocale]
    about = list.about
    self.generation = generation
    var open = [[Int]](repeating: [], count: list.locales.count)
    var full: [(locale: Int, ranks: [Int])] = []
    for (rank, word) in list.words.enumerated() {
      let locale = Int(word.locale)
      open[locale].append(rank)
      if open[locale].count == Layout.leafTokens {
        full.append((locale, open[locale]))
        open[locale] = []
      }
    }
    let rest = open.flatMap { $0 }.sorted()
    for start in stride(from: 0, to: rest.count, by: Layout.leafTokens) {
      full.append((list.locales.count, Array(rest[start..<min(start + Layout.leafTokens, rest.count)])))
    }
    leaves = full.enumerated().map { number, leaf in
      let tokens = leaf.ranks.map { rank in
        let word = list.words[rank]
        let point = TokenPoint(band: UInt8(rank / TokenPoint.slotCount), slot: slots[rank])
        return Token(
          word: word.bytes, metadata: TokenMetadata(point: point, sector: word.sector, confidence: word.confidence))
      }
      return Leaf(number: UInt16(number + 1), locale: UInt8(leaf.locale), version: generation, tokens: tokens)
    }
    leafSpace = leaves.count + 1
  }

  init(
    leaves: [Leaf], sectors: [SectorEntry], locales: [String], about: String, generation: UInt32, leafSpace: Int
  ) {
    self.leaves = leaves
    self.sectors = sectors
    self.locales = locales
    self.about = about
    self.generation = generation
    self.leafSpace = leafSpace
  }

  /// Within a band, words are laid around the circle by quadrant, then by sector, then by rank, evenly: a
  /// sector's arc is as wide as it has words there. The last band leaves the bytes their slots.
  private static func slots(_ list: WordList) -> [UInt16] {
    var slots = [UInt16](repeating: 0, count: list.words.count)
    // Sectors of a quadrant in the order of their names, so that the order of the list's lines does not matter.
    let order = list.sectors.indices.sorted {
      (list.sectors[$0].quadrant, list.sectors[$0].name) < (list.sectors[$1].quadrant, list.sectors[$1].name)
    }
    var place = [Int](repeating: 0, count: order.count)
    for (i, sector) in order.enumerated() { place[sector] = i }
    for start in stride(from: 0, to: list.words.count, by: TokenPoint.slotCount) {
      let band = start / TokenPoint.slotCount
      let end = min(start + TokenPoint.slotCount, list.words.count)
      let room = band == Int(TokenPoint.byteBand) ? Int(TokenPoint.byteSlot) : TokenPoint.slotCount
      let ranks = (start..<end).sorted {
        (place[Int(list.words[$0].sector)], $0) < (place[Int(list.words[$1].sector)], $1)
      }
      for (i, rank) in ranks.enumerated() { slots[rank] = UInt16(i * room / ranks.count) }
    }
    return slots
  }
}

extension Contents {
  /// The contents of a file, for cutting subsets and for merging.
  public init(_ view: borrowing LexiconView) throws(BuildError) {
    var text = WordText()
    var leaves: [Leaf] = []
    for local in 0..<Int(view.header.leafCount) {
      guard let entry = view.leaf(local) else { break }
      var tokens: [Token] = []
      let first = local * Layout.leafTokens
      for index in first..<min(first + Layout.leafTokens, view.tokenCount) {
        guard let id = view.id(atIndex: index), let count = view.word(id, into: &text),
          let metadata = view.metadata(atIndex: index)
        else { throw BuildError("the dictionary cannot be read at index \(index)") }
        tokens.append(Token(word: (0..<count).map { text[$0] }, metadata: metadata))
      }
      leaves.append(Leaf(number: entry.leaf, locale: entry.locale, version: entry.version, tokens: tokens))
    }
    var sectors: [SectorEntry] = []
    for number in 0..<view.sectorCount {
      guard let sector = view.sector(number) else { throw BuildError("the dictionary's sectors cannot be read") }
      sectors.append(
        SectorEntry(name: sector.name.string, domain: sector.domain.string, quadrant: sector.quadrant))
    }
    var locales: [String] = []
    for number in 0..<view.localeCount {
      guard let locale = view.locale(number) else { throw BuildError("the dictionary's locales cannot be read") }
      locales.append(locale.string)
    }
    self.init(
      leaves: leaves, sectors: sectors, locales: locales,
      about: view.about.string, generation: view.header.generation, leafSpace: Int(view.header.leafSpace))
  }

  /// At most `tokens` tokens, in whole leaves: those of `locale` first, the commonest before the others, then
  /// the rest in the dictionary's order. With an empty locale simply the first ones.
  public func subset(tokens: Int, locale: String = "") throws(BuildError) -> Contents {
    var wanted: [Leaf] = []
    if !locale.isEmpty {
      guard let index = locales.firstIndex(of: locale) else {
        throw BuildError("no leaf of locale \(locale); there are \(locales.joined(separator: ", "))")
      }
      wanted = leaves.filter { Int($0.locale) == index }
    }
    wanted += leaves.filter { leaf in locale.isEmpty || locales[Int(leaf.locale)] != locale }
    var left = tokens
    var chosen: [Leaf] = []
    for leaf in wanted where leaf.tokens.count <= left {
      left -= leaf.tokens.count
      chosen.append(leaf)
    }
    guard !chosen.isEmpty else { throw BuildError("a subset has at least one leaf of 256 tokens") }
    var subset = self
    subset.leaves = chosen.sorted { $0.number < $1.number }
    return subset
  }
}

extension RawSpan {
  var string: String { withUnsafeBytes { String(decoding: $0, as: UTF8.self) } }
}
