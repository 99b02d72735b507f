import Bounded
import Durable

/// A production ring over a simulated medium: the part of `RingFile` and its thread. What the ring asks for takes its
/// time, and a crash finds it at any of its stages.
final class Drive {
  let ring: DurableRing
  let medium: Medium
  private var write: RingWrite?
  private var writeDue = Instant.never
  private var read: RingRead?
  private var readDue = Instant.never
  /// The longest that one operation takes.
  var slowestMs: UInt64
  /// The defect `checkpointFirst`.
  private let checkpointFirst: Bool
  /// When the two newest checkpoints were on the medium.
  private(set) var checkpointAt: (older: UInt64, newer: UInt64) = (0, 0)
  /// One of head and checkpoints was spoilt at this time; a second before both checkpoints are new is more than is
  /// promised to be survived.
  private var spoiltAt: UInt64?

  init(_ parameters: RingParameters, _ medium: Medium, slowestMs: UInt64, plant: Plant) {
    ring = DurableRing(parameters)
    self.medium = medium
    self.slowestMs = slowestMs
    checkpointFirst = plant == .checkpointFirst
  }

  /// Carries out what is due and hands on what the ring asks for. True when anything was carried out.
  func pump(now: Instant, user: DurableRing.UserWriter) -> Bool {
    let isDone = writeDue <= now || readDue <= now
    if writeDue <= now { finishWrite(now: now) }
    if readDue <= now { finishRead() }
    if write == nil, let next = ring.pollWrite(now: now, user: user) {
      write = next
      writeDue = now + medium.dice.below(slowestMs + 1)
    }
    if read == nil, let next = ring.pollRead() {
      read = next
      readDue = now + medium.dice.below(slowestMs / 8 + 1)
    }
    return isDone
  }

  /// When `pump` has something to do.
  func deadline(now: Instant) -> Instant { min(min(writeDue, readDue), ring.deadline(now: now)) }

  private func finishWrite(now: Instant) {
    guard let work = write else { return }
    write = nil
    writeDue = .never
    var synced = 0
    let error = carryOut(work, stages: 4, &synced)
    let hasCheckpoint = !work.checkpoint.isEmpty
    ring.handleWritten(batchStored: synced > 0 && !work.batch.isEmpty, error: error, now: now)
    if error == 0, hasCheckpoint { checkpointAt = (checkpointAt.newer, now.ms) }
  }

  private func finishRead() {
    guard let work = read else { return }
    read = nil
    readDue = .never
    ring.handleRead(error: medium.read(at: work.offset, into: work.memory))
  }

  /// Batch and checkpoint, each written and then synced, as far as `stages` of the four.
  private func carryOut(_ work: RingWrite, stages: Int, _ synced: inout Int) -> Int32 {
    var left = stages
    let pieces = [(work.batchOffset, work.batch), (work.checkpointOffset, work.checkpoint)]
    for piece in checkpointFirst ? pieces.reversed() : pieces where !piece.1.isEmpty {
      guard left > 0 else { return 0 }
      var error = medium.write(at: piece.0, piece.1)
      left -= 1
      if error != 0 { return error }
      guard left > 0 else { return 0 }
      error = medium.sync()
      left -= 1
      if error != 0 { return error }
      synced += 1
    }
    return 0
  }

  /// The process or the power went: what was under way got as far as it got.
  func abandon() {
    if let work = write {
      var ignored = 0
      _ = carryOut(work, stages: medium.dice.below(5), &ignored)
    }
    write = nil
    read = nil
    writeDue = .never
    readDue = .never
  }

  /// The checkpoints of an earlier life of the same file, and the one that opening has written.
  func opened(after before: Drive?, now: Instant) {
    checkpointAt = (before?.checkpointAt.newer ?? 0, now.ms)
    spoiltAt = before?.spoiltAt
  }

  var canLoseCheckpoint: Bool {
    guard let spoiltAt else { return true }
    return spoiltAt < checkpointAt.older
  }
  func loseCheckpoint() { spoiltAt = max(checkpointAt.newer, spoiltAt ?? 0) }

  func describe(_ now: Instant) -> String {
    var health = "stored"
    switch ring.health {
    case .stored: break
    case .degraded(let error): health = "degraded \(error)"
    case .memory(let error): health = "memory \(error)"
    }
    return
      "\(health), \(ring.recordCount) records, \(ring.onTheWayCount) on the way, next \(ring.nextSequence), settled "
      + "\(ring.settledSequence), deadline \(ring.deadline(now: now).ms), medium's \(min(writeDue, readDue).ms)"
  }

  var bytesWritten: UInt64 { ring.counters.bytesWritten }

  /// A write is under way; with `both`, one of a batch and a checkpoint.
  func isWriting(both: Bool) -> Bool {
    guard let write else { return false }
    return !both || !write.batch.isEmpty && !write.checkpoint.isEmpty
  }
}
