import Wire

/// The board's limits beyond which duties are held back. Unknown readings hold nothing back.
public struct DutyThresholds: Equatable, Sendable {
  /// Compute stops above `high`, relay above `critical`, thousandths of a degree Celsius.
  public var temperatureHighMilliC: Int32 = 80_000
  public var temperatureCriticalMilliC: Int32 = 90_000
  /// On battery, compute stops below `low`, relay below `critical`, percent.
  public var batteryLowPercent: UInt8 = 30
  public var batteryCriticalPercent: UInt8 = 10
  /// Compute stops when less than `low` is available, relay below `critical`.
  public var memoryLowKB: UInt32 = 32 * 1_024
  public var memoryCriticalKB: UInt32 = 12 * 1_024
  /// How much better than its threshold a reading must be before a duty comes back.
  public var temperatureMarginMilliC: Int32 = 5_000
  public var batteryMarginPercent: UInt8 = 5
  public var memoryMarginKB: UInt32 = 4 * 1_024

  public init() {}

  /// From the configuration's degrees, percent and bytes.
  public init(_ configuration: Configuration) {
    temperatureHighMilliC = Int32(configuration.temperature.switchOff) * 1_000
    temperatureCriticalMilliC = Int32(configuration.temperature.critical) * 1_000
    temperatureMarginMilliC = Int32(configuration.temperature.hysteresis) * 1_000
    batteryLowPercent = UInt8(configuration.battery.switchOff)
    batteryCriticalPercent = UInt8(configuration.battery.critical)
    batteryMarginPercent = UInt8(configuration.battery.hysteresis)
    memoryLowKB = UInt32(clamping: configuration.memory.switchOff / 1_024)
    memoryCriticalKB = UInt32(clamping: configuration.memory.critical / 1_024)
    memoryMarginKB = UInt32(clamping: configuration.memory.hysteresis / 1_024)
  }
}

/// Why a duty is held back.
public enum HoldCause: UInt8, Sendable {
  case temperature, battery, memory

  public var token: StaticString {
    switch self {
    case .temperature: "temperature"
    case .battery: "battery"
    case .memory: "memory"
    }
  }
}

/// Which duties the board's condition allows. Pure: the same signs give the same answer, except that a
/// duty held back returns only once the reading is clear of the threshold by a margin, so that it does not
/// flap. The heartbeat is never held back: a board in trouble must be able to say so.
public struct DutyPolicy: Equatable, Sendable {
  public var thresholds = DutyThresholds()
  public private(set) var held: Duties = []
  public private(set) var cause: HoldCause?

  public init() {}

  /// Takes new vital signs; true when what is held back changed.
  public mutating func update(_ signs: VitalSigns) -> Bool {
    let before = held
    cause = nil
    var next: Duties = []
    if isShort(signs, critical: false, wasHeld: held.contains(.compute)) { next.insert(.compute) }
    if isShort(signs, critical: true, wasHeld: held.contains(.relay)) { next.insert(.relay) }
    held = next
    return held != before
  }

  private mutating func isShort(_ signs: VitalSigns, critical: Bool, wasHeld: Bool) -> Bool {
    let hot = critical ? thresholds.temperatureCriticalMilliC : thresholds.temperatureHighMilliC
    if signs.temperatureMilliC != .min,
      signs.temperatureMilliC > (wasHeld ? hot - thresholds.temperatureMarginMilliC : hot)
    {
      cause = .temperature
      return true
    }
    let low = critical ? thresholds.batteryCriticalPercent : thresholds.batteryLowPercent
    // A full battery is always enough, whatever the margin.
    let enough = wasHeld ? min(100, UInt16(low) + UInt16(thresholds.batteryMarginPercent)) : UInt16(low)
    if signs.power == .battery, signs.batteryPercent <= 100, UInt16(signs.batteryPercent) < enough {
      cause = .battery
      return true
    }
    let scarce = critical ? thresholds.memoryCriticalKB : thresholds.memoryLowKB
    if signs.memoryTotalKB > 0,
      UInt64(signs.memoryAvailableKB) < UInt64(scarce) + (wasHeld ? UInt64(thresholds.memoryMarginKB) : 0)
    {
      cause = .memory
      return true
    }
    return false
  }
}
