import Bounded
import Durable
import Foundation
import GRDB
import SkyCrypto
import Wire

/// Nodes of two registries become those of one, by rules that every hub computes alike from what it is told:
/// an identity that has two ids keeps the lower; an id that two identities have stays with the one admitted first, and the
/// hub that has the other gives that a new one; a revocation counts until an undoing that is newer; the newest label counts.
extension ShareTaker {
  mutating func merge(_ node: SharedNode, from fellow: UInt32) throws {
    let key = Data(node.key)
    guard let mine = try record(key: key) else {
      guard try claim(node.id, for: key, admittedAt: node.admittedAt) else { return }
      try db.execute(
        sql: "INSERT INTO nodes (id, key, class, label, labelled_at, admitted_at) VALUES (?, ?, 'M', ?, ?, ?)",
        arguments: [node.id, key, node.label.string, Int64(node.labelledAt), Int64(node.admittedAt)])
      // A node that had the id once has another now.
      try db.execute(sql: "DELETE FROM aliases WHERE old = ?", arguments: [node.id])
      try Registry.record("admitted", node: node.id, "at \(NodeName.text(fellow))", at: now, in: db)
      return try mergeStanding(of: node, over: nil)
    }
    if mine.id > node.id {
      if try claim(node.id, for: key, admittedAt: node.admittedAt) {
        try move(key, from: mine.id, to: node.id)
        try keepAlias(mine.id, of: node.id)
      }
    } else if mine.id < node.id {
      // The fellow will do the same; what it still sends under the other id belongs to this one.
      if try !has(node: node.id) { try keepAlias(node.id, of: mine.id) }
    }
    try mergeStanding(of: node, over: mine)
  }

  mutating func takeAlias(_ old: UInt32, of id: UInt32) throws {
    guard try has(node: id), try !has(node: old), try current(old) != id else { return }
    try rename(old, to: id)
    try keepAlias(old, of: id)
  }

  private func record(key: Data) throws -> NodeRecord? {
    try NodeRecord.fetchOne(db, sql: "SELECT * FROM nodes WHERE key = ?", arguments: [key])
  }

  // MARK: Ids

  /// Whether an identity may have the id. Another that has it and was admitted later gets a new one.
  private mutating func claim(_ id: UInt32, for key: Data, admittedAt: UInt64) throws -> Bool {
    let held = try NodeRecord.fetchOne(db, sql: "SELECT * FROM nodes WHERE id = ?", arguments: [id])
    guard let held, held.key != key else { return true }
    let (theirs, ours) = (Int64(admittedAt), held.admittedAt)
    guard theirs < ours || theirs == ours && key.lexicographicallyPrecedes(held.key) else {
      // The fellow hears of the holder again, and gives the other a new id.
      try db.execute(
        sql: "INSERT OR REPLACE INTO shared_registry (kind, ref) VALUES (?, ?)",
        arguments: [Registry.SharedKind.node.rawValue, held.key])
      return false
    }
    try move(held.key, from: id, to: try Registry.nextId(in: db))
    return true
  }

  private mutating func move(_ key: Data, from: UInt32, to: UInt32) throws {
    try db.execute(sql: "UPDATE nodes SET id = ? WHERE key = ?", arguments: [to, key])
    try Registry.record("renamed", node: to, "was \(NodeName.text(from))", at: now, in: db)
    try rename(from, to: to)
  }

  /// What lies here under the old id gets the new one, as sender and as receiver.
  private mutating func rename(_ old: UInt32, to id: UInt32) throws {
    // Windows are read anew afterwards.
    try streams.write()
    streams.forget()
    outcome.moved.insert(old)
    outcome.destinations.insert(id)
    try db.execute(sql: "DELETE FROM shared_spool WHERE ?1 IN (node, source)", arguments: [old])
    // The same message may be here under both names already.
    try db.execute(
      sql: """
        UPDATE OR IGNORE spool SET node = iif(node = ?1, ?2, node), source = iif(source = ?1, ?2, source)
          WHERE ?1 IN (node, source);
        DELETE FROM spool WHERE ?1 IN (node, source);
        """.replacingOccurrences(of: "?1", with: "\(old)").replacingOccurrences(of: "?2", with: "\(id)"))
    try db.execute(
      sql: """
        INSERT OR REPLACE INTO shared_spool (origin, node, source, stream, sequence)
          SELECT 0, node, source, stream, sequence FROM spool WHERE ?1 IN (node, source) ORDER BY seq
        """, arguments: [id])
    let rings = try Row.fetchAll(db, sql: "SELECT stream, window FROM streams WHERE node = ?", arguments: [old])
    try db.execute(sql: "DELETE FROM streams WHERE node = ?", arguments: [old])
    for row in rings {
      guard let (newest, seen) = StreamWindows.bits(of: row[1]) else { continue }
      try streams.merge(RingName(node: id, stream: UInt64(bitPattern: row[0])), newest: newest, seen: seen)
    }
    // Cards and offers are signed for the id.
    try db.execute(sql: "DELETE FROM cards WHERE node = ?", arguments: [old])
    try db.execute(sql: "DELETE FROM offers WHERE ?1 IN (source, destination)", arguments: [old])
    try db.execute(sql: "UPDATE OR REPLACE systems SET node = ? WHERE node = ?", arguments: [id, old])
  }

  private func keepAlias(_ old: UInt32, of id: UInt32) throws {
    guard try current(old) != id else { return }
    try db.execute(sql: "UPDATE aliases SET id = ? WHERE id = ?", arguments: [id, old])
    try db.execute(
      sql: "INSERT INTO aliases VALUES (?1, ?2) ON CONFLICT DO UPDATE SET id = ?2", arguments: [old, id])
  }

  // MARK: Standing

  /// The newest of each wins on both sides.
  private func mergeStanding(of node: SharedNode, over mine: NodeRecord?) throws {
    let key = Data(node.key)
    guard
      let row = try Row.fetchOne(
        db, sql: "SELECT id, revocation, reinstatement, labelled_at, label, admitted_at FROM nodes WHERE key = ?",
        arguments: [key])
    else { return }
    let revocation = max(row["revocation"] as Int64, Int64(node.revokedAt))
    let reinstatement = max(row["reinstatement"] as Int64, Int64(node.reinstatedAt))
    let isRevoked = revocation > 0 && revocation >= reinstatement
    let wasRevoked = mine?.isRevoked ?? false
    let isReason = Int64(node.revokedAt) == revocation && node.revokedAt > row["revocation"] as UInt64
    let reason = !isRevoked ? "" : isReason ? node.reason.string : mine?.revokedReason ?? node.reason.string
    var (label, labelledAt) = (row["label"] as String, row["labelled_at"] as Int64)
    if (Int64(node.labelledAt), node.label.string) > (labelledAt, label) {
      (label, labelledAt) = (node.label.string, Int64(node.labelledAt))
    }
    let admittedAt = min(row["admitted_at"] as Int64, Int64(node.admittedAt))
    guard
      revocation != row["revocation"] as Int64 || reinstatement != row["reinstatement"] as Int64
        || labelledAt != row["labelled_at"] as Int64 || label != row["label"] as String
        || admittedAt != row["admitted_at"] as Int64
    else { return }
    try db.execute(
      sql: """
        UPDATE nodes SET revocation = ?, reinstatement = ?, revoked_at = ?, revoked_reason = ?, label = ?,
          labelled_at = ?, admitted_at = ? WHERE key = ?
        """,
      arguments: [
        revocation, reinstatement, isRevoked ? revocation : nil, reason, label, labelledAt, admittedAt, key,
      ])
    guard isRevoked != wasRevoked else { return }
    try Registry.record(
      isRevoked ? "revoked" : "reinstated", node: row["id"] as UInt32, "at another hub", at: now, in: db)
  }
}
