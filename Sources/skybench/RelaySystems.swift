import Bounded
import Foundation
import Platform
import Wire

/// What relays messages: a hub, a relay linked to it by TLS, and how a load joins either.
protocol RelaySystem {
  var name: String { get }
  /// What durable messages get from it, in a few words.
  var durability: String { get }
  /// The process that is measured.
  func relay(isDurable: Bool) -> pid_t
  /// Senders at the relay, and one receiver at the hub.
  func connect(senders: Int, isDurable: Bool) throws -> (senders: [LoadPort], receiver: LoadPort)
}

/// `skynod` between leaves and `skyhub`.
final class SkyRelay: RelaySystem {
  let name = "skynod"
  let durability = "not confirmed before the hub has it on its medium; until then with the sender"
  /// False: a receiver that does less than the protocol asks of it, to see what its receipts cost the relay.
  var sendsReceipts = true
  private let node: Node
  private let hubTicket: String
  private let leafTicket: String

  init(_ lab: Lab) throws {
    let swarm = try Swarm(lab)
    let port = try Net.freePort()
    node = try Node(lab, "relay", ticket: try swarm.ticket(), settings: "relay_listen = 127.0.0.1:\(port)\n")
    try node.waitOnline()
    hubTicket = try swarm.ticket(uses: 10_000)
    let answer = Data(try node.control("relay", "ticket", hubTicket, "--json").utf8)
    guard let ticket = (try JSONSerialization.jsonObject(with: answer) as? [String: Any])?["ticket"] as? String else {
      throw BenchError("skynodctl relay ticket gave none")
    }
    leafTicket = ticket
  }

  func relay(isDurable: Bool) -> pid_t { node.pid }

  func connect(senders: Int, isDurable: Bool) throws -> (senders: [LoadPort], receiver: LoadPort) {
    let receiver = try LeafPort(ticket: hubTicket, isDurable: isDurable, sendsReceipts: sendsReceipts)
    let ports = try (0..<senders).map { _ in
      try LeafPort(ticket: leafTicket, destination: receiver.id, isDurable: isDurable)
    }
    return (ports, receiver)
  }
}

/// A key and a certificate for loopback, made by openssl; the pin that the load knows it by.
struct PeerCertificate {
  let certificate: String
  let key: String
  let pin: InlineArray<32, UInt8>

  init(_ lab: Lab) throws {
    certificate = lab.file("peer.pem")
    key = lab.file("peer.key")
    _ = try lab.run([
      "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
      "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate,
    ])
    // Mosquitto gives up root and must still read it.
    chmod(key, 0o644)
    let text = [UInt8](try Data(contentsOf: URL(filePath: certificate)))
    pin = try TlsContext.pin(ofCertificate: text.span.bytes)
  }
}

/// Mosquitto as a bridge to a second Mosquitto: one pair for QoS 0, one with persistence for QoS 1.
final class MosquittoRelay: RelaySystem {
  let name = "mosquitto"
  let durability = "confirmed by the bridge from memory; its whole database is written after each change"
  private struct Pair {
    let hubPort: UInt16
    let port: UInt16
    let pid: pid_t
  }
  private let certificate: PeerCertificate
  private var pairs: [Pair] = []
  private var clients = 0

  init(_ lab: Lab, _ certificate: PeerCertificate) throws {
    self.certificate = certificate
    for isDurable in [false, true] {
      let hubPort = try Net.freePort()
      _ = try Self.start(lab, certificate, hubPort, isDurable, "hub", bridge: "")
      let port = try Net.freePort()
      let bridge = """
        connection up
        address 127.0.0.1:\(hubPort)
        topic bench/# out \(isDurable ? 1 : 0)
        bridge_cafile \(certificate.certificate)
        bridge_tls_version tlsv1.3
        notifications false
        cleansession \(!isDurable)
        restart_timeout 1
        """
      let pid = try Self.start(lab, certificate, port, isDurable, "bridge", bridge: bridge)
      pairs.append(Pair(hubPort: hubPort, port: port, pid: pid))
    }
  }

  private static func start(
    _ lab: Lab, _ certificate: PeerCertificate, _ port: UInt16, _ isDurable: Bool, _ role: String, bridge: String
  ) throws -> pid_t {
    let name = "mosquitto-\(role)-\(isDurable ? 1 : 0)"
    let folder = lab.folder.appending(path: name)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    chmod(folder.path, 0o777)
    var text = """
      listener \(port) 127.0.0.1
      allow_anonymous true
      certfile \(certificate.certificate)
      keyfile \(certificate.key)
      tls_version tlsv1.3
      log_dest none
      set_tcp_nodelay true
      max_inflight_messages 0
      max_queued_messages 0
      persistence \(isDurable)

      """
    if isDurable {
      text += "persistence_location \(folder.path)/\nautosave_on_changes true\nautosave_interval 1\n"
    }
    text += bridge + "\n"
    let file = folder.appending(path: "mosquitto.conf")
    try text.write(to: file, atomically: false, encoding: .utf8)
    let pid = try lab.start([Mosquitto.program, "-c", file.path], log: "\(name).log")
    try lab.wait(for: "mosquitto's start") {
      guard let descriptor = try Net.connect(port) else { return false }
      Glibc.close(descriptor)
      return true
    }
    return pid
  }

  func relay(isDurable: Bool) -> pid_t { pairs[isDurable ? 1 : 0].pid }

  func connect(senders: Int, isDurable: Bool) throws -> (senders: [LoadPort], receiver: LoadPort) {
    let pair = pairs[isDurable ? 1 : 0]
    let topic = "bench/\(clients)"
    func port(_ at: UInt16, isReceiver: Bool) throws -> LoadPort {
      clients += 1
      return try MqttPort(
        port: at, pin: certificate.pin, name: "bench\(clients)", topic: topic, isReceiver: isReceiver,
        isDurable: isDurable)
    }
    let receiver = try port(pair.hubPort, isReceiver: true)
    return (try (0..<senders).map { _ in try port(pair.port, isReceiver: false) }, receiver)
  }
}

/// NATS as a leaf node of a second NATS; durable messages go to the hub's JetStream.
final class NatsRelay: RelaySystem {
  let name = "nats"
  let durability = "not confirmed before the hub's JetStream has written it to a file; synced every two minutes"
  static let program = ".sdk/nats/usr/sbin/nats-server"
  private let certificate: PeerCertificate
  private let hubPort: UInt16
  private let port: UInt16
  private let pid: pid_t
  private var clients = 0

  init(_ lab: Lab, _ certificate: PeerCertificate) throws {
    self.certificate = certificate
    hubPort = try Net.freePort()
    port = try Net.freePort()
    let leafPort = try Net.freePort()
    let tls = "tls { cert_file: \"\(certificate.certificate)\", key_file: \"\(certificate.key)\" }"
    try Self.start(
      lab, "nats-hub", hubPort,
      """
      \(tls)
      jetstream { store_dir: "\(lab.file("jetstream"))" }
      leafnodes { listen: "127.0.0.1:\(leafPort)", \(tls) }
      """)
    pid = try Self.start(
      lab, "nats-leaf", port,
      """
      \(tls)
      leafnodes {
        remotes: [ { url: "tls://127.0.0.1:\(leafPort)", tls { ca_file: "\(certificate.certificate)" } } ]
      }
      """)
    let setup = try NatsPort(
      port: hubPort, pin: certificate.pin, name: "setup", subject: "", subscribes: nil, isDurable: false)
    _ = try setup.request(
      "$JS.API.STREAM.CREATE.BENCH",
      "{\"name\":\"BENCH\",\"subjects\":[\"durable\"],\"retention\":\"workqueue\",\"storage\":\"file\"}")
    _ = try setup.request(
      "$JS.API.CONSUMER.DURABLE.CREATE.BENCH.C",
      "{\"stream_name\":\"BENCH\",\"config\":{\"durable_name\":\"C\",\"deliver_subject\":\"deliver\","
        + "\"ack_policy\":\"explicit\",\"max_ack_pending\":1024}}")
    setup.close()
  }

  @discardableResult
  private static func start(_ lab: Lab, _ name: String, _ port: UInt16, _ text: String) throws -> pid_t {
    let file = lab.folder.appending(path: "\(name).conf")
    try "listen: \"127.0.0.1:\(port)\"\nserver_name: \(name)\n\(text)\n"
      .write(to: file, atomically: false, encoding: .utf8)
    let pid = try lab.start([program, "-c", file.path], log: "\(name).log")
    try lab.wait(for: "\(name)'s start") {
      guard let descriptor = try Net.connect(port) else { return false }
      Glibc.close(descriptor)
      return true
    }
    return pid
  }

  func relay(isDurable: Bool) -> pid_t { pid }

  func connect(senders: Int, isDurable: Bool) throws -> (senders: [LoadPort], receiver: LoadPort) {
    let subject = isDurable ? "durable" : "bench.\(clients)"
    func port(_ at: UInt16, subscribes: String?) throws -> LoadPort {
      clients += 1
      return try NatsPort(
        port: at, pin: certificate.pin, name: "bench\(clients)", subject: subject, subscribes: subscribes,
        isDurable: isDurable)
    }
    let receiver = try port(hubPort, subscribes: isDurable ? "deliver" : subject)
    // The leaf hears of the hub's subscription a little later.
    usleep(200_000)
    return (try (0..<senders).map { _ in try port(self.port, subscribes: nil) }, receiver)
  }
}
