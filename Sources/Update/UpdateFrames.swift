import Bounded
import SkyCrypto
import Wire

// The bodies of frames 24 to 27: what a board runs, what its hub has for it, and the bytes of a bundle.
// docs/protocol.md has them to the byte.

/// Who decides that an update is applied.
public enum UpdatePolicy: UInt8, Sendable {
  /// The hub is told and asked nothing.
  case off = 0
  /// The hub is told; applying is for somebody here.
  case ask = 1
  /// The hub decides, by a roll-out.
  case auto = 2

  public var token: StaticString {
    switch self {
    case .off: "off"
    case .ask: "ask"
    case .auto: "auto"
    }
  }
}

/// SYSTEM, node to hub: `u8 policy, u8 failure, u64 release that failed`, then the board's standing.
public struct SystemReport: Equatable, Sendable {
  public static let byteCount = 10 + Standing.byteCount
  public var policy: UpdatePolicy
  /// An `UpdateError`; 0 when the last attempt did not fail.
  public var failure: UInt8
  public var failedRelease: UInt64
  public var standing: Standing

  public init(policy: UpdatePolicy, failure: UInt8 = 0, failedRelease: UInt64 = 0, standing: Standing) {
    self.policy = policy
    self.failure = failure
    self.failedRelease = failedRelease
    self.standing = standing
  }

  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      guard let policy = UpdatePolicy(rawValue: try reader.integer()) else { throw .invalid }
      self.policy = policy
      failure = try reader.integer()
      failedRelease = try reader.integer()
      standing = try Standing(from: &reader)
      try reader.finish()
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) {
    queue.append(bigEndian: policy.rawValue)
    queue.append(bigEndian: failure)
    queue.append(bigEndian: failedRelease)
    standing.append(to: &queue)
  }
}

/// BUNDLE OFFER, hub to node: `u8 flags`, then the manifest of what is published for the node's board, or nothing.
///
/// The manifest is read to be shown; whether it is genuine the updater finds out.
public struct BundleOffer: Sendable {
  static let due: UInt8 = 1
  /// It is this node's turn in a roll-out.
  public let isDue: Bool
  public let manifest: BundleManifest?

  public init(decoding body: RawSpan) throws(ErrorCode) {
    guard body.byteCount == 1 || body.byteCount == 1 + Limits.updateSectorBytes, body[0] & ~Self.due == 0 else {
      throw .malformedFrame
    }
    isDue = body[0] == Self.due
    if body.byteCount == 1 {
      guard !isDue else { throw .malformedFrame }
      manifest = nil
      return
    }
    do throws(UpdateError) {
      manifest = try BundleManifest(decoding: body.extracting(1..<body.byteCount))
    } catch { throw .malformedFrame }
  }

  /// `manifest` as it is at the start of the bundle; empty when nothing is published.
  public static func append(isDue: Bool, manifest: RawSpan, to queue: inout ByteQueue) {
    queue.append(bigEndian: isDue ? due : 0)
    queue.append(manifest)
  }
}

/// BUNDLE REQUEST, node to hub: `digest 32, u32 offset, u16 count` of bytes of the bundle that has this digest.
///
/// BUNDLE PIECE begins with the same 38 bytes, and has the bytes behind them; count 0: that bundle is published no more.
public struct BundleRequest: Equatable, Sendable {
  public static let byteCount = Limits.hashBytes + 6
  public var digest: Bytes32
  public var offset: UInt32
  public var count: UInt16

  public init(digest: Bytes32, offset: UInt32, count: UInt16) {
    self.digest = digest
    self.offset = offset
    self.count = count
  }

  public static func == (a: BundleRequest, b: BundleRequest) -> Bool {
    equal(a.digest, b.digest) && a.offset == b.offset && a.count == b.count
  }

  /// Reads the start of a body.
  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      digest = try reader.array()
      offset = try reader.integer()
      count = try reader.integer()
      guard Int(count) <= Limits.bundlePieceBytes else { throw .invalid }
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) {
    queue.append(digest.raw)
    queue.append(bigEndian: offset)
    queue.append(bigEndian: count)
  }
}
