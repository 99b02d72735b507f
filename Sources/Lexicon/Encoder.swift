import Bounded

/// Bytes to the compact binary form: words by their ids, everything else so that it comes back exactly.
///
/// Lossless for every input: what a word's id, case and space do not give back byte for byte goes as a
/// literal. Streaming in constant memory: what is left over between two calls is below `inputMinimum`, and the
/// encoded stream does not depend on how the input was cut.
///
/// Not a compressor: it is short where the dictionary knows the words, and at most `bound` elsewhere.
public struct Encoder: ~Escapable {
  let lexicon: LexiconView

  /// Without `isLast` nothing is begun closer than this to the end of the input: the longest look ahead.
  public static let lookahead = 320
  /// An input this large is never handed back whole.
  public static let inputMinimum = 1_024
  /// An output this large always takes something.
  public static let outputMinimum = 1_024
  /// Most that one turn of the loop, and then the last literal, write.
  private static let turnBytes = 320

  @_lifetime(copy lexicon)
  public init(_ lexicon: LexiconView) { self.lexicon = lexicon }

  /// Enough output for that much input in one call: a letter alone can take four bytes.
  public static func bound(_ inputBytes: Int) -> Int { 4 * inputBytes + outputMinimum }

  /// Encodes as much as fits. Hand in again what was not consumed, with more behind it; `isLast` says that
  /// nothing more comes.
  public func encode(
    _ input: RawSpan, isLast: Bool, into output: UnsafeMutableRawBufferPointer
  ) -> Progress {
    guard output.count >= Self.outputMinimum, let base = output.baseAddress else {
      return Progress(consumed: 0, written: 0)
    }
    var writer = StreamWriter(base, limit: base + (output.count - Self.turnBytes))
    let end = isLast ? input.byteCount : input.byteCount - Self.lookahead
    var at = 0
    while at < end, writer.hasRoom { at = turn(input, at, &writer) }
    if isLast, at >= end { writer.flush(input) }
    return Progress(consumed: writer.firstUnwritten(at), written: writer.out - base)
  }

  /// One item from `at` on, after its space if it has one. Returns where to go on.
  @inline(__always) private func turn(_ input: RawSpan, _ start: Int, _ writer: inout StreamWriter) -> Int {
    var at = start
    var byte = input.u8(at)
    var hasSpace = false
    if byte == 0x20 {
      guard at &+ 1 < input.byteCount, Self.isWordLike(input.u8(at &+ 1)) else {
        let count = Self.run(input, at, StreamCode.spacesMaximum)
        writer.flush(input)
        writer.spaces(count)
        return at + count
      }
      hasSpace = true
      at &+= 1
      byte = input.u8(at)
    }
    if byte | 0x20 >= UInt8(ascii: "a"), byte | 0x20 <= UInt8(ascii: "z") {
      if at &+ 16 <= input.byteCount {
        let count = shortWord(input, at, hasSpace, &writer)
        if count > 0 { return at &+ count }
      }
      return at + longWord(input, at, hasSpace, &writer)
    }
    if byte < 0x80 {
      if byte &- UInt8(ascii: "0") < 10 { return at + digits(input, at, hasSpace, &writer) }
      return at + mark(input, at, byte, &writer)
    }
    return at + beyondASCII(input, at, hasSpace, &writer)
  }

  /// Letters, digits and what is not ASCII can carry the space before them.
  @inline(__always) private static func isWordLike(_ byte: UInt8) -> Bool {
    byte >= 0x80 || (byte | 0x20) &- UInt8(ascii: "a") < 26 || byte &- UInt8(ascii: "0") < 10
  }

  // MARK: words

  /// A word of at most 15 ASCII letters in one of the three cases, with 16 bytes readable: in registers.
  /// 0 when it is not such a word; what `longWord` does with it then is what it does always.
  @inline(__always) private func shortWord(
    _ input: RawSpan, _ at: Int, _ hasSpace: Bool, _ writer: inout StreamWriter
  ) -> Int {
    let first = input.u64(at)
    let letters = EightBytes.letters(first)
    var count = EightBytes.run(letters)
    var high: UInt64 = 0
    let kept = WordKey.mask(count)
    var uppers = letters & EightBytes.withoutBit5(first) & kept
    var all = EightBytes.tops & kept
    var isTitle = uppers == 0x80
    if count == 8 {
      let second = input.u64(at &+ 8)
      let more = EightBytes.letters(second)
      let extra = EightBytes.run(more)
      guard extra < 8 else { return 0 }
      count &+= extra
      let keptHigh = WordKey.mask(extra)
      high = (second | 0x2020_2020_2020_2020) & keptHigh
      let uppersHigh = more & EightBytes.withoutBit5(second) & keptHigh
      isTitle = isTitle && uppersHigh == 0
      // One bit to the right, so that both halves' marks fit into one word.
      uppers |= uppersHigh &>> 1
      all |= (EightBytes.tops & keptHigh) &>> 1
    }
    let next = input.u8(at &+ count)
    guard next < 0x80, next != UInt8(ascii: "'") else { return 0 }
    let style: WordCase
    if uppers == 0 {
      style = .lower
    } else if isTitle {
      style = .title
    } else if uppers == all {
      style = .upper
    } else {
      return 0
    }
    let low = (first | 0x2020_2020_2020_2020) & kept
    if !hasSpace, writer.joins(count) {
      writer.literal(at, count, hasSpace: false, input)
      return count
    }
    let index = lexicon.index(of: WordKey(low: low, high: high, count: count))
    if let id = lexicon.id(atIndex: index) {
      writer.flush(input)
      writer.word(id, style, hasSpace)
    } else {
      writer.literal(at, count, hasSpace: hasSpace, input)
    }
    return count
  }

  /// Any word that begins with an ASCII letter. Returns its length in bytes.
  @inline(never) private func longWord(
    _ input: RawSpan, _ at: Int, _ hasSpace: Bool, _ writer: inout StreamWriter
  ) -> Int {
    var word = ScannedWord()
    word.scan(input, at)
    if !hasSpace, writer.joins(word.count) {
      writer.literal(at, word.count, hasSpace: false, input)
      return word.count
    }
    if emit(word, input, hasSpace, &writer) { return word.count }
    // "don't" is a word; "moon's" is "moon" and what follows.
    if word.firstPart < word.count {
      var part = ScannedWord()
      part.scan(input.extracting(0..<(at + word.firstPart)), at)
      if emit(part, input, hasSpace, &writer) { return part.count }
    }
    writer.literal(at, word.count, hasSpace: hasSpace, input)
    return word.count
  }

  private func emit(
    _ word: borrowing ScannedWord, _ input: RawSpan, _ hasSpace: Bool, _ writer: inout StreamWriter
  ) -> Bool {
    guard let style = word.style else { return false }
    let index = lexicon.index(of: 0..<word.count, in: word.text)
    guard let id = lexicon.id(atIndex: index) else { return false }
    writer.flush(input)
    writer.word(id, style, hasSpace)
    return true
  }

  // MARK: the rest

  private func digits(_ input: RawSpan, _ at: Int, _ hasSpace: Bool, _ writer: inout StreamWriter) -> Int {
    var count = 0
    var value: UInt32 = 0
    while count < StreamCode.digitsMaximum, at + count < input.byteCount {
      let digit = input.u8(at + count) &- UInt8(ascii: "0")
      guard digit < 10 else { break }
      value = value * 10 + UInt32(digit)
      count += 1
    }
    if !hasSpace, count <= 2, writer.hasLiteral {
      writer.literal(at, count, hasSpace: false, input)
    } else {
      writer.flush(input)
      writer.digits(value, count, hasSpace)
    }
    return count
  }

  /// A byte of ASCII that is no letter, digit or space.
  private func mark(_ input: RawSpan, _ at: Int, _ byte: UInt8, _ writer: inout StreamWriter) -> Int {
    if at + 1 < input.byteCount, input.u8(at + 1) == byte {
      let count = Self.run(input, at, StreamCode.repeatMaximum)
      if count >= StreamCode.repeatMinimum {
        writer.flush(input)
        writer.repeated(byte, count)
        return count
      }
    }
    let code = StreamCode.code(of: byte)
    if code < 32 {
      writer.flush(input)
      writer.byte(code)
    } else {
      writer.literal(at, 1, hasSpace: false, input)
    }
    return 1
  }

  @inline(never) private func beyondASCII(
    _ input: RawSpan, _ at: Int, _ hasSpace: Bool, _ writer: inout StreamWriter
  ) -> Int {
    let size = utf8SequenceLength(input, at: at)
    if size == 0 {
      let count = Self.run(input, at, StreamCode.repeatMaximum)
      if count >= StreamCode.repeatMinimum {
        writer.flush(input)
        if hasSpace { writer.spaces(1) }
        writer.repeated(input.u8(at), count)
        return count
      }
      writer.literal(at, 1, hasSpace: hasSpace, input)
      return 1
    }
    let point = Unicode.point(input, at, size)
    if Unicode.isWrittenWithoutSpaces(point) { return unspaced(input, at, hasSpace, &writer) }
    guard Unicode.isLetter(point) else {
      writer.literal(at, size, hasSpace: hasSpace, input)
      return size
    }
    return longWord(input, at, hasSpace, &writer)
  }

  /// Han and kana: the longest word of up to five characters from here, else one character as it is.
  private func unspaced(_ input: RawSpan, _ at: Int, _ hasSpace: Bool, _ writer: inout StreamWriter) -> Int {
    var count = 0
    while count < 15, at + count < input.byteCount, utf8SequenceLength(input, at: at + count) == 3,
      Unicode.isWrittenWithoutSpaces(Unicode.point(input, at + count, 3))
    { count += 3 }
    while count > 0 {
      if let id = lexicon.id(of: WordKey(input, at, count)) {
        writer.flush(input)
        writer.word(id, .lower, hasSpace)
        return count
      }
      count -= 3
    }
    writer.literal(at, 3, hasSpace: hasSpace, input)
    return 3
  }

  /// How often the byte at `at` stands there, up to `limit`.
  private static func run(_ input: RawSpan, _ at: Int, _ limit: Int) -> Int {
    let byte = input.u8(at)
    let end = min(input.byteCount, at + limit)
    var next = at + 1
    while next < end, input.u8(next) == byte { next += 1 }
    return next - at
  }
}
