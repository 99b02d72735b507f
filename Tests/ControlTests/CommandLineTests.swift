import Bounded
import CSky
import Foundation
import Platform
import Testing
import Wire

/// A control server behind a real socket, in a thread of its own, for the real program to talk to.
final class SocketBench: @unchecked Sendable {
  let path = "/tmp/skynodctl-\(ProcessInfo.processInfo.processIdentifier)-\(UInt32.random(in: 0 ... .max)).sock"
  private let node: SampleNode
  private let stopping = NSLock()
  private var isStopping = false
  private let ended = DispatchSemaphore(value: 0)

  init(_ prepare: (SampleNode) -> Void = { _ in }) throws {
    node = SampleNode()
    prepare(node)
    let listener = sky_unix_listen(path, 0o600, 16)
    try #require(listener >= 0)
    let thread = Thread { [self] in
      serve(listener)
      sky_close(listener)
      ended.signal()
    }
    thread.start()
  }

  deinit { unlink(path) }

  /// Ends the server; what the node has seen may be looked at afterwards.
  func stop() -> SampleNode {
    stopping.withLock { isStopping = true }
    ended.wait()
    return node
  }

  private func serve(_ listener: Int32) {
    let server = ControlServer(operateGroup: nil)
    guard let loop = try? EventLoop(), (try? loop.add(listener, token: 1, .read)) != nil else { return }
    var beat: UInt64 = 0
    while !stopping.withLock({ isStopping }) {
      let now = Clock.now
      guard let count = try? loop.wait(until: now + 10) else { return }
      for i in 0..<count {
        let event = loop[i]
        if event.token == 1 {
          server.accept(from: listener, now: now)
        } else {
          _ = server.serve(event, firstToken: 16, now: now, handler: node)
        }
      }
      beat += 1
      if beat % 4 == 0 { server.publish(.heartbeat) { $0.field("rtt_ms", beat) } }
      guard (try? server.watch(on: loop, firstToken: 16)) != nil else { return }
    }
    server.closeAll()
  }
}

/// What the program printed and how it ended.
struct Run {
  var status: Int32
  var output: String
  var errors: String

  /// Runs the built `skynodctl`.
  init(_ arguments: [String], input: String = "", socket: String? = nil, stopAfterLines: Int? = nil) throws {
    let process = Process()
    process.executableURL = Self.program
    process.arguments = arguments
    var environment = ProcessInfo.processInfo.environment
    environment["SKYNOD_SOCKET"] = socket ?? "/nonexistent/control.sock"
    process.environment = environment
    let (stdin, stdout, stderr) = (Pipe(), Pipe(), Pipe())
    (process.standardInput, process.standardOutput, process.standardError) = (stdin, stdout, stderr)
    try process.run()
    try stdin.fileHandleForWriting.write(contentsOf: Data(input.utf8))
    try stdin.fileHandleForWriting.close()
    var collected = Data()
    while true {
      let chunk = stdout.fileHandleForReading.availableData
      if chunk.isEmpty { break }
      collected += chunk
      if let stopAfterLines, collected.filter({ $0 == 0x0A }).count >= stopAfterLines { process.terminate() }
    }
    output = String(decoding: collected, as: UTF8.self)
    errors = String(decoding: stderr.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    status = process.terminationStatus
  }

  /// It stands beside the test bundle.
  static var program: URL {
    let bundle = URL(fileURLWithPath: try! FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
    let near = bundle.deletingLastPathComponent().appendingPathComponent("skynodctl")
    if FileManager.default.isExecutableFile(atPath: near.path) { return near }
    // The test process may be a helper of the toolchain: then the bundle is among its arguments.
    for argument in CommandLine.arguments {
      let candidate = URL(fileURLWithPath: argument).deletingLastPathComponent().appendingPathComponent("skynodctl")
      if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
    }
    return near
  }

  func json() throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any])
  }
}

@Suite(.serialized) struct CommandLineTests {
  @Test func statusIsGroupedAndNamesTheState() throws {
    let bench = try SocketBench()
    let run = try Run(["status"], socket: bench.path)
    #expect(run.status == 0 && run.errors == "")
    #expect(run.output.contains("online") && run.output.contains("\nTraffic\n") && run.output.contains("\nBoard\n"))
    #expect(run.output.contains("temperature     41.5 °C") && run.output.contains("battery         -"))
    #expect(!run.output.contains("\u{1B}"), "no colour when not on a terminal")
  }

  @Test func jsonPrintsOneObject() throws {
    let bench = try SocketBench()
    for command in ["status", "id", "mode", "peers", "metrics", "reload", "drain", "version", "inbox", "top"] {
      let run = try Run(["--json", command], socket: bench.path)
      #expect(run.status == 0, "\(command): \(run.errors)")
      #expect(try run.json()["ok"] as? Bool == true, "\(command)")
    }
    #expect(try Run(["id", "--json"], socket: bench.path).json()["id"] as? String == "NOD1000001")
  }

  @Test func aTextArrivesAsItWasWritten() throws {
    let bench = try SocketBench()
    let text = "Grüße \"quoted\" \\ back  two\ttab"
    #expect(try Run(["send", "HUB", text], socket: bench.path).status == 0)
    #expect(try Run(["send", "HUB", "several", "words"], socket: bench.path).status == 0)
    #expect(try Run(["send", "HUB", "--stdin"], input: "line 1\nline 2\n", socket: bench.path).status == 0)
    let inbox = try Run(["inbox"], socket: bench.path)
    #expect(inbox.output.contains("    line 1\n    line 2\n"))
    let rows = try #require(try Run(["inbox", "--json"], socket: bench.path).firstPage()["rows"] as? [[String: Any]])
    #expect(rows.map { $0["text"] as? String } == [text, "several words", "line 1\nline 2"])
    #expect(try Run(["inbox", "--ack"], socket: bench.path).status == 0)
    #expect(bench.stop().messages.isEmpty)
  }

  @Test func aLongInboxIsShownToTheEnd() throws {
    let bench = try SocketBench { node in
      for i in 1...32 {
        node.messages.append(.init(UInt64(i), "HUB", "message \(i) " + String(repeating: "x", count: 1_000)))
      }
    }
    let text = try Run(["inbox"], socket: bench.path)
    for i in 1...32 { #expect(text.output.contains("message \(i) ")) }
    let pages = try Run(["inbox", "--json"], socket: bench.path).output.split(separator: "\n")
    #expect(pages.count > 3)
    var count = 0
    for page in pages {
      let object = try JSONSerialization.jsonObject(with: Data(page.utf8)) as? [String: Any]
      count += (object?["rows"] as? [Any])?.count ?? 0
    }
    #expect(count == 32)
  }

  @Test func theExitStatusIsTheErrorsNumber() throws {
    let bench = try SocketBench { $0.joined = false }
    let run = try Run(["send", "NOD5", "hi"], socket: bench.path)
    #expect(run.status == Int32(ErrorCode.unreachable.number))
    #expect(run.errors.contains("\(ErrorCode.unreachable.sentence)"))
    let json = try Run(["--json", "id"], socket: bench.path)
    #expect(json.status == Int32(ErrorCode.notJoined.number))
    let error = try json.json()["error"] as? [String: Any]
    #expect(error?["number"] as? Int == 14 && error?["token"] as? String == "not_joined")
    let long = String(repeating: "x", count: Limits.messageBytes + 1)
    #expect(try Run(["send", "HUB", long], socket: bench.path).status == Int32(ErrorCode.tooLong.number))
  }

  @Test func withoutADaemonItSaysWhatToDo() throws {
    for command in [["status"], ["watch"], ["top"], ["send", "HUB", "x"], ["join", "t"], ["version"], ["inbox"]] {
      let run = try Run(command)
      #expect(run.status == 69, "\(command)")
      #expect(run.errors.contains("is the service running?") && run.errors.contains("/nonexistent/control.sock"))
    }
    let json = try Run(["status", "--json"])
    #expect(json.status == 69)
    #expect((try json.json()["error"] as? [String: Any])?["token"] as? String == "daemon_unavailable")
  }

  @Test func aWrongCommandLineIsRefusedWith64() throws {
    let wrong = [
      [], ["frobnicate"], ["--nope", "status"], ["status", "extra"], ["send"], ["send", "HUB"], ["join"],
      ["inbox", "eat"], ["--timeout", "soon", "status"], ["--timeout"], ["status", "--ack"], ["help", "frobnicate"],
      ["inbox", "ack"], ["send", "--stdin"], ["status", "--urgent"],
      ["send", "--urgent", "--file", "/etc/hostname", "HUB"],
    ]
    for arguments in wrong {
      let run = try Run(arguments)
      #expect(run.status == 64, "\(arguments)")
      #expect(run.output == "" && run.errors.hasPrefix("skynodctl: ") && run.errors.contains("--help"), "\(arguments)")
    }
  }

  @Test func everyCommandHasItsHelp() throws {
    for command in try Self.commands() {
      let run = try Run([command, "--help"])
      #expect(run.status == 0 && run.output.hasPrefix("usage: skynodctl [OPTION]... \(command)"), "\(command)")
      #expect(try Run(["help", command]).output == run.output)
    }
    #expect(try Run(["--version"]).output == "skynodctl \(Version.text)\n")
  }

  @Test func joinWaitsForTheOutcome() throws {
    let bench = try SocketBench { $0.joined = false }
    let run = try Run(["join", "TICKET"], socket: bench.path)
    #expect(run.status == 0 && run.output == "joined as NOD1000001\n")
    let refused = try SocketBench { node in
      node.joined = false
      node.refusesTickets = true
    }
    let other = try Run(["join", "TICKET"], socket: refused.path)
    #expect(other.status == Int32(ErrorCode.tokenExpired.number))
    #expect(other.errors.contains("\(ErrorCode.tokenExpired.sentence)"))
    #expect(try Run(["--timeout", "0", "join", "TICKET"], socket: refused.path).status == 0)
  }

  @Test func watchFollowsUntilItIsStopped() throws {
    let bench = try SocketBench()
    let run = try Run(["watch", "heartbeat"], socket: bench.path, stopAfterLines: 3)
    #expect(run.output.hasPrefix("EVENT ") && run.output.contains(" heartbeat rtt_ms="))
    let json = try Run(["watch", "--json"], socket: bench.path, stopAfterLines: 3)
    for line in json.output.split(separator: "\n").prefix(3) {
      _ = try JSONSerialization.jsonObject(with: Data(line.utf8))
    }
    #expect(try Run(["watch", "weather"], socket: bench.path).status == Int32(ErrorCode.badArgument.number))
  }

  @Test func topWithoutATerminalPrintsOneView() throws {
    let bench = try SocketBench()
    let run = try Run(["top"], socket: bench.path)
    #expect(run.status == 0 && run.output.contains("Counters") && !run.output.contains("\u{1B}"))
  }

  @Test func aLineFeedInAnArgumentIsNotASecondRequest() throws {
    let bench = try SocketBench()
    let run = try Run(["inbox", "ack", "1\ndrain"], socket: bench.path)
    #expect(run.status == Int32(ErrorCode.badArgument.number))
    #expect(try Run(["send", "HUB\ndrain", "x"], socket: bench.path).status == Int32(ErrorCode.badArgument.number))
    #expect(bench.stop().handled.isEmpty)
  }

  @Test func completionsKnowEveryCommand() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let commands = try Self.commands()
    #expect(commands.count > 10)
    let bash = try String(contentsOf: root.appendingPathComponent("docs/completion/skynodctl.bash"), encoding: .utf8)
    let list = try #require(bash.firstMatch(of: /commands="([^"]*)"/))
    #expect(list.1.split(separator: " ").map(String.init) == commands)
    let zsh = try String(contentsOf: root.appendingPathComponent("docs/completion/_skynodctl"), encoding: .utf8)
    let names = zsh.matches(of: /(?m)^    '([a-z]+):/).map { String($0.1) }
    #expect(names == commands)
    let manual = try String(contentsOf: root.appendingPathComponent("docs/man/skynodctl.1"), encoding: .utf8)
    for command in commands { #expect(manual.contains("\\fB\(command)\\fR"), "\(command)") }
  }

  /// The commands that `--help` lists.
  static func commands() throws -> [String] {
    let help = try Run(["--help"]).output
    let list = help.components(separatedBy: "Commands:\n")[1].components(separatedBy: "\n\n")[0]
    return list.split(separator: "\n").compactMap { $0.split(separator: " ").first.map(String.init) }
  }
}

extension Run {
  /// The first line as an object.
  func firstPage() throws -> [String: Any] {
    let line = output.split(separator: "\n").first ?? ""
    return try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
  }
}
