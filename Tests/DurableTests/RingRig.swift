import Bounded
import Durable
import TestSupport
import Testing

/// What was promised and what arrived, apart from the ring: senders and a receiver that never crash.
struct Promises {
  struct Key: Hashable { let stream: UInt64, sequence: UInt64 }
  /// Messages taken in, by the number in their body.
  var appended: UInt64 = 0
  /// In the order of appending, with the ring's sequence, until acknowledged.
  var waiting: [(id: UInt64, sequence: UInt64)] = []
  var acknowledged: Set<UInt64> = []
  /// What the receiver has seen, and under which name.
  var seen: [Key: UInt64] = [:]
  var arrived: Set<UInt64> = []
  var newest: [UInt64: UInt64] = [:]
  var redelivered = 0
  var opens: UInt64 = 0

  /// What must never happen happened.
  mutating func receive(_ offer: RingOffer, id: UInt64) -> String? {
    let key = Key(stream: offer.stream, sequence: offer.sequence)
    if let known = seen[key] {
      redelivered += 1
      return known == id ? nil : "sequence \(offer.sequence) names both \(known) and \(id)"
    }
    if let newest = newest[offer.stream], newest > offer.sequence,
      newest - offer.sequence >= DuplicateWindowLimits.reach
    {
      return "message \(id) comes later than the duplicate window reaches"
    }
    seen[key] = id
    newest[offer.stream] = max(newest[offer.stream] ?? 0, offer.sequence)
    return arrived.insert(id).inserted ? nil : "message \(id) arrived twice"
  }
}

/// A ring, its medium, a relay's duplicate window in its checkpoints, and the promises.
final class RingRig {
  let store: FaultyStore
  let parameters: RingParameters
  var ring: DurableRing
  var window = DuplicateWindow<1>(keepMs: .max)
  var promises: Promises
  var now: Instant
  private(set) var problem: String?

  static func tiny() -> RingParameters {
    var parameters = RingParameters()
    parameters.blockBytes = 512
    parameters.slotBytes = 512
    parameters.fileBytes = 3 * 512 + 6 * 512
    parameters.bodyBytes = 700
    parameters.batchBytes = 1_024
    parameters.readBytes = 1_024
    return parameters
  }

  init(
    _ store: FaultyStore, _ parameters: RingParameters = tiny(), promises: Promises = Promises(),
    now: Instant = .init(ms: 1)
  ) {
    self.store = store
    self.parameters = parameters
    self.promises = promises
    self.now = now
    ring = DurableRing(parameters)
    open()
  }

  private func open() {
    let at = now
    promises.opens += 1
    ring.open(
      store, .init(stream: 0x1111, memoryStream: 0x2222 + promises.opens, salt: 0x5A5A_1234), now: now,
      restore: { [self] in _ = window.decode($0, now: at) },
      visit: { [self] _, body in window.insert(source: 1, sequence: RingRig.id(body), now: at) },
      user: { [self] in encode($0) })
  }

  private func encode(_ memory: UnsafeMutableRawBufferPointer) -> Int {
    window.encode(into: memory)
    return DuplicateWindow<1>.encodedBytes
  }

  func fail(_ text: String) { if problem == nil { problem = text } }

  static func body(_ id: UInt64, _ bytes: Int) -> [UInt8] {
    var body = [UInt8](repeating: UInt8(truncatingIfNeeded: id), count: max(8, bytes))
    for i in 0..<8 { body[i] = UInt8(truncatingIfNeeded: id >> UInt64(56 - 8 * i)) }
    return body
  }

  static func id(_ body: RawSpan) -> UInt64 {
    var id: UInt64 = 0
    for i in 0..<8 { id = id << 8 | UInt64(body[i]) }
    return id
  }

  // MARK: Operations

  /// True when the ring took it.
  @discardableResult
  func append(_ bytes: Int) -> Bool {
    let id = promises.appended + 1
    let body = RingRig.body(id, bytes)
    do throws(RingRefusal) {
      let sequence = try ring.append(kind: 1, body.span.bytes, now: now)
      promises.appended = id
      promises.waiting.append((id, sequence))
      window.insert(source: 1, sequence: id, now: now)
      return true
    } catch { return false }
  }

  /// Does what the ring wants written, once. False when it wants nothing.
  @discardableResult
  func write() -> Bool {
    guard let wanted = ring.pollWrite(now: now, user: { [self] in encode($0) }) else { return false }
    var error: Int32 = 0
    var batchStored = false
    if !wanted.batch.isEmpty {
      error = store.write(at: wanted.batchOffset, wanted.batch)
      if error == 0 { error = store.sync() }
      batchStored = error == 0
    }
    if error == 0, !wanted.checkpoint.isEmpty {
      error = store.write(at: wanted.checkpointOffset, wanted.checkpoint)
      if error == 0 { error = store.sync() }
    }
    ring.handleWritten(batchStored: batchStored, error: error, now: now)
    acknowledge()
    return true
  }

  private func acknowledge() {
    while let first = promises.waiting.first, first.sequence <= ring.settledSequence {
      promises.acknowledged.insert(first.id)
      promises.waiting.removeFirst()
    }
  }

  @discardableResult
  func commit() -> Bool {
    now = now + parameters.gatherMs
    return write()
  }

  func checkpoint() {
    now = now + parameters.checkpointMs
    write()
  }

  /// Hands one record out and lets it arrive; its sequence.
  func deliver() -> UInt64? {
    while true {
      if let offer = ring.next() {
        if let problem = promises.receive(offer, id: RingRig.id(ring.body)) { fail(problem) }
        return offer.sequence
      }
      guard let read = ring.pollRead() else { return nil }
      ring.handleRead(error: store.read(at: read.offset, into: read.memory))
    }
  }

  @discardableResult
  func deliverAndConsume() -> Bool {
    guard let sequence = deliver() else { return false }
    if !ring.consume(sequence) { fail("what was handed out cannot be consumed") }
    acknowledge()
    return true
  }

  /// The process ends and starts again; the kernel keeps what it was given.
  func restart() {
    promises.waiting = []
    ring = DurableRing(parameters)
    window.removeAll()
    open()
  }

  func check() { ring.checkInvariants() }
}

extension Array where Element == UInt8 {
  /// The medium after a power cut: does the ring keep its promises? Nil when it does.
  func verify(_ promises: Promises, _ parameters: RingParameters, now: Instant) -> String? {
    let rig = RingRig(FaultyStore(disk: self), parameters, promises: promises, now: now)
    rig.check()
    if rig.ring.health != .stored { return "the ring does not open: \(rig.ring.health)" }
    var handedOut = Set<UInt64>()
    while let sequence = rig.deliver() {
      if !handedOut.insert(sequence).inserted { return "sequence \(sequence) is handed out twice" }
      if !rig.ring.consume(sequence) { return "sequence \(sequence) cannot be consumed" }
    }
    rig.check()
    if let problem = rig.problem { return problem }
    for id in promises.acknowledged where !rig.promises.arrived.contains(id) { return "message \(id) is lost" }
    if promises.appended > 0 {
      for id in 1...promises.appended {
        let isKnown = rig.window.novelty(source: 1, sequence: id, now: now) != .new
        if promises.acknowledged.contains(id), !isKnown { return "a second \(id) would be taken in" }
        if !rig.promises.arrived.contains(id), isKnown { return "\(id), sent again, would be dropped" }
      }
    }
    if !rig.ring.isEmpty { return "the ring is not empty after all was consumed" }
    return nil
  }
}
