import ArgumentParser
import Foundation
import Hub
import Wire

@main
struct Skyhub: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "skyhub",
    abstract: "Admits light nodes to a swarm, gives them ids and carries messages between them.",
    discussion: """
      A first hub:
        skyhub serve --advertise hub.example.org:7443
        skyhub token              prints a ticket
        skynodctl join TICKET     on the board
        skyhub nodes              shows it

      Everything is kept in one data directory (--data, or SKYHUB_DATA). Most commands work on it directly and \
      need no running hub. Run them as the hub's user or as root.

      Exit status: 0 done, 64 usage, 69 no hub is running, 70 internal error, 78 configuration; otherwise the \
      number of the error, see skyhub(1).
      """,
    version: "skyhub \(Version.text)",
    subcommands: [
      ServeCommand.self, TokenCommand.self, NodesCommand.self, AllowCommand.self, RevokeCommand.self,
      SendCommand.self, InboxCommand.self, EventsCommand.self, StatusCommand.self, IdCommand.self,
      LexiconCommand.self, BundleCommand.self, RolloutCommand.self, JobCommand.self,
      KnowledgeCommand.self,
    ])

  static func main() {
    // Whatever this program makes is for its own user alone.
    umask(0o077)
    signal(SIGPIPE, SIG_IGN)
    Limits.assertConsistent()
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let error as HubError {
      printError("skyhub: \(error)")
      Foundation.exit(error.exitStatus)
    } catch {
      exit(withError: error)
    }
  }
}

/// Options of every command.
struct DataOption: ParsableArguments {
  @Option(
    name: .customLong("data"),
    help: ArgumentHelp("The data directory. SKYHUB_DATA sets it too.", valueName: "dir"), completion: .directory)
  var path: String = ProcessInfo.processInfo.environment["SKYHUB_DATA"] ?? DataDirectory.standardPath

  /// Opens the directory; `create` makes it when it is missing.
  func open(create: Bool = false) throws -> DataDirectory { try DataDirectory(opening: path, create: create) }

  /// The registry of a directory that must be there already.
  func registry() throws -> Registry { try open().openRegistry() }
}

/// The option of every listing.
struct JsonOption: ParsableArguments {
  @Flag(help: "Print JSON instead of a table.")
  var json = false
}

extension DurationText: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
  public var defaultValueDescription: String { text }
}

extension HostPort: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
  public var defaultValueDescription: String { text }
}
