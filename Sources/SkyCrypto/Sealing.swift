import Bounded
import CSky

/// A node as an end of sealed messages: its id and the identity that has it.
public struct SealEnd: Sendable {
  public var id: UInt32
  public var identity: Bytes32

  public init(id: UInt32, identity: Bytes32) {
    self.id = id
    self.identity = identity
  }
}

/// What one node needs to be an end of sealed messages (docs/protocol.md, "Sealed messages"). Both secrets come from the
/// seed of its identity, and so does all that it ever offers: nothing has to be kept.
public struct SealSecrets: ~Copyable {
  private var kem = Secret<32>()
  private var draw = Secret<32>()
  // For the length of a call: what a node allocates once it runs would count.
  private var prk = Secret<32>()
  private var half = Secret<32>()
  private var shared = Secret<32>()
  private var seed64 = Secret<64>()

  public init(seed: borrowing Secret<32>) {
    var hash = Sha256()
    hash.update("skynod seal")
    Hkdf.extract(salt: hash.digest, seed, into: &prk)
    Hkdf.expand(prk, label: "skynod 1 seal kem", into: &kem)
    Hkdf.expand(prk, label: "skynod 1 seal draw", into: &draw)
    prk.wipe()
  }

  private mutating func wipeWork() {
    prk.wipe()
    half.wipe()
    shared.wipe()
    seed64.wipe()
  }

  /// Appends the X-Wing public key. False when the queue has no room.
  public mutating func appendPublicKey(to queue: inout ByteQueue) -> Bool {
    let isThere = XWing.makeKeyPair(seed: kem, secret: &shared, appendTo: &queue)
    wipeWork()
    return isThere
  }

  /// The sender's side: appends the ciphertext, the same for the same pair whenever it is made. False when the public key
  /// is none, or the queue has no room.
  public mutating func offer(
    from sender: SealEnd, to receiver: SealEnd, publicKey: RawSpan, appendTo queue: inout ByteQueue,
    into key: inout PairKey
  ) -> Bool {
    var hash = Sha256()
    hash.update("skynod seal draw")
    hash.update(bigEndian: sender.id)
    hash.update(bigEndian: receiver.id)
    hash.update(publicKey)
    Hkdf.extract(salt: hash.digest, draw, into: &prk)
    Hkdf.expand(prk, label: "skynod 1 seal draw 0", into: &half)
    seed64.setHalf(0, half)
    Hkdf.expand(prk, label: "skynod 1 seal draw 1", into: &half)
    seed64.setHalf(1, half)
    let start = queue.count
    let isKey = XWing.encapsulate(to: publicKey, seed: seed64, shared: &shared, appendTo: &queue)
    if isKey {
      let ciphertext = Self.digest(of: queue, from: start)
      let card = Sha256.digest(publicKey)
      key.derive(shared, from: sender, to: receiver, card: card, ciphertext: ciphertext, work: &prk)
    }
    wipeWork()
    return isKey
  }

  private static func digest(of queue: borrowing ByteQueue, from start: Int) -> Bytes32 {
    Sha256.digest(queue.bytes.extracting(start..<queue.count))
  }

  /// The receiver's side. `card` is the SHA-256 of this node's own public key. False for a ciphertext of another length.
  public mutating func take(
    _ ciphertext: RawSpan, from sender: SealEnd, to receiver: SealEnd, card: Bytes32, into key: inout PairKey
  ) -> Bool {
    let isCiphertext = XWing.decapsulate(ciphertext, secret: kem, shared: &shared)
    if isCiphertext {
      let digest = Sha256.digest(ciphertext)
      key.derive(shared, from: sender, to: receiver, card: card, ciphertext: digest, work: &prk)
    }
    wipeWork()
    return isCiphertext
  }
}

/// What of a message's frame does not change on its way, and so is authenticated with the text.
public struct SealContext: Sendable {
  public var flags: UInt8
  public var source: UInt32
  public var destination: UInt32
  public var sequence: UInt64
  /// 0 for an ordinary message.
  public var stream: UInt64

  public init(flags: UInt8, source: UInt32, destination: UInt32, sequence: UInt64, stream: UInt64 = 0) {
    self.flags = flags
    self.source = source
    self.destination = destination
    self.sequence = sequence
    self.stream = stream
  }

  func bytes(keyId: UInt32) -> InlineArray<29, UInt8> {
    var bytes = InlineArray<29, UInt8>(repeating: flags)
    func put(_ value: UInt64, _ count: Int, at start: Int) {
      for i in 0..<count { bytes[start + i] = UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1 - i))) }
    }
    put(UInt64(source), 4, at: 1)
    put(UInt64(destination), 4, at: 5)
    put(sequence, 8, at: 9)
    put(stream, 8, at: 17)
    put(UInt64(keyId), 4, at: 25)
    return bytes
  }
}

/// The key of one direction between two nodes. Wiped when it is replaced and when it is freed.
public struct PairKey: ~Copyable {
  /// `u32 key id, nonce 24` before the ciphertext, which is as long as the text, and a tag of 16 behind it.
  public static let overheadBytes = 4 + nonceBytes + tagBytes
  static let nonceBytes = 24
  static let tagBytes = 16

  private var key = Secret<32>()
  private var nonceKey = Secret<32>()
  /// Tells which offer it comes from: the first bytes of its ciphertext's digest.
  public private(set) var id: UInt32 = 0

  public init() {}

  public mutating func wipe() {
    key.wipe()
    nonceKey.wipe()
    id = 0
  }

  /// The id of the key that comes from this ciphertext.
  public static func id(ofCiphertext digest: Bytes32) -> UInt32 {
    (0..<4).reduce(0) { $0 << 8 | UInt32(digest[$1]) }
  }

  fileprivate mutating func derive(
    _ shared: borrowing Secret<32>, from sender: SealEnd, to receiver: SealEnd, card: Bytes32, ciphertext: Bytes32,
    work prk: inout Secret<32>
  ) {
    var hash = Sha256()
    hash.update("skynod seal pair")
    hash.update(sender.identity.raw)
    hash.update(receiver.identity.raw)
    hash.update(bigEndian: sender.id)
    hash.update(bigEndian: receiver.id)
    hash.update(card.raw)
    hash.update(ciphertext.raw)
    Hkdf.extract(salt: hash.digest, shared, into: &prk)
    Hkdf.expand(prk, label: "skynod 1 seal key", into: &key)
    Hkdf.expand(prk, label: "skynod 1 seal nonce", into: &nonceKey)
    id = Self.id(ofCiphertext: ciphertext)
  }

  /// Appends the sealed text. The nonce is a MAC of context, text and `salt`: without a salt the same message gives the same
  /// bytes, and another text under the same name another nonce. False, and nothing appended, when there is no room.
  public func seal(_ text: RawSpan, _ context: SealContext, salt: RawSpan = RawSpan(), appendTo queue: inout ByteQueue)
    -> Bool
  {
    guard queue.space >= text.byteCount + Self.overheadBytes else { return false }
    let additional = context.bytes(keyId: id)
    let nonce = hmac(key: nonceKey, additional.span.bytes, text, salt)
    queue.append(bigEndian: id)
    queue.append(nonce.raw.extracting(0..<Self.nonceBytes))
    let start = queue.count
    queue.append(text)
    queue.append(bigEndian: UInt64(0))  // room for the tag
    queue.append(bigEndian: UInt64(0))
    let (count, secret) = (text.byteCount, key.pointer)
    queue.withMutableBytes { bytes in
      let at = bytes.baseAddress!.assumingMemoryBound(to: UInt8.self) + start
      additional.span.withUnsafeBufferPointer { additional in
        nonce.span.withUnsafeBufferPointer { nonce in
          sky_xaead_seal(
            at, count, at + count, additional.baseAddress!, additional.count, nonce.baseAddress!, secret)
        }
      }
    }
    return true
  }

  /// The id of the key that this was sealed with; nil when it is too short to be sealed.
  public static func id(in sealed: RawSpan) -> UInt32? {
    guard sealed.byteCount > overheadBytes else { return nil }
    return (0..<4).reduce(0) { $0 << 8 | UInt32(sealed[$1]) }
  }

  /// Appends the text. False, and nothing appended, when it does not authenticate or there is no room.
  public func open(_ sealed: RawSpan, _ context: SealContext, appendTo queue: inout ByteQueue) -> Bool {
    guard Self.id(in: sealed) == id else { return false }
    let nonce = InlineArray<24, UInt8> { sealed[4 + $0] }
    let start = queue.count
    guard queue.append(sealed.extracting((4 + Self.nonceBytes)..<sealed.byteCount)) else { return false }
    let additional = context.bytes(keyId: id)
    let (count, secret) = (sealed.byteCount - Self.overheadBytes, key.pointer)
    let isGenuine = queue.withMutableBytes { bytes in
      let at = bytes.baseAddress!.assumingMemoryBound(to: UInt8.self) + start
      return additional.span.withUnsafeBufferPointer { additional in
        nonce.span.withUnsafeBufferPointer { nonce in
          sky_xaead_open(
            at, count, at + count, additional.baseAddress!, additional.count, nonce.baseAddress!, secret) == 0
        }
      }
    }
    queue.truncate(to: isGenuine ? start + count : start)
    return isGenuine
  }
}

extension Secret where n == 64 {
  fileprivate mutating func setHalf(_ index: Int, _ half: borrowing Secret<32>) {
    (pointer + 32 * index).update(from: half.pointer, count: 32)
  }
}
