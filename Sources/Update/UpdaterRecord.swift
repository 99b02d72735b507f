import Bounded
import Wire

/// What passes between a node and the updater of its board: `u8 kind, u16 length`, then so many bytes.
///
/// The node asks, the updater answers each request with one record. A stream, one for each node that runs.
public struct UpdaterRecord: Equatable, Sendable {
  public enum Kind: UInt8, Sendable {
    // From the node
    /// What does the board run? Answered by `standing`.
    case status = 1
    /// Put this manifest's bundle into the other slot. Answered by `want`, or by `result` when it is there.
    case apply = 2
    /// `u32 offset` and the bytes of the bundle that were wanted. Answered like `apply`.
    case piece = 3
    case rollBack = 4
    /// Restart the board, so that the new system is tried.
    case restart = 5
    // From the updater
    case standing = 17
    case want = 18
    /// `u8`: 0, or an `UpdateError`.
    case result = 19

    fileprivate var lengths: ClosedRange<Int> {
      switch self {
      case .status, .rollBack, .restart: 0...0
      case .apply: Limits.updateSectorBytes...Limits.updateSectorBytes
      case .piece: 5...(4 + Limits.bundlePieceBytes)
      case .standing: Standing.byteCount...Standing.byteCount
      case .want: BundleWant.byteCount...BundleWant.byteCount
      case .result: 1...1
      }
    }
  }

  public static let headerBytes = 3
  public static let maximumBytes = headerBytes + 4 + Limits.bundlePieceBytes

  public let kind: Kind
  /// Of the body.
  public let length: Int
  public var byteCount: Int { Self.headerBytes + length }

  /// The record at the front of `bytes`, when it is whole; nil while it is not. Throws as soon as it cannot be one.
  public static func peek(_ bytes: RawSpan) throws(DecodeError) -> UpdaterRecord? {
    guard bytes.byteCount >= headerBytes else { return nil }
    let length = Int(bytes[1]) << 8 | Int(bytes[2])
    guard let kind = Kind(rawValue: bytes[0]), kind.lengths.contains(length) else { throw .invalid }
    return bytes.byteCount < headerBytes + length ? nil : UpdaterRecord(kind: kind, length: length)
  }

  @_lifetime(copy bytes)
  public func body(of bytes: RawSpan) -> RawSpan { bytes.extracting(Self.headerBytes..<byteCount) }

  /// Appends the header; the body is the caller's.
  public static func append(_ kind: Kind, length: Int, to queue: inout ByteQueue) {
    precondition(kind.lengths.contains(length))
    queue.append(bigEndian: kind.rawValue)
    queue.append(bigEndian: UInt16(length))
  }

  public static func append(result: UpdateError?, to queue: inout ByteQueue) {
    append(.result, length: 1, to: &queue)
    queue.append(bigEndian: result?.rawValue ?? 0)
  }
}

/// The bytes of a bundle that an updater needs next, and how far it is: `u32 offset, u16 count, u16 block, u16 blocks`.
public struct BundleWant: Equatable, Sendable {
  public static let byteCount = 10
  public var offset: UInt32
  public var count: UInt16
  public var block: UInt16
  public var blocks: UInt16

  public init(offset: UInt32, count: UInt16, block: UInt16, blocks: UInt16) {
    self.offset = offset
    self.count = count
    self.block = block
    self.blocks = blocks
  }

  public init(decoding body: RawSpan) throws(DecodeError) {
    var reader = ByteReader(body)
    offset = try reader.integer()
    count = try reader.integer()
    block = try reader.integer()
    blocks = try reader.integer()
    try reader.finish()
    guard count > 0, Int(count) <= Limits.bundlePieceBytes, block <= blocks else { throw .invalid }
  }

  public func append(to queue: inout ByteQueue) {
    queue.append(bigEndian: offset)
    queue.append(bigEndian: count)
    queue.append(bigEndian: block)
    queue.append(bigEndian: blocks)
  }
}
