import Bounded
import Foundation
import Lexicon
import LexiconBuilder
import Testing

@Suite struct ViewTests {
  @Test func everyWordIsFoundAndGivenBack() throws {
    try withView(Sample.file) { view in
      let tokens = view.tokenCount
      #expect(tokens == Sample.words.count)
      var text = WordText()
      var ids = Set<UInt32>()
      for word in Sample.words {
        let id = Array(word.utf8).withUnsafeBytes { view.id(of: RawSpan(_unsafeBytes: $0)) }
        let found = try #require(id, "\(word)")
        #expect(found >= 256 && ids.insert(found).inserted)
        let read = view.word(found, into: &text)
        let count = try #require(read)
        let back = String(decoding: (0..<count).map { text[$0] }, as: UTF8.self)
        #expect(back == word)
        let metadata = view.metadata(of: found)
        let again = view.id(at: try #require(metadata).point)
        #expect(again == found)
      }
    }
  }

  @Test func aWordIsFoundWhereverItStandsInAText() throws {
    try withView(Sample.file) { view in
      for word in Sample.words.prefix(400) + Sample.words.suffix(50) {
        let bytes = Array(word.utf8)
        let alone = bytes.withUnsafeBytes { view.id(of: RawSpan(_unsafeBytes: $0)) }
        for behind in [0, 1, 7, 15, 16] {
          let text = Array("before".utf8) + bytes + [UInt8](repeating: 0x7A, count: behind)
          let found = text.withUnsafeBytes { view.id(of: 6..<(6 + bytes.count), in: RawSpan(_unsafeBytes: $0)) }
          #expect(found == alone && found != nil, "\(word), \(behind) bytes behind it")
        }
      }
    }
  }

  @Test func aByteThatIsNoWordIsStillAByte() throws {
    try withView(Sample.file) { view in
      let ids = [0x62, 0x7A, 0xFF].map { (byte: UInt8) in
        [byte].withUnsafeBytes { view.id(of: RawSpan(_unsafeBytes: $0)) }
      }
      #expect(ids == [0x62, 0x7A, 0xFF])
      // And in a text it is no word: there are no codes for words below 256.
      let back = try decode(encode(Array("b z the".utf8), view), view)
      #expect(back == Array("b z the".utf8))
    }
  }

  @Test func whatIsNotThereIsNotFound() throws {
    try withView(Sample.file) { view in
      for i in 0..<20_000 {
        let found = Array("miss\(i)".utf8).withUnsafeBytes { view.id(of: RawSpan(_unsafeBytes: $0)) }
        #expect(found == nil)
      }
      for word in [
        "", "the ", "th", "thé", String(repeating: "x", count: 64), String(repeating: "lång", count: 9) + "200",
      ] {
        let found = Array(word.utf8).withUnsafeBytes { view.id(of: RawSpan(_unsafeBytes: $0)) }
        #expect(found == nil, "\(word)")
      }
      var text = WordText()
      for id in [UInt32(view.header.leafSpace) << 8, UInt32.max, 256 + UInt32(view.tokenCount)] {
        let count = view.word(id, into: &text)
        #expect(count == nil)
      }
    }
  }

  @Test func aByteHasItsOwnIdAndPoint() throws {
    try withView(Sample.file) { view in
      for byte in UInt8.min...UInt8.max {
        let known = view.metadata(of: UInt32(byte))
        let metadata = try #require(known)
        #expect(metadata.point == TokenPoint(band: 15, slot: 65_280 + UInt16(byte)))
        let id = view.id(at: metadata.point)
        #expect(id == UInt32(byte))
      }
    }
  }

  @Test func theFileVerifiesAndSaysWhereItIsFrom() throws {
    try withView(Sample.file) { view in
      try view.verify()
      let about = view.about.elementsEqual("A list for tests.\nLicence: none needed.\n")
      #expect(about)
      let numbers = [view.localeCount, view.sectorCount, Int(view.header.generation)]
      #expect(numbers == [3, 1, 7])
      let name = view.sector(0)?.name.elementsEqual("noun.Tops")
      let domain = view.sector(0)?.domain.elementsEqual("concept")
      let quadrant = view.sector(0)?.quadrant
      #expect(name == true && domain == true && quadrant == 1)
    }
  }
}
