import Bounded
import Foundation
import Platform
import Testing
import Wire

@Suite struct EventLoopTests {
  private let word: [UInt8] = Array("word".utf8)

  /// The events of one turn, by token.
  private func turn(_ loop: EventLoop, until deadline: Instant = Clock.now) throws -> [UInt64: Event] {
    try loop.wait(until: deadline)
    var found: [UInt64: Event] = [:]
    for index in 0..<loop.count { found[loop[index].token] = loop[index] }
    return found
  }

  @Test func onlyWhatIsReadyIsReported() throws {
    let loop = try EventLoop()
    let (a, b) = try StreamSocket.pair()
    let (c, d) = try StreamSocket.pair()
    try loop.add(a.descriptor, token: 1, .read)
    try loop.add(c.descriptor, token: UInt64.max, .read)
    #expect(try turn(loop).isEmpty)
    _ = try d.write(word.span.bytes)
    let events = try turn(loop, until: Clock.now + 10_000)
    #expect(events.count == 1)
    #expect(events[.max]?.isReadable == true)
    #expect(events[.max]?.isWritable == false)
    #expect(events[.max]?.isHangup == false)
    _ = b
  }

  @Test func levelTriggeredUntilReadAndSilentAfterRemoval() throws {
    let loop = try EventLoop()
    let (a, b) = try StreamSocket.pair()
    try loop.add(a.descriptor, token: 7, .read)
    _ = try b.write(word.span.bytes)
    for _ in 0..<3 { #expect(try turn(loop)[7] != nil) }
    loop.remove(a.descriptor)
    loop.remove(a.descriptor)  // is no error
    #expect(try turn(loop).isEmpty)
  }

  @Test func interestCanChange() throws {
    let loop = try EventLoop()
    let (a, b) = try StreamSocket.pair()
    try loop.add(a.descriptor, token: 7, .read)
    try loop.modify(a.descriptor, token: 8, [.read, .write])
    let events = try turn(loop)
    #expect(events[7] == nil)
    #expect(events[8]?.isWritable == true)
    #expect(events[8]?.isReadable == false)
    try loop.modify(a.descriptor, token: 8, [])
    _ = try b.write(word.span.bytes)
    #expect(try turn(loop).isEmpty)
  }

  /// A client that has asked its last question still waits for the answer.
  @Test func anEndedSendingSideIsReadableAndNoHangup() throws {
    let loop = try EventLoop()
    let (a, b) = try StreamSocket.pair()
    try loop.add(a.descriptor, token: 1, .read)
    shutdown(b.descriptor, Int32(SHUT_WR))
    let event = try #require(try turn(loop)[1])
    #expect(event.isReadable)
    #expect(!event.isHangup)
  }

  @Test func aClosedPeerIsAHangupWhateverIsWanted() throws {
    let loop = try EventLoop()
    let (a, b) = try StreamSocket.pair()
    try loop.add(a.descriptor, token: 1, [])
    do { _ = consume b }
    let event = try #require(try turn(loop)[1])
    #expect(event.isHangup)
    #expect(event.isReadable)
  }

  @Test func moreEventsThanOneTurnTakesComeInTheNext() throws {
    let loop = try EventLoop()
    var pairs: [(StreamSocket, StreamSocket)] = []
    for token in 0..<(Limits.eventsPerTurn + 10) {
      let pair = try StreamSocket.pair()
      try loop.add(pair.0.descriptor, token: UInt64(token), .read)
      _ = try pair.1.write(word.span.bytes)
      pairs.append(pair)
    }
    var seen: Set<UInt64> = []
    var queue = ByteQueue(capacity: 64)
    for _ in 0..<2 {
      for token in try turn(loop).keys {
        seen.insert(token)
        _ = try pairs[Int(token)].0.read(into: &queue)
        queue.clear()
      }
    }
    #expect(seen.count == pairs.count)
  }

  @Test func timeComesWithoutEvents() throws {
    let loop = try EventLoop()
    let begun = Clock.now
    #expect(try turn(loop, until: begun + 30).isEmpty)
    #expect(Clock.now >= begun + 30)
    // What is long past and what is too far for the kernel's counter are both times.
    #expect(try turn(loop, until: Instant(ms: 0)).isEmpty)
    let (a, b) = try StreamSocket.pair()
    try loop.add(a.descriptor, token: 1, .read)
    _ = try b.write(word.span.bytes)
    #expect(try turn(loop, until: begun + UInt64(Int32.max) * 10).count == 1)
    #expect(try turn(loop, until: .never).count == 1)
  }

  @Test func aDescriptorThatIsNotOpenIsRefused() throws {
    let loop = try EventLoop()
    #expect(thrown { () throws(ErrorCode) in try loop.add(-1, token: 1, .read) } == .internalError)
    let (a, _) = try StreamSocket.pair()
    #expect(thrown { () throws(ErrorCode) in try loop.modify(a.descriptor, token: 1, .read) } == .internalError)
  }
}

@Suite struct NotifierTests {
  @Test(.disabled(if: ProcessInfo.processInfo.environment["NOTIFY_SOCKET"] != nil, "this runs under systemd"))
  func withoutAManagerEveryCallDoesNothing() {
    let notifier = Notifier()
    #expect(!notifier.isListening)
    for _ in 0..<1_000 {
      notifier.ready(status: word.span.bytes)
      notifier.status(word.span.bytes)
      notifier.watchdog()
      notifier.reloading()
      notifier.stopping()
      notifier.store(0, name: "nothing")
    }
  }

  private let word: [UInt8] = Array("a status\nof two lines".utf8)
}
