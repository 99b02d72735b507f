import Bounded
import Foundation
import Node
import Wire

extension FuzzTarget {
  /// A whole configuration file.
  static let configuration = FuzzTarget(
    name: "configuration",
    run: { bytes in
      do throws(ConfigurationError) {
        check(try Configuration(parsing: bytes))
      } catch {
        var text = TextBuffer(capacity: 512)
        error.describe(into: &text)
        precondition(!text.isTruncated && text.count > 0)
        precondition(error.line >= 0 && error.line <= bytes.byteCount + 1)
        precondition((error.line == 0) == (error.problem == .fileTooLong))
        precondition(error.otherLine == 0 || error.otherLine < error.line)
      }
    },
    seeds: {
      let hex = String(repeating: "0a", count: 32)
      let whole = """
        # every key once
        hub = hub.example.org:7411 pin=sha256:\(hex) key=\(hex)
        hub = [2001:db8::7]:7411 ca
        ca_file = /etc/skynod/ca.pem
        ticket = skynod1.aHVi.7411.x.y.z
        state_directory = /var/lib/skynod
        control_socket = /run/skynod/control.sock
        operate_group = skynod
        duties = heartbeat relay compute
        rekey_interval = 90s
        temperature_high = 80
        temperature_critical = 90
        temperature_hysteresis = 5
        battery_low = 30 %
        battery_critical = 10
        battery_hysteresis = 5
        memory_low = 32MiB
        memory_critical = 12 MB
        memory_hysteresis = 512kB
        log_level = debug

        """
      return [
        Seed(name: "whole", bytes: Array(whole.utf8)),
        Seed(name: "crlf", bytes: Array("\u{FEFF}log_level = info\r\n\r\n# grün\r\nrekey_interval=1500ms\r\n".utf8)),
        Seed(name: "address", bytes: Array("hub = [1:2:3:4:5:6:192.0.2.1]:1 ca\nhub = 192.0.2.1:65535 ca\n".utf8)),
        Seed(name: "unknown", bytes: Array("temprature_high = 80\n".utf8)),
      ]
    })

  /// What the type promises of every value.
  private static func check(_ configuration: Configuration) {
    precondition(configuration.hubs.count <= Limits.hubListCount)
    for i in 0..<configuration.hubs.count {
      let hub = configuration.hubs[i]
      precondition(hub.port > 0 && isHostName(hub.host.bytes))
      precondition(hub.isPinned || !configuration.authorityFile.isEmpty)
      precondition(configuration.hubs.firstIndex(of: hub) == i)
    }
    precondition(configuration.stateDirectory.bytes[0] == UInt8(ascii: "/"))
    precondition(configuration.controlSocket.bytes[0] == UInt8(ascii: "/"))
    precondition(configuration.operateGroup.count > 0 && !configuration.duties.isEmpty)
    precondition(configuration.rekeyIntervalMs >= Limits.rekeyMinimumMs)
    precondition(configuration.rekeyIntervalMs <= Limits.rekeyAfterMs)
    precondition(configuration.temperature.critical >= configuration.temperature.switchOff)
    precondition(configuration.temperature.critical <= 150)
    precondition(configuration.battery.critical <= configuration.battery.switchOff)
    precondition(configuration.battery.switchOff <= 100)
    precondition(configuration.memory.critical <= configuration.memory.switchOff)
  }

  /// A join ticket's text.
  static let ticket = FuzzTarget(
    name: "ticket",
    run: { bytes in
      do throws(ErrorCode) {
        let ticket = try Ticket(parsing: bytes)
        var text = TextBuffer(capacity: Ticket.textBytes)
        ticket.append(to: &text)
        precondition(!text.isTruncated)
        let again = try Ticket(parsing: text.bytes)
        precondition(again == ticket, "what is written is read back")
      } catch {
        precondition(error == .badArgument || error == .tooLong)
      }
    },
    seeds: {
      ["hub.example.org", "192.0.2.7", "2001:db8::7"].map { host in
        let hub = HubEntry(
          host: InlineText(host)!, port: 7411, pin: InlineArray { UInt8($0) }, key: InlineArray { UInt8(255 - $0) })
        let ticket = Ticket(
          hub: hub, tokenId: InlineArray { UInt8($0 + 1) }, tokenSecret: InlineArray { UInt8($0 * 16) })
        var text = TextBuffer(capacity: Ticket.textBytes)
        ticket.append(to: &text)
        return Seed(name: host.replacing(":", with: "_"), bytes: text.array)
      }
    })
}
