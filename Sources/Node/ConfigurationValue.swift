import Bounded
import Update
import Wire

/// The rules of single values. Each takes a value without surrounding blanks and returns nil when it
/// breaks the rule.
enum ConfigurationValue {
  static func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
  static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
  static func isLetter(_ byte: UInt8) -> Bool {
    let lower = byte | 0x20
    return lower >= UInt8(ascii: "a") && lower <= UInt8(ascii: "z")
  }

  static func firstIndex(of byte: UInt8, in text: RawSpan) -> Int? {
    for i in 0..<text.byteCount where text[i] == byte { return i }
    return nil
  }

  /// Where the text goes on after `prefix`; nil when it does not start with it.
  static func afterPrefix(_ prefix: StaticString, of text: RawSpan) -> Int? {
    let length = prefix.utf8CodeUnitCount
    guard text.byteCount >= length, text.extracting(0..<length).elementsEqual(prefix) else { return nil }
    return length
  }

  @_lifetime(copy text)
  static func trimmed(_ text: RawSpan) -> RawSpan {
    var start = 0
    var end = text.byteCount
    while start < end, isBlank(text[start]) { start += 1 }
    while end > start, isBlank(text[end - 1]) { end -= 1 }
    return text.extracting(start..<end)
  }

  /// True for `value # remark`: a remark taken for a part of a path or a ticket is hard to find.
  static func hasTrailingComment(_ value: RawSpan) -> Bool {
    for i in 1..<max(1, value.byteCount) where value[i] == UInt8(ascii: "#") && isBlank(value[i - 1]) { return true }
    return value.byteCount > 0 && value[0] == UInt8(ascii: "#")
  }

  static func isKeyLike(_ name: RawSpan) -> Bool {
    for i in 0..<name.byteCount {
      let byte = name[i]
      guard isLetter(byte) || isDigit(byte) || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-") else {
        return false
      }
    }
    return true
  }

  // MARK: Numbers with units

  /// Digits alone, without a leading zero.
  static func decimal(_ text: RawSpan) -> UInt64? {
    guard text.byteCount == 1 || (text.byteCount > 0 && text[0] != UInt8(ascii: "0")) else { return nil }
    return parseDecimal(text)
  }

  /// How many of the first bytes are digits.
  private static func digitCount(_ text: RawSpan) -> Int {
    var i = 0
    while i < text.byteCount, isDigit(text[i]) { i += 1 }
    return i
  }

  private static func scaled(_ number: RawSpan, by factor: UInt64) -> UInt64? {
    guard let value = decimal(number) else { return nil }
    let (product, overflow) = value.multipliedReportingOverflow(by: factor)
    return overflow ? nil : product
  }

  /// `500ms`, `10s`, `5m`, `24h`, in milliseconds.
  static func durationMs(_ text: RawSpan) -> UInt64? {
    let digits = digitCount(text)
    let unit = text.extracting(digits..<text.byteCount)
    let factor: UInt64
    if unit.elementsEqual("ms") {
      factor = 1
    } else if unit.elementsEqual("s") {
      factor = 1_000
    } else if unit.elementsEqual("m") {
      factor = 60_000
    } else if unit.elementsEqual("h") {
      factor = 3_600_000
    } else {
      return nil
    }
    return scaled(text.extracting(0..<digits), by: factor)
  }

  /// `64kB`, `32MiB` and so on, with or without a blank before the unit, in bytes; 0 needs no unit.
  static func sizeBytes(_ text: RawSpan) -> UInt64? {
    if text.elementsEqual("0") { return 0 }
    let digits = digitCount(text)
    let unit = trimmed(text.extracting(digits..<text.byteCount))
    let factor: UInt64
    if unit.elementsEqual("kB") {
      factor = 1_000
    } else if unit.elementsEqual("KiB") {
      factor = 1 << 10
    } else if unit.elementsEqual("MB") {
      factor = 1_000_000
    } else if unit.elementsEqual("MiB") {
      factor = 1 << 20
    } else if unit.elementsEqual("GB") {
      factor = 1_000_000_000
    } else if unit.elementsEqual("GiB") {
      factor = 1 << 30
    } else {
      return nil
    }
    return scaled(text.extracting(0..<digits), by: factor)
  }

  static func celsius(_ text: RawSpan) -> UInt64? {
    guard let value = decimal(text), value <= 150 else { return nil }
    return value
  }

  /// `30` or `30%`.
  static func percent(_ text: RawSpan) -> UInt64? {
    var number = text
    if text.byteCount > 0, text[text.byteCount - 1] == UInt8(ascii: "%") {
      number = trimmed(text.extracting(0..<(text.byteCount - 1)))
    }
    guard let value = decimal(number), value <= 100 else { return nil }
    return value
  }

  // MARK: Words

  static func path<let capacity: Int>(_ text: RawSpan) -> InlineText<capacity>? {
    guard text.byteCount > 0, text[0] == UInt8(ascii: "/") else { return nil }
    return InlineText(text)
  }

  /// Printable ASCII without blanks.
  static func isOneWord(_ text: RawSpan) -> Bool {
    for i in 0..<text.byteCount where text[i] <= 0x20 || text[i] >= 0x7F { return false }
    return text.byteCount > 0
  }

  /// A number, or a name as groupadd(8) takes it.
  static func isGroup(_ text: RawSpan) -> Bool {
    guard text.byteCount > 0 else { return false }
    if isDigit(text[0]) {
      // 2^32 - 1 is "no group" to the kernel.
      guard let value = decimal(text) else { return false }
      return value < UInt64(UInt32.max)
    }
    guard isLetter(text[0]) || text[0] == UInt8(ascii: "_") else { return false }
    return isKeyLike(text)
  }

  static func duties(_ text: RawSpan) -> Duties? {
    var words = ConfigurationWords(text)
    var duties: Duties = []
    while let range = words.next() {
      let known = Duties.names
      var found: Duties?
      for i in 0..<known.count where text.extracting(range).elementsEqual(known[i].name) { found = known[i].duty }
      guard let found else { return nil }
      duties.insert(found)
    }
    return duties
  }

  static func logLevel(_ text: RawSpan) -> Configuration.LogLevel? {
    if text.elementsEqual("error") { return .error }
    if text.elementsEqual("warning") { return .warning }
    if text.elementsEqual("info") { return .info }
    if text.elementsEqual("debug") { return .debug }
    return nil
  }

  static func updatePolicy(_ text: RawSpan) -> UpdatePolicy? {
    if text.elementsEqual("off") { return .off }
    if text.elementsEqual("ask") { return .ask }
    if text.elementsEqual("auto") { return .auto }
    return nil
  }

  static func sealPolicy(_ text: RawSpan) -> SealPolicy? {
    if text.elementsEqual("prefer") { return .prefer }
    if text.elementsEqual("require") { return .require }
    if text.elementsEqual("off") { return .off }
    return nil
  }

  static func upstream(_ text: RawSpan) -> Configuration.Upstream? {
    if text.elementsEqual("off") { return .off }
    if text.elementsEqual("hub") { return .hub }
    return nil
  }

  /// Whole seconds, up to a year; 0 needs no unit.
  static func keepS(_ text: RawSpan) -> UInt32? {
    if text.elementsEqual("0") { return 0 }
    guard let ms = durationMs(text), ms % 1_000 == 0, ms <= 365 * 86_400_000 else { return nil }
    return UInt32(ms / 1_000)
  }

  /// Exactly 64 hex digits, in either case.
  static func hex32(_ text: RawSpan) -> InlineArray<32, UInt8>? {
    guard text.byteCount == 64 else { return nil }
    var bytes = InlineArray<32, UInt8>(repeating: 0)
    for i in 0..<32 {
      guard let byte = hexByte(text[2 * i], text[2 * i + 1]) else { return nil }
      bytes[i] = byte
    }
    return bytes
  }

  /// Levenshtein's distance, saying 99 for names that cannot be keys.
  static func editDistance(_ a: RawSpan, _ b: StaticString) -> Int {
    let width = b.utf8CodeUnitCount
    guard a.byteCount <= ConfigurationError.keyTextBytes, width <= ConfigurationError.keyTextBytes else { return 99 }
    var row = InlineArray<33, Int> { $0 }
    for i in 0..<a.byteCount {
      var diagonal = row[0]
      row[0] = i + 1
      for j in 0..<width {
        let replaced = diagonal + (a[i] == b.utf8Start[j] ? 0 : 1)
        diagonal = row[j + 1]
        row[j + 1] = min(replaced, diagonal + 1, row[j] + 1)
      }
    }
    return row[width]
  }
}

/// The ranges of the words of a text, separated by blanks.
struct ConfigurationWords: ~Escapable {
  private let text: RawSpan
  private var offset = 0

  @_lifetime(copy text)
  init(_ text: RawSpan) { self.text = text }

  @_lifetime(self: copy self)
  mutating func next() -> Range<Int>? {
    while offset < text.byteCount, ConfigurationValue.isBlank(text[offset]) { offset += 1 }
    guard offset < text.byteCount else { return nil }
    let start = offset
    while offset < text.byteCount, !ConfigurationValue.isBlank(text[offset]) { offset += 1 }
    return start..<offset
  }
}
