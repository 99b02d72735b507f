import Bounded
import SkyCrypto
import Wire

/// Where an update reads the dictionary in use and puts the new one together.
public protocol DictionaryStore: AnyObject {
  /// Of the dictionary in use; 0 when there is none.
  var generation: UInt32 { get }
  /// Makes room for a file of so many bytes; what an earlier attempt left there stays.
  func begin(fileBytes: Int) throws(ErrorCode)
  /// Whether these bytes of the new file are there already and have this digest.
  func holds(_ bytes: Range<Int>, digest: Bytes32) -> Bool
  /// Fills these bytes of the new file from the dictionary in use, when they are somewhere in it.
  func reuse(_ bytes: Range<Int>, digest: Bytes32) throws(ErrorCode) -> Bool
  func write(_ piece: RawSpan, at offset: Int) throws(ErrorCode)
  /// Checks that the new file is a dictionary of this generation and puts it in the place of the old one.
  func install(generation: UInt32) throws(ErrorCode)
}

/// Fetching the dictionary that the hub publishes: the manifest, then page by page the digests of its blocks, and
/// of the blocks those that are nowhere here yet.
///
/// Every byte is checked against the hub's signature before it is kept; what is kept says by its digest that it is
/// good, so an update that was cut off goes on where it stopped without any notes. Not a transport: `request` says
/// what to ask for, `arrived` takes what came, `step` does one piece of work, small enough for a turn of a loop.
///
/// A class, like `WordDesk`.
/// Invariant: `manifest` is there, and its signature was good, in every phase behind `.manifest`.
public final class DictionaryUpdate {
  public enum Phase: UInt8, Sendable {
    case idle, manifest, page, scan, block, install

    public var token: StaticString {
      switch self {
      case .idle: "idle"
      case .manifest: "manifest"
      case .page: "page"
      case .scan, .block: "blocks"
      case .install: "install"
      }
    }
  }

  /// What became of the last one that ended.
  public enum Outcome: Equatable, Sendable {
    case none
    /// There was nothing newer.
    case current
    case installed(UInt32)
    case failed(ErrorCode)
  }

  /// What signs a manifest, and nothing else.
  public static let label: StaticString = "skynod1 dict"

  public private(set) var phase = Phase.idle
  public private(set) var outcome = Outcome.none
  /// Blocks of the update under way, or of the last one, that came from the hub; and that were here.
  public private(set) var fetchedBlocks = 0
  public private(set) var reusedBlocks = 0
  public private(set) var manifest: DictionaryManifest?
  private var page = 0
  private var block = 0
  /// The digests of the page's blocks.
  private var digests = ByteQueue(capacity: Limits.dictionaryPageBlocks * Limits.hashBytes)
  /// A piece that has come and was not worked on.
  private var piece = ByteQueue(capacity: PieceRequest.byteCount + Limits.dictionaryBlockBytes)

  init() {}

  public var isIdle: Bool { phase == .idle }
  /// Whether `step` has something to do.
  public var hasWork: Bool { phase == .scan || phase == .install || !piece.isEmpty }

  /// What to ask the hub for now; nil when nothing is wanted of it.
  public var request: PieceRequest? {
    guard piece.isEmpty else { return nil }
    switch phase {
    case .manifest: return PieceRequest(generation: 0, kind: .manifest, index: 0)
    case .page: return PieceRequest(generation: manifest!.generation, kind: .page, index: UInt32(page))
    case .block: return PieceRequest(generation: manifest!.generation, kind: .block, index: UInt32(block))
    case .idle, .scan, .install: return nil
    }
  }

  func start() {
    guard phase == .idle else { return }
    phase = .manifest
    fetchedBlocks = 0
    reusedBlocks = 0
    manifest = nil
  }

  /// The link is gone. What was fetched stays in the store.
  func stop() {
    phase = .idle
    piece.consume(piece.count)
  }

  /// Takes the body of a DICTIONARY PIECE. False when nobody waits for it.
  func arrived(_ body: RawSpan) throws(ErrorCode) -> Bool {
    let head = try PieceRequest(decoding: body)
    guard let wanted = request else { return false }
    let isAnswer = head == wanted || head.kind == .none || head.kind == .manifest
    guard isAnswer, body.byteCount <= piece.capacity else { return false }
    piece.append(body)
    return true
  }

  /// One piece of work. `key` is the hub's identity.
  func step(_ store: some DictionaryStore, key: Bytes32) {
    do throws(ErrorCode) {
      if !piece.isEmpty {
        // Cleared whatever comes of it.
        defer { piece.consume(piece.count) }
        return try take(store, key: key)
      }
      switch phase {
      case .scan: try scan(store)
      case .install:
        try store.install(generation: manifest!.generation)
        end(.installed(manifest!.generation))
      case .idle, .manifest, .page, .block: break
      }
    } catch {
      end(.failed(error))
    }
  }

  private func end(_ outcome: Outcome) {
    phase = .idle
    self.outcome = outcome
  }

  private func take(_ store: some DictionaryStore, key: Bytes32) throws(ErrorCode) {
    let head = try Self.head(piece)
    switch head.kind {
    case .none: throw .notFound
    case .manifest: try takeManifest(store, key: key)
    case .page:
      guard phase == .page, equal(Self.digest(piece), manifest!.page(page)),
        piece.count - PieceRequest.byteCount == manifest!.blocks(ofPage: page).count * Limits.hashBytes
      else { throw .dictionaryRefused }
      digests.consume(digests.count)
      Self.copyBytes(of: piece, to: &digests)
      block = manifest!.blocks(ofPage: page).lowerBound
      phase = .scan
    case .block:
      let place = manifest!.bytes(ofBlock: block)
      guard phase == .block, piece.count - PieceRequest.byteCount == place.count,
        equal(Self.digest(piece), digest(of: block))
      else { throw .dictionaryRefused }
      try Self.write(piece, to: store, at: place.lowerBound)
      fetchedBlocks += 1
      advance()
    }
  }

  /// Also comes in the middle, when the hub publishes another generation by then: the update begins anew.
  private func takeManifest(_ store: some DictionaryStore, key: Bytes32) throws(ErrorCode) {
    let fresh = try Self.manifest(piece, key: key)
    guard fresh.generation > store.generation else { return end(.current) }
    try store.begin(fileBytes: Int(fresh.fileBytes))
    manifest = fresh
    page = 0
    phase = .page
  }

  private func scan(_ store: some DictionaryStore) throws(ErrorCode) {
    let place = manifest!.bytes(ofBlock: block)
    let wanted = digest(of: block)
    if store.holds(place, digest: wanted) {
      reusedBlocks += 1
      return advance()
    }
    if try store.reuse(place, digest: wanted) {
      reusedBlocks += 1
      return advance()
    }
    phase = .block
  }

  /// To the next block, the next page, or the end.
  private func advance() {
    block += 1
    phase = .scan
    guard block == manifest!.blocks(ofPage: page).upperBound else { return }
    page += 1
    phase = page < manifest!.pageCount ? .page : .install
  }

  private func digest(of block: Int) -> Bytes32 {
    Self.digest(in: digests, block - page * Limits.dictionaryPageBlocks)
  }

  // A span cannot leave the property that holds its buffer: it is lent for a call.

  private static func digest(in digests: borrowing ByteQueue, _ index: Int) -> Bytes32 {
    let bytes = digests.bytes
    return Bytes32 { bytes[index * Limits.hashBytes + $0] }
  }

  private static func head(_ piece: borrowing ByteQueue) throws(ErrorCode) -> PieceRequest {
    try PieceRequest(decoding: piece.bytes)
  }

  private static func digest(_ piece: borrowing ByteQueue) -> Bytes32 {
    Sha256.digest(piece.bytes.extracting(PieceRequest.byteCount..<piece.count))
  }

  private static func copyBytes(of piece: borrowing ByteQueue, to target: inout ByteQueue) {
    target.append(piece.bytes.extracting(PieceRequest.byteCount..<piece.count))
  }

  private static func write(
    _ piece: borrowing ByteQueue, to store: some DictionaryStore, at offset: Int
  ) throws(ErrorCode) {
    try store.write(piece.bytes.extracting(PieceRequest.byteCount..<piece.count), at: offset)
  }

  private static func manifest(_ piece: borrowing ByteQueue, key: Bytes32) throws(ErrorCode) -> DictionaryManifest {
    try verified(piece.bytes.extracting(PieceRequest.byteCount..<piece.count), key: key)
  }

  /// A manifest whose signature is that of `key`; `dictionaryRefused` otherwise.
  public static func verified(_ bytes: RawSpan, key: Bytes32) throws(ErrorCode) -> DictionaryManifest {
    let manifest: DictionaryManifest
    do throws(ErrorCode) { manifest = try DictionaryManifest(decoding: bytes) } catch { throw .dictionaryRefused }
    let digest = Sha256.digest(bytes.extracting(0..<manifest.signedBytes))
    guard
      Identity.verify(manifest.signature, by: key, label: label, context: Bytes32(repeating: 0), digest: digest)
    else { throw .dictionaryRefused }
    return manifest
  }
}
