import Bounded
import Durable
import Foundation
import GRDB
import Platform
import Wire

/// The ring file beside SQLite (WAL, synchronous=FULL): each message of 256 bytes is stored, synced,
/// handed out and forgotten. Both in this process, optimised, on the same file system, one after the other.
enum RingBench {
  private static let bodyBytes = 256
  private static let group = 64

  static func run(_ options: BenchOptions, _ lab: Lab) throws -> Report {
    let seconds = options.seconds ?? 5
    var report = Report("ring")
    report.peer = "SQLite \(try version()), WAL, synchronous=FULL"
    report.notes = [
      Proc.machine(), "file system: \(fileSystem(lab.folder.path))",
      "\(bodyBytes)-byte messages, stored with a sync, handed out, forgotten; \(figure(seconds)) s each; one at a time, "
        + "and \(group) waiting together (SQLite: one transaction for them)",
      "to the medium: sectors written by the block device, other processes included; recovery: from a "
        + "full ring of 4 MiB, the file in the page cache "
        + "(SQLite: the same messages, opened and read once)",
    ]
    for group in [1, group] {
      let what = group == 1 ? "one at a time" : "\(group) together"
      let ours = try ring(lab, seconds, group)
      let theirs = try sqlite(lab, seconds, group)
      report.metrics += [
        Metric("messages, \(what)", ours.rate, "1/s", peer: theirs.rate),
        Metric("to the medium for one, \(what)", ours.bytes, "bytes", peer: theirs.bytes),
        Metric("processor time for one, \(what)", ours.cpuUs, "us", peer: theirs.cpuUs),
      ]
    }
    let (mine, count) = try ringRecovery(lab)
    report.metrics.append(
      Metric(
        "recovery, \(count) messages", mine, "ms", peer: try sqliteRecovery(lab, count), goal: .atMost(200)))
    report.metrics += try slowMedium(lab)
    report.metrics.append(try idle(lab))
    return report
  }

  struct Result {
    var rate: Double
    var bytes: Double
    var cpuUs: Double
  }

  /// Runs `body`, which says how many messages went through, for so long, and counts what it took.
  private static func measure(_ folder: URL, _ seconds: Double, _ body: () throws -> Int) throws -> Result {
    var messages = 0
    let bytes = try written(folder)
    let cpu = Platform.Clock.cpuUs
    let begun = Clock.now
    while Clock.now - begun < seconds { messages += try body() }
    let took = Clock.now - begun
    let count = Double(messages)
    return Result(
      rate: count / took, bytes: (try written(folder) - bytes) / count,
      cpuUs: Double(Platform.Clock.cpuUs - cpu) / count)
  }

  /// Bytes that the medium was given, by its own count, all processes together: /proc/self/io counts whole
  /// folios of the page cache, which may be larger than what of them is written.
  private static func written(_ folder: URL) throws -> Double {
    var info = stat()
    guard stat(folder.path, &info) == 0 else { throw BenchError("\(folder.path) is gone") }
    let (major, minor) = (info.st_dev >> 8 & 0xFFF, info.st_dev & 0xFF | info.st_dev >> 12 & 0xFFF00)
    guard let text = try? String(contentsOfFile: "/sys/dev/block/\(major):\(minor)/stat", encoding: .utf8) else {
      throw BenchError("\(folder.path) lies on no block device of its own")
    }
    let fields = text.split(separator: " ")
    // Documentation/block/stat.rst: the seventh field is sectors written.
    guard fields.count > 6, let sectors = Double(fields[6]) else { throw BenchError("unknown block statistics") }
    return sectors * 512
  }

  private static func fileSystem(_ path: String) -> String {
    let mounts = ((try? String(contentsOfFile: "/proc/mounts", encoding: .utf8)) ?? "").split(separator: "\n")
    let fields = mounts.map { $0.split(separator: " ") }.filter { $0.count > 2 && path.hasPrefix(String($0[1])) }
    return fields.max { $0[1].count < $1[1].count }.map { String($0[2]) } ?? "unknown"
  }

  // MARK: The ring

  private static func open(_ path: String, _ parameters: RingParameters = RingParameters()) throws -> RingFile {
    let file = try RingFile(
      PathText(path)!, parameters, now: Platform.Clock.now, restore: { _ in }, visit: { _, _ in }, user: { _ in 0 })
    guard file.ring.health == .stored else {
      throw BenchError("the ring is not stored: \(file.ring.health)")
    }
    return file
  }

  private static func turn(_ file: RingFile, _ loop: EventLoop) throws {
    try loop.wait(until: min(file.ring.deadline(now: Platform.Clock.now), Platform.Clock.now + 100))
    file.pump(now: Platform.Clock.now, user: { _ in 0 })
  }

  private static func ring(_ lab: Lab, _ seconds: Double, _ group: Int) throws -> Result {
    let path = lab.file("ring-\(group)")
    var parameters = RingParameters()
    parameters.gatherMs = 0
    let file = try open(path, parameters)
    let loop = try EventLoop()
    try loop.add(file.descriptor!, token: 1, .read)
    let body = [UInt8](repeating: 0x55, count: bodyBytes)
    return try measure(lab.folder, seconds) {
      var taken = 0
      for _ in 0..<group {
        do throws(RingRefusal) {
          _ = try file.ring.append(kind: 1, body.span.bytes, now: Platform.Clock.now)
          taken += 1
        } catch { break }
      }
      let last = file.ring.nextSequence - 1
      file.pump(now: Platform.Clock.now, user: { _ in 0 })
      while file.ring.settledSequence < last { try turn(file, loop) }
      while !file.ring.isEmpty {
        while let offer = file.ring.next() { file.ring.consume(offer.sequence) }
        file.pump(now: Platform.Clock.now, user: { _ in 0 })
        if !file.ring.isEmpty { try turn(file, loop) }
      }
      return taken
    }
  }

  private static func ringRecovery(_ lab: Lab) throws -> (Double, Int) {
    let path = lab.file("ring-full")
    var count = 0
    do {
      let file = try open(path)
      let loop = try EventLoop()
      try loop.add(file.descriptor!, token: 1, .read)
      let body = [UInt8](repeating: 0x55, count: bodyBytes)
      filling: while true {
        do throws(RingRefusal) {
          _ = try file.ring.append(kind: 1, body.span.bytes, now: Platform.Clock.now)
          count += 1
        } catch {
          if error == .full { break filling }
          try turn(file, loop)
        }
      }
      while file.ring.settledSequence < file.ring.nextSequence - 1 { try turn(file, loop) }
    }
    var times: [Double] = []
    for _ in 0..<5 {
      let begun = Clock.now
      let file = try open(path)
      times.append((Clock.now - begun) * 1_000)
      guard Int(file.ring.counters.recovered) == count else {
        throw BenchError("not all messages were recovered")
      }
    }
    return (times.median, count)
  }

  /// The loop's own time in one turn while every sync takes half a second.
  private static func slowMedium(_ lab: Lab) throws -> [Metric] {
    let file = try open(lab.file("ring-slow"))
    let loop = try EventLoop()
    try loop.add(file.descriptor!, token: 1, .read)
    file.slowDown(ms: 500)
    let body = [UInt8](repeating: 0x55, count: bodyBytes)
    var longest = 0.0
    var turns = 0
    let end = Clock.now + 10
    while Clock.now < end {
      let begun = Clock.now
      _ = try? file.ring.append(kind: 1, body.span.bytes, now: Platform.Clock.now)
      file.pump(now: Platform.Clock.now, user: { _ in 0 })
      while let offer = file.ring.next() { file.ring.consume(offer.sequence) }
      longest = max(longest, Clock.now - begun)
      turns += 1
      try loop.wait(until: Platform.Clock.now + 50)
    }
    return [
      Metric("slowest write, syncs of 500 ms", Double(file.slowestWriteUs) / 1_000, "ms", goal: .atLeast(500)),
      Metric("longest turn of the loop meanwhile", longest * 1_000, "ms", goal: .atMost(50)),
    ]
  }

  /// What an idle ring writes, scaled to a day.
  private static func idle(_ lab: Lab) throws -> Metric {
    let file = try open(lab.file("ring-idle"))
    let loop = try EventLoop()
    try loop.add(file.descriptor!, token: 1, .read)
    let before = file.ring.counters.bytesWritten
    let end = Clock.now + 5
    while Clock.now < end { try turn(file, loop) }
    let bytes = Double(file.ring.counters.bytesWritten - before)
    return Metric("written in an idle day, from 5 s", bytes * 86_400 / 5, "bytes", goal: .atMost(1_000_000))
  }

  // MARK: SQLite

  private static func version() throws -> String {
    try DatabaseQueue().read { try String.fetchOne($0, sql: "SELECT sqlite_version()") ?? "?" }
  }

  private static func database(_ path: String) throws -> DatabaseQueue {
    var configuration = Configuration()
    configuration.prepareDatabase { db in
      try db.execute(sql: "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
    }
    let queue = try DatabaseQueue(path: path, configuration: configuration)
    try queue.write { db in
      try db.execute(sql: "CREATE TABLE IF NOT EXISTS message (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL)")
    }
    return queue
  }

  private static func sqlite(_ lab: Lab, _ seconds: Double, _ group: Int) throws -> Result {
    let queue = try database(lab.file("sqlite-\(group)"))
    let body = Data(repeating: 0x55, count: bodyBytes)
    var last: Int64 = 0
    return try measure(lab.folder, seconds) {
      try queue.write { db in
        // Forgetting the earlier ones shares the sync with taking these in.
        let forget = try db.cachedStatement(sql: "DELETE FROM message WHERE sequence <= ?")
        try forget.execute(arguments: [last])
        let insert = try db.cachedStatement(sql: "INSERT INTO message VALUES (?, ?)")
        for _ in 0..<group {
          last += 1
          try insert.execute(arguments: [last, body])
        }
      }
      let rows = try queue.read { db in
        try Row.fetchAll(db.cachedStatement(sql: "SELECT sequence, body FROM message ORDER BY sequence")).count
      }
      guard rows == group else { throw BenchError("SQLite hands out \(rows) messages instead of \(group)") }
      return group
    }
  }

  private static func sqliteRecovery(_ lab: Lab, _ count: Int) throws -> Double {
    let path = lab.file("sqlite-full")
    let body = Data(repeating: 0x55, count: bodyBytes)
    do {
      let queue = try database(path)
      try queue.write { db in
        let insert = try db.cachedStatement(sql: "INSERT INTO message VALUES (?, ?)")
        for i in 0..<count { try insert.execute(arguments: [i, body]) }
      }
      // As after a crash: the log is not folded in.
      for suffix in ["", "-wal"] {
        try FileManager.default.copyItem(atPath: path + suffix, toPath: path + "-copy" + suffix)
      }
    }
    var times: [Double] = []
    for _ in 0..<5 {
      let begun = Clock.now
      let queue = try database(path + "-copy")
      let sum = try queue.read { try Int.fetchOne($0, sql: "SELECT sum(length(body)) FROM message") }
      times.append((Clock.now - begun) * 1_000)
      guard sum == count * bodyBytes else { throw BenchError("SQLite lost messages") }
    }
    return times.median
  }
}
