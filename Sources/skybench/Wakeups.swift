import Foundation

/// How often an idle node wakes the processor: what a battery pays for while nothing happens.
enum Wakeups {
  static func run(_ options: BenchOptions, _ lab: Lab) throws -> Report {
    let seconds = options.seconds ?? 120
    var report = Report("wakeups")
    report.peer = try Mosquitto.version(lab)
    report.notes = [
      Proc.machine(),
      "\(figure(seconds)) s idle, linked to a real hub by TLS, heartbeats every 30 s, keys renewed every 120 s"
        + (options.seconds == nil ? "" : " (the full benchmark takes 120 s)"),
      "sleeps: voluntary_ctxt_switches of /proc/PID/status; cross-check: returns from epoll and poll that strace saw "
        + "in a second window of the same length",
    ]
    let swarm = try Swarm(lab)
    let node = try Node(lab, "node", ticket: try swarm.ticket())
    var mosquitto = try Mosquitto(lab)
    try mosquitto.connect(lab)
    try node.waitOnline()
    // The first heartbeat and everything that a new link causes.
    sleep(5)
    let before = try Proc.sleeps(node.pid)
    let peerBefore = try Proc.sleeps(mosquitto.pid)
    usleep(UInt32(seconds * 1e6))
    let rate = (try Proc.sleeps(node.pid) - before) / seconds
    let peerRate = (try Proc.sleeps(mosquitto.pid) - peerBefore) / seconds
    report.metrics = [
      Metric("wakeups", rate, "1/s", peer: peerRate, goal: .atMost(0.1)),
      Metric("wakeups seen by strace", try traced(lab, node.pid, seconds), "1/s", goal: .atMost(0.1)),
    ]
    guard try node.status("state") == "online" else { throw BenchError("the node lost its hub while it was measured") }
    return report
  }

  private static func traced(_ lab: Lab, _ pid: pid_t, _ seconds: Double) throws -> Double {
    let output = lab.file("strace.txt")
    let calls =
      "trace=?epoll_wait,?epoll_pwait,?epoll_pwait2,?poll,?ppoll,?select,?pselect6,?nanosleep,?clock_nanosleep"
    let tracer = try lab.start(
      ["strace", "-f", "-q", "-e", calls, "-o", output, "-p", "\(pid)"], log: "strace.log")
    // Attaching itself interrupts the call that is under way, which counts for nothing.
    sleep(1)
    let before = try returns(output)
    usleep(UInt32(seconds * 1e6))
    let after = try returns(output)
    lab.stop(tracer)
    return Double(after - before) / seconds
  }

  /// Calls that have returned: lines with a result.
  private static func returns(_ file: String) throws -> Int {
    guard let text = try? String(contentsOfFile: file, encoding: .utf8) else {
      throw BenchError("strace cannot attach to the node: it needs root, or kernel.yama.ptrace_scope 0")
    }
    return text.split(separator: "\n").filter { $0.contains(") = ") }.count
  }
}
