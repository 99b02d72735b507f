import Bounded
import Compute
import SkyCrypto
import Wire

/// Actions that wait to be taken, at most one of each kind, in the order in which they are handed out: what
/// must be remembered first, the old link before the new one, the end last.
struct Wanted: OptionSet, Sendable {
  let rawValue: UInt8

  static let persist = Wanted(rawValue: 1)
  static let disconnect = Wanted(rawValue: 2)
  static let connect = Wanted(rawValue: 4)
  static let probe = Wanted(rawValue: 8)
  static let sampleVitals = Wanted(rawValue: 16)
  static let stop = Wanted(rawValue: 32)
  static let keepKnown = Wanted(rawValue: 64)

  mutating func popFirst() -> Wanted? {
    guard !isEmpty else { return nil }
    let first = Wanted(rawValue: rawValue & (~rawValue &+ 1))
    remove(first)
    return first
  }
}

extension Node {
  /// Traps when the node is not in one of the states it may be in between two calls. For tests.
  public func checkInvariants() {
    let isLinked = state == .joining || state == .online
    precondition(session.isEstablished == isLinked, "keys stand exactly while the hub counts on the node")
    precondition(hubIndex == 0 || hubIndex < hubs.count, "the hub in use is one of the list")
    precondition(!hasLink || !hubs.isEmpty, "a link leads to a hub")
    precondition((linkedSince != nil) == (state == .online), "the age of a link is known while there is one")
    precondition(!isLinked || nodeId != 0 || state == .joining, "who is online has an id")
    checkTimers()
    precondition(!wanted.contains(.connect) || state == .connecting, "only who connects wants a connection")
    precondition(!wanted.contains(.stop) || state == .stopped, "only who is stopped wants to stop")
    precondition(!wanted.contains(.sampleVitals) || state == .online, "only a heartbeat needs readings")
    precondition(activeDuties.isSubset(of: settings.duties), "no duty is done against the owner's will")
    precondition(!policy.held.contains(.heartbeat), "a heartbeat is never held back")
    precondition(jobs.isConsistent, "one job runs, a few wait, and none waits for nothing")
    relay.checkInvariants()
    seals.checkInvariants()
    inbox.checkInvariants()
    outbox.checkInvariants()
  }

  private func checkTimers() {
    precondition(timers[.retry] == .never || state == .offline)
    let isMakingLink = state == .connecting || state == .securing || state == .joining
    precondition((timers[.handshake] != .never) == isMakingLink, "a link that is being made has its end")
    precondition(timers[.heartbeat] == .never || state == .online)
    precondition((timers[.silence] != .never) == (state == .online), "every link is watched for silence")
    precondition(timers[.rekey] == .never || state == .online)
    precondition(timers[.failback] == .never || state == .online && (hubIndex > 0 || isCutOff))
    precondition((timers[.drain] != .never) == (state == .draining), "draining has its end")
    precondition(timers[.resume] == .never || state == .online)
    precondition(timers[.resumeUrgent] == .never || state == .online)
    precondition(timers[.resend] == .never || state == .online)
    precondition(timers[.receipt] == (state == .stopped ? .never : outbox.nextDeadline))
    if state == .offline, !hubs.isEmpty { precondition(timers[.retry] != .never, "who is offline tries again") }
  }
}
