import Bounded
import Node
import SkyCrypto
import Testing
import Wire

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

extension SessionPair {
  func nodeSends(_ text: String, sequence: UInt64 = 1) throws(ErrorCode) {
    let body = bytes(text)
    try node.send(FrameHeader(kind: .message, sequence: sequence), body: body.span.bytes, now: now)
  }
  func hubSends(_ text: String, sequence: UInt64 = 1) throws(ErrorCode) {
    let body = bytes(text)
    try hub.send(FrameHeader(kind: .message, sequence: sequence), body: body.span.bytes, now: now)
  }
  var nodeBody: [UInt8] { Self.body(of: node) }
  var hubBody: [UInt8] { Self.body(of: hub) }
  private static func body(of session: borrowing Session) -> [UInt8] {
    let bytes = session.body
    return (0..<bytes.byteCount).map { bytes[$0] }
  }
}

@Suite struct SessionTests {
  @Test func handshakeEndsWithTheSameKeysOnBothSides() throws {
    let pair = SessionPair()
    try pair.establish()
    let established = pair.node.isEstablished
    #expect(established)
    let nodeId = pair.node.peerWelcome?.nodeId
    #expect(nodeId == 1_000_000)
    try pair.nodeSends("to the hub")
    try pair.hubSends("to the node")
    pair.collect()
    let atHub = try pair.hubEvent()
    #expect(atHub == .frame(FrameHeader(kind: .message, sequence: 1)))
    #expect(pair.hubBody == bytes("to the hub"))
    let atNode = try pair.nodeEvent()
    #expect(atNode == .frame(FrameHeader(kind: .message, sequence: 1)))
    #expect(pair.nodeBody == bytes("to the node"))
  }

  @Test(arguments: [(1, 1, 1), (1, 2, 1), (2, 1, 1), (2, 2, 2)] as [(UInt8, UInt8, UInt8)])
  func theHighestVersionInCommonIsSpoken(_ node: UInt8, _ hub: UInt8, _ chosen: UInt8) throws {
    let pair = SessionPair((node, hub))
    try pair.establish()
    let versions = (pair.node.version, pair.hub.version)
    #expect(versions == (chosen, chosen))
    try pair.nodeSends("to the hub")
    try pair.hubSends("to the node")
    pair.collect()
    let tag = chosen == 1 ? 16 : 32
    #expect(pair.toHub.count == 4 + 8 + 24 + 10 + tag && pair.toNode.count == 4 + 8 + 24 + 11 + tag)
    #expect(try pair.hubEvent() == .frame(FrameHeader(kind: .message, sequence: 1)))
    #expect(pair.hubBody == bytes("to the hub"))
    #expect(try pair.nodeEvent() == .frame(FrameHeader(kind: .message, sequence: 1)))
    #expect(pair.nodeBody == bytes("to the node"))
    // A session that is used again knows nothing of the last one's version.
    pair.node.reset()
    let afterwards = pair.node.version
    #expect(afterwards == 1)
  }

  @Test func bytesMayArriveOneAtATime() throws {
    let pair = SessionPair()
    pair.start()
    pair.collect()
    var event: Session.Event?
    for byte in pair.toHub {
      #expect(event == nil)
      #expect(pair.deliver([byte], to: &pair.hub) == 1)
      event = try pair.hub.nextEvent(now: pair.now, identity: pair.hubIdentity, random: &pair.hubRandom)
    }
    #expect(event == .hello)
  }

  @Test func framesCrossARenewalInBothDirectionsWithoutLoss() throws {
    let pair = SessionPair()
    try pair.establish()
    for round in 1...300 {
      pair.now = pair.now + 100_000
      try pair.nodeSends("before", sequence: 1)
      try pair.node.beginRekey(now: pair.now, random: &pair.nodeRandom)
      try pair.nodeSends("between", sequence: 2)
      try pair.hubSends("hub before", sequence: 1)
      pair.collect()
      #expect(try pair.hubEvent() == .frame(FrameHeader(kind: .message, sequence: 1)))
      #expect(try pair.hubEvent() == .rekeyed(UInt32(round)))
      #expect(try pair.hubEvent() == .frame(FrameHeader(kind: .message, sequence: 2)))
      try pair.hubSends("hub after", sequence: 2)
      pair.collect()
      #expect(try pair.nodeEvent() == .frame(FrameHeader(kind: .message, sequence: 1)))
      #expect(try pair.nodeEvent() == .rekeyed(UInt32(round)))
      #expect(try pair.nodeEvent() == .frame(FrameHeader(kind: .message, sequence: 2)))
      try pair.nodeSends("after", sequence: 3)
      pair.collect()
      #expect(try pair.hubEvent() == .frame(FrameHeader(kind: .message, sequence: 3)))
      #expect(try pair.hubEvent() == nil)
      let epochs = (pair.node.keyEpoch, pair.hub.keyEpoch)
      #expect(epochs == (UInt8(truncatingIfNeeded: round), UInt8(truncatingIfNeeded: round)))
    }
  }

  @Test func aKeyPastItsAgeSealsNothing() throws {
    let pair = SessionPair()
    try pair.establish()
    pair.now = pair.now + Limits.keyRefusedAfterMs
    try pair.nodeSends("still good")
    pair.now = pair.now + 1
    #expect(throws: ErrorCode.keyExpired) { try pair.nodeSends("too late") }
  }

  @Test func aKeyPastItsAgeOpensNothing() throws {
    let pair = SessionPair()
    try pair.establish()
    try pair.nodeSends("sent in time")
    pair.collect()
    pair.now = pair.now + Limits.keyRefusedAfterMs + 1
    #expect(throws: ErrorCode.keyExpired) { try pair.hubEvent() }
    let phase = pair.hub.phase
    #expect(phase == .failed)
  }

  @Test func theFullOutputRefusesAFrameAndLosesNothing() throws {
    let pair = SessionPair()
    try pair.establish()
    let big = [UInt8](repeating: 1, count: Limits.frameBodyBytes)
    var sent = 0
    while true {
      do throws(ErrorCode) {
        try pair.node.send(FrameHeader(kind: .message, sequence: UInt64(sent)), body: big.span.bytes, now: pair.now)
        sent += 1
      } catch {
        #expect(error == .full)
        break
      }
    }
    #expect(sent == 2)
    pair.collect()
    for i in 0..<sent {
      let event = try pair.hubEvent()
      #expect(event == .frame(FrameHeader(kind: .message, sequence: UInt64(i))))
    }
  }
}
