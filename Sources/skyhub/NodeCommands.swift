import ArgumentParser
import Foundation
import Hub
import Wire

/// A node as `skyhub nodes --json` prints it.
private struct NodeListing: Encodable {
  let id: String
  let number: UInt32
  let label: String
  let `class`: String
  let key: String
  let fingerprint: String?
  let admittedAt: String
  let firstSeenAt: String?
  let lastSeenAt: String?
  let online: Bool
  let address: String?
  /// The hub that it is linked to.
  let hub: String?
  let agent: String
  let revokedAt: String?
  let revokedReason: String?
  let clonesSeen: Int
  let vitals: [String: Double]

  init(_ node: NodeRecord, online: OnlineNode?) {
    id = node.name
    number = node.id
    label = node.label
    self.class = node.nodeClass
    key = node.key.hex
    fingerprint = node.fingerprint?.hex
    admittedAt = timestamp(node.admittedAt)
    firstSeenAt = node.firstSeenAt.map(timestamp)
    lastSeenAt = node.lastSeenAt.map(timestamp)
    self.online = online != nil
    address = online?.address
    hub = online.map { NodeName.text($0.hub) }
    agent = node.agent
    revokedAt = node.revokedAt.map(timestamp)
    revokedReason = node.isRevoked ? node.revokedReason : nil
    clonesSeen = node.clonesSeen
    vitals = (try? JSONDecoder().decode([String: Double].self, from: Data(node.vitals.utf8))) ?? [:]
  }

  var state: String { revokedAt != nil ? "revoked" : online ? "online" : "offline" }

  /// The most telling vital signs in one cell.
  var condition: String {
    var parts: [String] = []
    if let load = vitals["load"] { parts.append("load \(load.formatted(.number.precision(.fractionLength(2))))") }
    if let heat = vitals["temperature_c"] { parts.append("\(Int(heat.rounded())) °C") }
    if let battery = vitals["battery_percent"] { parts.append("battery \(Int(battery)) %") }
    return parts.isEmpty ? "-" : parts.joined(separator: ", ")
  }
}

struct NodesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nodes", abstract: "List the nodes that were ever admitted.",
    discussion: "Without a running hub every node counts as offline.")

  @OptionGroup var data: DataOption
  @OptionGroup var output: JsonOption
  @Flag(help: "Only those connected now.")
  var online = false

  func run() throws {
    let directory = try data.open()
    let records = try directory.openRegistry().nodes()
    let live = try liveNodes(directory)
    let listings = records.map { NodeListing($0, online: live[$0.id]) }.filter { !online || $0.online }
    if output.json { return try printJson(listings) }
    guard !listings.isEmpty else {
      return print(online ? "No node is connected." : "No nodes yet: skyhub token makes a ticket for one.")
    }
    let now = wallClockNow()
    var table = Table(
      "ID", "LABEL", "CLASS", "FINGERPRINT", "STATE", "HUB", "FIRST SEEN", "LAST SEEN", "AGENT", "VITALS", "CLONES")
    for (record, listing) in zip(records.filter { !online || live[$0.id] != nil }, listings) {
      table.add(
        listing.id, listing.label.isEmpty ? "-" : listing.label, listing.class,
        listing.fingerprint.map { String($0.prefix(16)) } ?? "-", listing.state, listing.hub ?? "-",
        ago(record.firstSeenAt, now: now), listing.online ? "now" : ago(record.lastSeenAt, now: now),
        listing.agent.isEmpty ? "-" : listing.agent, listing.condition, "\(listing.clonesSeen)")
    }
    table.print()
  }

  /// Sessions of the running hub by node; none when no hub is running.
  private func liveNodes(_ directory: DataDirectory) throws(HubError) -> [UInt32: OnlineNode] {
    do throws(HubError) {
      let online = try AdminClient(directory).ask(AdminRequest(.online)).online ?? []
      return Dictionary(online.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    } catch {
      guard error.code == .daemonUnavailable else { throw error }
      return [:]
    }
  }
}

struct RevokeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "revoke", abstract: "Shut a node out, and close its session now.",
    discussion: "The id stays taken. To let the node in again: skyhub allow KEY.")

  @OptionGroup var data: DataOption
  @Argument(help: ArgumentHelp("NODid, 8 or more digits of its fingerprint, or its key.", valueName: "node"))
  var node: String
  @Option(help: ArgumentHelp("Why; kept in the registry.", valueName: "text"))
  var reason = ""

  func run() throws {
    try LabelText.check(reason)
    let directory = try data.open()
    let registry = try directory.openRegistry()
    let record = try registry.node(named: NodeName(node))
    let isNews = try registry.revoke(id: record.id, reason: reason, now: wallClockNow())
    let closed = try AdminClient(directory).refresh()
    let what = isNews ? "\(record.name) is revoked" : "\(record.name) was revoked already"
    switch closed {
    case nil: print("\(what); no hub is running.")
    case 0: print("\(what); it was not connected.")
    default: print("\(what) and disconnected.")
    }
  }
}

struct AllowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "allow", abstract: "Admit a key without a token, or let a revoked node in again.",
    discussion: "skynodctl id prints a node's key. The id is given now and stays with the key.")

  @OptionGroup var data: DataOption
  @Argument(help: ArgumentHelp("The node's Ed25519 public key, 64 hexadecimal digits.", valueName: "key"))
  var key: String
  @Option(help: ArgumentHelp("A name for people.", valueName: "text"))
  var label: String?

  func validate() throws {
    guard Data(hex: key)?.count == Limits.keyBytes else {
      throw ValidationError("A key is \(2 * Limits.keyBytes) hexadecimal digits; skynodctl id prints it.")
    }
  }

  func run() throws {
    if let label { try LabelText.check(label) }
    let directory = try data.open(create: true)
    let id = try directory.openRegistry().allow(key: Data(hex: key)!, label: label, now: wallClockNow())
    _ = try AdminClient(directory).refresh()
    print(NodeName.text(id))
  }
}

struct SendCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "send", abstract: "Send text to a connected node, from the hub.",
    discussion: "Prints the receipt. Exit status 19 when the node is not connected.")

  @OptionGroup var data: DataOption
  @OptionGroup var output: JsonOption
  @Argument(help: ArgumentHelp("NODid, 8 or more digits of its fingerprint, or its key.", valueName: "node"))
  var node: String
  @Argument(help: ArgumentHelp("The text; up to \(Limits.messageBytes) bytes of UTF-8.", valueName: "text"))
  var text: String

  func validate() throws {
    guard !text.isEmpty, text.utf8.count <= Limits.messageBytes else {
      throw ValidationError("The text has \(text.utf8.count) bytes; it must have 1 to \(Limits.messageBytes).")
    }
  }

  func run() throws {
    let directory = try data.open()
    let record = try directory.openRegistry().node(named: NodeName(node))
    let reply = try AdminClient(directory).ask(AdminRequest(.send, to: record.id, text: text))
    guard let receipt = reply.receipt else { throw HubError(.internalError, "the hub gave no receipt") }
    if output.json {
      try printJson(receipt)
    } else if receipt.delivered {
      print("\(record.name): delivered, sequence \(receipt.sequence)")
    }
    if !receipt.delivered {
      let code = ErrorCode.allCases.first { "\($0.token)" == receipt.reason } ?? .unreachable
      if output.json { throw ExitCode(Int32(code.number)) }
      throw HubError(
        code, "\(record.name): \(code.sentence)", hint: "skyhub nodes --online shows who is connected, and to which hub"
      )
    }
  }
}
