import Bounded
import Foundation
import SkyCrypto
import Wire

/// What `skyhub serve` was told. Fixed while the hub runs.
public struct HubConfiguration: Sendable {
  public static let maxNodesDefault = 2_000
  public static let questionsPerHourDefault = 60
  /// Handshakes under way at once; more wait in the kernel's queue.
  public static let handshakesMaximum = 256

  public var listen = HostPort(host: "::", port: HostPort.defaultPort)
  public var advertise = HostPort(host: "localhost", port: HostPort.defaultPort)
  public var heartbeatMs = Limits.heartbeatDefaultMs
  public var rekeyMs = Limits.rekeyAfterMs
  public var maxNodes = maxNodesDefault
  /// Of the link's protocol: which one depends on the processor.
  public var highestVersion = Limits.lowestVersion
  /// The hub's own NOD number, told to nodes.
  public var hubId: UInt32 = 1
  /// The dictionary that answers what nodes do not know; nil for the published one.
  public var dictionaryPath: String?
  /// Questions of one node that are looked at in an hour.
  public var questionsPerHour = questionsPerHourDefault
  /// Who answers what the hub does not know; nil for nobody.
  public var upstream: UpstreamConfiguration?
  /// Other hubs, most preferred first, after this one.
  public var peers: [HubEntry] = []
  /// Hubs that keep what this one keeps. Nodes are told of them as of the others, before those.
  public var fellows: [HubEntry] = []

  public init() {}

  /// The first of the million ids that this hub gives when it has fellows.
  var firstId: UInt32 {
    Limits.fellowIdsFirst + (hubId &- 1) % UInt32(Limits.hubListCount) * Limits.fellowIdsEach
  }

  /// Connections of every kind at once: online, shaking hands, saying goodbye.
  var linksMaximum: Int { maxNodes + 2 * Self.handshakesMaximum }
  /// Descriptors that so many connections take, with files and sockets of the hub's own.
  public var descriptorsNeeded: Int { linksMaximum + 64 }

  /// A link with nothing received for this long is dead.
  public var silenceMs: UInt64 { Limits.silenceMs(heartbeatMs: heartbeatMs) }

  /// Throws `badConfiguration` naming the option and what it takes.
  public func check() throws(HubError) {
    guard (Limits.heartbeatMinimumMs...Limits.heartbeatMaximumMs).contains(heartbeatMs) else {
      throw HubError(
        .badConfiguration,
        "--heartbeat-interval must be \(Limits.heartbeatMinimumMs)ms to \(Limits.heartbeatMaximumMs / 1_000)s")
    }
    guard (1_000...Limits.rekeyAfterMs).contains(rekeyMs) else {
      throw HubError(.badConfiguration, "--rekey-interval must be 1s to \(Limits.rekeyAfterMs / 1_000)s")
    }
    guard (1...100_000).contains(maxNodes) else {
      throw HubError(.badConfiguration, "--max-nodes must be 1 to 100000")
    }
    guard peers.count + fellows.count < Limits.hubListCount else {
      throw HubError(
        .badConfiguration, "--peer-hub and --fellow can be given at most \(Limits.hubListCount - 1) times together")
    }
    try checkFellows()
  }
}

extension HubConfiguration {
  private func checkFellows() throws(HubError) {
    // Ids of nodes come from a million of each hub's own, of which there are eight.
    var places = [(hubId &- 1) % UInt32(Limits.hubListCount): "this hub's --hub-id \(hubId)"]
    for fellow in fellows {
      let name = PeerHub(fellow).text
      guard fellow.id > 0 else {
        throw HubError(
          .badConfiguration, "--fellow \(name): the hub's number is missing",
          hint: "write NOD and its --hub-id in front: NOD2@HOST:PORT,PIN,KEY, as its skyhub id prints it")
      }
      guard fellow.hasKey, fellow.isPinned else {
        throw HubError(.badConfiguration, "--fellow \(name): pin and key must not be zero", hint: "see its skyhub id")
      }
      if let other = places.updateValue(
        "--fellow NOD\(fellow.id)", forKey: (fellow.id - 1) % UInt32(Limits.hubListCount))
      {
        throw HubError(
          .badConfiguration, "--fellow NOD\(fellow.id) and \(other) would give nodes the same ids",
          hint: "number the hubs 1 to \(Limits.hubListCount) with --hub-id")
      }
    }
  }
}

/// Another hub in one word: `[NODid@]HOST:PORT,PIN,KEY`, PIN and KEY in hexadecimal. Public data.
public struct PeerHub: Equatable, Sendable {
  public let entry: HubEntry

  public init(_ entry: HubEntry) { self.entry = entry }

  public init(place: HostPort, id: UInt32 = 0, pin: Bytes32, key: Bytes32) {
    // A `HostPort` is checked to be a host name of a length that fits.
    entry = HubEntry(host: InlineText<253>(place.host)!, port: place.port, id: id, pin: pin, key: key)
  }

  public init?(_ text: String) {
    var rest = Substring(text)
    var id: UInt32 = 0
    if let at = rest.firstIndex(of: "@") {
      guard rest.uppercased().hasPrefix("NOD"), let number = UInt32(rest[..<at].dropFirst(3)), number > 0 else {
        return nil
      }
      id = number
      rest = rest[rest.index(after: at)...]
    }
    let fields = rest.split(separator: ",", omittingEmptySubsequences: false)
    guard fields.count == 3, let place = HostPort(String(fields[0])), place.port > 0,
      let pin = Data(hex: fields[1]).flatMap({ Bytes32($0) }), let key = Data(hex: fields[2]).flatMap({ Bytes32($0) })
    else { return nil }
    self.init(place: place, id: id, pin: pin, key: key)
  }

  public var place: HostPort { HostPort(host: entry.host.string, port: entry.port) }

  public var text: String {
    let fields = "\(place.text),\(Data(entry.pin).hex),\(Data(entry.key).hex)"
    return entry.id == 0 ? fields : "NOD\(entry.id)@\(fields)"
  }
}
