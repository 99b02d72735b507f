import Bounded
import Foundation
import GRDB
import Knowledge
import KnowledgeFile
import Platform
import Wire

/// The store of taught questions with 100,000 entries, as the daemon uses it, beside SQLite; then in the daemon.
enum KnowledgeSpeed {
  static func run(_ options: BenchOptions, _ lab: Lab) throws -> Report {
    if let file = options.pairs { return try PairCheck.run(file) }
    let count = options.isQuick ? 5_000 : 100_000
    let rounds = options.isQuick ? 1 : 3
    let set = try TaughtSet(count: count, asked: options.isQuick ? 1_000 : 20_000)
    var report = Report("l0")
    let sqlite = try SQLitePeer(lab, set)
    report.peer = "SQLite \(try sqlite.version())"
    let file = try fill(lab, set)
    report.notes = [
      Proc.machine(),
      "\(count) questions `What is a ...?` of WordNet's nouns, their definitions as answers, in a store of \(storeBytes >> 20) MiB",
      "\(set.exact.count) look-ups of each kind, one after the other, files in the page cache; medians of \(rounds) "
        + "rounds, ours and the peer's in turns",
      "peer: exact and normalised through an index on the text (it is given the normal form ready made); "
        + "guarded through FTS5, the noun's words, best by bm25: that finds what is near, not what is the same",
    ]
    let store = try open(file)
    var ours: [Kind: [[Double]]] = [:]
    var theirs: [Kind: [[Double]]] = [:]
    for _ in 0..<rounds {
      for kind in Kind.allCases {
        ours[kind, default: []].append(try times(set[kind]) { try ask(store.store, $0, kind) })
        theirs[kind, default: []].append(try times(set[kind]) { try sqlite.ask($0, kind) })
      }
    }
    for kind in Kind.allCases {
      for part in [0.5, 0.99] {
        func middle(_ all: [[Double]]?) -> Double { (all ?? []).map { percentile($0, part) }.median }
        report.metrics.append(
          Metric(
            "\(kind.rawValue): p\(Int(part * 100))", middle(ours[kind]), "us", peer: middle(theirs[kind]),
            goal: part == 0.99 ? .atMost(1_000) : nil))
      }
    }
    let cold = try coldTimes(file, store.store, set)
    report.metrics += [
      Metric("exact, none of its pages in the page cache: p50", percentile(cold, 0.5), "us"),
      Metric("exact, none of its pages in the page cache: p99", percentile(cold, 0.99), "us"),
    ]
    report.metrics += try daemon(lab, file, set, rounds)
    return report
  }

  enum Kind: String, CaseIterable {
    case exact, normalised, guarded, miss
  }

  struct Question {
    let text: [UInt8]
    let answer: [UInt8]
    let words: String
    /// Only for the peer, which is given it.
    let normal: String
  }

  static let storeBytes: UInt64 = 32 << 20

  static func percentile(_ times: [Double], _ part: Double) -> Double {
    let sorted = times.sorted()
    return sorted[min(sorted.count - 1, Int(Double(sorted.count) * part))]
  }

  /// Microseconds of each.
  private static func times(_ questions: [Question], _ body: (Question) throws -> Void) throws -> [Double] {
    try questions.map { question in
      let begun = Clock.now
      try body(question)
      return (Clock.now - begun) * 1e6
    }
  }

  // MARK: Ours

  private static func open(_ folder: String) throws -> (store: KnowledgeStore, loop: EventLoop) {
    let loop = try EventLoop()
    return (try KnowledgeStore(directory: PathText(folder)!, bytes: storeBytes, loop: loop), loop)
  }

  /// Taught one by one, in memory for the time being: two syncs for each are not what is measured. The folder.
  private static func fill(_ lab: Lab, _ set: TaughtSet) throws -> String {
    let memory = "/dev/shm/\(lab.folder.lastPathComponent)"
    try FileManager.default.createDirectory(atPath: memory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: memory) }
    do {
      let (store, loop) = try open(memory)
      for question in set.taught {
        let number = try question.text.withUnsafeBytes { text in
          try question.answer.withUnsafeBytes { answer in
            try store.learn(
              RawSpan(_unsafeBytes: text), RawSpan(_unsafeBytes: answer), pinned: false, ttlS: 0, level: 0, nowS: 1)
          }
        }
        while store.lastWrite < number {
          try loop.wait(until: Platform.Clock.now + 1_000)
          store.pump()
        }
        guard !store.hasLastWriteFailed else { throw BenchError("the store did not take an entry") }
      }
      guard Int(store.entries) == set.taught.count, store.counters.evicted == 0 else {
        throw BenchError("the store has \(store.entries) entries instead of \(set.taught.count)")
      }
    }
    let folder = lab.file("taught")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: memory + "/knowledge.store", toPath: folder + "/knowledge.store")
    return folder
  }

  /// Asks, and does not believe the answer.
  private static func ask(_ store: KnowledgeStore, _ question: Question, _ kind: Kind) throws {
    let isRight: Bool? = question.text.withUnsafeBytes { text in
      store.find(RawSpan(_unsafeBytes: text), nowS: 2) { entry, match in
        match.token.description == kind.rawValue && entry.answer.byteCount == question.answer.count
          && (0..<question.answer.count).allSatisfy { entry.answer[$0] == question.answer[$0] }
      }
    }
    guard isRight == (kind == .miss ? nil : true) else {
      throw BenchError("\(kind.rawValue): \(String(decoding: question.text, as: UTF8.self)) is answered wrongly")
    }
  }

  /// Before each look-up the kernel is told to forget the file. What the medium's own cache holds stays there.
  private static func coldTimes(_ folder: String, _ store: KnowledgeStore, _ set: TaughtSet) throws -> [Double] {
    let file = Glibc.open(folder + "/knowledge.store", O_RDWR)
    guard file >= 0, fsync(file) == 0 else { throw BenchError("the store cannot be synced") }
    defer { close(file) }
    return try set.exact.prefix(500).map { question in
      guard posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0 else { throw BenchError("posix_fadvise failed") }
      let begun = Clock.now
      try ask(store, question, .exact)
      return (Clock.now - begun) * 1e6
    }
  }

  // MARK: In the daemon

  private static func daemon(_ lab: Lab, _ folder: String, _ set: TaughtSet, _ rounds: Int) throws -> [Metric] {
    for (name, isTaught) in [("asked", true), ("bare", false)] {
      let state = lab.file("\(name)/state")
      try FileManager.default.createDirectory(
        atPath: state, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
      guard isTaught else { continue }
      try FileManager.default.copyItem(atPath: folder + "/knowledge.store", toPath: state + "/knowledge.store")
    }
    let node = try Node(lab, "asked", ticket: nil, settings: "knowledge_bytes = \(storeBytes >> 20) MiB\n")
    let bare = try Node(lab, "bare", ticket: nil)
    for name in ["asked", "bare"] {
      try lab.wait(for: "the start of \(name)") { try AskLine(lab.file("\(name)/control.sock")).close() }
    }
    // The first connection makes the buffers' pages.
    let line = try AskLine(lab.file("asked/control.sock"))
    let before = (try Proc.anonymousKB(node.pid), try Proc.privateKB(node.pid))
    var metrics: [Metric] = []
    let kinds = [Kind.exact, .normalised, .guarded]
    var taken: [Kind: [[Double]]] = [:]
    let cpu = try Proc.cpuMs(node.pid)
    for _ in 0..<rounds {
      for kind in kinds {
        taken[kind, default: []].append(try times(Array(set[kind].prefix(5_000))) { try line.ask($0, kind) })
      }
    }
    let asked = Double(taken.values.joined().map(\.count).reduce(0, +))
    metrics.append(
      Metric("daemon, processor time for one question", (try Proc.cpuMs(node.pid) - cpu) * 1_000 / asked, "us"))
    for kind in kinds {
      func middle(_ part: Double) -> Double { (taken[kind] ?? []).map { percentile($0, part) }.median }
      metrics += [
        Metric("daemon, \(kind.rawValue), through its socket: p50", middle(0.5), "us"),
        Metric("daemon, \(kind.rawValue), through its socket: p99", middle(0.99), "us", goal: .atMost(1_000)),
      ]
    }
    let missed = try times(Array(set.miss.prefix(50))) { try line.ask($0, .miss) }
    let after = (try Proc.anonymousKB(node.pid), try Proc.privateKB(node.pid))
    return metrics + [
      Metric("daemon, miss, all pages looked through for neighbours: p50", percentile(missed, 0.5) / 1_000, "ms"),
      Metric("daemon, growth of anonymous memory by these questions", after.0 - before.0, "kB", goal: .atMost(256)),
      Metric("daemon, the same with pages of its program file", after.1 - before.1, "kB"),
      Metric(
        "daemon, anonymous memory beyond one without a store", after.0 - (try Proc.anonymousKB(bare.pid)), "kB",
        goal: .atMost(256)),
    ]
  }
}

/// What is taught and asked: WordNet's nouns, in an order that is always the same.
struct TaughtSet {
  typealias Question = KnowledgeSpeed.Question

  private(set) var taught: [Question] = []
  private(set) var exact: [Question] = []
  private(set) var normalised: [Question] = []
  private(set) var guarded: [Question] = []
  private(set) var miss: [Question] = []

  subscript(kind: KnowledgeSpeed.Kind) -> [Question] {
    switch kind {
    case .exact: exact
    case .normalised: normalised
    case .guarded: guarded
    case .miss: miss
    }
  }

  init(count: Int, asked: Int) throws {
    var nouns = try Self.nouns()
    var state: UInt64 = 1
    func random(_ below: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(below))
    }
    for i in stride(from: nouns.count - 1, to: 0, by: -1) { nouns.swapAt(i, random(i + 1)) }
    // Two nouns may ask the same by the match's own rules: one of them.
    var hashes: Set<UInt32> = []
    var unknown: [(String, String)] = []
    var known: [(String, String)] = []
    for noun in nouns where hashes.insert(PairCheck.read("What is a \(noun.0)?").hash).inserted {
      if known.count < count { known.append(noun) } else { unknown.append(noun) }
    }
    guard known.count == count, unknown.count > 1_000 else { throw BenchError("WordNet has too few nouns") }
    func make(_ text: String, _ noun: (String, String)) -> Question {
      Question(
        text: Array(text.utf8), answer: Array(noun.1.utf8), words: noun.0,
        normal: PairCheck.read(text).withNormal { span in
          String(decoding: (0..<span.byteCount).map { span[$0] }, as: UTF8.self)
        })
    }
    taught = known.map { make("What is a \($0.0)?", $0) }
    for i in 0..<asked {
      let noun = known[random(count)]
      exact.append(make("What is a \(noun.0)?", noun))
      normalised.append(make("what is  a \(noun.0) ?", noun))
      guarded.append(make(i % 2 == 0 ? "What's a \(noun.0)?" : "Can you tell me what is a \(noun.0)?", noun))
      let other = unknown[random(unknown.count)]
      miss.append(i % 2 == 0 ? make("What was a \(noun.0)?", noun) : make("What is a \(other.0)?", other))
    }
  }

  /// Noun and definition.
  private static func nouns() throws -> [(String, String)] {
    let folder = "/usr/share/wordnet"
    guard let data = try? String(contentsOfFile: folder + "/data.noun", encoding: .utf8) else {
      throw BenchError("\(folder) is missing: tools/setup installs wordnet-base")
    }
    var seen: Set<Substring> = []
    var found: [(String, String)] = []
    for line in data.split(separator: "\n") where !line.hasPrefix(" ") {
      let halves = line.split(separator: "|", maxSplits: 1)
      let fields = halves[0].split(separator: " ")
      guard halves.count == 2, fields.count > 4, let words = Int(fields[3], radix: 16) else { continue }
      for i in 0..<words where seen.insert(fields[4 + 2 * i]).inserted {
        let answer = halves[1].trimmingCharacters(in: .whitespaces).prefix(200)
        found.append((String(fields[4 + 2 * i]).replacing("_", with: " "), String(answer)))
      }
    }
    return found
  }
}

/// A table with indices, and full-text search.
private final class SQLitePeer {
  private let queue: DatabaseQueue

  init(_ lab: Lab, _ set: TaughtSet) throws {
    queue = try DatabaseQueue(path: lab.file("peer.sqlite"))
    try queue.write { db in
      try db.execute(
        sql: """
          CREATE TABLE entry (question TEXT NOT NULL UNIQUE, normal TEXT NOT NULL, answer TEXT NOT NULL);
          CREATE VIRTUAL TABLE text USING fts5 (question, content='entry')
          """)
      let insert = try db.makeStatement(sql: "INSERT INTO entry VALUES (?, ?, ?)")
      for question in set.taught {
        let text = String(decoding: question.text, as: UTF8.self)
        try insert.execute(
          arguments: [text, question.normal, String(decoding: question.answer, as: UTF8.self)])
      }
      try db.execute(
        sql: "CREATE INDEX entry_normal ON entry (normal); INSERT INTO text(text) VALUES ('rebuild'); ANALYZE")
    }
  }

  func version() throws -> String {
    try queue.read { try String.fetchOne($0, sql: "SELECT sqlite_version()") ?? "?" }
  }

  func ask(_ question: KnowledgeSpeed.Question, _ kind: KnowledgeSpeed.Kind) throws {
    let text = String(decoding: question.text, as: UTF8.self)
    let answer: String? = try queue.read { db in
      switch kind {
      case .exact:
        return try String.fetchOne(
          db.cachedStatement(sql: "SELECT answer FROM entry WHERE question = ?"), arguments: [text])
      case .normalised, .miss:
        return try String.fetchOne(
          db.cachedStatement(sql: "SELECT answer FROM entry WHERE normal = ?"), arguments: [question.normal])
      case .guarded:
        let words = question.words.split { !$0.isLetter && !$0.isNumber }.map { "\"\($0)\"" }.joined(separator: " ")
        return try String.fetchOne(
          db.cachedStatement(
            sql: """
              SELECT answer FROM entry WHERE rowid =
                (SELECT rowid FROM text WHERE text MATCH ? ORDER BY bm25(text) LIMIT 1)
              """), arguments: [words])
      }
    }
    guard kind == .miss ? answer == nil : answer != nil else { throw BenchError("SQLite, \(kind.rawValue): \(text)") }
  }
}

/// A client of the control socket that asks one question after the other.
private final class AskLine {
  private let descriptor: Int32
  private var rest: [UInt8] = []

  init(_ path: String) throws {
    descriptor = try Net.connect(to: path)
    guard try nextLine().hasPrefix("SKYNOD 1 ") else {
      close()
      throw BenchError("nobody answers at \(path)")
    }
  }

  @discardableResult
  func close() -> Bool { Glibc.close(descriptor) == 0 }

  private func nextLine() throws -> String {
    while true {
      if let end = rest.firstIndex(of: 10) {
        let line = String(decoding: rest[..<end], as: UTF8.self)
        rest.removeSubrange(...end)
        return line
      }
      let more = Net.read(descriptor)
      guard !more.isEmpty else { throw BenchError("the daemon hung up") }
      rest += more
    }
  }

  func ask(_ question: KnowledgeSpeed.Question, _ kind: KnowledgeSpeed.Kind) throws {
    guard Net.write(Array("ask grounded \"".utf8) + question.text + Array("\"\n".utf8), to: descriptor) else {
      throw BenchError("the daemon hung up")
    }
    var match = "miss"
    var line = try nextLine()
    while line != "OK", !line.hasPrefix("ERR ") {
      if line.hasPrefix("match=") { match = String(line.dropFirst(6)) }
      line = try nextLine()
    }
    // Where something is near, a model would be asked; there is none.
    guard match == kind.rawValue, kind != .miss || line.hasPrefix("ERR ") else {
      throw BenchError("the daemon, \(kind.rawValue): \(String(decoding: question.text, as: UTF8.self)): \(line)")
    }
  }
}
