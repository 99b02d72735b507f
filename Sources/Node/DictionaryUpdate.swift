import Bounded
import SkyCrypto
import Wire

/// Fetching the dictionary that the hub publishes: the manifest, then page by page the digests of its blocks, and
/// of the blocks those that are nowhere here yet.
///
/// Every byte is checked against the hub's signature before it is kept; what is kept says by its digest that it is
/// good, so an update that was cut off goes on where it stopped without any notes. It reads and writes no file: `request`
/// says what to ask the hub for, `arrived` takes what came; `work` says what is to be done with the files, `finish`
/// takes what came of it.
///
/// Invariant: `manifest` is there, and its signature was good, in every phase behind `.manifest`.
public final class DictionaryUpdate {
  public enum Phase: UInt8, Sendable {
    case idle
    // Waiting for a piece from the hub.
    case manifest, page, block
    // Waiting for whoever has the files.
    case begin, find, write, install

    public var token: StaticString {
      switch self {
      case .idle: "idle"
      case .manifest, .begin: "manifest"
      case .page: "page"
      case .find, .block, .write: "blocks"
      case .install: "install"
      }
    }
  }

  /// What is to be done with the files; small enough for a turn of a loop.
  public enum Work: Sendable {
    /// Make room for a new file of so many bytes; what an earlier attempt left there stays.
    case begin(fileBytes: Int)
    /// See whether these bytes of the new file are there already and have this digest, or fill them from the
    /// dictionary in use, when they are somewhere in it.
    case find(Range<Int>, digest: Bytes32)
    /// Put the block at hand (`withBlock`) there.
    case write(Range<Int>)
    /// Check that the new file is a dictionary of this generation and put it in the place of the old one.
    case install(generation: UInt32)
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
  /// The block at hand.
  private var content = ByteQueue(capacity: Limits.dictionaryBlockBytes)

  init() {}

  public var isIdle: Bool { phase == .idle }

  /// What to ask the hub for; nil when nothing is wanted of it.
  public var request: PieceRequest? {
    switch phase {
    case .manifest: PieceRequest(generation: 0, kind: .manifest, index: 0)
    case .page: PieceRequest(generation: manifest!.generation, kind: .page, index: UInt32(page))
    case .block: PieceRequest(generation: manifest!.generation, kind: .block, index: UInt32(block))
    case .idle, .begin, .find, .write, .install: nil
    }
  }

  /// What to do with the files; nil when there is nothing.
  public var work: Work? {
    switch phase {
    case .begin: .begin(fileBytes: Int(manifest!.fileBytes))
    case .find: .find(manifest!.bytes(ofBlock: block), digest: digest(of: block))
    case .write: .write(manifest!.bytes(ofBlock: block))
    case .install: .install(generation: manifest!.generation)
    case .idle, .manifest, .page, .block: nil
    }
  }

  /// Lends the bytes that `Work.write` is about.
  public func withBlock<R>(_ body: (RawSpan) throws(ErrorCode) -> R) throws(ErrorCode) -> R {
    try Self.lend(content, body)
  }

  func start() {
    guard phase == .idle else { return }
    phase = .manifest
    fetchedBlocks = 0
    reusedBlocks = 0
    manifest = nil
  }

  /// The link is gone. What was fetched stays in the new file.
  func stop() { phase = .idle }

  // MARK: From the hub

  /// Takes the body of a DICTIONARY PIECE. False when nobody waits for it. `key` is the hub's identity, `present` the
  /// generation in use.
  func arrived(_ body: RawSpan, key: Bytes32, present: UInt32) throws(ErrorCode) -> Bool {
    let head = try PieceRequest(decoding: body)
    guard let wanted = request, head == wanted || head.kind == .none || head.kind == .manifest else { return false }
    do throws(ErrorCode) {
      let piece = body.extracting(PieceRequest.byteCount..<body.byteCount)
      switch head.kind {
      case .none: throw .notFound
      case .manifest: takeManifest(try Self.verified(piece, key: key), present: present)
      case .page: try takePage(piece)
      case .block: try takeBlock(piece)
      }
    } catch { end(.failed(error)) }
    return true
  }

  /// Also comes in the middle, when the hub publishes another generation by then: the update begins anew.
  private func takeManifest(_ fresh: DictionaryManifest, present: UInt32) {
    guard fresh.generation > present else { return end(.current) }
    manifest = fresh
    page = 0
    phase = .begin
  }

  private func takePage(_ piece: RawSpan) throws(ErrorCode) {
    guard piece.byteCount == manifest!.blocks(ofPage: page).count * Limits.hashBytes,
      equal(Sha256.digest(piece), manifest!.page(page))
    else { throw .dictionaryRefused }
    digests.consume(digests.count)
    digests.append(piece)
    block = manifest!.blocks(ofPage: page).lowerBound
    phase = .find
  }

  private func takeBlock(_ piece: RawSpan) throws(ErrorCode) {
    guard piece.byteCount == manifest!.bytes(ofBlock: block).count, equal(Sha256.digest(piece), digest(of: block))
    else { throw .dictionaryRefused }
    content.consume(content.count)
    content.append(piece)
    phase = .write
  }

  // MARK: From whoever has the files

  /// What came of `work`: of `find` whether the bytes are there now, of the others true.
  func finish(_ result: Result<Bool, ErrorCode>) {
    switch (phase, result) {
    case (_, .failure(let error)): end(.failed(error))
    case (.begin, _): phase = .page
    case (.find, .success(true)):
      reusedBlocks += 1
      advance()
    case (.find, _): phase = .block
    case (.write, _):
      fetchedBlocks += 1
      advance()
    case (.install, _): end(.installed(manifest!.generation))
    case (.idle, _), (.manifest, _), (.page, _), (.block, _): break
    }
  }

  private func end(_ outcome: Outcome) {
    phase = .idle
    self.outcome = outcome
  }

  /// To the next block, the next page, or the end.
  private func advance() {
    block += 1
    phase = .find
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

  private static func lend<R>(
    _ queue: borrowing ByteQueue, _ body: (RawSpan) throws(ErrorCode) -> R
  ) throws(ErrorCode) -> R { try body(queue.bytes) }

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
