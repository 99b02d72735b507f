import Bounded
import CWords
import Foundation
import Lexicon
import LexiconBuilder
import Packing
import Testing

@Suite struct PackingTests {
  static let longest = 3_072

  /// Nil when packing gains nothing.
  static func packed(_ text: [UInt8]) -> [UInt8]? {
    var room = [UInt8](repeating: 0xA5, count: text.count + Packing.spareBytes)
    let count = room.withUnsafeMutableBytes { Packing.pack(text.span.bytes, into: $0) }
    return count.map { Array(room[..<$0]) }
  }

  static func unpacked(_ bytes: [UInt8], longest: Int = longest) -> [UInt8]? {
    var room = [UInt8](repeating: 0xA5, count: longest + Packing.spareBytes)
    let count = room.withUnsafeMutableBytes { Packing.unpack(bytes.span.bytes, into: $0) }
    return count.map { Array(room[..<$0]) }
  }

  static var root: URL {
    URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
  }
  static func list() throws -> [String] {
    let text = try String(contentsOf: root.appending(path: "Sources/CWords/words.txt"), encoding: .utf8)
    return text.split(separator: "\n").map(String.init)
  }

  @Test func whatPeopleAndDevicesSayGetsShorter() throws {
    let texts = [
      ("The gate of the north field is open and the pump has stopped; please send somebody before it gets dark.", 48),
      ("water level is high", 9),
      (#"{"temperature": 21.5, "humidity": 40, "device": "pump", "battery": 87, "status": "ok"}"#, 61),
    ]
    for (text, most) in texts {
      let bytes = Array(text.utf8)
      let packed = try #require(Self.packed(bytes), "\(text) does not get shorter")
      #expect(packed.count <= most, "\(text): \(packed.count) bytes")
      #expect(Self.unpacked(packed) == bytes)
    }
  }

  @Test func whatWouldNotGetShorterStaysAsItIs() {
    #expect(Self.packed([]) == nil)
    #expect(Self.packed(Array("x".utf8)) == nil)
    #expect(Self.packed(Array("Zdrzęś ąłść żółć".utf8)) == nil)
    #expect(Self.packed((0..<200).map { UInt8(truncatingIfNeeded: $0 * 73 + 41) }) == nil)
  }

  @Test func anyBytesComeBack() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<2_000 {
      // Words, marks, digits and rubbish mixed, so that most get shorter.
      var text: [UInt8] = []
      let wanted = Int.random(in: 1...Self.longest, using: &generator)
      while text.count < wanted {
        switch Int.random(in: 0..<5, using: &generator) {
        case 0: text += Array(" the".utf8)
        case 1: text += Array("Temperature: ".utf8)
        case 2: text += Array(String(Int.random(in: 0...9_999_999, using: &generator)).utf8)
        case 3: text += [UInt8](repeating: .random(in: 0...255, using: &generator), count: .random(in: 1...40))
        default: text += (0..<4).map { _ in UInt8.random(in: 0...255, using: &generator) }
        }
      }
      text.removeLast(text.count - wanted)
      guard let packed = Self.packed(text) else { continue }
      #expect(packed.count < text.count)
      #expect(Self.unpacked(packed) == text)
    }
  }

  @Test func damageGivesNothingOrAnotherTextAndNeverMore() throws {
    let packed = try #require(Self.packed(Array(String(repeating: "the water level is high, ", count: 40).utf8)))
    for at in packed.indices {
      for bit in 0..<8 {
        var damaged = packed
        damaged[at] ^= 1 << bit
        if let text = Self.unpacked(damaged) { #expect(text.count <= Self.longest) }
      }
      _ = Self.unpacked(Array(packed[..<at]))
    }
  }

  /// 200 bytes for three: a text that is longer than there is room for is none.
  @Test func whatUnpacksToTooMuchIsNothing() {
    let bomb = [[UInt8]](repeating: [0xEA, 0x20, 0xC7], count: 15).flatMap { $0 }
    #expect(Self.unpacked(bomb, longest: 3_000)?.count == 3_000)
    #expect(Self.unpacked(bomb, longest: 2_999) == nil)
    #expect(Self.unpacked([UInt8](repeating: 0xEA, count: 3_000)) == nil)
  }

  /// The words' places are the protocol's, and the committed file is what the committed list makes.
  @Test func theDictionaryIsThatOfTheList() throws {
    let words = try Self.list()
    #expect(words.count == 4_096 && Set(words).count == 4_096)
    let about =
      "Words of packed message bodies. Sources: WordNet, SCOWL (permissive licences, see NOTICE), words of devices."
    let lines = words.map { "\($0)\tlang.en\t1\ten\n" }.joined()
    let image = try FileImage(Contents(WordList(parsing: Array("# \(about)\n\(lines)".utf8)), generation: 1))
    let file = UnsafeRawBufferPointer(start: sky_words_start(), count: sky_words_bytes())
    #expect(image.bytes.elementsEqual(file))
    let view = try LexiconView(RawSpan(_unsafeBytes: file))
    for (place, word) in words.enumerated() {
      #expect(word.utf8.count <= 63 && view.id(of: Array(word.utf8).span.bytes) == UInt32(place + 256), "\(word)")
    }
  }

  /// The example of docs/protocol.md.
  @Test func theExampleOfTheProtocol() {
    #expect(
      Self.packed(Array("water level is high".utf8)) == [0x80, 0x00, 0xB2, 0x00, 0x70, 0x00, 0x06, 0x00, 0x8F])
  }
}
