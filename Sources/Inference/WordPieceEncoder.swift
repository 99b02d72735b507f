import Bounded
import CKernels

/// BERT's WordPiece of uncased models: lower case without accents, words and punctuation apart, each word from the
/// longest pieces. In the file, pieces that begin a word start with U+2581.
struct WordPieceEncoder {
  private let unknown: UInt32
  /// One word with U+2581 in front.
  private let word: UnsafeMutablePointer<UInt8>
  /// A longer word is unknown as a whole, as the models' own tokenizers have it.
  private static let wordCharacters = 100
  private static let roomBytes = 3 + 4 * wordCharacters

  init(_ file: GgufFile, _ unknown: UInt32?, _ arena: inout Arena) throws(InferenceError) {
    guard let unknown else { throw .badVocabulary }
    self.unknown = unknown
    word = try arena.take(Self.roomBytes)
    guard !arena.isCounting else { return }
    word[0] = 0xE2
    word[1] = 0x96
    word[2] = 0x81
  }

  func encode(_ text: UnsafeRawBufferPointer, _ texts: TextIndex, _ writer: inout TokenWriter) throws(InferenceError) {
    var length = 3
    var characters = 0
    func add(_ code: UInt32) {
      characters += 1
      guard characters <= Self.wordCharacters else { return }
      length = put(code, length)
    }
    func end() throws(InferenceError) {
      if characters > Self.wordCharacters {
        try writer.append(unknown)
      } else if characters > 0 {
        try encodeWord(length, texts, &writer)
      }
      length = 3
      characters = 0
    }
    var at = 0
    while at < text.count {
      let (raw, size) = character(text, at)
      at += size
      let kind = CharacterKind(raw)
      if kind == .space {
        try end()
        continue
      }
      if raw == 0 || raw == 0xFFFD || kind == .control || kind == .accent { continue }
      if kind == .punctuation || Self.isAsciiSymbol(raw) || Self.isIdeograph(raw) {
        try end()
        add(sky_character_folded(raw))
        try end()
      } else {
        add(sky_character_folded(raw))
      }
    }
    try end()
  }

  private static func isAsciiSymbol(_ code: UInt32) -> Bool {
    switch code {
    case 33...47, 58...64, 91...96, 123...126: true
    default: false
    }
  }

  /// The blocks that BERT's own tokenizer takes character by character.
  private static func isIdeograph(_ code: UInt32) -> Bool {
    switch code {
    case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
      true
    default: false
    }
  }

  private func put(_ code: UInt32, _ at: Int) -> Int {
    func byte(_ value: UInt32) -> UInt8 { UInt8(truncatingIfNeeded: value) }
    switch code {
    case 0..<0x80:
      word[at] = byte(code)
      return at + 1
    case 0x80..<0x800:
      word[at] = byte(0xC0 | code >> 6)
      word[at + 1] = byte(0x80 | code & 0x3F)
      return at + 2
    case 0x800..<0x10000:
      word[at] = byte(0xE0 | code >> 12)
      word[at + 1] = byte(0x80 | code >> 6 & 0x3F)
      word[at + 2] = byte(0x80 | code & 0x3F)
      return at + 3
    default:
      word[at] = byte(0xF0 | code >> 18)
      word[at + 1] = byte(0x80 | code >> 12 & 0x3F)
      word[at + 2] = byte(0x80 | code >> 6 & 0x3F)
      word[at + 3] = byte(0x80 | code & 0x3F)
      return at + 4
    }
  }

  /// The longest piece first; when a part of the word has none, all of it is unknown.
  private func encodeWord(_ length: Int, _ texts: TextIndex, _ writer: inout TokenWriter) throws(InferenceError) {
    let before = writer
    var start = 0
    while start < length {
      var end = length
      var found: Int?
      while end > start {
        found = texts.find(UnsafeRawBufferPointer(start: word + start, count: end - start))
        if found != nil { break }
        end -= 1
      }
      guard let found else {
        writer = before
        return try writer.append(unknown)
      }
      try writer.append(UInt32(found))
      start = end
    }
  }
}
