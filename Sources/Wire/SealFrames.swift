import Bounded

// The bodies of frames 50 to 55: how the ends of sealed messages come by each other's keys. docs/protocol.md has them to
// the byte.

/// CARD, node to hub: `key 1,216, signature 64`; or empty: no card of this node is to be given out. A checked view.
public struct Card: ~Escapable {
  public static let byteCount = Limits.xwingPublicKeyBytes + Limits.signatureBytes

  private let body: RawSpan

  /// Not for an empty body.
  @_lifetime(copy body)
  public init(decoding body: RawSpan) throws(ErrorCode) {
    guard body.byteCount == Self.byteCount else { throw .malformedFrame }
    self.body = body
  }

  @_lifetime(copy self)
  public func publicKey() -> RawSpan { body.extracting(0..<Limits.xwingPublicKeyBytes) }

  public var signature: InlineArray<64, UInt8> { InlineArray { self.body[Limits.xwingPublicKeyBytes + $0] } }
}

/// KEY QUERY and OFFER REQUEST, node to hub: `u32 id, u64 number`. The number is drawn by the node, not 0.
public struct SealQuery: Equatable, Sendable {
  public static let byteCount = 12
  public var id: UInt32
  public var number: UInt64

  public init(id: UInt32, number: UInt64) {
    self.id = id
    self.number = number
  }

  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      id = try reader.integer()
      number = try reader.integer()
      try reader.finish()
      guard number > 0 else { throw .invalid }
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) {
    queue.append(bigEndian: id)
    queue.append(bigEndian: number)
  }
}

/// What stands behind the hub's signature in KEY ANSWER and in an OFFER of a hub: `u32 id, u64 number, u16 code`, and with
/// code 0 `identity 32` and the rest.
public struct SealAnswerHead: Equatable, Sendable {
  public static let byteCount = 14
  public var id: UInt32
  /// That of the query; 0 for what nobody asked for.
  public var number: UInt64
  public var failure: ErrorCode?

  public init(id: UInt32, number: UInt64, failure: ErrorCode? = nil) {
    self.id = id
    self.number = number
    self.failure = failure
  }

  fileprivate init(from reader: inout ByteReader) throws(DecodeError) {
    id = try reader.integer()
    number = try reader.integer()
    failure = try reader.failure(unknown: .noCard)
  }

  public func append(to queue: inout ByteQueue) {
    queue.append(bigEndian: id)
    queue.append(bigEndian: number)
    queue.append(bigEndian: failure?.rawValue ?? 0)
  }
}

/// KEY ANSWER (`rest` is a CARD) or an OFFER of a hub (`rest` is an offer): `signature 64`, the head, and without a failure
/// `identity 32` and the rest. A checked view of one.
///
/// Invariant: there is a rest of exactly the length that was asked for when the head has no failure, else none.
public struct SealAnswer: ~Escapable {
  static let restStart = Limits.signatureBytes + SealAnswerHead.byteCount + Limits.keyBytes
  /// The longest: that of an OFFER.
  public static let maximumBytes = restStart + max(Card.byteCount, SealOffer.byteCount)

  private let body: RawSpan
  public let head: SealAnswerHead

  @_lifetime(copy body)
  public init(decoding body: RawSpan, rest: Int) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      try reader.skip(Limits.signatureBytes)
      head = try SealAnswerHead(from: &reader)
      if head.failure == nil { try reader.skip(Limits.keyBytes + rest) }
      try reader.finish()
      self.body = body
    } catch { throw .malformedFrame }
  }

  public var signature: InlineArray<64, UInt8> { InlineArray { self.body[$0] } }

  /// All that the signature is about, beside whom it is for.
  @_lifetime(copy self)
  public func signed() -> RawSpan { body.extracting(Limits.signatureBytes..<body.byteCount) }

  /// Only without a failure.
  public var identity: InlineArray<32, UInt8> {
    InlineArray { self.body[Limits.signatureBytes + SealAnswerHead.byteCount + $0] }
  }

  /// Only without a failure.
  @_lifetime(copy self)
  public func rest() -> RawSpan { body.extracting(Self.restStart..<body.byteCount) }
}

/// What a sender offers: `card 32` (SHA-256 of the receiver's X-Wing public key), `ciphertext 1,120, signature 64`. A view.
public struct SealOffer: ~Escapable {
  public static let byteCount = Limits.hashBytes + Limits.xwingCiphertextBytes + Limits.signatureBytes

  private let body: RawSpan

  @_lifetime(copy body)
  public init(decoding body: RawSpan) throws(ErrorCode) {
    guard body.byteCount == Self.byteCount else { throw .malformedFrame }
    self.body = body
  }

  public var card: InlineArray<32, UInt8> { InlineArray { self.body[$0] } }

  @_lifetime(copy self)
  public func ciphertext() -> RawSpan {
    body.extracting(Limits.hashBytes..<(Limits.hashBytes + Limits.xwingCiphertextBytes))
  }

  public var signature: InlineArray<64, UInt8> {
    InlineArray { self.body[Limits.hashBytes + Limits.xwingCiphertextBytes + $0] }
  }
}

/// OFFER, node to hub: `u32 id` of the receiver, then the offer.
public enum OfferFrame {
  public static let byteCount = 4 + SealOffer.byteCount

  public static func receiver(of body: RawSpan) throws(ErrorCode) -> UInt32 {
    guard body.byteCount == byteCount else { throw .malformedFrame }
    do throws(DecodeError) {
      var reader = ByteReader(body)
      return try reader.integer()
    } catch { throw .malformedFrame }
  }

  /// Of a body whose length was checked.
  @_lifetime(copy body)
  public static func offer(in body: RawSpan) -> RawSpan { body.extracting(4..<body.byteCount) }
}

/// OFFERED, hub to node: `u32 id` of a receiver, `u16 code`. 0: the hub has the offer. `not_found`: it wants it. Another:
/// it does not take it.
public struct Offered: Equatable, Sendable {
  public static let byteCount = 6
  public var id: UInt32
  public var failure: ErrorCode?

  public init(id: UInt32, failure: ErrorCode?) {
    self.id = id
    self.failure = failure
  }

  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      id = try reader.integer()
      failure = try reader.failure(unknown: .internalError)
      try reader.finish()
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) {
    queue.append(bigEndian: id)
    queue.append(bigEndian: failure?.rawValue ?? 0)
  }
}
