import Bounded
import Durable
import Foundation
import GRDB
import Wire

/// What a fellow sent in one frame, waiting for the next commit.
struct SharedBatch {
  /// Of the registry that it comes from.
  let registry: UInt64
  let fellow: UInt32
  let head: ShareHead
  var entries: [(entry: SharedEntry, text: Data)] = []
}

/// What became of batches that were taken in.
struct SharedOutcome {
  /// Ids that nodes do not have any more.
  var moved: Set<UInt32> = []
  /// Nodes for which there is something new.
  var destinations: Set<UInt32> = []
  /// Nodes or tokens have changed.
  var isRegistryChanged = false
  /// For each batch, whether it was taken in.
  var taken: [Bool] = []
}

/// Messages of one ring to one node.
struct RingWay: Hashable {
  let destination: UInt32
  let ring: RingName
}

/// Takes in what fellows send, inside somebody's transaction. Every entry can come twice, late, and in any order with those
/// of other fellows.
///
/// Not a judge of who may send: that was done when the link was made.
struct ShareTaker {
  let db: Database
  let now: Int64
  var streams: StreamWindows
  var outcome = SharedOutcome()
  /// The token that counts of uses belong to.
  private var token: Data?
  private var disorder: Set<RingWay> = []

  init(_ streams: StreamWindows, db: Database, now: Int64) {
    self.streams = streams
    self.db = db
    self.now = now
  }

  /// A batch that cannot be right is left out whole.
  mutating func take(_ batch: SharedBatch) throws {
    try streams.write()
    let before = outcome
    var isTaken = false
    try db.inSavepoint {
      do {
        for (entry, text) in batch.entries { try take(entry, text, of: batch) }
        for way in disorder { try putInOrder(way) }
        try Registry.setMark(batch.head.log, of: batch.registry, to: batch.head.upTo, in: db)
        try streams.write()
        isTaken = true
        return .commit
      } catch let error as HubError where error.code == .fellowFault {
        return .rollback
      }
    }
    token = nil
    disorder.removeAll()
    if !isTaken {
      outcome = before
      streams.forget()
    }
    outcome.taken.append(isTaken)
  }

  private mutating func take(_ entry: SharedEntry, _ text: Data, of batch: SharedBatch) throws {
    if batch.head.log == .registry { outcome.isRegistryChanged = true }
    switch entry {
    case .node(let node): try merge(node, from: batch.fellow)
    case .alias(let old, let id): try takeAlias(old, of: id)
    case .token(let new):
      token = Data(new.id)
      try merge(new)
    case .uses(let registry, let count): try note(count, of: registry)
    case .tokenGone(let id): try db.execute(sql: "DELETE FROM tokens WHERE token_id = ?", arguments: [Data(id)])
    case .message(let message): try take(message, text, from: batch.registry)
    case .done(let name): try finish(name, from: batch.registry)
    case .seal(let seal): try Registry.merge(seal, text, in: db)
    case .window(let node, let stream, let newest, let seen):
      try streams.merge(RingName(node: try current(node), stream: stream), newest: newest, seen: seen)
    }
  }

  // MARK: Tokens

  private func merge(_ token: SharedToken) throws {
    let id = Data(token.id)
    // One that is in the log but not in the table was taken back here.
    let isKnown = try Bool.fetchOne(
      db,
      sql: """
        SELECT 1 FROM tokens WHERE token_id = ?1 UNION ALL SELECT 1 FROM shared_registry WHERE kind = ?2 AND ref = ?1
        """, arguments: [id, Registry.SharedKind.token.rawValue])
    guard isKnown == nil else { return }
    try db.execute(
      sql: """
        INSERT INTO tokens (token_id, verifier, uses, uses_left, expires_at, label, created_at)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
      arguments: [
        id, Data(token.verifier), token.uses, token.uses, Int64(token.expiresAt), token.label.string,
        Int64(token.createdAt),
      ])
  }

  private func note(_ used: UInt32, of registry: UInt64) throws {
    guard let token,
      try Bool.fetchOne(db, sql: "SELECT 1 FROM tokens WHERE token_id = ?", arguments: [token]) == true
    else { return }
    try db.execute(
      sql: """
        INSERT INTO token_uses VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET used = excluded.used WHERE used < excluded.used
        """, arguments: [token, Int64(bitPattern: registry), used])
    try db.execute(
      sql: """
        UPDATE tokens SET uses_left = max(0, uses - (SELECT sum(used) FROM token_uses WHERE token_id = ?1))
        WHERE token_id = ?1
        """, arguments: [token])
  }

  // MARK: Messages

  /// The id that a node has now.
  func current(_ id: UInt32) throws -> UInt32 { try Registry.current(id, in: db) }

  func has(node id: UInt32) throws -> Bool {
    let statement = try db.cachedStatement(sql: "SELECT 1 FROM nodes WHERE id = ?")
    return try Bool.fetchOne(statement, arguments: [id]) ?? false
  }

  private mutating func take(_ message: SharedMessage, _ text: Data, from registry: UInt64) throws {
    let name = message.name
    let destination = try current(name.destination)
    guard try has(node: destination) else {
      throw HubError(.fellowFault, "a message for \(NodeName.text(destination)), which nobody admitted")
    }
    let kept = SpooledMessage(
      destination: destination, source: try current(name.source), stream: name.stream, sequence: name.sequence,
      hops: message.hops, expiresMs: message.expiresMs, isSealed: message.flags & FrameHeader.sealed != 0, text: text)
    if try isRow(of: "spool", kept.key) { return }
    switch try streams.novelty(kept.key.ring, kept.sequence) {
    case .duplicate:
      // It was here and has gone: its destination has it. The fellow hears that.
      return try Registry.noteShared(kept.key, origin: 0, in: db)
    case .tooOld:
      // Newer ones came here while the hubs were apart. What the window has forgotten the log may remember.
      if try isRow(of: "shared_spool", kept.key) { return try Registry.noteShared(kept.key, origin: 0, in: db) }
    case .new, .noRoom: try streams.note(kept.key.ring, kept.sequence)
    }
    try Registry.insert(kept, in: db)
    try Registry.noteShared(kept.key, origin: registry, in: db)
    outcome.destinations.insert(destination)
    let way = RingWay(destination: destination, ring: kept.key.ring)
    if try isAhead(of: way, kept.sequence) { disorder.insert(way) }
  }

  private mutating func finish(_ name: SharedName, from registry: UInt64) throws {
    let ring = RingName(node: try current(name.source), stream: name.stream)
    let key = SpoolKey(destination: try current(name.destination), ring: ring, sequence: name.sequence)
    if try streams.novelty(ring, name.sequence) == .new { try streams.note(ring, name.sequence) }
    // Only what was here is told on: otherwise word of it would go round for ever.
    if try Registry.remove(key, in: db) { try Registry.noteShared(key, origin: registry, in: db) }
  }

  private func isRow(of table: String, _ key: SpoolKey) throws -> Bool {
    let statement = try db.cachedStatement(
      sql: "SELECT 1 FROM \(table) WHERE node = ? AND source = ? AND stream = ? AND sequence = ?")
    return try Bool.fetchOne(statement, arguments: key.arguments) ?? false
  }

  // MARK: Order

  private func isAhead(of way: RingWay, _ sequence: UInt64) throws -> Bool {
    let statement = try db.cachedStatement(
      sql: "SELECT 1 FROM spool WHERE node = ? AND source = ? AND stream = ? AND sequence > ? LIMIT 1")
    return try Bool.fetchOne(
      statement,
      arguments: [
        way.destination, way.ring.node, Int64(bitPattern: way.ring.stream), Int64(bitPattern: sequence),
      ]) ?? false
  }

  /// Messages of one ring to one node are delivered in the order of their rows, which must be that of their sequences: with a
  /// newer one before it, the receiver may count an older one as had.
  private func putInOrder(_ way: RingWay) throws {
    let rows = try Int64.fetchAll(
      db, sql: "SELECT seq FROM spool WHERE node = ? AND source = ? AND stream = ? ORDER BY sequence",
      arguments: [way.destination, way.ring.node, Int64(bitPattern: way.ring.stream)])
    var last = try Int64.fetchOne(db, sql: "SELECT seq FROM sqlite_sequence WHERE name = 'spool'") ?? 0
    var previous: Int64 = 0
    let update = try db.cachedStatement(sql: "UPDATE spool SET seq = ? WHERE seq = ?")
    for row in rows {
      if row > previous {
        previous = row
        continue
      }
      last += 1
      try update.execute(arguments: [last, row])
      previous = last
    }
    try db.execute(sql: "UPDATE sqlite_sequence SET seq = ? WHERE name = 'spool'", arguments: [last])
  }
}
