import Bounded
import Update
import Wire

/// What `/etc/skynod/skynod.conf` says, as one fixed-size value: no heap, no reference to the file.
///
/// Not the node's state: what a hub or an operator changes at run time lives in the node, and a reload
/// makes a new `Configuration`. Reading the file is the caller's business; `init(parsing:)` takes bytes.
///
/// Invariant: every field is inside the range that skynod.conf(5) gives for its key, whether it comes
/// from the file or is a default.
public struct Configuration: Sendable {
  /// The hubs in order of preference. One without a pin is checked against `authorityFile`; ids are 0.
  public internal(set) var hubs = HubList()
  /// Authorities (PEM) for hubs without a pin; empty when there is no such hub and no file is set.
  public internal(set) var authorityFile = PathText()
  /// The join ticket as written; empty when there is none. A secret: `wipeTicket()` after use.
  public internal(set) var ticket = InlineText<512>()
  public internal(set) var stateDirectory = PathText("/var/lib/skynod")!
  /// The dictionary that came with the board; an update goes into the state directory instead.
  public internal(set) var dictionaryFile = PathText("/usr/share/skynod/dictionary.lex")!
  public internal(set) var controlSocket = SocketPathText("/run/skynod/control.sock")!
  /// A group name or a decimal group id; see `operateGroupId`.
  public internal(set) var operateGroup = InlineText<32>("skynod")!
  public internal(set) var duties: Duties = [.heartbeat, .relay]
  /// Where to listen for leaves, an address and a port; nil: this node does not relay.
  public internal(set) var relayListen: HubEntry?
  /// Where leaves reach it, when that is not where it listens.
  public internal(set) var relayAddress: HubEntry?
  /// How large the store of what is taught is made; 0: this node keeps none.
  public internal(set) var knowledgeBytes: UInt64 = 0
  /// Where the model's worker listens.
  public internal(set) var modelSocket = SocketPathText("/run/skynod/infer.sock")!
  /// Where questions may go that this node does not answer itself.
  public internal(set) var upstream = Upstream.off
  /// How long answers from there are kept, seconds; 0: not at all.
  public internal(set) var upstreamKeepS = UInt32(Limits.keepAnswersMs / 1_000)
  /// Whether messages to other nodes are sealed from end to end.
  public internal(set) var seal = SealPolicy.prefer
  public internal(set) var rekeyIntervalMs: UInt64 = Limits.rekeyAfterMs
  public internal(set) var temperature = Threshold(switchOff: 80, critical: 90, hysteresis: 5)
  public internal(set) var battery = Threshold(switchOff: 30, critical: 10, hysteresis: 5)
  public internal(set) var memory = Threshold(switchOff: 32 << 20, critical: 12 << 20, hysteresis: 4 << 20)
  public internal(set) var logLevel = LogLevel.info
  public internal(set) var updates = UpdatePolicy.ask
  /// Where the updater of an image listens.
  public internal(set) var updateSocket = SocketPathText("/run/skynod-update.sock")!

  public typealias PathText = InlineText<255>
  /// `sun_path` of a Unix socket holds 108 bytes with its terminator.
  public typealias SocketPathText = InlineText<107>

  /// Every key at its default; the same as an empty file.
  public init() {}

  /// The group as a number, when it is written as one.
  public var operateGroupId: UInt32? {
    ConfigurationValue.decimal(operateGroup.bytes).flatMap { UInt32(exactly: $0) }
  }

  /// Overwrites the join ticket in this copy of the value.
  public mutating func wipeTicket() {
    withUnsafeMutableBytes(of: &ticket) { wipe($0) }
  }
}

extension Configuration {
  public enum LogLevel: UInt8, Comparable, Sendable {
    case error = 3
    case warning = 4
    case info = 6
    case debug = 7

    public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
  }

  public enum Upstream: UInt8, Sendable {
    /// They stay on the board.
    case off
    case hub
  }

  /// Where the board's condition takes duties away: at `switchOff` compute, at `critical` relay too.
  ///
  /// A duty comes back when the value is better than its threshold by `hysteresis`. Units: degrees
  /// Celsius, percent of the battery's charge, or bytes of available memory.
  public struct Threshold: Equatable, Sendable {
    public internal(set) var switchOff: UInt64
    public internal(set) var critical: UInt64
    public internal(set) var hysteresis: UInt64
  }
}

extension Configuration {
  /// Every key that the file may set.
  public enum Key: UInt8, CaseIterable, Sendable {
    case hub
    case authorityFile
    case ticket
    case stateDirectory
    case controlSocket
    case operateGroup
    case duties
    case rekeyInterval
    case temperatureHigh
    case temperatureCritical
    case temperatureHysteresis
    case batteryLow
    case batteryCritical
    case batteryHysteresis
    case memoryLow
    case memoryCritical
    case memoryHysteresis
    case logLevel
    case dictionaryFile
    case relayListen
    case relayAddress
    case updates
    case updateSocket
    case knowledgeBytes
    case modelSocket
    case upstream
    case upstreamKeep
    case seal

    /// One more than the last raw value; a test compares it with `allCases`.
    static let count = 28

    /// The key as the file writes it.
    public var name: StaticString {
      switch self {
      case .hub: "hub"
      case .authorityFile: "ca_file"
      case .ticket: "ticket"
      case .stateDirectory: "state_directory"
      case .controlSocket: "control_socket"
      case .operateGroup: "operate_group"
      case .duties: "duties"
      case .rekeyInterval: "rekey_interval"
      case .temperatureHigh: "temperature_high"
      case .temperatureCritical: "temperature_critical"
      case .temperatureHysteresis: "temperature_hysteresis"
      case .batteryLow: "battery_low"
      case .batteryCritical: "battery_critical"
      case .batteryHysteresis: "battery_hysteresis"
      case .memoryLow: "memory_low"
      case .memoryCritical: "memory_critical"
      case .memoryHysteresis: "memory_hysteresis"
      case .logLevel: "log_level"
      case .dictionaryFile: "dictionary"
      case .relayListen: "relay_listen"
      case .relayAddress: "relay_address"
      case .updates: "updates"
      case .updateSocket: "update_socket"
      case .knowledgeBytes: "knowledge_bytes"
      case .modelSocket: "model_socket"
      case .upstream: "upstream"
      case .upstreamKeep: "upstream_keep"
      case .seal: "seal"
      }
    }

    /// True for keys that are read at start only; a reload leaves them as they were.
    public var needsRestart: Bool {
      switch self {
      case .stateDirectory, .controlSocket, .relayListen, .relayAddress, .updateSocket, .knowledgeBytes, .modelSocket:
        true
      default: false
      }
    }

    static func named(_ text: RawSpan) -> Key? {
      for raw in 0..<UInt8(count) {
        if let key = Key(rawValue: raw), text.elementsEqual(key.name) { return key }
      }
      return nil
    }
  }

  /// The first key that differs from `running` and that a reload does not change; nil when there is none.
  public func firstChangeNeedingRestart(from running: Configuration) -> Key? {
    if stateDirectory != running.stateDirectory { return .stateDirectory }
    if controlSocket != running.controlSocket { return .controlSocket }
    if relayListen != running.relayListen { return .relayListen }
    if relayAddress != running.relayAddress { return .relayAddress }
    if updateSocket != running.updateSocket { return .updateSocket }
    if knowledgeBytes != running.knowledgeBytes { return .knowledgeBytes }
    if modelSocket != running.modelSocket { return .modelSocket }
    return nil
  }

  /// Takes back from `running` what a reload does not change.
  public mutating func keepWhatNeedsRestart(of running: Configuration) {
    stateDirectory = running.stateDirectory
    controlSocket = running.controlSocket
    relayListen = running.relayListen
    relayAddress = running.relayAddress
    updateSocket = running.updateSocket
    knowledgeBytes = running.knowledgeBytes
    modelSocket = running.modelSocket
  }

  /// A place as the file writes it: `HOST:PORT`, with brackets around an IPv6 address.
  public static func place(_ text: RawSpan) -> HubEntry? { ConfigurationValue.address(text) }
}
