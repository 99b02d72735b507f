import Lexicon

/// The symbols of a file: a table for each language that fills enough leaves, and one for all the others.
struct SymbolTables {
  private(set) var tables: [SymbolTable] = []
  /// The table of each leaf.
  private(set) var tableOfLeaf: [Int]

  /// A table pays for its 2 kB from about here on.
  private static let leavesMinimum = 16

  init(_ contents: Contents) {
    tableOfLeaf = [Int](repeating: 0, count: contents.leaves.count)
    let byLocale = Dictionary(grouping: contents.leaves.indices) { Int(contents.leaves[$0].locale) }
    let own = byLocale.filter { $0.value.count >= Self.leavesMinimum }
      .sorted { $0.value.count != $1.value.count ? $0.value.count > $1.value.count : $0.key < $1.key }
      .prefix(Layout.symbolTablesMaximum - 1)
    var groups = own.map(\.value)
    let taken = Set(own.map(\.key))
    let rest = contents.leaves.indices.filter { !taken.contains(Int(contents.leaves[$0].locale)) }
    if !rest.isEmpty { groups.append(rest) }
    for (number, group) in groups.enumerated() {
      for leaf in group { tableOfLeaf[leaf] = number }
      tables.append(SymbolTable(training: group.flatMap { contents.leaves[$0].tokens.map(\.word) }))
    }
  }

  func compress(_ word: [UInt8], atIndex index: Int) -> [UInt8] {
    tables[tableOfLeaf[index / Layout.leafTokens]].compress(word)
  }
}

/// Up to 254 strings of 1 to 7 bytes that words are put together from; after FSST (Boncz, Neumann, Leis:
/// "FSST: Fast Random Access String Compression", VLDB 2020), with an optimal parse, as building may take time.
struct SymbolTable {
  /// A string of 1 to 7 bytes, the first in the lowest bits.
  struct Symbol: Hashable {
    var bits: UInt64
    var count: Int

    static func < (a: Symbol, b: Symbol) -> Bool { (a.bits, a.count) < (b.bits, b.count) }
  }

  private(set) var symbols: [Symbol] = []
  /// Codes of the symbols that begin with a byte.
  private var byFirst = [[Int]](repeating: [], count: 256)

  /// Trained on every word, or on about 40,000 evenly spread ones.
  init(training words: [[UInt8]]) {
    let step = max(1, words.count / 40_000)
    let sample = stride(from: 0, to: words.count, by: step).map { words[$0] }
    for _ in 0..<8 {
      var gains: [Symbol: Int] = [:]
      for word in sample { count(word, &gains) }
      let best = gains.map { (symbol: $0.key, gain: $0.value * ($0.key.count == 1 ? 2 : $0.key.count)) }
        .sorted { $0.gain != $1.gain ? $0.gain > $1.gain : $0.symbol < $1.symbol }
      symbols = best.prefix(Layout.symbolsMaximum).map(\.symbol)
      byFirst = [[Int]](repeating: [], count: 256)
      for (code, symbol) in symbols.enumerated() { byFirst[Int(symbol.bits & 0xFF)].append(code) }
    }
  }

  /// Adds the symbols that `word` is made of now, and each with its neighbour.
  private func count(_ word: [UInt8], _ gains: inout [Symbol: Int]) {
    var previous: Symbol?
    let codes = compress(word)
    var i = 0
    while i < codes.count {
      let symbol: Symbol
      if codes[i] == Layout.escape {
        symbol = Symbol(bits: UInt64(codes[i + 1]), count: 1)
        i += 2
      } else {
        symbol = symbols[Int(codes[i]) - Layout.firstSymbol]
        i += 1
      }
      gains[symbol, default: 0] += 1
      if let before = previous, before.count + symbol.count <= Layout.symbolBytes {
        let both = Symbol(bits: before.bits | symbol.bits << (8 * before.count), count: before.count + symbol.count)
        gains[both, default: 0] += 1
      }
      previous = symbol
    }
  }

  /// The fewest codes for a word.
  func compress(_ word: [UInt8]) -> [UInt8] {
    let count = word.count
    var cost = [Int](repeating: 0, count: count + 1)
    var choice = [Int](repeating: -1, count: count)
    for i in stride(from: count - 1, through: 0, by: -1) {
      var window: UInt64 = 0
      for j in 0..<min(Layout.symbolBytes, count - i) { window |= UInt64(word[i + j]) << (8 * j) }
      cost[i] = cost[i + 1] + 2
      for code in byFirst[Int(word[i])] {
        let symbol = symbols[code]
        guard symbol.count <= count - i else { continue }
        let mask = (UInt64(1) << (8 * symbol.count)) - 1
        if window & mask == symbol.bits, cost[i + symbol.count] + 1 < cost[i] {
          cost[i] = cost[i + symbol.count] + 1
          choice[i] = code
        }
      }
    }
    var codes: [UInt8] = []
    var i = 0
    while i < count {
      if choice[i] < 0 {
        codes += [Layout.escape, word[i]]
        i += 1
      } else {
        codes.append(UInt8(Layout.firstSymbol + choice[i]))
        i += symbols[choice[i]].count
      }
    }
    return codes
  }

  /// The section of the file: 256 times 8 bytes, each symbol with its length in the uppermost bits.
  var section: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Layout.symbolTableBytes)
    for (number, symbol) in symbols.enumerated() {
      let entry = symbol.bits | UInt64(symbol.count) << Layout.symbolLengthShift
      let at = 8 * (Layout.firstSymbol + number)
      for j in 0..<8 { bytes[at + j] = UInt8(truncatingIfNeeded: entry >> (8 * j)) }
    }
    return bytes
  }
}
