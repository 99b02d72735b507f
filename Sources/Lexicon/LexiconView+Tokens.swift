import Bounded

extension LexiconView {
  // MARK: ids

  /// The id of a word: canonical form, so NFC and lower case. A single byte that is no word of the file has
  /// its own id.
  public func id(of word: RawSpan) -> UInt32? {
    id(of: 0..<word.byteCount, in: word)
  }

  /// The id of the word at a place of a text, which must be inside: what `id(of:)` would find, and faster when
  /// 16 bytes of the text are behind the word's first.
  public func id(of place: Range<Int>, in text: RawSpan) -> UInt32? {
    let id = number(of: place, in: text)
    return id >= 0 ? UInt32(truncatingIfNeeded: id) : nil
  }

  /// The same, or -1. What is rare is a call.
  @inline(__always) private func number(of place: Range<Int>, in text: RawSpan) -> Int {
    let count = place.upperBound &- place.lowerBound
    let first = place.lowerBound
    guard UInt(bitPattern: count &- 1) < UInt(WordKey.bytesMaximum) else { return number(ofAny: place, in: text) }
    // Neither may be negative. With the 16 bytes from its first the word is inside, too.
    guard first | (text.byteCount &- WordKey.bytesMaximum &- first) >= 0 else {
      return number(ofAny: place, in: text)
    }
    let key = WordKey(farFromEnd: text, first, count)
    let index = candidate(key)
    guard index >= 0 else { return count == 1 ? Int(text.u8(first)) : -1 }
    return isCommon(key, at: index) ? number(atIndex: index) : number(ofCompressed: key, at: index)
  }

  @inline(never) private func number(ofCompressed key: WordKey, at index: Int) -> Int {
    if isCompressed(key, at: index) { return number(atIndex: index) }
    return key.count == 1 ? Int(truncatingIfNeeded: key.low) : -1
  }

  @inline(never) private func number(ofAny place: Range<Int>, in text: RawSpan) -> Int {
    precondition(place.lowerBound >= 0 && place.upperBound <= text.byteCount)
    let index = index(of: place, in: text)
    if index >= 0 { return number(atIndex: index) }
    return place.upperBound &- place.lowerBound == 1 ? Int(text.u8(place.lowerBound)) : -1
  }

  /// The id of an index that is inside: `leafCount` is `tokenCount` / 256, rounded up.
  @inline(__always) private func number(atIndex index: Int) -> Int {
    Int(leaves.u16(Layout.leafEntryBytes &* (index &>> 8))) &<< 8 | index & 255
  }

  /// The id of a word of at most 16 bytes.
  public func id(of key: WordKey) -> UInt32? { id(atIndex: index(of: key)) }

  /// Writes the canonical form; nil when the file does not hold the id.
  public func word(_ id: UInt32, into text: inout WordText) -> Int? {
    if id < UInt32(Layout.byteIds) {
      text[0] = UInt8(id)
      return 1
    }
    let index = index(ofId: id)
    guard index >= 0 else { return nil }
    let count = text.withUnsafeMutableBytes {
      let common = readCommon(index, $0)
      return common > 0 ? common : expand(index, $0)
    }
    return count > 0 ? count : nil
  }

  /// The file's own number of a token, 0 to `tokenCount` - 1, or -1. The bytes have none.
  @inline(__always) public func index(ofId id: UInt32) -> Int {
    let leaf = id &>> 8
    guard leaf < header.leafSpace else { return -1 }
    // A leaf that is absent has a number that no token reaches.
    let index = Int(leafMap.u16(2 &* Int(leaf))) &* Layout.leafTokens &+ Int(id & 255)
    return index < Int(header.tokenCount) ? index : -1
  }

  /// Nil for an index outside.
  @inline(__always) public func id(atIndex index: Int) -> UInt32? {
    guard index >= 0, index < Int(header.tokenCount) else { return nil }
    return UInt32(truncatingIfNeeded: number(atIndex: index))
  }

  // MARK: what is known of a token

  public func metadata(atIndex index: Int) -> TokenMetadata? {
    guard index >= 0, index < Int(header.tokenCount) else { return nil }
    return TokenMetadata(raw: file.u32(Int(header[.metadata].offset) + 4 * index))
  }

  public func metadata(of id: UInt32) -> TokenMetadata? {
    if id < UInt32(Layout.byteIds) {
      return TokenMetadata(point: .ofByte(UInt8(id)), sector: 0, confidence: .stated)
    }
    return metadata(atIndex: index(ofId: id))
  }

  /// The token at a point, by binary search; nil where this file has none.
  public func id(at point: TokenPoint) -> UInt32? {
    if point.band == TokenPoint.byteBand, point.slot >= TokenPoint.byteSlot {
      return UInt32(point.slot - TokenPoint.byteSlot)
    }
    let wanted = UInt32(point.band) << 16 | UInt32(point.slot)
    var low = 0
    var high = tokenCount
    while low < high {
      let middle = (low + high) / 2
      guard let found = metadata(atIndex: indexInPointOrder(middle)) else { return nil }
      if found.order < wanted { low = middle + 1 } else { high = middle }
    }
    guard low < tokenCount else { return nil }
    let index = indexInPointOrder(low)
    return metadata(atIndex: index)?.order == wanted ? id(atIndex: index) : nil
  }

  private func indexInPointOrder(_ place: Int) -> Int {
    let points = Int(header[.points].offset)
    return header.slotBytes == 3 ? Int(file.u16(points + 2 * place)) : Int(file.u32(points + 4 * place) & 0xFF_FFFF)
  }

  // MARK: sectors, locales, text

  public var sectorCount: Int { entryCount(.sectors) }
  public var localeCount: Int { entryCount(.locales) }

  /// Nil when there is none of this number.
  @_lifetime(copy self)
  public func sector(_ number: Int) -> SectorName? {
    let at = entry(number, in: .sectors)
    guard at >= 0 else { return nil }
    let quadrant = file.u8(at + 1)
    let end = at + 2 + Int(file.u8(at))
    let domain = Int(file.u8(at + 2))
    guard at + 3 + domain <= end else { return nil }
    return SectorName(
      name: file.extracting((at + 3 + domain)..<end), domain: file.extracting((at + 3)..<(at + 3 + domain)),
      quadrant: quadrant)
  }

  /// A language tag, such as `en`.
  @_lifetime(copy self)
  public func locale(_ number: Int) -> RawSpan? {
    let at = entry(number, in: .locales)
    guard at >= 0 else { return nil }
    return file.extracting((at + 2)..<(at + 2 + Int(file.u8(at))))
  }

  /// Sources and licence, UTF-8.
  public var about: RawSpan {
    @_lifetime(copy self)
    get { bytes(of: .about) }
  }

  @_lifetime(copy self)
  public func bytes(of section: Section) -> RawSpan { header.bytes(of: section, in: file) }

  /// Both tables are a count, then entries of: length (without these two bytes), number, bytes.
  private func entryCount(_ section: Section) -> Int {
    let table = header[section]
    return table.sizeBytes >= 1 ? Int(file.u8(Int(table.offset))) : 0
  }

  private func entry(_ number: Int, in section: Section) -> Int {
    guard number >= 0, number < entryCount(section) else { return -1 }
    let end = Int(header[section].offset + header[section].sizeBytes)
    var at = Int(header[section].offset) + 1
    for i in 0...number {
      // Length, number, and for sectors one more.
      guard at + 3 <= end else { return -1 }
      let next = at + 2 + Int(file.u8(at))
      guard next <= end, next >= at + 3 else { return -1 }
      if i == number { return at }
      at = next
    }
    return -1
  }

  // MARK: leaves

  public func leaf(_ local: Int) -> LeafEntry? {
    guard local >= 0, local < Int(header.leafCount) else { return nil }
    let at = Layout.leafEntryBytes * local
    return LeafEntry(
      leaf: leaves.u16(at), locale: leaves.u8(at + 2), version: leaves.u32(at + 4), checksum: leaves.u32(at + 8))
  }

  /// CRC-32C over each token of the leaf: length (one byte), bytes, metadata (four). The same in the whole
  /// dictionary and in every subset. Nil when a word cannot be read.
  public func leafChecksum(_ local: Int) -> UInt32? {
    guard leaf(local) != nil else { return nil }
    var sum = Crc32c()
    var text = WordText()
    let first = local * Layout.leafTokens
    for index in first..<min(first + Layout.leafTokens, tokenCount) {
      let count = read(index, &text)
      guard count > 0, let metadata = metadata(atIndex: index) else { return nil }
      sum.add(UInt8(count))
      sum.add(text.span.extracting(0..<count))
      sum.add(littleEndian: metadata.raw)
    }
    return sum.value
  }

  /// Reads the whole file: every section's and every leaf's checksum, that the leaf map and the leaves agree,
  /// and that every word and every point leads back to its token. For files that have just arrived.
  public func verify() throws(LexiconError) {
    for section in Section.allCases where Crc32c.checksum(bytes(of: section)) != header[section].checksum {
      throw .damagedSection
    }
    var previous: UInt16 = 0
    for local in 0..<Int(header.leafCount) {
      guard let leaf = leaf(local), leaf.leaf > previous, UInt32(leaf.leaf) < header.leafSpace,
        index(ofId: UInt32(leaf.leaf) << 8) == local * Layout.leafTokens, Int(leaf.locale) < localeCount,
        leafChecksum(local) == leaf.checksum
      else { throw .damagedLeaf }
      previous = leaf.leaf
    }
    var text = WordText()
    for index in 0..<tokenCount {
      let count = read(index, &text)
      guard count > 0, let id = id(atIndex: index), self.id(of: 0..<count, in: text.span) == id,
        let metadata = metadata(atIndex: index), self.id(at: metadata.point) == id
      else { throw .damagedLeaf }
    }
  }
}

/// A sector's names: as the dictionary's sources have it, and as the protocol has it.
public struct SectorName: ~Escapable {
  public let name: RawSpan
  public let domain: RawSpan
  /// 1 to 4, counter-clockwise.
  public let quadrant: UInt8

  @_lifetime(copy name, copy domain)
  init(name: RawSpan, domain: RawSpan, quadrant: UInt8) {
    self.name = name
    self.domain = domain
    self.quadrant = quadrant
  }
}

/// 256 ids that travel together, all of one locale.
public struct LeafEntry: Equatable, Sendable {
  /// The upper bits of its tokens' ids.
  public let leaf: UInt16
  public let locale: UInt8
  /// The generation that last changed it.
  public let version: UInt32
  public let checksum: UInt32
}
