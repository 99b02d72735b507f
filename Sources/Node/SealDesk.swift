import Bounded
import SkyCrypto
import Wire

/// Whether messages to other nodes are sealed from end to end.
public enum SealPolicy: UInt8, Sendable {
  /// When the receiver has a key; and then always.
  case prefer
  /// Nothing goes out in plain, and nothing in plain is taken.
  case require
  /// Nothing is sealed; what others sealed is still opened.
  case off

  public var token: StaticString {
    switch self {
    case .prefer: "prefer"
    case .require: "require"
    case .off: "off"
    }
  }
}

/// One direction between this node and another: its key, or how far it is on the way to one.
final class SealPair {
  enum State: Equatable {
    /// Nobody's.
    case free
    /// The hub was asked, for the receiver's card or for the sender's offer, or is to be asked at `deadline`.
    case asking
    /// Outgoing only: the hub was given the offer.
    case offering
    case ready
    /// The hub says that there is nothing to be had; looked at again after `deadline`.
    case none(ErrorCode)
    /// No answer, or one that cannot be believed; likewise.
    case failed(ErrorCode)
  }

  var peer: UInt32 = 0
  var isOutgoing = false
  var state = State.free
  var key = PairKey()
  /// Of the query that is under way.
  var number: UInt64 = 0
  var tries = 0
  /// Outgoing only: `key` is the one that was offered.
  var isOffered = false
  var deadline = Instant.never
  /// Rises with every use of any pair.
  var usedAt: UInt64 = 0

  func release() {
    key.wipe()
    isOffered = false
    state = .free
    peer = 0
    deadline = .never
  }
}

/// What sealing needs to remember: this node's secrets, a fixed table of pairs, and ordinary messages that wait for a key.
/// No IO and no frames: `Node` sends and receives for it.
///
/// Invariant: no two pairs that are not free have the same peer and direction.
public final class SealDesk {
  var secrets: SealSecrets
  /// SHA-256 of this node's own public key, once that was made.
  var card: Bytes32?
  private let pairs: [SealPair]
  private var uses: UInt64 = 0
  var waiting = ByteQueue(capacity: Limits.sealWaitingBytes)
  /// When the hub is to be told this node's card; never: it knows.
  var cardAt = Instant.never
  /// When durable messages that were passed over are looked at again.
  var resumeAt = Instant.never
  /// Whose offers are with it.
  private var hub = Bytes32(repeating: 0)

  init(seed: borrowing Secret<32>) {
    secrets = SealSecrets(seed: seed)
    pairs = (0..<Limits.sealPairs).map { _ in SealPair() }
  }

  /// The pair as it stands, and used now; nil when nothing is known of it.
  func pair(_ peer: UInt32, isOutgoing: Bool) -> SealPair? {
    for pair in pairs where pair.state != .free && pair.peer == peer && pair.isOutgoing == isOutgoing {
      uses += 1
      pair.usedAt = uses
      return pair
    }
    return nil
  }

  /// The pair, in the place of the one that was not used for the longest time if it is new.
  func begin(_ peer: UInt32, isOutgoing: Bool, number: UInt64, now: Instant) -> SealPair {
    let pair = pair(peer, isOutgoing: isOutgoing) ?? takePlace()
    uses += 1
    pair.usedAt = uses
    pair.peer = peer
    pair.isOutgoing = isOutgoing
    pair.state = .asking
    pair.number = number
    pair.tries = 0
    pair.isOffered = false
    pair.deadline = now
    return pair
  }

  private func takePlace() -> SealPair {
    var oldest = pairs[0]
    for pair in pairs {
      if pair.state == .free { return pair }
      if pair.usedAt < oldest.usedAt { oldest = pair }
    }
    oldest.release()
    return oldest
  }

  /// Offers for this node that are being asked for.
  var offersAsked: Int { pairs.reduce(0) { $0 + ($1.state == .asking && !$1.isOutgoing ? 1 : 0) } }

  /// One whose query or offer is due, or has had no answer.
  func due(now: Instant) -> SealPair? {
    for pair in pairs where isUnderWay(pair) && pair.deadline <= now { return pair }
    return nil
  }

  private func isUnderWay(_ pair: SealPair) -> Bool { pair.state == .asking || pair.state == .offering }

  var deadline: Instant {
    var earliest = min(cardAt, resumeAt)
    for pair in pairs where isUnderWay(pair) { earliest = min(earliest, pair.deadline) }
    return earliest
  }

  /// What was asked over a link that has ended is not answered any more.
  func linkEnded() {
    cardAt = .never
    resumeAt = .never
    for pair in pairs where isUnderWay(pair) { pair.release() }
  }

  /// Another hub has not the offers that the last one has.
  func use(hub key: Bytes32) {
    guard !equal(hub, key) else { return }
    hub = key
    for pair in pairs where pair.isOutgoing { pair.release() }
  }

  /// False keys must not outlive the word that they are: both directions begin anew.
  func forget(_ peer: UInt32) {
    for pair in pairs where pair.peer == peer { pair.release() }
  }

  func checkInvariants() {
    for i in 0..<pairs.count where pairs[i].state != .free {
      precondition(!isUnderWay(pairs[i]) || pairs[i].deadline != .never, "what is under way has its end")
      for j in 0..<i where pairs[j].state != .free {
        precondition(
          pairs[j].peer != pairs[i].peer || pairs[j].isOutgoing != pairs[i].isOutgoing, "a pair has one place")
      }
    }
  }
}

extension SealDesk {
  /// The first of the messages that wait: `destination u32, sequence u64, length u32` and the text.
  struct Waiting {
    static let headBytes = 16
    let destination: UInt32
    let sequence: UInt64
    private let length: Int

    /// Nil when none waits.
    init?(_ queue: borrowing ByteQueue) {
      do throws(DecodeError) {
        var reader = ByteReader(queue.bytes)
        destination = try reader.integer()
        sequence = try reader.integer()
        length = Int(try reader.integer(UInt32.self))
      } catch { return nil }
    }

    var byteCount: Int { Self.headBytes + length }
    var text: Range<Int> { Self.headBytes..<byteCount }
  }

  /// Takes an ordinary message that waits for its receiver's key.
  func park(_ text: RawSpan, to destination: UInt32, sequence: UInt64) throws(ErrorCode) {
    guard waiting.space >= Waiting.headBytes + text.byteCount else { throw .busy }
    waiting.append(bigEndian: destination)
    waiting.append(bigEndian: sequence)
    waiting.append(bigEndian: UInt32(text.byteCount))
    waiting.append(text)
  }
}

/// What is signed around keys. Fixed lengths behind each label, so no two meanings collide.
public enum SealSignature {
  static var card: StaticString { "skynod card" }
  static var offer: StaticString { "skynod offer" }

  /// Whether a hub's word is about an id's card or about its offer.
  public enum Word: Sendable {
    case key, offer

    var label: StaticString { self == .key ? "skynod key" : "skynod vouch" }
  }

  static func digest(_ id: UInt32, _ rest: RawSpan) -> Bytes32 {
    var hash = Sha256()
    hash.update(bigEndian: id)
    hash.update(rest)
    return hash.digest
  }

  static func digest(from sender: UInt32, to receiver: UInt32, _ rest: RawSpan) -> Bytes32 {
    var hash = Sha256()
    hash.update(bigEndian: sender)
    hash.update(bigEndian: receiver)
    hash.update(rest)
    return hash.digest
  }

  // MARK: Of nodes

  /// That messages to this id may be sealed for this key.
  public static func signCard(_ publicKey: RawSpan, id: UInt32, by identity: borrowing Identity) -> Signature {
    identity.sign(label: card, context: identity.publicKey, digest: digest(id, publicKey))
  }

  public static func isCard(_ card: borrowing Card, of end: SealEnd) -> Bool {
    Identity.verify(
      card.signature, by: end.identity, label: Self.card, context: end.identity,
      digest: digest(end.id, card.publicKey()))
  }

  /// That the key of this pair comes out of this ciphertext.
  public static func signOffer(
    _ ciphertext: RawSpan, card: Bytes32, from sender: UInt32, to receiver: UInt32, by identity: borrowing Identity
  ) -> Signature {
    identity.sign(label: offer, context: card, digest: digest(from: sender, to: receiver, ciphertext))
  }

  public static func isOffer(_ offer: borrowing SealOffer, from sender: SealEnd, to receiver: UInt32) -> Bool {
    Identity.verify(
      offer.signature, by: sender.identity, label: Self.offer, context: offer.card,
      digest: digest(from: sender.id, to: receiver, offer.ciphertext()))
  }

  // MARK: Of hubs

  /// `signed` is all behind the signature, `node` whom it is for.
  public static func sign(
    _ word: Word, _ signed: RawSpan, for node: UInt32, by identity: borrowing Identity
  ) -> Signature {
    identity.sign(label: word.label, context: identity.publicKey, digest: digest(node, signed))
  }

  static func isGenuine(_ word: Word, _ answer: borrowing SealAnswer, for node: UInt32, hub key: Bytes32) -> Bool {
    Identity.verify(
      answer.signature, by: key, label: word.label, context: key, digest: digest(node, answer.signed()))
  }
}
