import Foundation
import GRDB
import Wire

extension Registry {
  /// Used-up and expired tokens are forgotten this long after they expired.
  static let tokenKeptSeconds: Int64 = 30 * 86_400
  public static let tokenUsesMaximum = 1_000_000

  /// Stores a new token. `verifier` is `SHA-256("skynod token" ‖ secret)`; the secret stays in the ticket.
  public func addToken(
    id: Data, verifier: Data, uses: Int, expiresAt: Int64, label: String, now: Int64
  ) throws(HubError) {
    try write { db in
      try db.execute(sql: "DELETE FROM tokens WHERE expires_at < ?", arguments: [now - Self.tokenKeptSeconds])
      try db.execute(
        sql: """
          INSERT INTO tokens (token_id, verifier, uses, uses_left, expires_at, label, created_at)
          VALUES (?, ?, ?, ?, ?, ?, ?)
          """,
        arguments: [id, verifier, uses, uses, expiresAt, label, now])
      try Self.record("token_added", "token \(id.hex), uses \(uses)", at: now, in: db)
    }
  }

  /// Every remembered token, the oldest first.
  public func tokens() throws(HubError) -> [TokenRecord] {
    try read { try TokenRecord.fetchAll($0, sql: "SELECT * FROM tokens ORDER BY created_at, token_id") }
  }

  /// Forgets a token. False when there is none by that id. Nodes that it admitted stay admitted.
  public func removeToken(id: Data, now: Int64) throws(HubError) -> Bool {
    try write { db in
      try db.execute(sql: "DELETE FROM tokens WHERE token_id = ?", arguments: [id])
      guard db.changesCount == 1 else { return false }
      try Self.record("token_revoked", "token \(id.hex)", at: now, in: db)
      return true
    }
  }

  /// Takes one use off a token inside the caller's transaction.
  ///
  /// The secret is judged first: someone who only knows the id learns nothing about its state.
  static func spend(
    token id: Data, provenBy verify: (Data) -> Bool, now: Int64, in db: Database
  ) throws -> ErrorCode? {
    let found = try TokenRecord.fetchOne(db, sql: "SELECT * FROM tokens WHERE token_id = ?", arguments: [id])
    guard let token = found else { return .tokenUnknown }
    guard verify(token.verifier) else { return .tokenInvalid }
    guard token.usesLeft > 0 else { return .tokenUsed }
    guard now < token.expiresAt else { return .tokenExpired }
    try db.execute(
      sql: "UPDATE tokens SET uses_left = uses_left - 1 WHERE token_id = ? AND uses_left > 0", arguments: [id])
    guard db.changesCount == 1 else { return .tokenUsed }
    // Hubs that share tokens count apart, so that no two of them write one number.
    try db.execute(
      sql: """
        INSERT INTO token_uses VALUES (?, (SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'registry'), 1)
          ON CONFLICT DO UPDATE SET used = used + 1
        """, arguments: [id])
    return nil
  }
}
