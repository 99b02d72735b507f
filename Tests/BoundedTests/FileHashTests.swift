import Bounded
import Testing

@Suite struct FileHashTests {
  private static func hash(_ pieces: [[UInt8]]) -> String {
    var sum = FileHash()
    for piece in pieces { sum.add(piece.span.bytes) }
    let digest = sum.finish()
    let digits = Array("0123456789abcdef")
    return String((0..<32).flatMap { [digits[Int(digest[$0] >> 4)], digits[Int(digest[$0] & 15)]] })
  }

  /// FIPS 180-4's examples, and those of the NIST's CAVP for lengths around a block.
  @Test func theStandardsExamples() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    #expect(Self.hash([]) == empty && Self.hash([[], []]) == empty)
    #expect(Self.hash([Array("abc".utf8)]) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    let two = Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8)
    #expect(Self.hash([two]) == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
    let million = [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000)
    #expect(Self.hash([million]) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
  }

  @Test func piecesMakeNoDifference() {
    for count in [55, 56, 57, 63, 64, 65, 119, 120, 128, 1_000] {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
      for split in [0, 1, count / 2, count - 1] {
        #expect(Self.hash([bytes]) == Self.hash([Array(bytes[..<split]), Array(bytes[split...])]))
      }
    }
  }
}
