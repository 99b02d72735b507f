import Foundation
import GRDB
import Wire

/// What became of a question: never what it was.
public struct RequestRecord: Codable, Equatable, Sendable {
  public var at: Int64
  /// 0 for a question of whoever runs the hub.
  public var node: UInt32
  public var question: UInt32
  /// 0 without an answer.
  public var level: UInt8
  /// `ok`, or an error's token.
  public var outcome: String
  /// Millionths.
  public var cost: UInt64
  public var elapsedMs: UInt64
  /// 1 good, 2 bad.
  public var vote: Int?

  init(
    at: Int64, node: UInt32, question: UInt32, level: UInt8, outcome: String, cost: UInt64, elapsedMs: UInt64
  ) {
    self.at = at
    self.node = node
    self.question = question
    self.level = level
    self.outcome = outcome
    self.cost = cost
    self.elapsedMs = elapsedMs
  }

  init(_ row: Row) {
    self.init(
      at: row["at"], node: row["node"], question: row["question"], level: row["level"], outcome: row["outcome"],
      cost: row["cost"], elapsedMs: row["elapsed_ms"])
    vote = row["vote"]
  }
}

/// Sums over the requests that are kept.
public struct RequestStats: Codable, Equatable, Sendable {
  public struct Level: Codable, Equatable, Sendable {
    public var level: UInt8
    public var outcome: String
    public var requests: Int
    public var cost: UInt64
    public var meanMs: UInt64
    public var maxMs: UInt64
    public var good: Int
    public var bad: Int
  }

  public var entries = 0
  public var requests = 0
  public var costToday: UInt64 = 0
  public var levels: [Level] = []
  /// The newest, as many as were asked for.
  public var newest: [RequestRecord] = []
}

/// Telemetry of questions, bounded: the oldest go.
extension Registry {
  public static let requestRows = 10_000

  static func dayStart(_ now: Int64) -> Int64 { now - now % 86_400 }
  static func hourStart(_ now: Int64) -> Int64 { now - now % 3_600 }

  /// Writes down what became of questions, then what was thought of the answers.
  func keepRequests(_ requests: [RequestRecord], votes: [(node: UInt32, vote: Vote)]) throws(HubError) {
    guard !requests.isEmpty || !votes.isEmpty else { return }
    try write { db in
      for request in requests {
        try db.execute(
          sql: """
            INSERT INTO requests (at, node, question, level, outcome, cost, elapsed_ms) VALUES (?, ?, ?, ?, ?, ?, ?)
            """,
          arguments: [
            request.at, request.node, request.question, request.level, request.outcome, Int64(request.cost),
            Int64(request.elapsedMs),
          ])
      }
      try db.execute(
        sql: "DELETE FROM requests WHERE seq <= (SELECT max(seq) FROM requests) - ?", arguments: [Self.requestRows])
      for (node, vote) in votes {
        try db.execute(
          sql: """
            UPDATE requests SET vote = ? WHERE seq =
              (SELECT max(seq) FROM requests WHERE node = ? AND question = ? AND outcome = 'ok')
            """, arguments: [vote.isGood ? 1 : 2, node, vote.id])
      }
    }
  }

  /// Questions of each node since the hour began.
  func questionsOfHour(_ now: Int64) throws(HubError) -> [UInt32: Int] {
    try read { db in
      try Row.fetchAll(
        db, sql: "SELECT node, count(*) AS n FROM requests WHERE at >= ? GROUP BY node",
        arguments: [Self.hourStart(now)]
      ).reduce(into: [:]) { $0[$1["node"]] = $1["n"] }
    }
  }

  func costOfDay(_ now: Int64) throws(HubError) -> UInt64 {
    try read { db in
      let sum = try Int64.fetchOne(
        db, sql: "SELECT sum(cost) FROM requests WHERE at >= ?", arguments: [Self.dayStart(now)])
      return UInt64(max(0, sum ?? 0))
    }
  }

  public func requestStats(newest: Int, now: Int64) throws(HubError) -> RequestStats {
    var stats = RequestStats()
    stats.entries = try knowledgeCount()
    stats.costToday = try costOfDay(now)
    let (levels, rows) = try read { db in
      (
        try Row.fetchAll(
          db,
          sql: """
            SELECT level, outcome, count(*) AS n, sum(cost) AS cost, avg(elapsed_ms) AS mean, max(elapsed_ms) AS most,
              count(*) FILTER (WHERE vote = 1) AS good, count(*) FILTER (WHERE vote = 2) AS bad
            FROM requests GROUP BY level, outcome ORDER BY level, outcome
            """
        ).map {
          RequestStats.Level(
            level: $0["level"], outcome: $0["outcome"], requests: $0["n"], cost: UInt64($0["cost"] as Int64),
            meanMs: UInt64($0["mean"] as Double), maxMs: UInt64($0["most"] as Int64), good: $0["good"], bad: $0["bad"])
        },
        try Row.fetchAll(db, sql: "SELECT * FROM requests ORDER BY seq DESC LIMIT ?", arguments: [newest])
          .map { RequestRecord($0) }
      )
    }
    stats.levels = levels
    stats.requests = levels.reduce(0) { $0 + $1.requests }
    stats.newest = rows.reversed()
    return stats
  }
}
