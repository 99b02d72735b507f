import Foundation

/// One hub with many nodes, every one a real process with its own identity and link.
enum HubLoad {
  static func run(_ options: BenchOptions, _ lab: Lab) throws -> Report {
    let count = options.nodes ?? 1_000
    let seconds = options.seconds ?? 30
    var report = Report("hub")
    report.peer = try Mosquitto.version(lab)
    report.notes = [
      Proc.machine(),
      "\(count) skynod processes on the hub's own machine, started as fast as it can; heartbeats every 5 s, counted "
        + "for \(figure(seconds)) s; mosquitto: as many clients, without TLS, silent"
        + (options.nodes == nil ? "" : " (the full benchmark takes 1000 nodes)"),
    ]
    try raiseFileLimit()
    let swarm = try Swarm(lab, options: ["--heartbeat-interval", "5s", "--max-nodes", "\(count + 16)"])
    let ticket = try swarm.ticket(uses: count)
    let emptyKB = try Proc.residentKB(swarm.hubPid)
    let emptyCpu = try Proc.cpuMs(swarm.hubPid)
    let start = Clock.now
    for i in 0..<count { _ = try Node(lab, "node\(i)", ticket: ticket) }
    var online = 0.0
    try lab.wait(for: "\(count) nodes online", seconds: 300) {
      usleep(200_000)
      online = try swarm.hubFigure("online")
      return online >= Double(count)
    }
    let joined = Clock.now - start
    let joinCpu = try Proc.cpuMs(swarm.hubPid) - emptyCpu
    sleep(10)
    let perNodeKB = (try Proc.residentKB(swarm.hubPid) - emptyKB) / Double(count)

    let beatsBefore = try swarm.hubFigure("heartbeats")
    let cpuBefore = try Proc.cpuMs(swarm.hubPid)
    usleep(UInt32(seconds * 1e6))
    let cpu = try Proc.cpuMs(swarm.hubPid) - cpuBefore
    let beats = try swarm.hubFigure("heartbeats") - beatsBefore
    online = try swarm.hubFigure("online")
    guard beats > 0 else { throw BenchError("no heartbeat came in") }

    var mosquitto = try Mosquitto(lab)
    try mosquitto.connect(lab)
    let peerEmptyKB = try Proc.residentKB(mosquitto.pid)
    for _ in 1..<max(2, count) { try mosquitto.connect(lab) }
    let peerPerClientKB = (try Proc.residentKB(mosquitto.pid) - peerEmptyKB) / Double(max(2, count) - 1)

    report.metrics = [
      Metric("nodes online at once", online, "nodes", goal: .atLeast(Double(count))),
      Metric("time until all were online", joined, "s"),
      Metric("hub's processor time for one join", joinCpu / Double(count), "ms"),
      Metric("hub's memory for one node (RSS)", perNodeKB, "kB", peer: peerPerClientKB),
      Metric("hub's processor time for one heartbeat", cpu / beats * 1_000, "us"),
    ]
    return report
  }

  /// Each client of the peer is a descriptor here; the hub inherits the limit.
  private static func raiseFileLimit() throws {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }
}
