import Foundation
import GRDB

/// One node as the registry remembers it. A copy: changing it changes nothing.
///
/// Times are seconds since 1970 by the hub's wall clock.
public struct NodeRecord: Equatable, Sendable, FetchableRecord {
  public let id: UInt32
  public let key: Data
  /// Nil until the node has been here once (key list).
  public let fingerprint: Data?
  public let nodeClass: String
  public let label: String
  public let admittedAt: Int64
  public let firstSeenAt: Int64?
  public let lastSeenAt: Int64?
  public let revokedAt: Int64?
  public let revokedReason: String
  public let clonesSeen: Int
  public let agent: String
  /// The last vital signs as a JSON object, or empty.
  public let vitals: String

  public var isRevoked: Bool { revokedAt != nil }
  public var name: String { NodeName.text(id) }

  public init(row: Row) {
    id = row["id"]
    key = row["key"]
    fingerprint = row["fingerprint"]
    nodeClass = row["class"]
    label = row["label"]
    admittedAt = row["admitted_at"]
    firstSeenAt = row["first_seen_at"]
    lastSeenAt = row["last_seen_at"]
    revokedAt = row["revoked_at"]
    revokedReason = row["revoked_reason"]
    clonesSeen = row["clones_seen"]
    agent = row["agent"]
    vitals = row["vitals"]
  }
}

/// One join token. Holds the verifier, never the secret: a stolen registry admits nobody.
public struct TokenRecord: Equatable, Sendable, FetchableRecord {
  public let id: Data
  public let verifier: Data
  public let usesLeft: Int
  public let expiresAt: Int64
  public let label: String
  public let createdAt: Int64

  public func state(now: Int64) -> String {
    if usesLeft <= 0 { return "used" }
    return now >= expiresAt ? "expired" : "valid"
  }

  public init(row: Row) {
    id = row["token_id"]
    verifier = row["verifier"]
    usesLeft = row["uses_left"]
    expiresAt = row["expires_at"]
    label = row["label"]
    createdAt = row["created_at"]
  }
}

/// One entry of the bounded log of things worth remembering.
public struct EventRecord: Equatable, Sendable, FetchableRecord {
  public let sequence: Int64
  public let at: Int64
  public let kind: String
  public let node: UInt32?
  public let detail: String

  public init(row: Row) {
    sequence = row["seq"]
    at = row["at"]
    kind = row["kind"]
    node = row["node"]
    detail = row["detail"]
  }
}

/// One message that a node addressed to the hub itself.
public struct InboxRecord: Equatable, Sendable, FetchableRecord {
  public let sequence: Int64
  public let at: Int64
  public let from: UInt32
  public let body: Data

  public init(row: Row) {
    sequence = row["seq"]
    at = row["at"]
    from = row["node"]
    body = row["body"]
  }
}
