import Bounded
import Durable
import Foundation
import GRDB
import Wire

/// The logs that fellows read: which things have changed, in the order of their newest change. What they are is read when it
/// is sent, so a log has no texts of its own and one row for each thing.
///
/// Two logs, because whoever takes in a message must know its nodes: nothing of the second is sent while there is something
/// of the first.
extension Registry {
  /// Rows of messages that are gone, when a fellow stays away: older ones are dropped, and a message that it still has may be
  /// delivered a second time, which its receiver recognises.
  static let goneRows = 100_000

  enum SharedKind: Int64 {
    case node = 1
    case alias = 2
    case token = 3
    /// A card by its node's id, an offer by sender and receiver.
    case card = 4
    case offer = 5
  }

  /// One row of a log: what goes to the fellow; without an entry it has that from there.
  struct SharedChange {
    let version: UInt64
    var entries: [SharedEntry] = []
    /// Of a message, a card or an offer.
    var text = Data()
  }

  /// From here on every change is noted, those of other processes too. Ids come from `firstId` on.
  func share(firstId: UInt32) throws(HubError) {
    try write { db in
      try Self.unshare(in: db, keepsLogs: true)
      let wasSharing = try Bool.fetchOne(db, sql: "SELECT 1 FROM settings WHERE name = 'first_id'") ?? false
      try db.execute(sql: "INSERT OR REPLACE INTO settings VALUES ('first_id', ?)", arguments: ["\(firstId)"])
      for (name, event, kind, ref) in Self.triggers {
        try db.execute(
          sql: """
            CREATE TRIGGER \(name) AFTER \(event) BEGIN
              DELETE FROM shared_registry WHERE kind = \(kind.rawValue) AND ref = \(ref);
              INSERT INTO shared_registry (kind, ref) VALUES (\(kind.rawValue), \(ref));
            END
            """)
      }
      guard !wasSharing else { return }
      try db.execute(
        sql: """
          INSERT INTO shared_registry (kind, ref) SELECT \(SharedKind.node.rawValue), key FROM nodes ORDER BY id;
          INSERT INTO shared_registry (kind, ref) SELECT \(SharedKind.alias.rawValue), old FROM aliases;
          INSERT INTO shared_registry (kind, ref) SELECT \(SharedKind.token.rawValue), token_id FROM tokens;
          INSERT INTO shared_registry (kind, ref) SELECT \(SharedKind.card.rawValue), node FROM cards;
          INSERT INTO shared_registry (kind, ref)
            SELECT \(SharedKind.offer.rawValue), source << 24 | destination FROM offers;
          INSERT INTO shared_spool (origin, node, source, stream, sequence)
            SELECT 0, node, source, stream, sequence FROM spool ORDER BY seq;
          """)
    }
  }

  /// Without fellows nothing is noted.
  func stopSharing() throws(HubError) {
    let isSharing = try read { try Bool.fetchOne($0, sql: "SELECT 1 FROM settings WHERE name = 'first_id'") ?? false }
    guard isSharing else { return }
    try write { try Self.unshare(in: $0, keepsLogs: false) }
  }

  private static let triggers: [(name: String, event: String, kind: SharedKind, ref: String)] = [
    ("share_new_node", "INSERT ON nodes", .node, "NEW.key"),
    (
      "share_node", "UPDATE OF id, label, labelled_at, revocation, reinstatement, revoked_reason ON nodes", .node,
      "NEW.key"
    ),
    ("share_new_alias", "INSERT ON aliases", .alias, "NEW.old"),
    ("share_alias", "UPDATE ON aliases", .alias, "NEW.old"),
    ("share_new_token", "INSERT ON tokens", .token, "NEW.token_id"),
    ("share_token_gone", "DELETE ON tokens", .token, "OLD.token_id"),
    ("share_new_use", "INSERT ON token_uses", .token, "NEW.token_id"),
    ("share_use", "UPDATE ON token_uses", .token, "NEW.token_id"),
    ("share_new_card", "INSERT ON cards", .card, "NEW.node"),
    ("share_card", "UPDATE ON cards", .card, "NEW.node"),
    ("share_new_offer", "INSERT ON offers", .offer, "NEW.source << 24 | NEW.destination"),
    ("share_offer", "UPDATE ON offers", .offer, "NEW.source << 24 | NEW.destination"),
  ]

  private static func unshare(in db: Database, keepsLogs: Bool) throws {
    for trigger in triggers { try db.execute(sql: "DROP TRIGGER IF EXISTS \(trigger.name)") }
    guard !keepsLogs else { return }
    try db.execute(
      sql: """
        DELETE FROM shared_registry; DELETE FROM shared_spool; DELETE FROM fellow_marks;
        DELETE FROM settings WHERE name = 'first_id';
        """)
  }

  // MARK: Names and marks

  /// The number that tells this registry from every other, also from the one that the hub had before it lost its disk.
  func sharedName() throws(HubError) -> UInt64 {
    try read { try UInt64.fetchOne($0, sql: "SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'registry'") }
      ?? 1
  }

  /// After a restore from a copy: fellows know more of this registry than it does.
  func renameShared(to name: UInt64) throws(HubError) {
    try write {
      try $0.execute(sql: "UPDATE settings SET value = ? WHERE name = 'registry'", arguments: ["\(name)"])
    }
  }

  /// How far the logs reach.
  func newestMarks() throws(HubError) -> LogMarks { try read { try Self.newestMarks(in: $0) } }

  static func newestMarks(in db: Database) throws -> LogMarks {
    let statement = try db.cachedStatement(
      sql: "SELECT name, seq FROM sqlite_sequence WHERE name IN ('shared_registry', 'shared_spool')")
    var marks = LogMarks()
    for row in try Row.fetchAll(statement) {
      if row[0] == "shared_spool" { marks.messages = row[1] } else { marks.registry = row[1] }
    }
    return marks
  }

  /// How much of a fellow's registry this one has.
  func marks(of registry: UInt64) throws(HubError) -> LogMarks {
    let row = try read { db in
      try Row.fetchOne(
        db, sql: "SELECT registry_mark, messages_mark FROM fellow_marks WHERE registry = ?",
        arguments: [Int64(registry)])
    }
    return row.map { LogMarks(registry: $0[0], messages: $0[1]) } ?? LogMarks()
  }

  static func setMark(_ log: ShareHead.Log, of registry: UInt64, to mark: UInt64, in db: Database) throws {
    let column = log == .registry ? "registry_mark" : "messages_mark"
    let statement = try db.cachedStatement(
      sql: """
        INSERT INTO fellow_marks (registry, registry_mark, messages_mark) VALUES (?1, ?2, ?3)
          ON CONFLICT DO UPDATE SET \(column) = max(\(column), excluded.\(column))
        """)
    try statement.execute(
      arguments: [Int64(registry), log == .registry ? mark : 0, log == .messages ? mark : 0])
  }

  /// Notes a change for fellows. `origin` names the registry that it came from; 0 for none.
  static func noteShared(_ key: SpoolKey, origin: UInt64, in db: Database) throws {
    let statement = try db.cachedStatement(
      sql: "INSERT OR REPLACE INTO shared_spool (node, source, stream, sequence, origin) VALUES (?, ?, ?, ?, ?)")
    try statement.execute(arguments: key.arguments + [Int64(bitPattern: origin)])
  }

  /// Messages that a fellow with these marks does not have, or has not heard the end of.
  func sharesMissing(after marks: LogMarks, from registry: UInt64) throws(HubError) -> Int {
    try read { db in
      try Int.fetchOne(
        db, sql: "SELECT count(*) FROM shared_spool WHERE version > ? AND origin != ?",
        arguments: [Int64(marks.messages), Int64(bitPattern: registry)]) ?? 0
    }
  }

  // MARK: Reading

  /// Changes of nodes and tokens after a version.
  func registryChanges(after version: UInt64, limit: Int) throws(HubError) -> [SharedChange] {
    try read { db in
      let rows = try Row.fetchAll(
        db, sql: "SELECT version, kind, ref FROM shared_registry WHERE version > ? ORDER BY version LIMIT ?",
        arguments: [Int64(version), limit])
      return try rows.map { row in
        let change = SharedChange(version: row[0])
        switch SharedKind(rawValue: row[1]) {
        case .node: return SharedChange(version: row[0], entries: try Self.sharedNode(key: row[2], in: db))
        case .alias:
          let old: UInt32 = row[2]
          let id = try UInt32.fetchOne(db, sql: "SELECT id FROM aliases WHERE old = ?", arguments: [old])
          return SharedChange(version: row[0], entries: id.map { [.alias(old: old, id: $0)] } ?? [])
        case .token: return SharedChange(version: row[0], entries: try Self.sharedToken(id: row[2], in: db))
        case .card: return try Self.sharedCard(of: row[2], version: row[0], in: db)
        case .offer: return try Self.sharedOffer(pair: row[2], version: row[0], in: db)
        case nil: return change
        }
      }
    }
  }

  private static func sharedNode(key: Data, in db: Database) throws -> [SharedEntry] {
    let found = try Row.fetchOne(db, sql: "SELECT * FROM nodes WHERE key = ?", arguments: [key])
    guard let row = found, let key = InlineArray<32, UInt8>(key) else { return [] }
    return [
      .node(
        SharedNode(
          id: row["id"], key: key, admittedAt: clamped(row["admitted_at"]), revokedAt: clamped(row["revocation"]),
          reinstatedAt: clamped(row["reinstatement"]), labelledAt: clamped(row["labelled_at"]),
          label: SharedText(row["label"] as String) ?? SharedText(),
          reason: SharedText(row["revoked_reason"] as String) ?? SharedText()))
    ]
  }

  private static func sharedToken(id: Data, in db: Database) throws -> [SharedEntry] {
    guard let bytes = InlineArray<8, UInt8>(id) else { return [] }
    guard let row = try Row.fetchOne(db, sql: "SELECT * FROM tokens WHERE token_id = ?", arguments: [id]),
      let verifier = InlineArray<32, UInt8>(row["verifier"] as Data)
    else { return [.tokenGone(bytes)] }
    let token = SharedToken(
      id: bytes, verifier: verifier, uses: row["uses"], expiresAt: clamped(row["expires_at"]),
      createdAt: clamped(row["created_at"]), label: SharedText(row["label"] as String) ?? SharedText())
    let counts = try Row.fetchAll(
      db, sql: "SELECT registry, used FROM token_uses WHERE token_id = ? ORDER BY used DESC LIMIT ?",
      arguments: [id, SharedToken.countsMaximum])
    return [.token(token)] + counts.map { .uses(registry: $0[0], count: $0[1]) }
  }

  private static func clamped(_ seconds: Int64) -> UInt64 { UInt64(max(0, seconds)) }

  /// Changes of waiting messages after a version. Those that came from `registry` are not for it.
  func messageChanges(after version: UInt64, for registry: UInt64, limit: Int) throws(HubError) -> [SharedChange] {
    try read { db in
      let statement = try db.cachedStatement(
        sql: """
          SELECT s.version, s.origin, s.node, s.source, s.stream, s.sequence, m.hops, m.expires_ms, m.body, m.sealed
          FROM shared_spool s LEFT JOIN spool m ON s.origin != ?1 AND m.node = s.node AND m.source = s.source
            AND m.stream = s.stream AND m.sequence = s.sequence
          WHERE s.version > ?2 ORDER BY s.version LIMIT ?3
          """)
      return try Row.fetchAll(
        statement, arguments: [Int64(bitPattern: registry), Int64(version), limit]
      ).map { row in
        var change = SharedChange(version: row[0])
        guard row[1] as Int64 != Int64(bitPattern: registry) else { return change }
        let name = SharedName(
          destination: row[2], source: row[3], stream: UInt64(bitPattern: row[4]),
          sequence: UInt64(bitPattern: row[5]))
        if let text: Data = row[8] {
          change.text = text
          change.entries = [
            .message(
              SharedMessage(
                name: name, flags: FrameHeader.durable | (row[9] ? FrameHeader.sealed : 0), hops: row[6],
                expiresMs: UInt64(bitPattern: row[7])))
          ]
        } else {
          change.entries = [.done(name)]
        }
        return change
      }
    }
  }

  /// Duplicate windows by the rows of their table, after one.
  func windows(after row: Int64, limit: Int) throws(HubError) -> [(row: Int64, entry: SharedEntry)] {
    try read { db in
      try Row.fetchAll(
        db,
        sql:
          "SELECT rowid, node, stream, window FROM streams WHERE rowid > ? AND length(window) > 0 ORDER BY rowid LIMIT ?",
        arguments: [row, limit]
      ).compactMap { row in
        guard let (newest, seen) = StreamWindows.bits(of: row[3]) else { return nil }
        return (row[0], .window(node: row[1], stream: UInt64(bitPattern: row[2]), newest: newest, seen: seen))
      }
    }
  }

  /// Drops rows of what is gone: all up to `mark`, which every fellow has, and the oldest beyond the limit.
  func pruneShares(upTo mark: LogMarks) throws(HubError) {
    try write { db in
      try db.execute(
        sql: """
          DELETE FROM shared_spool WHERE version IN (
            SELECT version FROM shared_spool s WHERE version <= max(?1, (
                SELECT coalesce(max(version), 0) - ?2 FROM shared_spool))
              AND NOT EXISTS (SELECT 1 FROM spool m WHERE m.node = s.node AND m.source = s.source
                AND m.stream = s.stream AND m.sequence = s.sequence)
            ORDER BY version LIMIT 2000)
          """, arguments: [Int64(mark.messages), Self.goneRows])
      try db.execute(
        sql: """
          DELETE FROM shared_registry WHERE version <= ? AND kind = \(SharedKind.token.rawValue)
            AND ref NOT IN (SELECT token_id FROM tokens)
          """, arguments: [Int64(mark.registry)])
      try db.execute(sql: "DELETE FROM token_uses WHERE token_id NOT IN (SELECT token_id FROM tokens)")
    }
  }
}
