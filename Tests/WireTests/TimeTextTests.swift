import Foundation
import Testing
import Wire

@Suite struct TimeTextTests {
  private func utc(_ milliseconds: UInt64) -> String { written { ControlText.writeUtc(milliseconds, to: &$0) } }

  @Test func knownMomentsAreWrittenAsKnown() {
    #expect(utc(0) == "1970-01-01T00:00:00Z")
    #expect(utc(999) == "1970-01-01T00:00:00Z")
    #expect(utc(1_000) == "1970-01-01T00:00:01Z")
    #expect(utc(951_782_400_000) == "2000-02-29T00:00:00Z")
    #expect(utc(951_868_800_000) == "2000-03-01T00:00:00Z")
    #expect(utc(1_000_000_000_000) == "2001-09-09T01:46:40Z")
    #expect(utc(1_709_164_799_000) == "2024-02-28T23:59:59Z")
    #expect(utc(1_709_251_199_999) == "2024-02-29T23:59:59Z")
    #expect(utc(2_147_483_648_000) == "2038-01-19T03:14:08Z")
    #expect(utc(4_107_542_400_000) == "2100-03-01T00:00:00Z")
    #expect(utc(253_402_300_799_999) == "9999-12-31T23:59:59Z")
  }

  @Test func noTimeIsTooFar() {
    #expect(utc(253_402_300_800_000) == "10000-01-01T00:00:00Z")
    #expect(utc(.max).hasSuffix("Z"))
  }

  /// Every day from 1970 to 2104, at its first and last second, as the platform's calendar has it.
  @Test func everyDayAgreesWithTheCalendar() {
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = TimeZone(secondsFromGMT: 0)!
    func two(_ value: Int?) -> String { String(value! + 100).suffix(2).description }
    for day in stride(from: 0, to: 49_000 as UInt64, by: 1) {
      let date = calendar.dateComponents(
        [.year, .month, .day], from: Date(timeIntervalSince1970: Double(day) * 86_400))
      let expected = "\(date.year!)-\(two(date.month))-\(two(date.day))"
      let (first, last) = (utc(day * 86_400_000), utc(day * 86_400_000 + 86_399_999))
      guard first == expected + "T00:00:00Z", last == expected + "T23:59:59Z" else {
        Issue.record("day \(day): \(first), \(last)")
        return
      }
    }
  }
}
