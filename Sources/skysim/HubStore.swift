import Bounded
import Durable
import Wire

/// A durable message at a hub.
struct Spooled {
  struct Name: Equatable {
    var destination: Int
    var source: UInt32
    var stream: UInt64
    var sequence: UInt64
  }
  var row: UInt64
  var name: Name
  var hops: UInt8
  var expiresMs: UInt64
  var isSealed = false
  var text: [UInt8]

  var isUrgent: Bool { Limits.isUrgent(name.sequence) }
}

/// One that came in and is not committed yet.
struct Arrival {
  var message: Spooled
  var session: HubSession
  /// Which connection of that session's.
  var generation: UInt64
}

/// What is under way to one node that is online; the rules are those of `Delivery` in the production hub.
final class Delivery {
  /// Of urgent messages, and of the others.
  var cursors: [Bool: UInt64] = [:]
  var inFlight: [Spooled.Name] = []
  var continuesAt = Instant.never
  var startsOverAt = Instant.never
  var isPaused = false
  var refusals = 0
  /// It has told its card over this link.
  var takesSealed = false
  /// By number of the board: its offer has gone over this link.
  var offered: [Bool]

  init(boards: Int) { offered = [Bool](repeating: false, count: boards) }

  var deadline: Instant { min(continuesAt, startsOverAt) }

  func startOver() {
    cursors.removeAll()
    inFlight.removeAll(keepingCapacity: true)
    isPaused = false
    startsOverAt = .never
  }

  func admits(_ name: Spooled.Name) -> Bool {
    for other in inFlight where other.stream == name.stream {
      if other.source != name.source || name.sequence &- other.sequence >= DuplicateWindowLimits.reach { return false }
    }
    return true
  }
}

/// What survives the hub's process: messages and duplicate windows, committed together, whole or not at all.
final class HubStore {
  private final class Stream {
    let source: UInt32
    let name: UInt64
    var window = DuplicateWindow<1>(keepMs: .max)
    /// As it would be found after a crash.
    var saved: [UInt8] = []

    init(_ source: UInt32, _ name: UInt64) {
      self.source = source
      self.name = name
    }

    func save() {
      if saved.isEmpty { saved = [UInt8](repeating: 0, count: DuplicateWindow<1>.encodedBytes) }
      saved.withUnsafeMutableBytes { window.encode(into: $0) }
    }

    func restore() {
      window.removeAll()
      if !saved.isEmpty { saved.withUnsafeBytes { _ = window.decode($0, now: Instant(ms: 0)) } }
    }
  }

  private let hub: Int
  private let ledger: Ledger
  private let plant: Plant
  private var streams: [Stream] = []
  private(set) var spool: [[Spooled]]
  /// By sender and receiver; empty: none.
  var offers: [[[UInt8]]]
  private var nextRow: UInt64 = 1
  /// The defect `windowApart`: the windows follow in a transaction of their own, at this time.
  private(set) var windowsDue = Instant.never
  /// For each destination: taken in, forgotten.
  private(set) var taken: UInt64 = 0
  private(set) var forgotten: UInt64 = 0

  init(boards: Int, hub: Int, ledger: Ledger, plant: Plant) {
    self.hub = hub
    self.ledger = ledger
    self.plant = plant
    spool = [[Spooled]](repeating: [], count: boards)
    offers = [[[UInt8]]](repeating: [[UInt8]](repeating: [], count: boards), count: boards)
  }

  var count: Int { spool.reduce(0) { $0 + $1.count } }

  /// One transaction.
  func commit(_ arrivals: [Arrival], forgetting delivered: [Spooled.Name], now: Instant) {
    for name in delivered { forget(name) }
    for arrival in arrivals { take(arrival.message) }
    if plant == .windowApart {
      if windowsDue == .never { windowsDue = now + 20_000 }
    } else {
      for stream in streams { stream.save() }
    }
  }

  private func take(_ message: Spooled) {
    let stream = stream(message.name.source, message.name.stream)
    let verdict = stream.window.insert(
      source: message.name.stream, sequence: message.name.sequence, now: Instant(ms: 0))
    guard verdict == .new else { return }
    ledger.takenOver(message, hub: hub)
    guard message.name.destination >= 0 else { return ledger.logged(message.text.span.bytes, hub: hub) }
    var kept = message
    kept.row = nextRow
    nextRow += 1
    taken += 1
    spool[message.name.destination].append(kept)
  }

  /// Forgets one message; false when it is not there.
  func forget(_ name: Spooled.Name) {
    guard let i = spool[name.destination].firstIndex(where: { $0.name == name }) else { return }
    spool[name.destination].remove(at: i)
    forgotten += 1
  }

  private func stream(_ source: UInt32, _ name: UInt64) -> Stream {
    for stream in streams where stream.name == name && stream.source == source { return stream }
    let stream = Stream(source, name)
    streams.append(stream)
    return stream
  }

  func keepWindows(now: Instant) {
    guard now >= windowsDue else { return }
    windowsDue = .never
    for stream in streams { stream.save() }
  }

  func crash() { windowsDue = .never }
  func restart() { for stream in streams { stream.restore() } }
}
