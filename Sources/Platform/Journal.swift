import Bounded
import CSky
import Wire

/// The kinds of journal entries, each with an id that never changes (docs/journal.md). `MESSAGE_ID` is the
/// 128-bit number in hex; systemd/skynod.catalog explains each.
public enum JournalMessage: Sendable, CaseIterable {
  case started, ready, joined, online, offline, refused, rekeyed, reloaded, draining, stopped, dutiesChanged
  case clockFromHub, configurationError, stateNotWritten, internalTrouble, systemReady, systemNotUpdated,
    dictionaryUpdated
  case dictionaryNotUpdated, leafJoined, leafLeft

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
    case .systemReady: "4c0f6e1d9b7a4b53a28e3d61f0c97b25"
    case .systemNotUpdated: "b81d27f4e6354c0f9d12a7c85e3f6a40"
    case .dictionaryUpdated: "7f3a0c51d2e84b6f9a1c5e70b8d24f18"
    case .dictionaryNotUpdated: "7f3a0c51d2e84b6f9a1c5e70b8d24f19"
    case .leafJoined: "7f3a0c51d2e84b6f9a1c5e70b8d24f1a"
    case .leafLeft: "7f3a0c51d2e84b6f9a1c5e70b8d24f1b"
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

/// Writes entries to where standard error goes: by the native journal protocol (systemd's "Native Journal
/// Protocol") when that is the journal, as plain lines when it is a terminal or a file. Somebody who starts the
/// program by hand sees what it says, also on a machine with a journal.
///
/// Order of calls: `begin`, any number of `field`s, `send`. Never waits: an entry that the journal does not
/// take at once is counted, and the next one that it takes says so in `LOST`. Each datagram is addressed by
/// path, so a journal that was started anew gets the next one.
public final class Journal {
  public static let socketPath: StaticString = "/run/systemd/journal/socket"

  private let path: InlineText<107>
  private let descriptor: Int32
  /// Standard error is read by the journal, native protocol or not.
  private let isJournal: Bool
  private var entry = TextBuffer(capacity: Limits.journalBytes)
  private var plain = TextBuffer(capacity: Limits.journalBytes)
  private let identifier: StaticString
  /// Entries that were not taken since the last one that was.
  public private(set) var lost: UInt64 = 0

  /// Goes by `JOURNAL_STREAM` (systemd.exec(5)).
  public convenience init(identifier: StaticString) {
    let span = RawSpan(
      _unsafeStart: UnsafeRawPointer(Self.socketPath.utf8Start), byteCount: Self.socketPath.utf8CodeUnitCount)
    let stream: InlineText<48>? = Process.environment("JOURNAL_STREAM")
    let isJournal = stream?.withCString { sky_is_stream(2, $0) } ?? false
    self.init(identifier: identifier, socket: InlineText<107>(span)!, isJournal: isJournal)
  }

  /// Sends to `socket` when there is one and `isJournal`, else writes to standard error.
  public init(identifier: StaticString, socket: InlineText<107>, isJournal: Bool) {
    path = socket
    self.identifier = identifier
    self.isJournal = isJournal
    let isNative = isJournal && path.withCString { sky_file_exists($0) }
    descriptor = isNative ? sky_datagram_open() : -1
  }

  deinit { if descriptor >= 0 { sky_close(descriptor) } }

  public func begin(_ message: JournalMessage, _ priority: LogPriority, _ text: RawSpan) {
    entry.removeAll()
    plain.removeAll()
    if isJournal {
      plain.append("<")
      plain.append(UInt64(priority.rawValue))
      plain.append(">")
    } else {
      plain.append(identifier)
      plain.append(": ")
    }
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
  /// A field that does not fit is left out: half a field would spoil the whole entry.
  public func field(_ name: StaticString, _ value: RawSpan) {
    let start = entry.count
    defer { if entry.isTruncated { entry.truncate(to: start) } }
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
    let start = entry.count
    defer { if entry.isTruncated { entry.truncate(to: start) } }
    entry.append(name)
    entry.append("=")
    entry.append(value)
    entry.append("\n")
  }

  public func field(_ name: StaticString, _ value: StaticString) {
    field(name, RawSpan(_unsafeStart: UnsafeRawPointer(value.utf8Start), byteCount: value.utf8CodeUnitCount))
  }

  public func send() {
    if descriptor >= 0 {
      if lost > 0 { field("LOST", lost) }
      let status = path.withCString { path in
        entry.withUnsafeBytes { sky_datagram_send(descriptor, path, $0.baseAddress, $0.count) }
      }
      lost = status == 0 ? 0 : lost + 1
    } else {
      plain.append("\n")
      plain.withUnsafeBytes { _ = sky_write(2, $0.baseAddress, $0.count) }
    }
  }
}
