import Foundation
import Hub
import Testing

@Suite struct TextFormsTests {
  @Test(
    arguments: [
      ("30s", 30_000), ("10ms", 10), ("5m", 300_000), ("5min", 300_000), ("24h", 86_400_000), ("7d", 604_800_000),
      ("0s", 0),
    ] as [(String, UInt64)])
  func durationsAreRead(_ text: String, _ ms: UInt64) {
    #expect(DurationText(text)?.ms == ms)
  }

  @Test(arguments: ["", "30", "s", "-5s", "1.5h", "5 s", "99999999999999999999s", "40000d", "٣s"])
  func otherDurationsAreNot(_ text: String) { #expect(DurationText(text) == nil) }

  @Test func durationsAreWrittenInTheLargestExactUnit() {
    #expect(["90s", "24h", "1500ms", "2d"].map { DurationText($0)!.text } == ["90s", "1d", "1500ms", "2d"])
  }

  @Test func placesAreRead() {
    #expect(HostPort("hub.example.org:99") == HostPort(host: "hub.example.org", port: 99))
    #expect(HostPort("hub.example.org") == HostPort(host: "hub.example.org", port: 7_443))
    #expect(HostPort("192.0.2.1:1") == HostPort(host: "192.0.2.1", port: 1))
    #expect(HostPort("[::]:7443") == HostPort(host: "::", port: 7_443))
    #expect(HostPort("[fe80::1%eth0]") == HostPort(host: "fe80::1%eth0", port: 7_443))
    #expect(HostPort("[::1]:5")?.text == "[::1]:5")
  }

  @Test(arguments: ["", ":5", "a b:5", "host:", "host:x", "host:70000", "::1:5", "[::1", "[::1]x", "[host]:5", "h/x"])
  func otherPlacesAreNot(_ text: String) { #expect(HostPort(text) == nil) }

  @Test func hexadecimalGoesBothWays() {
    #expect(Data([0, 0x9F, 0xFF]).hex == "009fff")
    #expect(Data(hex: "009Fff") == Data([0, 0x9F, 0xFF]))
    #expect(Data(hex: "0") == nil && Data(hex: "0g") == nil)
  }

  @Test func timesAreUtc() { #expect(timestamp(0) == "1970-01-01T00:00:00Z") }
}
