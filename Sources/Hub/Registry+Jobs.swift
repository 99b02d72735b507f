import Foundation
import GRDB
import Wire

/// Jobs, bounded in number: the oldest that have ended make room.
extension Registry {
  /// Takes a job; its id. Ids rise also over a registry that was restored from a copy.
  public func submit(
    _ kind: JobKind, argument: UInt64, budgetMs: UInt32, budgetBytes: UInt32, input: Data, node: UInt32?, at now: Int64
  ) throws(HubError) -> Job {
    try write { db in
      let unfinished = try Int.fetchOne(db, sql: "SELECT count(*) FROM jobs WHERE is_finished = 0") ?? 0
      guard unfinished < Job.unfinishedMaximum else {
        throw HubError(.full, "\(unfinished) jobs are not done yet", hint: "wait for some, or skyhub job cancel ID")
      }
      let last = try Int64.fetchOne(db, sql: "SELECT max(id) FROM jobs") ?? 0
      let job = Job(
        id: UInt64(max(last + 1, now)), kind: kind, argument: argument, budgetMs: budgetMs, budgetBytes: budgetBytes,
        inputBytes: input.count, node: node, at: now)
      try db.execute(
        sql: "INSERT INTO jobs (id, state, input) VALUES (?, ?, ?)",
        arguments: [Int64(job.id), try JSONEncoder().encode(job), input])
      try db.execute(
        sql: """
          DELETE FROM jobs WHERE is_finished = 1
            AND id NOT IN (SELECT id FROM jobs ORDER BY is_finished, id DESC LIMIT \(Job.kept))
          """)
      return job
    }
  }

  private static func job(_ row: Row) throws -> Job {
    let state: Data = row["state"]
    return try JSONDecoder().decode(Job.self, from: state)
  }

  /// The newest `limit`, oldest first.
  public func jobs(limit: Int) throws(HubError) -> [Job] {
    try read { db in
      try Row.fetchAll(db, sql: "SELECT state FROM jobs ORDER BY id DESC LIMIT ?", arguments: [limit])
        .reversed().map { try Self.job($0) }
    }
  }

  public func job(_ id: UInt64) throws(HubError) -> Job? {
    guard let id = Int64(exactly: id) else { return nil }
    return try read { db in
      try Row.fetchOne(db, sql: "SELECT state FROM jobs WHERE id = ?", arguments: [id]).map { try Self.job($0) }
    }
  }

  /// Nil while there is none.
  public func jobResult(_ id: UInt64) throws(HubError) -> Data? {
    guard let id = Int64(exactly: id) else { return nil }
    return try read { try Data.fetchOne($0, sql: "SELECT result FROM jobs WHERE id = ?", arguments: [id]) }
  }

  func jobInput(_ id: UInt64) throws(HubError) -> Data? {
    try read { try Data.fetchOne($0, sql: "SELECT input FROM jobs WHERE id = ?", arguments: [Int64(id)]) }
  }

  /// Those that have not ended, and whether each is to be cancelled.
  func unfinishedJobs() throws(HubError) -> [(job: Job, isCancelled: Bool)] {
    try read { db in
      try Row.fetchAll(db, sql: "SELECT state, cancelled_at FROM jobs WHERE is_finished = 0 ORDER BY id")
        .map { (try Self.job($0), ($0["cancelled_at"] as Int64?) != nil) }
    }
  }

  /// Asks for its end. Nil when there is no such job, false when it has ended already.
  public func cancelJob(_ id: UInt64, at now: Int64) throws(HubError) -> Bool? {
    guard let id = Int64(exactly: id) else { return nil }
    return try write { db in
      guard try Int.fetchOne(db, sql: "SELECT 1 FROM jobs WHERE id = ?", arguments: [id]) != nil else { return nil }
      try db.execute(
        sql: "UPDATE jobs SET cancelled_at = ? WHERE id = ? AND is_finished = 0", arguments: [now, id])
      return db.changesCount > 0
    }
  }

  /// Writes down how jobs stand; a result for those that have one.
  func keepJobs(_ jobs: [Job], results: [UInt64: Data]) throws(HubError) {
    guard !jobs.isEmpty else { return }
    try write { db in
      for job in jobs {
        try db.execute(
          sql: "UPDATE jobs SET state = ?, is_finished = ?, result = ? WHERE id = ?",
          arguments: [try JSONEncoder().encode(job), job.isFinished, results[job.id], Int64(job.id)])
      }
    }
  }
}
