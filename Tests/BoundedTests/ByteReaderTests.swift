import Bounded
import Testing

@Suite struct ByteReaderTests {
  @Test func integersAreReadBigEndian() throws {
    let bytes: [UInt8] = Array(1...15)
    var reader = ByteReader(bytes.span.bytes)
    let (a, b, c, d) = (
      try reader.integer(UInt8.self), try reader.integer(UInt16.self), try reader.integer(UInt32.self),
      try reader.integer(UInt64.self)
    )
    #expect(a == 0x01)
    #expect(b == 0x0203)
    #expect(c == 0x0405_0607)
    #expect(d == 0x0809_0A0B_0C0D_0E0F)
    try reader.finish()
  }

  /// What reading one field of each kind from `count` bytes says.
  private func errors(from count: Int) -> [DecodeError?] {
    let bytes = [UInt8](repeating: 0, count: count)
    func read(_ body: (inout ByteReader) throws(DecodeError) -> Void) -> DecodeError? {
      var reader = ByteReader(bytes.span.bytes)
      do throws(DecodeError) { try body(&reader) } catch { return error }
      return nil
    }
    return [
      read { r throws(DecodeError) in _ = try r.integer(UInt32.self) },
      read { r throws(DecodeError) in _ = try r.bytes(4).byteCount },
      read { r throws(DecodeError) in let _: InlineArray<4, UInt8> = try r.array() },
      read { r throws(DecodeError) in try r.skip(4) },
    ]
  }

  @Test func aFieldThatIsCutShortIsTruncated() {
    for count in 0..<4 { #expect(errors(from: count) == [.truncated, .truncated, .truncated, .truncated]) }
    #expect(errors(from: 4) == [nil, nil, nil, nil])
  }

  @Test func aFailedReadMovesNothing() throws {
    let bytes: [UInt8] = [1, 2]
    var reader = ByteReader(bytes.span.bytes)
    do throws(DecodeError) { _ = try reader.integer(UInt32.self) } catch {}
    let left = reader.remaining
    #expect(left == 2)
    let value = try reader.integer(UInt16.self)
    #expect(value == 0x0102)
  }

  @Test func negativeLengthsAreRefused() {
    let bytes: [UInt8] = [1, 2]
    var reader = ByteReader(bytes.span.bytes)
    var errors: [DecodeError] = []
    do throws(DecodeError) { try reader.skip(-1) } catch { errors.append(error) }
    do throws(DecodeError) { _ = try reader.bytes(-1).byteCount } catch { errors.append(error) }
    #expect(errors == [.truncated, .truncated])
  }

  @Test func bytesLeftOverAreTrailing() throws {
    let bytes: [UInt8] = [1, 2, 3]
    var reader = ByteReader(bytes.span.bytes)
    try reader.skip(2)
    var error: DecodeError?
    do throws(DecodeError) { try reader.finish() } catch let caught { error = caught }
    #expect(error == .trailing)
    let rest = array(reader.rest())
    #expect(rest == [3])
    try reader.finish()
  }

  @Test func anEmptySpanHoldsEmptyFieldsOnly() throws {
    var reader = ByteReader(RawSpan())
    try reader.skip(0)
    let nothing = array(try reader.bytes(0))
    #expect(nothing == [])
    let rest = array(reader.rest())
    #expect(rest == [])
    try reader.finish()
  }

  @Test func spansAreEqualByLengthAndContent() {
    let (a, b, c): ([UInt8], [UInt8], [UInt8]) = (Array("abc".utf8), Array("abd".utf8), Array("ab".utf8))
    let same = a.span.bytes.elementsEqual(a.span.bytes)
    let different = a.span.bytes.elementsEqual(b.span.bytes)
    let shorter = a.span.bytes.elementsEqual(c.span.bytes)
    let text = (a.span.bytes.elementsEqual("abc"), a.span.bytes.elementsEqual("ab"), a.span.bytes.elementsEqual(""))
    #expect(same)
    #expect(!different)
    #expect(!shorter)
    #expect(text == (true, false, false))
    let empty = RawSpan().elementsEqual("")
    #expect(empty)
  }
}
