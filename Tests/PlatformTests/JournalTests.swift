import Bounded
import CSky
import Foundation
import Platform
import SystemdOracle
import Testing
import Wire

// What the journal writer sends must equal what libsystemd sends for the same fields.
@Suite struct SystemdJournal {
  let listener: Listener
  let journal: Journal

  init() throws {
    listener = try Listener()
    journal = try Self.journal(at: listener.path)
  }

  static func journal(at path: String, isJournal: Bool = true) throws -> Journal {
    let socket = try #require(withSpan(path) { InlineText<107>($0) })
    return Journal(identifier: "skynod", socket: socket, isJournal: isJournal)
  }

  /// `fields` by libsystemd; what arrived.
  func oracle(_ fields: [String]) throws -> Datagram {
    let texts = fields.map { strdup($0) }
    defer { texts.forEach { free($0) } }
    let pointers = texts.map { UnsafePointer($0) }
    let lengths = fields.map { $0.utf8.count }
    #expect(oracle_journal(listener.path, pointers, lengths, fields.count) == 0)
    #expect(String(cString: oracle_journal_path()) == "\(Journal.socketPath)")
    return try #require(listener.next())
  }

  func head(_ text: String, priority: Int = 6, id: JournalMessage = .online) -> [String] {
    ["MESSAGE=" + text, "PRIORITY=\(priority)", "SYSLOG_IDENTIFIER=skynod", "MESSAGE_ID=\(id.id)"]
  }

  func begin(_ text: String, _ priority: LogPriority = .info, _ id: JournalMessage = .online) {
    withSpan(text) { journal.begin(id, priority, $0) }
  }

  func expectEqual(to fields: [String]) throws {
    journal.send()
    let ours = try #require(listener.next())
    let theirs = try oracle(fields)
    #expect(ours == theirs)
  }

  @Test(arguments: ["online at hub.example:7411", "", "grüße, 你好", "a=b", String(repeating: "x", count: 1_500)])
  func plainEntry(text: String) throws {
    begin(text)
    try expectEqual(to: head(text))
  }

  @Test(arguments: ["two\nlines", "\n", "ends with one\n", "\n\n" + String(repeating: "y", count: 300)])
  func entryWithLineBreaks(text: String) throws {
    begin(text)
    try expectEqual(to: head(text))
  }

  @Test(arguments: [LogPriority.error, .warning, .notice, .info, .debug]) func priority(_ priority: LogPriority) throws
  {
    begin("text", priority)
    try expectEqual(to: head("text", priority: Int(priority.rawValue)))
  }

  @Test(arguments: JournalMessage.allCases) func everyMessage(_ message: JournalMessage) throws {
    begin("text", .info, message)
    try expectEqual(to: head("text", id: message))
  }

  @Test func furtherFields() throws {
    begin("text")
    journal.field("SKYNOD_HUB", "hub.example:7411")
    withSpan("one\ntwo") { journal.field("SKYNOD_LINES", $0) }
    journal.field("SKYNOD_NUMBER", UInt64.max)
    journal.field("SKYNOD_ZERO", UInt64(0))
    try expectEqual(
      to: head("text") + [
        "SKYNOD_HUB=hub.example:7411", "SKYNOD_LINES=one\ntwo", "SKYNOD_NUMBER=\(UInt64.max)", "SKYNOD_ZERO=0",
      ])
  }

  @Test(arguments: ["", "\n"]) func aFieldThatDoesNotFitIsLeftOut(start: String) throws {
    begin("text")
    withSpan(start + String(repeating: "z", count: Limits.journalBytes)) { journal.field("SKYNOD_LONG", $0) }
    journal.field("SKYNOD_NEXT", "kept")
    try expectEqual(to: head("text") + ["SKYNOD_NEXT=kept"])
  }

  @Test func entriesAreIndependent() throws {
    begin("first")
    journal.field("SKYNOD_FIRST", "1")
    journal.send()
    _ = listener.next()
    begin("second", .error, .refused)
    try expectEqual(to: head("second", priority: 3, id: .refused))
  }

  @Test func aJournalThatStartsAnewGetsTheNextEntryAndHearsOfLostOnes() throws {
    listener.shut()
    for _ in 0..<2 {
      begin("nobody listens")
      journal.send()
    }
    #expect(journal.lost == 2)
    try listener.open()
    begin("again")
    try expectEqual(to: head("again") + ["LOST=2"])
    #expect(journal.lost == 0)
    begin("and again")
    try expectEqual(to: head("and again"))
  }

  @Test func aFullQueueDelaysNobody() throws {
    for _ in 0..<10_000 {
      begin("text")
      journal.send()
    }
    #expect(journal.lost > 0)
  }

  @Test func whatIsTooLongForADatagramGoesAsSealedMemory() throws {
    let value = String(repeating: "0123456789abcdef", count: 1 << 20)  // 16 MiB: more than libsystemd's send buffer
    let sender = sky_datagram_open()
    defer { sky_close(sender) }
    let entry = "SKYNOD_LONG=" + value + "\nSYSLOG_IDENTIFIER=skynod\n"
    #expect(sky_datagram_send(sender, listener.path, entry, entry.utf8.count) == 0)
    let ours = try listener.nextMemory()
    let fields = ["SKYNOD_LONG=" + value, "SYSLOG_IDENTIFIER=skynod"]
    let texts = fields.map { strdup($0) }
    defer { texts.forEach { free($0) } }
    #expect(oracle_journal(listener.path, texts.map { UnsafePointer($0) }, fields.map { $0.utf8.count }, 2) == 0)
    let theirs = try listener.nextMemory()
    #expect(ours.content == theirs.content)
    #expect(ours.content.count == entry.utf8.count)
    // F_SEAL_SEAL, _SHRINK, _GROW, _WRITE: what journald asks for; the library may add later ones.
    #expect(ours.seals & 15 == 15 && theirs.seals & 15 == 15)
  }

  // MARK: Where entries go

  @Test func streamIsKnownByDeviceAndInode() throws {
    let id = streamId(listener.descriptor)
    #expect(sky_is_stream(listener.descriptor, id))
    let parts = id.split(separator: ":")
    for other in ["\(parts[0]):1", "1:\(parts[1])", id + "0", id + ":", id + " ", "\(parts[0])", ":", "", "x:y"] {
      #expect(!sky_is_stream(listener.descriptor, other), "\(other)")
    }
    #expect(!sky_is_stream(-1, id))
  }

  @Test func withoutTheJournalNothingIsSentToItsSocket() throws {
    let journal = try Self.journal(at: listener.path, isJournal: false)
    withSpan("a line on standard error, of a test") { journal.begin(.ready, .info, $0) }
    journal.send()
    #expect(listener.next() == nil)
  }

  // MARK: Documents

  @Test(arguments: ["systemd/skynod.catalog", "docs/journal.md"]) func everyMessageIsExplained(file: String) throws {
    let top = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let text = try String(contentsOf: top.appendingPathComponent(file), encoding: .utf8)
    for message in JournalMessage.allCases {
      #expect(text.components(separatedBy: "\(message.id)").count == 2, "\(message) once in \(file)")
    }
  }

  @Test func idsAreDifferentAndWellFormed() {
    let ids = JournalMessage.allCases.map { "\($0.id)" }
    #expect(Set(ids).count == ids.count)
    for id in ids { #expect(id.count == 32 && id.allSatisfy { "0123456789abcdef".contains($0) }) }
  }
}
