import Bounded
import Wire

extension FuzzTarget {
  /// A fellow gone mad: `u8 kind`, then the body of that frame. What is read is written again, and must be the same bytes.
  static let fellows = FuzzTarget(
    name: "fellows",
    run: { bytes in
      guard bytes.byteCount > 0 else { return }
      let body = bytes.extracting(1..<bytes.byteCount)
      do throws(ErrorCode) {
        var queue = ByteQueue(capacity: 2 * Limits.frameBodyBytes)
        switch bytes[0] % 6 {
        case 0: queue.append(bigEndian: try FellowGreeting(decoding: body).registry)
        case 1: try LogMarks(decoding: body).append(to: &queue)
        case 2: try again(share: body, to: &queue)
        case 3: for i in 0..<(try HereEntry.count(in: body)) { try HereEntry.at(i, in: body).append(to: &queue) }
        case 4: queue.append(bigEndian: try NodeWord(decoding: body).id)
        default:
          _ = try ShareHead(decoding: body)
          return
        }
        precondition(queue.bytes.elementsEqual(body))
      } catch {
        precondition(error == .malformedFrame)
      }
    },
    seeds: {
      func share(_ log: ShareHead.Log, _ entries: [SharedEntry], text: StaticString = "") -> [UInt8] {
        var queue = ByteQueue(capacity: Limits.frameBodyBytes)
        ShareHead(log: log, isInStep: true, upTo: 9).append(to: &queue)
        let bytes = RawSpan(_unsafeStart: UnsafeRawPointer(text.utf8Start), byteCount: text.utf8CodeUnitCount)
        for entry in entries {
          if case .message = entry {
            _ = entry.append(to: &queue, text: bytes)
          } else {
            _ = entry.append(to: &queue)
          }
        }
        return [2] + queue.array
      }
      let name = SharedName(destination: 2_000_001, source: 2_000_000, stream: 77, sequence: 5)
      var marks = ByteQueue(capacity: 64)
      LogMarks(registry: 7, messages: 9).append(to: &marks)
      var here = ByteQueue(capacity: 64)
      HereEntry(id: 2_000_000, instance: InlineArray(repeating: 7), ageMs: 9).append(to: &here)
      HereEntry(id: 2_000_001, instance: InlineArray(repeating: 8), ageMs: 0).append(to: &here)
      let node = SharedNode(
        id: 2_000_000, key: InlineArray(repeating: 5), admittedAt: 1, revokedAt: 2, reinstatedAt: 3, labelledAt: 4,
        label: SharedText("kitchen")!, reason: SharedText("lost")!)
      let token = SharedToken(
        id: InlineArray(repeating: 1), verifier: InlineArray(repeating: 2), uses: 3, expiresAt: 9, createdAt: 1,
        label: SharedText())
      return [
        Seed(name: "greeting", bytes: [0, 0, 0, 0, 0, 0, 0, 0, 7]),
        Seed(name: "committed", bytes: [1] + marks.array),
        Seed(
          name: "registry",
          bytes: share(
            .registry,
            [
              .node(node), .alias(old: 3_000_000, id: 2_000_000), .token(token), .uses(registry: 7, count: 2),
              .uses(registry: 8, count: 1), .tokenGone(InlineArray(repeating: 9)),
            ])),
        Seed(
          name: "messages",
          bytes: share(
            .messages,
            [
              .message(SharedMessage(name: name, flags: 1, hops: 0, expiresMs: 0)), .done(name),
              .window(node: 2_000_000, stream: 77, newest: 300, seen: InlineArray(repeating: 1)),
            ], text: "hello")),
        Seed(name: "nothing", bytes: share(.messages, [])),
        Seed(name: "here", bytes: [3] + here.array),
        Seed(name: "gone", bytes: [4, 0, 0x1E, 0x84, 0x80]),
      ]
    })

  private static func again(share body: RawSpan, to queue: inout ByteQueue) throws(ErrorCode) {
    var reader = try ShareReader(body)
    reader.head.append(to: &queue)
    while let entry = try reader.next() {
      precondition(entry.text.count <= Limits.messageBytes + Limits.sealBytes)
      let text = body.extracting(entry.text)
      guard entry.append(to: &queue, text: text) else { throw .malformedFrame }
    }
  }
}
