import Bounded
import Foundation
import Node
import Platform
import SkyCrypto
import Wire

/// `skyhub serve` from its options to its end: directory, lock, keys, registry, server.
public enum HubService {
  /// Serves until SIGTERM. `configuration.advertise` nil means: work it out from where it listens.
  public static func run(
    _ given: HubConfiguration, advertise: HostPort?, dataPath: String
  ) throws(HubError) {
    var configuration = given
    try configuration.check()
    blockSignals()
    try raiseDescriptorLimit(to: configuration.descriptorsNeeded)
    let directory = try DataDirectory(opening: dataPath, create: true)
    let lock = try directory.lockForServing()
    defer { close(lock) }
    let registry = try directory.openRegistry(busyTimeoutMs: 1_000)
    let listener = try HubServer.bind(configuration.listen)
    if let bound = listener.address {
      configuration.listen = HostPort(host: bound.text.string, port: bound.port)
    }
    configuration.advertise = advertise ?? guessedPlace(configuration.listen)
    try registry.setAdvertised(configuration.advertise, hubId: configuration.hubId)
    let keys = try HubKeys(in: directory)
    // Libsodium has looked at the processor now.
    configuration.highestVersion = Session.highestVersion
    let pin = keys.pin
    let log = HubLog()
    var seed = Secret<32>()
    seed.withMutableBytes { fillRandom($0) }
    let core = HubCore(
      configuration: configuration, registry: registry, identity: keys.takeIdentity(), pin: pin,
      dictionary: try HubDictionary(in: directory, wordsPath: configuration.dictionaryPath),
      bundles: try HubBundles(in: directory, registry), seed: seed, log: log
    ) { UInt64(max(0, Clock.wallMs)) }
    seed.wipe()
    core.warnOfOutdatedDictionaries()
    try core.loadUpdates()
    try core.reloadJobs(now: Instant(ms: 0))
    try core.loadQuestions()
    try core.openFellows(now: Clock.now)
    let upstreamKey = try configuration.upstream?.readKey(directory) ?? ""
    if let upstream = configuration.upstream, !upstream.isSecure, !upstream.isOnThisMachine {
      log.line(.warning, "upstream: questions and the key go to \(upstream.host) in the clear; use https")
    }
    let notifier = ServiceNotifier()
    let server = try HubServer(
      core: core, listener: listener, directory: directory, log: log, upstreamKey: upstreamKey, notify: notifier.tell
    ) {
      () throws(HubError) in try HubKeys(in: directory).tlsContext(expecting: pin)
    }
    log.line(
      .notice, "skyhub \(Version.text) serves \(core.status.listen), nodes find it at \(configuration.advertise.text)")
    try server.run()
    log.line(.notice, "stopped")
  }

  /// A specific address is where nodes find the hub; otherwise the machine's name is.
  static func guessedPlace(_ listen: HostPort) -> HostPort {
    guard listen.isWildcard else { return listen }
    return HostPort("\(ProcessInfo.processInfo.hostName)")
      .map { HostPort(host: $0.host, port: listen.port) } ?? HostPort(host: "localhost", port: listen.port)
  }

  /// Before any thread exists: the signals are for the loop's descriptor, not for whichever thread is near.
  private static func blockSignals() {
    var set = sigset_t()
    sigemptyset(&set)
    for signal in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&set, signal) }
    pthread_sigmask(SIG_BLOCK, &set, nil)
  }

  private static func raiseDescriptorLimit(to needed: Int) throws(HubError) {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    guard limit.rlim_cur < needed else { return }
    guard limit.rlim_max >= needed else {
      throw HubError(
        .badConfiguration, "\(needed) open files are needed, the limit is \(limit.rlim_max)",
        hint: "raise LimitNOFILE= in the unit (ulimit -n in a shell), or lower --max-nodes")
    }
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }
}
