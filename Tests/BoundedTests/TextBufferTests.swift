import Bounded
import Testing

@Suite struct TextBufferTests {
  private func written(_ capacity: Int = 128, _ body: (inout TextBuffer) -> Void) -> String {
    var buffer = TextBuffer(capacity: capacity)
    body(&buffer)
    return text(buffer.bytes)
  }

  @Test func numbersAreDecimal() {
    for value in [0, 1, 9, 10, 99, 100, UInt64(UInt32.max), .max] {
      #expect(written { $0.append(value) } == "\(value)")
    }
    for value in [0, 7, -1, Int.max, Int.min] { #expect(written { $0.append(value) } == "\(value)") }
  }

  @Test func scaledNumbersHaveAllTheirDecimals() {
    #expect(written { $0.append(scaled: 1_234, places: 3) } == "1.234")
    #expect(written { $0.append(scaled: 4, places: 3) } == "0.004")
    #expect(written { $0.append(scaled: -4, places: 2) } == "-0.04")
    #expect(written { $0.append(scaled: -1_500, places: 3) } == "-1.500")
    #expect(written { $0.append(scaled: 0, places: 1) } == "0.0")
    #expect(written { $0.append(scaled: 42, places: 0) } == "42")
    #expect(written { $0.append(scaled: .min, places: 3) } == "-9223372036854775.808")
    #expect(written { $0.append(scaled: .max, places: 3) } == "9223372036854775.807")
  }

  @Test func hexadecimalIsLowerCaseAndComplete() {
    let bytes: [UInt8] = [0x00, 0x0F, 0xF0, 0xAB]
    #expect(written { $0.append(hex: bytes.span.bytes) } == "000ff0ab")
  }

  @Test func hexadecimalIsReadInEitherCase() {
    for byte in UInt8.min...UInt8.max {
      let value = Int(String(UnicodeScalar(byte)), radix: 16).map { UInt8($0) }
      #expect(hexDigit(byte) == (byte < 0x80 ? value : nil))
    }
    #expect(
      hexByte(UInt8(ascii: "0"), UInt8(ascii: "f")) == 15 && hexByte(UInt8(ascii: "A"), UInt8(ascii: "b")) == 0xAB)
    #expect(
      hexByte(UInt8(ascii: "g"), UInt8(ascii: "0")) == nil && hexByte(UInt8(ascii: "0"), UInt8(ascii: "-")) == nil)
  }

  @Test func aFullBufferSaysSoAndKeepsWhatFits() {
    var buffer = TextBuffer(capacity: 4)
    buffer.append("abcd")
    let full = buffer.isTruncated
    #expect(!full)
    buffer.append("")
    let empty = buffer.isTruncated
    #expect(!empty)
    buffer.append(byte: 0x65)
    let (cut, kept) = (buffer.isTruncated, text(buffer.bytes))
    #expect(cut)
    #expect(kept == "abcd")
    buffer.removeAll()
    let (again, count) = (buffer.isTruncated, buffer.count)
    #expect(!again)
    #expect(count == 0)
  }

  @Test func truncateTakesBackTheEnd() {
    var buffer = TextBuffer(capacity: 8)
    buffer.append("abc")
    let mark = buffer.count
    buffer.append("defgh!")
    let cut = buffer.isTruncated
    #expect(cut)
    buffer.truncate(to: mark)
    let (after, kept) = (buffer.isTruncated, text(buffer.bytes))
    #expect(!after)
    #expect(kept == "abc")
  }

  @Test func jsonStringsEscapeWhatMustBe() {
    func json(_ bytes: [UInt8]) -> String { written { $0.append(json: bytes.span.bytes) } }
    #expect(json(Array("plain".utf8)) == #""plain""#)
    #expect(json(Array("a\"b\\c\n\r\t".utf8)) == #""a\"b\\c\n\r\t""#)
    #expect(json([0x00, 0x1F, 0x7F]) == #""\u0000\u001f\u007f""#)
    #expect(json(Array("grüße 你好 👋".utf8)) == "\"grüße 你好 👋\"")
    #expect(json([0xFF, 0x41, 0xC3]) == #""\ufffdA\ufffd""#)
    #expect(json([]) == #""""#)
  }

  @Test func utf8LengthsAgreeWithTheStandardLibrary() {
    for scalar in [0x00, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF] as [UInt32] {
      let bytes = Array(String(Unicode.Scalar(scalar)!).utf8)
      #expect(utf8SequenceLength(bytes.span.bytes, at: 0) == bytes.count)
      for cut in 1..<max(1, bytes.count) {
        let part = Array(bytes[..<cut])
        #expect(utf8SequenceLength(part.span.bytes, at: 0) == 0, "\(scalar) cut to \(cut)")
      }
    }
  }

  @Test(
    arguments: [
      [0x80], [0xBF], [0xC0, 0x80], [0xC1, 0xBF], [0xE0, 0x9F, 0xBF], [0xED, 0xA0, 0x80], [0xF0, 0x8F, 0xBF, 0xBF],
      [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xFF], [0xC3, 0x28], [0xE2, 0x82, 0x28],
      [0xF0, 0x9F, 0x91, 0x28],
    ] as [[UInt8]]) func malformedUtf8HasNoLength(_ bytes: [UInt8])
  {
    #expect(utf8SequenceLength(bytes.span.bytes, at: 0) == 0)
  }

  @Test func everyPairOfBytesIsJudgedAsTheStandardLibraryDoes() {
    for first in 0...255 as ClosedRange<UInt8> {
      for second in [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF] as [UInt8] {
        let bytes = [first, second, 0x80, 0x80]
        let length = utf8SequenceLength(bytes.span.bytes, at: 0)
        let isText = length > 0 && String(validating: bytes[..<length], as: UTF8.self) != nil
        let shortest = (1...4).first { String(validating: bytes[..<$0], as: UTF8.self) != nil }
        #expect(length == 0 ? shortest == nil : isText && shortest == length, "\(first) \(second)")
      }
    }
  }
}
