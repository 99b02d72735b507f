import GRDB
import Wire

/// The tables of `hub.db`, as a list of steps that is only ever added to.
///
/// Nodes are never deleted: an id belongs to its key for ever, also after a revocation.
enum Schema {
  static var migrator: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("1 nodes, tokens, events, inbox, settings", migrate: first)
    migrator.registerMigration("2 spool, streams", migrate: second)
    migrator.registerMigration("3 bundles, rollouts, systems", migrate: third)
    migrator.registerMigration("4 jobs", migrate: fourth)
    migrator.registerMigration("5 knowledge, requests", migrate: fifth)
    migrator.registerMigration("6 cards, offers", migrate: sixth)
    migrator.registerMigration("7 fellows", migrate: fellows)
    migrator.registerMigration("8 spool by source", migrate: spoolBySource)
    migrator.registerMigration("9 urgent messages", migrate: urgent)
    return migrator
  }

  /// An urgent message is found among ten thousand others without a look at them.
  private static func urgent(_ db: Database) throws {
    try db.execute(sql: "CREATE INDEX spool_urgent ON spool (node, seq) WHERE sequence >= \(Limits.urgentSequences)")
  }

  private static func spoolBySource(_ db: Database) throws {
    try db.execute(sql: "CREATE INDEX spool_by_source ON spool (source)")
  }

  /// Keys of nodes as they tell them, and what senders make of them for receivers; messages say how they are sealed.
  private static func sixth(_ db: Database) throws {
    try db.execute(
      sql: """
        CREATE TABLE cards (
          node INTEGER PRIMARY KEY NOT NULL,
          at INTEGER NOT NULL,
          card BLOB NOT NULL CHECK (length(card) IN (0, \(Card.byteCount)))
        ) STRICT;
        CREATE TABLE offers (
          source INTEGER NOT NULL,
          destination INTEGER NOT NULL,
          at INTEGER NOT NULL,
          offer BLOB NOT NULL CHECK (length(offer) = \(SealOffer.byteCount)),
          PRIMARY KEY (source, destination)
        ) STRICT, WITHOUT ROWID;
        ALTER TABLE spool ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;
        """)
  }

  private static func first(_ db: Database) throws {
    // AUTOINCREMENT: an id is not given again even if somebody deletes the row by hand.
    try db.execute(
      sql: """
        CREATE TABLE nodes (
          id INTEGER PRIMARY KEY AUTOINCREMENT
            CHECK (id BETWEEN \(Limits.lightNodeFirst) AND \(Limits.lightNodeLast)),
          key BLOB NOT NULL UNIQUE CHECK (length(key) = \(Limits.keyBytes)),
          fingerprint BLOB,
          class TEXT NOT NULL,
          label TEXT NOT NULL DEFAULT '',
          admitted_at INTEGER NOT NULL,
          first_seen_at INTEGER,
          last_seen_at INTEGER,
          revoked_at INTEGER,
          revoked_reason TEXT NOT NULL DEFAULT '',
          clones_seen INTEGER NOT NULL DEFAULT 0,
          agent TEXT NOT NULL DEFAULT '',
          vitals TEXT NOT NULL DEFAULT ''
        ) STRICT;
        INSERT INTO sqlite_sequence (name, seq) VALUES ('nodes', \(Limits.lightNodeFirst - 1));
        CREATE INDEX nodes_by_fingerprint ON nodes (fingerprint);
        CREATE TABLE tokens (
          token_id BLOB PRIMARY KEY NOT NULL CHECK (length(token_id) = \(Limits.tokenIdBytes)),
          verifier BLOB NOT NULL CHECK (length(verifier) = \(Limits.hashBytes)),
          uses_left INTEGER NOT NULL CHECK (uses_left >= 0),
          expires_at INTEGER NOT NULL,
          label TEXT NOT NULL DEFAULT '',
          created_at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE events (
          seq INTEGER PRIMARY KEY AUTOINCREMENT,
          at INTEGER NOT NULL,
          kind TEXT NOT NULL,
          node INTEGER,
          detail TEXT NOT NULL
        ) STRICT;
        CREATE TABLE inbox (
          seq INTEGER PRIMARY KEY AUTOINCREMENT,
          at INTEGER NOT NULL,
          node INTEGER NOT NULL,
          body BLOB NOT NULL
        ) STRICT;
        CREATE TABLE settings (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
        """)
  }

  /// Published bundles, their roll-outs (JSON: read whole, changed whole), and what boards said of their systems.
  private static func third(_ db: Database) throws {
    try db.execute(
      sql: """
        CREATE TABLE bundles (
          board TEXT PRIMARY KEY NOT NULL,
          maker BLOB NOT NULL CHECK (length(maker) = \(Limits.keyBytes)),
          release INTEGER NOT NULL,
          name TEXT NOT NULL,
          digest BLOB NOT NULL CHECK (length(digest) = \(Limits.hashBytes)),
          published_at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE rollouts (board TEXT PRIMARY KEY NOT NULL, state BLOB NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE systems (node INTEGER PRIMARY KEY, at INTEGER NOT NULL, report BLOB NOT NULL) STRICT;
        """)
  }

  /// Jobs: how each stands (JSON: read whole, changed whole), what goes in and what came of it. `cancelled_at` is the
  /// commands' column, the others are the running hub's once a job is there.
  private static func fourth(_ db: Database) throws {
    try db.execute(
      sql: """
        CREATE TABLE jobs (
          id INTEGER PRIMARY KEY NOT NULL,
          is_finished INTEGER NOT NULL DEFAULT 0,
          cancelled_at INTEGER,
          state BLOB NOT NULL,
          input BLOB NOT NULL CHECK (length(input) BETWEEN 1 AND \(Limits.jobBytes)),
          result BLOB
        ) STRICT;
        CREATE INDEX jobs_unfinished ON jobs (id) WHERE is_finished = 0;
        """)
  }

  /// What the hub was taught, with an index of its words, and what became of questions. The index has no copy of the texts:
  /// whoever changes the one changes the other. No question of a node is written down.
  private static func fifth(_ db: Database) throws {
    try db.execute(
      sql: """
        CREATE TABLE knowledge (
          id INTEGER PRIMARY KEY NOT NULL,
          hash INTEGER NOT NULL,
          question TEXT NOT NULL CHECK (length(CAST(question AS BLOB)) BETWEEN 1 AND \(Limits.questionBytes)),
          answer TEXT NOT NULL CHECK (length(CAST(answer AS BLOB)) BETWEEN 1 AND \(Limits.answerBytes)),
          learnt_at INTEGER NOT NULL,
          expires_at INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX knowledge_by_hash ON knowledge (hash);
        CREATE VIRTUAL TABLE knowledge_words USING fts5(
          question, answer, content='knowledge', content_rowid='id', tokenize='porter unicode61');
        CREATE TABLE requests (
          seq INTEGER PRIMARY KEY AUTOINCREMENT,
          at INTEGER NOT NULL,
          node INTEGER NOT NULL,
          question INTEGER NOT NULL,
          level INTEGER NOT NULL,
          outcome TEXT NOT NULL,
          cost INTEGER NOT NULL,
          elapsed_ms INTEGER NOT NULL,
          vote INTEGER
        ) STRICT;
        CREATE INDEX requests_by_node ON requests (node, question);
        """)
  }

  /// What hubs need to share a registry: its name, changes as numbers that merge, and a log of what has changed for fellows.
  /// A log has one row for each thing, the newest change; a row whose thing is gone says just that. The logs are empty
  /// without fellows (`Registry.share`).
  private static func fellows(_ db: Database) throws {
    try db.execute(
      sql: """
        ALTER TABLE nodes ADD COLUMN revocation INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE nodes ADD COLUMN reinstatement INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE nodes ADD COLUMN labelled_at INTEGER NOT NULL DEFAULT 0;
        UPDATE nodes SET revocation = coalesce(revoked_at, 0), labelled_at = admitted_at;
        ALTER TABLE tokens ADD COLUMN uses INTEGER NOT NULL DEFAULT 0;
        UPDATE tokens SET uses = uses_left;
        CREATE TABLE token_uses (
          token_id BLOB NOT NULL,
          registry INTEGER NOT NULL,
          used INTEGER NOT NULL,
          PRIMARY KEY (token_id, registry)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE aliases (old INTEGER PRIMARY KEY NOT NULL, id INTEGER NOT NULL) STRICT;
        CREATE TABLE shared_registry (
          version INTEGER PRIMARY KEY AUTOINCREMENT,
          kind INTEGER NOT NULL,
          ref ANY NOT NULL,
          UNIQUE (kind, ref)
        ) STRICT;
        CREATE TABLE shared_spool (
          version INTEGER PRIMARY KEY AUTOINCREMENT,
          origin INTEGER NOT NULL,
          node INTEGER NOT NULL,
          source INTEGER NOT NULL,
          stream INTEGER NOT NULL,
          sequence INTEGER NOT NULL,
          UNIQUE (node, source, stream, sequence)
        ) STRICT;
        CREATE TABLE fellow_marks (
          registry INTEGER PRIMARY KEY NOT NULL,
          registry_mark INTEGER NOT NULL,
          messages_mark INTEGER NOT NULL
        ) STRICT;
        INSERT INTO settings VALUES ('registry', abs(random() % 9223372036854775807) | 1);
        """)
  }

  /// Durable messages on their way through this hub, and the duplicate windows of the rings they come from.
  private static func second(_ db: Database) throws {
    try db.execute(
      sql: """
        CREATE TABLE spool (
          seq INTEGER PRIMARY KEY AUTOINCREMENT,
          node INTEGER NOT NULL,
          source INTEGER NOT NULL,
          stream INTEGER NOT NULL,
          sequence INTEGER NOT NULL,
          hops INTEGER NOT NULL,
          expires_ms INTEGER NOT NULL,
          body BLOB NOT NULL,
          UNIQUE (node, source, stream, sequence)
        ) STRICT;
        CREATE INDEX spool_by_node ON spool (node, seq);
        CREATE TABLE streams (
          node INTEGER NOT NULL,
          stream INTEGER NOT NULL,
          heard_at INTEGER NOT NULL,
          window BLOB NOT NULL,
          UNIQUE (node, stream)
        ) STRICT;
        CREATE INDEX streams_by_node ON streams (node, heard_at);
        """)
  }
}
