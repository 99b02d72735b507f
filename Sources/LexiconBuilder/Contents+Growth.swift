import Lexicon

extension Contents {
  /// This dictionary with more words, as its next generation: every id keeps its word, and whoever has a subset of
  /// the old one can go on using it beside the new.
  ///
  /// Words that are there already are left out. The others rank behind all that are there, in the order of the
  /// list: they fill the last leaf, and then leaves of their own, all of mixed locale. Each takes the first free
  /// slot behind its sector's words in its band.
  ///
  /// Not for subsets: where a leaf is missing its words would be added once more.
  public func adding(_ list: WordList, generation: UInt32) throws(BuildError) -> Contents {
    guard leaves.count == leafSpace - 1 else { throw BuildError("this is a subset; words are added to the whole") }
    var grown = self
    grown.generation = generation
    var known = Set(leaves.flatMap { $0.tokens.map(\.word) })
    let sectorNumbers = try grown.merge(list.sectors)
    let mixed = try grown.merge(locale: Self.mixedLocale)
    var places = SlotTable(leaves)
    for word in list.words where known.insert(word.bytes).inserted {
      let rank =
        grown.leaves.count == 0 ? 0 : (grown.leaves.count - 1) * Layout.leafTokens + grown.leaves.last!.tokens.count
      let band = rank / TokenPoint.slotCount
      let sector = sectorNumbers[Int(word.sector)]
      guard band < TokenPoint.bandCount, let slot = places.take(band: UInt8(band), sector: sector) else {
        throw BuildError("more words than the dictionary has points")
      }
      let metadata = TokenMetadata(
        point: TokenPoint(band: UInt8(band), slot: slot), sector: sector, confidence: word.confidence)
      grown.append(Token(word: word.bytes, metadata: metadata), mixed: mixed)
    }
    grown.leafSpace = grown.leaves.count + 1
    return grown
  }

  private mutating func append(_ token: Token, mixed: UInt8) {
    if let last = leaves.last, last.tokens.count < Layout.leafTokens {
      leaves[leaves.count - 1].tokens.append(token)
      leaves[leaves.count - 1].version = generation
      leaves[leaves.count - 1].locale = mixed
    } else {
      leaves.append(
        Leaf(number: UInt16(leaves.count + 1), locale: mixed, version: generation, tokens: [token]))
    }
  }

  /// The numbers that a list's sectors have here; new ones are added.
  private mutating func merge(_ list: [SectorEntry]) throws(BuildError) -> [UInt8] {
    var numbers: [UInt8] = []
    for sector in list {
      if let there = sectors.firstIndex(where: { $0.name == sector.name }) {
        numbers.append(UInt8(there))
      } else {
        guard sectors.count < 255 else { throw BuildError("more than 255 sectors") }
        numbers.append(UInt8(sectors.count))
        sectors.append(sector)
      }
    }
    return numbers
  }

  private mutating func merge(locale: String) throws(BuildError) -> UInt8 {
    if let there = locales.firstIndex(of: locale) { return UInt8(there) }
    guard locales.count < 255 else { throw BuildError("more than 255 locales") }
    locales.append(locale)
    return UInt8(locales.count - 1)
  }

  /// The first id that has another word, or none, in `next`; nil when every id keeps its word.
  public func firstChangedId(in next: Contents) -> UInt32? {
    let there = [UInt16: Leaf](uniqueKeysWithValues: next.leaves.map { ($0.number, $0) })
    for leaf in leaves {
      // A leaf that the next subset does not hold is gone for its nodes, and garbles nothing.
      guard let other = there[leaf.number] else { continue }
      for (i, token) in leaf.tokens.enumerated() where i >= other.tokens.count || other.tokens[i].word != token.word {
        return UInt32(leaf.number) << 8 | UInt32(i)
      }
    }
    return nil
  }
}

/// Which slots are taken, and where each sector's words end.
private struct SlotTable {
  private var taken: [[Bool]]
  private var ends: [[UInt8: Int]]

  init(_ leaves: [Leaf]) {
    taken = Array(repeating: [], count: TokenPoint.bandCount)
    ends = Array(repeating: [:], count: TokenPoint.bandCount)
    for token in leaves.lazy.flatMap(\.tokens) {
      mark(Int(token.metadata.point.band), Int(token.metadata.point.slot), token.metadata.sector)
    }
  }

  private mutating func mark(_ band: Int, _ slot: Int, _ sector: UInt8) {
    if taken[band].isEmpty { taken[band] = Array(repeating: false, count: TokenPoint.slotCount) }
    taken[band][slot] = true
    ends[band][sector] = max(ends[band][sector] ?? 0, slot)
  }

  mutating func take(band: UInt8, sector: UInt8) -> UInt16? {
    let room = band == TokenPoint.byteBand ? Int(TokenPoint.byteSlot) : TokenPoint.slotCount
    if taken[Int(band)].isEmpty { taken[Int(band)] = Array(repeating: false, count: TokenPoint.slotCount) }
    let start = ends[Int(band)][sector].map { $0 + 1 } ?? 0
    for i in 0..<room {
      let slot = (start + i) % room
      if !taken[Int(band)][slot] {
        mark(Int(band), slot, sector)
        return UInt16(slot)
      }
    }
    return nil
  }
}
