import Bounded

/// A dictionary over the bytes of its file, which the caller maps: word to id, id to word, and what is known
/// of a token. Does no IO, allocates nothing, and costs nothing to make again.
///
/// Not a check of the contents: `init` reads the header alone, and `verify` is for files that have just
/// arrived. Instead every index, offset and length is checked where it is used, so that a damaged or hostile
/// file gives wrong words or none, and never an access outside the file.
public struct LexiconView: ~Escapable {
  let file: RawSpan
  public let header: Header
  // Sections that are needed for every word.
  private let pilots: RawSpan
  private let slots: RawSpan
  private let blocks: RawSpan
  private let strings: RawSpan
  private let symbols: RawSpan
  let leafMap: RawSpan
  let leaves: RawSpan
  /// What every hash begins with.
  private let hashStart: UInt64
  /// Above every entry of a block whose table is there.
  private let blocksLimit: UInt32

  @_lifetime(copy file)
  public init(_ file: RawSpan) throws(LexiconError) {
    header = try Header(file)
    self.file = file
    pilots = header.bytes(of: .pilots, in: file)
    slots = header.bytes(of: .slots, in: file)
    blocks = header.bytes(of: .blocks, in: file)
    strings = header.bytes(of: .strings, in: file)
    symbols = header.bytes(of: .symbols, in: file)
    leafMap = header.bytes(of: .leafMap, in: file)
    leaves = header.bytes(of: .leaves, in: file)
    hashStart = WordHash.start(header.seed)
    blocksLimit = header.symbolTables << Layout.blockPlaceBits
  }

  /// Words in the file, without the 256 bytes.
  public var tokenCount: Int { Int(header.tokenCount) }

  // MARK: word to index

  /// The index of a word of at most 16 bytes, or -1.
  @inline(__always) func index(of key: WordKey) -> Int {
    let index = candidate(key)
    return index >= 0 && (isCommon(key, at: index) || isCompressed(key, at: index)) ? index : -1
  }

  /// The only index that a word of at most 16 bytes can have, or -1.
  @inline(__always) func candidate(_ key: WordKey) -> Int { candidate(WordHash.of(key, start: hashStart)) }

  /// Whether this word has the place of an index that is inside.
  @inline(__always) func isCommon(_ key: WordKey, at index: Int) -> Bool {
    guard index < Int(header.commonCount), key.count <= Layout.commonWordBytesMaximum else { return false }
    let place = Layout.commonPlaceBytes &* index
    // The length is in the last byte, so that two comparisons suffice.
    return strings.u64(place) == key.low && strings.u64(place &+ 8) == key.sizedHigh
  }

  /// The index of a word of any length, or -1.
  @inline(__always) func index(of place: Range<Int>, in text: RawSpan) -> Int {
    let count = place.upperBound &- place.lowerBound
    // One comparison for both ends: no word is empty.
    let isShort = UInt(bitPattern: count &- 1) < UInt(WordKey.bytesMaximum)
    return isShort ? index(of: WordKey(text, place.lowerBound, count)) : index(ofLong: place, in: text)
  }

  /// The index of a longer word, or -1.
  @inline(never) func index(ofLong place: Range<Int>, in text: RawSpan) -> Int {
    let count = place.upperBound &- place.lowerBound
    guard count > WordKey.bytesMaximum, count <= Layout.wordBytesMaximum else { return -1 }
    let index = candidate(WordHash.of(place, in: text, start: hashStart))
    return index >= 0 && isLong(text.extracting(place), at: index) ? index : -1
  }

  @inline(never) private func isLong(_ word: RawSpan, at index: Int) -> Bool {
    var text = WordText()
    return read(index, &text) == word.byteCount && text.span.extracting(0..<word.byteCount).elementsEqual(word)
  }

  /// Whether this word is stored there, as codes.
  @inline(never) func isCompressed(_ key: WordKey, at index: Int) -> Bool {
    withUnsafeTemporaryAllocation(byteCount: WordText.capacity, alignment: 16) { room in
      let text = room.baseAddress!
      text.storeBytes(of: 0, toByteOffset: 8, as: UInt64.self)
      let count = expand(index, text)
      text.storeBytes(of: 0, toByteOffset: count, as: UInt64.self)
      return count == key.count && text.load(as: UInt64.self) == key.low
        && text.load(fromByteOffset: 8, as: UInt64.self) == key.high
    }
  }

  /// The only index that a word with this hash can have, or -1: a pilot, a slot, and the fingerprint agrees.
  @inline(__always) private func candidate(_ hash: UInt64) -> Int {
    let pilot = pilots.u16(2 &* WordHash.bucket(hash, header.bucketCount))
    let slot = WordHash.slot(hash, pilot: pilot, header.slotCount)
    let print = WordHash.fingerprint(hash)
    let index: Int
    if header.slotBytes == 3 {
      // Four bytes are loaded: the section has one more at its end.
      let entry = slots.u32(3 &* slot)
      guard (entry &>> 16) & 0xFF == print & 0xFF else { return -1 }
      index = Int(entry & 0xFFFF)
    } else {
      let entry = slots.u32(4 &* slot)
      guard entry &>> 20 == print & 0xFFF else { return -1 }
      index = Int(entry & 0xF_FFFF)
    }
    return index < Int(header.tokenCount) ? index : -1
  }

  // MARK: index to word

  /// Writes the word with this index to `out`, which has at least `WordText.capacity` bytes. Returns its
  /// length, at most 63, or 0 for an index outside or a damaged file.
  @inline(__always) func read(_ index: Int, _ out: UnsafeMutableRawPointer) -> Int {
    let common = readCommon(index, out)
    return common > 0 ? common : readCompressed(index, out)
  }

  func read(_ index: Int, _ text: inout WordText) -> Int {
    text.withUnsafeMutableBytes { read(index, $0) }
  }

  /// The same for a word that has a place, else 0.
  @inline(__always) func readCommon(_ index: Int, _ out: UnsafeMutableRawPointer) -> Int {
    guard index >= 0, index < Int(header.commonCount) else { return 0 }
    let place = Layout.commonPlaceBytes &* index
    let last = strings.u64(place &+ 8)
    let length = Int(truncatingIfNeeded: last &>> 56)
    guard length <= Layout.commonWordBytesMaximum else { return 0 }
    out.storeBytes(of: strings.u64(place), as: UInt64.self)
    out.storeBytes(of: last, toByteOffset: 8, as: UInt64.self)
    return length
  }

  @inline(never) private func readCompressed(_ index: Int, _ out: UnsafeMutableRawPointer) -> Int {
    index >= 0 && index < Int(header.tokenCount) ? expand(index, out) : 0
  }

  /// A token's codes to bytes. 0 when the file is damaged there, or the word has a place instead.
  ///
  /// Most words have at most eight codes and no escape. Eight are expanded then, whatever their number: a
  /// branch that depends on it would be foreseen wrongly every other time, and that costs more. Eight symbols are
  /// less than a word can have, whatever the file says.
  @inline(__always) func expand(_ index: Int, _ out: UnsafeMutableRawPointer) -> Int {
    let block = Layout.blockBytes &* (index &>> 4)
    let entry = blocks.u32(block)
    // The token's number to the top, those of the tokens before it below.
    let numbers = blocks.u64(block &+ 4) &<< UInt64(truncatingIfNeeded: 4 &* (~index & 15))
    let count = Int(truncatingIfNeeded: numbers &>> 60)
    let end = Self.end(entry, numbers)
    // The first and the last are two comparisons each.
    guard UInt(bitPattern: count &- 1) < 8, entry < blocksLimit,
      UInt(bitPattern: end &- 8) <= UInt(bitPattern: strings.byteCount &- 8)
    else { return expandSlowly(index, out) }
    // Behind the word's codes those of the empty symbol.
    var codes = strings.u64(end &- 8) &>> UInt64(truncatingIfNeeded: -8 &* count)
    let table = symbols.extracting(unchecked: Self.table(entry))
    var done = 0
    for _ in 0..<8 {
      let symbol = table.u64(8 &* Int(truncatingIfNeeded: codes & 0xFF))
      codes &>>= 8
      out.storeBytes(of: symbol.littleEndian, toByteOffset: done, as: UInt64.self)
      done &+= Int(truncatingIfNeeded: symbol &>> Layout.symbolLengthShift)
    }
    return done
  }

  /// Where the codes end whose numbers these are.
  @inline(__always) private static func end(_ entry: UInt32, _ numbers: UInt64) -> Int {
    let pairs = (numbers & 0x0F0F_0F0F_0F0F_0F0F) &+ ((numbers &>> 4) & 0x0F0F_0F0F_0F0F_0F0F)
    return Int(truncatingIfNeeded: entry & Layout.blockPlaceMask)
      &+ Int(truncatingIfNeeded: (pairs &* 0x0101_0101_0101_0101) &>> 56)
  }

  /// Where a block's table is, when the entry is below the limit.
  @inline(__always) private static func table(_ entry: UInt32) -> Range<Int> {
    let start = Layout.symbolTableBytes &* Int(truncatingIfNeeded: entry &>> Layout.blockPlaceBits)
    return Range(uncheckedBounds: (start, start &+ Layout.symbolTableBytes))
  }

  /// Any number of codes, one by one. In a good file there are more than eight, or they stand outside.
  @inline(never) private func expandSlowly(_ index: Int, _ out: UnsafeMutableRawPointer) -> Int {
    let block = Layout.blockBytes &* (index &>> 4)
    let entry = blocks.u32(block)
    guard entry < blocksLimit else { return 0 }
    let numbers = blocks.u64(block &+ 4)
    let moved = numbers &<< UInt64(truncatingIfNeeded: 4 &* (~index & 15))
    let count = Int(truncatingIfNeeded: moved &>> 60)
    let codes: Range<Int>
    if count > 0 {
      let end = Self.end(entry, moved)
      codes = (end &- count)..<end
    } else {
      codes = outside(index, Self.end(entry, numbers), numbers)
    }
    guard codes.upperBound <= strings.byteCount else { return 0 }
    let table = symbols.extracting(Self.table(entry))
    var done = 0
    var from = codes.lowerBound
    while from < codes.upperBound {
      let code = strings.u8(from)
      from &+= 1
      guard done <= Layout.wordBytesMaximum else { return 0 }
      if code != Layout.escape {
        let symbol = table.u64(8 &* Int(code))
        out.storeBytes(of: symbol.littleEndian, toByteOffset: done, as: UInt64.self)
        done &+= Int(truncatingIfNeeded: symbol &>> Layout.symbolLengthShift)
      } else {
        guard from < codes.upperBound else { return 0 }
        out.storeBytes(of: UInt64(strings.u8(from)).littleEndian, toByteOffset: done, as: UInt64.self)
        from &+= 1
        done &+= 1
      }
    }
    return done <= Layout.wordBytesMaximum ? done : 0
  }

  /// Where the codes of a token that stands outside are, behind those inside, which end at `start`. Empty in a
  /// damaged file, and for a word that has a place.
  private func outside(_ index: Int, _ start: Int, _ numbers: UInt64) -> Range<Int> {
    var at = start
    for i in (index & ~15)...index where (numbers &>> UInt64(truncatingIfNeeded: 4 &* (i & 15))) & 15 == 0 {
      if i < Int(header.commonCount), strings.u8(Layout.commonPlaceBytes &* i &+ 15) != 0 { continue }
      guard at < strings.byteCount else { break }
      let count = Int(strings.u8(at))
      if i == index { return (at &+ 1)..<(at &+ 1 &+ count) }
      at &+= 1 &+ count
    }
    return 0..<0
  }
}

/// Room for one word, and for what fast copies write behind it: eight bytes each, from the 63rd on at the latest.
public struct WordText {
  public static let capacity = 80
  @usableFromInline var storage = InlineArray<80, UInt8>(repeating: 0)

  public init() {}

  // In line, also in other modules: else the whole text would be copied for one byte.
  @inlinable public subscript(_ index: Int) -> UInt8 {
    get { storage[index] }
    set { storage[index] = newValue }
  }

  public var span: RawSpan {
    @_lifetime(borrow self)
    get { storage.span.bytes }
  }

  mutating func withUnsafeMutableBytes<R>(_ body: (UnsafeMutableRawPointer) -> R) -> R {
    var bytes = storage.mutableSpan
    return bytes.withUnsafeMutableBytes { body($0.baseAddress!) }
  }
}
