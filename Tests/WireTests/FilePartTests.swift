import Bounded
import Testing

@testable import Wire

/// A head of `total` bytes named `name`.
func fileHead(_ total: UInt64, _ name: String = "a.bin", id: UInt8 = 1) -> FileHead {
  FileHead(
    id: InlineArray(repeating: id), hash: InlineArray(repeating: 2), totalBytes: total, name: InlineText(name)!)!
}

func filePart(_ head: FileHead, _ index: UInt32, fill: UInt8 = 7) -> [UInt8] {
  var queue = ByteQueue(capacity: Limits.messageBytes)
  let data = [UInt8](repeating: fill, count: head.byteCount(of: index))
  FilePart.make(head, index: index, data: data.span.bytes, into: &queue)
  return (0..<queue.count).map { queue.bytes[$0] }
}

func isPart(_ bytes: [UInt8]) -> Bool {
  guard let _ = FilePart(bytes.span.bytes) else { return false }
  return true
}

func isMap(_ bytes: [UInt8]) -> Bool {
  guard let _ = FileAssembly.decoding(bytes.span.bytes) else { return false }
  return true
}

func list(_ bytes: [UInt8]) -> [FinishedFile]? { FinishedFile.list(decoding: bytes.span.bytes) }

@Suite struct FilePartTests {
  @Test func aPartIsReadAsItWasMade() throws {
    let head = fileHead(UInt64(2 * Limits.filePartBytes + 5), "Grüße.txt")
    #expect(head.parts == 3)
    for index in UInt32(0)..<3 {
      let bytes = filePart(head, index)
      guard let part = FilePart(bytes.span.bytes) else {
        Issue.record("not a part")
        return
      }
      let isSame = part.head == head
      let place = part.index
      #expect(isSame && place == index)
      let count = part.data.byteCount
      #expect(count == (index == 2 ? 5 : Limits.filePartBytes))
    }
  }

  @Test func anEmptyFileIsOneEmptyPart() throws {
    let head = fileHead(0)
    #expect(head.parts == 1)
    let bytes = filePart(head, 0)
    guard let part = FilePart(bytes.span.bytes) else {
      Issue.record("not a part")
      return
    }
    let count = part.data.byteCount
    #expect(count == 0)
  }

  @Test func theLongestPartFitsAMessageAndALine() {
    Limits.assertConsistent()
    let head = fileHead(Limits.fileBytes, String(repeating: "n", count: Limits.fileNameBytes))
    #expect(head.parts <= UInt32(Limits.fileParts))
    let bytes = filePart(head, 0)
    #expect(bytes.count <= Limits.messageBytes)
    var line = TextBuffer(capacity: 2 * Limits.controlLineBytes)
    line.append("post64 NOD9999999 4294967295 ")
    Base64.encodeUrl(bytes.span.bytes, to: &line)
    let length = line.count
    #expect(length <= Limits.controlLineBytes)
    let tooLong = FileHead(
      id: head.id, hash: head.hash, totalBytes: Limits.fileBytes + 1, name: head.name)
    #expect(tooLong == nil)
  }

  @Test func everyChangedBitAndEveryOtherLengthIsRefused() {
    let bytes = filePart(fileHead(40, "name"), 0)
    for bit in 0..<(8 * bytes.count) {
      var changed = bytes
      changed[bit / 8] ^= 1 << UInt8(bit % 8)
      let isRefused = !isPart(changed)
      #expect(isRefused, "bit \(bit)")
    }
    for count in 0..<bytes.count {
      let isRefused = !isPart(Array(bytes[..<count]))
      #expect(isRefused, "\(count) bytes")
    }
    let isLongerRefused = !isPart(bytes + [0])
    #expect(isLongerRefused)
    let text = Array("SKF a text that begins like one, and is long enough to be a part of a file, as it seems".utf8)
    let isMarked = FilePart.isMarked(text.span.bytes)
    #expect(!isMarked)
  }

  @Test func anAssemblyIsWholeWhenEveryPartIsHere() throws {
    let head = fileHead(UInt64(130 * Limits.filePartBytes - 1))
    var assembly = FileAssembly(head, from: 9)
    let first = assembly.firstMissing
    #expect(head.parts == 130 && first == 0)
    for index in (UInt32(0)..<130).reversed() {
      let bytes = filePart(head, index)
      guard let part = FilePart(bytes.span.bytes) else {
        Issue.record("not a part")
        return
      }
      let before = assembly.place(of: part, from: 9)
      #expect(before == .new(UInt64(index) * UInt64(Limits.filePartBytes)))
      let isWhole = assembly.isWhole
      #expect(!isWhole)
      assembly.mark(part.index)
      let after = assembly.place(of: part, from: 9)
      let stranger = assembly.place(of: part, from: 10)
      #expect(after == .duplicate && stranger == .foreign)
      assembly.checkInvariants()
    }
    let isDone = assembly.isWhole && assembly.firstMissing == nil
    #expect(isDone)
    let other = filePart(fileHead(5, "other"), 0)
    guard let otherPart = FilePart(other.span.bytes) else {
      Issue.record("not a part")
      return
    }
    let place = assembly.place(of: otherPart, from: 9)
    #expect(place == .foreign)
  }

  @Test func aMapIsReadAsItWasWrittenAndNoOther() throws {
    for parts in [1, 63, 64, 65, 24_246] {
      let head = fileHead(min(Limits.fileBytes, UInt64(parts * Limits.filePartBytes)), "x")
      var assembly = FileAssembly(head, from: 1_000_007)
      for index in stride(from: UInt32(0), to: head.parts, by: 3) { assembly.mark(index) }
      var queue = ByteQueue(capacity: FileAssembly.encodedBytes)
      assembly.append(to: &queue)
      let bytes = (0..<queue.count).map { queue.bytes[$0] }
      guard let again = FileAssembly.decoding(bytes.span.bytes) else {
        Issue.record("\(parts) parts: not read")
        return
      }
      again.checkInvariants()
      let isSame = again.head == head && again.source == 1_000_007 && again.partsHere == assembly.partsHere
      let missing = (again.firstMissing, assembly.firstMissing)
      #expect(isSame && missing.0 == missing.1)
      for at in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 97)) {
        var changed = bytes
        changed[at] ^= 0x10
        let isRefused = !isMap(changed)
        #expect(isRefused, "\(parts) parts, byte \(at)")
        let isShortRefused = !isMap(Array(bytes[..<at]))
        #expect(isShortRefused)
      }
    }
  }

  @Test func namesStayInTheirDirectory() {
    func clean(_ name: [UInt8]) -> String { FileName.sanitised(name.span.bytes).string }
    #expect(clean(Array("report.pdf".utf8)) == "report.pdf")
    #expect(clean(Array("../../etc/passwd".utf8)) == "_._.._etc_passwd")
    #expect(clean(Array(".profile".utf8)) == "_profile")
    #expect(clean(Array("-rf".utf8)) == "_rf")
    #expect(clean(Array(" x".utf8)) == "_x")
    #expect(clean([]) == "file")
    #expect(clean(Array("a\nb\u{7F}\u{85}c".utf8)) == "a_b__c")
    #expect(clean(Array("gpj\u{202E}exe.txt".utf8)) == "gpj_exe.txt")
    #expect(clean([0x61, 0xFF, 0x00, 0x62]) == "a__b")
    #expect(clean(Array("Grüße 你好.txt".utf8)) == "Grüße 你好.txt")
    func last(_ path: String) -> String {
      let bytes = Array(path.utf8)
      return String(decoding: bytes[FileName.last(of: bytes.span.bytes)], as: UTF8.self)
    }
    #expect(last("/a/b/c.txt") == "c.txt" && last("c.txt") == "c.txt" && last("a/b/") == "b" && last("/") == "")
    #expect(last(String(repeating: "ü", count: 150)) == String(repeating: "ü", count: 100))
    #expect(last("x" + String(repeating: "ü", count: 150)) == "x" + String(repeating: "ü", count: 99))
    func numbered(_ name: String) -> String {
      var text = TextBuffer(capacity: 255)
      FileName.numbered(Array(name.utf8).span.bytes, 2, to: &text)
      return String(decoding: (0..<text.count).map { text.bytes[$0] }, as: UTF8.self)
    }
    #expect(numbered("a.tar.gz") == "a.tar (2).gz" && numbered("a") == "a (2)" && numbered("a.") == "a (2).")
  }

  @Test func theListOfFinishedFilesIsReadAsItWasWritten() throws {
    let files = (0..<Limits.filesRemembered).map { i in
      FinishedFile(
        source: UInt32(i), id: InlineArray(repeating: UInt8(i)), totalBytes: UInt64(i) << 20,
        name: InlineText(String(repeating: "n", count: 255 - i))!)
    }
    var queue = ByteQueue(capacity: FinishedFile.encodedBytes)
    FinishedFile.append(files, to: &queue)
    let bytes = (0..<queue.count).map { queue.bytes[$0] }
    #expect(list(bytes) == files)
    for at in stride(from: 0, to: bytes.count, by: 191) {
      var changed = bytes
      changed[at] ^= 1
      #expect(list(changed) == nil)
      #expect(list(Array(bytes[..<at])) == nil)
    }
  }

  @Test func base64IsReadInEitherAlphabet() {
    func decoded(_ text: String) -> [UInt8]? {
      var out = TextBuffer(capacity: 64)
      return Base64.decode(Array(text.utf8).span.bytes, into: &out) ? (0..<out.count).map { out.bytes[$0] } : nil
    }
    #expect(decoded("") == [] && decoded("AA") == [0] && decoded("AA==") == [0] && decoded("AAA=") == [0, 0])
    #expect(decoded("-_-_") == decoded("+/+/") && decoded("-_-_") == [0xFB, 0xFF, 0xBF])
    for bad in ["A", "AB", "AA=", "A===", "AA A", "AAAAA", "====", "=A", "Ä"] { #expect(decoded(bad) == nil, "\(bad)") }
    for count in 0..<50 {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: 37 &* $0 &+ count) }
      var text = TextBuffer(capacity: 100)
      Base64.encodeUrl(bytes.span.bytes, to: &text)
      #expect(decoded(String(decoding: (0..<text.count).map { text.bytes[$0] }, as: UTF8.self)) == bytes)
    }
  }
}
