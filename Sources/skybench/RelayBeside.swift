import Foundation

/// Two senders at a modest rate through a relay, alone and while the language model's worker makes a text on half of the processors:
/// with the priority that any process has, with that of skynod-infer.service, and with the policy for the idle.
enum RelayBeside {
  private static let rate = 100.0
  private static let model = ".sdk/models/smollm2.gguf"

  private enum Worker: String, CaseIterable {
    case none = "no worker"
    case plain = "as any process"
    case nice = "nice 10"
    case idle = "policy idle"

    var prefix: [String] {
      switch self {
      case .none, .plain: []
      case .nice: ["/usr/bin/nice", "-n", "10"]
      case .idle: ["/usr/bin/chrt", "--idle", "0"]
      }
    }
  }

  private struct Sample {
    var load = RelayLoad.Result()
    var memoryKB = 0.0
    var workerPercent = 0.0
  }

  static func run(_ options: BenchOptions, _ lab: Lab) throws -> Report {
    guard FileManager.default.fileExists(atPath: model) else {
      throw BenchError("\(model) is missing: tools/models get smollm2")
    }
    let seconds = options.seconds ?? (options.isQuick ? 2 : 5)
    let rounds = options.isQuick ? 1 : 7
    let ours = try SkyRelay(lab)
    let ports = try ours.connect(senders: 2, isDurable: false)
    let load = try RelayLoad(ports.senders, to: ports.receiver, sizeBytes: 256, window: 1_000, isDurable: false)
    defer { load.close() }
    _ = try load.run(seconds: 1, rate: rate)
    var samples: [Worker: [Sample]] = [:]
    for _ in 0..<rounds {
      for worker in Worker.allCases {
        samples[worker, default: []].append(
          try measure(worker, load, ours.relay(isDurable: false), seconds, lab))
      }
    }
    var report = Report("beside")
    report.peer = "the same relay without a worker"
    report.notes = [
      Proc.machine(),
      "2 senders of \(figure(rate)) messages a second, 256 B ordinary -> relay -> hub -> receiver, all on this machine",
      "the worker: SmolLM2, a thread for each second processor, a text without end; \(rounds) rounds of \(figure(seconds)) s, in turns; medians",
    ]
    report.tables = [table(samples)]
    report.metrics = goals(samples)
    return report
  }

  private static func measure(_ worker: Worker, _ load: RelayLoad, _ relay: pid_t, _ seconds: Double, _ lab: Lab) throws
    -> Sample
  {
    var sample = Sample()
    var pid: pid_t?
    if worker != .none {
      pid = try lab.start(
        worker.prefix + [
          "out/\(Swarm.board)/skynod-infer", "--model", model, "--context", "2048", "--tokens",
          "2000",
          "--temperature", "5", "--seed", "1", "--raw", "--prompt", "The rain",
        ], log: "worker.log")
      // The model is loaded and the first tokens are there.
      try lab.wait(for: "the worker's text") { try Proc.cpuMs(pid!) > 300 }
    }
    let before = try pid.map { try Proc.cpuMs($0) } ?? 0
    sample.load = try load.run(seconds: seconds, rate: rate)
    sample.memoryKB = try Proc.anonymousKB(relay)
    if let pid {
      sample.workerPercent = (try Proc.cpuMs(pid) - before) / seconds / 10
      lab.stop(pid)
    }
    try load.drain()
    return sample
  }

  private static func table(_ samples: [Worker: [Sample]]) -> Table {
    var table = Table(title: "latency through the relay", head: [""] + Worker.allCases.map(\.rawValue))
    func row(_ name: String, _ value: (Sample) -> Double) {
      table.rows.append([name] + Worker.allCases.map { RelayBench.rounded((samples[$0] ?? []).map(value).median) })
    }
    row("p50, us") { $0.load.latencyUs(0.5) }
    row("p99, us") { $0.load.latencyUs(0.99) }
    row("arrived of those sent, %") { 100 * Double($0.load.delivered) / max(1, 2 * rate * $0.load.seconds) }
    row("relay's memory, kB") { $0.memoryKB }
    row("worker's processor time, % of one") { $0.workerPercent }
    return table
  }

  private static func goals(_ samples: [Worker: [Sample]]) -> [Metric] {
    func median(_ worker: Worker, _ value: (Sample) -> Double) -> Double { (samples[worker] ?? []).map(value).median }
    let alone = median(.none) { $0.load.latencyUs(0.99) }
    return [
      Metric(
        "p99 beside skynod-infer (nice 10) / alone", median(.nice) { $0.load.latencyUs(0.99) } / max(1, alone), "",
        goal: .atMost(1.1)),
      Metric(
        "relay's memory beside it, more than alone", median(.nice, \.memoryKB) - median(.none, \.memoryKB), "kB",
        goal: .atMost(0)),
      Metric("worker's processor time beside the relay", median(.nice, \.workerPercent), "%", goal: .atLeast(50)),
    ]
  }
}
