import Bounded
import CSky
import Durable
import Node
import Platform
import SkyCrypto
import TestSupport
import Wire

// A relay whose hub and whose leaf have been taken over: both hold good keys and send what they like.
//
//   forged COUNT       COUNT frames that are replayed, forged or out of place, half of them from either side;
//                      prints what changed in the relay and how often it allocated: nothing, and never

/// What must be the same before and after.
private struct Standing: Equatable {
  let state: Node.State
  let id: UInt32
  let hubs: HubList
  let duties: Duties
  let inbox: Int
  let outbox: Int
  let outgoing: UInt64
  let incoming: UInt64
  let routes: Int
  let leaves: Int
  let links: UInt64

  init(_ node: Node) {
    state = node.state
    id = node.nodeId
    hubs = node.hubs
    duties = node.activeDuties
    inbox = node.inbox.count
    outbox = node.outboxUsed
    outgoing = node.stores?.outgoing.nextSequence ?? 0
    incoming = node.stores?.incoming.nextSequence ?? 0
    routes = node.relay.routeCount
    leaves = node.relay.linkedCount
    links = node.counters.links
  }
}

func forged(_ words: [HostText]) throws(ErrorCode) {
  let count = try number(words, 1, default: 1_000_000)
  guard startCrypto() else { throw .internalError }
  let disk = SceneDisk(now: Instant(ms: 1_000))
  let world = RelayWorld(stores: disk.stores)
  // What is replayed later: one durable message that the relay has had.
  var body = ByteQueue(capacity: 2_048)
  durable(into: &body)
  world.send(fromHub: true, replayed, body.bytes)
  world.settle()
  for _ in 0..<4 {
    world.now = world.now + 20
    disk.pump(now: world.now)
    _ = world.node.moveStored(now: world.now)
    world.settle()
  }
  guard world.node.inbox.count == 1 else { throw .internalError }

  let before = Standing(world.node)
  let allocations = sky_heap_read().allocations
  var sent: UInt64 = 0
  for number in 0..<count {
    if send(number, world, &body) { sent += 1 }
    world.settle()
    if number % 4_096 == 0 { world.node.handle(.vitals(VitalSigns()), now: world.now) }
  }
  let more = sky_heap_read().allocations - allocations
  let after = Standing(world.node)
  say("forged sent=\(sent) allocations=\(more) duplicates=\(world.node.counters.duplicates)")
  say(after == before ? "nothing has changed" : "the relay has changed")
  guard sent == count, more == 0, after == before else { throw .internalError }
}

private let replayed = FrameHeader(
  kind: .message, flags: FrameHeader.durable, source: 1_000_007, destination: RelayWorld.relayId, sequence: 9)

private func durable(into body: inout ByteQueue) {
  body.clear()
  body.append(bigEndian: UInt64(77))
  body.append("a message that was had before")
}

/// One frame out of a dozen kinds that must not do anything.
private func send(_ number: UInt64, _ world: RelayWorld, _ body: inout ByteQueue) -> Bool {
  let (relay, leaf) = (RelayWorld.relayId, RelayWorld.leafId)
  body.clear()
  switch number % 15 {
  case 0:
    durable(into: &body)
    return world.send(fromHub: true, replayed, body.bytes)
  case 1:
    _ = Receipt(sequence: number, failure: nil).append(to: &body)
    return world.send(fromHub: true, FrameHeader(kind: .receipt, source: 5, destination: relay), body.bytes)
  case 2:
    _ = StoredEntry(stream: number, sequence: number, failure: nil).append(to: &body)
    return world.send(fromHub: true, FrameHeader(kind: .stored, destination: relay), body.bytes)
  case 3:
    _ = Admitted(id: 1_000_000 + UInt32(number % 1_000), failure: nil, count: .max).append(to: &body)
    return world.send(fromHub: true, FrameHeader(kind: .admitted, destination: relay, sequence: number), body.bytes)
  case 4:
    _ = RouteWord(id: leaf, failure: .revoked).append(to: &body)
    return world.send(fromHub: true, FrameHeader(kind: .attached, destination: relay, sequence: 0), body.bytes)
  case 5:
    _ = RouteWord(id: leaf + 1, failure: .revoked).append(to: &body)
    return world.send(fromHub: true, FrameHeader(kind: .detach, destination: relay), body.bytes)
  case 6:
    _ = RouteProof(count: UInt32(truncatingIfNeeded: number), signature: InlineArray(repeating: 1)).append(to: &body)
    return world.send(fromHub: false, FrameHeader(kind: .routeProof, source: leaf), body.bytes)
  case 7:
    _ = RouteWord(id: leaf + UInt32(number % 50), failure: nil).append(to: &body)
    return world.send(fromHub: false, FrameHeader(kind: .detach, source: leaf), body.bytes)
  case 8:
    _ = Receipt(sequence: number, failure: nil).append(to: &body)
    return world.send(fromHub: false, FrameHeader(kind: .receipt, source: leaf, destination: relay), body.bytes)
  case 9:
    _ = StoredEntry(stream: number, sequence: number, failure: nil).append(to: &body)
    return world.send(fromHub: false, FrameHeader(kind: .stored, source: leaf), body.bytes)
  case 10:
    body.append("for nobody")
    return world.send(
      fromHub: true, FrameHeader(kind: .message, source: 5, destination: leaf + 9, sequence: number), body.bytes)
  case 11:
    // Who has no key here asks for it, and keeps nothing.
    for _ in 0..<8 { body.append(bigEndian: number) }
    let source = 1_000_100 + UInt32(number / 15 % 900)
    let flags = FrameHeader.sealed | (number % 2 == 0 ? FrameHeader.durable : 0)
    return world.send(
      fromHub: true, FrameHeader(kind: .message, flags: flags, source: source, destination: relay, sequence: number),
      body.bytes)
  case 12:
    forge(SealOffer.byteCount, number, into: &body)
    return world.send(fromHub: true, FrameHeader(kind: .offer, destination: relay), body.bytes)
  case 13:
    forge(Card.byteCount, number, into: &body)
    return world.send(fromHub: true, FrameHeader(kind: .keyAnswer, destination: relay), body.bytes)
  default:
    body.append("round and round")
    return world.send(
      fromHub: false, FrameHeader(kind: .message, hops: Limits.hops, source: leaf, destination: 5, sequence: number),
      body.bytes)
  }
}

/// An answer about keys with a signature that is none.
private func forge(_ rest: Int, _ number: UInt64, into body: inout ByteQueue) {
  for _ in 0..<8 { body.append(bigEndian: number) }
  SealAnswerHead(id: 1_000_100 + UInt32(number % 900), number: 0).append(to: &body)
  for _ in 0..<((Limits.keyBytes + rest) / 4) { body.append(bigEndian: UInt32(truncatingIfNeeded: number)) }
}
