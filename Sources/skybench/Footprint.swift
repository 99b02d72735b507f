import Foundation

/// What the daemon takes of a board: memory connected and idle, its growth, start-up time, binaries.
enum Footprint {
  static func run(_ options: BenchOptions, _ lab: Lab) throws -> Report {
    let minutes = options.minutes ?? 10
    var report = Report("footprint")
    report.peer = try Mosquitto.version(lab)
    report.notes = [
      Proc.machine(),
      "skynod: \(Swarm.nodeProgram), linked to a real hub by TLS and idle; mosquitto: one client connected without TLS",
      "memory after 60 s from /proc/PID/smaps_rollup; growth over \(figure(minutes)) minutes after that"
        + (options.minutes == nil ? "" : " (the full benchmark takes 10)"),
    ]
    report.metrics += try sizes()
    report.metrics += try startUp(lab)

    let swarm = try Swarm(lab)
    let node = try Node(lab, "node", ticket: try swarm.ticket())
    let reader = try Node(
      lab, "reader", ticket: try swarm.ticket(), settings: "dictionary = \(try dictionary(lab))\n")
    var mosquitto = try Mosquitto(lab)
    try mosquitto.connect(lab)
    try node.waitOnline()
    try reader.waitOnline()
    try use(reader)
    sleep(60)
    let anonymous = try Proc.anonymousKB(node.pid)
    let peerAnonymous = try Proc.anonymousKB(mosquitto.pid)
    report.metrics += [
      Metric("anonymous memory", anonymous, "kB", peer: peerAnonymous, goal: .atMost(512)),
      Metric(
        "anonymous memory of a 64K dictionary", try Proc.anonymousKB(reader.pid) - anonymous, "kB", goal: .atMost(150)),
      Metric("PSS", try Proc.pssKB(node.pid), "kB", peer: try Proc.pssKB(mosquitto.pid), goal: .atMost(2_500)),
    ]
    usleep(UInt32(minutes * 60) * 1_000_000)
    let growth = try Proc.anonymousKB(node.pid) - anonymous
    let peerGrowth = try Proc.anonymousKB(mosquitto.pid) - peerAnonymous
    report.metrics.append(
      Metric("growth of anonymous memory", growth, "kB", peer: peerGrowth, goal: .atMost(0)))
    guard try node.status("state") == "online" else { throw BenchError("the node lost its hub while it was measured") }
    return report
  }

  /// The starter's 65,536 words.
  private static func dictionary(_ lab: Lab) throws -> String {
    let list = ".sdk/lexicon/starter.tsv"
    let file = lab.file("starter.lex")
    _ = try lab.run(
      [Swarm.hubProgram, "lexicon", "build", "--words", list, "--licence", list + ".licence", file])
    return file
  }

  /// Words from all over the dictionary, and as many that are not in it.
  private static func use(_ node: Node) throws {
    for id in stride(from: 256, to: 65_536, by: 911) {
      _ = try node.control("lookup", "0x" + String(id, radix: 16))
      _ = try? node.control("lookup", "nonesuch" + String(UnicodeScalar(UInt8(97 + id % 26))))
    }
    _ = try node.control("encode", "the quick brown fox jumps over the lazy dog")
  }

  private static func sizes() throws -> [Metric] {
    [
      Metric("skynod, static", try Proc.sizeBytes(Swarm.nodeProgram) / 1_000, "kB", goal: .atMost(3_000)),
      Metric("skynodctl, static", try Proc.sizeBytes(Swarm.controlProgram) / 1_000, "kB", goal: .atMost(800)),
    ]
  }

  /// From just before the process is made to READY=1 on the notify socket, as systemd would see it.
  private static func startUp(_ lab: Lab) throws -> [Metric] {
    let path = lab.file("notify")
    let socket = try Net.datagramSocket(at: path)
    defer { close(socket) }
    var times: [Double] = []
    for _ in 0..<11 {
      let start = Clock.now
      let node = try Node(lab, "start", ticket: nil, environment: ["NOTIFY_SOCKET": path])
      guard Net.receive("READY=1", on: socket, seconds: 10) else { throw BenchError("skynod did not say READY=1") }
      times.append((Clock.now - start) * 1_000)
      lab.stop(node.pid)
      // What it says while it stops.
      while Net.receive("", on: socket, seconds: 0.01) {}
    }
    return [
      Metric("first start to READY, identity made", times[0], "ms"),
      Metric("start to READY, median of 10", Array(times.dropFirst()).median, "ms", goal: .atMost(50)),
    ]
  }
}
