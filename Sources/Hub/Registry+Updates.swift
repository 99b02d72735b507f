import Bounded
import Foundation
import GRDB
import SkyCrypto
import Update
import Wire

/// Published bundles, roll-outs, and what the boards of nodes run.
extension Registry {
  public func bundles() throws(HubError) -> [BundleRecord] {
    try read { db in
      try Row.fetchAll(db, sql: "SELECT * FROM bundles ORDER BY board").map { row in
        BundleRecord(
          board: row["board"], maker: row["maker"], release: UInt64(bitPattern: row["release"]), name: row["name"],
          digest: row["digest"], publishedAt: row["published_at"])
      }
    }
  }

  /// A roll-out of the one before that has not ended ends here: nobody could fetch it any more.
  func setBundle(_ bundle: BundleRecord) throws(HubError) {
    try write { db in
      if var rollout = try Self.rollout(of: bundle.board, in: db), rollout.digest != bundle.digest {
        rollout.abort("release \(bundle.release) was published")
        try Self.save(rollout, in: db)
      }
      try db.execute(
        sql:
          "INSERT OR REPLACE INTO bundles (board, maker, release, name, digest, published_at) VALUES (?, ?, ?, ?, ?, ?)",
        arguments: [
          bundle.board, bundle.maker, Int64(bitPattern: bundle.release), bundle.name, bundle.digest, bundle.publishedAt,
        ])
      try Self.record(
        "bundle", "\(bundle.board) \(bundle.name), release \(bundle.release)", at: bundle.publishedAt, in: db)
    }
  }

  /// Publishes nothing for a board any more. False when nothing was.
  public func withdrawBundle(of board: String, at now: Int64) throws(HubError) -> Bool {
    try write { db in
      try db.execute(sql: "DELETE FROM bundles WHERE board = ?", arguments: [board])
      guard db.changesCount > 0 else { return false }
      if var rollout = try Self.rollout(of: board, in: db) {
        rollout.abort("the bundle was withdrawn")
        try Self.save(rollout, in: db)
      }
      try Self.record("bundle", "\(board): withdrawn", at: now, in: db)
      return true
    }
  }

  // MARK: Roll-outs

  public func rollouts() throws(HubError) -> [Rollout] {
    try read { db in
      try Data.fetchAll(db, sql: "SELECT state FROM rollouts ORDER BY board")
        .map { try JSONDecoder().decode(Rollout.self, from: $0) }
    }
  }

  private static func rollout(of board: String, in db: Database) throws -> Rollout? {
    try Data.fetchOne(db, sql: "SELECT state FROM rollouts WHERE board = ?", arguments: [board])
      .map { try JSONDecoder().decode(Rollout.self, from: $0) }
  }

  private static func save(_ rollout: Rollout, in db: Database) throws {
    try db.execute(
      sql: "INSERT OR REPLACE INTO rollouts (board, state) VALUES (?, ?)",
      arguments: [rollout.board, try JSONEncoder().encode(rollout)])
  }

  /// Takes the place of the board's roll-out before, which must have ended.
  public func start(_ rollout: Rollout) throws(HubError) {
    try write { db in
      if let before = try Self.rollout(of: rollout.board, in: db), before.state == .running || before.state == .paused {
        throw HubError(
          .busy, "release \(before.release) is on its way to the boards \(rollout.board)",
          hint: "skyhub rollout abort \(rollout.board) ends that first")
      }
      try Self.save(rollout, in: db)
      try Self.record("rollout", "\(rollout.board) release \(rollout.release): started", at: rollout.startedAt, in: db)
    }
  }

  /// Changes a board's roll-out in one transaction; what it is then, nil when there is none. Nothing is written when
  /// nothing changed; a new state or step is an event.
  public func changeRollout(
    of board: String, at now: Int64, _ change: (inout Rollout) throws -> Void
  ) throws(HubError) -> Rollout? {
    try write { db in
      guard var rollout = try Self.rollout(of: board, in: db) else { return nil }
      let before = rollout
      try change(&rollout)
      guard rollout != before else { return rollout }
      try Self.save(rollout, in: db)
      if rollout.state != before.state || rollout.step != before.step {
        let what =
          rollout.state == .running
          ? "step \(rollout.step + 1), \(rollout.percents[rollout.step]) %" : "\(rollout.state)"
        try Self.record(
          "rollout",
          "\(board) release \(rollout.release): \(what)" + (rollout.reason.isEmpty ? "" : ": \(rollout.reason)"),
          at: now, in: db)
      }
      return rollout
    }
  }

  // MARK: Systems

  public func systems() throws(HubError) -> [UInt32: SystemReport] {
    try read { db in
      var found: [UInt32: SystemReport] = [:]
      for row in try Row.fetchAll(
        db, sql: "SELECT node, report FROM systems JOIN nodes ON nodes.id = node WHERE revoked_at IS NULL")
      {
        let bytes: Data = row["report"]
        found[row["node"]] = bytes.withUnsafeBytes { try? SystemReport(decoding: $0.bytes) }
      }
      return found
    }
  }

  func keepSystems(_ reports: [UInt32: SystemReport], at now: Int64) throws(HubError) {
    guard !reports.isEmpty else { return }
    try write { db in
      for (id, report) in reports {
        var body = ByteQueue(capacity: SystemReport.byteCount)
        report.append(to: &body)
        try db.execute(
          sql: "INSERT OR REPLACE INTO systems (node, at, report) VALUES (?, ?, ?)",
          arguments: [id, now, Data(copying: body.bytes)])
      }
    }
  }
}
