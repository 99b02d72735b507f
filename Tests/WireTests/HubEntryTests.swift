import Bounded
import Testing
import Wire

private func decode(_ bytes: [UInt8]) -> Result<HubEntry, DecodeError> {
  var reader = ByteReader(bytes.span.bytes)
  do throws(DecodeError) {
    let entry = try HubEntry(from: &reader)
    try reader.finish()
    return .success(entry)
  } catch { return .failure(error) }
}

@Suite struct HubEntryTests {
  @Test(arguments: ["h", "hub.example", "2001:db8::1", String(repeating: "x", count: 253)])
  func itReadsBackWhatItWrote(_ host: String) throws {
    let entry = hub(host, port: 65_535, id: 7)
    let bytes = try #require(encoded { entry.append(to: &$0) })
    #expect(bytes.count == HubEntry.fixedBytes + host.utf8.count)
    #expect(decode(bytes).value == entry)
  }

  @Test func everyTruncationIsRefused() throws {
    let bytes = try #require(encoded { hub().append(to: &$0) })
    for count in 0..<bytes.count { #expect(decode(Array(bytes[..<count])).error == .truncated) }
    #expect(decode(bytes + [0]).error == .trailing)
  }

  @Test func portZeroAndHostsThatAreNoneAreRefused() throws {
    let bytes = try #require(encoded { hub("ab").append(to: &$0) })
    var noPort = bytes
    noPort[4] = 0
    noPort[5] = 0
    #expect(decode(noPort).error == .invalid)
    var noHost = Array(bytes.dropLast(2))
    noHost[HubEntry.fixedBytes - 1] = 0
    #expect(decode(noHost).error == .invalid)
    for wrong in [0x00, 0x20, 0x2F, 0x5B, 0x80, 0xFF] as [UInt8] {
      var damaged = bytes
      damaged[HubEntry.fixedBytes] = wrong
      #expect(decode(damaged).error == .invalid, "\(wrong)")
    }
    var tooLong = Array(bytes.dropLast(2)) + [UInt8](repeating: 0x61, count: 255)
    tooLong[HubEntry.fixedBytes - 1] = 254
    #expect(decode(tooLong).error == .invalid)
  }

  @Test func withoutRoomNothingIsWritten() {
    let size = HubEntry.fixedBytes + 11
    #expect(encoded(size) { hub().append(to: &$0) }?.count == size)
    #expect(encoded(size - 1) { hub().append(to: &$0) } == nil)
  }

  @Test func thePlaceIsHostAndPortAlone() {
    let entry = hub()
    #expect(entry.isSamePlace(as: hub(id: 9, pin: 8, key: 7)))
    #expect(!entry.isSamePlace(as: hub(port: 7_444)))
    #expect(!entry.isSamePlace(as: hub("hub2.example")))
    #expect(entry != hub(id: 9))
    #expect(entry != hub(pin: 9))
    #expect(entry != hub(key: 9))
    #expect(entry == hub())
  }

  @Test func allZeroMeansNoPinAndNoKey() {
    #expect(hub().isPinned && hub().hasKey)
    #expect(!hub(pin: 0).isPinned)
    #expect(!hub(key: 0).hasKey)
    var last = hub(pin: 0, key: 0)
    last.pin[31] = 1
    last.key[31] = 1
    #expect(last.isPinned && last.hasKey)
  }

  @Test func anAddressOfVersionSixGetsBrackets() {
    #expect(written { hub("hub.example").appendPlace(to: &$0) } == "hub.example:7443")
    #expect(written { hub("192.0.2.1", port: 1).appendPlace(to: &$0) } == "192.0.2.1:1")
    #expect(written { hub("2001:db8::1").appendPlace(to: &$0) } == "[2001:db8::1]:7443")
  }
}

@Suite struct HubListTests {
  @Test func itTakesEightAndNoMore() {
    var list = HubList()
    let kept = (0..<9).map { list.append(hub("h\($0)")) }
    #expect(kept == [Bool](repeating: true, count: 8) + [false])
    #expect(list.count == Limits.hubListCount)
    #expect(list[7].host.string == "h7")
  }

  @Test func aHubIsFoundByItsPlace() {
    var list = HubList()
    for i in 0..<3 { list.append(hub("h\(i)", key: UInt8(i))) }
    #expect(list.firstIndex(of: hub("h1", key: 99)) == 1)
    #expect(list.firstIndex(of: hub("h3")) == nil)
    #expect(HubList().firstIndex(of: hub()) == nil)
  }

  @Test func listsAreEqualEntryByEntryInOrder() {
    func list(_ hosts: String...) -> HubList {
      var list = HubList()
      for host in hosts { list.append(hub(host)) }
      return list
    }
    #expect(list("a", "b") == list("a", "b"))
    #expect(list("a", "b") != list("b", "a"))
    #expect(list("a") != list("a", "b"))
    #expect(list() == HubList())
  }
}
