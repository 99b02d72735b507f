import Bounded
import Testing

@Suite struct Crc32cTests {
  private func sum(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { Crc32c.checksum(RawSpan(_unsafeBytes: $0)) } }

  @Test func vectorsOfTheStandard() {
    // RFC 3720, appendix B.4: 32 bytes of zeros, of ones, ascending, and descending.
    #expect(sum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
    #expect(sum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
    #expect(sum((0..<32).map { UInt8($0) }) == 0x46DD_794E)
    #expect(sum((0..<32).map { UInt8(31 - $0) }) == 0x113F_DB5C)
    #expect(sum(Array("123456789".utf8)) == 0xE306_9283)
    #expect(sum([]) == 0)
  }

  @Test func piecesGiveWhatTheWholeGives() {
    let bytes = (0..<100).map { UInt8($0 * 37 & 255) }
    let whole = sum(bytes)
    for cut in 0...bytes.count {
      var pieces = Crc32c()
      bytes[..<cut].withUnsafeBytes { pieces.add(RawSpan(_unsafeBytes: $0)) }
      for byte in bytes[cut...] { pieces.add(byte) }
      #expect(pieces.value == whole, "cut at \(cut)")
      let second = bytes.withUnsafeBytes {
        Crc32c.checksum($0.baseAddress! + cut, bytes.count - cut, seed: Crc32c.checksum($0.baseAddress!, cut))
      }
      #expect(second == whole, "gone on at \(cut)")
    }
    var number = Crc32c()
    number.add(littleEndian: 0x0403_0201)
    #expect(number.value == sum([1, 2, 3, 4]))
  }
}
