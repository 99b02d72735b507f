import Bounded
import Foundation
import GRDB
import Knowledge
import Wire

/// What the hub was taught, as it answers with it.
public struct KnownAnswer: Codable, Equatable, Sendable {
  public var question: String
  public var answer: String
  public var learntAt: Int64
  /// 0: never.
  public var expiresAt: Int64

  public init(question: String, answer: String, learntAt: Int64 = 0, expiresAt: Int64 = 0) {
    self.question = question
    self.answer = answer
    self.learntAt = learntAt
    self.expiresAt = expiresAt
  }

  init(_ row: Row) {
    self.init(
      question: row["question"], answer: row["answer"], learntAt: row["learnt_at"], expiresAt: row["expires_at"])
  }
}

extension String {
  func withSpan<R>(_ body: (RawSpan) -> R) -> R { Array(utf8).withUnsafeBytes { body(RawSpan(_unsafeBytes: $0)) } }
}

/// The hub's knowledge. A question is answered with what is known for another one by the same match that nodes use, so that
/// nobody is given another question's answer; FTS5 finds what is near, for a model to read.
extension Registry {
  public static let knowledgeMaximum = 20_000
  /// Of the best that the index finds, so many are looked at.
  static let candidates = 16
  /// Of a question, so many words are looked up.
  static let indexWords = 32

  private static func hash(_ question: String) -> Int64 {
    var phrase = Phrase()
    question.withSpan { phrase.read($0) }
    return Int64(phrase.hash)
  }

  /// Hashes follow from the match, which another version may do otherwise. Call at start.
  public func refreshKnowledge(version: String) throws(HubError) {
    try write { db in
      let last = try String.fetchOne(db, sql: "SELECT value FROM settings WHERE name = 'knowledge_version'")
      guard last != version else { return }
      for row in try Row.fetchAll(db, sql: "SELECT id, question, hash FROM knowledge") {
        let hash = Self.hash(row["question"])
        guard hash != row["hash"] else { continue }
        try db.execute(sql: "UPDATE knowledge SET hash = ? WHERE id = ?", arguments: [hash, row["id"] as Int64])
      }
      try db.execute(sql: "INSERT OR REPLACE INTO settings VALUES ('knowledge_version', ?)", arguments: [version])
    }
  }

  /// Takes entries, of which each takes the place of one with the same question; how many did. All or none.
  public func learn(_ entries: [KnownAnswer], now: Int64) throws(HubError) -> (added: Int, replaced: Int) {
    try write { db in
      var replaced = 0
      for row in try Row.fetchAll(
        db, sql: "SELECT * FROM knowledge WHERE expires_at BETWEEN 1 AND ?", arguments: [now])
      {
        try Self.remove(row, in: db)
      }
      for entry in entries {
        let hash = Self.hash(entry.question)
        for row in try Self.sameQuestion(entry.question, hash, in: db) {
          try Self.remove(row, in: db)
          replaced += 1
        }
        try db.execute(
          sql: "INSERT INTO knowledge (hash, question, answer, learnt_at, expires_at) VALUES (?, ?, ?, ?, ?)",
          arguments: [hash, entry.question, entry.answer, entry.learntAt, entry.expiresAt])
        try db.execute(
          sql: "INSERT INTO knowledge_words (rowid, question, answer) VALUES (?, ?, ?)",
          arguments: [db.lastInsertedRowID, entry.question, entry.answer])
      }
      let count = try Int.fetchOne(db, sql: "SELECT count(*) FROM knowledge") ?? 0
      guard count <= Self.knowledgeMaximum else {
        throw HubError(
          .full, "that would be \(count) entries, at most \(Self.knowledgeMaximum) are kept: nothing was imported",
          hint: "skyhub knowledge forget QUESTION makes room")
      }
      return (entries.count - replaced, replaced)
    }
  }

  /// False when there is no such question.
  public func forget(_ question: String) throws(HubError) -> Bool {
    try write { db in
      let rows = try Self.sameQuestion(question, Self.hash(question), in: db)
      for row in rows { try Self.remove(row, in: db) }
      return !rows.isEmpty
    }
  }

  private static func sameQuestion(_ question: String, _ hash: Int64, in db: Database) throws -> [Row] {
    var asked = Phrase()
    var known = Phrase()
    question.withSpan { asked.read($0) }
    return try Row.fetchAll(db, sql: "SELECT * FROM knowledge WHERE hash = ?", arguments: [hash]).filter { row in
      let other: String = row["question"]
      other.withSpan { known.read($0) }
      return known.hasSameNormal(as: asked)
    }
  }

  private static func remove(_ row: Row, in db: Database) throws {
    let id: Int64 = row["id"]
    try db.execute(
      sql: "INSERT INTO knowledge_words (knowledge_words, rowid, question, answer) VALUES ('delete', ?, ?, ?)",
      arguments: [id, row["question"] as String, row["answer"] as String])
    try db.execute(sql: "DELETE FROM knowledge WHERE id = ?", arguments: [id])
  }

  /// The newest `limit`, oldest first.
  public func knowledge(limit: Int) throws(HubError) -> [KnownAnswer] {
    try read { db in
      try Row.fetchAll(db, sql: "SELECT * FROM knowledge ORDER BY id DESC LIMIT ?", arguments: [limit])
        .reversed().map { KnownAnswer($0) }
    }
  }

  public func knowledgeCount() throws(HubError) -> Int {
    try read { try Int.fetchOne($0, sql: "SELECT count(*) FROM knowledge") ?? 0 }
  }

  /// What was taught for this question, or for one that may be answered alike: nil, too, when two of the latter differ.
  func known(_ question: String, now: Int64) throws(HubError) -> KnownAnswer? {
    var asked = Phrase()
    var known = Phrase()
    question.withSpan { asked.read($0) }
    let hash = Int64(asked.hash)
    let rows = try read { db in
      try Row.fetchAll(
        db, sql: "SELECT * FROM knowledge WHERE hash = ? AND (expires_at = 0 OR expires_at > ?) ORDER BY id DESC",
        arguments: [hash, now])
    }
    var best: KnownAnswer?
    var choice = QuestionChoice()
    for row in rows {
      let entry = KnownAnswer(row)
      let match = question.withSpan { q in entry.question.withSpan { asked.match(q, with: $0, known: &known) } }
      guard let match else { continue }
      if choice.take(match, hasSameAnswer: entry.answer == best?.answer) { best = entry }
    }
    return choice.answer == nil ? nil : best
  }

  /// The entries that have most to do with a question, the nearest first: of those that the index ranks highest (bm25) the
  /// ones that have a word in three in common with it, as a node's neighbours do.
  func near(_ question: String, now: Int64) throws(HubError) -> [KnownAnswer] {
    // Words that every entry has would only be work: ranking 20,000 entries by 96 such words took 0.2 s of the loop.
    let words = question.lowercased().split { !$0.isLetter && !$0.isNumber }
      .filter { word in !String(word).withSpan { Sketch.leavesOut($0) } }.prefix(Self.indexWords)
    guard !words.isEmpty else { return [] }
    // Each word in quotes: nothing of a question is an operator.
    let pattern = words.map { "\"\($0)\"" }.joined(separator: " OR ")
    let rows = try read { db in
      try Row.fetchAll(
        db,
        sql: """
          SELECT knowledge.* FROM knowledge_words JOIN knowledge ON knowledge.id = knowledge_words.rowid
          WHERE knowledge_words MATCH ? AND (expires_at = 0 OR expires_at > ?)
          ORDER BY bm25(knowledge_words, 2.0, 1.0) LIMIT \(Self.candidates)
          """, arguments: [pattern, now])
    }
    let sketch = question.withSpan { Sketch($0) }
    let least = max(1, (sketch.count + 2) / 3)
    return Array(
      rows.map { KnownAnswer($0) }.filter { entry in
        var other = entry.question.withSpan { Sketch($0) }
        entry.answer.withSpan { other.add($0) }
        return sketch.shared(with: other) >= least
      }.prefix(Limits.answerSources))
  }
}
