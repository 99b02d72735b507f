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

  /// Every day from 1970 to 2024, counted by the months' lengths.
  @Test func everyDayFollowsTheOneBefore() {
    func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
    var (year, month, dayOfMonth) = (1970, 1, 1)
    for day in 0..<20_000 as Range<UInt64> {
      let moment = day * 86_400_000 + (day % 2) * 86_399_999
      let expected = "\(year)-\(two(month))-\(two(dayOfMonth))T" + (day % 2 == 0 ? "00:00:00Z" : "23:59:59Z")
      guard utc(moment) == expected else {
        Issue.record("day \(day): \(utc(moment)), not \(expected)")
        return
      }
      let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
      let length = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
      dayOfMonth += 1
      if dayOfMonth > length { (month, dayOfMonth) = (month + 1, 1) }
      if month > 12 { (year, month) = (year + 1, 1) }
    }
    #expect(year == 2024)
  }
}
