import Bounded

/// Bodies of the frames by which a relay brings nodes to a hub (docs/protocol.md, "Relays").

/// ADMIT: `exporter 32` of the leaf's TLS connection, then its HELLO's payload. The header's sequence is the
/// relay's name for the connection.
public enum Admit {
  public static let byteCount = Limits.exporterBytes + Hello.byteCount

  /// Where the HELLO begins; `malformedFrame` for another length.
  public static func check(_ body: RawSpan) throws(ErrorCode) {
    guard body.byteCount == byteCount else { throw .malformedFrame }
  }
}

/// ADMITTED: `id u32, code u16, count u32`; code 0 lets the node in. `count` is that of the last proof that the hub
/// took for this node on this link; the next must be higher.
public struct Admitted: Equatable, Sendable {
  public static let byteCount = 10
  public var id: UInt32
  public var failure: ErrorCode?
  public var count: UInt32

  public init(id: UInt32, failure: ErrorCode?, count: UInt32) {
    self.id = id
    self.failure = failure
    self.count = count
  }

  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      id = try reader.integer()
      failure = try reader.failure(unknown: .unreachable)
      count = try reader.integer()
      guard failure != nil || Limits.isLightNode(id) else { throw .invalid }
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) -> Bool {
    guard queue.space >= Self.byteCount else { return false }
    queue.append(bigEndian: id)
    queue.append(bigEndian: failure?.rawValue ?? 0)
    queue.append(bigEndian: count)
    return true
  }
}

/// ROUTE CHALLENGE: `nonce 32, hub 32, relay u32, count u32`. Nonce and key are those of the hub's WELCOME to
/// the node at the top of the way.
public struct RouteChallenge: Sendable {
  public static let byteCount = 72
  public var nonce: InlineArray<32, UInt8>
  public var hub: InlineArray<32, UInt8>
  /// The node that the leaf is linked to.
  public var relay: UInt32
  public var count: UInt32

  public init(nonce: InlineArray<32, UInt8>, hub: InlineArray<32, UInt8>, relay: UInt32, count: UInt32) {
    self.nonce = nonce
    self.hub = hub
    self.relay = relay
    self.count = count
  }

  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      nonce = try reader.array()
      hub = try reader.array()
      relay = try reader.integer()
      count = try reader.integer()
      try reader.finish()
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) -> Bool {
    guard queue.space >= Self.byteCount else { return false }
    queue.append(nonce.span.bytes)
    queue.append(hub.span.bytes)
    queue.append(bigEndian: relay)
    queue.append(bigEndian: count)
    return true
  }
}

/// ROUTE PROOF: `count u32, signature 64`.
public struct RouteProof: Sendable {
  public static let byteCount = 68
  public var count: UInt32
  public var signature: InlineArray<64, UInt8>

  public init(count: UInt32, signature: InlineArray<64, UInt8>) {
    self.count = count
    self.signature = signature
  }

  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      count = try reader.integer()
      signature = try reader.array()
      try reader.finish()
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) -> Bool {
    guard queue.space >= Self.byteCount else { return false }
    queue.append(bigEndian: count)
    queue.append(signature.span.bytes)
    return true
  }
}

/// ATTACH: `id u32, count u32, instance 16, signature 64`.
public struct Attach: Sendable {
  public static let byteCount = 88
  public var id: UInt32
  public var instance: InlineArray<16, UInt8>
  public var proof: RouteProof

  public init(id: UInt32, instance: InlineArray<16, UInt8>, proof: RouteProof) {
    self.id = id
    self.instance = instance
    self.proof = proof
  }

  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      id = try reader.integer()
      let count: UInt32 = try reader.integer()
      instance = try reader.array()
      proof = RouteProof(count: count, signature: try reader.array())
      try reader.finish()
      guard Limits.isLightNode(id) else { throw .invalid }
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) -> Bool {
    guard queue.space >= Self.byteCount else { return false }
    queue.append(bigEndian: id)
    queue.append(bigEndian: proof.count)
    queue.append(instance.span.bytes)
    queue.append(proof.signature.span.bytes)
    return true
  }
}

/// ATTACHED and DETACH: `id u32, code u16`. Of ATTACHED, code 0: the way is known. Of DETACH: why the leaf goes.
public struct RouteWord: Equatable, Sendable {
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
      failure = try reader.failure(unknown: .unreachable)
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) -> Bool {
    guard queue.space >= Self.byteCount else { return false }
    queue.append(bigEndian: id)
    queue.append(bigEndian: failure?.rawValue ?? 0)
    return true
  }
}
