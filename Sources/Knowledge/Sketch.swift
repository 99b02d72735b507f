import Bounded
import Lexicon

/// Which words a text has, for finding its neighbours: a bit for each, and a hash of each. Words are taken by their first
/// letters, so that `closes`, `closing` and `close` meet: neighbours are read by a model, never given as an answer.
public struct Sketch {
  public private(set) var low: UInt64 = 0
  public private(set) var high: UInt64 = 0
  public private(set) var count = 0
  private var words = InlineArray<48, UInt32>(repeating: 0)

  public init() {}

  public init(_ text: RawSpan) { add(text) }

  public mutating func add(_ text: RawSpan) {
    var at = 0
    while at < text.byteCount {
      var word = InlineArray<32, UInt8>(repeating: 0)
      var length = 0
      while at < text.byteCount, let byte = Self.lower(text[at]) {
        if length < 32 { word[length] = byte }
        length += 1
        at += 1
      }
      at += 1
      if length > 0 { add(word, min(length, 32)) }
    }
  }

  /// Whether a word, in small letters, says nothing of what a text is about.
  public static func leavesOut(_ word: RawSpan) -> Bool { Words.function.contains(word) }

  private mutating func add(_ word: InlineArray<32, UInt8>, _ count: Int) {
    guard !Self.leavesOut(word.span.bytes.extracting(0..<count)) else { return }
    var stem = word.span.bytes.extracting(0..<Self.stemLength(word.span.bytes.extracting(0..<count)))
    if let other = Words.same.value(of: word.span.bytes.extracting(0..<count)) { stem = other }
    let hash = Crc32c.checksum(stem)
    for i in 0..<self.count where words[i] == hash { return }
    guard self.count < 48 else { return }
    words[self.count] = hash
    self.count += 1
    if hash & 64 == 0 { low |= 1 << UInt64(hash & 63) } else { high |= 1 << UInt64(hash & 63) }
  }

  /// Letters and digits, the letters small; all that is not ASCII counts as a letter.
  private static func lower(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x41...0x5A: byte | 0x20
    case 0x30...0x39, 0x61...0x7A, 0x80...: byte
    default: nil
    }
  }

  private static func stemLength(_ word: RawSpan) -> Int {
    let count = word.byteCount
    func ends(_ ending: StaticString, least: Int) -> Bool {
      let length = ending.utf8CodeUnitCount
      return count >= least && word.extracting((count - length)..<count).elementsEqual(ending)
    }
    if ends("ing", least: 6) { return count - 3 }
    if ends("es", least: 5) || ends("ed", least: 5) { return count - 2 }
    return ends("s", least: 4) || ends("e", least: 4) ? count - 1 : count
  }

  /// At least as many words as `shared` would find, but for a few whose bits are the same.
  public func overlap(low: UInt64, high: UInt64) -> Int {
    (self.low & low).nonzeroBitCount + (self.high & high).nonzeroBitCount
  }

  public func shared(with other: borrowing Sketch) -> Int {
    var found = 0
    for i in 0..<count { for k in 0..<other.count where words[i] == other.words[k] { found += 1 } }
    return found
  }
}
