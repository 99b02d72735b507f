import ArgumentParser
import Foundation
import Hub
import Wire

struct ServeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve", abstract: "Run the hub until SIGTERM.",
    discussion: """
      Under systemd it reports readiness and status. SIGTERM tells every node, writes down what is pending and
      ends within five seconds; SIGHUP reads the certificate, the registry and the dictionary again without dropping a link.
      Only one hub can use a data directory.
      """)

  @OptionGroup var data: DataOption
  @Option(help: ArgumentHelp("Where to listen. [::] takes IPv4 too.", valueName: "addr:port"))
  var listen = HostPort(host: "::", port: HostPort.defaultPort)
  @Option(
    help: ArgumentHelp(
      "Where nodes find this hub; goes into tickets. Without it: the listen address, or this machine's name.",
      valueName: "host:port"))
  var advertise: HostPort?
  @Option(help: ArgumentHelp("How often nodes report, 10ms to 600s.", valueName: "time"))
  var heartbeatInterval = DurationText(ms: Limits.heartbeatDefaultMs)
  @Option(help: ArgumentHelp("How often link keys are renewed, 1s to 120s.", valueName: "time"))
  var rekeyInterval = DurationText(ms: Limits.rekeyAfterMs)
  @Option(help: ArgumentHelp("How many nodes may be connected at once.", valueName: "n"))
  var maxNodes = HubConfiguration.maxNodesDefault
  @Option(help: ArgumentHelp("This hub's own NOD number, told to nodes.", valueName: "n"))
  var hubId: UInt32 = 1
  @Option(
    help: ArgumentHelp(
      "Another hub for nodes to fall back to, as its skyhub id prints it on the peer line. May be repeated; "
        + "the first is the most preferred.", valueName: "peer"))
  var peerHub: [PeerHub] = []

  @Option(
    help: ArgumentHelp(
      "A hub that keeps what this one keeps and takes over its nodes, as its skyhub id prints it on the peer line; name "
        + "this one there, too. May be repeated.", valueName: "peer"))
  var fellow: [PeerHub] = []

  @Option(
    help: ArgumentHelp(
      "The dictionary that answers what nodes do not know. Without it: the one that is published.",
      valueName: "file"), completion: .file())
  var dictionary: String?
  @Option(
    help: ArgumentHelp(
      "Who answers questions that this hub does not: a file with the endpoint, its prices and limits, see skyhub(1). "
        + "Without it: nobody.", valueName: "file"), completion: .file())
  var upstream: String?

  func validate() throws {
    if hubId == 0 || hubId > Limits.lightNodeLast {
      throw ValidationError("--hub-id must be 1 to \(Limits.lightNodeLast).")
    }
    do throws(HubError) { try settings.check() } catch { throw ValidationError("\(error)") }
  }

  func run() throws {
    var settings = settings
    if let upstream {
      let read = try UpstreamConfiguration(file: upstream)
      settings.questionsPerHour = read.questionsPerHour
      settings.upstream = read
    }
    try HubService.run(settings, advertise: advertise, dataPath: data.path)
  }

  private var settings: HubConfiguration {
    var settings = HubConfiguration()
    settings.listen = listen
    settings.heartbeatMs = heartbeatInterval.ms
    settings.rekeyMs = rekeyInterval.ms
    settings.maxNodes = maxNodes
    settings.hubId = hubId
    settings.dictionaryPath = dictionary
    settings.peers = peerHub.map(\.entry)
    settings.fellows = fellow.map(\.entry)
    return settings
  }
}

extension PeerHub: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}
