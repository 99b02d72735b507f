import Bounded
import Lexicon
import Wire

/// What the dictionary's commands say, for the control socket and for `skynodctl`: one place for both.

extension LexiconView {
  /// All that the file knows of a token; nil when it does not hold it. Of a byte its point alone.
  public func entry(of id: UInt32) -> WordEntry? {
    var text = WordText()
    guard let count = word(id, into: &text), let word = InlineText<63>(text.span.extracting(0..<count)),
      let metadata = metadata(of: id)
    else { return nil }
    var entry = WordEntry(word: word)
    entry.id = id
    entry.slot = metadata.point.slot
    entry.band = metadata.point.band
    entry.confidence = metadata.confidence.rawValue
    guard id >= UInt32(Layout.byteIds) else { return entry }
    if let sector = sector(Int(metadata.sector)) {
      entry.quadrant = min(max(sector.quadrant, 1), 4)
      entry.sector = InlineText(sector.name) ?? InlineText()
      entry.domain = InlineText(sector.domain) ?? InlineText()
    }
    if let leaf = leaf(index(ofId: id) / Layout.leafTokens), let locale = locale(Int(leaf.locale)) {
      entry.locale = InlineText(locale) ?? InlineText()
    }
    return entry
  }

  /// A word in any case; nil when the file does not hold it.
  public func entry(of word: RawSpan) -> WordEntry? {
    var text = WordText()
    let count = Canonical.lower(word, into: &text)
    guard count > 0, let id = id(of: text.span.extracting(0..<count)) else { return nil }
    return entry(of: id)
  }
}

extension ControlReply {
  /// A token in a list: the fields of the row that is open.
  public mutating func token(_ entry: WordEntry) {
    field("token_id", TokenText.id(entry.id))
    field("hex", TokenText.hex(entry.id))
    field("canonical", entry.word)
    known("sector", entry.domain)
    let point = TokenPoint(band: entry.band, slot: entry.slot)
    fieldScaled("r", Int64(point.radiusTenths), places: 1)
    fieldScaled("theta", TokenText.thetaTenThousandths(point.slot), places: 4)
  }

  /// Everything about one token. `origin` is where that is from: `dictionary`, or `hub` for a learnt word.
  public mutating func tokenInFull(_ entry: WordEntry, origin: StaticString) {
    token(entry)
    known("category", entry.sector)
    field("confidence", TokenText.confidence(entry.confidence))
    field("quadrant", Int(entry.quadrant))
    field("band", Int(entry.band))
    field("slot", Int(entry.slot))
    known("locale", entry.locale)
    field("origin", origin)
  }

  private mutating func known(_ key: StaticString, _ value: InlineText<31>) {
    if value.isEmpty { fieldUnknown(key) } else { field(key, value) }
  }
}

/// How tokens are written.
public enum TokenText {
  /// `T-00847`: at least five digits.
  public static func id(_ id: UInt32) -> InlineText<16> { number(id, radix: 10, prefix: "T-", digits: 5) }
  /// `0x2F15`: at least four.
  public static func hex(_ id: UInt32) -> InlineText<16> { number(id, radix: 16, prefix: "0x", digits: 4) }

  /// An id written in one of these two ways; nil for anything else.
  public static func parse(_ text: RawSpan) -> UInt32? {
    guard text.byteCount > 2, text.byteCount <= 10 else { return nil }
    let isDecimal = (text[0] | 0x20) == UInt8(ascii: "t") && text[1] == UInt8(ascii: "-")
    guard isDecimal || text[0] == UInt8(ascii: "0") && (text[1] | 0x20) == UInt8(ascii: "x") else { return nil }
    var value: UInt32 = 0
    for i in 2..<text.byteCount {
      guard let digit = hexDigit(text[i]), !isDecimal || digit < 10, value < 1 << 24 else { return nil }
      value = value * (isDecimal ? 10 : 16) + UInt32(digit)
    }
    return value < 1 << 24 ? value : nil
  }

  /// 2 pi slot / 65,536 with four decimals, rounded; whole numbers only, so that every board says the same.
  public static func thetaTenThousandths(_ slot: UInt16) -> Int64 {
    (Int64(slot) * 62_831_853_072 / 65_536 + 500_000) / 1_000_000
  }

  public static func confidence(_ value: UInt8) -> StaticString {
    switch value {
    case 3: "stated"
    case 2: "derived"
    case 1: "language"
    default: "guessed"
    }
  }

  private static func number(_ value: UInt32, radix: UInt32, prefix: StaticString, digits: Int) -> InlineText<16> {
    let alphabet: StaticString = "0123456789ABCDEF"
    var text = InlineArray<16, UInt8>(repeating: 0)
    var at = text.count
    var left = value
    while left > 0 || at > text.count - digits {
      at -= 1
      text[at] = alphabet.utf8Start[Int(left % radix)]
      left /= radix
    }
    for i in stride(from: prefix.utf8CodeUnitCount - 1, through: 0, by: -1) {
      at -= 1
      text[at] = prefix.utf8Start[i]
    }
    return InlineText(text.span.bytes.extracting(at..<text.count))!
  }
}
