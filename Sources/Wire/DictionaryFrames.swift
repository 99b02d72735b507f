import Bounded

// The bodies of frames 20 to 23: words asked of the hub, and the pieces of a dictionary that it publishes.
// docs/protocol.md has them to the byte.

/// What is known of one word: an entry of WORD ANSWER, and of the words that a node has learnt.
///
/// `u8 n, word, u32 id`; for a word that is not known the id is 0 and ends the entry; else `u16 slot, u8 band,
/// u8 confidence, u8 quadrant`, then sector, domain and locale as `u8 n, n bytes` each.
public struct WordEntry: Equatable, Sendable {
  public static let wordBytesMaximum = 63
  /// The longest entry.
  public static let maximumBytes = 1 + 63 + 4 + 5 + 3 * 32

  public var word: InlineText<63>
  /// 0: the hub does not know it. The ids of the bytes, below 256, are never asked.
  public var id: UInt32 = 0
  public var slot: UInt16 = 0
  /// 0 to 15.
  public var band: UInt8 = 0
  /// 0 guessed, 1 by language, 2 by the base form, 3 stated.
  public var confidence: UInt8 = 0
  /// 1 to 4.
  public var quadrant: UInt8 = 1
  /// The sector as the sources name it, and as the protocol does.
  public var sector = InlineText<31>()
  public var domain = InlineText<31>()
  public var locale = InlineText<31>()

  public init(word: InlineText<63>) { self.word = word }

  public init(from reader: inout ByteReader) throws(DecodeError) {
    guard let word = InlineText<63>(try Self.text(&reader)), !word.isEmpty else { throw .invalid }
    self.word = word
    id = try reader.integer()
    if id == 0 { return }
    slot = try reader.integer()
    band = try reader.integer()
    confidence = try reader.integer()
    quadrant = try reader.integer()
    guard id >= 256, id < 1 << 24, band < 16, confidence < 4, quadrant >= 1, quadrant <= 4,
      let sector = InlineText<31>(try Self.text(&reader)), let domain = InlineText<31>(try Self.text(&reader)),
      let locale = InlineText<31>(try Self.text(&reader))
    else { throw .invalid }
    self.sector = sector
    self.domain = domain
    self.locale = locale
  }

  public var byteCount: Int {
    5 + word.count + (id == 0 ? 0 : 5 + 3 + sector.count + domain.count + locale.count)
  }

  /// False, and no change, when it does not fit.
  @discardableResult
  public func append(to queue: inout ByteQueue) -> Bool {
    guard queue.space >= byteCount else { return false }
    Self.append(word.bytes, to: &queue)
    queue.append(bigEndian: id)
    if id == 0 { return true }
    queue.append(bigEndian: slot)
    queue.append(bigEndian: band)
    queue.append(bigEndian: confidence)
    queue.append(bigEndian: quadrant)
    Self.append(sector.bytes, to: &queue)
    Self.append(domain.bytes, to: &queue)
    Self.append(locale.bytes, to: &queue)
    return true
  }

  @_lifetime(copy reader)
  private static func text(_ reader: inout ByteReader) throws(DecodeError) -> RawSpan {
    let count: UInt8 = try reader.integer()
    return try reader.bytes(Int(count))
  }

  private static func append(_ text: RawSpan, to queue: inout ByteQueue) {
    queue.append(bigEndian: UInt8(text.byteCount))
    queue.append(text)
  }
}

/// What a piece of a published dictionary is.
public enum PieceKind: UInt8, Sendable {
  /// The signed manifest; also the answer to a request for a generation that is published no more.
  case manifest = 0
  /// The SHA-256 of up to 128 blocks.
  case page = 1
  /// 4,096 bytes of the file, fewer at its end.
  case block = 2
  /// The hub publishes nothing; no bytes follow.
  case none = 3
}

/// DICTIONARY REQUEST: `u32 generation, u8 kind, u32 index`; generation and index are 0 for the manifest.
public struct PieceRequest: Equatable, Sendable {
  public static let byteCount = 9
  public var generation: UInt32
  public var kind: PieceKind
  public var index: UInt32

  public init(generation: UInt32, kind: PieceKind, index: UInt32) {
    self.generation = generation
    self.kind = kind
    self.index = index
  }

  /// Reads the start of a body: DICTIONARY PIECE begins with the same nine bytes.
  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      generation = try reader.integer()
      guard let kind = PieceKind(rawValue: try reader.integer()) else { throw .invalid }
      self.kind = kind
      index = try reader.integer()
    } catch { throw .malformedFrame }
  }

  @discardableResult
  public func append(to queue: inout ByteQueue) -> Bool {
    guard queue.space >= Self.byteCount else { return false }
    queue.append(bigEndian: generation)
    queue.append(bigEndian: kind.rawValue)
    queue.append(bigEndian: index)
    return true
  }
}

/// The head of a published dictionary: what is signed, and by it everything else.
///
/// `"SKYDICT1", u32 generation, u32 file bytes, u8 pages`, the SHA-256 of each page, then the signature over
/// all of that. A page is the SHA-256 of each of its 128 blocks of 4,096 bytes, the last page of those left.
///
/// Not trusted by itself: the signature is for whoever knows the hub's key.
public struct DictionaryManifest: Sendable {
  public static let magic: StaticString = "SKYDICT1"
  public static let headBytes = 8 + 4 + 4 + 1
  public static let maximumBytes =
    headBytes + Limits.dictionaryPages * Limits.hashBytes + Limits.signatureBytes

  public let generation: UInt32
  public let fileBytes: UInt32
  public let pageCount: Int
  private var pages = InlineArray<64, InlineArray<32, UInt8>>(repeating: InlineArray(repeating: 0))
  public let signature: InlineArray<64, UInt8>
  /// How many of the bytes it was read from are signed.
  public let signedBytes: Int

  public init(decoding bytes: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(bytes)
      guard try reader.bytes(8).elementsEqual(Self.magic) else { throw .invalid }
      generation = try reader.integer()
      fileBytes = try reader.integer()
      let count: UInt8 = try reader.integer()
      pageCount = Int(count)
      guard generation > 0, fileBytes > 0, Int(fileBytes) <= Limits.dictionaryBytes,
        pageCount == Self.pages(fileBytes: Int(fileBytes))
      else { throw .invalid }
      for i in 0..<pageCount { pages[i] = try reader.array() }
      signedBytes = reader.offset
      signature = try reader.array()
      try reader.finish()
    } catch { throw .malformed }
  }

  /// The digest of a page.
  public func page(_ index: Int) -> InlineArray<32, UInt8> { pages[index] }

  public var blockCount: Int { Self.blocks(fileBytes: Int(fileBytes)) }

  /// Blocks whose digests are in a page.
  public func blocks(ofPage page: Int) -> Range<Int> {
    let first = page * Limits.dictionaryPageBlocks
    return first..<min(first + Limits.dictionaryPageBlocks, blockCount)
  }

  /// The bytes of the file that are in a block.
  public func bytes(ofBlock block: Int) -> Range<Int> {
    let first = block * Limits.dictionaryBlockBytes
    return first..<min(first + Limits.dictionaryBlockBytes, Int(fileBytes))
  }

  public static func blocks(fileBytes: Int) -> Int {
    (fileBytes + Limits.dictionaryBlockBytes - 1) / Limits.dictionaryBlockBytes
  }

  public static func pages(fileBytes: Int) -> Int {
    (blocks(fileBytes: fileBytes) + Limits.dictionaryPageBlocks - 1) / Limits.dictionaryPageBlocks
  }

  /// Everything before the signature.
  public static func appendHead(generation: UInt32, fileBytes: UInt32, to queue: inout ByteQueue) {
    queue.append(magic)
    queue.append(bigEndian: generation)
    queue.append(bigEndian: fileBytes)
    queue.append(bigEndian: UInt8(pages(fileBytes: Int(fileBytes))))
  }
}
