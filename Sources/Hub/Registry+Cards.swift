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
    let card = try read { try Data.fetchOne($0, sql: "SELECT card FROM cards WHERE node = ?", arguments: [id]) }
    return card?.isEmpty == false ? card : nil
  }

  /// Keeps a node's card; nil: that it has none.
  func setCard(_ card: Data?, of id: UInt32, at now: Int64) throws(HubError) {
    guard try self.card(of: id) != card else { return }
    try write { try Self.put(card ?? Data(), of: id, at: now, in: $0) }
  }

  private static func put(_ card: Data, of id: UInt32, at: Int64, in db: Database) throws {
    try db.execute(
      sql: """
        INSERT INTO cards (node, at, card) VALUES (?, ?, ?)
          ON CONFLICT DO UPDATE SET at = excluded.at, card = excluded.card
        """, arguments: [id, at, card])
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
      try Self.put(offer, at: now, in: db)
      try db.execute(
        sql: """
          DELETE FROM offers WHERE source = ? AND destination NOT IN
            (SELECT destination FROM offers WHERE source = ? ORDER BY at DESC, destination LIMIT ?)
            AND NOT EXISTS (SELECT 1 FROM spool WHERE spool.node = offers.destination AND spool.source = offers.source)
          """, arguments: [offer.source, offer.source, Self.offersPerNode])
    }
  }

  private static func put(_ offer: OfferRecord, at: Int64, in db: Database) throws {
    try db.execute(
      sql: """
        INSERT INTO offers (source, destination, at, offer) VALUES (?, ?, ?, ?)
          ON CONFLICT DO UPDATE SET at = excluded.at, offer = excluded.offer
        """, arguments: [offer.source, offer.destination, at, offer.body])
  }

  // MARK: Fellows

  /// Takes in what a fellow has: of two the newer counts, of two at once the one that sorts last, so that all hubs end with
  /// the same. Who seals checks the signatures, as with what this hub took from a node.
  static func merge(_ seal: SharedSeal, _ text: Data, in db: Database) throws {
    let kept =
      seal.receiver == 0
      ? try Row.fetchOne(db, sql: "SELECT at, card FROM cards WHERE node = ?", arguments: [seal.node])
      : try Row.fetchOne(
        db, sql: "SELECT at, offer FROM offers WHERE source = ? AND destination = ?",
        arguments: [seal.node, seal.receiver])
    let at = Int64(seal.at)
    if let kept {
      let (keptAt, body) = (kept[0] as Int64, kept[1] as Data)
      guard at > keptAt || at == keptAt && body.lexicographicallyPrecedes(text) else { return }
    }
    if seal.receiver == 0 { return try put(text, of: seal.node, at: at, in: db) }
    try put(OfferRecord(source: seal.node, destination: seal.receiver, body: text), at: at, in: db)
  }

  static func sharedCard(of id: UInt32, version: UInt64, in db: Database) throws -> SharedChange {
    var change = SharedChange(version: version)
    guard let row = try Row.fetchOne(db, sql: "SELECT at, card FROM cards WHERE node = ?", arguments: [id]) else {
      return change
    }
    change.text = row[1]
    change.entries = [.seal(SharedSeal(node: id, at: row[0]))]
    return change
  }

  /// The pair as the log names it.
  static func sharedOffer(pair: Int64, version: UInt64, in db: Database) throws -> SharedChange {
    let (source, destination) = (UInt32(pair >> 24), UInt32(pair & 0xFF_FFFF))
    var change = SharedChange(version: version)
    let found = try Row.fetchOne(
      db, sql: "SELECT at, offer FROM offers WHERE source = ? AND destination = ?", arguments: [source, destination])
    guard let row = found else { return change }
    change.text = row[1]
    change.entries = [.seal(SharedSeal(node: source, receiver: destination, at: row[0]))]
    return change
  }
}
