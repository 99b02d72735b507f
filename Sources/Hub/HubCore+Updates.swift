import Bounded
import Foundation
import Node
import Update
import Wire

/// What the hub knows of its nodes' systems and of the roll-outs that concern them.
struct UpdateDesk {
  /// What nodes said of their boards' systems, what of that is not written down, and when they were last told.
  var systems: [UInt32: SystemReport] = [:]
  var unsaved: [UInt32: SystemReport] = [:]
  var offeredAt: [UInt32: Int64] = [:]
  /// Since when nodes are on their links; what is left of those that are not means nothing.
  var arrivedAt: [UInt32: Instant] = [:]
  var rollouts: [String: Rollout] = [:]
  var due = Instant.never
}

/// Updates of boards' systems: what nodes say of theirs, what is published for them, and whose turn it is.
extension HubCore {
  /// How often a roll-out that runs is looked at; also how soon reports are written down.
  static let updatesMs: UInt64 = 1_000
  /// A node whose turn it is and that does nothing hears of it again.
  static let offerAgainSeconds: Int64 = 60

  // MARK: Frames

  func takeSystem(_ link: HubLink, _ id: UInt32, now: Instant) {
    do throws(ErrorCode) {
      let report = try SystemReport(decoding: link.session.body)
      if updates.systems[id] != report {
        updates.systems[id] = report
        updates.unsaved[id] = report
      }
    } catch {
      return close(link, error, now: now)
    }
    scheduleUpdates(at: now)
    offer(to: id, now: now)
  }

  func sendBundlePiece(_ link: HubLink, _ id: UInt32, now: Instant) {
    answer(link, .bundlePiece, id, now: now) { body, answer throws(ErrorCode) in
      try self.bundles.piece(for: try BundleRequest(decoding: body), into: &answer)
      self.status.bundlePieces += 1
    }
  }

  /// Tells a node what there is for its board. Without room it hears of it later.
  private func offer(to id: UInt32, now: Instant) {
    guard let report = updates.systems[id], let target = live.link(of: id), let link = link(target) else { return }
    let board = report.standing.board.string
    scratch.consume(scratch.count)
    bundles.offer(to: board, running: report.standing.release, isDue: isDue(id, board), into: &scratch)
    guard put(FrameHeader(kind: .bundleOffer, destination: id), scratch, to: link, now: now) == nil else { return }
    updates.offeredAt[id] = wallSeconds
  }

  private func isDue(_ id: UInt32, _ board: String) -> Bool {
    guard let rollout = updates.rollouts[board], let bundle = bundles.record(of: board), bundle.digest == rollout.digest
    else {
      return false
    }
    return rollout.isDue(id)
  }

  // MARK: Time

  func scheduleUpdates(at now: Instant) {
    if updates.due == .never { updates.due = now + Self.updatesMs }
    wake(at: updates.due)
  }

  /// Writes down what nodes have told, and moves roll-outs on.
  func runUpdates(now: Instant) {
    updates.due = .never
    note { () throws(HubError) in
      try self.registry.keepSystems(self.updates.unsaved, at: self.wallSeconds)
      self.updates.unsaved.removeAll(keepingCapacity: true)
    }
    for (board, rollout) in updates.rollouts where rollout.state == .running {
      note { () throws(HubError) in try self.advance(board, now: now) }
    }
    if updates.rollouts.values.contains(where: { $0.state == .running }) || !updates.unsaved.isEmpty {
      scheduleUpdates(at: now)
    }
  }

  private func advance(_ board: String, now: Instant) throws(HubError) {
    let candidates = updates.systems.filter { $0.value.standing.board.string == board }.map { id, report in
      Rollout.Candidate(id: id, report: report, linkedSeconds: linkedSeconds(id, now: now))
    }
    let at = wallSeconds
    guard let fresh = try registry.changeRollout(of: board, at: at, { $0.advance(candidates, at: at) }) else { return }
    take(fresh, now: now)
    for member in fresh.members where member.progress == .waiting && fresh.isDue(member.id) {
      if at - (updates.offeredAt[member.id] ?? 0) >= Self.offerAgainSeconds { offer(to: member.id, now: now) }
    }
  }

  /// A roll-out has changed: whoever is concerned hears of it.
  private func take(_ fresh: Rollout, now: Instant) {
    let before = updates.rollouts[fresh.board]
    updates.rollouts[fresh.board] = fresh
    guard before != fresh else { return }
    if before?.state != fresh.state || before?.step != fresh.step {
      log.line(
        fresh.state == .paused ? .warning : .notice,
        "roll-out of release \(fresh.release) to \(fresh.board): \(fresh.state), step \(fresh.step + 1)"
          + (fresh.reason.isEmpty ? "" : ": \(fresh.reason)"))
    }
    for member in fresh.members where (before?.isDue(member.id) ?? false) != fresh.isDue(member.id) {
      offer(to: member.id, now: now)
    }
  }

  private func linkedSeconds(_ id: UInt32, now: Instant) -> Int64? {
    guard live.place(of: id) != nil, let arrived = updates.arrivedAt[id] else { return nil }
    return Int64(now.since(arrived) / 1_000)
  }

  /// Reads again what is published and rolled out, and tells the nodes of the boards that it concerns. Boards of nodes
  /// that were revoked are forgotten.
  func reloadUpdates(now: Instant) throws(HubError) {
    for id in try registry.revoked(among: updates.systems.keys) {
      updates.systems[id] = nil
      updates.unsaved[id] = nil
    }
    let before = bundles.boards
    try bundles.reload(registry)
    for fresh in try registry.rollouts() { take(fresh, now: now) }
    let after = bundles.boards
    for (id, report) in updates.systems where live.place(of: id) != nil {
      let board = report.standing.board.string
      if before[board] != after[board] { offer(to: id, now: now) }
    }
    scheduleUpdates(at: now)
  }

  /// What the registry knows at the start.
  func loadUpdates() throws(HubError) {
    updates.systems = try registry.systems()
    updates.rollouts = Dictionary(uniqueKeysWithValues: try registry.rollouts().map { ($0.board, $0) })
    updates.due = Instant(ms: 0)
    wake(at: updates.due)
  }
}
