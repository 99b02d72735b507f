import Bounded
import Foundation
import Testing
import Wire

@testable import Platform

/// The dialer against real sockets of this machine. Deadlines are short where an attempt has to end by its
/// deadline, and long where it must not.
@Suite struct DialerTests {
  private func address(_ text: String, port: UInt16 = 0) -> Address { Address(HostText(text)!, port: port)! }

  /// Dials until it is connected or gives up.
  private func dial(_ host: String, _ port: UInt16, _ trust: TlsContext, withinMs: UInt64 = 30_000) throws(ErrorCode)
    -> TlsConnection
  {
    let loop = try EventLoop()
    let dialer = try Dialer(loop: loop)
    try dialer.start(HostText(host)!, port: port, trust: trust, token: 1, deadline: Clock.now + withinMs)
    while true {
      switch try dialer.step(Clock.now) {
      case .connected(let connection): return connection
      case .connectedInClear: throw .tlsFailed
      case .waiting(let until): try loop.wait(until: until)
      }
    }
  }

  private func error(_ host: String, _ port: UInt16, withinMs: UInt64 = 30_000) throws -> ErrorCode? {
    let trust = try TestServer().pinnedClient()
    return thrown { () throws(ErrorCode) in _ = try dial(host, port, trust, withinMs: withinMs) }
  }

  /// Serves one connection's handshake on a thread of its own.
  private func serve(_ server: TestServer, _ listener: TcpListener) {
    let context = UncheckedBox((server.context, listener))
    Thread.detachNewThread {
      let (tls, listener) = context.value
      do throws(ErrorCode) {
        let loop = try EventLoop()
        try loop.add(listener.descriptor, token: 0, .read)
        try loop.wait(until: Clock.now + 30_000)
        guard let socket = try listener.accept() else { return }
        let connection = try TlsConnection(tls, over: socket)
        try loop.add(connection.descriptor, token: 1, .read)
        let end = Clock.now + 30_000
        while try connection.handshake() != .done, Clock.now < end { try loop.wait(until: Clock.now + 100) }
        var queue = ByteQueue(capacity: 64)
        while try connection.read(into: &queue) == .waiting, Clock.now < end { try loop.wait(until: Clock.now + 100) }
      } catch {}  // the client's outcome is what counts
    }
  }

  @Test(arguments: ["127.0.0.1", "::1"]) func connectsToALiteralOfEitherFamily(host: String) throws {
    guard let listener = try? TcpListener(at: address(host)), let port = listener.address?.port else {
      #expect(host == "::1", "a machine may be without IPv6, not without IPv4")
      return
    }
    let server = try TestServer()
    serve(server, listener)
    let connection = try dial(host, port, server.pinnedClient())
    #expect(array(try connection.exporter().span.bytes) != [UInt8](repeating: 0, count: 32))
    connection.closeNotify()
  }

  @Test func nobodyListensIsConnectFailed() throws {
    var port: UInt16 = 0
    do {
      let listener = try TcpListener(at: address("127.0.0.1"))
      port = try #require(listener.address).port
    }
    #expect(try error("127.0.0.1", port) == .connectFailed)
  }

  /// A listener with a full queue: the kernel drops what else comes.
  @Test func aBlackHoleEndsWithTheDeadline() throws {
    let listener = try TcpListener(at: address("127.0.0.1"), backlog: 0)
    let port = try #require(listener.address).port
    let waiting = try (0..<4).map { _ in try StreamSocket.connecting(to: address("127.0.0.1", port: port)) }
    let begun = Clock.now
    #expect(try error("127.0.0.1", port, withinMs: 400) == .connectFailed)
    #expect(Clock.now >= begun + 400)
    withExtendedLifetime(waiting) {}
  }

  @Test func aServerThatSaysNothingIsAHandshakeTimeout() throws {
    let listener = try TcpListener(at: address("127.0.0.1"))
    let port = try #require(listener.address).port
    #expect(try error("127.0.0.1", port, withinMs: 400) == .handshakeTimeout)
  }

  @Test func aServerThatSpeaksSomethingElseIsTlsFailed() throws {
    let listener = try TcpListener(at: address("127.0.0.1"))
    let port = try #require(listener.address).port
    let loop = try EventLoop()
    let dialer = try Dialer(loop: loop)
    try dialer.start(
      HostText("127.0.0.1")!, port: port, trust: TestServer().pinnedClient(), token: 1, deadline: Clock.now + 30_000)
    try loop.add(listener.descriptor, token: 2, .read)
    var peer: StreamSocket?
    var outcome: ErrorCode?
    let words: [UInt8] = Array("HTTP/1.0 400 Bad Request\r\n\r\n".utf8)
    while outcome == nil {
      outcome = thrown { () throws(ErrorCode) in
        if case .waiting(let until) = try dialer.step(Clock.now) { try loop.wait(until: until) }
      }
      if peer == nil, let accepted = try listener.accept() {
        _ = try accepted.write(words.span.bytes)
        peer = accepted
      }
    }
    #expect(outcome == .tlsFailed)
    #expect(dialer.isIdle)
  }

  @Test func anotherKeyIsAPinMismatch() throws {
    let listener = try TcpListener(at: address("127.0.0.1"))
    let port = try #require(listener.address).port
    serve(try TestServer(), listener)
    #expect(try error("127.0.0.1", port) == .pinMismatch)
  }

  /// Whether the machine has a name server or none: not later than the deadline.
  @Test func aNameThatDoesNotExistIsResolveFailed() throws {
    #expect(try error("no-such-name.invalid", 1, withinMs: 300) == .resolveFailed)
  }

  @Test func cancellingLeavesNothingInTheLoop() throws {
    let listener = try TcpListener(at: address("127.0.0.1"))
    let port = try #require(listener.address).port
    let loop = try EventLoop()
    let dialer = try Dialer(loop: loop)
    let trust = try TestServer().pinnedClient()
    for _ in 0..<50 {
      try dialer.start(HostText("127.0.0.1")!, port: port, trust: trust, token: 1, deadline: Clock.now + 30_000)
      _ = try dialer.step(Clock.now)
      #expect(!dialer.isIdle)
      dialer.cancel()
      #expect(dialer.isIdle)
    }
    try loop.wait(until: Clock.now + 20)
    #expect(loop.count == 0)
    #expect(thrown { () throws(ErrorCode) in _ = try dialer.step(Clock.now) } == .internalError)
  }

  @Test(arguments: [
    ("666644", "646466"), ("44466", "46464"), ("6", "6"), ("4444", "4444"), ("46", "46"), ("", ""),
    ("66666664", "64666666"),
  ])
  func familiesTakeTurns(given: String, expected: String) {
    var list = AddressList()
    for (index, family) in given.enumerated() {
      list.append(address(family == "6" ? "2001:db8::\(index + 1)" : "192.0.2.\(index + 1)").raw)
    }
    let turns = list.interleaved()
    #expect((0..<turns.count).map { turns[$0].isIPv6 ? "6" : "4" }.joined() == expected)
    // Nothing twice, nothing lost.
    #expect(Set((0..<turns.count).map { turns[$0].text.string }).count == given.count)
  }

  @Test func moreAddressesThanFitAreLeftOut() {
    var list = AddressList()
    for last in 1...20 { list.append(address("192.0.2.\(last)").raw) }
    #expect(list.count == Limits.resolvedAddresses)
    #expect(list.interleaved().count == Limits.resolvedAddresses)
  }
}

/// What a thread takes over; nobody else touches it afterwards.
private struct UncheckedBox<Value>: @unchecked Sendable {
  let value: Value
  init(_ value: Value) { self.value = value }
}
