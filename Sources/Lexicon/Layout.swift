import Bounded

/// Where everything is in a dictionary file. `docs/lexicon.md` has the same to the byte.
///
/// All integers are little-endian: every board that the project supports reads them as they are.
public enum Layout {
  public static let magic: StaticString = "SKYLEX1\n"
  public static let version: UInt32 = 3
  public static let headerBytes = 256
  public static let checksumOffset = 60
  public static let sectionTableOffset = 64
  public static let sectionEntryBytes = 16
  /// Sections start at multiples of this, a cache line.
  public static let alignment = 64

  /// The ids below are the 256 bytes; they are in every dictionary without being stored.
  public static let byteIds = 256
  public static let leafTokens = 256
  public static let blockTokens = 16
  public static let wordBytesMaximum = 63
  /// The commonest tokens have their words in places of their own, in front of the other strings: the word,
  /// zeros, and its length in the last byte; 0 where a word is too long for that.
  public static let commonPlaceBytes = 16
  public static let commonWordBytesMaximum = 15
  /// What there is of a block of 16 tokens: where it begins in the strings and its table (4 bytes), and the
  /// number of codes of each token (8). Together, so that one place in memory leads to a word's codes.
  public static let blockBytes = 12
  /// The place in the lowest bits, then the table.
  public static let blockPlaceBits: UInt32 = 27
  public static let blockPlaceMask: UInt32 = 1 << 27 - 1
  /// Most codes of a word among the block's: half a byte says how many. A word with more, or with an escape,
  /// stands outside: behind the others of its block, a byte for the number before its codes.
  public static let insideCodesMaximum = 15
  /// Most codes that one word can be compressed to: every byte escaped.
  public static let codesMaximum = 126
  public static let escape: UInt8 = 255
  /// Code 0 is the empty symbol: never stored, what a reader has behind a word's codes.
  public static let firstSymbol = 1
  public static let symbolsMaximum = 254
  public static let symbolBytes = 7
  /// A table of symbols: 256 times 8 bytes, a symbol with zeros behind it and its length in the uppermost bits.
  public static let symbolTableBytes = 256 * 8
  public static let symbolLengthShift: UInt64 = 61
  /// A block names its table: languages compress best by their own.
  public static let symbolTablesMaximum = 16
  /// Zeros between the common tokens' places and the blocks: a reader loads the eight bytes before a word's end.
  public static let stringPadding = 8
  public static let slotPadding = 1
  public static let leafEntryBytes = 16
  /// In the leaf map: this leaf is not in the file.
  public static let absentLeaf: UInt16 = 0xFFFF

  /// The largest index, and so the most tokens, that a slot of 3 bytes (with 8 bits of fingerprint) and of
  /// 4 bytes (with 12) can hold.
  public static let smallTokensMaximum = 65_536
  public static let tokensMaximum = 1_048_576
  /// 16 bands of 65,536 slots.
  public static let leavesMaximum = 4_097
}

/// The sections in the order of the header's table.
public enum Section: Int, CaseIterable, Sendable {
  case pilots, slots, blocks, strings, symbols, leafMap, leaves, metadata, points, sectors, locales, about
}

/// A section's place in the file.
public struct SectionEntry: Equatable, Sendable {
  public var offset: UInt32 = 0
  public var sizeBytes: UInt32 = 0
  public var checksum: UInt32 = 0

  public init() {}
}

/// The header's numbers, checked against each other and against the file's size.
///
/// Not a promise about the contents: those are checked where they are used.
/// Invariant: every section lies inside the file, and the counted ones have exactly the size their count needs.
public struct Header: Sendable {
  public let fileBytes: UInt32
  public let tokenCount: UInt32
  public let slotCount: UInt32
  public let bucketCount: UInt32
  public let seed: UInt32
  /// Tokens with a lower index have a place of 16 bytes.
  public let commonCount: UInt32
  /// Leaves of the whole id space, the bytes' leaf included.
  public let leafSpace: UInt32
  /// Leaves in this file.
  public let leafCount: UInt32
  public let generation: UInt32
  /// 3 or 4.
  public let slotBytes: UInt32
  public private(set) var sections = InlineArray<12, SectionEntry>(repeating: SectionEntry())

  public init(_ file: RawSpan) throws(LexiconError) {
    guard file.byteCount >= Layout.magic.utf8CodeUnitCount else { throw .notADictionary }
    for i in 0..<Layout.magic.utf8CodeUnitCount
    where file.unsafeLoad(fromByteOffset: i, as: UInt8.self) != Layout.magic.utf8Start[i] { throw .notADictionary }
    guard file.byteCount >= Layout.headerBytes else { throw .truncated }
    guard file.u32(8) == Layout.version else { throw .unknownVersion }
    var sum = Crc32c()
    sum.add(file.extracting(0..<Layout.checksumOffset))
    sum.add(file.extracting(Layout.sectionTableOffset..<Layout.headerBytes))
    guard sum.value == file.u32(Layout.checksumOffset) else { throw .damagedHeader }
    fileBytes = file.u32(16)
    guard UInt64(file.byteCount) == UInt64(fileBytes), file.u32(12) == Layout.headerBytes, file.u32(20) == 0 else {
      throw .truncated
    }
    tokenCount = file.u32(24)
    slotCount = file.u32(28)
    bucketCount = file.u32(32)
    seed = file.u32(36)
    commonCount = file.u32(40)
    leafSpace = file.u32(44)
    leafCount = file.u32(48)
    generation = file.u32(52)
    slotBytes = file.u32(56)
    for i in 0..<sections.count {
      let at = Layout.sectionTableOffset + i * Layout.sectionEntryBytes
      sections[i].offset = file.u32(at)
      sections[i].sizeBytes = file.u32(at + 4)
      sections[i].checksum = file.u32(at + 8)
    }
    guard isPossible() else { throw .badSection }
  }

  public var symbolTables: UInt32 { self[.symbols].sizeBytes / UInt32(Layout.symbolTableBytes) }

  public subscript(section: Section) -> SectionEntry { sections[section.rawValue] }

  /// A section of the file that this is the header of.
  @_lifetime(copy file)
  func bytes(of section: Section, in file: RawSpan) -> RawSpan {
    let entry = self[section]
    return file.extracting(Int(entry.offset)..<Int(entry.offset + entry.sizeBytes))
  }

  private func isPossible() -> Bool {
    guard tokenCount >= 1, Int(tokenCount) <= Layout.tokensMaximum, slotCount >= tokenCount,
      slotCount <= 2 * UInt32(Layout.tokensMaximum), bucketCount >= 1, bucketCount <= slotCount,
      commonCount <= tokenCount,
      leafSpace >= 2, Int(leafSpace) <= Layout.leavesMaximum, leafCount < leafSpace,
      slotBytes == 4 || (slotBytes == 3 && Int(tokenCount) <= Layout.smallTokensMaximum),
      leafCount == (tokenCount + 255) / 256
    else { return false }
    let blocks = (tokenCount + 15) / 16
    let indexBytes: UInt32 = slotBytes == 3 ? 2 : 4
    guard has(.pilots, 2 * bucketCount), has(.slots, slotBytes * slotCount + UInt32(Layout.slotPadding)),
      has(.blocks, UInt32(Layout.blockBytes) * blocks), has(.leafMap, 2 * leafSpace),
      has(.leaves, UInt32(Layout.leafEntryBytes) * leafCount), has(.metadata, 4 * tokenCount),
      has(.points, indexBytes * tokenCount),
      symbolTables <= UInt32(Layout.symbolTablesMaximum),
      has(.symbols, symbolTables * UInt32(Layout.symbolTableBytes)),
      self[.strings].sizeBytes >= UInt32(Layout.commonPlaceBytes) * commonCount + UInt32(Layout.stringPadding),
      self[.strings].sizeBytes <= Layout.blockPlaceMask
    else { return false }
    for i in 0..<sections.count {
      let entry = sections[i]
      guard entry.offset >= UInt32(Layout.headerBytes), entry.offset % UInt32(Layout.alignment) == 0,
        entry.offset <= fileBytes, entry.sizeBytes <= fileBytes - entry.offset
      else { return false }
    }
    return true
  }

  private func has(_ section: Section, _ sizeBytes: UInt32) -> Bool { self[section].sizeBytes == sizeBytes }
}

extension RawSpan {
  // Loads for offsets that the caller has shown to be inside: checked again in debug builds, which run the
  // tests, and under the fuzzer's address sanitizer.
  @inline(__always) func u8(_ offset: Int) -> UInt8 {
    assert(holds(offset, 1))
    return unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self)
  }
  @inline(__always) func u16(_ offset: Int) -> UInt16 {
    assert(holds(offset, 2))
    return UInt16(littleEndian: unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt16.self))
  }
  @inline(__always) func u32(_ offset: Int) -> UInt32 {
    assert(holds(offset, 4))
    return UInt32(littleEndian: unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt32.self))
  }
  @inline(__always) func u64(_ offset: Int) -> UInt64 {
    assert(holds(offset, 8))
    return UInt64(littleEndian: unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt64.self))
  }
  @inline(__always) private func holds(_ offset: Int, _ count: Int) -> Bool {
    offset >= 0 && offset <= byteCount - count
  }
}

extension Header {
  /// Where a section is by the table alone, checked against nothing but the order of its ends: for who has only
  /// the beginning of a file. Nil when that is too short.
  public static func place(of section: Section, in file: RawSpan) -> Range<Int>? {
    guard file.byteCount >= Layout.headerBytes else { return nil }
    let at = Layout.sectionTableOffset + section.rawValue * Layout.sectionEntryBytes
    let start = Int(file.u32(at) & 0x3FFF_FFFF)
    return start..<(start + Int(file.u32(at + 4) & 0x3FFF_FFFF))
  }
}
