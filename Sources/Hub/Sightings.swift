import Foundation
import Wire

/// What was seen of nodes since the registry was last told: one entry a node, however often it beat.
///
/// Batched so that a thousand nodes with a heartbeat every 30 s cost one transaction, not a thousand.
struct Sightings {
  /// The registry is told this often.
  static let flushMs: UInt64 = 30_000

  private struct Entry {
    var at: Int64
    var heartbeat: Heartbeat?
    var agent: String?
    var fingerprint: Data?
  }

  private var entries: [UInt32: Entry] = [:]

  var isEmpty: Bool { entries.isEmpty }

  mutating func joined(_ id: UInt32, agent: String, fingerprint: Data?, at: Int64) {
    entries[id, default: Entry(at: at)].at = at
    entries[id]!.agent = agent
    entries[id]!.fingerprint = fingerprint
  }

  mutating func heard(_ id: UInt32, _ heartbeat: Heartbeat? = nil, at: Int64) {
    entries[id, default: Entry(at: at)].at = at
    if let heartbeat { entries[id]!.heartbeat = heartbeat }
  }

  mutating func flush(to registry: Registry) throws(HubError) {
    guard !entries.isEmpty else { return }
    try registry.noteSeen(
      entries.map { id, entry in
        Sighting(
          id: id, at: entry.at, vitals: entry.heartbeat.map { $0.json }, agent: entry.agent,
          fingerprint: entry.fingerprint)
      })
    entries.removeAll(keepingCapacity: true)
  }
}

extension Heartbeat {
  /// The known values as a flat JSON object of numbers; unknown ones are left out.
  var json: String {
    var values: [String: Double] = [
      "uptime_s": Double(vitals.uptimeS), "load": Double(vitals.loadMilli) / 1_000,
      "memory_total_kb": Double(vitals.memoryTotalKB), "memory_available_kb": Double(vitals.memoryAvailableKB),
      "inbox_used": Double(inboxUsed), "inbox_capacity": Double(inboxCapacity), "outbox_used": Double(outboxUsed),
      "outbox_capacity": Double(outboxCapacity), "dictionary_generation": Double(dictionaryGeneration),
      "duties": Double(duties.rawValue),
    ]
    if vitals.memoryPressurePermille != .max {
      values["memory_pressure"] = Double(vitals.memoryPressurePermille) / 1_000
    }
    if vitals.temperatureMilliC != .min { values["temperature_c"] = Double(vitals.temperatureMilliC) / 1_000 }
    if vitals.batteryPercent != .max { values["battery_percent"] = Double(vitals.batteryPercent) }
    switch vitals.power {
    case .unknown: break
    case .mains: values["on_battery"] = 0
    case .battery: values["on_battery"] = 1
    }
    let fields = values.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }
    return "{\(fields.joined(separator: ","))}"
  }
}
