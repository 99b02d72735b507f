import Bounded

/// SentencePiece's byte-pair model: blanks become U+2581, neighbours merge while a token of them exists, that of
/// the highest score first, the leftmost of equals. What is no token goes byte by byte (`<0x41>`).
struct SentencePieceEncoder {
  /// Each token's score, 4 bytes, in the file.
  private let scores: UnsafeRawPointer
  private let unknown: UInt32?
  private let addsSpace: Bool
  /// The text with its blanks replaced: up to three bytes for one.
  private let mapped: UnsafeMutablePointer<UInt8>
  private let symbols: UnsafeMutablePointer<Symbol>
  private static let textBytes = 3 * InferenceLimits.textBytes + 3

  private struct Symbol {
    var start: Int32
    var end: Int32
    var previous: Int32
    /// -1 behind the last one.
    var next: Int32
    /// Of the token that this one and the next make; minus infinity when there is none.
    var score: Float
  }

  init(_ file: GgufFile, _ count: Int, _ unknown: UInt32?, _ arena: inout Arena) throws(InferenceError) {
    guard let array = try file.array("tokenizer.ggml.scores", of: .float32), array.count == count else {
      throw .badVocabulary
    }
    scores = file.bytes.baseAddress! + array.offset
    self.unknown = unknown
    addsSpace = try file.bool("tokenizer.ggml.add_space_prefix") ?? true
    mapped = try arena.take(Self.textBytes)
    symbols = try arena.take(InferenceLimits.textBytes + 1)
  }

  func encode(_ text: UnsafeRawBufferPointer, isFirst: Bool, _ texts: TextIndex, _ writer: inout TokenWriter)
    throws(InferenceError)
  {
    var length = 0
    var count = 0
    func put(_ from: UnsafeRawBufferPointer) {
      symbols[count] = Symbol(
        start: Int32(length), end: Int32(length + from.count), previous: Int32(count - 1), next: Int32(count + 1),
        score: -.infinity)
      for byte in from {
        mapped[length] = byte
        length += 1
      }
      count += 1
    }
    let blank: StaticString = "\u{2581}"
    let blankBytes = UnsafeRawBufferPointer(start: blank.utf8Start, count: 3)
    if isFirst, addsSpace { put(blankBytes) }
    var at = 0
    while at < text.count {
      let size = character(text, at).length
      put(text[at] == 0x20 ? blankBytes : UnsafeRawBufferPointer(rebasing: text[at..<(at + size)]))
      at += size
    }
    symbols[count - 1].next = -1
    merge(count, texts)
    var i = 0
    while i >= 0 {
      try append(symbols[i], texts, &writer)
      i = Int(symbols[i].next)
    }
  }

  private func bytes(_ start: Int32, _ end: Int32) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: mapped + Int(start), count: Int(end - start))
  }

  private func rate(_ index: Int, _ texts: TextIndex) {
    symbols[index].score = -.infinity
    let next = Int(symbols[index].next)
    guard next >= 0, let token = texts.find(bytes(symbols[index].start, symbols[next].end)) else { return }
    let score = scores.loadUnaligned(fromByteOffset: 4 * token, as: Float.self)
    // A score that is no number would never be the best one.
    symbols[index].score = score.isNaN ? -.infinity : score
  }

  private func merge(_ count: Int, _ texts: TextIndex) {
    for i in 0..<count { rate(i, texts) }
    while true {
      var best = -Float.infinity
      var place = -1
      var i = 0
      while i >= 0 {
        if symbols[i].score > best {
          best = symbols[i].score
          place = i
        }
        i = Int(symbols[i].next)
      }
      guard place >= 0 else { return }
      let right = Int(symbols[place].next)
      symbols[place].end = symbols[right].end
      symbols[place].next = symbols[right].next
      if symbols[right].next >= 0 { symbols[Int(symbols[right].next)].previous = Int32(place) }
      rate(place, texts)
      if symbols[place].previous >= 0 { rate(Int(symbols[place].previous), texts) }
    }
  }

  private func append(_ symbol: Symbol, _ texts: TextIndex, _ writer: inout TokenWriter) throws(InferenceError) {
    if let token = texts.find(bytes(symbol.start, symbol.end)) { return try writer.append(UInt32(token)) }
    let digits: StaticString = "0123456789ABCDEF"
    var name = InlineArray<6, UInt8>(repeating: UInt8(ascii: "<"))
    name[1] = UInt8(ascii: "0")
    name[2] = UInt8(ascii: "x")
    name[5] = UInt8(ascii: ">")
    for byte in bytes(symbol.start, symbol.end) {
      name[3] = digits.utf8Start[Int(byte >> 4)]
      name[4] = digits.utf8Start[Int(byte & 15)]
      if let token = name.span.bytes.withUnsafeBytes({ texts.find($0) }) {
        try writer.append(UInt32(token))
      } else if let unknown {
        try writer.append(unknown)
      }
    }
  }

  /// A token's bytes: a blank for each U+2581, the byte of `<0x41>`.
  static func append(_ text: UnsafeRawBufferPointer, isByte: Bool, to out: inout TextBuffer) {
    if isByte, text.count == 6, let byte = hexByte(text[3], text[4]) {
      return out.append(byte: byte)
    }
    var at = 0
    while at < text.count {
      if text[at] == 0xE2, text.count - at >= 3, text[at + 1] == 0x96, text[at + 2] == 0x81 {
        out.append(byte: 0x20)
        at += 3
      } else {
        out.append(byte: text[at])
        at += 1
      }
    }
  }
}
