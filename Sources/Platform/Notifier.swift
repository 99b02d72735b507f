import Bounded
import CSky
import Wire

/// Tells systemd how the service is doing, by the datagram protocol of sd_notify(3), written natively because
/// a static program does not link libsystemd. Without `NOTIFY_SOCKET` every call does nothing.
///
/// Not a queue. A status or a ping that the manager's socket does not take at once is gone, the next one says
/// more. What the manager waits for (ready, reloading, stopping) is tried again for `Limits.notifyWaitMs`.
public final class Notifier {
  private let socketPath: InlineText<107>?
  private let descriptor: Int32
  private var text = TextBuffer(capacity: Limits.notifyBytes)
  /// How often the watchdog wants to hear from us, milliseconds; nil when it does not.
  public let watchdogMs: UInt64?

  /// Reads the environment that systemd set.
  public init() {
    socketPath = Process.environment("NOTIFY_SOCKET")
    descriptor = socketPath == nil ? -1 : sky_datagram_open()
    watchdogMs = Self.watchdogFromEnvironment()
  }

  deinit { if descriptor >= 0 { sky_close(descriptor) } }

  /// `WATCHDOG_USEC`, unless `WATCHDOG_PID` names another process (sd_watchdog_enabled(3)).
  private static func watchdogFromEnvironment() -> UInt64? {
    guard let period: InlineText<20> = Process.environment("WATCHDOG_USEC"),
      let us = parseDecimal(period.bytes), us > 0
    else { return nil }
    if let owner: InlineText<20> = Process.environment("WATCHDOG_PID"), !owner.isEmpty,
      parseDecimal(owner.bytes) != UInt64(Process.id)
    {
      return nil
    }
    return us / 1_000
  }

  public var isListening: Bool { descriptor >= 0 }

  /// Start-up, or a reload, is over.
  public func ready(status: RawSpan) {
    text.append("READY=1\n")
    appendStatus(status)
    send(isAwaited: true)
  }

  /// One line for people in `systemctl status`.
  public func status(_ status: RawSpan) {
    appendStatus(status)
    send()
  }

  public func watchdog() {
    text.append("WATCHDOG=1")
    send()
  }

  /// A reload begins; `ready` ends it.
  public func reloading() {
    text.append("RELOADING=1\nMONOTONIC_USEC=")
    text.append(sky_monotonic_us())
    send(isAwaited: true)
  }

  public func stopping() {
    text.append("STOPPING=1")
    send(isAwaited: true)
  }

  /// Leaves a descriptor with the manager, so that the next start of the service gets it back by `name`. Not for
  /// the control socket: its socket unit holds that one.
  public func store(_ kept: Int32, name: StaticString) {
    text.append("FDSTORE=1\nFDNAME=")
    text.append(name)
    send(attached: kept)
  }

  private func appendStatus(_ status: RawSpan) {
    text.append("STATUS=")
    // A line break would end the assignment.
    for i in 0..<status.byteCount { text.append(byte: status[i] == 0x0A ? 0x20 : status[i]) }
  }

  private func send(attached: Int32 = -1, isAwaited: Bool = false) {
    if let socketPath, descriptor >= 0 {
      _ = socketPath.withCString { path in
        text.withUnsafeBytes { bytes in
          attached >= 0
            ? sky_datagram_send_descriptor(descriptor, path, bytes.baseAddress, bytes.count, attached)
            : sky_datagram_send_waiting(
              descriptor, path, bytes.baseAddress, bytes.count, isAwaited ? Int32(Limits.notifyWaitMs) : 0)
        }
      }
    }
    text.removeAll()
  }
}
