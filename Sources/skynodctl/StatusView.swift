import Bounded
import Wire

/// How a status field is shown to people.
enum Shape {
  case plain, seconds, milliseconds, kilobytes, bytes, celsius, percent
}

/// The order, the names and the units of the status view. Keys are those of docs/control.md.
struct StatusItem {
  let key: StaticString
  let label: StaticString
  let shape: Shape

  init(_ key: StaticString, _ label: StaticString, _ shape: Shape = .plain) {
    self.key = key
    self.label = label
    self.shape = shape
  }
}

let linkItems: [StatusItem] = [
  StatusItem("hub", "hub"), StatusItem("hub_id", "hub id"), StatusItem("link_age_s", "up for", .seconds),
  StatusItem("link_cipher", "cipher"), StatusItem("key_epoch", "key epoch"),
  StatusItem("key_age_s", "key age", .seconds),
  StatusItem("rtt_ms", "round trip", .milliseconds), StatusItem("links", "links made"),
  StatusItem("link_errors", "link errors"),
]
let dutyItems: [StatusItem] = [
  StatusItem("duties", "on"), StatusItem("duties_held_back", "held back"),
  StatusItem("heartbeat_interval_s", "beat every", .seconds), StatusItem("heartbeats_sent", "beats sent"),
  StatusItem("heartbeats_acked", "beats answered"),
]
let trafficItems: [StatusItem] = [
  StatusItem("sent", "sent"), StatusItem("received", "received"), StatusItem("dropped", "dropped"),
  StatusItem("storage", "storage"), StatusItem("durable_waiting", "kept to go"),
  StatusItem("durable_urgent", "urgent"),
  StatusItem("durable_here", "kept here"),
  StatusItem("durable_posted", "taken in"), StatusItem("durable_forwarded", "handed on"),
  StatusItem("durable_undelivered", "given up"), StatusItem("durable_duplicates", "came again"),
  StatusItem("seal", "seal"), StatusItem("sealed_sent", "sent sealed"), StatusItem("sealed_received", "came sealed"),
  StatusItem("sealed_not_opened", "not opened"),
]
let boardItems: [StatusItem] = [
  StatusItem("board_uptime_s", "up for", .seconds), StatusItem("load", "load"),
  StatusItem("memory_available_kb", "free memory", .kilobytes),
  StatusItem("temperature_c", "temperature", .celsius), StatusItem("power", "power"),
  StatusItem("battery_percent", "battery", .percent), StatusItem("clock", "clock set by"),
  StatusItem("time", "time"),
]
let daemonItems: [StatusItem] = [
  StatusItem("version", "version"), StatusItem("class", "class"), StatusItem("instance", "instance"),
  StatusItem("fingerprint", "fingerprint"), StatusItem("dictionary_generation", "dictionary"),
  StatusItem("uptime_s", "running for", .seconds),
  StatusItem("heap_used_bytes", "heap in use", .bytes), StatusItem("heap_peak_bytes", "heap peak", .bytes),
  StatusItem("heap_arena_bytes", "heap size", .bytes),
  StatusItem("heap_allocations_since_ready", "allocations"),
]

extension Console {
  private static let labelWidth = 16

  /// The whole status, grouped.
  func status(_ fields: [Field]) {
    headline(fields)
    group("Link", linkItems, fields)
    group("Duties", dutyItems, fields)
    group("Traffic", trafficItems, fields)
    slots(fields)
    group("Board", boardItems, fields)
    group("Daemon", daemonItems, fields)
    others(fields)
  }

  /// Who it is, its state, and what to do when it is not well.
  func headline(_ fields: [Field]) {
    let id = value(fields, "id")
    bold()
    write(printable: id.isEmpty ? bytes(of: "(not joined)") : id)
    plain()
    write("  ")
    let state = value(fields, "state")
    let isOnline = equals(state, "online")
    if isOnline { green() } else { yellow() }
    write(printable: state)
    plain()
    let reason = value(fields, "reason")
    if !reason.isEmpty && !isOnline {
      write("  ")
      red()
      write(printable: reason)
      plain()
    }
    write("\n")
    let hint = value(fields, "hint")
    if !hint.isEmpty {
      write("  ")
      write(printable: hint, indent: 2)
      write("\n")
    }
  }

  func group(_ title: StaticString, _ items: [StatusItem], _ fields: [Field]) {
    var isOpen = false
    for item in items {
      for field in fields where field.is(item.key) {
        if !isOpen { heading(title) }
        isOpen = true
        write("  ")
        write(item.label, width: Self.labelWidth)
        show(field.value, item.shape)
        write("\n")
      }
    }
  }

  func heading(_ title: StaticString) {
    write("\n")
    bold()
    write(title)
    plain()
    write("\n")
  }

  /// Ring levels read better as one line each: used of capacity.
  func slots(_ fields: [Field]) {
    for isInbox in [true, false] {
      guard let used = number(fields, isInbox ? "inbox_used" : "outbox_used") else { continue }
      write("  ")
      write(isInbox ? "inbox" : "outbox", width: Self.labelWidth)
      write(used)
      if let capacity = number(fields, isInbox ? "inbox_capacity" : "outbox_capacity") {
        write(" of ")
        write(capacity)
      }
      write("\n")
    }
  }

  /// Fields of a newer daemon.
  private func others(_ fields: [Field]) {
    var isOpen = false
    for field in fields where !isKnown(field) {
      if !isOpen { heading("Other") }
      isOpen = true
      write("  ")
      write(printable: field.key)
      spaces(max(1, Self.labelWidth - field.key.count))
      show(field.value, .plain)
      write("\n")
    }
  }

  private func isKnown(_ field: Field) -> Bool {
    for items in [linkItems, dutyItems, trafficItems, boardItems, daemonItems] {
      for item in items where field.is(item.key) { return true }
    }
    return field.is("id") || field.is("state") || field.is("reason") || field.is("hint") || field.is("inbox_used")
      || field.is("inbox_capacity") || field.is("outbox_used") || field.is("outbox_capacity")
  }

  func show(_ value: [UInt8], _ shape: Shape) {
    guard !value.isEmpty else { return write("-") }
    guard shape != .plain, let number = parseDecimal(value.span.bytes) else {
      write(printable: value, indent: 2 + Self.labelWidth)
      if shape == .celsius { write(" °C") }
      return
    }
    switch shape {
    case .plain: write(number)
    case .seconds: duration(number)
    case .milliseconds: write(number); write(" ms")
    case .kilobytes: size(kilobytes: number)
    case .bytes: write(scaled: Int64(clamping: number * 10 / 1_024), places: 1); write(" kB")
    case .celsius: write(number); write(" °C")
    case .percent: write(number); write(" %")
    }
  }

  /// The two largest units: `3 d 4 h`, `12 min 5 s`.
  func duration(_ seconds: UInt64) {
    let parts: (UInt64, StaticString, UInt64, StaticString)
    switch seconds {
    case 0..<60:
      write(seconds)
      return write(" s")
    case 60..<3_600: parts = (seconds / 60, " min ", seconds % 60, " s")
    case 3_600..<86_400: parts = (seconds / 3_600, " h ", seconds % 3_600 / 60, " min")
    default: parts = (seconds / 86_400, " d ", seconds % 86_400 / 3_600, " h")
    }
    write(parts.0)
    write(parts.1)
    write(parts.2)
    write(parts.3)
  }

  private func size(kilobytes: UInt64) {
    guard kilobytes >= 1_024 else {
      write(kilobytes)
      return write(" kB")
    }
    write(scaled: Int64(clamping: kilobytes * 10 / 1_024), places: 1)
    write(" MB")
  }

  /// Rows with the same keys, as a table with one heading.
  func table(_ rows: [[Field]]) {
    guard let first = rows.first else { return }
    var widths = first.map { $0.key.count }
    for row in rows {
      for i in 0..<min(row.count, widths.count) { widths[i] = max(widths[i], characters(row[i].value)) }
    }
    bold()
    for i in 0..<first.count { cell(first[i].key, widths[i], isLast: i == first.count - 1) }
    plain()
    for row in rows {
      for i in 0..<row.count {
        cell(row[i].value, i < widths.count ? widths[i] : 0, isLast: i == row.count - 1)
      }
    }
  }

  private func cell(_ value: [UInt8], _ width: Int, isLast: Bool) {
    write(printable: value.isEmpty ? [0x2D] : value)
    if isLast { return write("\n") }
    spaces(2 + width - max(1, characters(value)))
  }

  /// Code points, which is near enough to columns for names and addresses.
  private func characters(_ value: [UInt8]) -> Int {
    var count = 0
    for byte in value where byte & 0xC0 != 0x80 { count += 1 }
    return count
  }
}
