import Bounded
import Node
import Platform
import Update
import SkyCrypto
import Wire

/// Everything the daemon says of its own accord: journal entries, systemd's status line and watchdog, events
/// for `watch`. It decides nothing.
final class Telling {
  private let journal = Journal(identifier: "skynod")
  private let notifier = Notifier()
  private var line = TextBuffer(capacity: 512)
  private var eventText = TextBuffer(capacity: 512)
  /// The least urgent entries that are written.
  var level: Configuration.LogLevel
  private var pingedAt = Instant(ms: 0)

  init(level: Configuration.LogLevel) {
    self.level = level
    say(.started, .info, "starting, version ", Version.text)
  }

  // MARK: Watchdog

  /// When a turn is needed for the watchdog alone: a third of its time after the last ping.
  var watchdogDeadline: Instant {
    guard let period = notifier.watchdogMs else { return .never }
    return pingedAt + period / 3
  }

  /// Pings when a sixth of the watchdog's time has gone by: heartbeats usually carry the ping, so that it
  /// costs no wake-up of its own.
  func ping(now: Instant) {
    guard let period = notifier.watchdogMs, now.since(pingedAt) >= period / 6 else { return }
    notifier.watchdog()
    pingedAt = now
  }

  // MARK: Service

  func ready(_ node: Node) {
    pingedAt = Clock.now
    composeStatus(node)
    line.withUnsafeBytes { notifier.ready(status: RawSpan(_unsafeBytes: $0)) }
    say(.ready, .info, "ready", "")
  }

  func reloading() { notifier.reloading() }

  /// The end of a reload, whatever came of it: the manager waits for READY.
  func reloadEnded(_ node: Node) {
    composeStatus(node)
    line.withUnsafeBytes { notifier.ready(status: RawSpan(_unsafeBytes: $0)) }
  }

  func reloaded(level: Configuration.LogLevel) {
    self.level = level
    say(.reloaded, .info, "configuration read again", "")
  }

  func stopping() {
    notifier.stopping()
    say(.draining, .info, "saying goodbye", "")
  }

  func stopped() { say(.stopped, .info, "stopped", "") }

  func configurationRefused(_ description: InlineText<400>) {
    line.removeAll()
    line.append("the old configuration stays in force: ")
    line.append(description)
    send(.configurationError, .error)
  }

  func needsRestart(_ key: Configuration.Key) {
    say(.reloaded, .warning, "a restart is needed for the change of ", key.name) {
      journal.field("SKYNOD_KEY", key.name)
    }
  }

  func stateNotWritten(_ error: ErrorCode) {
    say(.stateNotWritten, .error, "the state could not be written: ", error.sentence) { errorFields(error) }
  }

  func internalTrouble(_ what: StaticString) { say(.internalTrouble, .error, what, "") }

  // MARK: Notices of the node

  func tell(_ notice: Node.Notice, _ node: Node, _ control: ControlServer) {
    control.publish(notice, hub: node.hub, text: &eventText)
    switch notice {
    case .state(let state):
      if state == .online { logOnline(node) }
      composeStatus(node)
      line.withUnsafeBytes { notifier.status(RawSpan(_unsafeBytes: $0)) }
    case .linkError(let code):
      let hub = node.hub
      say(code.needsPerson ? .refused : .offline, code.needsPerson ? .error : .warning, "link: ", code.sentence) {
        errorFields(code)
        hubField(hub)
      }
    case .joined(let id):
      line.removeAll()
      line.append("admitted as ")
      appendNodeId(id, to: &line)
      send(.joined, .notice) { nodeField(id) }
    case .rekeyed: say(.rekeyed, .debug, "link keys renewed", "")
    case .duties(let active, let held): logDuties(active, held)
    case .clockFromHub: say(.clockFromHub, .info, "the system's clock is not set; using the hub's time", "")
    case .dictionary(let outcome): logDictionary(outcome)
    case .system(let outcome): logSystem(outcome)
    case .leafJoined(let id):
      line.removeAll()
      line.append("a leaf has come in: ")
      appendNodeId(id, to: &line)
      send(.leafJoined, .info) { nodeField(id) }
    case .leafLeft(let id, let code):
      line.removeAll()
      appendNodeId(id, to: &line)
      line.append(" has gone: ")
      line.append(code.sentence)
      send(.leafLeft, .info) {
        nodeField(id)
        errorFields(code)
      }
    case .hub, .heartbeatAcked, .message, .receipt: break
    }
  }

  private func logOnline(_ node: Node) {
    line.removeAll()
    line.append("online at ")
    if let hub = node.hub { hub.appendPlace(to: &line) }
    let (id, hub) = (node.nodeId, node.hub)
    send(.online, .info) {
      nodeField(id)
      hubField(hub)
    }
  }

  private func logDictionary(_ outcome: DictionaryUpdate.Outcome) {
    switch outcome {
    case .none, .current: break
    case .installed(let generation):
      line.removeAll()
      line.append("dictionary updated to generation ")
      line.append(UInt64(generation))
      send(.dictionaryUpdated, .notice) { journal.field("SKYNOD_GENERATION", UInt64(generation)) }
    case .failed(let code):
      say(.dictionaryNotUpdated, .warning, "dictionary not updated: ", code.sentence) { errorFields(code) }
    }
  }

  private func logSystem(_ outcome: SystemUpdate.Outcome) {
    switch outcome {
    case .none: break
    case .ready(let release):
      line.removeAll()
      line.append("a new system is in the other slot, a restart tries it: release ")
      line.append(release)
      send(.systemReady, .notice) { journal.field("SKYNOD_RELEASE", release) }
    case .failed(let error): say(.systemNotUpdated, .warning, "system not updated: ", error.sentence)
    case .lost: say(.systemNotUpdated, .warning, "system not updated: ", "the updater has gone; it is tried again")
    }
  }

  private func logDuties(_ active: Duties, _ held: Duties) {
    line.removeAll()
    line.append("duties: ")
    active.append(to: &line)
    line.append("; held back: ")
    held.append(to: &line)
    send(.dutiesChanged, .notice) {
      field("SKYNOD_DUTIES") { active.append(to: &$0) }
      field("SKYNOD_DUTIES_HELD_BACK") { held.append(to: &$0) }
    }
  }

  /// The line of `systemctl status`: state, id, hub, and what to do when something is wrong.
  private func composeStatus(_ node: Node) {
    line.removeAll()
    line.append(node.state.token)
    if node.nodeId != 0 {
      line.append(" as ")
      appendNodeId(node.nodeId, to: &line)
    }
    if let hub = node.hub {
      line.append(node.state == .online ? " at " : ", hub ")
      hub.appendPlace(to: &line)
    }
    if let error = node.lastError {
      line.append(": ")
      line.append(error.sentence)
    }
  }

  // MARK: Entries

  private func say(
    _ message: JournalMessage, _ priority: LogPriority, _ text: StaticString, _ more: StaticString,
    _ fields: () -> Void = {}
  ) {
    line.removeAll()
    line.append(text)
    line.append(more)
    send(message, priority, fields)
  }

  /// Writes `line` as an entry; `fields` adds to it (docs/journal.md).
  private func send(_ message: JournalMessage, _ priority: LogPriority, _ fields: () -> Void = {}) {
    guard priority.rawValue <= level.rawValue else { return }
    line.withUnsafeBytes { journal.begin(message, priority, RawSpan(_unsafeBytes: $0)) }
    fields()
    journal.send()
  }

  private func errorFields(_ error: ErrorCode) {
    journal.field("SKYNOD_ERROR", error.token)
    journal.field("SKYNOD_ERROR_NUMBER", UInt64(error.number))
  }

  private func nodeField(_ id: UInt32) { field("SKYNOD_NODE") { appendNodeId(id, to: &$0) } }

  private func hubField(_ hub: HubEntry?) {
    guard let hub else { return }
    field("SKYNOD_HUB") { hub.appendPlace(to: &$0) }
  }

  private func field(_ name: StaticString, _ build: (inout TextBuffer) -> Void) {
    eventText.removeAll()
    build(&eventText)
    eventText.withUnsafeBytes { journal.field(name, RawSpan(_unsafeBytes: $0)) }
  }
}

/// The last words of a daemon that cannot start.
func tellFailure(_ message: JournalMessage, _ text: RawSpan) {
  let journal = Journal(identifier: "skynod")
  journal.begin(message, .error, text)
  journal.send()
}
