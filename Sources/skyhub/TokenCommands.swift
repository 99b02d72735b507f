import ArgumentParser
import Bounded
import Foundation
import Hub
import Wire

struct TokenCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "token", abstract: "Make a join token and print its ticket; list and revoke tokens.",
    discussion: """
      The ticket is one line: where the hub is, how to recognise it, and the token. Whoever has it can join, so \
      hand it over like a password. On the board: skynodctl join TICKET.
      """,
    subcommands: [TokenList.self, TokenRevoke.self])

  @OptionGroup var data: DataOption
  @OptionGroup var output: JsonOption
  @Option(help: ArgumentHelp("How many nodes may join with it.", valueName: "n"))
  var uses = 1
  @Option(help: ArgumentHelp("How long it is good for, e.g. 30m, 24h, 7d.", valueName: "time"))
  var expires = DurationText("24h")!
  @Option(help: ArgumentHelp("A note for skyhub token list.", valueName: "text"))
  var label = ""
  @Option(help: ArgumentHelp("Where nodes find the hub, if not where serve says.", valueName: "host:port"))
  var advertise: HostPort?

  @Flag(help: "Print the ticket and nothing else.")
  var ticketOnly = false

  func validate() throws {
    guard (1...Registry.tokenUsesMaximum).contains(uses) else {
      throw ValidationError("--uses must be 1 to \(Registry.tokenUsesMaximum).")
    }
    guard expires.seconds >= 1 else { throw ValidationError("--expires must be at least 1s.") }
  }

  func run() throws {
    try LabelText.check(label)
    let directory = try data.open(create: true)
    let registry = try directory.openRegistry()
    guard let place = try advertise ?? registry.advertised() else {
      throw HubError(
        .badConfiguration, "it is not known yet where nodes reach this hub",
        hint: "start skyhub serve once with --advertise HOST:PORT, or give --advertise here")
    }
    let hub = try HubKeys(in: directory).entry(at: place)
    let token = NewToken()
    let now = wallClockNow()
    let expiresAt = now + expires.seconds
    try registry.addToken(
      id: Data(token.id), verifier: Data(NewToken.verifier(of: token.secret)), uses: uses, expiresAt: expiresAt,
      label: label, now: now)
    // A hub with fellows tells them; the token is good without that.
    _ = try? AdminClient(directory).refresh()
    let ticket = token.ticket(for: hub)
    guard output.json else {
      print(ticket)
      if !ticketOnly {
        let nodes = uses == 1 ? "one node" : "\(uses) nodes"
        printError("Good for \(nodes) until \(timestamp(expiresAt)). On the board: skynodctl join TICKET")
      }
      return
    }
    try printJson(
      MadeToken(
        id: Data(token.id).hex, ticket: ticket, uses: uses, expiresAt: timestamp(expiresAt), label: label,
        hub: place.text))
  }

  private struct MadeToken: Encodable {
    let id: String
    let ticket: String
    let uses: Int
    let expiresAt: String
    let label: String
    let hub: String
  }
}

struct TokenList: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List tokens. Their secrets are not kept, so tickets cannot be shown again.")

  @OptionGroup var data: DataOption
  @OptionGroup var output: JsonOption

  func run() throws {
    let tokens = try data.registry().tokens()
    let now = wallClockNow()
    if output.json { return try printJson(tokens.map { Listing($0, now: now) }) }
    guard !tokens.isEmpty else { return print("No tokens: skyhub token makes one.") }
    var table = Table("TOKEN", "STATE", "USES LEFT", "EXPIRES", "LABEL")
    for token in tokens {
      table.add(
        token.id.hex, token.state(now: now), "\(token.usesLeft)", timestamp(token.expiresAt),
        token.label.isEmpty ? "-" : token.label)
    }
    table.print()
  }

  private struct Listing: Encodable {
    let id: String
    let state: String
    let usesLeft: Int
    let expiresAt: String
    let createdAt: String
    let label: String

    init(_ token: TokenRecord, now: Int64) {
      id = token.id.hex
      state = token.state(now: now)
      usesLeft = token.usesLeft
      expiresAt = timestamp(token.expiresAt)
      createdAt = timestamp(token.createdAt)
      label = token.label
    }
  }
}

struct TokenRevoke: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "revoke", abstract: "Make a token worthless. Nodes that it admitted stay admitted.")

  @OptionGroup var data: DataOption
  @Argument(help: ArgumentHelp("The token's id from skyhub token list, or its whole ticket.", valueName: "token"))
  var token: String

  func run() throws {
    let id = try tokenId()
    let directory = try data.open()
    guard try directory.openRegistry().removeToken(id: id, now: wallClockNow()) else {
      throw HubError(.notFound, "there is no token \(id.hex)", hint: "skyhub token list shows them")
    }
    _ = try? AdminClient(directory).refresh()
    print("Token \(id.hex) is revoked.")
  }

  private func tokenId() throws -> Data {
    if let id = Data(hex: token), id.count == Limits.tokenIdBytes { return id }
    if let id = NewToken.id(inTicket: token) { return id }
    throw ValidationError("A token is \(2 * Limits.tokenIdBytes) hexadecimal digits, or a whole ticket.")
  }
}
