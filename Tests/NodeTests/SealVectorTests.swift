import Bounded
import Foundation
import SkyCrypto
import Testing
import Wire

@testable import Node

/// The production code gives every value of docs/vectors/seal.txt; `Tests/System/seal_vectors.py` derives the same values
/// without it. After a change: `SKYNOD_WRITE_VECTORS=1 swift test --filter SealVectorTests` writes the file.
@Suite struct SealVectorTests {
  static let file = VectorTests.file.deletingLastPathComponent().appendingPathComponent("seal.txt")

  static let title = """
    # Test vectors of sealed messages (docs/protocol.md, "Sealed messages"). Made by Tests/NodeTests/SealVectorTests.swift,
    # checked by it and, without any of the project's code, by Tests/System/vectors.

    """

  private func made() throws -> Vectors {
    _ = startCrypto()
    var vectors = Vectors()
    let senderSeed = secret(0x11)
    let receiverSeed = secret(0x51)
    let hubSeed = secret(0x91)
    let (senderId, receiverId, number) = (1_000_000 as UInt32, 1_000_001 as UInt32, 0x0102_0304_0506_0708 as UInt64)
    let hub = Identity(seed: hubSeed)
    let salt = Bytes32 { 0xD0 ^ UInt8($0) }
    vectors.add("sender_seed", senderSeed)
    vectors.add("receiver_seed", receiverSeed)
    vectors.add("hub_seed", hubSeed)
    vectors.add("sender_id", text: "\(senderId)")
    vectors.add("receiver_id", text: "\(receiverId)")
    vectors.add("number", text: "\(number)")
    vectors.add("salt", salt)
    vectors.add("text", text: "Grüße")

    let sender = Identity(seed: senderSeed)
    let receiver = Identity(seed: receiverSeed)
    let from = SealEnd(id: senderId, identity: sender.publicKey)
    let to = SealEnd(id: receiverId, identity: receiver.publicKey)
    var senderSecrets = SealSecrets(seed: senderSeed)
    var receiverSecrets = SealSecrets(seed: receiverSeed)
    var card = ByteQueue(capacity: 2_048)
    _ = receiverSecrets.appendPublicKey(to: &card)
    let publicKey = bytes(of: card.bytes)
    vectors.add("receiver_public", card)
    card.append(SealSignature.signCard(publicKey.span.bytes, id: receiverId, by: receiver).raw)
    vectors.add("card", card)

    var rest = ByteQueue(capacity: 2_048)
    rest.append(to.identity.raw)
    rest.append(card.bytes)
    vectors.add("key_answer", answer(.key, receiverId, number, rest, for: senderId, by: hub))

    var key = PairKey()
    var ciphertext = ByteQueue(capacity: 2_048)
    #expect(
      senderSecrets.offer(from: from, to: to, publicKey: publicKey.span.bytes, appendTo: &ciphertext, into: &key))
    vectors.add("ciphertext", ciphertext)
    let digest = Sha256.digest(publicKey.span.bytes)
    var offer = ByteQueue(capacity: 2_048)
    offer.append(digest.raw)
    offer.append(ciphertext.bytes)
    offer.append(
      SealSignature.signOffer(ciphertext.bytes, card: digest, from: senderId, to: receiverId, by: sender).raw)
    vectors.add("offer", offer)
    rest.clear()
    rest.append(from.identity.raw)
    rest.append(offer.bytes)
    vectors.add("offer_to_receiver", answer(.offer, senderId, 0, rest, for: receiverId, by: hub))
    var there = PairKey()
    #expect(receiverSecrets.take(ciphertext.bytes, from: from, to: to, card: digest, into: &there))
    #expect(there.id == key.id)

    // Behind the text the byte that says it is not packed.
    let text = Array("Grüße".utf8) + [0]
    for (name, isDurable) in [("ordinary", false), ("durable", true)] {
      let frame = FrameHeader(
        kind: .message, flags: FrameHeader.sealed | (isDurable ? FrameHeader.durable : 0), source: senderId,
        destination: receiverId, sequence: 77)
      let stream: UInt64 = isDurable ? 0x1122_3344_5566_7788 : 0
      var sealed = ByteQueue(capacity: 4_096)
      #expect(
        key.seal(
          text.span.bytes, Node.context(of: frame, stream: stream), salt: isDurable ? RawSpan() : salt.raw,
          appendTo: &sealed))
      var body = ByteQueue(capacity: 4_096)
      _ = frame.append(to: &body)
      if isDurable { body.append(bigEndian: stream) }
      body.append(sealed.bytes)
      vectors.add("\(name)_frame", body)
      var opened = ByteQueue(capacity: 4_096)
      #expect(there.open(sealed.bytes, Node.context(of: frame, stream: stream), appendTo: &opened))
      #expect(bytes(of: opened.bytes) == text)
    }
    return vectors
  }

  private func answer(
    _ word: SealSignature.Word, _ id: UInt32, _ number: UInt64, _ rest: borrowing ByteQueue, for node: UInt32,
    by hub: borrowing Identity
  ) -> [UInt8] {
    var signed = ByteQueue(capacity: 2_048)
    SealAnswerHead(id: id, number: number).append(to: &signed)
    signed.append(rest.bytes)
    return array(SealSignature.sign(word, signed.bytes, for: node, by: hub)) + bytes(of: signed.bytes)
  }

  private func secret(_ first: UInt8) -> Secret<32> {
    let bytes = Bytes32 { first &+ UInt8($0) }
    return Secret<32>(bytes.raw)!
  }

  @Test func theProductionCodeGivesEveryValueOfTheVectors() throws {
    let made = try made()
    if ProcessInfo.processInfo.environment["SKYNOD_WRITE_VECTORS"] != nil {
      let text = made.lines.map { "\($0.name) = \($0.value)\n" }.joined()
      try (Self.title + text).write(to: Self.file, atomically: true, encoding: .utf8)
    }
    let written = try Vectors(file: String(contentsOf: Self.file, encoding: .utf8))
    #expect(written.lines.map(\.name) == made.lines.map(\.name))
    for (name, value) in made.lines { #expect(written[name] == value, "\(name)") }
    #expect(made.lines.count == 16)
  }
}
