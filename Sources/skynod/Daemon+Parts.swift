import Bounded
import Node
import Platform
import SkyCrypto
import Wire

/// What the daemon is put together from, made once at its start.
extension Daemon {
  static func makeNode(
    _ configuration: Configuration, _ state: inout StateStore, _ stores: Stores
  ) throws(ErrorCode) -> Node {
    var settings = try NodeSettings(configuration)
    var admission = try state.admission()
    if admission.nodeId == 0, settings.ticket == nil { settings.ticket = try state.ticketCredential() }
    if admission.ticket == nil, admission.nodeId == 0 { admission.ticket = settings.ticket }
    var seed = Secret<32>()
    try state.identitySeed(into: &seed)
    var entropy = Secret<32>()
    entropy.withMutableBytes { Entropy.fill($0) }
    var agent = InlineArray<32, UInt8>(repeating: 0)
    let name: StaticString = "skynod "
    var length = 0
    for part in [name, Version.text] {
      for i in 0..<part.utf8CodeUnitCount where length < 32 {
        agent[length] = part.utf8Start[i]
        length += 1
      }
    }
    var me = NodeSelf(instance: Entropy.bytes(), hardware: hardwareHash(), agent: agent)
    me.highestVersion = Session.highestVersion
    return Node(
      seed: seed, entropy: entropy, me: me, settings: settings, admission: admission, stores: stores,
      relayPlaces: configuration.relayListen == nil ? 0 : Limits.relayPeers,
      keepsKnowledge: configuration.knowledgeBytes > 0, known: try state.known())
  }

  static func makeDoor(
    _ configuration: Configuration, _ state: borrowing StateStore, _ loop: EventLoop
  ) throws(ErrorCode) -> LeafDoor? {
    guard let listen = configuration.relayListen else { return nil }
    let place = configuration.relayAddress ?? listen
    return try LeafDoor(at: listen, place: place, try state.relayCredentials(host: place.host), loop: loop)
  }

  /// A store that cannot be used is no reason not to run.
  static func makeKnowledge(
    _ configuration: Configuration, _ directory: PathText, _ model: ModelLink?, _ loop: EventLoop, _ telling: Telling
  ) -> KnowledgeDesk? {
    guard configuration.knowledgeBytes > 0, let model else { return nil }
    do throws(ErrorCode) {
      return try KnowledgeDesk(
        directory: directory, bytes: configuration.knowledgeBytes, keepS: configuration.upstreamKeepS, model: model,
        loop: loop)
    } catch {
      telling.internalTrouble(
        "knowledge.store cannot be made or is damaged; check space, or remove it and import again"
      )
      return nil
    }
  }

  /// systemd's socket when there is one, else our own at the configured path.
  static func makeListener(_ options: Options, _ configuration: Configuration) throws(ErrorCode) -> UnixListener {
    if options.controlSocket == nil {
      for index in 0..<HandedOver.count where HandedOver.name(index).bytes.elementsEqual("control") {
        return UnixListener(handedOver: HandedOver.descriptor(index))
      }
    }
    let path = options.controlSocket ?? PathText(configuration.controlSocket.bytes)!
    return try UnixListener(path: path, mode: 0o660)
  }
}
