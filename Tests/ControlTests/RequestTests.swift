import Bounded
import Testing
import Wire

@Suite struct RequestTests {
  @Test func everyVerbIsReadByItsName() {
    let least: [String: String] = [
      "join": " T", "send": " HUB x", "post": " HUB 0 x", "post64": " HUB 0 x", "json": " on", "encode": " x",
      "decode": " 00",
      "lookup": " x", "translate": " de x", "dict": " status", "update": " status",
      "ask": " free x", "learn": " plain 0 x y", "forget": " x", "knowledge": " status", "vote": " 7 good",
    ]
    for raw in 0..<ControlVerb.count {
      let verb = ControlVerb(rawValue: raw)!
      let name = verb.name.description
      #expect(Parsed(name + (least[name] ?? "")).verb == verb)
    }
    #expect(ControlVerb(rawValue: ControlVerb.count) == nil)
  }

  @Test func blanksAndACarriageReturnDoNotMatter() {
    #expect(Parsed("  \tstatus \t\r") == Parsed(.status, role: .read))
    #expect(Parsed("inbox  ack\t 7") == Parsed(.inbox, ["ack", "7"], role: .operate))
  }

  @Test func theTextOfSendIsTheRestOfTheLine() {
    #expect(
      Parsed("send NOD1000001   two  blanks \\o/ = \"kept\" ").arguments
        == ["NOD1000001", "two  blanks \\o/ = \"kept\" "])
  }

  @Test func textsAndWordsMayHoldBlanks() {
    #expect(Parsed("encode two  words ") == Parsed(.encode, ["two  words "], role: .read))
    #expect(Parsed("lookup ice cream") == Parsed(.lookup, ["ice cream"], role: .read))
    #expect(Parsed("translate de ice cream") == Parsed(.translate, ["de", "ice cream"], role: .read))
    #expect(Parsed("decode 00 11").error == .badArgument)
  }

  @Test func updatingTheDictionaryAsksForMoreThanLooking() {
    #expect(Parsed("dict status").role == .read && Parsed("dict open").role == .read)
    #expect(Parsed("dict update").role == .operate)
  }

  @Test func unknownVerbsAreNamedSo() {
    for line in ["Status", "statuss", "stat", "", "{\"a\":1}", "GET / HTTP/1.1", "é"] {
      #expect(Parsed(line).error == .unknownCommand, "\(line)")
    }
  }

  @Test func theNumberOfArgumentsIsChecked() {
    for line in ["status now", "join", "join a b", "send", "send HUB", "send HUB  ", "json", "inbox ack 1 2", "quit 1"]
    {
      #expect(Parsed(line).error == .badArgument, "\(line)")
    }
    let sixteen = (0..<16).map { "a\($0)" }.joined(separator: " ")
    #expect(Parsed("watch " + sixteen).arguments.count == 16)
    #expect(Parsed("watch " + sixteen + " b").error == .badArgument)
  }

  @Test func controlCharactersAndBrokenTextAreRefused() {
    let bad: [[UInt8]] = [[0], [0x1B, 0x5B, 0x41], [0x7F], [0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xE2, 0x82]]
    for bytes in bad { #expect(Parsed(Array("send HUB ".utf8) + bytes).error == .badArgument, "\(bytes)") }
    #expect(Parsed("send HUB Grüße 🚀").arguments == ["HUB", "Grüße 🚀"])
  }

  @Test func aLineAtTheLimitIsTakenAndOneMoreIsNot() {
    let head = "send HUB "
    let fits = head + String(repeating: "x", count: Limits.controlLineBytes - head.utf8.count)
    #expect(Parsed(fits).error == nil)
    #expect(Parsed(fits + "\r").error == nil)
    #expect(Parsed(fits + "x").error == .tooLong)
  }

  @Test func rolesAreThoseOfTheDocument() {
    let expected: [(String, ControlRole)] = [
      ("status", .read), ("id", .read), ("peers", .read), ("metrics", .read), ("watch", .read), ("help", .read),
      ("version", .read), ("json on", .read), ("quit", .read), ("mode", .read), ("mode relay on", .operate),
      ("inbox", .operate), ("inbox ack 1", .operate), ("send HUB x", .operate), ("join T", .admin),
      ("reload", .admin), ("drain", .admin),
    ]
    for (line, role) in expected { #expect(Parsed(line).role == role, "\(line)") }
  }

  @Test func theRoleFollowsFromTheUserAndTheGroup() {
    #expect(ControlRole.decide(peerUid: 0, ownUid: 990, inOperateGroup: false) == .admin)
    #expect(ControlRole.decide(peerUid: 990, ownUid: 990, inOperateGroup: false) == .admin)
    #expect(ControlRole.decide(peerUid: 1_000, ownUid: 990, inOperateGroup: true) == .operate)
    #expect(ControlRole.decide(peerUid: 1_000, ownUid: 990, inOperateGroup: false) == .read)
  }

  @Test func anyBytesAtAllAreReadWithoutATrap() {
    var random = SystemRandomNumberGenerator()
    let verbs = (0..<ControlVerb.count).map { Array(ControlVerb(rawValue: $0)!.name.description.utf8) }
    for _ in 0..<20_000 {
      var line = Bool.random() ? verbs.randomElement()! : []
      for _ in 0..<Int.random(in: 0...40) { line.append(UInt8.random(in: 0...255, using: &random)) }
      let parsed = Parsed(line)
      #expect((parsed.verb == nil) != (parsed.error == nil), "\(line)")
    }
  }
}

@Suite struct TextTests {
  private func written(_ value: [UInt8]) -> String {
    var text = TextBuffer(capacity: 4_096)
    withSpan(value) { ControlText.write($0, to: &text) }
    return string(text.bytes)
  }

  private func read(_ raw: String) -> [UInt8]? {
    var text = TextBuffer(capacity: 4_096)
    let well = withSpan(raw) { ControlText.read($0, into: &text) }
    return well ? text.bytes.withUnsafeBytes { Array($0) } : nil
  }

  @Test func plainValuesStayBareAndOthersAreQuoted() {
    #expect(written(Array("hub.example:7300".utf8)) == "hub.example:7300")
    #expect(written([]) == "")
    #expect(written(Array("two words".utf8)) == "\"two words\"")
    #expect(written(Array("a=b".utf8)) == "\"a=b\"")
    #expect(written(Array("say \"hi\" \\ \n\r\t\u{1B}é".utf8)) == #""say \"hi\" \\ \n\r\t\x1bé""#)
    #expect(written([0xFF, 0x41, 0xC3]) == #""\xffA\xc3""#)
  }

  @Test func whatIsWrittenIsReadBack() {
    for _ in 0..<5_000 {
      let value = (0..<Int.random(in: 0...60)).map { _ in UInt8.random(in: 0...255) }
      #expect(read(written(value)) == value)
    }
  }

  @Test func brokenQuotesAreRefused() {
    for raw in ["\"", "\"abc", "\"abc\"d", #""\q""#, #""\x1""#, #""\xg0""#, "\"abc\\"] {
      #expect(read(raw) == nil, "\(raw)")
    }
    #expect(read("no \"quotes\" first") == Array("no \"quotes\" first".utf8))
  }

  @Test func pairsOfARowAreWalked() {
    let row = #"seq=7 from=HUB text="a b=\" c" empty= last=1"#
    var found: [String] = []
    withSpan(row) {
      var pairs = ControlPairs($0)
      while pairs.next() { found.append(string(pairs.key) + "→" + string(pairs.rawValue)) }
    }
    #expect(found == ["seq→7", "from→HUB", #"text→"a b=\" c""#, "empty→", "last→1"])
  }

  @Test func pairsOfAnyBytesEnd() {
    for _ in 0..<5_000 {
      let line = (0..<Int.random(in: 0...40)).map { _ in Array("a =\"\\\u{1}x1".utf8).randomElement()! }
      withSpan(line) {
        var pairs = ControlPairs($0)
        var count = 0
        while pairs.next() { count += 1 }
        #expect(count <= line.count)
      }
    }
  }

  @Test func numbersAreDecimalAndFit() {
    let cases: [(String, UInt64?)] = [
      ("0", 0), ("007", 7), ("18446744073709551615", .max), ("18446744073709551616", nil), ("", nil), ("-1", nil),
      ("1x", nil), ("+1", nil), ("99999999999999999999999", nil),
    ]
    for (text, value) in cases { #expect(withSpan(text) { parseDecimal($0) } == value, "\(text)") }
  }
}
