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
    var mosquitto = try Mosquitto(lab)
    try mosquitto.connect(lab)
    try node.waitOnline()
    sleep(60)
    let anonymous = try Proc.anonymousKB(node.pid)
    let peerAnonymous = try Proc.anonymousKB(mosquitto.pid)
    report.metrics += [
      Metric("anonymous memory", anonymous, "kB", peer: peerAnonymous, goal: .atMost(512)),
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
