import Foundation

/// Messages through a relay: `skynod`, Mosquitto and NATS in turns, with the same load over the same TLS library.
enum RelayBench {
  private static let senders = 4
  /// Messages of one sender on their way; of durable ones a link of ours has no more.
  private static let window = 64
  /// Of each sender, messages a second: far below what any of them can do.
  private static let modestRate = 125.0

  /// One turn of one system at one size.
  struct Sample {
    var perSecond = 0.0
    var cpuUs = 0.0
    var p50 = 0.0
    var p99 = 0.0
    var modestP50 = 0.0
    var modestP99 = 0.0
    var modestCpuUs = 0.0
    var memoryKB = 0.0
    var lost = 0.0

    var perCpuSecond: Double { cpuUs == 0 ? 0 : 1e6 / cpuUs }
  }

  private struct Case: Hashable {
    let system: String
    let size: Int
    let isDurable: Bool
  }

  static func run(_ options: BenchOptions, _ lab: Lab) throws -> Report {
    let seconds = options.seconds ?? (options.isQuick ? 1 : 3)
    let rounds = options.isQuick ? 1 : 3
    let sizes = options.isQuick ? [256] : [64, 256, 1_024, 3_072]
    let certificate = try PeerCertificate(lab)
    let ours = try SkyRelay(lab)
    let systems: [any RelaySystem] = [
      ours, try MosquittoRelay(lab, certificate), try NatsRelay(lab, certificate),
    ]
    var samples: [Case: [Sample]] = [:]
    var withoutReceipts: [Sample] = []
    var floods: [String: [RelayFlood.Sample]] = [:]
    for _ in 0..<rounds {
      for size in sizes {
        for isDurable in [false, true] {
          for system in systems {
            let key = Case(system: system.name, size: size, isDurable: isDurable)
            samples[key, default: []].append(try measure(system, size, isDurable, seconds))
          }
        }
      }
      ours.sendsReceipts = false
      withoutReceipts.append(try measure(ours, 256, false, seconds))
      ours.sendsReceipts = true
      for system in systems { floods[system.name, default: []].append(try RelayFlood.measure(system, seconds)) }
    }
    var report = Report("relay")
    report.peer = try Mosquitto.version(lab) + " and NATS " + natsVersion(lab) + " (Debian package)"
    report.notes = notes(systems, rounds: rounds, seconds: seconds)
    let names = systems.map(\.name)
    let medians = samples.mapValues(median)
    for size in sizes { report.tables.append(table(size, names, medians)) }
    report.tables.append(RelayFlood.table(names, floods))
    report.metrics = goals(names, medians, withoutReceipts: median(withoutReceipts)) + RelayFlood.goals(floods)
    return report
  }

  private static func natsVersion(_ lab: Lab) throws -> String {
    let text = try lab.run([NatsRelay.program, "--version"])
    return text.trimmingCharacters(in: .whitespacesAndNewlines).replacingOccurrences(of: "nats-server: v", with: "")
  }

  private static func notes(_ systems: [any RelaySystem], rounds: Int, seconds: Double) -> [String] {
    [
      Proc.machine(),
      "\(senders) senders -> relay -> hub -> 1 receiver, TLS 1.3 on every link, all on this machine; the senders and the "
        + "receiver are one thread",
      "at most \(window) messages of a sender on their way; \(rounds) rounds of \(figure(seconds)) s, in turns; medians",
      "processor time is that of the relay alone, over the messages that arrived; memory is Anonymous, the most seen",
      "latency from sending to arrival; modest: \(figure(modestRate)) messages a second of each sender",
      "ordinary: our receiver answers every message with a receipt that the relay carries back; QoS 0 and core NATS "
        + "have no such thing",
      "a message of ours has at most 3,072 bytes: 16 KiB cannot be sent",
    ] + systems.map { "durable, \($0.name): \($0.durability)" }
  }

  private static func measure(_ system: any RelaySystem, _ size: Int, _ isDurable: Bool, _ seconds: Double) throws
    -> Sample
  {
    let ports = try system.connect(senders: senders, isDurable: isDurable)
    let load = try RelayLoad(ports.senders, to: ports.receiver, sizeBytes: size, window: window, isDurable: isDurable)
    defer { load.close() }
    let pid = system.relay(isDurable: isDurable)
    var sample = Sample()
    do {
      _ = try load.run(seconds: seconds / 6)
      var before = try Proc.cpuMs(pid)
      let full = try load.run(
        seconds: seconds, everyTurn: { sample.memoryKB = max(sample.memoryKB, try Proc.anonymousKB(pid)) })
      sample.cpuUs = (try Proc.cpuMs(pid) - before) * 1_000 / Double(max(1, full.delivered))
      sample.perSecond = full.perSecond
      sample.p50 = full.latencyUs(0.5)
      sample.p99 = full.latencyUs(0.99)
      try load.drain()
      before = try Proc.cpuMs(pid)
      let modest = try load.run(seconds: seconds, rate: modestRate)
      sample.modestCpuUs = (try Proc.cpuMs(pid) - before) * 1_000 / Double(max(1, modest.delivered))
      sample.modestP50 = modest.latencyUs(0.5)
      sample.modestP99 = modest.latencyUs(0.99)
      sample.lost = Double(full.lost + modest.lost)
      try load.drain()
    } catch { throw BenchError("\(system.name), \(size) B, \(isDurable ? "durable" : "ordinary"): \(error)") }
    return sample
  }

  private static func median(_ samples: [Sample]) -> Sample {
    func middle(_ path: KeyPath<Sample, Double>) -> Double { samples.map { $0[keyPath: path] }.median }
    return Sample(
      perSecond: middle(\.perSecond), cpuUs: middle(\.cpuUs), p50: middle(\.p50), p99: middle(\.p99),
      modestP50: middle(\.modestP50), modestP99: middle(\.modestP99), modestCpuUs: middle(\.modestCpuUs),
      memoryKB: samples.map(\.memoryKB).max() ?? 0, lost: samples.map(\.lost).max() ?? 0)
  }

  private static var rows: [(name: String, path: KeyPath<Sample, Double>)] {
    [
      ("messages/s", \.perSecond), ("messages per CPU-s", \.perCpuSecond), ("CPU, us a message", \.cpuUs),
      ("p50, us", \.p50), ("p99, us", \.p99), ("modest: p50, us", \.modestP50), ("modest: p99, us", \.modestP99),
      ("modest: CPU, us a message", \.modestCpuUs), ("memory, kB", \.memoryKB), ("lost", \.lost),
    ]
  }

  private static func table(_ size: Int, _ names: [String], _ medians: [Case: Sample]) -> Table {
    var table = Table(
      title: "\(size) B", head: [""] + names + names.dropFirst().map { "/ " + $0 })
    for isDurable in [false, true] {
      for row in rows {
        let values = names.map { name in
          medians[Case(system: name, size: size, isDurable: isDurable)]?[keyPath: row.path] ?? 0
        }
        let ratios = values.dropFirst().map { $0 == 0 ? "-" : String(format: "%.2f", values[0] / $0) }
        table.rows.append(["\(isDurable ? "durable" : "ordinary"): \(row.name)"] + values.map(rounded) + ratios)
      }
    }
    return table
  }

  static func rounded(_ value: Double) -> String { figure(abs(value) < 100 ? value : value.rounded()) }

  private static func goals(_ names: [String], _ medians: [Case: Sample], withoutReceipts: Sample) -> [Metric] {
    var metrics: [Metric] = []
    func perCpuSecond(isDurable: Bool) -> [Double] {
      names.map { medians[Case(system: $0, size: 256, isDurable: isDurable)]?.perCpuSecond ?? 0 }
    }
    for isDurable in [false, true] {
      let values = perCpuSecond(isDurable: isDurable)
      let best = values.dropFirst().max() ?? 0
      metrics.append(
        Metric(
          "256 B \(isDurable ? "durable" : "ordinary"): messages per CPU-s, of the better peer's",
          best == 0 ? 0 : values[0] / best, "times", goal: .atLeast(2)))
    }
    metrics.append(
      Metric(
        "256 B ordinary, had they no receipts: messages per CPU-s (peer: the better)", withoutReceipts.perCpuSecond,
        "1/s", peer: perCpuSecond(isDurable: false).dropFirst().max()))
    let memory = names.map { name in medians.filter { $0.key.system == name }.map(\.value.memoryKB).max() ?? 0 }
    metrics.append(
      Metric(
        "private memory under load, the most seen (peer: the smaller)", memory[0], "kB",
        peer: memory.dropFirst().min(), goal: .atMost(1_500)))
    return metrics
  }
}
