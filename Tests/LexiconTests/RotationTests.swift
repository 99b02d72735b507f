import Bounded
import Foundation
import Lexicon
import Testing

@Suite struct RotationTests {
  /// RFC 8439, section 2.3.2: the first block of ChaCha20 with key 00…1f, nonce 000000090000004a00000000, counter 1.
  static let keystream: [UInt8] = [
    0x10, 0xF1, 0xE7, 0xE4, 0xD1, 0x3B, 0x59, 0x15, 0x50, 0x0F, 0xDD, 0x1F, 0xA3, 0x20, 0x71, 0xC4,
  ]

  @Test func vectors() {
    // Slots before and after, worked out by hand: (slot + little-endian keystream) mod 65,536.
    let before: [UInt16] = [0, 1, 0xFFFF, 0x8000, 12_053, 65_535, 0x1234, 0x3B8F]
    let after: [UInt16] = [0xF110, 0xE4E8, 0x3BD0, 0x9559, 0x3E65, 0x1FDC, 0x32D7, 0x0000]
    var points = before.enumerated().map { TokenPoint(band: UInt8($0), slot: $1) }
    let original = points
    Self.keystream.withUnsafeBytes { keystream in
      var span = points.mutableSpan
      PhaseRotation.rotate(&span, keystream: RawSpan(_unsafeBytes: keystream))
    }
    #expect(points.map(\.slot) == after)
    #expect(points.map(\.band) == original.map(\.band))
    Self.keystream.withUnsafeBytes { keystream in
      var span = points.mutableSpan
      PhaseRotation.restore(&span, keystream: RawSpan(_unsafeBytes: keystream))
    }
    #expect(points == original)
  }

  @Test func everyTurnOfEverySlotComesBack() {
    for slot in stride(from: UInt16(0), to: .max, by: 257) {
      for turn in stride(from: UInt16(0), to: .max, by: 255) {
        let point = TokenPoint(band: 3, slot: slot)
        #expect(PhaseRotation.restore(PhaseRotation.rotate(point, by: turn), by: turn) == point)
      }
    }
  }

  @Test func theCommonestWordsHaveTheRadiusOfTheExample() {
    let point = TokenPoint(band: 0, slot: 25_942)
    #expect(point.radius == 1.1 && abs(point.theta - 2.4871) < 0.0001)
  }

  @Test func intents() {
    let texts: [(String, Intent)] = [
      ("Hello world", .greeting), ("hello, is anyone there?", .question), ("What is this", .question),
      ("THANKS a lot", .thanks), ("restart the node", .command), ("It rains", .statement), ("", .statement),
      ("42", .statement), ("No.", .denial), ("  yes", .affirmation), ("Warning: hot", .alert), ("Tschüss!", .farewell),
      ("hell", .statement), ("help", .command), ("sorry", .apology),
    ]
    for (text, intent) in texts {
      let found = Array(text.utf8).withUnsafeBytes { Intent.of(RawSpan(_unsafeBytes: $0)) }
      #expect(found == intent, "\(text)")
    }
  }
}
