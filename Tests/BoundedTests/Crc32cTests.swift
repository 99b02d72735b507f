import Bounded
import Testing

@Suite struct Crc32cTests {
  @Test func vectorsOfTheStandard() {
    // RFC 3720, appendix B.4: 32 bytes of zeros, of ones, ascending, and descending.
    #expect(Crc32c.checksum([UInt8](repeating: 0, count: 32).span.bytes) == 0x8A91_36AA)
    #expect(Crc32c.checksum([UInt8](repeating: 0xFF, count: 32).span.bytes) == 0x62A8_AB43)
    #expect(Crc32c.checksum((0..<32).map { UInt8($0) }.span.bytes) == 0x46DD_794E)
    #expect(Crc32c.checksum((0..<32).map { 31 - UInt8($0) }.span.bytes) == 0x113F_DB5C)
    #expect(Crc32c.checksum(Array("123456789".utf8).span.bytes) == 0xE306_9283)
    #expect(Crc32c.checksum([UInt8]().span.bytes) == 0)
  }

  @Test func piecesGiveWhatTheWholeGives() {
    let bytes = (0..<100).map { UInt8($0 &* 37 & 255) }
    let whole = Crc32c.checksum(bytes.span.bytes)
    for cut in 0...bytes.count {
      var sum = Crc32c()
      sum.add(bytes.span.bytes.extracting(0..<cut))
      for byte in bytes[cut...] { sum.add(byte) }
      #expect(sum.value == whole, "cut at \(cut)")
      let first = bytes.withUnsafeBytes { Crc32c.checksum($0.baseAddress!, cut) }
      let second = bytes.withUnsafeBytes { Crc32c.checksum($0.baseAddress! + cut, bytes.count - cut, seed: first) }
      #expect(second == whole, "gone on at \(cut)")
    }
    var number = Crc32c()
    number.add(littleEndian: 0x0403_0201)
    #expect(number.value == Crc32c.checksum([UInt8](1...4).span.bytes))
  }
}
