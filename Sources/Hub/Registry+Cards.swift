import Foundation
import GRDB
import Wire

/// An offer on its way from the sender of sealed messages to their receiver.
struct OfferRecord {
  let source: UInt32
  let destination: UInt32
  /// As it came: card digest, ciphertext, signature.
  let body: Data
}

/// Cards of nodes and offers between them: what two ends need to make a key that the hub has not.
extension Registry {
  /// Offers kept of one sender; the oldest go first, but none whose messages wait.
  static let offersPerNode = 1_000

  /// The card that a node last sent; nil when it has none.
  func card(of id: UInt32) throws(HubError) -> Data? {
    try read { try Data.fetchOne($0, sql: "SELECT card FROM cards WHERE node = ?", arguments: [id]) }
  }

  /// Keeps a node's card, or with nil forgets it.
  func setCard(_ card: Data?, of id: UInt32, at now: Int64) throws(HubError) {
    guard try self.card(of: id) != card else { return }
    try write { db in
      guard let card else { return try db.execute(sql: "DELETE FROM cards WHERE node = ?", arguments: [id]) }
      try db.execute(sql: "INSERT OR REPLACE INTO cards (node, at, card) VALUES (?, ?, ?)", arguments: [id, now, card])
    }
  }

  func offer(from source: UInt32, to destination: UInt32) throws(HubError) -> Data? {
    try read {
      try Data.fetchOne(
        $0, sql: "SELECT offer FROM offers WHERE source = ? AND destination = ?", arguments: [source, destination])
    }
  }

  func keep(_ offer: OfferRecord, at now: Int64) throws(HubError) {
    guard try self.offer(from: offer.source, to: offer.destination) != offer.body else { return }
    try write { db in
      try db.execute(
        sql: "INSERT OR REPLACE INTO offers (source, destination, at, offer) VALUES (?, ?, ?, ?)",
        arguments: [offer.source, offer.destination, now, offer.body])
      try db.execute(
        sql: """
          DELETE FROM offers WHERE source = ? AND destination NOT IN
            (SELECT destination FROM offers WHERE source = ? ORDER BY at DESC, destination LIMIT ?)
            AND NOT EXISTS (SELECT 1 FROM spool WHERE spool.node = offers.destination AND spool.source = offers.source)
          """, arguments: [offer.source, offer.source, Self.offersPerNode])
    }
  }
}
