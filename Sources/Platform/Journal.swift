import Bounded
import CSky
import Wire

/// The kinds of journal entries, each with an id that never changes (docs/journal.md). `MESSAGE_ID` is the
/// 128-bit number in hex; systemd/skynod.catalog explains each.
public enum JournalMessage: Sendable, CaseIterable {
  case started, ready, joined, online, offline, refused, rekeyed, reloaded, draining, stopped, dutiesChanged
  case clockFromHub, configurationError, stateNotWritten, internalTrouble

  public var id: StaticString {
    switch self {
    case .started: "7f3a0c51d2e84b6f9a1c5e70b8d24f01"
    case .ready: "7f3a0c51d2e84b6f9a1c5e70b8d24f02"
    case .joined: "7f3a0c51d2e84b6f9a1c5e70b8d24f03"
    case .online: "7f3a0c51d2e84b6f9a1c5e70b8d24f04"
    case .offline: "7f3a0c51d2e84b6f9a1c5e70b8d24f05"
    case .refused: "7f3a0c51d2e84b6f9a1c5e70b8d24f06"
    case .rekeyed: "7f3a0c51d2e84b6f9a1c5e70b8d24f07"
    case .reloaded: "7f3a0c51d2e84b6f9a1c5e70b8d24f08"
    case .draining: "7f3a0c51d2e84b6f9a1c5e70b8d24f09"
    case .stopped: "7f3a0c51d2e84b6f9a1c5e70b8d24f0a"
    case .dutiesChanged: "7f3a0c51d2e84b6f9a1c5e70b8d24f0b"
    case .clockFromHub: "7f3a0c51d2e84b6f9a1c5e70b8d24f0c"
    case .configurationError: "7f3a0c51d2e84b6f9a1c5e70b8d24f0d"
    case .stateNotWritten: "7f3a0c51d2e84b6f9a1c5e70b8d24f0e"
    case .internalTrouble: "7f3a0c51d2e84b6f9a1c5e70b8d24f0f"
    }
  }
}

/// Severity as syslog counts it (RFC 5424, table 2).
public enum LogPriority: UInt8, Comparable, Sendable {
  case error = 3
  case warning = 4
  case notice = 5
  case info = 6
  case debug = 7

  public static func < (a: LogPriority, b: LogPriority) -> Bool { a.rawValue < b.rawValue }
}

/// Writes entries by the native journal protocol (systemd's "Native Journal Protocol"); where there is no
/// journal socket, as one line with a `<N>` prefix (sd-daemon(3)) to standard error.
///
/// Order of calls: `begin`, any number of `field`s, `send`. Never waits: an entry that the journal does not
/// take at once is counted in `lost`.
public final class Journal {
  public static let socketPath: StaticString = "/run/systemd/journal/socket"

  private let path: InlineText<107>
  private let descriptor: Int32
  private let hasJournal: Bool
  private var entry = TextBuffer(capacity: Limits.journalBytes)
  private var plain = TextBuffer(capacity: Limits.journalBytes)
  private let identifier: StaticString
  public private(set) var lost: UInt64 = 0

  public init(identifier: StaticString, socket: StaticString = Journal.socketPath) {
    let span = RawSpan(_unsafeStart: UnsafeRawPointer(socket.utf8Start), byteCount: socket.utf8CodeUnitCount)
    path = InlineText<107>(span)!
    self.identifier = identifier
    hasJournal = path.withCString { sky_file_exists($0) }
    descriptor = hasJournal ? sky_datagram_open() : -1
  }

  deinit { if descriptor >= 0 { sky_close(descriptor) } }

  public func begin(_ message: JournalMessage, _ priority: LogPriority, _ text: RawSpan) {
    entry.removeAll()
    plain.removeAll()
    plain.append("<")
    plain.append(UInt64(priority.rawValue))
    plain.append(">")
    plain.append(text)
    field("MESSAGE", text)
    entry.append("PRIORITY=")
    entry.append(UInt64(priority.rawValue))
    entry.append("\nSYSLOG_IDENTIFIER=")
    entry.append(identifier)
    entry.append("\nMESSAGE_ID=")
    entry.append(message.id)
    entry.append("\n")
  }

  /// `name` is upper case letters, digits and underscores. A value with a line break takes the binary form.
  public func field(_ name: StaticString, _ value: RawSpan) {
    entry.append(name)
    var isPlain = true
    for i in 0..<value.byteCount where value[i] == 0x0A { isPlain = false }
    if isPlain {
      entry.append("=")
    } else {
      entry.append("\n")
      var length = UInt64(value.byteCount)
      for _ in 0..<8 {
        entry.append(byte: UInt8(truncatingIfNeeded: length))
        length >>= 8
      }
    }
    entry.append(value)
    entry.append("\n")
  }

  public func field(_ name: StaticString, _ value: UInt64) {
    entry.append(name)
    entry.append("=")
    entry.append(value)
    entry.append("\n")
  }

  public func field(_ name: StaticString, _ value: StaticString) {
    field(name, RawSpan(_unsafeStart: UnsafeRawPointer(value.utf8Start), byteCount: value.utf8CodeUnitCount))
  }

  public func send() {
    if hasJournal {
      let status = path.withCString { path in
        entry.withUnsafeBytes { sky_datagram_send(descriptor, path, $0.baseAddress, $0.count) }
      }
      if status != 0 { lost += 1 }
    } else {
      plain.append("\n")
      plain.withUnsafeBytes { _ = sky_write(2, $0.baseAddress, $0.count) }
    }
  }
}
