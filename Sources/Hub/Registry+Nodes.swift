import Foundation
import GRDB
import Wire

/// What a node says of itself when it asks to be let in, as far as the registry needs it.
///
/// Unproven: whoever calls has to check the node's signature before anything is done in its name.
public struct JoinRequest {
  public let key: Data
  public let fingerprint: Data
  public let nodeClass: NodeClass
  public let agent: String
  /// The join token's id; nil when none was shown.
  public let tokenId: Data?
  /// True when the request proves knowledge of the secret behind this verifier. Constant time.
  public let provesToken: (_ verifier: Data) -> Bool

  public init(
    key: Data, fingerprint: Data, nodeClass: NodeClass, agent: String, tokenId: Data?,
    provesToken: @escaping (_ verifier: Data) -> Bool
  ) {
    self.key = key
    self.fingerprint = fingerprint
    self.nodeClass = nodeClass
    self.agent = agent
    self.tokenId = tokenId
    self.provesToken = provesToken
  }
}

/// One line of a batch of `noteSeen`: what an authenticated node showed. Nil leaves what is there.
public struct Sighting: Equatable, Sendable {
  public var id: UInt32
  public var at: Int64
  /// JSON object.
  public var vitals: String?
  public var agent: String?
  public var fingerprint: Data?

  public init(id: UInt32, at: Int64, vitals: String? = nil, agent: String? = nil, fingerprint: Data? = nil) {
    self.id = id
    self.at = at
    self.vitals = vitals
    self.agent = agent
    self.fingerprint = fingerprint
  }
}

extension Registry {
  /// The id of the node with this key, admitting it now if its token is good.
  ///
  /// Using up the token and creating the node are one transaction: of two simultaneous requests with the
  /// last use of a token exactly one gets in. A known key needs no token and uses none up.
  public func admit(_ request: JoinRequest, now: Int64) throws(HubError) -> Result<UInt32, ErrorCode> {
    guard request.nodeClass == .light else { return .failure(.classRefused) }
    // The usual case, a node that comes back, takes no write lock.
    if let known = try node(key: request.key) { return known.admission }
    do {
      return try write { db in try Self.admitNew(request, now: now, in: db) }
    } catch {
      // The token's use went back with the transaction.
      if error.code == .addressesExhausted { return .failure(.addressesExhausted) }
      throw error
    }
  }

  private static func admitNew(
    _ request: JoinRequest, now: Int64, in db: Database
  ) throws -> Result<UInt32, ErrorCode> {
    // Another process may have written since.
    if let known = try NodeRecord.fetchOne(db, sql: "SELECT * FROM nodes WHERE key = ?", arguments: [request.key]) {
      return known.admission
    }
    guard let token = request.tokenId else { return .failure(.tokenRequired) }
    if let refusal = try spend(token: token, provenBy: request.provesToken, now: now, in: db) {
      return .failure(refusal)
    }
    let id = try create(
      key: request.key, fingerprint: request.fingerprint, agent: request.agent, label: "", now: now, in: db)
    try record("admitted", node: id, "token \(token.hex)", at: now, in: db)
    return .success(id)
  }

  /// Throws `addressesExhausted` when every id of the class has been given.
  private static func create(
    key: Data, fingerprint: Data?, agent: String, label: String, now: Int64, in db: Database
  ) throws -> UInt32 {
    let id = try nextId(in: db)
    try db.execute(
      sql: """
        INSERT INTO nodes (id, key, fingerprint, class, label, labelled_at, admitted_at, agent)
        VALUES (?, ?, ?, 'M', ?, ?, ?, ?)
        """,
      arguments: [id, key, fingerprint, label, now, now, agent])
    return id
  }

  /// The next id that nobody has had. A hub with fellows takes it from a range of its own.
  static func nextId(in db: Database) throws -> UInt32 {
    let given: UInt32
    var last = Limits.lightNodeLast
    if let first = try UInt32.fetchOne(db, sql: "SELECT value FROM settings WHERE name = 'first_id'") {
      last = first + Limits.fellowIdsEach - 1
      given =
        try UInt32.fetchOne(
          db,
          sql: """
            SELECT max(id) FROM (SELECT id FROM nodes UNION ALL SELECT old AS id FROM aliases) WHERE id BETWEEN ? AND ?
            """, arguments: [first, last]) ?? first - 1
    } else {
      given =
        try UInt32.fetchOne(db, sql: "SELECT seq FROM sqlite_sequence WHERE name = 'nodes'") ?? Limits.lightNodeFirst
        - 1
    }
    guard given < last else { throw HubError(.addressesExhausted, "no free node id is left") }
    return given + 1
  }

  /// Lets a key in without a token, and lets a revoked one in again. Its id, old or new.
  public func allow(key: Data, label: String?, now: Int64) throws(HubError) -> UInt32 {
    try write { db in
      if let known = try NodeRecord.fetchOne(db, sql: "SELECT * FROM nodes WHERE key = ?", arguments: [key]) {
        try db.execute(
          sql: """
            UPDATE nodes SET revoked_at = NULL, revoked_reason = '',
              reinstatement = CASE WHEN revoked_at IS NULL THEN reinstatement ELSE max(?1, revocation + 1) END,
              label = ?2, labelled_at = CASE WHEN label = ?2 THEN labelled_at ELSE max(?1, labelled_at + 1) END
            WHERE id = ?3
            """,
          arguments: [now, label ?? known.label, known.id])
        if known.isRevoked { try Self.record("reinstated", node: known.id, "", at: now, in: db) }
        return known.id
      }
      let id = try Self.create(key: key, fingerprint: nil, agent: "", label: label ?? "", now: now, in: db)
      try Self.record("allowed", node: id, "key list", at: now, in: db)
      return id
    }
  }

  /// Shuts a node out for good; its id stays taken. False when it was already revoked.
  public func revoke(id: UInt32, reason: String, now: Int64) throws(HubError) -> Bool {
    try write { db in
      try db.execute(
        sql: """
          UPDATE nodes SET revoked_at = ?1, revocation = max(?1, reinstatement), revoked_reason = ?2
          WHERE id = ?3 AND revoked_at IS NULL
          """,
        arguments: [now, reason, id])
      guard db.changesCount == 1 else { return false }
      try Self.record("revoked", node: id, reason, at: now, in: db)
      return true
    }
  }

  /// Those of `ids` that may not be connected any more.
  public func revoked(among ids: some Sequence<UInt32>) throws(HubError) -> [UInt32] {
    let all = try read { try UInt32.fetchSet($0, sql: "SELECT id FROM nodes WHERE revoked_at IS NOT NULL") }
    return ids.filter(all.contains)
  }

  public func node(key: Data) throws(HubError) -> NodeRecord? {
    try read { try NodeRecord.fetchOne($0, sql: "SELECT * FROM nodes WHERE key = ?", arguments: [key]) }
  }

  public func node(id: UInt32) throws(HubError) -> NodeRecord? {
    try read { try NodeRecord.fetchOne($0, sql: "SELECT * FROM nodes WHERE id = ?", arguments: [id]) }
  }

  public func nodes() throws(HubError) -> [NodeRecord] {
    try read { try NodeRecord.fetchAll($0, sql: "SELECT * FROM nodes ORDER BY id") }
  }

  /// The one node that `name` means. Throws `notFound`, or `badArgument` when several match.
  public func node(named name: NodeName) throws(HubError) -> NodeRecord {
    let found: [NodeRecord] = try read { db in
      switch name {
      case .id(let id):
        try NodeRecord.fetchAll(db, sql: "SELECT * FROM nodes WHERE id = ?", arguments: [id])
      case .key(let bytes):
        try NodeRecord.fetchAll(
          db, sql: "SELECT * FROM nodes WHERE key = ? OR fingerprint = ?", arguments: [bytes, bytes])
      case .fingerprint(let start):
        try NodeRecord.fetchAll(
          db, sql: "SELECT * FROM nodes WHERE substr(fingerprint, 1, ?) = ? LIMIT 3", arguments: [start.count, start])
      }
    }
    guard let first = found.first else {
      throw HubError(.notFound, "there is no such node", hint: "skyhub nodes lists them")
    }
    guard found.count == 1 else {
      throw HubError(.badArgument, "several nodes match", hint: "give more digits, or the NOD number")
    }
    return first
  }

  /// Writes down when nodes were last heard, many at once: one transaction for a whole batch.
  public func noteSeen(_ sightings: some Collection<Sighting>) throws(HubError) {
    guard !sightings.isEmpty else { return }
    try write { db in
      let update = try db.makeStatement(
        sql: """
          UPDATE nodes SET last_seen_at = ?1, first_seen_at = coalesce(first_seen_at, ?1),
            vitals = coalesce(?2, vitals), agent = coalesce(?3, agent),
            fingerprint = coalesce(?4, fingerprint) WHERE id = ?5
          """)
      for sighting in sightings {
        try update.execute(
          arguments: [sighting.at, sighting.vitals, sighting.agent, sighting.fingerprint, sighting.id])
      }
    }
  }

  /// Counts a clone and puts it in the event log.
  public func noteClone(id: UInt32, detail: String, now: Int64) throws(HubError) {
    try write { db in
      try db.execute(sql: "UPDATE nodes SET clones_seen = clones_seen + 1 WHERE id = ?", arguments: [id])
      try Self.record("clone", node: id, detail, at: now, in: db)
    }
  }
}

extension NodeRecord {
  fileprivate var admission: Result<UInt32, ErrorCode> { isRevoked ? .failure(.revoked) : .success(id) }
}
