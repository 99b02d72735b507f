import ArgumentParser
import Foundation
import Hub
import Wire

struct StatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Show the running hub in figures.",
    discussion: "Exit status 69 when no hub is running on the data directory.")

  @OptionGroup var data: DataOption
  @OptionGroup var output: JsonOption

  func run() throws {
    guard let status = try AdminClient(data.open()).ask(AdminRequest(.status)).status else {
      throw HubError(.internalError, "the hub gave no status")
    }
    if output.json { return try printJson(status) }
    let refusals = status.refused.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    let rows: [(String, String)] = [
      ("version", status.version),
      ("state", status.draining ? "draining" : "serving"),
      ("up", span(Int64(status.uptimeSeconds))),
      ("listening on", status.listen),
      ("nodes find it at", status.advertise),
      ("nodes online", "\(status.online) of at most \(status.maxNodes)"),
      ("handshaking", "\(status.handshaking)"),
      ("connections", "\(status.accepted) accepted, \(status.joined) joined"),
      ("refused", refusals.isEmpty ? "none" : refusals.joined(separator: ", ")),
      (
        "messages",
        "\(status.messagesRouted) routed, \(status.messagesUnreachable) unreachable, "
          + "\(status.messagesKept) for the hub"
      ),
      (
        "durable messages",
        "\(status.messagesStored) taken in, \(status.messagesDelivered) delivered, \(status.messagesDropped) given up"
      ),
      ("heartbeats", "\(status.heartbeats)"),
      (
        "dictionary",
        status.dictionaryGeneration == 0
          ? "none"
          : "generation \(status.dictionaryGeneration), \(status.dictionaryPieces) pieces sent, "
            + "\(status.wordsAnswered) questions answered"
      ),
      ("jobs", "\(status.jobsDone) done, \(status.jobsFailed) not, \(JobText.units(status.computeOperations)) units"),
      (
        "sealed",
        "\(status.messagesSealed) messages, \(status.keysAnswered) keys asked for, \(status.offersTaken) offers"
      ),
      ("questions", "\(status.questionsTaken) looked at, \(status.questionsRefused) refused"),
      ("key renewals", "\(status.rekeys)"),
      ("clones", "\(status.clones)"),
      ("bytes", "\(status.bytesIn) in, \(status.bytesOut) out"),
      ("longest loop turn", "\(status.longestTurnMs) ms"),
    ]
    for (name, value) in rows + (status.fellows ?? []).map(row(of:)) {
      print("\(name.padding(toLength: 18, withPad: " ", startingAt: 0))\(value)")
    }
  }

  /// Whether this hub's fellow has what it has, and if not, how much is missing.
  private func row(of fellow: FellowStatus) -> (String, String) {
    let since = span(max(0, wallClockNow() - fellow.since))
    var parts = [
      fellow.linked ? "linked for \(since)" : "away for \(since)", fellow.inStep ? "in step" : "out of step",
    ]
    if fellow.missing > 0 { parts.append("it lacks \(fellow.missing) messages or ends of messages") }
    if fellow.catchingUp { parts.append("this hub catches up") }
    if !fellow.linked, let reason = fellow.reason { parts.append(reason) }
    return ("fellow \(NodeName.text(fellow.id))", parts.joined(separator: ", "))
  }
}

struct IdCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "id", abstract: "Print how nodes recognise this hub: certificate pin and identity key.",
    discussion: "The peer line is what --fellow and --peer-hub of another hub take.")

  @OptionGroup var data: DataOption
  @OptionGroup var output: JsonOption
  @Flag(help: "Print what --fellow takes and nothing else.")
  var peerOnly = false

  func run() throws {
    let directory = try data.open(create: true)
    let keys = try HubKeys(in: directory)
    let registry = try directory.openRegistry()
    let (place, id) = (try registry.advertised(), try registry.hubId())
    let identity = Identity(
      pin: Data(keys.pin).hex, key: Data(keys.publicKey).hex, advertise: place?.text,
      peer: place.map { PeerHub(place: $0, id: id, pin: keys.pin, key: keys.publicKey).text })
    if peerOnly {
      guard let peer = identity.peer else {
        throw HubError(
          .badConfiguration, "it is not known yet where nodes reach this hub",
          hint: "start skyhub serve once with --hub-id and --advertise HOST:PORT")
      }
      return print(peer)
    }
    if output.json { return try printJson(identity) }
    print("pin   \(identity.pin)")
    print("key   \(identity.key)")
    print("at    \(identity.advertise ?? "not known before the first skyhub serve")")
    if let peer = identity.peer { print("peer  \(peer)") }
  }

  private struct Identity: Encodable {
    let pin: String
    let key: String
    let advertise: String?
    let peer: String?
  }
}

/// The option of listings that may be long.
struct LimitOption: ParsableArguments {
  @Option(name: .shortAndLong, help: ArgumentHelp("The newest so many.", valueName: "n"))
  var lines = 50

  func validate() throws {
    guard lines >= 1 else { throw ValidationError("--lines must be at least 1.") }
  }
}

struct InboxCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inbox", abstract: "Show messages that nodes sent to the hub itself.",
    discussion: "The newest \(Registry.inboxRows) are kept.")

  @OptionGroup var data: DataOption
  @OptionGroup var output: JsonOption
  @OptionGroup var limit: LimitOption

  func run() throws {
    let messages = try data.registry().inbox(limit: limit.lines)
    if output.json { return try printJson(messages.map(Listing.init)) }
    guard !messages.isEmpty else { return print("The inbox is empty.") }
    for message in messages {
      let text = printable(String(decoding: message.body, as: UTF8.self))
      print("\(timestamp(message.at))  \(NodeName.text(message.from))  \(text)")
    }
  }

  private struct Listing: Encodable {
    let sequence: Int64
    let at: String
    let from: String
    /// Nil when the bytes are not UTF-8.
    let text: String?
    let hex: String

    init(_ message: InboxRecord) {
      sequence = message.sequence
      at = timestamp(message.at)
      from = NodeName.text(message.from)
      text = String(data: message.body, encoding: .utf8)
      hex = message.body.hex
    }
  }
}

struct EventsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "events", abstract: "Show what happened: admissions, revocations, clones.",
    discussion: "The newest \(Registry.eventRows) are kept.")

  @OptionGroup var data: DataOption
  @OptionGroup var output: JsonOption
  @OptionGroup var limit: LimitOption

  func run() throws {
    let events = try data.registry().events(limit: limit.lines)
    if output.json { return try printJson(events.map(Listing.init)) }
    guard !events.isEmpty else { return print("Nothing has happened yet.") }
    var table = Table("TIME", "EVENT", "NODE", "DETAIL")
    for event in events {
      table.add(timestamp(event.at), event.kind, event.node.map(NodeName.text) ?? "-", printable(event.detail))
    }
    table.print()
  }

  private struct Listing: Encodable {
    let sequence: Int64
    let at: String
    let event: String
    let node: String?
    let detail: String

    init(_ event: EventRecord) {
      sequence = event.sequence
      at = timestamp(event.at)
      self.event = event.kind
      node = event.node.map(NodeName.text)
      detail = event.detail
    }
  }
}
