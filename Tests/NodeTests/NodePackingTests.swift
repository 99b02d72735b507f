import Bounded
import Packing
import Testing
import Wire

@testable import Node

/// Texts get shorter on their way out where that is understood, and are themselves again at the end.
@Suite struct NodePackingTests {
  static let text = "the water level is high, and the temperature is low"

  static func unpacked(_ body: [UInt8]) -> String? {
    var room = [UInt8](repeating: 0, count: Limits.messageBytes + Packing.spareBytes)
    let count = room.withUnsafeMutableBytes { Packing.unpack(body.span.bytes, into: $0) }
    return count.map { String(decoding: room[..<$0], as: UTF8.self) }
  }

  @Test func whatGoesToTheHubIsPackedWhenTheHubKnowsThat() throws {
    let it = SealScene()
    _ = try it.scene.send(Self.text, to: 0).get()
    _ = try it.scene.send("Ω", to: 0).get()
    #expect(it.messages.map(\.header.isPacked) == [true, false])
    #expect(Self.unpacked(it.messages[0].body) == Self.text && it.messages[0].body.count < Self.text.utf8.count / 2)
    #expect(it.messages[1].body == Array("Ω".utf8))
    let old = SealScene(hubTakesSeals: false)
    _ = try old.scene.send(Self.text, to: 0).get()
    #expect(old.messages.map(\.body) == [Array(Self.text.utf8)] && old.messages[0].header.flags == 0)
  }

  @Test func durableMessagesToTheHubArePackedToo() throws {
    let it = SealScene()
    _ = try it.scene.post(Self.text, to: 0).get()
    it.scene.settleDisk()
    let message = try #require(it.messages.last)
    #expect(message.header.flags == FrameHeader.durable | FrameHeader.packed)
    #expect(Self.unpacked(Array(message.body.dropFirst(Limits.streamBytes))) == Self.text)
  }

  @Test func sealedTextsArePackedUnderTheirSeal() throws {
    let it = SealScene()
    _ = try it.scene.send(Self.text, to: 1_000_007).get()
    #expect(it.makeOutgoing())
    let message = try #require(it.messages.last)
    #expect(message.header.flags == FrameHeader.sealed && message.body.count < Self.text.utf8.count + Limits.sealBytes)
    #expect(it.peer.open(message.body, Node.context(of: message.header)) == Self.text)
  }

  @Test func whatIsUnderASealIsATextOrNothing() {
    func restored(_ bytes: [UInt8]) -> String? {
      var queue = ByteQueue(capacity: 2 * Limits.frameBodyBytes)
      queue.append(bigEndian: UInt32(7))
      queue.append(bytes.span.bytes)
      guard PackRoom().restore(&queue, from: 4) else {
        #expect(queue.count == 4)
        return nil
      }
      return String(decoding: (4..<queue.count).map { queue.bytes[$0] }, as: UTF8.self)
    }
    #expect(restored(Array("text".utf8) + [0]) == "text")
    #expect(restored([0x80, 0x00, 0xB2, 1]) == "water")
    for bad: [UInt8] in [[], [0], [1], Array("text".utf8) + [2], [0x80, 1], [0xEF, 1]] { #expect(restored(bad) == nil) }
    // 256 bytes for three, and no text is longer than 3,072.
    let run: [UInt8] = [0xEA, 0x20, 0xFF]
    let twelve = [[UInt8]](repeating: run, count: 12).flatMap { $0 }
    #expect(restored(twelve + [1])?.utf8.count == Limits.messageBytes)
    #expect(restored(twelve + [0xE0, 1]) == nil)
    #expect(restored([UInt8](repeating: 32, count: Limits.messageBytes + 1) + [0]) == nil)
  }

  /// Nobody packs for a node but under a seal, and nobody seals what is packed by a flag.
  @Test func theFlagIsForTheHubAlone() throws {
    func flags(_ flags: UInt8, to destination: UInt32, _ kind: FrameKind = .message) -> UInt8? {
      var queue = ByteQueue(capacity: 64)
      _ = FrameHeader(kind: kind, flags: flags, destination: destination).append(to: &queue)
      return (try? FrameHeader(decoding: queue.bytes))?.flags
    }
    #expect(flags(4, to: 0) == 4 && flags(5, to: 0) == 5)
    #expect(flags(4, to: 1_000_000) == nil && flags(6, to: 0) == nil && flags(8, to: 0) == nil)
    #expect(flags(4, to: 0, .ping) == nil)
  }
}
