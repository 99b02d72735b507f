import Bounded
import Foundation
import Testing
import Wire

/// `send --file` and `inbox --save`, the real program against a sample node.
@Suite struct FileCommandTests {
  /// A folder that goes away with the test.
  final class Folder {
    let url = FileManager.default.temporaryDirectory.appending(path: "skyfiles-\(UUID().uuidString)")
    init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(at: url) }

    func path(_ name: String) -> String { url.appending(path: name).path }

    @discardableResult
    func make(_ name: String, bytes: Int) throws -> Data {
      let data = Data((0..<bytes).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ ($0 >> 8)) })
      try data.write(to: url.appending(path: name))
      return data
    }

    func data(_ name: String) -> Data? { try? Data(contentsOf: url.appending(path: name)) }
  }

  /// The parts that a sample node was given for this file.
  static func parts(of path: String, destination: String = "NOD5", options: [String] = []) throws -> [[UInt8]] {
    let bench = try SocketBench { $0.refusals = 2 }
    let run = try Run(["send", destination, "--file", path] + options, socket: bench.path)
    try #require(run.status == 0, "\(run.errors)")
    return bench.stop().parts
  }

  static func head(_ bytes: [UInt8]) throws -> FileHead {
    var head: FileHead?
    if let part = FilePart(bytes.span.bytes) { head = part.head }
    return try #require(head)
  }

  static func joined(_ parts: [[UInt8]]) -> Data {
    var data = Data()
    for bytes in parts {
      guard let part = FilePart(bytes.span.bytes) else { return Data() }
      for i in 0..<part.data.byteCount { data.append(part.data[i]) }
    }
    return data
  }

  @Test func aFileIsSplitAndARefusedPartIsSentAgain() throws {
    let folder = try Folder()
    let data = try folder.make("some file.bin", bytes: 3 * Limits.filePartBytes + 1)
    let parts = try Self.parts(of: folder.path("some file.bin"))
    #expect(parts.count == 4 && Self.joined(parts) == data)
    for bytes in parts {
      let head = try Self.head(bytes)
      #expect(head.name.string == "some file.bin" && head.totalBytes == UInt64(data.count))
    }
    let again = try Self.parts(of: folder.path("some file.bin"), options: ["--from", "3"])
    #expect(again == Array(parts[2...]), "a repetition is the same to the bit")
    #expect(try Self.parts(of: folder.path("some file.bin"), destination: "NOD6") != parts)
    let renamed = try Self.parts(of: folder.path("some file.bin"), options: ["--name", "x/other"])
    #expect(try Self.head(renamed[0]).name.string == "other")
  }

  @Test func longInputIsAFile() throws {
    let bench = try SocketBench()
    let text = String(repeating: "line of text\n", count: 500)
    let run = try Run(["send", "NOD5", "--stdin", "--json"], input: text, socket: bench.path)
    #expect(run.status == 0)
    let object = try run.json()
    #expect(object["result"] as? String == "stored" && object["name"] as? String == "stdin")
    #expect(object["bytes"] as? Int == text.utf8.count && object["parts"] as? Int == 3)
    let node = bench.stop()
    #expect(node.messages.isEmpty && Self.joined(node.parts) == Data(text.utf8))
  }

  @Test func whatCannotBeSentIsRefusedWithAReason() throws {
    let folder = try Folder()
    try folder.make("a", bytes: 10)
    let bench = try SocketBench()
    let hub = try Run(["send", "HUB", "--file", folder.path("a")], socket: bench.path)
    #expect(hub.status == Int32(ErrorCode.badArgument.number) && hub.errors.contains("puts no files together"))
    let none = try Run(["send", "NOD5", "--file", folder.path("none")], socket: bench.path)
    #expect(none.status == Int32(ErrorCode.notFound.number))
    #expect(try Run(["send", "NOD5", "--file", folder.path("a"), "--from", "2"], socket: bench.path).status == 11)
    for wrong in [["--from", "0"], ["--from", "x"], ["--stdin"], ["text"]] {
      let run = try Run(["send", "NOD5", "--file", folder.path("a")] + wrong, socket: bench.path)
      #expect(run.status == 64, "\(wrong)")
    }
    #expect(try Run(["send", "NOD5", "text", "--from", "2"], socket: bench.path).status == 64)
    #expect(try Run(["send", "NOD5", "--file", folder.path("a")]).status == 69)
    #expect(bench.stop().parts.isEmpty)
  }

  @Test func partsBecomeAFileInWhateverOrderTheyCome() throws {
    let folder = try Folder()
    let data = try folder.make("in", bytes: 5 * Limits.filePartBytes)
    let parts = try Self.parts(of: folder.path("in"))
    let bench = try SocketBench { node in
      for (i, index) in [3, 0, 4, 4, 1].enumerated() {
        node.messages.append(.init(UInt64(i + 1), "NOD7", "", part: parts[index]))
      }
      node.messages.append(.init(6, "NOD8", "", part: parts[2]))
    }
    let first = try Run(["inbox", "--save", folder.path("out")], socket: bench.path)
    #expect(first.status == 0)
    #expect(first.output.contains("incomplete in from NOD7, 4 of 5 parts are here\n"))
    #expect(first.output.contains("incomplete in from NOD8, 1 of 5 parts are here\n"), "two senders are two files")
    #expect(bench.stop().messages.isEmpty)
    let rest = try SocketBench { node in
      node.messages.append(.init(7, "NOD7", "", part: parts[2]))
      node.messages.append(.init(8, "NOD7", "", part: parts[0]))
    }
    let second = try Run(["inbox", "--save", folder.path("out")], socket: rest.path)
    #expect(second.output.contains("saved in from NOD7, \(data.count) bytes\n"))
    #expect(folder.data("out/in") == data)
  }

  @Test func textsInFrontAreShownAndKept() throws {
    let folder = try Folder()
    try folder.make("in", bytes: 1)
    let parts = try Self.parts(of: folder.path("in"))
    let bench = try SocketBench { node in
      node.messages.append(.init(1, "NOD7", "first"))
      node.messages.append(.init(2, "NOD7", "", part: parts[0]))
    }
    let run = try Run(["inbox", "--save", folder.path("out")], socket: bench.path)
    #expect(run.status == 0 && run.output.contains("first") && run.errors.contains("--ack"))
    #expect(folder.data("out/in") == folder.data("in"))
    let acknowledged = try Run(["inbox", "--save", folder.path("out"), "--ack"], socket: bench.path)
    #expect(acknowledged.output.contains("came again, is there: in"))
    #expect(bench.stop().messages.isEmpty)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path("out")).sorted() == [".skynod", "in"])
  }

  @Test func acknowledgingWhatWasShownStopsBeforeParts() throws {
    let folder = try Folder()
    try folder.make("in", bytes: 1)
    let parts = try Self.parts(of: folder.path("in"))
    for options in [["--ack"], ["--ack", "--json"]] {
      let bench = try SocketBench { node in
        node.messages.append(.init(1, "NOD7", "first \",\"transfer\":\"x"))
        node.messages.append(.init(2, "NOD7", "second"))
        node.messages.append(.init(3, "NOD7", "", part: parts[0]))
        node.messages.append(.init(4, "NOD7", "behind"))
      }
      #expect(try Run(["inbox"] + options, socket: bench.path).status == 0)
      #expect(bench.stop().messages.map(\.sequence) == [3, 4], "\(options)")
    }
  }

  @Test func damagedContentIsThrownAwayAndSaid() throws {
    let folder = try Folder()
    try folder.make("in", bytes: 2 * Limits.filePartBytes)
    var parts = try Self.parts(of: folder.path("in"))
    // Whole by its own checksum, and not what the file's hash says.
    let head = try Self.head(parts[1])
    var queue = ByteQueue(capacity: Limits.messageBytes)
    let other = [UInt8](repeating: 1, count: Limits.filePartBytes)
    FilePart.make(head, index: 1, data: other.span.bytes, into: &queue)
    parts[1] = (0..<queue.count).map { queue.bytes[$0] }
    let bench = try SocketBench { node in
      for (i, part) in parts.enumerated() { node.messages.append(.init(UInt64(i + 1), "NOD7", "", part: part)) }
    }
    let run = try Run(["inbox", "--save", folder.path("out"), "--json"], socket: bench.path)
    #expect(run.status == Int32(ErrorCode.damaged.number) && run.output.contains("\"kind\":\"damaged\""))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path("out/.skynod")).isEmpty)
  }

  @Test(.timeLimit(.minutes(1))) func followingShowsWhatComesUntilItIsStopped() throws {
    let bench = try SocketBench { $0.messages.append(.init(1, "NOD7", "there already")) }
    let sender = Thread {
      Thread.sleep(forTimeInterval: 1)
      _ = try? Run(["send", "HUB", "comes later"], socket: bench.path)
    }
    sender.start()
    let run = try Run(["inbox", "--follow", "--json", "--ack"], socket: bench.path, stopAfterLines: 2)
    #expect(run.status == 0)
    let lines = run.output.split(separator: "\n")
    #expect(lines.count == 2 && lines[0].contains("there already") && lines[1].contains("comes later"))
  }
}
