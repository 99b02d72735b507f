import Bounded
import Lexicon
import Wire

/// The same text however it was typed: case, spacing, the punctuation around words, Unicode's compatible and composed
/// forms of what keyboards and copied pages bring.
///
/// Not folded, because it may change what is asked: case behind a number (`5 MB` is not `5 Mb`), words in capitals that
/// would become a pronoun or the like (`US`, `WHO`), signs that stand alone or inside a word (`C++`, `!=`, `5!`, `-5`).
struct NormalForm: ~Copyable {
  private var plain = TextBuffer(capacity: 2 * Limits.questionBytes)
  /// Words separated by one blank.
  private(set) var text = TextBuffer(capacity: 2 * Limits.questionBytes)
  /// Begins with a capital and is not the first word: by the number of the word.
  private(set) var capitals = InlineArray<96, Bool>(repeating: false)
  private(set) var hasCapitals = false
  private(set) var wordCount = 0

  /// `question` is clean UTF-8 of at most `Limits.questionBytes`.
  mutating func read(_ question: RawSpan) {
    fold(question)
    text.removeAll()
    capitals = InlineArray(repeating: false)
    hasCapitals = false
    wordCount = 0
    let hasLower = Self.hasLower(plain.bytes)
    var isBehindNumber = false
    var at = 0
    while at < plain.count {
      let end = Self.wordEnd(plain.bytes, at)
      if end > at, let word = Self.core(plain.bytes, at, end, isLast: Self.isBlank(plain.bytes, from: end)) {
        isBehindNumber = append(word, hasLower: hasLower, isBehindNumber: isBehindNumber)
      }
      at = end + 1
    }
  }

  // MARK: Characters

  /// Blanks, quotes, dashes and wide forms become ASCII, letters with marks one character.
  private mutating func fold(_ question: RawSpan) {
    plain.removeAll()
    var last: UInt32 = 0
    var at = 0
    while at < question.byteCount {
      let size = max(1, utf8SequenceLength(question, at: at))
      let point = utf8Scalar(question, at: at, length: size)
      if let composed = Self.composed(last, point) {
        plain.truncate(to: plain.count - 1)
        plain.append(scalar: composed)
        last = composed
      } else {
        switch point {
        case 0x09, 0x0A, 0x0D, 0xA0, 0x1680, 0x2000...0x200B, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF, 0xBF,
          0xA1:
          plain.append(byte: 0x20)
        case 0x2018, 0x2019, 0x201A, 0x2032, 0x02BC, 0x60, 0xB4: plain.append(byte: 0x27)
        case 0x201C...0x201E, 0xAB, 0xBB, 0x2033: plain.append(byte: 0x22)
        case 0x2010...0x2015, 0x2212: plain.append(byte: 0x2D)
        case 0x2026: plain.append("...")
        case 0xFB01: plain.append("fi")
        case 0xFB02: plain.append("fl")
        case 0xFF01...0xFF5E: plain.append(scalar: point - 0xFEE0)
        default: plain.append(scalar: point)
        }
        last = point
      }
      at += size
    }
  }

  /// The letter of Latin-1 that an ASCII letter and the mark behind it are.
  private static func composed(_ letter: UInt32, _ mark: UInt32) -> UInt32? {
    guard mark >= 0x300, mark <= 0x327, letter < 0x80 else { return nil }
    let isUpper = letter >= 0x41 && letter <= 0x5A
    let small: UInt32? =
      switch (mark, UInt8(truncatingIfNeeded: letter | 0x20)) {
      case (0x300, UInt8(ascii: "a")): 0xE0
      case (0x300, UInt8(ascii: "e")): 0xE8
      case (0x300, UInt8(ascii: "i")): 0xEC
      case (0x300, UInt8(ascii: "o")): 0xF2
      case (0x300, UInt8(ascii: "u")): 0xF9
      case (0x301, UInt8(ascii: "a")): 0xE1
      case (0x301, UInt8(ascii: "e")): 0xE9
      case (0x301, UInt8(ascii: "i")): 0xED
      case (0x301, UInt8(ascii: "o")): 0xF3
      case (0x301, UInt8(ascii: "u")): 0xFA
      case (0x302, UInt8(ascii: "a")): 0xE2
      case (0x302, UInt8(ascii: "e")): 0xEA
      case (0x302, UInt8(ascii: "i")): 0xEE
      case (0x302, UInt8(ascii: "o")): 0xF4
      case (0x302, UInt8(ascii: "u")): 0xFB
      case (0x303, UInt8(ascii: "a")): 0xE3
      case (0x303, UInt8(ascii: "n")): 0xF1
      case (0x303, UInt8(ascii: "o")): 0xF5
      case (0x308, UInt8(ascii: "a")): 0xE4
      case (0x308, UInt8(ascii: "e")): 0xEB
      case (0x308, UInt8(ascii: "i")): 0xEF
      case (0x308, UInt8(ascii: "o")): 0xF6
      case (0x308, UInt8(ascii: "u")): 0xFC
      case (0x30A, UInt8(ascii: "a")): 0xE5
      case (0x327, UInt8(ascii: "c")): 0xE7
      default: nil
      }
    guard let small else { return nil }
    return isUpper ? small - 0x20 : small
  }

  // MARK: Words

  private static func hasLower(_ text: RawSpan) -> Bool {
    for i in 0..<text.byteCount where text[i] >= 0x61 && text[i] <= 0x7A { return true }
    return false
  }

  private static func wordEnd(_ text: RawSpan, _ start: Int) -> Int {
    var end = start
    while end < text.byteCount, text[end] != 0x20 { end += 1 }
    return end
  }

  private static func isBlank(_ text: RawSpan, from start: Int) -> Bool {
    for i in start..<text.byteCount where text[i] != 0x20 { return false }
    return true
  }

  /// The word without the punctuation around it; nil for a question mark that stands alone at the end.
  private static func core(_ text: RawSpan, _ start: Int, _ end: Int, isLast: Bool) -> Range<Int>? {
    var (low, high) = (start, end)
    while low < high, isOpening(text[low]) { low += 1 }
    while high > low, isClosing(text[high - 1]) {
      // A factorial, feet and inches.
      if high - 1 > low, isDigit(text[high - 2]), text[high - 1] != 0x3F, !isPlainEnd(text[high - 1]) { break }
      high -= 1
    }
    for i in low..<high where isLetterOrDigit(text[i]) { return low..<high }
    if isLast, end - start == 1, text[start] == UInt8(ascii: "?") { return nil }
    return start..<end
  }

  private static func isOpening(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "{"), UInt8(ascii: "\""), UInt8(ascii: "'"): true
    default: false
    }
  }

  private static func isPlainEnd(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "."), UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: ":"), UInt8(ascii: ")"),
      UInt8(ascii: "]"), UInt8(ascii: "}"):
      true
    default: false
    }
  }

  private static func isClosing(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "?"), UInt8(ascii: "!"), UInt8(ascii: "\""), UInt8(ascii: "'"): true
    default: isPlainEnd(byte)
    }
  }

  private static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

  private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
    isDigit(byte) || (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7A || byte >= 0x80
  }

  /// Whether the word is a number.
  private mutating func append(_ range: Range<Int>, hasLower: Bool, isBehindNumber: Bool) -> Bool {
    if !text.isEmpty { text.append(" ") }
    let start = text.count
    let first = plain.bytes[range.lowerBound]
    let isCapital = first >= 0x41 && first <= 0x5A
    let keeps = keepsCase(range, hasLower: hasLower, isBehindNumber: isBehindNumber)
    var at = range.lowerBound
    while at < range.upperBound {
      let size = max(1, utf8SequenceLength(plain.bytes, at: at))
      let point = utf8Scalar(plain.bytes, at: at, length: size)
      text.append(scalar: keeps ? point : CaseFold.lower(point))
      at += size
    }
    if isCapital, wordCount > 0, wordCount < Limits.questionWords, hasLower {
      capitals[wordCount] = true
      hasCapitals = true
    }
    wordCount += 1
    for i in start..<text.count where !Self.isDigit(text.bytes[i]) && text.bytes[i] != 0x2E && text.bytes[i] != 0x2C {
      return false
    }
    return text.count > start
  }

  private func keepsCase(_ range: Range<Int>, hasLower: Bool, isBehindNumber: Bool) -> Bool {
    if isBehindNumber || Self.isDigit(plain.bytes[range.lowerBound]) { return range.count <= 12 && letters(range) <= 3 }
    guard hasLower, range.count >= 2, range.count <= 6 else { return false }
    var lower = InlineArray<6, UInt8>(repeating: 0)
    for (i, at) in range.enumerated() {
      let byte = plain.bytes[at]
      guard byte >= 0x41, byte <= 0x5A else { return false }
      lower[i] = byte | 0x20
    }
    return Words.abbreviated.contains(lower.span.bytes.extracting(0..<range.count))
  }

  private func letters(_ range: Range<Int>) -> Int {
    var count = 0
    for i in range where (plain.bytes[i] | 0x20) >= 0x61 && (plain.bytes[i] | 0x20) <= 0x7A { count += 1 }
    return count
  }
}
