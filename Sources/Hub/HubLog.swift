import Foundation

/// Lines for the journal, on standard error, with syslog's priority prefix under systemd.
///
/// Bounded: strangers who knock at the door cause lines, so at most `burst` of them pass in a second and
/// the rest are counted.
public final class HubLog {
  public enum Priority: Int, Sendable {
    case error = 3
    case warning = 4
    case notice = 5
    case info = 6
  }

  static let burst = 50

  private let write: (String) -> Void
  private let hasPrefix: Bool
  private var second: Int64 = 0
  private var linesThisSecond = 0
  private var suppressed = 0

  /// - Parameter write: takes whole lines; standard error when nil.
  public init(write: ((String) -> Void)? = nil) {
    self.write = write ?? printError
    hasPrefix = ProcessInfo.processInfo.environment["JOURNAL_STREAM"] != nil
  }

  public func line(_ priority: Priority, _ text: String) {
    let now = wallClockNow()
    if now != second {
      if suppressed > 0 { emit(.warning, "\(suppressed) more lines in that second") }
      second = now
      linesThisSecond = 0
      suppressed = 0
    }
    linesThisSecond += 1
    guard linesThisSecond <= Self.burst else {
      suppressed += 1
      return
    }
    emit(priority, text)
  }

  private func emit(_ priority: Priority, _ text: String) {
    write(hasPrefix ? "<\(priority.rawValue)>\(text)" : text)
  }
}

/// Writes a line to standard error.
public func printError(_ line: String) { FileHandle.standardError.write(Data((line + "\n").utf8)) }
