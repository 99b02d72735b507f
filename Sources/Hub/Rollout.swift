import Bounded
import Foundation
import SkyCrypto
import Update
import Wire

/// One release on its way to the nodes of one board, in steps: a share of them gets it, and only when enough of those have
/// confirmed it and stayed on their links, a larger share.
///
/// Pure: the time and what is known of the nodes are arguments. It takes no decision back: whose turn came keeps it.
/// Invariant: a node is a member once; `step` is a place in `percents`; only `running` makes anybody due.
public struct Rollout: Codable, Equatable, Sendable {
  public enum State: String, Codable, Sendable {
    case running, paused, aborted, done
  }

  /// What its owner chose.
  public struct Gate: Codable, Equatable, Sendable {
    /// The share of the members that must have confirmed, in percent.
    public var share = 90
    /// For how long each of them must have been on its link, seconds.
    public var settleSeconds: Int64 = 600
    /// Members that may fail before the roll-out pauses by itself.
    public var failures = 0
    /// How long a step may last before it pauses by itself, seconds.
    public var patienceSeconds: Int64 = 86_400

    public init() {}
  }

  /// What is known of a node of this board.
  public struct Candidate: Equatable, Sendable {
    public var id: UInt32
    public var report: SystemReport
    /// How long it has been on its link, seconds; nil when it is not.
    public var linkedSeconds: Int64?

    public init(id: UInt32, report: SystemReport, linkedSeconds: Int64?) {
      self.id = id
      self.report = report
      self.linkedSeconds = linkedSeconds
    }
  }

  public enum Progress: String, Codable, Sendable {
    /// Has not confirmed it, for whatever reason.
    case waiting
    /// Confirmed, but not on its link for long enough.
    case settling
    case healthy
    /// Went back, or refused it.
    case failed
  }

  public struct Member: Codable, Equatable, Sendable {
    public let id: UInt32
    public let step: Int
    public internal(set) var progress = Progress.waiting
    /// Failed before somebody said to go on: counted no more.
    public internal(set) var isForgiven = false
    /// The failure's token, "fell_back" when the system did not prove itself.
    public internal(set) var reason = ""
  }

  public let board: String
  public let release: UInt64
  public let digest: Data
  public let percents: [Int]
  public internal(set) var gate: Gate
  public internal(set) var state = State.running
  /// Why it stands: for people.
  public internal(set) var reason = ""
  public internal(set) var step = 0
  /// Seconds since 1970.
  public let startedAt: Int64
  public internal(set) var stepSince: Int64
  public internal(set) var members: [Member] = []

  public init(board: String, release: UInt64, digest: Data, percents: [Int], gate: Gate, at now: Int64) {
    precondition(!percents.isEmpty && percents == percents.sorted() && percents.last == 100 && percents[0] > 0)
    self.board = board
    self.release = release
    self.digest = digest
    self.percents = percents
    self.gate = gate
    startedAt = now
    stepSince = now
  }

  /// Whether this node is to have it now.
  public func isDue(_ id: UInt32) -> Bool {
    state == .running && members.contains { $0.id == id && !$0.isForgiven }
  }

  // MARK: By hand

  public mutating func pause(_ why: String) {
    guard state == .running else { return }
    state = .paused
    reason = why
  }

  /// Goes on; what has failed so far is known and counted no more.
  public mutating func resume(at now: Int64) {
    guard state == .paused else { return }
    state = .running
    reason = ""
    stepSince = now
    for i in members.indices where members[i].progress == .failed { members[i].isForgiven = true }
  }

  public mutating func abort(_ why: String) {
    guard state == .running || state == .paused else { return }
    state = .aborted
    reason = why
  }

  // MARK: By the time

  /// Looks at the nodes and moves on as far as the gate allows. Candidates that take no updates by themselves are none;
  /// a member that is no candidate any more keeps its place, and what it does holds nobody up.
  public mutating func advance(_ candidates: [Candidate], at now: Int64) {
    let nodes = candidates.filter { $0.report.policy == .auto && "\($0.report.standing.board.string)" == board }
    observe(nodes)
    guard state == .running else { return }
    let counted = membersThatCount(among: nodes)
    let failed = counted.filter { $0.progress == .failed }
    if failed.count > gate.failures {
      let names = failed.prefix(3).map { "\(NodeName.text($0.id)): \($0.reason)" }.joined(separator: ", ")
      return pause("\(failed.count) of \(counted.count) nodes failed (\(names))")
    }
    // A step may open the next at once, when it holds nobody that has not passed.
    while true {
      fill(nodes)
      guard hasPassed(nodes) else { break }
      guard step + 1 < percents.count else {
        state = .done
        reason = ""
        return
      }
      step += 1
      stepSince = now
    }
    if now - stepSince >= gate.patienceSeconds {
      let counted = membersThatCount(among: nodes)
      let healthy = counted.filter { $0.progress == .healthy }.count
      pause("\(healthy) of \(counted.count) nodes were well after \(gate.patienceSeconds) s")
    }
  }

  private mutating func observe(_ nodes: [Candidate]) {
    let known = Dictionary(uniqueKeysWithValues: nodes.map { ($0.id, $0) })
    for i in members.indices {
      guard let node = known[members[i].id] else { continue }
      (members[i].progress, members[i].reason) = progress(of: node)
    }
  }

  private func progress(of node: Candidate) -> (Progress, String) {
    let standing = node.report.standing
    if standing.release >= release {
      guard !standing.isOnTrial, let linked = node.linkedSeconds, linked >= gate.settleSeconds else {
        return (standing.isOnTrial ? .waiting : .settling, "")
      }
      return (.healthy, "")
    }
    if standing.content == .failed, standing.other.release == release { return (.failed, "fell_back") }
    if standing.content == .previous, standing.other.release == release { return (.failed, "went_back") }
    if node.report.failure != 0, node.report.failedRelease == release {
      let error = UpdateError(rawValue: node.report.failure)
      return (.failed, error.map { "\($0.token)" } ?? "error \(node.report.failure)")
    }
    return (.waiting, "")
  }

  /// Makes as many nodes members as the step allows, in an order that is another one for each release.
  private mutating func fill(_ nodes: [Candidate]) {
    let known = Set(members.map(\.id))
    let next = nodes.filter { !known.contains($0.id) }
      .sorted { (rank($0.id), $0.id) < (rank($1.id), $1.id) }
      .prefix(missing(nodes))
    for node in next {
      var member = Member(id: node.id, step: step)
      (member.progress, member.reason) = progress(of: node)
      members.append(member)
    }
  }

  /// From a hash, so that not the same nodes are first each time.
  func rank(_ id: UInt32) -> UInt64 {
    var bytes = withUnsafeBytes(of: release.bigEndian) { Array($0) }
    withUnsafeBytes(of: id.bigEndian) { bytes += Array($0) }
    let digest = Sha256.digest(bytes.span.bytes)
    return (0..<8).reduce(0) { $0 << 8 | UInt64(digest[$1]) }
  }

  /// How many of the nodes have yet to become members in this step.
  private func missing(_ nodes: [Candidate]) -> Int {
    let known = Set(members.map(\.id))
    return max(0, (nodes.count * percents[step] + 99) / 100 - nodes.filter { known.contains($0.id) }.count)
  }

  /// The members that the gate looks at.
  private func membersThatCount(among nodes: [Candidate]) -> [Member] {
    let present = Set(nodes.map(\.id))
    return members.filter { !$0.isForgiven && present.contains($0.id) }
  }

  private func hasPassed(_ nodes: [Candidate]) -> Bool {
    let counted = membersThatCount(among: nodes)
    guard !counted.isEmpty, missing(nodes) == 0 else { return false }
    // Nobody is left behind silently: at the end what has not failed has to be there, or the owner decides.
    return counted.filter { $0.progress == .healthy }.count * 100 >= gate.share * counted.count
  }
}
