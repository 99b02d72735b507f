import Foundation

/// A real hub and real nodes on loopback, from `out/`.
struct Swarm {
  static let hubProgram = "out/host/skyhub"
  #if arch(arm64)
    static let board = "arm64"
  #else
    static let board = "amd64"
  #endif
  static let nodeProgram = "out/\(board)/skynod"
  static let controlProgram = "out/\(board)/skynodctl"

  let lab: Lab
  let hubPid: pid_t
  let port: UInt16

  private var hubData: String { lab.file("hub") }

  /// Starts a hub and waits until it serves; `advertised` is where nodes find it, if not at its own port.
  init(_ lab: Lab, advertised: UInt16? = nil, options: [String] = []) throws {
    self.lab = lab
    let port = try Net.freePort()
    self.port = port
    hubPid = try lab.start(
      [
        Self.hubProgram, "serve", "--data", lab.file("hub"), "--listen", "127.0.0.1:\(port)",
        "--advertise", "127.0.0.1:\(advertised ?? port)",
      ] + options,
      log: "hub.log")
    try lab.wait(for: "the hub's start") {
      _ = try lab.run([Self.hubProgram, "status", "--data", lab.file("hub")])
      return true
    }
  }

  /// A ticket for so many nodes.
  func ticket(uses: Int = 1) throws -> String {
    let text = try lab.run(
      [Self.hubProgram, "token", "--data", hubData, "--uses", "\(uses)", "--expires", "1h", "--ticket-only"])
    return text.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// A figure of `skyhub status --json`.
  func hubFigure(_ key: String) throws -> Double {
    let text = try lab.run([Self.hubProgram, "status", "--data", hubData, "--json"])
    let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
    guard let value = object?[key] as? NSNumber else { throw BenchError("skyhub status has no \(key)") }
    return value.doubleValue
  }
}

/// One node: its files are in a folder of its own.
struct Node {
  let lab: Lab
  let name: String
  let pid: pid_t

  /// Writes the configuration; returns its path.
  static func configure(_ lab: Lab, _ name: String, ticket: String?, settings: String = "") throws -> String {
    let folder = lab.folder.appending(path: name)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    var text = """
      state_directory = \(folder.path)/state
      control_socket = \(folder.path)/control.sock

      """
    if let ticket { text += "ticket = \(ticket)\n" }
    text += settings
    let file = folder.appending(path: "skynod.conf")
    try text.write(to: file, atomically: false, encoding: .utf8)
    return file.path
  }

  init(
    _ lab: Lab, _ name: String, ticket: String?, settings: String = "", environment: [String: String] = [:]
  ) throws {
    self.lab = lab
    self.name = name
    let file = try Self.configure(lab, name, ticket: ticket, settings: settings)
    pid = try lab.start([Swarm.nodeProgram, "--config", file], environment: environment, log: "\(name).log")
  }

  func control(_ words: String...) throws -> String {
    try lab.run([Swarm.controlProgram, "--socket", lab.file("\(name)/control.sock")] + words)
  }

  /// One field of `status --json`.
  func status(_ key: String) throws -> String {
    let object = try JSONSerialization.jsonObject(with: Data(try control("status", "--json").utf8)) as? [String: Any]
    guard let value = object?[key] else { throw BenchError("skynodctl status has no \(key)") }
    return "\(value)"
  }

  func waitOnline() throws {
    try lab.wait(for: "\(name) coming online") { try status("state") == "online" }
  }
}

/// Mosquitto, the MQTT broker that many boards run: the peer for a small always-on daemon and for a hub.
struct Mosquitto {
  let pid: pid_t
  private let port: UInt16
  private var clients: [Int32] = []

  /// `tools/bench` has installed the Debian package if it was missing.
  static let program = "/usr/sbin/mosquitto"

  init(_ lab: Lab) throws {
    port = try Net.freePort()
    let file = lab.folder.appending(path: "mosquitto.conf")
    try "listener \(port) 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest none\nmax_connections -1\n"
      .write(to: file, atomically: false, encoding: .utf8)
    pid = try lab.start([Self.program, "-c", file.path], log: "mosquitto.log")
  }

  static func version(_ lab: Lab) throws -> String {
    let text = try lab.run(["dpkg-query", "-W", "-f=${Version}", "mosquitto"])
    return "Mosquitto \(text) (Debian package)"
  }

  /// Connects one more client: MQTT 3.1.1, clean session, no keep-alive, so that it is silent from then on.
  mutating func connect(_ lab: Lab) throws {
    let name = Array("bench\(clients.count)".utf8)
    let rest: [UInt8] = [0, 4] + Array("MQTT".utf8) + [4, 2, 0, 0, 0, UInt8(name.count)] + name
    var descriptor: Int32?
    let port = port
    try lab.wait(for: "mosquitto's start") {
      descriptor = try Net.connect(port)
      return descriptor != nil
    }
    guard let descriptor, Net.write([0x10, UInt8(rest.count)] + rest, to: descriptor),
      Net.read(descriptor).starts(with: [0x20, 2, 0, 0])
    else { throw BenchError("mosquitto refused a client") }
    clients.append(descriptor)
  }
}
