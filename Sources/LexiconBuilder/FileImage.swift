import Bounded
import Lexicon

/// A dictionary file, laid out: the same contents give the same bytes.
public struct FileImage {
  public let bytes: [UInt8]

  /// One token in so many has a place of its own: 12 bytes more each, for two thirds of what is looked up.
  public static let tokensForACommonOne = 32

  /// `commonTokens` of the first tokens get such a place.
  public init(_ contents: Contents, commonTokens: Int? = nil) throws(BuildError) {
    let tokens = contents.leaves.flatMap(\.tokens)
    let words = tokens.map(\.word)
    guard !words.isEmpty, words.count <= Layout.tokensMaximum else { throw BuildError("1 to 1,048,576 tokens") }
    let isSmall = words.count <= Layout.smallTokensMaximum
    let hash = try PerfectHash(words)
    let commonCount = min(words.count, commonTokens ?? words.count / Self.tokensForACommonOne)
    let symbols = SymbolTables(contents)
    let (strings, blocks) = Self.strings(words, commonCount, symbols)
    var sections = [[UInt8]](repeating: [], count: Section.allCases.count)
    func set(_ section: Section, _ bytes: [UInt8]) { sections[section.rawValue] = bytes }
    set(.pilots, hash.pilots.flatMap { Self.little($0) })
    set(.slots, Self.slots(hash, isSmall))
    set(.blocks, blocks)
    set(.strings, strings)
    set(.symbols, symbols.tables.flatMap(\.section))
    set(.leafMap, Self.leafMap(contents))
    set(.leaves, contents.leaves.flatMap { Self.entry($0) })
    set(.metadata, tokens.flatMap { Self.little($0.metadata.raw) })
    set(.points, Self.points(tokens, isSmall))
    let sectors = contents.sectors.map { sector in
      [sector.quadrant, UInt8(sector.domain.utf8.count)] + Array(sector.domain.utf8) + Array(sector.name.utf8)
    }
    set(.sectors, try Self.table(sectors))
    set(.locales, try Self.table(contents.locales.map { [0] + $0.utf8 }))
    set(.about, Array(contents.about.utf8))
    let numbers = [
      words.count, hash.slots.count, hash.pilots.count, Int(hash.seed), commonCount, contents.leafSpace,
      contents.leaves.count, Int(contents.generation), isSmall ? 3 : 4,
    ]
    bytes = Self.assemble(numbers.map { UInt32($0) }, sections)
  }

  private static func assemble(_ numbers: [UInt32], _ sections: [[UInt8]]) -> [UInt8] {
    var body: [UInt8] = []
    var table: [UInt8] = []
    for section in sections {
      let checksum = section.withUnsafeBytes { Crc32c.checksum(RawSpan(_unsafeBytes: $0)) }
      let offset = UInt32(Layout.headerBytes + body.count)
      table += little(offset) + little(UInt32(section.count)) + little(checksum) + little(UInt32(0))
      body += section
      while body.count % Layout.alignment != 0 { body.append(0) }
    }
    var head = (0..<8).map { Layout.magic.utf8Start[$0] }
    head += little(Layout.version) + little(UInt32(Layout.headerBytes))
    head += little(UInt64(Layout.headerBytes + body.count))
    head += numbers.flatMap { little($0) }
    precondition(head.count == Layout.checksumOffset && table.count == Layout.headerBytes - Layout.sectionTableOffset)
    let checksum = (head + table).withUnsafeBytes { Crc32c.checksum(RawSpan(_unsafeBytes: $0)) }
    return head + little(checksum) + table + body
  }

  /// The common words' places, zeros, and the codes of each block of 16: those of the words inside, then of
  /// those outside, each behind its number. A word that has a place has none. And what there is of each block.
  private static func strings(
    _ words: [[UInt8]], _ commonCount: Int, _ symbols: SymbolTables
  ) -> (strings: [UInt8], blocks: [UInt8]) {
    func hasPlace(_ i: Int) -> Bool { i < commonCount && words[i].count <= Layout.commonWordBytesMaximum }
    var strings: [UInt8] = []
    for i in 0..<commonCount {
      let word = hasPlace(i) ? words[i] : []
      strings += word + [UInt8](repeating: 0, count: Layout.commonWordBytesMaximum - word.count) + [UInt8(word.count)]
    }
    strings += [UInt8](repeating: 0, count: Layout.stringPadding)
    var blocks: [UInt8] = []
    for first in stride(from: 0, to: words.count, by: Layout.blockTokens) {
      let table = symbols.tableOfLeaf[first / Layout.leafTokens]
      blocks += little(UInt32(strings.count) | UInt32(table) << Layout.blockPlaceBits)
      var numbers: UInt64 = 0
      var outside: [UInt8] = []
      for i in first..<min(first + Layout.blockTokens, words.count) where !hasPlace(i) {
        let codes = symbols.compress(words[i], atIndex: i)
        if codes.count <= Layout.insideCodesMaximum, !codes.contains(Layout.escape) {
          numbers |= UInt64(codes.count) << (4 * (i - first))
          strings += codes
        } else {
          outside += [UInt8(codes.count)] + codes
        }
      }
      blocks += little(numbers)
      strings += outside
    }
    return (strings, blocks)
  }

  private static func slots(_ hash: PerfectHash, _ isSmall: Bool) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(hash.slots.count * 4 + 1)
    for index in hash.slots {
      // A free slot names the first token: a word that comes here differs from it.
      let found = max(0, Int(index))
      let fingerprint = hash.fingerprints[found]
      if isSmall {
        bytes += little(UInt32(found) | (fingerprint & 0xFF) << 16).prefix(3)
      } else {
        bytes += little(UInt32(found) | (fingerprint & 0xFFF) << 20)
      }
    }
    return bytes + [UInt8](repeating: 0, count: Layout.slotPadding)
  }

  private static func leafMap(_ contents: Contents) -> [UInt8] {
    var map = [UInt16](repeating: Layout.absentLeaf, count: contents.leafSpace)
    for (local, leaf) in contents.leaves.enumerated() { map[Int(leaf.number)] = UInt16(local) }
    return map.flatMap { little($0) }
  }

  private static func entry(_ leaf: Leaf) -> [UInt8] {
    var sum = Crc32c()
    for token in leaf.tokens {
      sum.add(UInt8(token.word.count))
      sum.add(token.word.span.bytes)
      sum.add(littleEndian: token.metadata.raw)
    }
    return little(leaf.number) + [leaf.locale, 0] + little(leaf.version) + little(sum.value) + little(UInt32(0))
  }

  /// The tokens' indices in the order of band and slot.
  private static func points(_ tokens: [Token], _ isSmall: Bool) -> [UInt8] {
    let order = tokens.indices.sorted { tokens[$0].metadata.order < tokens[$1].metadata.order }
    return isSmall ? order.flatMap { little(UInt16($0)) } : order.flatMap { little(UInt32($0)) }
  }

  /// A count, then entries of a length and what `entries` has: the number of bytes behind the entry's second.
  private static func table(_ entries: [[UInt8]]) throws(BuildError) -> [UInt8] {
    guard entries.count < 256, entries.allSatisfy({ (2...250).contains($0.count) }) else {
      throw BuildError("a table of sectors or locales is too large")
    }
    return [UInt8(entries.count)] + entries.flatMap { [UInt8($0.count - 1)] + $0 }
  }

  private static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    (0..<(T.bitWidth / 8)).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }
}
