import Bounded
import CSky
import Foundation
import Lexicon
import LexiconBuilder
import LexiconText
import Testing
import Wire

@Suite struct DictionaryTextTests {
  private static let file: [UInt8] = {
    let words = ["the", "of", "hello", "world", "moon"]
    let lines = words.map { "\($0)\tnoun.object\t3\ten\n" }.joined()
    return try! FileImage(Contents(WordList(parsing: Array(lines.utf8)), generation: 4)).bytes
  }()

  private func withView<R>(_ body: (borrowing LexiconView) throws -> R) throws -> R {
    try Self.file.withUnsafeBytes { try body(try LexiconView(RawSpan(_unsafeBytes: $0))) }
  }

  /// The reply to `encode`.
  private func encoded(
    _ text: String, json: Bool = false, capacity: Int = Limits.controlReplyBytes, streamed: Bool = false,
    learnt: (RawSpan) -> WordEntry? = { _ in nil }
  ) throws -> String {
    try withView { view in
      let text = Array(text.utf8)
      let room = UnsafeMutableRawBufferPointer.allocate(byteCount: Encoder.bound(text.count), alignment: 16)
      defer { room.deallocate() }
      let step = Encoder(copy view).encode(text.span.bytes, isLast: true, into: room)
      let stream = Array(room[..<step.written])
      let encoded = EncodedText(text.span.bytes, stream: stream.span.bytes)
      var reply = ControlReply(capacity: capacity)
      var all = ""
      reply.begin(json: json)
      encoded.head(source: 1_000_001, generation: 4, to: &reply)
      try encoded.tokens(view, to: &reply, learnt: learnt, afterRow: { if streamed { $0.drain { all += string($0) } } })
      reply.ok()
      reply.drain { all += string($0) }
      return all
    }
  }

  @Test func aTextShowsItsTokens() throws {
    let reply = try encoded("Hello world, zorkmid 42")
    #expect(
      reply == """
        genom_message=GENOM|NOD1000001|4|MSG|9000020003c2fe7a6f726b6d6964e92a
        intent=greeting
        intent_symbol="👋"
        compact=9000020003c2fe7a6f726b6d6964e92a
        text_bytes=23
        compact_bytes=16
        compression_ratio=0.696
        kind=word token_id=T-00258 hex=0x0102 canonical=hello sector=nature r=1.1 theta=2.5132
        kind=word token_id=T-00259 hex=0x0103 canonical=world sector=nature r=1.1 theta=3.7699
        kind=byte token_id=T-00044 hex=0x002C canonical=, sector= r=2.6 theta=6.2629
        kind=literal text=zorkmid
        kind=digits text=42
        token_count=5
        tokens_shown=5
        OK

        """)
  }

  @Test func everyReplyIsJsonToo() throws {
    for text in ["", "Hello\n\"world\"", "\u{1}\u{FFFD}", "    \n\n\n\n\n 007", String(repeating: "x", count: 200)] {
      let reply = try encoded(text, json: true)
      let object = try #require(try JSONSerialization.jsonObject(with: Data(reply.utf8)) as? [String: Any])
      #expect(object["ok"] as? Bool == true && object["text_bytes"] as? Int == text.utf8.count)
      #expect((object["rows"] as? [Any])?.count == object["token_count"] as? Int)
    }
  }

  @Test func rowsThatDoNotFitAreCounted() throws {
    let reply = try encoded(String(repeating: "moon ", count: 50), json: true, capacity: 2_048)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(reply.utf8)) as? [String: Any])
    let shown = try #require(object["tokens_shown"] as? Int)
    #expect(object["token_count"] as? Int == 51 && shown > 5 && shown < 51)
    #expect((object["rows"] as? [Any])?.count == shown)
  }

  @Test func aListLongerThanTheReplyCanBeStreamed() throws {
    let text = String(repeating: "moon ", count: 200)
    let reply = try encoded(text, json: true, capacity: 2_048, streamed: true)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(reply.utf8)) as? [String: Any])
    #expect((object["rows"] as? [Any])?.count == 201 && object["tokens_shown"] as? Int == 201)
  }

  @Test func whatTheHubHasToldIsShownAsLearnt() throws {
    let reply = try encoded("hello zorkmid") { literal in
      guard string(literal) == "zorkmid" else { return nil }
      var entry = WordEntry(word: InlineText("zorkmid")!)
      entry.id = 70_000
      return entry
    }
    #expect(reply.contains("kind=learnt token_id=T-70000 hex=0x11170 canonical=zorkmid"))
  }

  @Test func compactFormsAreReadFromBothWaysOfWriting() {
    func parse(_ text: String, room: Int = 16) -> [UInt8]? {
      let out = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 1)
      defer { out.deallocate() }
      return withSpan(text) { EncodedText.parse($0, into: out) }.map { Array(out[..<$0]) }
    }
    #expect(parse("902Eed") == [0x90, 0x2E, 0xED])
    #expect(parse("GENOM|NOD5|1|MSG|902eed") == [0x90, 0x2E, 0xED])
    #expect(parse("GENOM|-|1|MSG|") == [])
    for bad in ["9", "zz", "GENOM|NOD5|1|MSG|9", "GENOM|1|MSG|90", "X|-|1|MSG|90", "GENOM|-|1|MSX|90", "|", "||||"] {
      #expect(parse(bad) == nil, "\(bad)")
    }
    #expect(parse("000000", room: 2) == nil)
  }

  @Test func idsAreWrittenAndReadBothWays() {
    for id in [0, 65, 847, 12_053, 1_000_000, (1 << 24) - 1] as [UInt32] {
      for text in [TokenText.id(id).string, TokenText.hex(id).string, TokenText.hex(id).string.lowercased()] {
        #expect(withSpan(text) { TokenText.parse($0) } == id, "\(text)")
      }
    }
    #expect(TokenText.id(847).string == "T-00847" && TokenText.hex(12_053).string == "0x2F15")
    for bad in ["", "T-", "0x", "T-0x1", "847", "T-16777216", "0x1000000", "T-99999999999", "hello"] {
      #expect(withSpan(bad) { TokenText.parse($0) } == nil, "\(bad)")
    }
  }

  @Test func anglesAreRoundedToFourPlaces() {
    for slot in stride(from: 0, through: 65_535, by: 977) {
      let exact = (2 * Double.pi * Double(slot) / 65_536 * 10_000).rounded()
      #expect(TokenText.thetaTenThousandths(UInt16(slot)) == Int64(exact))
    }
  }

  @Test func bytesHaveAPointAndNoSector() throws {
    let entry = try withView { $0.entry(of: 65) }
    #expect(
      entry?.word == InlineText("A") && entry?.band == 15 && entry?.slot == 65_345 && entry?.domain.isEmpty == true)
  }

  // MARK: Descriptors

  @Test func aDescriptorGoesWithItsReplyAndNoOther() throws {
    let bench = Bench()
    let client = bench.client()
    let path = "/tmp/skynod-handed-\(getpid())"
    try Data("dictionary".utf8).write(to: URL(filePath: path))
    defer { unlink(path) }
    bench.node.attachment = sky_file_open(path)
    client.line.send("dict open\nstatus\n")
    bench.turn(client.index)
    var handed: Int32 = -1
    var bytes = [UInt8](repeating: 0, count: 4_096)
    let got = bytes.withUnsafeMutableBytes { sky_unix_read_with(client.line.fd, $0.baseAddress, $0.count, &handed) }
    #expect(got > 0 && handed >= 0)
    var size = 0
    let mapped = try #require(sky_descriptor_map(handed, &size))
    #expect(size == 10)
    sky_file_unmap(mapped, size)
    sky_close(handed)
    handed = -1
    client.line.send("status\n")
    bench.turn(client.index)
    _ = bytes.withUnsafeMutableBytes { sky_unix_read_with(client.line.fd, $0.baseAddress, $0.count, &handed) }
    #expect(handed < 0)
  }

  @Test func whoDoesNotTakeItLeaksNothing() throws {
    func open() throws -> Int { try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count }
    let bench = Bench()
    let client = bench.client()
    let before = try open()
    for _ in 0..<20 {
      bench.node.attachment = sky_file_open("/proc/self/exe")
      _ = bench.ask(client, "dict open")
    }
    #expect(try open() <= before + 1)
  }
}
