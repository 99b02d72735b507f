import Bounded
import CSky
import Foundation
import Platform
import Testing
import Wire

@Suite struct ServerTests {
  @Test func aClientIsGreetedAndAnswered() {
    let bench = Bench()
    let client = bench.client()
    #expect(bench.ask(client, "version") == "version=\(Version.text)\nprotocol=1\nOK\n")
    #expect(bench.ask(client, "id") == "id=NOD1000001\nfingerprint=0011223344556677\nOK\n")
    #expect(bench.ask(client, "nonsense").hasPrefix("ERR 10 unknown_command "))
    #expect(bench.ask(client, "") == "")
    #expect(bench.ask(client, "reload") == "OK\n")
    #expect(bench.node.handled == ["id", "reload"])
    #expect(bench.server.requests == 4)
  }

  @Test func manyRequestsInOnePacketAreAnsweredInOrder() {
    let bench = Bench()
    let client = bench.client()
    #expect(
      bench.ask(client, "id\njson on\nreload\njson off\nreload") == """
        id=NOD1000001
        fingerprint=0011223344556677
        OK
        {"ok":true}
        {"ok":true}
        OK
        OK

        """)
  }

  @Test func jsonAnswersEveryVerbWithOneObjectALine() throws {
    let bench = Bench()
    let client = bench.client()
    let requests = [
      "json on", "status", "id", "send HUB hi", "inbox", "mode", "peers", "metrics", "reload", "version", "help",
      "watch state", "watch off", "bogus", "send", "inbox ack all",
    ]
    for request in requests {
      let text = bench.ask(client, request)
      #expect(text.last == "\n" && text.filter { $0 == "\n" }.count == 1, "\(request): \(text)")
      let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
      #expect(object?["ok"] as? Bool == (request != "bogus" && request != "send"), "\(request)")
    }
  }

  @Test func aHeldReplyComesLaterAndWhatFollowsWaits() {
    let bench = Bench()
    let client = bench.client()
    let other = bench.client()
    #expect(bench.ask(client, "post HUB 7 hi\nid") == "")
    bench.server.answerHeld(handler: bench.node)
    #expect(client.line.receive() == "")
    #expect(bench.ask(other, "reload") == "OK\n", "nobody else waits")
    bench.node.mayFinish = true
    bench.server.answerHeld(handler: bench.node)
    #expect(client.line.receive() == "finished=7\nOK\nid=NOD1000001\nfingerprint=0011223344556677\nOK\n")
  }

  @Test func aClientThatHangsUpIsNotWaitedFor() {
    let bench = Bench()
    let client = bench.client()
    _ = bench.ask(client, "post HUB 7 hi")
    shutdown(client.line.fd, Int32(SHUT_RDWR))
    bench.turn(client.index, hungUp: true)
    #expect(bench.server.clientCount == 0)
    bench.node.mayFinish = true
    bench.server.answerHeld(handler: bench.node)
  }

  @Test func aHalfClosedClientStillGetsItsHeldReply() {
    let bench = Bench()
    let client = bench.client()
    _ = bench.ask(client, "post HUB 7 hi")
    shutdown(client.line.fd, Int32(SHUT_WR))
    bench.turn(client.index)
    #expect(bench.server.clientCount == 1)
    bench.node.mayFinish = true
    bench.server.answerHeld(handler: bench.node)
    #expect(client.line.receive() == "finished=7\nOK\n")
    #expect(bench.server.clientCount == 0)
  }

  @Test func helpListsEveryVerb() {
    let bench = Bench()
    let lines = bench.ask(bench.client(), "help").split(separator: "\n")
    #expect(lines.count == Int(ControlVerb.count) + 1)
    for raw in 0..<ControlVerb.count {
      #expect(lines[Int(raw)].hasPrefix(ControlVerb(rawValue: raw)!.name.description + " "))
    }
  }

  @Test func aHalfLineWaitsForItsRest() {
    let bench = Bench()
    let client = bench.client()
    for piece in ["rel", "o", "ad"] {
      client.line.send(piece)
      bench.turn(client.index)
      #expect(client.line.receive() == "")
    }
    #expect(bench.ask(client, "") == "OK\n")
    #expect(bench.node.handled == ["reload"])
  }

  @Test func aHalfLineAtTheEndIsNotCarriedOut() {
    let bench = Bench()
    let client = bench.client()
    client.line.send("id\ndrain")
    shutdown(client.line.fd, Int32(SHUT_WR))
    bench.turn(client.index)
    bench.turn(client.index)
    #expect(client.line.receive().hasSuffix("OK\n"))
    #expect(bench.node.handled == ["id"])
    #expect(client.line.hasEnded && bench.server.clientCount == 0)
  }

  @Test func aLineThatIsTooLongIsRefusedOnceAndDroppedWhole() {
    let bench = Bench()
    let client = bench.client()
    let long = [UInt8](repeating: UInt8(ascii: "x"), count: 3 * Limits.controlLineBytes)
    client.line.send(long)
    for _ in 0..<6 { bench.turn(client.index) }
    #expect(client.line.receive() == "ERR 12 too_long \(ErrorCode.tooLong.sentence)\n")
    client.line.send(long)
    for _ in 0..<6 { bench.turn(client.index) }
    #expect(client.line.receive() == "")
    #expect(bench.ask(client, "tail\nreload") == "OK\n")
  }

  @Test func lineLengthsAroundTheLimitAllGetOneAnswer() {
    let head = "send HUB "
    for extra in -2...4 {
      let bench = Bench()
      let client = bench.client()
      let text = String(repeating: "y", count: Limits.controlLineBytes - head.utf8.count + extra)
      client.line.send(head + text + "\nreload\n")
      for _ in 0..<4 { bench.turn(client.index) }
      let lines = client.line.receive().split(separator: "\n")
      // Messages have a limit of their own, below that of the line.
      #expect(lines.count == 2 && lines[0].hasPrefix("ERR 12 ") && lines[1] == "OK", "\(extra)")
    }
  }

  @Test func aClientThatNeverReadsIsNotReadEither() {
    let bench = Bench()
    let client = bench.client()
    let flood = Array(String(repeating: "help\n", count: 2_000).utf8)
    var taken = 0
    // Until the socket is full both ways: the server then takes no more of it.
    for _ in 0..<2_000 {
      taken += max(0, client.line.send(flood))
      bench.turn(client.index)
    }
    let before = bench.server.requests
    for _ in 0..<50 { bench.turn(client.index) }
    #expect(bench.server.requests == before)
    #expect(bench.server.interest(client.index) == .init(read: false, write: true))
    // The others are served all the while.
    let other = bench.client()
    #expect(bench.ask(other, "reload") == "OK\n")
    // When it reads at last, every reply is whole and in order.
    for _ in 0..<2_000 {
      client.line.receive()
      bench.turn(client.index)
    }
    let received = client.line.received.drop { $0 != "\n" }.dropFirst().components(separatedBy: "OK\n")
    #expect(Set(received.dropLast()).count == 1)
    #expect(received.count - 1 == Int(bench.server.requests) - 1)
  }

  @Test func eventsComeBetweenRepliesWithRisingNumbers() {
    let bench = Bench()
    let client = bench.client()
    let text = bench.client()
    _ = bench.ask(client, "json on")
    #expect(bench.ask(client, "watch state message") == "{\"ok\":true,\"next\":1}\n")
    #expect(bench.ask(text, "watch") == "next=1\nOK\n")
    bench.server.publish(.state) { $0.field("to", "online") }
    bench.server.publish(.clock) { $0.field("clock", "hub") }
    bench.server.publish(.message) { $0.field("from", "HUB") }
    #expect(
      client.line.receive()
        == "{\"event\":1,\"kind\":\"state\",\"to\":\"online\"}\n{\"event\":3,\"kind\":\"message\",\"from\":\"HUB\"}\n")
    #expect(text.line.receive() == "EVENT 1 state to=online\nEVENT 2 clock clock=hub\nEVENT 3 message from=HUB\n")
    #expect(bench.ask(text, "watch off") == "next=4\nOK\n")
    bench.server.publish(.state) { $0.field("to", "offline") }
    #expect(text.line.receive() == "")
    #expect(bench.ask(text, "watch weather").hasPrefix("ERR 11 "))
  }

  @Test func aSlowWatcherIsToldHowManyItLost() {
    let bench = Bench()
    let client = bench.client()
    _ = bench.ask(client, "watch")
    let padding = String(repeating: "p", count: 400)
    let count = 4_000
    for _ in 0..<count { bench.server.publish(.message) { reply in withSpan(padding) { reply.field("text", $0) } } }
    #expect(bench.server.eventsLost > 0)
    for _ in 0..<200 {
      client.line.receive()
      bench.turn(client.index)
    }
    var seen = 0
    var lost = 0
    for line in client.line.received.split(separator: "\n") {
      let words = line.split(separator: " ")
      if words[0] == "EVENT" {
        seen += 1
        #expect(Int(words[1]) == seen + lost)
      }
      if words[0] == "LOST" { lost += Int(words[1])! }
    }
    #expect(lost == Int(bench.server.eventsLost))
    #expect(seen + lost == count)
  }

  @Test func anEventThatIsTooLargeIsCountedAsLost() {
    let bench = Bench()
    let client = bench.client()
    _ = bench.ask(client, "watch")
    let huge = String(repeating: "z", count: Limits.controlReplyBytes)
    bench.server.publish(.message) { reply in withSpan(huge) { reply.field("text", $0) } }
    bench.server.publish(.state) { $0.field("to", "online") }
    #expect(client.line.receive() == "LOST 1\nEVENT 2 state to=online\n")
  }

  @Test func rolesAreChecked() {
    let bench = Bench(ownUid: 4_242)
    let client = bench.client()
    // Tests run as whoever runs them: root administers, everyone else reads.
    let isRoot = sky_effective_user_id() == 0
    #expect(bench.server.role(client.index) == (isRoot ? .admin : .read))
    if !isRoot {
      #expect(bench.ask(client, "drain").hasPrefix("ERR 13 forbidden "))
      #expect(bench.ask(client, "mode relay on").hasPrefix("ERR 13 forbidden "))
      #expect(bench.ask(client, "mode") == "relay=false\nOK\n")
    }
  }

  @Test func tooManyClientsAreToldSoAndIdleOnesGiveWay() {
    let bench = Bench()
    let clients = (0..<Limits.controlClients).map { _ in bench.client() }
    _ = bench.ask(clients[0], "watch")
    let late = bench.connect()
    #expect(late.index == nil)
    #expect(late.line.receive() == "ERR 17 busy too many control clients; try again\n")
    #expect(late.line.hasEnded)
    #expect(bench.server.refusedClients == 1)
    bench.now = bench.now + Limits.controlIdleMs
    for client in clients[2...] { _ = bench.ask(client, "id") }
    // The watcher stays; the one that neither asked nor watches goes.
    let next = bench.connect()
    #expect(next.index == clients[1].index)
    clients[1].line.receive()
    #expect(clients[1].line.hasEnded && !clients[0].line.hasEnded)
  }

  @Test func aClosedClientFreesItsPlace() {
    let bench = Bench()
    for _ in 0..<50 {
      var client: (line: Line, index: Int)? = bench.client()
      let index = client!.index
      client!.line.send("watch\nid\n")
      client = nil
      for _ in 0..<3 { bench.turn(index, hungUp: true) }
      #expect(bench.server.clientCount == 0)
    }
  }

  @Test func aWatcherThatOnlyEndedItsSendingSideStillListens() {
    let bench = Bench()
    let client = bench.client()
    client.line.send("watch\n")
    shutdown(client.line.fd, Int32(SHUT_WR))
    bench.turn(client.index)
    bench.turn(client.index)
    #expect(bench.server.interest(client.index) == .init(read: false, write: false))
    bench.server.publish(.state) { $0.field("to", "online") }
    #expect(client.line.receive().hasSuffix("EVENT 1 state to=online\n"))
  }

  @Test func quitAnswersAndCloses() {
    let bench = Bench()
    let client = bench.client()
    #expect(bench.ask(client, "quit\nid") == "OK\n")
    client.line.receive()
    #expect(client.line.hasEnded && bench.node.handled.isEmpty)
  }

  @Test func hostileBytesNeverBreakTheFraming() {
    let bench = Bench()
    for seed in 0..<200 {
      let client = bench.client()
      var expected = 0
      for _ in 0..<20 {
        var line = (0..<Int.random(in: 1...200)).map { _ in UInt8.random(in: 0...255) }
        line.removeAll { $0 == 0x0A || $0 == 0x0D || $0 == 0x20 || $0 == 0x09 }
        if line.isEmpty { continue }
        expected += 1
        client.line.send(line + [0x0A])
        bench.turn(client.index)
      }
      #expect(client.line.receive().split(separator: "\n").count == expected, "seed \(seed)")
      client.line.send("quit\n")
      bench.turn(client.index)
    }
  }
}

@Suite struct SocketTests {
  private func path() -> String {
    "/tmp/skynod-control-\(ProcessInfo.processInfo.processIdentifier)-\(UInt32.random(in: 0 ... .max)).sock"
  }

  @Test func aRealSocketTellsWhoConnects() {
    let path = path()
    defer { unlink(path) }
    let listener = sky_unix_listen(path, 0o600, 16)
    #expect(listener >= 0)
    #expect(sky_accept(listener, nil) == SKY_AGAIN)
    let line = Line(fd: sky_unix_connect(path))
    let bench = Bench()
    #expect(bench.server.accept(from: -1, now: bench.now) == nil)
    #expect(!bench.server.canAccept)
    let index = bench.server.accept(from: listener, now: bench.now)
    #expect(bench.server.canAccept)
    #expect(index != nil)
    #expect(bench.server.role(index!) == .admin)
    #expect(line.receive() == "SKYNOD 1 \(Version.text)\n")
    var uid: UInt32 = 99
    var gid: UInt32 = 99
    var process: Int32 = 0
    #expect(sky_unix_peer(line.fd, &uid, &gid, &process) == 0)
    #expect(uid == geteuid() && gid == getegid())
    #expect(sky_unix_peer_in_group(line.fd, getegid()))
    #expect(!sky_unix_peer_in_group(line.fd, 0xFFFF_FFF0))
    sky_close(listener)
  }
}
