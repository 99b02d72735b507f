import Bounded
import SkyCrypto
import Wire

/// The head of a bundle, 512 bytes: what is signed, and by it everything else (docs/updates.md).
///
/// `"SKYBNDL1", board 32, name 48, u64 release, u64 minimum, u64 payload bytes, kernel 32, table 32`, zeros up to
/// 448, the signature. In the bundle the table follows, the SHA-256 of each block of 65,536 bytes, then the payload.
///
/// Not trusted by itself: `verified` is for whoever knows the maker's key.
public struct BundleManifest: Sendable {
  public static let magic: StaticString = "SKYBNDL1"
  /// What signs a manifest, and nothing else.
  public static let label: StaticString = "skynod1 bundle"
  static let signedBytes = Limits.updateSectorBytes - Limits.signatureBytes
  private static let fieldBytes =
    8 + Limits.boardNameBytes + Limits.releaseNameBytes + 3 * 8 + 2 * Limits.hashBytes

  public var board: InlineText<32>
  /// The version as people say it.
  public var name: InlineText<48>
  /// Rises with every bundle of a board: what decides about newer and older.
  public var release: UInt64
  /// The least release that a board must have to take this one.
  public var minimum: UInt64
  public var payloadBytes: Int
  /// The SHA-256 of the kernel that starts the payload.
  public var kernel: Bytes32
  /// The SHA-256 of the table.
  public var table: Bytes32
  public private(set) var signature = Signature(repeating: 0)
  /// The SHA-256 of what is signed: names this bundle among all.
  public private(set) var digest = Bytes32(repeating: 0)

  public init(
    board: InlineText<32>, name: InlineText<48>, release: UInt64, minimum: UInt64, payloadBytes: Int, kernel: Bytes32,
    table: Bytes32
  ) {
    self.board = board
    self.name = name
    self.release = release
    self.minimum = minimum
    self.payloadBytes = payloadBytes
    self.kernel = kernel
    self.table = table
  }

  public init(decoding bytes: RawSpan) throws(UpdateError) {
    do throws(DecodeError) {
      var reader = ByteReader(bytes)
      guard try reader.bytes(8).elementsEqual(Self.magic) else { throw .invalid }
      board = try reader.name()
      name = try reader.name()
      release = try reader.integer()
      minimum = try reader.integer()
      let payload: UInt64 = try reader.integer()
      guard release > 0, minimum <= release, payload > 0,
        payload <= UInt64(Limits.bundleBlocks * Limits.bundleBlockBytes),
        payload % UInt64(Limits.bundleStepBytes) == 0
      else { throw .invalid }
      payloadBytes = Int(payload)
      kernel = try reader.array()
      table = try reader.array()
      try reader.zeros(Self.signedBytes - Self.fieldBytes)
      signature = try reader.array()
      try reader.finish()
    } catch { throw .notABundle }
    digest = Sha256.digest(bytes.extracting(0..<Self.signedBytes))
  }

  /// A manifest whose signature is that of `key`.
  public static func verified(_ bytes: RawSpan, key: Bytes32) throws(UpdateError) -> BundleManifest {
    let manifest = try BundleManifest(decoding: bytes)
    guard
      Identity.verify(
        manifest.signature, by: key, label: label, context: Bytes32(repeating: 0), digest: manifest.digest)
    else { throw .wrongKey }
    return manifest
  }

  /// Appends the 512 bytes, signed.
  public mutating func append(to queue: inout ByteQueue, signedBy maker: borrowing Identity) {
    let start = queue.count
    queue.append(Self.magic)
    queue.append(name: board)
    queue.append(name: name)
    queue.append(bigEndian: release)
    queue.append(bigEndian: minimum)
    queue.append(bigEndian: UInt64(payloadBytes))
    queue.append(kernel.raw)
    queue.append(table.raw)
    queue.append(zeros: Self.signedBytes - Self.fieldBytes)
    digest = Sha256.digest(queue.bytes.extracting(start..<queue.count))
    signature = maker.sign(label: Self.label, context: Bytes32(repeating: 0), digest: digest)
    queue.append(signature.raw)
  }

  public var blockCount: Int { (payloadBytes + Limits.bundleBlockBytes - 1) / Limits.bundleBlockBytes }
  public var tableBytes: Int { blockCount * Limits.hashBytes }
  /// Where the payload begins in the bundle.
  public var payloadOffset: Int { Limits.updateSectorBytes + tableBytes }
  public var bundleBytes: Int { payloadOffset + payloadBytes }

  /// The bytes of the payload that are in a block.
  public func bytes(ofBlock block: Int) -> Range<Int> {
    let first = block * Limits.bundleBlockBytes
    return first..<min(first + Limits.bundleBlockBytes, payloadBytes)
  }

  /// Whether a board with these slots takes this bundle now, while it runs the system in slot `running`.
  public func admit(board: InlineText<32>, _ state: SlotState, running: Int) throws(UpdateError) {
    guard self.board == board else { throw .wrongBoard }
    guard running == state.good else { throw .onTrial }
    let present = state.slots[state.good].release
    if release == present { throw .current }
    guard release > present, release >= state.floor else { throw .downgrade }
    guard minimum <= present else { throw .tooOld }
    guard payloadBytes <= state.slotBytes else { throw .tooLarge }
    guard !state.isKernelFixed || equal(kernel, state.kernel) else { throw .kernelFixed }
  }
}
