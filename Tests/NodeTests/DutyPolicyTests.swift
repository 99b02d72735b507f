import Bounded
import Testing
import Wire

@testable import Node

@Suite struct DutyPolicyTests {
  private func held(_ policy: inout DutyPolicy, _ change: (inout VitalSigns) -> Void) -> Duties {
    var signs = VitalSigns()
    signs.memoryTotalKB = 512_000
    signs.memoryAvailableKB = 400_000
    change(&signs)
    _ = policy.update(signs)
    return policy.held
  }

  @Test func aBoardInGoodConditionHoldsNothingBack() {
    var policy = DutyPolicy()
    #expect(held(&policy) { _ in } == [])
    #expect(policy.cause == nil)
  }

  @Test func unknownReadingsHoldNothingBack() {
    var policy = DutyPolicy()
    let changed = policy.update(VitalSigns())
    #expect(!changed)
    #expect(policy.held == [])
    #expect(policy.cause == nil)
  }

  @Test func heatTakesComputeFirstThenRelayAndGivesThemBackWithAMargin() {
    var policy = DutyPolicy()
    func at(_ milliC: Int32) -> Duties { held(&policy) { $0.temperatureMilliC = milliC } }
    #expect(at(80_000) == [])
    #expect(at(80_001) == [.compute])
    #expect(policy.cause == .temperature)
    #expect(at(80_000) == [.compute])
    #expect(at(75_001) == [.compute])
    #expect(at(75_000) == [])
    #expect(policy.cause == nil)
    #expect(at(80_000) == [])
    #expect(at(90_000) == [.compute])
    #expect(at(90_001) == [.compute, .relay])
    #expect(at(85_001) == [.compute, .relay])
    #expect(at(85_000) == [.compute])
    #expect(at(-40_000) == [])
    #expect(at(.max) == [.compute, .relay])
  }

  @Test func aLowBatteryTakesComputeFirstThenRelay() {
    var policy = DutyPolicy()
    func at(_ percent: UInt8) -> Duties {
      held(&policy) {
        $0.power = .battery; $0.batteryPercent = percent
      }
    }
    #expect(at(30) == [])
    #expect(at(29) == [.compute])
    #expect(policy.cause == .battery)
    #expect(at(34) == [.compute])
    #expect(at(35) == [])
    #expect(at(9) == [.compute, .relay])
    #expect(at(14) == [.compute, .relay])
    #expect(at(15) == [.compute])
    #expect(at(0) == [.compute, .relay])
    #expect(at(255) == [], "an unknown charge holds nothing back")
  }

  @Test func onMainsTheChargeDoesNotMatter() {
    var policy = DutyPolicy()
    #expect(
      held(&policy) {
        $0.power = .battery; $0.batteryPercent = 1
      } == [.compute, .relay])
    #expect(
      held(&policy) {
        $0.power = .mains; $0.batteryPercent = 1
      } == [])
    #expect(
      held(&policy) {
        $0.power = .unknown; $0.batteryPercent = 1
      } == [])
  }

  @Test func aFullBatteryIsEnoughWhateverTheMargin() {
    var policy = DutyPolicy()
    policy.thresholds.batteryLowPercent = 98
    policy.thresholds.batteryMarginPercent = 100
    #expect(
      held(&policy) {
        $0.power = .battery; $0.batteryPercent = 97
      } == [.compute])
    #expect(
      held(&policy) {
        $0.power = .battery; $0.batteryPercent = 99
      } == [.compute])
    #expect(
      held(&policy) {
        $0.power = .battery; $0.batteryPercent = 100
      } == [])
  }

  @Test func scarceMemoryTakesComputeFirstThenRelay() {
    var policy = DutyPolicy()
    func at(_ kilobytes: UInt32) -> Duties { held(&policy) { $0.memoryAvailableKB = kilobytes } }
    #expect(at(32_768) == [])
    #expect(at(32_767) == [.compute])
    #expect(policy.cause == .memory)
    #expect(at(36_863) == [.compute])
    #expect(at(36_864) == [])
    #expect(at(12_287) == [.compute, .relay])
    #expect(at(16_383) == [.compute, .relay])
    #expect(at(16_384) == [.compute])
    #expect(at(0) == [.compute, .relay])
  }

  @Test func changesAreReportedOnce() {
    var policy = DutyPolicy()
    var signs = VitalSigns()
    signs.temperatureMilliC = 85_000
    let reports = (0..<3).map { _ in policy.update(signs) }
    #expect(reports == [true, false, false])
    signs.temperatureMilliC = 20_000
    let back = policy.update(signs)
    #expect(back)
  }

  /// Whatever the readings and thresholds, nothing overflows and the heartbeat stays.
  @Test func theHeartbeatIsNeverHeldBackAndNothingOverflows() {
    var random = MutationTests.Lcg(state: 11)
    let edges: [Int32] = [.min, .min + 1, -1, 0, 1, 80_000, 150_000, .max - 1, .max]
    for _ in 0..<20_000 {
      var policy = DutyPolicy()
      policy.thresholds.batteryLowPercent = UInt8(random.next(101))
      policy.thresholds.batteryMarginPercent = UInt8(random.next(101))
      policy.thresholds.memoryLowKB = [0, 1, .max][random.next(3)]
      policy.thresholds.memoryMarginKB = [0, 1, .max][random.next(3)]
      policy.thresholds.temperatureHighMilliC = Int32(random.next(150_001))
      policy.thresholds.temperatureMarginMilliC = Int32(random.next(150_001))
      for _ in 0..<3 {
        var signs = VitalSigns()
        signs.temperatureMilliC = edges[random.next(edges.count)]
        signs.power = VitalSigns.Power(rawValue: UInt8(random.next(3)))!
        signs.batteryPercent = UInt8(random.next(256))
        signs.memoryTotalKB = [0, 1, .max][random.next(3)]
        signs.memoryAvailableKB = [0, 1, .max][random.next(3)]
        _ = policy.update(signs)
        #expect(!policy.held.contains(.heartbeat))
      }
    }
  }

  @Test func theConfigurationsUnitsAreTurnedIntoTheReadings() throws {
    let file: [UInt8] = Array(
      "temperature_high = 60\ntemperature_critical = 70\ntemperature_hysteresis = 2\nbattery_low = 50\n".utf8)
    let thresholds = DutyThresholds(try Configuration(parsing: file.span.bytes))
    #expect(thresholds.temperatureHighMilliC == 60_000)
    #expect(thresholds.temperatureCriticalMilliC == 70_000)
    #expect(thresholds.temperatureMarginMilliC == 2_000)
    #expect(thresholds.batteryLowPercent == 50)
    #expect(DutyThresholds(Configuration()) == DutyThresholds(), "the defaults are the same in both places")
  }
}

@Suite struct NodeDutyTests {
  @Test func theBoardsConditionHoldsDutiesBackAndGivesThemBack() {
    let scene = NodeScene { $0.duties = .all }
    scene.goOnline()
    #expect(scene.node.activeDuties == .all)
    scene.vitals.temperatureMilliC = 95_000
    scene.pass(to: .heartbeat)
    #expect(scene.node.activeDuties == .heartbeat)
    #expect(scene.notices.contains(.duties(active: .heartbeat, held: [.compute, .relay])))
    #expect(scene.hub.heartbeats.last?.duties == .heartbeat)
    scene.vitals.temperatureMilliC = 40_000
    scene.pass(to: .heartbeat)
    #expect(scene.node.activeDuties == .all)
    #expect(scene.notices.contains(.duties(active: .all, held: [])))
  }

  @Test func theHubsAllowanceNarrowsButNeverTheHeartbeat() {
    let scene = NodeScene { $0.duties = .all }
    scene.hub.configure.allowedDuties = [.compute]
    scene.goOnline()
    #expect(scene.node.activeDuties == [.heartbeat, .compute])
    scene.hub.configure.allowedDuties = []
    scene.hub.sendConfigure(now: scene.now)
    scene.settle()
    #expect(scene.node.activeDuties == [.heartbeat])
    #expect(scene.notices.contains(.duties(active: .heartbeat, held: [])))
    scene.hub.configure.allowedDuties = .all
    scene.hub.sendConfigure(now: scene.now)
    scene.settle()
    #expect(scene.node.activeDuties == .all)
  }

  @Test func aSwitchLastsUntilTheNextReload() {
    let scene = NodeScene { $0.duties = [.heartbeat, .relay] }
    scene.goOnline()
    let configured = scene.node.settings
    scene.node.setDuties([.heartbeat], now: scene.now)
    scene.settle()
    #expect(scene.node.activeDuties == [.heartbeat])
    #expect(scene.notices.last == .duties(active: .heartbeat, held: []))
    scene.cut()
    scene.pass(Limits.backoffFirstMs)
    #expect(scene.node.activeDuties == [.heartbeat])
    #expect(scene.hub.hellos.last?.duties == [.heartbeat])
    scene.reload { $0 = configured }
    #expect(scene.node.activeDuties == [.heartbeat, .relay])
  }

  @Test func noDutyIsDoneAgainstTheOwnersWill() {
    let scene = NodeScene { $0.duties = [.heartbeat] }
    scene.hub.configure.allowedDuties = .all
    scene.goOnline()
    #expect(scene.node.activeDuties == [.heartbeat])
  }
}
