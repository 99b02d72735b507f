import Testing
import Wire

@Suite struct LimitsTests {
  @Test func theLimitsAgreeWithEachOther() {
    Limits.assertConsistent()
  }

  /// What a second implementation relies on (docs/protocol.md).
  @Test func theLimitsOfTheProtocolAreThePublishedOnes() {
    #expect(Limits.lowestVersion == 1 && Limits.highestVersion == 2)
    #expect(Limits.frameHeaderBytes == 24)
    #expect(Limits.frameBodyBytes == 16_384)
    #expect(Limits.recordBytes == 16_452)
    #expect(Hello.byteCount == 1_404)
    #expect(Welcome.byteCount == 1_260)
    #expect(Confirm.byteCount == 96)
    #expect(Heartbeat.byteCount == 37)
    #expect(Receipt.byteCount == 10)
    #expect(HubEntry.fixedBytes == 71)
    #expect(Limits.rekeyAfterMs == 120_000)
    #expect(Limits.rekeyAfterFrames == 1_048_576)
    #expect(Limits.keyRefusedAfterMs == 180_000)
    #expect(Limits.lightNodeFirst == 1_000_000)
  }
}
