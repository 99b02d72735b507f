import Bounded

/// GPT-2's byte-pair encoding: words are found by a pattern, their bytes written as printable characters, and pairs
/// merged in the order of the model's list.
///
/// The list of merges stays in the mapped file; a pair is looked up by its text, "left right".
struct BytePairEncoder {
  private let merges: TextIndex
  private let splitsDigits: Bool
  /// The character (at most U+0143) that stands for each byte.
  private let letters: UnsafeMutablePointer<UInt16>
  private let work: Work

  /// Rooms for one word at a time.
  private struct Work {
    /// The word with each byte as the UTF-8 of its character.
    let mapped: UnsafeMutablePointer<UInt8>
    /// Symbols: where each begins in `mapped`; its rank with the next one; the number of the next one.
    let start: UnsafeMutablePointer<UInt32>
    let rank: UnsafeMutablePointer<UInt32>
    let next: UnsafeMutablePointer<UInt32>
    /// "left right", as it stands in the list.
    let pair: UnsafeMutablePointer<UInt8>
  }
  private static let noRank = UInt32.max

  init(_ file: GgufFile, _ arena: inout Arena) throws(InferenceError) {
    guard let array = try file.array("tokenizer.ggml.merges", of: .string) else { throw .missingKey }
    let pattern = try file.text("tokenizer.ggml.pre")
    if let pattern {
      let name = RawSpan(_unsafeBytes: pattern)
      splitsDigits = name.elementsEqual("smollm")
      guard splitsDigits || name.elementsEqual("gpt-2") || name.elementsEqual("gpt2") else { throw .unknownTokenizer }
    } else {
      splitsDigits = false
    }
    merges = try TextIndex(file, array, most: InferenceLimits.merges, &arena)
    letters = try arena.take(256)
    let most = InferenceLimits.textBytes
    work = Work(
      mapped: try arena.take(2 * most), start: try arena.take(most + 1), rank: try arena.take(most + 1),
      next: try arena.take(most + 1), pair: try arena.take(InferenceLimits.tokenBytes))
    guard !arena.isCounting else { return }
    var other: UInt16 = 256
    for byte in 0..<256 {
      if Self.isPrintable(byte) {
        letters[byte] = UInt16(byte)
      } else {
        letters[byte] = other
        other += 1
      }
    }
  }

  /// Bytes that are written as the character of the same number.
  private static func isPrintable(_ byte: Int) -> Bool {
    (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
  }

  // MARK: Words

  func encode(_ text: UnsafeRawBufferPointer, _ texts: TextIndex, _ writer: inout TokenWriter) throws(InferenceError) {
    var at = 0
    while at < text.count {
      // A digit by itself ends what is before it, also for the pattern's look ahead.
      var end = text.count
      if splitsDigits {
        var scan = at
        end = at
        while end < text.count {
          let (code, length) = character(text, scan)
          let isDigit = CharacterKind(code) == .number
          if isDigit, end > at { break }
          scan += length
          end = scan
          if isDigit { break }
        }
      }
      let part = UnsafeRawBufferPointer(rebasing: text[at..<end])
      var from = 0
      while from < part.count {
        let length = Self.wordLength(part, from)
        try encodeWord(UnsafeRawBufferPointer(rebasing: part[from..<(from + length)]), texts, &writer)
        from += length
      }
      at = end
    }
  }

  /// The length of the word at `at`, by the pattern
  /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
  static func wordLength(_ text: UnsafeRawBufferPointer, _ at: Int) -> Int {
    if text[at] == UInt8(ascii: "'"), let length = contraction(text, at) { return length }
    var end = at
    if text[end] == 0x20, end + 1 < text.count, kind(text, end + 1).kind != .space { end += 1 }
    let first = kind(text, end)
    guard first.kind == .space else {
      let wanted = first.kind
      while end < text.count {
        let next = kind(text, end)
        guard next.kind == wanted else { break }
        end += next.length
      }
      return end - at
    }
    // Blanks up to the last one before a word, which belongs to the word.
    var last = end
    while end < text.count {
      let next = kind(text, end)
      guard next.kind == .space else { break }
      last = end
      end += next.length
    }
    return end < text.count && last > at ? last - at : end - at
  }

  /// Letters, numbers, blanks, and all else as one kind.
  private static func kind(_ text: UnsafeRawBufferPointer, _ at: Int) -> (kind: CharacterKind, length: Int) {
    let (code, length) = character(text, at)
    let kind = CharacterKind(code)
    return (kind == .letter || kind == .number || kind == .space ? kind : .other, length)
  }

  private static func contraction(_ text: UnsafeRawBufferPointer, _ at: Int) -> Int? {
    guard at + 1 < text.count else { return nil }
    let first = text[at + 1]
    switch first {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return 2
    default: break
    }
    guard at + 2 < text.count else { return nil }
    switch (first, text[at + 2]) {
    case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")),
      (UInt8(ascii: "l"), UInt8(ascii: "l")):
      return 3
    default: return nil
    }
  }

  // MARK: Merging

  private func encodeWord(_ word: UnsafeRawBufferPointer, _ texts: TextIndex, _ writer: inout TokenWriter)
    throws(InferenceError)
  {
    var mapped = 0
    for byte in word { mapped = put(letters[Int(byte)], mapped) }
    // Each byte is a symbol of its own, as the characters that stand for bytes are.
    var symbols = 0
    var scan = 0
    while scan < mapped {
      work.start[symbols] = UInt32(scan)
      work.next[symbols] = UInt32(symbols + 1)
      symbols += 1
      scan += work.mapped[scan] < 0x80 ? 1 : 2
    }
    work.start[symbols] = UInt32(mapped)
    merge(symbols)
    var i = 0
    while i < symbols {
      let following = Int(work.next[i])
      try put(Int(work.start[i])..<Int(work.start[following]), texts, &writer)
      i = following
    }
  }

  private func put(_ letter: UInt16, _ at: Int) -> Int {
    if letter < 0x80 {
      work.mapped[at] = UInt8(letter)
      return at + 1
    }
    work.mapped[at] = UInt8(0xC0 | letter >> 6)
    work.mapped[at + 1] = UInt8(0x80 | letter & 0x3F)
    return at + 2
  }

  /// Merges the pair of the lowest rank, the leftmost of equals, until none is in the list.
  private func merge(_ count: Int) {
    for i in 0..<count { work.rank[i] = rank(i, end: count) }
    while true {
      var best = Self.noRank
      var place = 0
      var i = 0
      while i < count {
        if work.rank[i] < best {
          best = work.rank[i]
          place = i
        }
        i = Int(work.next[i])
      }
      guard best != Self.noRank else { return }
      let right = Int(work.next[place])
      work.next[place] = work.next[right]
      work.rank[place] = rank(place, end: count)
      // The one in front has a new right side.
      var before = 0
      while before < place {
        let following = Int(work.next[before])
        if following == place {
          work.rank[before] = rank(before, end: count)
          break
        }
        before = following
      }
    }
  }

  private func rank(_ symbol: Int, end: Int) -> UInt32 {
    let middle = Int(work.next[symbol])
    guard middle < end else { return Self.noRank }
    let start = Int(work.start[symbol])
    let split = Int(work.start[middle])
    let stop = Int(work.start[Int(work.next[middle])])
    let length = stop - start + 1
    guard length <= InferenceLimits.tokenBytes else { return Self.noRank }
    for i in start..<split { work.pair[i - start] = work.mapped[i] }
    work.pair[split - start] = 0x20
    for i in split..<stop { work.pair[i - start + 1] = work.mapped[i] }
    guard let found = merges.find(UnsafeRawBufferPointer(start: work.pair, count: length)) else { return Self.noRank }
    return UInt32(found)
  }

  /// A symbol as a token; byte by byte when there is none.
  private func put(_ range: Range<Int>, _ texts: TextIndex, _ writer: inout TokenWriter) throws(InferenceError) {
    let symbol = UnsafeRawBufferPointer(start: work.mapped + range.lowerBound, count: range.count)
    if let token = texts.find(symbol) { return try writer.append(UInt32(token)) }
    var at = range.lowerBound
    while at < range.upperBound {
      let length = work.mapped[at] < 0x80 ? 1 : 2
      if let token = texts.find(UnsafeRawBufferPointer(start: work.mapped + at, count: length)) {
        try writer.append(UInt32(token))
      }
      at += length
    }
  }

  // MARK: Back

  /// The bytes that a token's characters stand for; a character that stands for none is left as it is.
  static func append(_ text: UnsafeRawBufferPointer, to out: inout TextBuffer) {
    var at = 0
    while at < text.count {
      let (code, length) = character(text, at)
      if code < 256, isPrintable(Int(code)) {
        out.append(byte: UInt8(code))
      } else if code >= 256, code < 256 + 68 {
        out.append(byte: hidden(Int(code) - 256))
      } else {
        for i in 0..<length { out.append(byte: text[at + i]) }
      }
      at += length
    }
  }

  /// The byte with this number among those that are not printable: 0 to 32, 127 to 160, 173.
  private static func hidden(_ number: Int) -> UInt8 {
    if number < 33 { return UInt8(number) }
    return number < 67 ? UInt8(127 + number - 33) : 173
  }
}
