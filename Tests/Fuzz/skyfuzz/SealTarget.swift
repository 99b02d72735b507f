import Bounded
import Node
import SkyCrypto
import TestSupport
import Wire

extension FuzzTarget {
  /// A hub, or a relay, gone bad around keys: `u8 what, u16 length, body`, over and over, to a node that is online and has
  /// rings. Bodies are read on their own as well, and what the node writes down of others is read back.
  ///
  /// Held for every script: the node's invariants, that nothing sealed is shown, and that the link stands whenever every
  /// body was well formed.
  static let seal = FuzzTarget(
    name: "seal",
    run: { bytes in
      let world = RelayWorld(stores: SceneDisk(now: Instant(ms: 1_000)).stores)
      var script = Script(bytes)
      while let what = script.byte() {
        let body = script.literal(script.number())
        step(world, what, body)
      }
      for i in 0..<world.node.inbox.count { precondition(!world.node.inbox[i].isSealed, "nobody has the key") }
    },
    seeds: {
      func record(_ what: UInt8, _ body: [UInt8] = []) -> [UInt8] {
        [what, UInt8(body.count >> 8), UInt8(body.count & 255)] + body
      }
      func written(_ build: (inout ByteQueue) -> Void) -> [UInt8] {
        var queue = ByteQueue(capacity: 4_096)
        build(&queue)
        return queue.array
      }
      func answer(_ rest: Int, _ failure: ErrorCode?) -> [UInt8] {
        written {
          $0.append([UInt8](repeating: 7, count: Limits.signatureBytes).span.bytes)
          SealAnswerHead(id: 1_000_005, number: failure == nil ? 0 : 9, failure: failure).append(to: &$0)
          if failure == nil { $0.append([UInt8](repeating: 3, count: Limits.keyBytes + rest).span.bytes) }
        }
      }
      let text = Array("hello".utf8)
      let known = written { KnownNodes().encode(to: &$0) }
      return [
        Seed(name: "card", bytes: record(0, [UInt8](repeating: 5, count: Card.byteCount))),
        Seed(name: "query", bytes: record(1, written { SealQuery(id: 1_000_005, number: 9).append(to: &$0) })),
        Seed(
          name: "answer", bytes: record(2, answer(Card.byteCount, nil)) + record(2, answer(0, .noCard))),
        Seed(
          name: "offer", bytes: record(3, answer(SealOffer.byteCount, nil)) + record(3, answer(0, .notFound))),
        Seed(
          name: "offered",
          bytes: record(4, written { Offered(id: 1_000_005, failure: .notFound).append(to: &$0) })),
        Seed(name: "send", bytes: record(5, text) + record(8, [2]) + record(8, [9]) + record(6, text) + record(8, [2])),
        Seed(
          name: "sealed",
          bytes: record(7, [UInt8](repeating: 1, count: 60)) + record(9, [UInt8](repeating: 1, count: 60))),
        Seed(name: "known", bytes: record(10, known)),
      ]
    })

  private static func step(_ world: RelayWorld, _ what: UInt8, _ body: [UInt8]) {
    let relay = RelayWorld.relayId
    let node = world.node
    func send(_ kind: FrameKind, flags: UInt8 = 0, source: UInt32 = 0) {
      let header = FrameHeader(kind: kind, flags: flags, source: source, destination: relay, sequence: 3)
      world.send(fromHub: true, header, body.span.bytes)
    }
    switch what % 11 {
    case 0: read(card: body.span.bytes)
    case 1:
      if let query = try? SealQuery(decoding: body.span.bytes) {
        precondition(body.count == SealQuery.byteCount && query.number > 0)
      }
      if let receiver = try? OfferFrame.receiver(of: body.span.bytes) {
        precondition(OfferFrame.offer(in: body.span.bytes).byteCount == SealOffer.byteCount || receiver == 0)
      }
    case 2:
      read(answer: body.span.bytes, rest: Card.byteCount)
      send(.keyAnswer)
    case 3:
      read(answer: body.span.bytes, rest: SealOffer.byteCount)
      send(.offer)
    case 4: send(.offered)
    case 5: _ = try? node.send(body.span.bytes, to: 1_000_005, now: world.now)
    case 6: _ = try? node.post(body.span.bytes, to: 1_000_005, now: world.now)
    case 7: send(.message, flags: FrameHeader.sealed, source: 1_000_005)
    case 8:
      world.now = world.now + UInt64(body.first ?? 0) * 500
      if node.nextDeadline <= world.now { node.handle(.tick, now: world.now) }
      _ = node.moveStored(now: world.now)
    case 9: send(.message, flags: FrameHeader.sealed | FrameHeader.durable, source: 1_000_005)
    default: read(known: body.span.bytes)
    }
    world.settle()
  }

  private static func read(card body: RawSpan) {
    guard let card = try? Card(decoding: body) else { return }
    precondition(card.publicKey().byteCount + Limits.signatureBytes == body.byteCount)
    precondition(!SealSignature.isCard(card, of: SealEnd(id: 7, identity: Bytes32(repeating: 9))))
  }

  private static func read(answer body: RawSpan, rest: Int) {
    do throws(ErrorCode) {
      let answer = try SealAnswer(decoding: body, rest: rest)
      precondition(answer.signed().byteCount + Limits.signatureBytes == body.byteCount)
      if answer.head.failure == nil { precondition(answer.rest().byteCount == rest) }
    } catch { precondition(error == .malformedFrame) }
  }

  /// What was read is written as it was.
  private static func read(known file: RawSpan) {
    do throws(ErrorCode) {
      let known = try KnownNodes(decoding: file)
      var queue = ByteQueue(capacity: KnownNodes.maximumBytes)
      known.encode(to: &queue)
      precondition(queue.bytes.elementsEqual(file))
    } catch { precondition(error == .malformed) }
  }
}
