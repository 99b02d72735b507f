import Bounded
import SkyCrypto
import Wire

/// The jobs of a node: one is worked on, a few wait, and what came of the last ones is kept to be told again. A state
/// machine without IO; its memory is made once.
///
/// Arithmetic is done here, a step at a time (`work`, `step`); texts are for whoever talks to the model's worker
/// (`model`, `modelEnded` and its relatives). The same job is done once: an id that is here is answered from here, and one
/// that has lost its place is refused.
///
/// Order of calls: `use` before anything of a hub; `take` for a job whose signature was good; `tick` at `deadline`.
///
/// Invariant: at most one place is running; `active` is at most `Limits.jobQueue`.
public final class JobDesk {
  public enum State: UInt8, Sendable {
    case empty, waiting, running, done
  }

  public enum Work: Equatable, Sendable {
    case nothing, arithmetic, model
  }

  /// What the hub is to hear of one job.
  public enum Report: Equatable, Sendable {
    case progress(JobProgress)
    case result(JobResult, place: Int)
  }

  private final class Place {
    var state = State.empty
    var id: UInt64 = 0
    var digest = Bytes32(repeating: 0)
    var kind = JobKind.score
    var argument: UInt64 = 0
    var takenAt = Instant(ms: 0)
    var deadline = Instant.never
    /// The order in which they came.
    var number: UInt64 = 0
    /// Of the input; once it is done, of what came of it.
    var byteCount = 0
    var failure: ErrorCode?
    var operations: UInt64 = 0
    var elapsedMs: UInt32 = 0
    /// What the hub does not know yet: that it was taken, or what came of it.
    var isTold = false
    var isKnown = false
    var toldAt = Instant(ms: 0)
  }

  public struct Counters: Equatable, Sendable {
    public var done: UInt64 = 0
    public var failed: UInt64 = 0
    /// Not taken.
    public var refused: UInt64 = 0
    /// Millionths of a compute unit, of jobs that were done.
    public var operations: UInt64 = 0
  }

  private var places: InlineArray<4, Place>
  private var hub = Bytes32(repeating: 0)
  private var gone = Ring<UInt64, 64>()
  /// The largest id that is not even remembered as gone.
  private var floor: UInt64 = 0
  private var number: UInt64 = 0
  private var arithmetic = Arithmetic(.score, seed: 0)
  /// One piece for all places and the work, so that an idle node has touched but the page of its head.
  private let memory: UnsafeMutableRawPointer
  private var textBytes = 0
  private var tokens = 0
  private var retryAt = Instant(ms: 0)
  public private(set) var counters = Counters()
  /// Changes whenever another job runs, or none: who works on one looks whether it is still wanted.
  public private(set) var epoch: UInt32 = 0

  public init() {
    places = InlineArray { _ in Place() }
    memory = .allocate(byteCount: (Limits.jobPlaces + 1) * Limits.jobBytes, alignment: 16)
  }

  deinit { memory.deallocate() }

  private func memory(of place: Int) -> UnsafeMutableRawPointer { memory + place * Limits.jobBytes }
  private var work: UnsafeMutableRawPointer { memory + Limits.jobPlaces * Limits.jobBytes }
  private var numbers: UnsafeMutablePointer<Float> { work.assumingMemoryBound(to: Float.self) }

  // MARK: Jobs

  /// The hub whose jobs these are. Another one's are forgotten: ids are each hub's own.
  public func use(hub key: Bytes32) {
    guard !equal(hub, key) else { return }
    hub = key
    for i in 0..<Limits.jobPlaces { places[i].state = .empty }
    while gone.popFirst() != nil {}
    floor = 0
    epoch &+= 1
  }

  public func isHub(_ key: Bytes32) -> Bool { equal(hub, key) }

  /// Waiting or running.
  public var active: Int {
    var count = 0
    for i in 0..<Limits.jobPlaces where places[i].state == .waiting || places[i].state == .running { count += 1 }
    return count
  }

  private func index(of id: UInt64) -> Int? {
    for i in 0..<Limits.jobPlaces where places[i].state != .empty && places[i].id == id { return i }
    return nil
  }

  private var running: Int? {
    for i in 0..<Limits.jobPlaces where places[i].state == .running { return i }
    return nil
  }

  /// Takes a job, or has what is known of it told again. Throws what it is refused with.
  public func take(_ order: JobOrder, digest: Bytes32, input: RawSpan, now: Instant) throws(ErrorCode) {
    if let known = index(of: order.id) {
      guard equal(places[known].digest, digest) else { throw refused(.replayed) }
      places[known].isTold = false
      return
    }
    guard !isGone(order.id) else { throw refused(.replayed) }
    guard let kind = JobKind(rawValue: order.kind), order.budgetMs > 0, order.budgetMs <= Limits.jobBudgetMs,
      order.budgetBytes <= Limits.jobBudgetBytes, Arithmetic.takes(kind, byteCount: input.byteCount),
      kind == .compress || order.argument <= (kind == .infer ? UInt64(Limits.jobTokens) : 0)
    else { throw refused(.badArgument) }
    guard !kind.needsModel || Self.isText(input) else { throw refused(.badArgument) }
    guard kind.memoryBytes <= Int(order.budgetBytes) else { throw refused(.overBudget) }
    guard active < Limits.jobQueue, let free = freePlace() else { throw refused(.busy) }
    let place = places[free]
    if place.state == .done { forget(place.id) }
    number += 1
    place.state = .waiting
    place.id = order.id
    place.digest = digest
    place.kind = kind
    place.argument = order.argument
    place.takenAt = now
    place.deadline = now + UInt64(order.budgetMs)
    place.number = number
    place.byteCount = Self.copy(input, to: memory(of: free))
    (place.failure, place.operations, place.elapsedMs) = (nil, 0, 0)
    (place.isTold, place.isKnown) = (false, false)
    place.toldAt = now
    start()
  }

  private static func copy(_ bytes: RawSpan, to memory: UnsafeMutableRawPointer) -> Int {
    bytes.withUnsafeBytes { if let from = $0.baseAddress { memory.copyMemory(from: from, byteCount: $0.count) } }
    return bytes.byteCount
  }

  /// The bytes of a place for the length of a call.
  private func withBytes<R>(of place: Int, _ body: (RawSpan) -> R) -> R {
    body(RawSpan(_unsafeStart: memory(of: place), byteCount: places[place].byteCount))
  }

  private func refused(_ code: ErrorCode) -> ErrorCode {
    counters.refused += 1
    return code
  }

  /// Whole UTF-8 without control characters but tab and line feed: what a line to the worker can carry.
  private static func isText(_ input: RawSpan) -> Bool {
    var i = 0
    while i < input.byteCount {
      let length = utf8SequenceLength(input, at: i)
      guard length > 0, input[i] >= 0x20 || input[i] == 0x09 || input[i] == 0x0A, input[i] != 0x7F else { return false }
      i += length
    }
    return true
  }

  /// An empty place, else the oldest of those whose end the hub has been told.
  private func freePlace() -> Int? {
    var found: Int?
    for i in 0..<Limits.jobPlaces {
      if places[i].state == .empty { return i }
      guard places[i].state == .done, places[i].isTold else { continue }
      if let best = found, places[best].number < places[i].number { continue }
      found = i
    }
    return found
  }

  private func forget(_ id: UInt64) {
    if gone.isFull, let oldest = gone.popFirst() { floor = max(floor, oldest) }
    gone.append(id)
  }

  private func isGone(_ id: UInt64) -> Bool {
    if id <= floor { return true }
    for i in 0..<gone.count where gone[i] == id { return true }
    return false
  }

  /// Ends a job. False when it is not here; one that has ended is told again.
  public func cancel(_ id: UInt64, now: Instant) -> Bool {
    guard let index = index(of: id) else { return false }
    if places[index].state == .done { places[index].isTold = false } else { end(index, .cancelled, now: now) }
    return true
  }

  /// Ends all that have not ended: the board is not to compute now.
  public func endAll(_ code: ErrorCode, now: Instant) {
    for i in 0..<Limits.jobPlaces where places[i].state == .waiting { end(i, code, now: now) }
    if let running { end(running, code, now: now) }
  }

  /// What is next to run runs, when nothing does.
  private func start() {
    guard running == nil else { return }
    var next: Int?
    for i in 0..<Limits.jobPlaces where places[i].state == .waiting {
      if let best = next, places[best].number < places[i].number { continue }
      next = i
    }
    guard let next else { return }
    let place = places[next]
    place.state = .running
    epoch &+= 1
    arithmetic = Arithmetic(place.kind, seed: place.argument)
    (textBytes, tokens) = (0, 0)
    retryAt = Instant(ms: 0)
  }

  private func end(_ index: Int, _ failure: ErrorCode?, now: Instant) {
    let place = places[index]
    let wasRunning = place.state == .running
    place.state = .done
    place.failure = failure
    place.isTold = false
    place.elapsedMs = UInt32(clamping: now.since(place.takenAt))
    if failure == nil {
      counters.done += 1
      counters.operations &+= place.operations
    } else {
      counters.failed += 1
      place.byteCount = 0
    }
    if wasRunning {
      epoch &+= 1
      start()
    }
  }

  // MARK: Time

  /// When `tick` has something to do.
  public var deadline: Instant {
    var due = Instant.never
    for i in 0..<Limits.jobPlaces where places[i].state == .waiting || places[i].state == .running {
      due = min(due, places[i].deadline)
    }
    return due
  }

  /// Ends what has not been done in time.
  public func tick(now: Instant) {
    for i in 0..<Limits.jobPlaces where places[i].state == .waiting || places[i].state == .running {
      if now >= places[i].deadline { end(i, .timeout, now: now) }
    }
  }

  // MARK: Work

  public var next: Work {
    guard let running else { return .nothing }
    return places[running].kind.needsModel ? .model : .arithmetic
  }

  /// One slice of the arithmetic: steps until so many multiply-adds are done.
  public func slice(now: Instant) {
    guard let running, !places[running].kind.needsModel else { return }
    let place = places[running]
    let end = arithmetic.operations + UInt64(Limits.jobSliceOperations)
    while arithmetic.operations < end {
      let numbers = numbers
      switch withBytes(of: running, { arithmetic.step($0, numbers) }) {
      case .more: continue
      case .failed(let code): return self.end(running, code, now: now)
      case .done:
        place.byteCount = arithmetic.write(numbers, numbers: place.byteCount / 4, to: memory(of: running))
        place.operations = arithmetic.operations
        return self.end(running, nil, now: now)
      }
    }
  }

  // MARK: The model's worker

  /// When the job that is for the model may be put to it; nil when there is none.
  public var modelDue: Instant? { next == .model ? retryAt : nil }

  /// The job that is for the model: its kind, the most tokens, its text. Nil when there is none.
  public func withModelJob<R>(_ body: (JobKind, Int, RawSpan) -> R) -> R? {
    guard let running, next == .model else { return nil }
    let place = places[running]
    let most = place.argument > 0 ? Int(place.argument) : Limits.modelTokens
    return withBytes(of: running) { body(place.kind, most, $0) }
  }

  /// A piece of an answer; what does not fit is left out.
  public func take(piece: RawSpan) {
    guard next == .model, textBytes + piece.byteCount <= Limits.jobBytes else { return }
    textBytes += Self.copy(piece, to: work + textBytes)
    tokens += 1
  }

  /// The worker's `vector=`: numbers with decimals, separated by commas. False when it is none, or too long.
  public func take(vector line: RawSpan) -> Bool {
    guard next == .model else { return false }
    var (at, count) = (0, 0)
    while at < line.byteCount {
      var end = at
      while end < line.byteCount, line[end] != UInt8(ascii: ",") { end += 1 }
      guard count < Limits.jobBytes / 4, let value = Self.decimal(line.extracting(at..<end)) else { return false }
      (work + 4 * count).storeBytes(of: value.bitPattern.bigEndian, as: UInt32.self)
      count += 1
      at = end + 1
    }
    textBytes = 4 * count
    return count > 0
  }

  /// At most 15 digits, so that a double holds them.
  private static func decimal(_ text: RawSpan) -> Float? {
    var (value, scale, digits) = (0.0, 1.0, 0)
    var isBehind = false
    var i = 0
    let isNegative = text.byteCount > 0 && text[0] == UInt8(ascii: "-")
    if isNegative { i = 1 }
    while i < text.byteCount {
      if text[i] == UInt8(ascii: "."), !isBehind {
        isBehind = true
      } else {
        guard text[i] >= 48, text[i] < 58, digits < 15 else { return nil }
        value = value * 10 + Double(text[i] - 48)
        if isBehind { scale *= 10 }
        digits += 1
      }
      i += 1
    }
    guard digits > 0 else { return nil }
    return Float((isNegative ? -value : value) / scale)
  }

  /// It has ended well; `tokens` are those of the text and of the answer, as the worker counts.
  public func modelEnded(tokens: UInt64, now: Instant) {
    guard let running, next == .model else { return }
    guard textBytes > 0 else { return end(running, .noAnswer, now: now) }
    let place = places[running]
    place.byteCount = Self.copy(RawSpan(_unsafeStart: work, byteCount: textBytes), to: memory(of: running))
    place.operations = tokens * 1_000_000
    end(running, nil, now: now)
  }

  public func modelFailed(_ code: ErrorCode, now: Instant) {
    guard let running, next == .model else { return }
    guard code != .busy else { return modelPutBack(until: now + Limits.jobModelRetryMs) }
    end(running, code, now: now)
  }

  /// Somebody else needs the worker: this begins anew, later.
  public func modelPutBack(until: Instant) {
    guard next == .model else { return }
    (textBytes, tokens) = (0, 0)
    retryAt = until
  }

  // MARK: Telling

  private func permille(_ place: Place) -> UInt16 {
    guard place.state == .running else { return 0 }
    if place.kind.needsModel {
      let most = place.argument > 0 ? Int(place.argument) : Limits.modelTokens
      return place.kind == .infer ? UInt16(min(999, 1_000 * tokens / most)) : 0
    }
    let all = Arithmetic.operations(place.kind, byteCount: place.byteCount)
    return UInt16(min(999, 1_000 * arithmetic.operations / max(1, all)))
  }

  /// When the hub is to be told something; at once while an end or an answer is owed.
  public var reportDue: Instant {
    var due = Instant.never
    for i in 0..<Limits.jobPlaces where places[i].state != .empty {
      let place = places[i]
      if !place.isTold { return Instant(ms: 0) }
      if place.state != .done { due = min(due, place.toldAt + Limits.jobProgressMs) }
    }
    return due
  }

  /// The next thing to tell; `told` once it has gone out.
  public func report(now: Instant) -> Report? {
    for i in 0..<Limits.jobPlaces where places[i].state != .empty {
      let place = places[i]
      if place.state == .done {
        guard !place.isTold else { continue }
        return .result(
          JobResult(
            id: place.id, failure: place.failure, operations: place.operations, elapsedMs: place.elapsedMs), place: i)
      }
      guard !place.isTold || now >= place.toldAt + Limits.jobProgressMs else { continue }
      let phase: JobProgress.Phase = place.isKnown ? (place.state == .running ? .running : .waiting) : .taken
      return .progress(JobProgress(id: place.id, phase: phase, permille: permille(place)))
    }
    return nil
  }

  public func told(_ report: Report, now: Instant) {
    switch report {
    case .progress(let progress):
      guard let index = index(of: progress.id) else { return }
      places[index].isKnown = true
      places[index].isTold = true
      places[index].toldAt = now
    case .result(_, let index): places[index].isTold = true
    }
  }

  /// What came of a job that has ended, behind its head.
  public func append(result place: Int, to queue: inout ByteQueue) {
    queue.append(RawSpan(_unsafeStart: memory(of: place), byteCount: places[place].byteCount))
  }

  /// For tests and the simulator.
  public var isConsistent: Bool {
    var running = 0
    for i in 0..<Limits.jobPlaces {
      if places[i].state == .running { running += 1 }
      if places[i].state == .waiting, self.running == nil { return false }
    }
    return running <= 1 && active <= Limits.jobQueue
  }
}
