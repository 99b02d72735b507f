import Foundation
import GRDB
import Wire

/// What the hub knows for good: nodes, join tokens, the event log, its inbox. One SQLite file.
///
/// Not the live state: who is connected is `LiveTable`'s. Several processes may have the file open (the
/// server and the commands); every change is one immediate transaction, so two of them never interleave.
/// A transaction that returned is on the disk (WAL, synchronous FULL).
public final class Registry: Sendable {
  /// Rows kept in the event log and in the inbox; older ones go.
  public static let eventRows = 10_000
  public static let inboxRows = 1_000

  let queue: DatabaseQueue

  /// Opens, and brings up to date, the file at `path`.
  ///
  /// - Parameter busyTimeoutMs: how long to wait for another process's transaction.
  public init(path: String, busyTimeoutMs: Int = 5_000) throws(HubError) {
    var configuration = Configuration()
    configuration.busyMode = .timeout(Double(busyTimeoutMs) / 1_000)
    configuration.journalMode = .wal
    configuration.prepareDatabase { db in
      try db.execute(sql: "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF")
    }
    do {
      queue = try DatabaseQueue(path: path, configuration: configuration)
      try Schema.migrator.migrate(queue)
      if try queue.read(Schema.migrator.hasBeenSuperseded) {
        throw HubError(
          .badConfiguration, "\(path) was written by a newer skyhub", hint: "use that version, or another --data")
      }
    } catch {
      throw Self.explain(error, path: path)
    }
  }

  func read<T>(_ body: (Database) throws -> T) throws(HubError) -> T {
    do {
      return try queue.read(body)
    } catch {
      throw Self.explain(error, path: queue.path)
    }
  }

  /// One immediate transaction: the write lock is taken before anything is read.
  func write<T>(_ body: (Database) throws -> T) throws(HubError) -> T {
    do {
      return try queue.writeWithoutTransaction { db in
        var result: T?
        try db.inTransaction(.immediate) {
          result = try body(db)
          return .commit
        }
        return result!
      }
    } catch {
      throw Self.explain(error, path: queue.path)
    }
  }

  /// Changes from one call to the next exactly when another process has committed something.
  public func foreignChangeCount() throws(HubError) -> Int {
    try read { try Int.fetchOne($0, sql: "PRAGMA data_version") ?? 0 }
  }

  static func explain(_ error: any Error, path: String) -> HubError {
    if let known = error as? HubError { return known }
    guard let database = error as? DatabaseError else {
      return HubError(.internalError, "\(path): \(error)")
    }
    let what = database.message ?? "error \(database.resultCode.rawValue)"
    switch database.resultCode {
    case .SQLITE_BUSY, .SQLITE_LOCKED:
      return HubError(.busy, "\(path) is in use: \(what)", hint: "another skyhub command is at work; try again")
    case .SQLITE_CANTOPEN, .SQLITE_PERM, .SQLITE_READONLY, .SQLITE_AUTH:
      return HubError(
        .badConfiguration, "\(path) cannot be opened: \(what)",
        hint: "run as the user that owns the data directory, or give another one with --data")
    case .SQLITE_NOTADB, .SQLITE_CORRUPT:
      return HubError(
        .badConfiguration, "\(path) is damaged: \(what)",
        hint: "restore it from a backup; sqlite3 FILE .recover may save most of it")
    case .SQLITE_FULL, .SQLITE_IOERR:
      return HubError(.ioFailed, "\(path): \(what)", hint: "check the free space and the disk")
    default:
      return HubError(.internalError, "\(path): \(what)")
    }
  }

  // MARK: Settings

  /// Where nodes reach this hub, as `serve` was last told; nil before its first start.
  public func advertised() throws(HubError) -> HostPort? {
    let text = try read { try String.fetchOne($0, sql: "SELECT value FROM settings WHERE name = 'advertise'") }
    return text.flatMap { HostPort($0) }
  }

  /// The hub's number, as `serve` was last told; 0 before its first start.
  public func hubId() throws(HubError) -> UInt32 {
    try read { try UInt32.fetchOne($0, sql: "SELECT value FROM settings WHERE name = 'hub_id'") } ?? 0
  }

  public func setAdvertised(_ place: HostPort, hubId: UInt32) throws(HubError) {
    try write {
      try $0.execute(
        sql: "INSERT OR REPLACE INTO settings VALUES ('advertise', ?), ('hub_id', ?)",
        arguments: [place.text, "\(hubId)"])
    }
  }

  // MARK: Events and inbox

  static func record(_ kind: String, node: UInt32? = nil, _ detail: String, at: Int64, in db: Database) throws {
    try db.execute(
      sql: "INSERT INTO events (at, kind, node, detail) VALUES (?, ?, ?, ?)", arguments: [at, kind, node, detail])
    try db.execute(sql: "DELETE FROM events WHERE seq <= ?", arguments: [db.lastInsertedRowID - Int64(eventRows)])
  }

  public func record(_ kind: String, node: UInt32? = nil, _ detail: String, at now: Int64) throws(HubError) {
    try write { try Self.record(kind, node: node, detail, at: now, in: $0) }
  }

  /// The newest `limit` events, oldest first.
  public func events(limit: Int) throws(HubError) -> [EventRecord] {
    try read {
      try EventRecord.fetchAll(
        $0, sql: "SELECT * FROM (SELECT * FROM events ORDER BY seq DESC LIMIT ?) ORDER BY seq", arguments: [limit])
    }
  }

  /// Keeps messages addressed to the hub, the newest `inboxRows` of them.
  public func keepMessages(_ messages: [(at: Int64, from: UInt32, body: Data)]) throws(HubError) {
    guard !messages.isEmpty else { return }
    try write { db in
      for message in messages.suffix(Self.inboxRows) {
        try db.execute(
          sql: "INSERT INTO inbox (at, node, body) VALUES (?, ?, ?)",
          arguments: [message.at, message.from, message.body])
      }
      try db.execute(
        sql: "DELETE FROM inbox WHERE seq <= ?", arguments: [db.lastInsertedRowID - Int64(Self.inboxRows)])
    }
  }

  /// The newest `limit` messages to the hub, oldest first.
  public func inbox(limit: Int) throws(HubError) -> [InboxRecord] {
    try read {
      try InboxRecord.fetchAll(
        $0, sql: "SELECT * FROM (SELECT * FROM inbox ORDER BY seq DESC LIMIT ?) ORDER BY seq", arguments: [limit])
    }
  }
}
