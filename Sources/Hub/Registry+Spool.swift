import Bounded
import Durable
import Foundation
import GRDB
import Wire

/// A durable message as the hub keeps it until its destination has it.
struct SpooledMessage: FetchableRecord {
  /// Rising with arrival; 0 before it is in the table.
  var row: Int64 = 0
  let destination: UInt32
  let source: UInt32
  let stream: UInt64
  let sequence: UInt64
  let hops: UInt8
  /// Wall clock, milliseconds since 1970; 0 for no end.
  let expiresMs: UInt64
  /// The text is sealed for the destination.
  let isSealed: Bool
  let text: Data

  var key: SpoolKey {
    SpoolKey(destination: destination, ring: RingName(node: source, stream: stream), sequence: sequence)
  }

  init(
    destination: UInt32, source: UInt32, stream: UInt64, sequence: UInt64, hops: UInt8, expiresMs: UInt64,
    isSealed: Bool = false, text: Data
  ) {
    self.destination = destination
    self.source = source
    self.stream = stream
    self.sequence = sequence
    self.hops = hops
    self.expiresMs = expiresMs
    self.isSealed = isSealed
    self.text = text
  }

  init(row: Row) {
    self.row = row["seq"]
    destination = row["node"]
    source = row["source"]
    stream = UInt64(bitPattern: row["stream"])
    sequence = UInt64(bitPattern: row["sequence"])
    hops = row["hops"]
    expiresMs = UInt64(bitPattern: row["expires_ms"])
    isSealed = row["sealed"]
    text = row["body"]
  }
}

/// A ring of a node. Never the stream alone: a node chooses its streams' names, and could choose another's.
struct RingName: Hashable {
  let node: UInt32
  let stream: UInt64
}

/// Names a spooled message.
struct SpoolKey: Hashable {
  let destination: UInt32
  let ring: RingName
  let sequence: UInt64
}

/// Durable messages between their source and their destination: kept once, whatever comes twice.
extension Registry {
  /// Messages kept for one node; more are refused for now.
  static let spoolRows = 10_000
  /// Rings of one node whose messages are told from those that were seen; a node begins a new one only when
  /// its file is lost.
  static let streamsPerNode = 8

  /// Takes messages in and forgets delivered ones, in one transaction. For each message nil when it is kept,
  /// or was before; else why not.
  func spool(_ arrivals: [SpooledMessage], forgetting delivered: [SpoolKey], at now: Int64) throws(HubError)
    -> [ErrorCode?]
  {
    try write { db in
      for key in delivered {
        try db.execute(
          cachedSql: "DELETE FROM spool WHERE node = ? AND source = ? AND stream = ? AND sequence = ?",
          [
            key.destination, key.ring.node, Int64(bitPattern: key.ring.stream), Int64(bitPattern: key.sequence),
          ])
      }
      var streams = StreamWindows(db: db, now: now)
      var rooms: [UInt32: ErrorCode?] = [:]
      let verdicts = try arrivals.map { try Self.take($0, &streams, &rooms, at: now, in: db) }
      try streams.write()
      return verdicts
    }
  }

  private static func take(
    _ message: SpooledMessage, _ streams: inout StreamWindows, _ rooms: inout [UInt32: ErrorCode?], at now: Int64,
    in db: Database
  ) throws -> ErrorCode? {
    if try streams.wasSeen(message) { return nil }
    let destination = message.destination
    let refusal = try rooms[destination] ?? Self.room(for: destination, in: db)
    rooms[destination] = .some(refusal)
    if let refusal { return refusal }
    try streams.note(message)
    if destination == 0 {
      try db.execute(
        cachedSql: "INSERT INTO inbox (at, node, body) VALUES (?, ?, ?)", [now, message.source, message.text])
      try db.execute(cachedSql: "DELETE FROM inbox WHERE seq <= ?", [db.lastInsertedRowID - Int64(inboxRows)])
      return nil
    }
    try db.execute(
      cachedSql: """
        INSERT OR IGNORE INTO spool (node, source, stream, sequence, hops, expires_ms, sealed, body)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        """,
      [
        destination, message.source, Int64(bitPattern: message.stream), Int64(bitPattern: message.sequence),
        message.hops, Int64(bitPattern: message.expiresMs), message.isSealed, message.text,
      ])
    return nil
  }

  /// Why nothing more can be kept for a node; nil when it can.
  private static func room(for destination: UInt32, in db: Database) throws -> ErrorCode? {
    if destination == 0 { return nil }
    let isKnown = try Bool.fetchOne(
      db, sql: "SELECT revoked_at IS NULL FROM nodes WHERE id = ?", arguments: [destination])
    guard isKnown == true else { return .unreachable }
    let kept = try Int.fetchOne(db, sql: "SELECT count(*) FROM spool WHERE node = ?", arguments: [destination]) ?? 0
    return kept < spoolRows ? nil : .full
  }

  /// Messages kept for a node, oldest first, after a row. One that does not take sealed ones gets nothing of who has sent
  /// such: what was sent behind them would make them count as had.
  func spooled(for id: UInt32, after row: Int64, takesSealed: Bool, limit: Int) throws(HubError) -> [SpooledMessage] {
    try read { db in
      let plain = takesSealed ? "" : "AND source NOT IN (SELECT source FROM spool WHERE node = ?1 AND sealed)"
      let statement = try db.cachedStatement(
        sql: "SELECT * FROM spool WHERE node = ?1 AND seq > ?2 \(plain) ORDER BY seq LIMIT ?3")
      return try SpooledMessage.fetchAll(statement, arguments: [id, row, limit])
    }
  }

  /// How many durable messages wait.
  public func spoolCount() throws(HubError) -> Int {
    try read { try Int.fetchOne($0, sql: "SELECT count(*) FROM spool") ?? 0 }
  }
}

/// The duplicate windows that one transaction touches: read once, written at its end.
private struct StreamWindows {
  private final class Entry {
    var window = DuplicateWindow<1>(keepMs: .max)
    var isChanged = false
  }

  let db: Database
  let now: Int64
  private var entries: [RingName: Entry] = [:]

  init(db: Database, now: Int64) {
    self.db = db
    self.now = now
  }

  /// True when a message was taken in before.
  mutating func wasSeen(_ message: SpooledMessage) throws -> Bool {
    let entry = try load(message.key.ring)
    return entry.window.novelty(source: message.stream, sequence: message.sequence, now: Instant(ms: 0)) != .new
  }

  mutating func note(_ message: SpooledMessage) throws {
    let entry = try load(message.key.ring)
    entry.window.insert(source: message.stream, sequence: message.sequence, now: Instant(ms: 0))
    entry.isChanged = true
  }

  private mutating func load(_ ring: RingName) throws -> Entry {
    if let entry = entries[ring] { return entry }
    let entry = Entry()
    entries[ring] = entry
    let stream = Int64(bitPattern: ring.stream)
    let stored = try Data.fetchOne(
      db, sql: "SELECT window FROM streams WHERE node = ? AND stream = ?", arguments: [ring.node, stream])
    if let stored {
      stored.withUnsafeBytes { bytes in _ = entry.window.decode(bytes, now: Instant(ms: 0)) }
      return entry
    }
    try db.execute(
      sql: "INSERT INTO streams (node, stream, heard_at, window) VALUES (?, ?, ?, x'')",
      arguments: [ring.node, stream, now])
    try db.execute(
      sql: """
        DELETE FROM streams WHERE node = ? AND stream NOT IN
          (SELECT stream FROM streams WHERE node = ? ORDER BY heard_at DESC, rowid DESC LIMIT ?)
        """, arguments: [ring.node, ring.node, Registry.streamsPerNode])
    return entry
  }

  func write() throws {
    for (ring, entry) in entries where entry.isChanged {
      var bytes = Data(count: DuplicateWindow<1>.encodedBytes)
      bytes.withUnsafeMutableBytes { entry.window.encode(into: $0) }
      try db.execute(
        cachedSql: "UPDATE streams SET window = ?, heard_at = ? WHERE node = ? AND stream = ?",
        [bytes, now, ring.node, Int64(bitPattern: ring.stream)])
    }
  }
}

extension Database {
  /// For statements that are executed again and again.
  fileprivate func execute(cachedSql sql: String, _ arguments: StatementArguments) throws {
    try cachedStatement(sql: sql).execute(arguments: arguments)
  }
}
