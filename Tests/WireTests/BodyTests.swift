import Bounded
import Testing
import Wire

private func someConfigure(_ hubs: Int = 2) -> Configure {
  var list = HubList()
  for i in 0..<hubs { list.append(hub("h\(i)")) }
  return Configure(
    wallTimeMs: 0x0102_0304_0506_0708, heartbeatIntervalMs: 30_000, rekeyAfterMs: 120_000,
    dictionaryGeneration: 0xAABB_CCDD, allowedDuties: [.heartbeat, .compute], hubs: list)
}

private func someHeartbeat() -> Heartbeat {
  var vitals = VitalSigns()
  vitals.uptimeS = 1
  vitals.loadMilli = 1_250
  vitals.memoryTotalKB = 512_000
  vitals.memoryAvailableKB = 4_000
  vitals.memoryPressurePermille = 999
  vitals.temperatureMilliC = -12_345
  vitals.power = .battery
  vitals.batteryPercent = 77
  return Heartbeat(
    vitals: vitals, inboxUsed: 3, inboxCapacity: 32, outboxUsed: 4, outboxCapacity: 16,
    dictionaryGeneration: 0x0102_0304, duties: [.heartbeat, .relay])
}

@Suite struct BodyTests {
  private func configure(from bytes: [UInt8]) -> Result<Configure, ErrorCode> {
    outcome { () throws(ErrorCode) in try Configure(decoding: bytes.span.bytes) }
  }

  @Test func whetherAHubTakesQuestionsComesBehindItsHubs() throws {
    var value = someConfigure()
    let older = try #require(encoded { value.append(to: &$0) })
    #expect(configure(from: older).value == value)
    value.takesQuestions = true
    let bytes = try #require(encoded { value.append(to: &$0) })
    #expect(bytes == older + [1] && configure(from: bytes).value == value)
    // What a newer hub adds is read over, here too.
    #expect(configure(from: older + [0xFE, 9]).value?.takesQuestions == false)
    value.takesSeals = true
    let both = try #require(encoded { value.append(to: &$0) })
    #expect(both == older + [3] && configure(from: both).value == value)
    #expect(configure(from: older + [0xFC]).value?.takesSeals == false)
  }

  @Test func configureReadsBackWhatItWrote() throws {
    for hubs in [0, 1, 8] {
      let value = someConfigure(hubs)
      let bytes = try #require(encoded { value.append(to: &$0) })
      #expect(configure(from: bytes).value == value)
      // Fields of a later version follow the ones this one knows.
      #expect(configure(from: bytes + [4, 2, 3]).value == value)
      for count in 0..<bytes.count {
        #expect(configure(from: Array(bytes[..<count])).error == .malformedFrame, "\(count) of \(bytes.count)")
      }
    }
  }

  @Test func configureRefusesWhatIsOutOfRange() throws {
    func error(_ change: (inout Configure) -> Void) throws -> ErrorCode? {
      var value = someConfigure()
      change(&value)
      return configure(from: try #require(encoded { value.append(to: &$0) })).error
    }
    #expect(try error { $0.heartbeatIntervalMs = UInt32(Limits.heartbeatMinimumMs) } == nil)
    #expect(try error { $0.heartbeatIntervalMs = UInt32(Limits.heartbeatMinimumMs) - 1 } == .malformedFrame)
    #expect(try error { $0.heartbeatIntervalMs = 0 } == .malformedFrame)
    #expect(try error { $0.heartbeatIntervalMs = UInt32(Limits.heartbeatMaximumMs) } == nil)
    #expect(try error { $0.heartbeatIntervalMs = UInt32(Limits.heartbeatMaximumMs) + 1 } == .malformedFrame)
    #expect(try error { $0.heartbeatIntervalMs = .max } == .malformedFrame)
    #expect(try error { $0.rekeyAfterMs = 0 } == .malformedFrame)
    #expect(try error { $0.rekeyAfterMs = 1 } == nil)
    #expect(try error { $0.rekeyAfterMs = UInt32(Limits.rekeyAfterMs) } == nil)
    #expect(try error { $0.rekeyAfterMs = UInt32(Limits.rekeyAfterMs) + 1 } == .malformedFrame)
    #expect(try error { $0.wallTimeMs = .max } == nil, "whoever uses the time judges it")
  }

  @Test func configureRefusesMoreHubsThanAListHolds() throws {
    var bytes = try #require(encoded { someConfigure(8).append(to: &$0) })
    bytes[21] = 9
    bytes += try #require(encoded { hub("h9").append(to: &$0) })
    #expect(configure(from: bytes).error == .malformedFrame)
  }

  @Test func configureIgnoresDutiesItDoesNotKnow() throws {
    var bytes = try #require(encoded { someConfigure().append(to: &$0) })
    bytes[20] = 0xFF
    #expect(configure(from: bytes).value?.allowedDuties == .all)
  }

  @Test func configureWithoutRoomSaysSo() throws {
    let size = try #require(encoded { someConfigure().append(to: &$0) }).count
    #expect(encoded(size) { someConfigure().append(to: &$0) } != nil)
    #expect(encoded(size - 1) { someConfigure().append(to: &$0) } == nil)
    #expect(encoded(21) { someConfigure(0).append(to: &$0) } == nil)
    #expect(encoded(22) { someConfigure(0).append(to: &$0) } != nil)
    var newer = someConfigure()
    newer.takesQuestions = true
    #expect(encoded(size) { newer.append(to: &$0) } == nil)
    #expect(encoded(size + 1) { newer.append(to: &$0) } != nil)
  }

  private func heartbeat(from bytes: [UInt8]) -> Result<Heartbeat, ErrorCode> {
    outcome { () throws(ErrorCode) in try Heartbeat(decoding: bytes.span.bytes) }
  }

  @Test func heartbeatReadsBackWhatItWrote() throws {
    let value = someHeartbeat()
    let bytes = try #require(encoded { value.append(to: &$0) })
    #expect(bytes.count == Heartbeat.byteCount)
    #expect(heartbeat(from: bytes).value == value)
    #expect(heartbeat(from: bytes + [9]).value == value)
    for count in 0..<bytes.count { #expect(heartbeat(from: Array(bytes[..<count])).error == .malformedFrame) }
    #expect(encoded(Heartbeat.byteCount - 1) { value.append(to: &$0) } == nil)
  }

  @Test func heartbeatKeepsTheMarksOfUnknownReadings() throws {
    var value = someHeartbeat()
    value.vitals = VitalSigns()
    let read = heartbeat(from: try #require(encoded { value.append(to: &$0) })).value
    #expect(read?.vitals.temperatureMilliC == .min)
    #expect(read?.vitals.batteryPercent == .max)
    #expect(read?.vitals.memoryPressurePermille == .max)
    #expect(read?.vitals.power == .unknown)
  }

  @Test func heartbeatRefusesAPowerThatIsNone() throws {
    var bytes = try #require(encoded { someHeartbeat().append(to: &$0) })
    for power in 3...255 as ClosedRange<UInt8> {
      bytes[22] = power
      #expect(heartbeat(from: bytes).error == .malformedFrame)
    }
  }

  @Test func receiptReadsBackWhatItWrote() throws {
    func receipt(from bytes: [UInt8]) -> Result<Receipt, ErrorCode> {
      outcome { () throws(ErrorCode) in try Receipt(decoding: bytes.span.bytes) }
    }
    for failure in [nil] + ErrorCode.allCases.map(Optional.some) {
      let value = Receipt(sequence: .max, failure: failure)
      let bytes = try #require(encoded { value.append(to: &$0) })
      #expect(bytes.count == Receipt.byteCount)
      #expect(receipt(from: bytes).value == value)
      for count in 0..<bytes.count { #expect(receipt(from: Array(bytes[..<count])).error == .malformedFrame) }
    }
    #expect(receipt(from: [0, 0, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF]).value?.failure == .unreachable)
    #expect(encoded(9) { Receipt(sequence: 1, failure: nil).append(to: &$0) } == nil)
  }

  @Test func codesAndTimesAreReadWhole() {
    func code(_ bytes: [UInt8]) -> Result<ErrorCode, ErrorCode> {
      outcome { () throws(ErrorCode) in try decodeCode(bytes.span.bytes) }
    }
    func ack(_ bytes: [UInt8]) -> Result<HeartbeatAck, ErrorCode> {
      outcome { () throws(ErrorCode) in try HeartbeatAck(decoding: bytes.span.bytes) }
    }
    #expect(code([0, 85]).value == .revoked)
    #expect(code([0x12, 0x34]).value == .linkClosed)
    #expect(code([0]).error == .malformed)
    #expect(code([]).error == .malformed)
    #expect(ack([0, 0, 0, 0, 0, 0, 1]).error == .malformedFrame)
    let time: [UInt8] = [0, 0, 0, 0, 0, 0, 1, 2]
    #expect(ack(time).value == HeartbeatAck(wallTimeMs: 258))
    #expect(ack(time + [0]).value == HeartbeatAck(wallTimeMs: 258))
    #expect(ack(time + [0xFE]).value == HeartbeatAck(wallTimeMs: 258))
    #expect(ack(time + [1]).value == HeartbeatAck(wallTimeMs: 258, isCutOff: true))
    #expect(ack(time + [1, 77, 78]).value == HeartbeatAck(wallTimeMs: 258, isCutOff: true))
    let written = encoded(16) {
      HeartbeatAck(wallTimeMs: 258, isCutOff: true).append(to: &$0)
      return true
    }
    #expect(written == time + [1])
  }
}
