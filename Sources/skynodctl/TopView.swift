import Bounded
import CSky
import Wire

/// The view that redraws: state, link, counters with their rates, the board, the last events.
///
/// Keeps its connection; when the daemon goes away it says so and tries again at the next turn.
final class TopView {
  private static let periodMs: UInt64 = 2_000
  private static let eventLines = 8
  private static let rates: [StatusItem] = [
    StatusItem("sent", "sent"), StatusItem("received", "received"), StatusItem("dropped", "dropped"),
    StatusItem("heartbeats_sent", "heartbeats sent"), StatusItem("heartbeats_acked", "heartbeats answered"),
    StatusItem("heap_allocations_since_ready", "allocations"),
  ]

  private let arguments: Arguments
  private let out: Console
  private var client: Client?
  private var events: [[UInt8]] = []
  private var previous: [Field] = []
  private var previousMs: UInt64 = 0

  init(arguments: Arguments, out: Console) {
    self.arguments = arguments
    self.out = out
  }

  func run() throws(Failure) {
    let status = try readStatus()
    guard sky_cli_is_terminal(0), sky_cli_is_terminal(1), !arguments.isJson else { return draw(status, nil) }
    guard sky_cli_view_begin() == 0 else { return draw(status, nil) }
    defer { sky_cli_view_end() }
    redraw(status, nil)
    while true {
      if waitForKeyOrPeriod() { return }
      do throws(Failure) {
        redraw(try readStatus(), nil)
      } catch {
        client = nil
        redraw(previous, error)
      }
    }
  }

  /// True when the person wants to leave.
  private func waitForKeyOrPeriod() -> Bool {
    let deadline = sky_clock_ms() + Self.periodMs
    while true {
      if sky_cli_interrupted() { return true }
      let now = sky_clock_ms()
      if now >= deadline { return false }
      let ready = sky_cli_wait(0, -1, Int32(deadline - now))
      guard ready > 0 else { continue }
      var key: UInt8 = 0
      guard sky_read(0, &key, 1) == 1 else { return true }
      if key == UInt8(ascii: "q") || key == UInt8(ascii: "Q") || key == 3 { return true }
      if key == 0x20 || key == 0x0A { return false }
    }
  }

  private func readStatus() throws(Failure) -> [Field] {
    if let client { return fields(try client.ask("status")) }
    let fresh = try Client(socket: arguments.socket, timeoutMs: arguments.timeoutMs)
    // A cycle until the process ends, which is when both go.
    fresh.onEvent = { line in
      self.events.append(line)
      if self.events.count > Self.eventLines { self.events.removeFirst() }
    }
    if arguments.isJson {
      try fresh.switchToJson()
      out.write(try fresh.askJson(bytes(of: "status")))
      out.write("\n")
      return []
    }
    _ = try fresh.ask("watch")
    client = fresh
    return fields(try fresh.ask("status"))
  }

  private func redraw(_ status: [Field], _ failure: Failure?) {
    out.write("\u{1B}[H\u{1B}[2J")
    draw(status, failure)
    out.dim()
    out.write("\nq leaves")
    out.plain()
    out.flush()
  }

  private func draw(_ status: [Field], _ failure: Failure?) {
    if arguments.isJson { return }
    if let failure {
      out.red()
      out.write(printable: failure.text)
      out.plain()
      out.write("; trying again\n")
    }
    guard !status.isEmpty else { return }
    out.headline(status)
    out.group("Link", linkItems, status)
    counters(status)
    out.slots(status)
    out.group("Board", boardItems, status)
    if !events.isEmpty { out.heading("Events") }
    for event in events {
      out.write("  ")
      out.write(printable: event)
      out.write("\n")
    }
    if failure == nil {
      previous = status
      previousMs = sky_clock_ms()
    }
  }

  private func counters(_ status: [Field]) {
    out.heading("Counters")
    let passed = sky_clock_ms() - previousMs
    for item in Self.rates {
      guard let now = number(status, item.key) else { continue }
      out.write("  ")
      out.write(item.label, width: 20)
      out.write(now)
      if let before = number(previous, item.key), now >= before, passed > 0 {
        out.write("  (")
        out.write(scaled: Int64(clamping: (now - before) * 10_000 / passed), places: 1)
        out.write("/s)")
      }
      out.write("\n")
    }
  }
}
