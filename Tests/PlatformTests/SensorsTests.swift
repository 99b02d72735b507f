import Bounded
import Foundation
import Platform
import Testing
import Wire

/// A board's /proc and /sys as files of a folder, whole or broken.
@Suite struct SensorsTests {
  let folder: Folder

  init() throws {
    folder = try Folder()
    try folder.write("proc/uptime", "12345.67 54321.00\n")
    try folder.write("proc/loadavg", "0.25 0.50 0.75 1/234 5678\n")
    try folder.write("proc/meminfo", "MemTotal:  1000000 kB\nMemFree: 1 kB\nMemAvailable:   250000 kB\n")
    try folder.write("proc/pressure/memory", "some avg10=1.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00\n")
    try zone(0, "41500\n")
    try zone(1, "38000\n")
  }

  private func zone(_ number: Int, _ text: String) throws {
    try folder.write("sys/class/thermal/thermal_zone\(number)/temp", text)
  }

  private func supply(_ name: String, _ files: [String: String]) throws {
    for (file, text) in files { try folder.write("sys/class/power_supply/\(name)/\(file)", text) }
  }

  private func sample() -> VitalSigns { Sensors(root: InlineText(folder.path)!).sample() }

  @Test func aWholeBoardIsRead() throws {
    try supply("AC", ["type": "Mains\n", "online": "0\n"])
    try supply("BAT0", ["type": "Battery\n", "capacity": "73\n", "status": "Discharging\n"])
    let signs = sample()
    #expect(signs.uptimeS == 12_345)
    #expect(signs.loadMilli == 250)
    #expect(signs.memoryTotalKB == 1_000_000)
    #expect(signs.memoryAvailableKB == 250_000)
    #expect(signs.memoryPressurePermille == 15)
    #expect(signs.temperatureMilliC == 41_500)
    #expect(signs.power == .battery)
    #expect(signs.batteryPercent == 73)
  }

  @Test func aBoardWithoutAnythingIsAllUnknown() throws {
    try folder.remove("proc")
    try folder.remove("sys")
    #expect(sample() == VitalSigns())
  }

  @Test(arguments: [
    "", "\n", "none", "-", ".", "-.5", "\u{0}\u{0}\u{0}", "99999999999999999999999", "-99999999999999999999999",
    "300000", "-273150",
  ])
  func aZoneThatMakesNoSenseIsLeftOut(text: String) throws {
    try zone(0, text)
    #expect(sample().temperatureMilliC == 38_000)
    try zone(1, text)
    #expect(sample().temperatureMilliC == VitalSigns().temperatureMilliC)
  }

  @Test func aZoneThatBreaksLaterIsLeftOutUntilItWorksAgain() throws {
    let sensors = Sensors(root: InlineText(folder.path)!)
    #expect(sensors.sample().temperatureMilliC == 41_500)
    try folder.remove("sys/class/thermal/thermal_zone0/temp")
    #expect(sensors.sample().temperatureMilliC == 38_000)
    // A folder in the file's place: opening works, reading does not.
    try folder.write("sys/class/thermal/thermal_zone0/temp/x", "1")
    #expect(sensors.sample().temperatureMilliC == 38_000)
    try folder.remove("sys/class/thermal/thermal_zone0/temp")
    try zone(0, "55000")
    #expect(sensors.sample().temperatureMilliC == 55_000)
  }

  @Test func belowZeroIsATemperature() throws {
    try zone(0, "-12500\n")
    try zone(1, "-13000\n")
    #expect(sample().temperatureMilliC == -12_500)
  }

  @Test func filesThatAreTooLongOrGarbageLeaveTheirSignsUnknown() throws {
    let noise = (0..<6_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) }
    for name in ["proc/uptime", "proc/loadavg", "proc/meminfo", "proc/pressure/memory"] {
      try folder.write(name, noise)
    }
    var expected = VitalSigns()
    expected.temperatureMilliC = 41_500
    #expect(sample() == expected)
    for name in ["proc/uptime", "proc/loadavg", "proc/meminfo", "proc/pressure/memory"] {
      try folder.write(name, Array(noise.prefix(2_000)).filter { $0 < 0x30 || $0 > 0x39 })
    }
    #expect(sample() == expected)
  }

  @Test func hugeNumbersAreClamped() throws {
    let huge = String(repeating: "9", count: 400)
    try folder.write("proc/uptime", huge)
    try folder.write("proc/loadavg", huge + "." + huge)
    try folder.write("proc/meminfo", "MemTotal: \(huge) kB\nMemAvailable: -5 kB\n")
    try folder.write("proc/pressure/memory", "some avg10=\(huge)")
    let signs = sample()
    #expect(signs.uptimeS == .max)
    #expect(signs.loadMilli == .max)
    #expect(signs.memoryTotalKB == .max)
    #expect(signs.memoryAvailableKB == 0)
    #expect(signs.memoryPressurePermille == 1_000)
  }

  @Test func aLabelAtTheEndOfItsFileHasNoNumber() throws {
    try folder.write("proc/meminfo", "MemTotal: 64000 kB\nMemAvailable:")
    #expect(sample().memoryTotalKB == 64_000)
    #expect(sample().memoryAvailableKB == 0)
  }

  @Test(arguments: [("0", VitalSigns.Power.battery), ("1", .mains), ("2", .mains), ("", .battery), ("on", .battery)])
  func mainsCountsWhileOnline(online: String, power: VitalSigns.Power) throws {
    try supply("usb", ["type": "USB\n", "online": online])
    try supply("BAT0", ["type": "Battery\n", "capacity": "50\n", "status": "Discharging\n"])
    #expect(sample().power == power)
  }

  @Test(arguments: ["", "101", "-1", "99999999999999999999", "full"])
  func aBatteryThatMakesNoSenseIsUnknown(capacity: String) throws {
    try supply("BAT0", ["type": "Battery\n", "capacity": capacity, "status": "Discharging\n"])
    let signs = sample()
    #expect(signs.batteryPercent == VitalSigns().batteryPercent)
    #expect(signs.power == .unknown)
  }

  @Test func theBatteryOfAMouseIsNotTheBoards() throws {
    try supply("hid-mouse", ["type": "Battery\n", "scope": "Device\n", "capacity": "5\n", "status": "Discharging\n"])
    #expect(sample().power == .unknown)
    #expect(sample().batteryPercent == VitalSigns().batteryPercent)
  }

  @Test func moreZonesAndSuppliesThanAreReadDoNoHarm() throws {
    for number in 2..<60 { try zone(number, "20000") }
    for number in 0..<40 { try supply("BAT\(number)", ["type": "Battery\n", "capacity": "50\n", "status": "Full\n"]) }
    #expect(sample().batteryPercent == 50)
    #expect(sample().power == .mains)
  }
}
