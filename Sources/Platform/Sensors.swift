import Bounded
import CSky
import Wire

/// Reads the board's vital signs from /proc and /sys.
///
/// Which thermal zones and power supplies there are is looked up once, at start: reading allocates nothing.
/// A file that is missing, too long or not a number leaves its sign unknown; no reading can fail as a whole.
public final class Sensors {
  /// At most this many zones and supplies are read; boards have one to a dozen.
  static let zonesMaximum = 12
  static let suppliesMaximum = 6

  private let root: InlineText<160>
  private var zones = Ring<PathText, 12>()
  private var supplies = Ring<Supply, 6>()
  private var file = ByteQueue(capacity: 4_096)
  private var path = TextBuffer(capacity: 255)

  private struct Supply {
    let isBattery: Bool
    /// `online` for mains, `capacity` for a battery.
    let reading: PathText
    /// `status` of a battery.
    let status: PathText?
  }

  /// `root` is "" on a board; tests give a folder of their own.
  public init(root: InlineText<160> = InlineText()) {
    self.root = root
    findZones()
    findSupplies()
  }

  public func sample() -> VitalSigns {
    var signs = VitalSigns()
    if load("/proc/uptime"), let uptime = number(scale: 1) { signs.uptimeS = UInt32(clamping: uptime) }
    if load("/proc/loadavg"), let load = number(scale: 1_000) { signs.loadMilli = UInt32(clamping: load) }
    if load("/proc/meminfo") {
      signs.memoryTotalKB = UInt32(clamping: number(after: "MemTotal:") ?? 0)
      signs.memoryAvailableKB = UInt32(clamping: number(after: "MemAvailable:") ?? 0)
    }
    if load("/proc/pressure/memory"), let pressure = number(after: "avg10=", scale: 10) {
      signs.memoryPressurePermille = UInt16(clamping: min(pressure, 1_000))
    }
    for i in 0..<zones.count {
      guard load(zones[i]), let milli = number(scale: 1), milli > -100_000, milli < 300_000 else { continue }
      signs.temperatureMilliC = max(signs.temperatureMilliC, Int32(milli))
    }
    samplePower(&signs)
    return signs
  }

  private func samplePower(_ signs: inout VitalSigns) {
    var hasMains = false
    var isDischarging = false
    for i in 0..<supplies.count {
      let supply = supplies[i]
      guard load(supply.reading), let value = number(scale: 1) else { continue }
      if !supply.isBattery {
        // 1 is online, 2 is online with a negotiated voltage (USB Power Delivery).
        hasMains = hasMains || value > 0
        continue
      }
      guard (0...100).contains(value) else { continue }
      signs.batteryPercent = min(signs.batteryPercent, UInt8(value))
      if let status = supply.status, load(status), file.bytes.byteCount >= 4, starts(with: "Disc") {
        isDischarging = true
      }
    }
    if hasMains { signs.power = .mains } else if isDischarging { signs.power = .battery }
    if !hasMains, !isDischarging, signs.batteryPercent <= 100 { signs.power = .mains }  // charging or full
  }

  // MARK: Finding

  private func findZones() {
    eachName(in: "/sys/class/thermal") { name in
      guard name.byteCount > 12, name.extracting(0..<12).elementsEqual("thermal_zone"), !zones.isFull else { return }
      if let path = join("/sys/class/thermal/", name, "/temp"), load(path), number(scale: 1) != nil {
        zones.append(path)
      }
    }
  }

  private func findSupplies() {
    eachName(in: "/sys/class/power_supply") { name in
      guard !supplies.isFull, let type = join("/sys/class/power_supply/", name, "/type"), load(type) else { return }
      if starts(with: "Battery") {
        // A wireless mouse has a battery too; the board's own has scope System or none.
        if let scope = join("/sys/class/power_supply/", name, "/scope"), load(scope), starts(with: "Device") { return }
        if let capacity = join("/sys/class/power_supply/", name, "/capacity") {
          supplies.append(
            Supply(
              isBattery: true, reading: capacity, status: join("/sys/class/power_supply/", name, "/status")))
        }
      } else if starts(with: "Mains") || starts(with: "USB") {
        if let online = join("/sys/class/power_supply/", name, "/online") {
          supplies.append(Supply(isBattery: false, reading: online, status: nil))
        }
      }
    }
  }

  private func eachName(in directory: StaticString, _ body: (RawSpan) -> Void) {
    var names = InlineArray<2048, UInt8>(repeating: 0)
    guard let directory = join(directory, RawSpan(), "") else { return }
    let used = directory.withCString { path in
      withUnsafeMutableBytes(of: &names) {
        sky_directory_names(path, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
      }
    }
    var start = 0
    var at = 0
    while at < used {
      if names[at] == 0 {
        body(names.span.bytes.extracting(start..<at))
        start = at + 1
      }
      at += 1
    }
  }

  private func join(_ before: StaticString, _ name: RawSpan, _ after: StaticString) -> PathText? {
    var text = TextBuffer(capacity: 255)
    text.append(root)
    text.append(before)
    text.append(name)
    text.append(after)
    return text.isTruncated ? nil : PathText(text.bytes)
  }

  // MARK: Reading

  private func load(_ name: StaticString) -> Bool {
    path.removeAll()
    path.append(root)
    path.append(name)
    guard !path.isTruncated, let whole = path.withUnsafeBytes({ PathText(RawSpan(_unsafeBytes: $0)) }) else {
      return false
    }
    return load(whole)
  }

  private func load(_ path: PathText) -> Bool {
    file.consume(file.count)
    do throws(ErrorCode) { try Files.read(path, into: &file) } catch { return false }
    return !file.isEmpty
  }

  private func starts(with text: StaticString) -> Bool {
    let count = text.utf8CodeUnitCount
    return file.count >= count && file.holds(text, at: 0)
  }

  private func number(after label: StaticString, scale: Int64 = 1) -> Int64? {
    let count = label.utf8CodeUnitCount
    var at = 0
    while at + count <= file.count {
      if file.holds(label, at: at) { return number(from: at + count, scale: scale) }
      at += 1
    }
    return nil
  }

  private func number(scale: Int64) -> Int64? { number(from: 0, scale: scale) }

  /// A decimal number with optional sign and fraction, times `scale`, rounded down; nil when there is none.
  private func number(from start: Int, scale: Int64) -> Int64? { Self.number(file, from: start, scale: scale) }

  private static func number(_ file: borrowing ByteQueue, from start: Int, scale: Int64) -> Int64? {
    let text = file.bytes
    var at = start
    while at < text.byteCount, text[at] == 0x20 || text[at] == 0x09 { at += 1 }
    var negative = false
    if at < text.byteCount, text[at] == UInt8(ascii: "-") {
      negative = true
      at += 1
    }
    var value: Int64 = 0
    var digits = 0
    while at < text.byteCount, let digit = decimalDigit(text[at]), digits < 15 {
      value = value * 10 + digit
      digits += 1
      at += 1
    }
    guard digits > 0 else { return nil }
    value *= scale
    if at < text.byteCount, text[at] == UInt8(ascii: ".") {
      var place = scale
      at += 1
      while at < text.byteCount, place > 1, let digit = decimalDigit(text[at]) {
        place /= 10
        value += digit * place
        at += 1
      }
    }
    return negative ? -value : value
  }

  private static func decimalDigit(_ byte: UInt8) -> Int64? {
    let digit = byte &- UInt8(ascii: "0")
    return digit < 10 ? Int64(digit) : nil
  }
}

extension ByteQueue {
  fileprivate func holds(_ text: StaticString, at start: Int) -> Bool {
    bytes.extracting(start..<(start + text.utf8CodeUnitCount)).elementsEqual(text)
  }
}
