import Bounded
import Testing
import Wire

/// What hubs that share tell each other: what is read is what was written, and nothing else is read.
@Suite struct FellowFrameTests {
  private let name = SharedName(destination: 2_000_001, source: 2_000_000, stream: 77, sequence: 5)
  private let text: [UInt8] = [0x68, 0x69]

  private var registry: [SharedEntry] {
    let node = SharedNode(
      id: 2_000_000, key: InlineArray(repeating: 5), admittedAt: 1, revokedAt: 2, reinstatedAt: 3, labelledAt: 4,
      label: SharedText("kitchen")!, reason: SharedText("lost")!)
    let token = SharedToken(
      id: InlineArray(repeating: 1), verifier: InlineArray(repeating: 2), uses: 3, expiresAt: 9, createdAt: 1,
      label: SharedText(String(repeating: "x", count: 120))!)
    return [
      .node(node), .alias(old: 3_000_000, id: 2_000_000), .token(token), .uses(registry: 7, count: 2),
      .tokenGone(InlineArray(repeating: 9)),
    ]
  }
  private var messages: [SharedEntry] {
    [
      .message(SharedMessage(name: name, flags: 3, hops: 2, expiresMs: 99)), .done(name),
      .window(node: 2_000_000, stream: 77, newest: 300, seen: InlineArray(repeating: 1)),
    ]
  }

  private func body(_ log: ShareHead.Log, _ entries: [SharedEntry]) -> [UInt8] {
    var queue = ByteQueue(capacity: Limits.frameBodyBytes)
    ShareHead(log: log, isInStep: true, upTo: 9).append(to: &queue)
    for entry in entries {
      if case .message = entry {
        _ = entry.append(to: &queue, text: text.span.bytes)
      } else {
        _ = entry.append(to: &queue)
      }
    }
    let bytes = queue.bytes
    return (0..<bytes.byteCount).map { bytes[$0] }
  }

  /// How many entries were read.
  private func read(_ bytes: [UInt8]) -> Result<Int, ErrorCode> {
    do throws(ErrorCode) {
      var reader = try ShareReader(bytes.span.bytes)
      var count = 0
      while try reader.next() != nil { count += 1 }
      return .success(count)
    } catch { return .failure(error) }
  }

  @Test func entriesAreReadAsTheyWereWritten() {
    #expect(read(body(.registry, registry)) == .success(5) && read(body(.messages, messages)) == .success(3))
    #expect(read(body(.messages, [])) == .success(0))
  }

  @Test func everyLengthBetweenEntriesIsRefused() {
    for (log, entries) in [(ShareHead.Log.registry, registry), (.messages, messages)] {
      var whole: Set<Int> = []
      for count in 0...entries.count { whole.insert(body(log, Array(entries.prefix(count))).count) }
      let bytes = body(log, entries)
      for length in 0..<bytes.count where !whole.contains(length) {
        #expect(read(Array(bytes.prefix(length))) == .failure(.malformedFrame), "\(log) \(length)")
      }
    }
  }

  @Test func anEntryIsOfItsLog() {
    #expect(read(body(.registry, messages)) == .failure(.malformedFrame))
    #expect(read(body(.messages, registry)) == .failure(.malformedFrame))
    #expect(read(body(.registry, [.uses(registry: 7, count: 2)])) == .failure(.malformedFrame))
  }

  @Test func valuesOutsideTheirRangeAreRefused() {
    func changed(_ bytes: [UInt8], _ at: Int, to value: UInt8) -> Result<Int, ErrorCode> {
      var bytes = bytes
      bytes[at] = value
      return read(bytes)
    }
    let first = ShareHead.byteCount
    let message = body(.messages, messages)
    #expect(changed(message, 0, to: 2) == .failure(.malformedFrame), "log")
    #expect(changed(message, 1, to: 2) == .failure(.malformedFrame), "flags")
    #expect(changed(message, first, to: 9) == .failure(.malformedFrame), "type")
    #expect(changed(message, first + 1, to: 9) == .failure(.malformedFrame), "destination")
    #expect(changed(message, first + 17, to: 0x80) == .failure(.malformedFrame), "sequence")
    #expect(changed(message, first + 25, to: 0) == .failure(.malformedFrame), "not durable")
    let node = body(.registry, registry)
    #expect(changed(node, first + 1 + 4 + 32 + 32 + 1, to: 0x0A) == .failure(.malformedFrame), "a label is one line")
  }

  @Test func theSmallFramesAreRefusedAtOtherLengths() {
    func fails(_ count: Int, _ decode: (RawSpan) throws -> Void) -> Bool {
      let bytes = [UInt8](repeating: 0x10, count: count)
      do {
        try decode(bytes.span.bytes)
        return false
      } catch { return true }
    }
    for count in 0..<40 {
      #expect(fails(count) { _ = try FellowGreeting(decoding: $0) } == (count != 8))
      #expect(fails(count) { _ = try LogMarks(decoding: $0) } == (count != 16))
      #expect(fails(count) { _ = try HereEntry.count(in: $0) } == (count != 24))
    }
    #expect(fails(4) { _ = try NodeWord(decoding: $0) })
  }
}
