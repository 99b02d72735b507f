/// What a board says about its own condition. Unknown values have their own marks, never zero.
public struct VitalSigns: Equatable, Sendable {
  public enum Power: UInt8, Sendable {
    case unknown = 0
    case mains = 1
    case battery = 2
  }

  /// Since the board started, seconds.
  public var uptimeS: UInt32 = 0
  /// One-minute load average, thousandths.
  public var loadMilli: UInt32 = 0
  public var memoryTotalKB: UInt32 = 0
  public var memoryAvailableKB: UInt32 = 0
  /// PSI "some" average over 10 s (Documentation/accounting/psi.rst), thousandths; 65,535 is unknown.
  public var memoryPressurePermille: UInt16 = .max
  /// The hottest zone, thousandths of a degree Celsius; `Int32.min` is unknown.
  public var temperatureMilliC: Int32 = .min
  public var power: Power = .unknown
  /// 0 to 100; 255 is unknown.
  public var batteryPercent: UInt8 = .max

  public init() {}
}
