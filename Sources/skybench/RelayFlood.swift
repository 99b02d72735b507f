import Foundation

/// Two senders at a modest rate through a relay, alone and beside a third that sends as fast as the relay takes it.
enum RelayFlood {
  private static let rate = 100.0
  private static let sizeBytes = 256

  struct Sample {
    var alone = RelayLoad.Result()
    var flooded = RelayLoad.Result()
    var floodPerSecond = 0.0

    var ratio: Double { flooded.latencyUs(0.99) / max(1, alone.latencyUs(0.99)) }
  }

  static func measure(_ system: any RelaySystem, _ seconds: Double) throws -> Sample {
    let ports = try system.connect(senders: 2, isDurable: false)
    let load = try RelayLoad(ports.senders, to: ports.receiver, sizeBytes: sizeBytes, window: 1_000, isDurable: false)
    defer { load.close() }
    var sample = Sample()
    _ = try load.run(seconds: 0.5, rate: rate)
    sample.alone = try load.run(seconds: seconds, rate: rate)
    let flood = try Flood(system)
    _ = try load.run(seconds: 0.5, rate: rate)
    sample.flooded = try load.run(seconds: seconds, rate: rate)
    sample.floodPerSecond = try flood.stop()
    return sample
  }

  static func table(_ names: [String], _ samples: [String: [Sample]]) -> Table {
    var table = Table(
      title: "two senders of \(figure(rate)) messages a second, \(sizeBytes) B ordinary, beside one that floods",
      head: [""] + names)
    func row(_ name: String, _ value: (Sample) -> Double) {
      table.rows.append([name] + names.map { RelayBench.rounded((samples[$0] ?? []).map(value).median) })
    }
    row("alone: p50, us") { $0.alone.latencyUs(0.5) }
    row("alone: p99, us") { $0.alone.latencyUs(0.99) }
    row("flooded: p50, us") { $0.flooded.latencyUs(0.5) }
    row("flooded: p99, us") { $0.flooded.latencyUs(0.99) }
    row("flooded p99 / alone p99") { $0.ratio }
    row("flooded: arrived of those sent, %") {
      100 * Double($0.flooded.delivered) / max(1, 2 * rate * $0.flooded.seconds)
    }
    row("flood, messages/s that arrived") { $0.floodPerSecond }
    return table
  }

  static func goals(_ samples: [String: [Sample]]) -> [Metric] {
    let ratios = (samples["skynod"] ?? []).map(\.ratio)
    return [Metric("p99 of modest senders, flooded by a third / alone", ratios.median, "", goal: .atMost(2))]
  }
}

/// One sender without measure, with a receiver of its own, in a thread of its own.
private final class Flood: @unchecked Sendable {
  private let load: RelayLoad
  private let lock = NSLock()
  private var isStopping = false
  private var outcome: Result<Double, any Error> = .success(0)
  private let ended = DispatchSemaphore(value: 0)

  init(_ system: any RelaySystem) throws {
    let ports = try system.connect(senders: 1, isDurable: false)
    load = try RelayLoad(
      ports.senders, to: ports.receiver, sizeBytes: 256, window: .max, isDurable: false)
    Thread.detachNewThread { [self] in
      outcome = Result { try load.run(seconds: 60, isOver: { self.lock.withLock { self.isStopping } }).perSecond }
      ended.signal()
    }
  }

  /// Messages a second that arrived.
  func stop() throws -> Double {
    lock.withLock { isStopping = true }
    ended.wait()
    load.close()
    return try outcome.get()
  }
}
