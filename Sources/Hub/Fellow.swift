import Bounded
import Foundation
import Node
import Wire

/// Another hub that keeps what this one keeps, as this one sees it: the link to it, how much of this hub's logs it has, and
/// whether it may have what this hub lacks.
///
/// Not the logs: those are the registry's. Invariant: `acknowledged` is never beyond `sent`, and `isInStep` only with a link.
final class Fellow {
  let entry: HubEntry
  var id: UInt32 { entry.id }
  var name: String { NodeName.text(id) }

  /// Nil without a link.
  var link: LinkId?
  /// It has named its registry: what it shares can be taken.
  private(set) var isNamed = false
  /// It has said what it has of this hub's: the rest can be shared.
  private(set) var isGreeted = false
  /// The name of its registry; 0 before it was linked for the first time.
  private(set) var registry: UInt64 = 0
  /// When the present state began, by the wall clock, seconds.
  var sinceSeconds: Int64 = 0
  /// Why there is no link.
  var failure: ErrorCode?

  // MARK: What it has of this hub

  var sent = LogMarks()
  var acknowledged = LogMarks()
  /// Marks behind each frame that it has not acknowledged.
  var onTheWay: [LogMarks] = []
  /// It counts as caught up with these, the ends of the logs at that time.
  private var target = LogMarks()
  private var targetAt = Instant(ms: 0)
  private(set) var isInStep = false
  /// When this hub committed what the fellow has not acknowledged yet.
  private var lag: [(marks: LogMarks, at: Instant)] = []
  /// It has nothing of this registry: duplicate windows go to it when the messages are there. The row of the last that went.
  var windowRow: Int64?
  /// There was no room to tell it that it is in step, or is not any more.
  var owesStep = false
  /// Nodes that have come or gone and of which it was not told.
  var untold: Set<UInt32> = []
  var beatDue = Instant.never

  // MARK: What this hub has of it

  /// What is committed here of its logs.
  var taken = LogMarks()
  /// It still sends what was missed, or it may have older messages than this hub: nothing durable is delivered until then.
  private(set) var heldUntil: Instant
  private(set) var isSendingMissed = true
  /// However long that takes, no longer than until then.
  private var holdEnds: Instant

  // MARK: Dialling

  /// Nil when the other side dials.
  var dialAt: Instant?
  private var retryMs = Limits.fellowRetryFirstMs

  init(_ entry: HubEntry, isDialled: Bool, now: Instant) {
    self.entry = entry
    dialAt = isDialled ? now : nil
    heldUntil = now + Limits.fellowHoldMs
    holdEnds = now + Limits.fellowHoldMostMs
  }

  /// The link is up and both sides are who they say.
  func linked(_ link: LinkId, at seconds: Int64, now: Instant) {
    self.link = link
    failure = nil
    sinceSeconds = seconds
    mayHaveOlder(now: now)
    retryMs = Limits.fellowRetryFirstMs
  }

  func named(_ registry: UInt64, marks: LogMarks) {
    self.registry = registry
    isNamed = true
    taken = marks
  }

  /// It has these marks of this hub's logs, which reach to `newest`.
  func greeted(marks: LogMarks, newest: LogMarks, now: Instant) {
    isGreeted = true
    sent = marks
    acknowledged = marks
    windowRow = marks.messages == 0 ? 0 : nil
    fellBehind(newest: newest, now: now)
  }

  /// A frame of its logs is committed here.
  func took(_ head: ShareHead, now: Instant) {
    switch head.log {
    case .registry: taken.registry = max(taken.registry, head.upTo)
    case .messages: taken.messages = max(taken.messages, head.upTo)
    }
    if head.isInStep {
      isSendingMissed = false
    } else if isSendingMissed {
      heldUntil = min(now + Limits.fellowHoldMs, holdEnds)
    } else {
      mayHaveOlder(now: now)
    }
  }

  private func mayHaveOlder(now: Instant) {
    isSendingMissed = true
    heldUntil = now + Limits.fellowHoldMs
    holdEnds = now + Limits.fellowHoldMostMs
  }

  func lost(_ failure: ErrorCode?, at seconds: Int64, now: Instant) {
    link = nil
    isNamed = false
    isGreeted = false
    isInStep = false
    untold.removeAll()
    owesStep = false
    onTheWay.removeAll()
    lag.removeAll()
    if self.failure == nil { self.failure = failure ?? .linkClosed }
    sinceSeconds = seconds
    beatDue = .never
    mayHaveOlder(now: now)
    retry(now: now)
  }

  /// The next try, if this side dials: soon at first, then more slowly.
  func retry(now: Instant) {
    guard dialAt != nil else { return }
    dialAt = now + retryMs
    retryMs = min(2 * retryMs, Limits.fellowRetryCapMs)
  }

  // MARK: Step

  /// The logs have grown.
  func noteCommit(_ newest: LogMarks, now: Instant) {
    guard isInStep, newest != (lag.last?.marks ?? acknowledged) else { return }
    // A fellow that does not answer is out of step long before; a clock that stands still must not fill this.
    if lag.count >= 4_096 { lag.removeLast() }
    lag.append((newest, now))
  }

  /// It has committed up to these marks. False when they cannot be.
  func committed(_ marks: LogMarks) -> Bool {
    guard marks.registry <= sent.registry, marks.messages <= sent.messages, marks.covers(acknowledged) else {
      return false
    }
    acknowledged = marks
    onTheWay.removeFirst(onTheWay.firstIndex { !marks.covers($0) } ?? onTheWay.count)
    if let open = lag.firstIndex(where: { !marks.covers($0.marks) }) {
      lag.removeFirst(open)
    } else {
      lag.removeAll(keepingCapacity: true)
    }
    return true
  }

  /// True when it is in step from now on: it has all, or had all of a moment ago.
  func catchesUp(newest: LogMarks, now: Instant) -> Bool {
    guard isGreeted, !isInStep, acknowledged.covers(target), windowRow == nil else { return false }
    guard acknowledged.covers(newest) || now.since(targetAt) < Limits.fellowLagMs else {
      fellBehind(newest: newest, now: now)
      return false
    }
    isInStep = true
    noteCommit(newest, now: now)
    return true
  }

  /// When it falls out of step if it goes on saying nothing.
  var patienceEnds: Instant {
    guard isInStep, let first = lag.first else { return .never }
    return first.at + Limits.fellowPatienceMs
  }

  func fellBehind(newest: LogMarks, now: Instant) {
    isInStep = false
    target = newest
    targetAt = now
    lag.removeAll(keepingCapacity: true)
  }
}

extension LogMarks {
  /// Nothing of the other lies beyond these.
  func covers(_ other: LogMarks) -> Bool { registry >= other.registry && messages >= other.messages }
}

/// A fellow as `skyhub status` shows it.
public struct FellowStatus: Codable, Equatable, Sendable {
  public var id: UInt32
  public var place: String
  public var linked: Bool
  /// What this hub acknowledges to nodes, the fellow has.
  public var inStep: Bool
  /// Messages, or ends of messages, that it does not have yet.
  public var missing: Int
  /// It may have messages that this hub lacks, and those for its nodes wait for them.
  public var catchingUp: Bool
  /// Since when it is linked, or not; seconds since 1970.
  public var since: Int64
  /// Token of the error that ended or prevented the link.
  public var reason: String?
}
