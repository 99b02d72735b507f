import Bounded
import Lexicon
import LexiconBuilder
import Testing

/// The file's format, byte by byte as docs/lexicon.md has it, read without the code of `Lexicon`.
@Suite struct FormatTests {
  @Test func aReaderWrittenFromTheDocumentFindsEveryWord() throws {
    let reader = PlainReader(Sample.file)
    var seen = Set<PlainReader.Kind>()
    for (index, word) in Sample.contents.leaves.flatMap(\.tokens).map(\.word).enumerated() {
      let (text, kind) = reader.word(index)
      #expect(text == word)
      #expect(reader.index(of: word) == index)
      seen.insert(kind)
    }
    #expect(seen == Set(PlainReader.Kind.allCases), "the sample has a word of each kind")
  }

  @Test func theHashIsThatOfTheDocument() {
    for (word, hash) in [
      ("a", 0xC771_EBEB_C087_7B8C), ("dictionary", 0x5A3E_2D5E_6528_BC13), ("exactly 16 bytes", 0x1067_16F1_E768_F6F1),
      ("thirty-three bytes: three parts x", 0x7854_1516_5DC8_B044),
    ] as [(String, UInt64)] {
      #expect(WordHash.of(Array(word.utf8).span.bytes, start: WordHash.start(1)) == hash, "\(word)")
      #expect(PlainReader.hash(Array(word.utf8), seed: 1) == hash, "\(word)")
    }
  }

  @Test func aFileOfAnotherVersionIsRefused() {
    for version in [UInt8(0), 1, 2, 4, 255] {
      var file = Sample.file
      file[8] = version
      #expect(throws: LexiconError.unknownVersion) { try withView(file) { _ in } }
    }
  }
}

/// Reads a good file the slow way.
private struct PlainReader {
  enum Kind: CaseIterable {
    case place, fewCodes, manyCodes, outsideForItsNumber, outsideForAnEscape
  }

  let file: [UInt8]

  init(_ file: [UInt8]) { self.file = file }

  func number(_ at: Int, _ bytes: Int) -> Int { (0..<bytes).reduce(0) { $0 | Int(file[at + $1]) << (8 * $1) } }
  func start(_ section: Int) -> Int { number(64 + 16 * section, 4) }

  func word(_ index: Int) -> (text: [UInt8], kind: Kind) {
    let strings = start(3)
    let commonCount = number(40, 4)
    func placeCount(_ i: Int) -> Int { i < commonCount ? Int(file[strings + 16 * i + 15]) : 0 }
    if placeCount(index) > 0 {
      return (Array(file[(strings + 16 * index)...].prefix(placeCount(index))), .place)
    }
    let block = start(2) + 12 * (index / 16)
    let numbers = (0..<16).map { Int(file[block + 4 + $0 / 2] >> (4 * UInt8($0 % 2)) & 15) }
    let table = start(4) + 2_048 * (number(block, 4) >> 27)
    var at = strings + number(block, 4) & 0x7FF_FFFF
    var count = numbers[index % 16]
    if count > 0 {
      at += numbers[..<(index % 16)].reduce(0, +)
    } else {
      at += numbers.reduce(0, +)
      for i in (index / 16 * 16)..<index where numbers[i % 16] == 0 && placeCount(i) == 0 { at += 1 + Int(file[at]) }
      count = Int(file[at])
      at += 1
    }
    let codes = Array(file[at..<(at + count)])
    var text: [UInt8] = []
    var i = 0
    while i < codes.count {
      if codes[i] == 255 {
        text.append(codes[i + 1])
        i += 2
      } else {
        let symbol = table + 8 * Int(codes[i])
        text += file[symbol..<(symbol + Int(file[symbol + 7]) >> 5)]
        i += 1
      }
    }
    let isOutside = numbers[index % 16] == 0
    return (
      text, isOutside ? count > 15 ? .outsideForItsNumber : .outsideForAnEscape : count > 8 ? .manyCodes : .fewCodes
    )
  }

  static func hash(_ word: [UInt8], seed: UInt64) -> UInt64 {
    var hash = seed &* 0xC2B2_AE3D_27D4_EB4F
    var rest = word[...]
    while !rest.isEmpty {
      let part = rest.prefix(16)
      rest = rest.dropFirst(16)
      func eight(_ from: Int) -> UInt64 {
        part.dropFirst(from).prefix(8).enumerated().reduce(0) { $0 | UInt64($1.element) << (8 * UInt64($1.offset)) }
      }
      let length = rest.isEmpty ? UInt64(part.count) << 56 : 0
      let product = UInt128(hash ^ eight(0)) * UInt128(eight(8) ^ length ^ 0x9E37_79B9_7F4A_7C15)
      hash = UInt64(truncatingIfNeeded: product >> 64) ^ UInt64(truncatingIfNeeded: product)
    }
    return hash
  }

  /// The index in the word's slot, when the fingerprint agrees.
  func index(of word: [UInt8]) -> Int? {
    func reduce(_ hash: UInt64, _ limit: Int) -> Int { Int((UInt128(hash) * UInt128(limit)) >> 64) }
    let hash = Self.hash(word, seed: UInt64(number(36, 4)))
    let pilot = UInt64(number(start(0) + 2 * reduce(hash, number(32, 4)), 2))
    let slot = start(1) + 3 * reduce((hash ^ pilot) &* 0xA076_1D64_78BD_642F, number(28, 4))
    return Int(file[slot + 2]) == Int(hash & 255) ? number(slot, 2) : nil
  }
}
