import Bounded
import Testing
import Wire

@Suite struct RecordHeaderTests {
  private func peek(_ bytes: [UInt8], _ tagBytes: Int = Limits.tagBytes) -> Result<RecordHeader?, ErrorCode> {
    outcome { () throws(ErrorCode) in try RecordHeader.peek(bytes.span.bytes, tagBytes: tagBytes) }
  }

  private func header(_ type: UInt8, _ epoch: UInt8, _ length: Int) -> [UInt8] {
    [type, epoch, UInt8(length >> 8), UInt8(length & 255)]
  }

  @Test func headersReadBackAndNeedNoMoreThanFourBytes() throws {
    let lengths: [(RecordType, Int)] = [
      (.hello, Hello.byteCount), (.welcome, Welcome.byteCount), (.confirm, Confirm.byteCount), (.ready, 32),
      (.refusal, 2), (.sealed, 64), (.sealed, Limits.sealedPayloadBytes),
    ]
    for (type, length) in lengths {
      let header = RecordHeader(type: type, epoch: 0, length: length)
      let bytes = try #require(encoded { header.append(to: &$0) })
      #expect(bytes.count == Limits.recordHeaderBytes)
      #expect(peek(bytes).value == header)
      for count in 0..<4 { #expect(peek(Array(bytes[..<count])).value == .some(nil)) }
    }
  }

  @Test func everyTypeButTheKnownIsRefused() {
    let known: Set<UInt8> = [1, 2, 3, 4, 5, 16]
    for type in 0...255 as ClosedRange<UInt8> where !known.contains(type) {
      #expect(peek(header(type, 0, 32)).error == .unknownRecord)
    }
  }

  @Test func handshakeRecordsHaveOneLengthAndNoEpoch() {
    for (type, length) in [
      (1, Hello.byteCount), (2, Welcome.byteCount), (3, Confirm.byteCount), (4, 32), (5, 2),
    ] as [(UInt8, Int)] {
      #expect(peek(header(type, 0, length)).error == nil)
      #expect(peek(header(type, 0, length - 1)).error == .malformed)
      #expect(peek(header(type, 0, length + 1)).error == .oversized)
      #expect(peek(header(type, 0, 0)).error == .malformed)
      #expect(peek(header(type, 0, 65_535)).error == .oversized)
      #expect(peek(header(type, 1, length)).error == .malformed)
    }
  }

  @Test(arguments: [(Limits.shortestTagBytes, 48, 16_432), (Limits.tagBytes, 64, 16_448)])
  func sealedRecordsHoldAFrameAndNoMoreThanTheLongest(_ tagBytes: Int, shortest: Int, longest: Int) {
    #expect(peek(header(16, 255, shortest), tagBytes).value??.epoch == 255)
    #expect(peek(header(16, 0, shortest - 1), tagBytes).error == .malformed)
    #expect(peek(header(16, 0, longest), tagBytes).error == nil)
    #expect(peek(header(16, 0, longest + 1), tagBytes).error == .oversized)
    #expect(peek(header(16, 0, 65_535), tagBytes).error == .oversized)
  }
}

@Suite struct FrameHeaderTests {
  private func decode(_ bytes: [UInt8]) -> Result<FrameHeader, ErrorCode> {
    outcome { () throws(ErrorCode) in try FrameHeader(decoding: bytes.span.bytes) }
  }

  private let header = FrameHeader(
    kind: .message, flags: 1, hops: 2, reserved: 3, source: 0x0405_0607, destination: 0x0809_0A0B,
    sequence: 0x0C0D_0E0F_1011_1213, timeToLiveS: 0x1415_1617)

  @Test func theBytesAreInTheOrderOfTheProtocol() {
    #expect(encoded { header.append(to: &$0) } == [4, 1] + Array(2...23))
  }

  @Test func itReadsBackWhatItWrote() throws {
    for kind in 1...11 as ClosedRange<UInt8> {
      var value = header
      value.kind = try #require(FrameKind(rawValue: kind))
      let bytes = try #require(encoded { value.append(to: &$0) })
      #expect(decode(bytes).value == value)
      #expect(decode(bytes + [1, 2]).value == value, "the body follows")
      for count in 0..<bytes.count { #expect(decode(Array(bytes[..<count])).error == .malformedFrame) }
    }
    #expect(encoded(Limits.frameHeaderBytes - 1) { header.append(to: &$0) } == nil)
  }

  @Test func kindsAndFlagsThatAreNoneAreRefused() throws {
    var bytes = try #require(encoded { header.append(to: &$0) })
    let none: [ClosedRange<UInt8>] = [0...0, 13...19, 28...29, 37...39, 47...49, 56...59, 67...255]
    for kind in none.joined() {
      bytes[0] = kind
      #expect(decode(bytes).error == .malformedFrame)
    }
    bytes[0] = 4
    for flags in 4...255 as ClosedRange<UInt8> {
      bytes[1] = flags
      #expect(decode(bytes).error == .malformedFrame)
    }
    // Only a message is sealed.
    for kind in 1...255 as ClosedRange<UInt8> where FrameKind(rawValue: kind) != nil {
      (bytes[0], bytes[1]) = (kind, 3)
      #expect((decode(bytes).error == nil) == (kind == 4))
    }
  }
}
