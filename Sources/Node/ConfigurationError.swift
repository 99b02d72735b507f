import Bounded
import Wire

/// What is wrong with a configuration: where, which key, and what was expected there.
///
/// Fixed size and without a word of the value that was refused: a value can be a secret.
public struct ConfigurationError: Error, Equatable, Sendable {
  /// Counted from 1; 0 when the fault is the file's as a whole.
  public var line: Int
  /// The key as written; empty when the line has none that can be shown.
  public var key: KeyText
  public var problem: Problem
  /// The line of the earlier setting in `.duplicateKey` and `.duplicateHub`; otherwise 0.
  public var otherLine: Int
  /// In `.unknownKey`: the key that was probably meant.
  public var suggestion: Configuration.Key?

  public typealias KeyText = InlineText<32>
  static let keyTextBytes = 32

  init(
    _ problem: Problem, line: Int, key: KeyText = KeyText(), otherLine: Int = 0,
    suggestion: Configuration.Key? = nil
  ) {
    self.problem = problem
    self.line = line
    self.key = key
    self.otherLine = otherLine
    self.suggestion = suggestion
  }

  init(_ problem: Problem, line: Int, key: Configuration.Key) {
    self.init(problem, line: line, key: InlineText(key.name))
  }

  /// Appends `line 12: rekey_interval: expected …`, without a newline.
  public func describe(into text: inout TextBuffer) {
    if line > 0 {
      text.append("line ")
      text.append(line)
      text.append(": ")
    }
    if !key.isEmpty {
      text.append(key)
      text.append(": ")
    }
    text.append(problem.sentence)
    if otherLine > 0 {
      text.append(" on line ")
      text.append(otherLine)
    }
    if let suggestion {
      text.append("; did you mean ")
      text.append(suggestion.name)
      text.append("?")
    }
  }

  public enum Problem: UInt8, Equatable, Sendable, CaseIterable {
    case fileTooLong
    case lineTooLong
    case notText
    case controlByte
    case notSetting
    case unknownKey
    case duplicateKey
    case emptyValue
    case trailingComment
    case hubAddress
    case hubOption
    case hubTrust
    case duplicateHub
    case tooManyHubs
    case authorityFileMissing
    case path
    case socketPath
    case ticket
    case group
    case duties
    case rekeyInterval
    case temperature
    case temperatureOrder
    case percent
    case batteryOrder
    case size
    case memoryOrder
    case logLevel
    case updates
    case upstream
    case keep
    case listenAddress
    case seal

    /// What was expected, for people. The figures are those of `Limits`; a test compares them.
    public var sentence: StaticString {
      switch self {
      case .fileTooLong: "the file is longer than 16384 bytes"
      case .lineTooLong: "the line is longer than 1024 bytes"
      case .notText: "the line is not UTF-8 text"
      case .controlByte: "the line contains a control character; only tabs are allowed"
      case .notSetting: "expected key = value, a comment that starts with #, or an empty line"
      case .unknownKey: "unknown key"
      case .duplicateKey: "already set"
      case .emptyValue: "expected a value after =; to keep the default, remove the line"
      case .trailingComment: "a comment needs a line of its own"
      case .hubAddress: "expected HOST:PORT with a port from 1 to 65535, and IPv6 addresses in brackets"
      case .hubOption:
        "after HOST:PORT expected pin=sha256: and 64 hex digits, key= and 64 hex digits, or ca, each once"
      case .hubTrust: "expected either pin=sha256: and 64 hex digits, or ca, after HOST:PORT"
      case .duplicateHub: "the same hub was given"
      case .tooManyHubs: "more than 8 hubs"
      case .authorityFileMissing: "a hub with ca needs ca_file"
      case .path: "expected an absolute path of at most 255 bytes"
      case .socketPath: "expected an absolute path of at most 107 bytes"
      case .ticket: "expected a ticket as skyhub token prints it: one word of at most 512 characters"
      case .group: "expected a group's name or its number"
      case .duties: "expected one or more of heartbeat, relay, compute, separated by spaces"
      case .rekeyInterval: "expected a duration from 1s to 120s, such as 90s or 2m"
      case .temperature: "expected whole degrees Celsius from 0 to 150"
      case .temperatureOrder: "temperature_critical must not be below temperature_high"
      case .percent: "expected a percentage from 0 to 100"
      case .batteryOrder: "battery_critical must not be above battery_low"
      case .size: "expected a size such as 32MiB (kB, KiB, MB, MiB, GB, GiB), or 0"
      case .memoryOrder: "memory_critical must not be above memory_low"
      case .listenAddress: "expected ADDRESS:PORT, a literal address and a port from 1 to 65535"
      case .logLevel: "expected error, warning, info or debug"
      case .updates: "expected off, ask or auto"
      case .upstream: "expected off or hub"
      case .seal: "expected prefer, require or off"
      case .keep: "expected a whole number of seconds up to a year, such as 168h; 0 keeps nothing"
      }
    }
  }
}

extension InlineText {
  /// `text` cut to what fits.
  init(_ text: StaticString) {
    let span = RawSpan(
      _unsafeStart: UnsafeRawPointer(text.utf8Start), byteCount: min(capacity, text.utf8CodeUnitCount))
    self = InlineText(span) ?? InlineText()
  }
}
