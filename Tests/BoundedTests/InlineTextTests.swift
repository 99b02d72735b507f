import Bounded
import Testing

@Suite struct InlineTextTests {
  @Test func itHoldsUpToItsCapacity() {
    #expect(InlineText<4>("abcd")?.string == "abcd")
    #expect(InlineText<4>("abcde") == nil)
    let five: [UInt8] = Array("abcde".utf8)
    #expect(InlineText<5>(five.span.bytes)?.string == "abcde")
    #expect(InlineText<4>(five.span.bytes) == nil)
  }

  @Test func theEmptyTextIsEmpty() {
    #expect(InlineText<4>().isEmpty)
    #expect(InlineText<4>("") == InlineText<4>())
    #expect(InlineText<4>(RawSpan()) == InlineText<4>())
    #expect(InlineText<4>().string == "")
  }

  @Test func capacityCountsBytesNotCharacters() {
    #expect(InlineText<3>("é") != nil)
    #expect(InlineText<3>("éé") == nil)
  }

  @Test func equalityLooksAtTheTextOnly() {
    #expect(InlineText<4>("ab") == InlineText<4>("ab"))
    #expect(InlineText<4>("ab") != InlineText<4>("ac"))
    #expect(InlineText<4>("ab") != InlineText<4>("abc"))
    #expect(InlineText<4>("a\0") != InlineText<4>("a"))
  }

  @Test func anyBytesAreKeptAsTheyAre() {
    let bytes: [UInt8] = [0, 0xFF, 0x80]
    let kept = InlineText<3>(bytes.span.bytes).map { array($0.bytes) }
    #expect(kept == bytes)
  }

  @Test func itIsItsBytesAndACount() {
    #expect(MemoryLayout<InlineText<253>>.size == 253.roundedUp(to: MemoryLayout<Int>.alignment) + 8)
  }
}

extension Int {
  fileprivate func roundedUp(to step: Int) -> Int { (self + step - 1) / step * step }
}
