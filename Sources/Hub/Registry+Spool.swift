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

  var isUrgent: Bool { Limits.isUrgent(sequence) }

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

  /// The same for another destination.
  func to(_ destination: UInt32) -> SpooledMessage {
    SpooledMessage(
      destination: destination, source: source, stream: stream, sequence: sequence, hops: hops, expiresMs: expiresMs,
      isSealed: isSealed, text: text)
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

  /// In the order of the tables' columns.
  var arguments: StatementArguments {
    [destination, ring.node, Int64(bitPattern: ring.stream), Int64(bitPattern: sequence)]
  }
}

/// What became of one commit.
struct SpoolOutcome {
  /// For each message nil when it is kept, or was before; else why not.
  var verdicts: [ErrorCode?] = []
  /// Where the messages go: nodes may have other ids now than those that they were sent to.
  var destinations: Set<UInt32> = []
  var shared = SharedOutcome()
  /// How far the logs for fellows reach with it.
  var newest = LogMarks()
}

/// Durable messages between their source and their destination: kept once, whatever comes twice.
extension Registry {
  /// Messages kept for one node, those of one source among them, and of one source for all nodes; more are refused for now.
  static let spoolRows = 10_000
  static let spoolRowsOfPair = 7_500
  static let spoolRowsOfSource = 20_000
  /// So many more where the message is urgent.
  static let spoolRowsUrgent = 500
  /// Rings of one node whose messages are told from those that were seen; a node begins a new one only when
  /// its file is lost.
  static let streamsPerNode = 8

  /// Takes messages in and forgets delivered ones, in one transaction. For a hub with fellows it notes both for them, and
  /// takes in what they sent.
  func spool(
    _ arrivals: [SpooledMessage], forgetting delivered: [SpoolKey], sharing: Bool = false,
    taking batches: [SharedBatch] = [],
    at now: Int64
  ) throws(HubError) -> SpoolOutcome {
    try write { db in
      var outcome = SpoolOutcome()
      for key in delivered {
        guard sharing else {
          _ = try Self.remove(key, in: db)
          continue
        }
        let known = try Self.current(key, in: db)
        if try Self.remove(known, in: db) { try Self.noteShared(known, origin: 0, in: db) }
      }
      var streams = StreamWindows(db: db, now: now)
      var rooms = SpoolRooms(db: db)
      for arrival in arrivals {
        let message = sharing ? arrival.to(try Self.current(arrival.destination, in: db)) : arrival
        let (refusal, isNew) = try Self.take(message, &streams, &rooms, at: now, in: db)
        outcome.verdicts.append(refusal)
        outcome.destinations.insert(message.destination)
        if sharing, isNew, message.destination != 0 { try Self.noteShared(message.key, origin: 0, in: db) }
      }
      if !batches.isEmpty {
        var taker = ShareTaker(streams, db: db, now: now)
        for batch in batches { try taker.take(batch) }
        streams = taker.streams
        outcome.shared = taker.outcome
      }
      try streams.write()
      if sharing { outcome.newest = try Self.newestMarks(in: db) }
      return outcome
    }
  }

  /// The id that a node has now.
  static func current(_ id: UInt32, in db: Database) throws -> UInt32 {
    let statement = try db.cachedStatement(sql: "SELECT id FROM aliases WHERE old = ?")
    return try UInt32.fetchOne(statement, arguments: [id]) ?? id
  }

  private static func current(_ key: SpoolKey, in db: Database) throws -> SpoolKey {
    let ring = RingName(node: try current(key.ring.node, in: db), stream: key.ring.stream)
    return SpoolKey(destination: try current(key.destination, in: db), ring: ring, sequence: key.sequence)
  }

  /// False when it was not there.
  static func remove(_ key: SpoolKey, in db: Database) throws -> Bool {
    try db.execute(
      cachedSql: "DELETE FROM spool WHERE node = ? AND source = ? AND stream = ? AND sequence = ?", key.arguments)
    return db.changesCount > 0
  }

  /// Why not, and whether it was not here before.
  private static func take(
    _ message: SpooledMessage, _ streams: inout StreamWindows, _ rooms: inout SpoolRooms, at now: Int64,
    in db: Database
  ) throws -> (ErrorCode?, isNew: Bool) {
    if try streams.wasSeen(message) { return (nil, false) }
    if message.destination != 0, let refusal = try rooms.take(message) { return (refusal, false) }
    try streams.note(message.key.ring, message.sequence)
    if message.destination == 0 {
      try db.execute(
        cachedSql: "INSERT INTO inbox (at, node, body) VALUES (?, ?, ?)", [now, message.source, message.text])
      try db.execute(cachedSql: "DELETE FROM inbox WHERE seq <= ?", [db.lastInsertedRowID - Int64(inboxRows)])
      return (nil, true)
    }
    try insert(message, in: db)
    return (nil, true)
  }

  static func insert(_ message: SpooledMessage, in db: Database) throws {
    try db.execute(
      cachedSql: """
        INSERT OR IGNORE INTO spool (node, source, stream, sequence, hops, expires_ms, sealed, body)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        """,
      [
        message.destination, message.source, Int64(bitPattern: message.stream), Int64(bitPattern: message.sequence),
        message.hops, Int64(bitPattern: message.expiresMs), message.isSealed, message.text,
      ])
  }

  /// Messages kept for a node, urgent ones or the others, oldest first, after a row. One that does not take sealed ones gets
  /// nothing of who has sent such: what was sent behind them would make them count as had.
  func spooled(for id: UInt32, areUrgent: Bool, after row: Int64, takesSealed: Bool, limit: Int) throws(HubError)
    -> [SpooledMessage]
  {
    try read { db in
      let statement = try db.cachedStatement(sql: Self.spooledSql(areUrgent: areUrgent, takesSealed: takesSealed))
      return try SpooledMessage.fetchAll(statement, arguments: [id, row, limit])
    }
  }

  static func spooledSql(areUrgent: Bool, takesSealed: Bool) -> String {
    let urgency = "sequence \(areUrgent ? ">=" : "<") \(Limits.urgentSequences)"
    let plain = takesSealed ? "" : "AND source NOT IN (SELECT source FROM spool WHERE node = ?1 AND sealed)"
    return "SELECT * FROM spool WHERE node = ?1 AND seq > ?2 AND \(urgency) \(plain) ORDER BY seq LIMIT ?3"
  }

  /// How many durable messages wait.
  public func spoolCount() throws(HubError) -> Int {
    try read { try Int.fetchOne($0, sql: "SELECT count(*) FROM spool") ?? 0 }
  }
}

/// How much is kept of what one transaction adds to: counted once, and up with each message.
private struct SpoolRooms {
  private struct Pair: Hashable { let destination, source: UInt32 }

  let db: Database
  /// Nil for a node that is not there.
  private var ofDestination: [UInt32: Int?] = [:]
  private var ofSource: [UInt32: Int] = [:]
  private var ofPair: [Pair: Int] = [:]

  init(db: Database) { self.db = db }

  /// Why a message cannot be kept; nil when it is to be, and then it counts.
  mutating func take(_ message: SpooledMessage) throws -> ErrorCode? {
    let (destination, source) = (message.destination, message.source)
    let pair = Pair(destination: destination, source: source)
    guard let kept = try ofDestination[destination] ?? count(for: destination) else {
      ofDestination[destination] = .some(nil)
      return .unreachable
    }
    let keptOfSource = try ofSource[source] ?? count("source = ?", [source])
    let more = message.isUrgent ? Registry.spoolRowsUrgent : 0
    var isRoom = kept < Registry.spoolRows + more && keptOfSource < Registry.spoolRowsOfSource + more
    // Counted when it may matter: what this transaction has added is counted with it.
    if isRoom, kept >= Registry.spoolRowsOfPair {
      let keptOfPair = try ofPair[pair] ?? count("node = ? AND source = ?", [destination, source])
      isRoom = keptOfPair < Registry.spoolRowsOfPair + more
      ofPair[pair] = keptOfPair + (isRoom ? 1 : 0)
    }
    ofDestination[destination] = kept + (isRoom ? 1 : 0)
    ofSource[source] = keptOfSource + (isRoom ? 1 : 0)
    return isRoom ? nil : .full
  }

  private func count(for destination: UInt32) throws -> Int? {
    let statement = try db.cachedStatement(sql: "SELECT revoked_at IS NULL FROM nodes WHERE id = ?")
    guard try Bool.fetchOne(statement, arguments: [destination]) == true else { return nil }
    return try count("node = ?", [destination])
  }

  private func count(_ condition: String, _ arguments: StatementArguments) throws -> Int {
    let statement = try db.cachedStatement(sql: "SELECT count(*) FROM spool WHERE \(condition)")
    return try Int.fetchOne(statement, arguments: arguments) ?? 0
  }
}

/// The duplicate windows that one transaction touches: read once, written at its end.
struct StreamWindows {
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
    try novelty(message.key.ring, message.sequence) != .new
  }

  mutating func novelty(_ ring: RingName, _ sequence: UInt64) throws -> Novelty {
    try load(ring).window.novelty(source: ring.stream, sequence: sequence, now: Instant(ms: 0))
  }

  mutating func note(_ ring: RingName, _ sequence: UInt64) throws {
    let entry = try load(ring)
    entry.window.insert(source: ring.stream, sequence: sequence, now: Instant(ms: 0))
    entry.isChanged = true
  }

  /// What another window of the same ring has seen counts as seen in this one.
  mutating func merge(_ ring: RingName, newest: UInt64, seen: InlineArray<4, UInt64>) throws {
    for behind in (0..<min(newest + 1, DuplicateWindowLimits.reach)).reversed()
    where seen[Int(behind >> 6)] >> (behind & 63) & 1 == 1 { try note(ring, newest - behind) }
  }

  /// Of a window as it is stored: its newest sequence, and a bit for each of the 256 up to it.
  static func bits(of stored: Data) -> (newest: UInt64, seen: InlineArray<4, UInt64>)? {
    var bytes = ByteQueue(capacity: DuplicateWindow<1>.encodedBytes)
    guard stored.count == DuplicateWindow<1>.encodedBytes, stored.withUnsafeBytes({ bytes.append($0.bytes) }) else {
      return nil
    }
    do throws(DecodeError) {
      var reader = ByteReader(bytes.bytes)
      try reader.skip(4)
      guard try reader.integer(UInt32.self) == 1 else { return nil }
      try reader.skip(8)
      let newest: UInt64 = try reader.integer()
      var seen = InlineArray<4, UInt64>(repeating: 0)
      for word in 0..<4 { seen[word] = try reader.integer() }
      return seen[0] & 1 == 1 ? (newest, seen) : nil
    } catch { return nil }
  }

  /// What was written is read anew.
  mutating func forget() { entries.removeAll() }

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
      entry.isChanged = false
    }
  }
}

extension Database {
  /// For statements that are executed again and again.
  fileprivate func execute(cachedSql sql: String, _ arguments: StatementArguments) throws {
    try cachedStatement(sql: sql).execute(arguments: arguments)
  }
}
