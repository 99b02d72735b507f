import Bounded
import Foundation
import Lexicon
import LexiconBuilder
import Testing

/// decode(encode(x)) == x, for every x. `tools/lexicon-roundtrip` does the same with the machine's documentation.
@Suite struct RoundTripTests {
  private func check(_ input: [UInt8], _ view: borrowing LexiconView, _ comment: String = "") throws {
    let stream = encode(input, view)
    let back = try decode(stream, view)
    let isSame = back == input
    #expect(isSame, "\(comment) \(input.prefix(200))")
    #expect(stream.count <= Encoder.bound(input.count))
  }

  @Test func textsWithEveryKindOfItem() throws {
    try withView(Sample.file) { view in
      let texts = [
        "", " ", "  ", "\n", "a", "A", "Hello world", "hello, WORLD! Don't the moon's DON'T dOn'T",
        "  the   of\t\tand  ",
        "GRÜN Grün grün gRün STRASSE STRAßE Éclair ÉCLAIR ПРИВЕТ Привет, мир ΛΌΓΟΣ Λόγος λόγος 世界 世界世 界",
        "fileName FileNAME fileNameHttp HTTPName 007 0 00 123456789 1234567890 99 a1b2 x7 7x the7", "ice cream",
        "antidisestablishmentarianism ANTIDISESTABLISHMENTARIANISM", "=======\n-----\n\n\n\n\0\0\0\0\0\u{1}\u{2} \u{1}",
        "\u{FEFF}“the” – of…", "e\u{301}clair E\u{301}CLAIR", String(repeating: "x", count: 700),
        String(repeating: "the ", count: 300), String(repeating: " ", count: 1_000), "don'", "'don", "the'", " 'the",
        String(repeating: "lång", count: 9) + "7", String(repeating: "LÅNG", count: 9) + "7",
      ]
      for text in texts { try check(Array(text.utf8), view) }
    }
  }

  @Test func everyAssignedCodePointAloneAndInWords() throws {
    try withView(Sample.file) { view in
      var all: [UInt8] = []
      for value in UInt32(0)...0x10FFFF {
        guard let scalar = Unicode.Scalar(value), scalar.properties.generalCategory != .unassigned else { continue }
        let utf8 = Array(String(scalar).utf8)
        all += utf8 + [0x20] + utf8 + [0x61] + utf8 + utf8 + [0x42]
        if all.count > 60_000 {
          try check(all, view, "up to U+\(String(value, radix: 16))")
          all = []
        }
      }
      try check(all, view)
    }
  }

  @Test func randomBytesAndInvalidUTF8() throws {
    let seed = UInt64.random(in: 0 ... .max)
    var random = SplitMix(seed)
    let pieces: [[UInt8]] = [
      [0xC3], [0xC3, 0x28], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82], [0xFF, 0xFE], [0x80],
      Array("the".utf8), Array("Hello".utf8), [0x20], [0x20, 0x20], Array("42".utf8), [0x27], [0xC3, 0xBC], [0],
      Array("世界".utf8), Array("Straße".utf8), [0x0A],
    ]
    try withView(Sample.file) { view in
      for round in 0..<100_000 {
        var input: [UInt8] = []
        let count = Int.random(in: 0...40, using: &random)
        switch round % 3 {
        case 0: for _ in 0..<count { input.append(UInt8.random(in: 0...255, using: &random)) }
        case 1: for _ in 0..<count / 2 { input += pieces.randomElement(using: &random)! }
        default: for _ in 0..<count { input.append(UInt8.random(in: 0x1F...0x7F, using: &random)) }
        }
        let back = try decode(encode(input, view), view)
        guard back == input else {
          Issue.record("seed \(seed), round \(round): \(input)")
          return
        }
      }
    }
  }

  @Test func theStreamDoesNotDependOnHowTheInputIsCut() throws {
    let seed = UInt64.random(in: 0 ... .max)
    var random = SplitMix(seed)
    var input: [UInt8] = []
    while input.count < 50_000 {
      switch Int.random(in: 0..<6, using: &random) {
      case 0:
        for _ in 0..<Int.random(in: 0...200, using: &random) { input.append(UInt8.random(in: 0...255, using: &random)) }
      case 1: input += [UInt8](repeating: 0x20, count: Int.random(in: 1...600, using: &random))
      case 2: input += [UInt8](repeating: 0xFF, count: Int.random(in: 1...600, using: &random))
      default: input += Array((Sample.words.randomElement(using: &random)! + " ").utf8)
      }
    }
    try withView(Sample.file) { view in
      let whole = encode(input, view)
      for chunk in [Encoder.inputMinimum, 1_500, 4_096] {
        let cut = encode(input, view, chunk: chunk)
        #expect(cut == whole, "seed \(seed), chunk \(chunk)")
      }
      for (room, chunk) in [(Decoder.outputMinimum, 64), (1_000, 1_000), (70_000, 3)] {
        let back = try decode(whole, view, room: room, chunk: chunk)
        #expect(back == input, "seed \(seed), room \(room), chunk \(chunk)")
      }
    }
  }

  @Test func documentationOfThisMachine() throws {
    // A sample; the whole is in tools/lexicon-roundtrip.
    try withView(Sample.file) { view in
      var count = 0
      for folder in ["/usr/share/doc", "/usr/share/man"] {
        guard let files = FileManager.default.enumerator(atPath: folder) else { continue }
        for case let name as String in files where count < 300 {
          guard let data = FileManager.default.contents(atPath: folder + "/" + name), data.count < 200_000 else {
            continue
          }
          try check(Array(data), view, name)
          count += 1
        }
      }
      #expect(count > 0)
    }
  }

  @Test func commonWordsAreShort() throws {
    try withView(Sample.file) { view in
      let sizes = [" the of and", "Hello world"].map { encode(Array($0.utf8), view).count }
      #expect(sizes == [6, 5])
    }
  }
}
