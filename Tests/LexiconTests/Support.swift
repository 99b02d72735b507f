import Bounded
import Foundation
import Lexicon
import LexiconBuilder
import Testing

/// A small dictionary whose words are easy to say: enough for every kind of block and for absent leaves.
enum Sample {
  static let words: [String] = {
    var words = [
      "the", "of", "and", "a", "to", "in", "hello", "world", "don't", "moon", "don", "grün", "straße", "éclair",
      "привет", "мир", "λόγος", "世界", "世", "file", "name", "http", "i", "ice cream", "antidisestablishmentarianism",
    ]
    words += (0..<12_000).map { "word" + letters($0) }
    words += (0..<200).map { String(repeating: "lång", count: 9) + "\($0)" }
    var seen = Set<String>()
    return words.filter { seen.insert($0).inserted }
  }()

  /// A number in base 20, `a` to `t`.
  private static func letters(_ number: Int) -> String {
    String(number, radix: 20).utf8.map { String(UnicodeScalar($0 < 0x3A ? $0 + 0x31 : $0 + 10)) }.joined()
  }

  static func list(_ words: [String]) -> String {
    "# A list for tests.\n# Licence: none needed.\n"
      + words.enumerated().map { "\($1)\tnoun.Tops\t3\t\($0 % 3 == 0 ? "de" : "en")\n" }.joined()
  }

  static let contents = try! Contents(WordList(parsing: Array(list(words).utf8)), generation: 7)
  static let file = try! FileImage(contents).bytes
}

func withView<R>(_ file: [UInt8], _ body: (borrowing LexiconView) throws -> R) throws -> R {
  try file.withUnsafeBytes { try body(try LexiconView(RawSpan(_unsafeBytes: $0))) }
}

/// A deterministic source; tests print its seed.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  init(_ seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

func encode(_ input: [UInt8], _ view: borrowing LexiconView, chunk: Int? = nil) -> [UInt8] {
  let encoder = Encoder(copy view)
  var stream: [UInt8] = []
  var at = 0
  var window = chunk ?? input.count
  let room = UnsafeMutableRawBufferPointer.allocate(
    byteCount: chunk == nil ? Encoder.bound(input.count) : Encoder.outputMinimum, alignment: 16)
  defer { room.deallocate() }
  while true {
    let end = min(input.count, at + window)
    let isLast = end == input.count
    let step = input[at..<end].withUnsafeBytes { encoder.encode(RawSpan(_unsafeBytes: $0), isLast: isLast, into: room) }
    stream += room[0..<step.written]
    at += step.consumed
    if isLast, at == input.count { return stream }
    // A small window grows until something is consumed, as a reader of a file does it.
    window = step.consumed == 0 && step.written == 0 ? window + 64 : (chunk ?? input.count)
  }
}

func decode(
  _ stream: [UInt8], _ view: borrowing LexiconView, room: Int = 4_096, chunk: Int? = nil
) throws(LexiconError) -> [UInt8] {
  let decoder = Decoder(copy view)
  var bytes: [UInt8] = []
  var at = 0
  let out = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 16)
  defer { out.deallocate() }
  var window = chunk ?? stream.count
  while at < stream.count {
    let end = min(stream.count, at + window)
    let isLast = end == stream.count
    let step = try decoder.decode(stream.span.bytes.extracting(at..<end), isLast: isLast, into: out)
    bytes += out[0..<step.written]
    at += step.consumed
    window = step.consumed == 0 ? window + 1 : (chunk ?? stream.count)
  }
  return bytes
}
