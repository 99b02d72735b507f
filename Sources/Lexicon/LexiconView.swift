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
  // Offsets that are needed for every word, from the header.
  private let pilots: Int
  private let slots: Int
  private let blocks: Int
  private let strings: Int
  /// First byte behind the strings' padding.
  private let stringsEnd: Int
  private let symbols: Int
  private let symbolTables: Int
  let leafMap: Int
  let leaves: Int
  /// What every hash begins with.
  private let hashStart: UInt64

  @_lifetime(copy file)
  public init(_ file: RawSpan) throws(LexiconError) {
    header = try Header(file)
    self.file = file
    pilots = Int(header[.pilots].offset)
    slots = Int(header[.slots].offset)
    blocks = Int(header[.blockOffsets].offset)
    strings = Int(header[.strings].offset)
    stringsEnd = strings + Int(header[.strings].sizeBytes)
    symbols = Int(header[.symbols].offset)
    symbolTables = Int(header.symbolTables)
    leafMap = Int(header[.leafMap].offset)
    leaves = Int(header[.leaves].offset)
    hashStart = WordHash.start(header.seed)
  }

  /// Words in the file, without the 256 bytes.
  public var tokenCount: Int { Int(header.tokenCount) }

  // MARK: word to index

  /// The index of a word of at most 16 bytes, or -1.
  @inline(__always) func index(of key: WordKey) -> Int {
    let index = candidate(WordHash.of(key, start: hashStart))
    guard index >= 0 else { return -1 }
    if index < Int(header.commonCount), key.count <= Layout.commonWordBytesMaximum {
      let place = strings &+ Layout.commonPlaceBytes &* index
      // The length is in the last byte, so that two comparisons suffice.
      let last = key.high | UInt64(truncatingIfNeeded: key.count) &<< 56
      if file.u64(place) == key.low, file.u64(place &+ 8) == last { return index }
    }
    let codes = codes(index)
    return codes.count > 0 && Self.expands(file, codes, to: key) ? index : -1
  }

  /// The index of the word at a place that is inside the text, or -1.
  @inline(__always) func index(of place: Range<Int>, in text: RawSpan) -> Int {
    let count = place.upperBound &- place.lowerBound
    // One comparison for both ends: no word is empty.
    let isShort = UInt(bitPattern: count &- 1) < UInt(WordKey.bytesMaximum)
    return isShort ? index(of: WordKey(text, place.lowerBound, count)) : index(ofLong: text.extracting(place))
  }

  /// The index of a longer word, or -1.
  @inline(never) func index(ofLong word: RawSpan) -> Int {
    let count = word.byteCount
    guard count > WordKey.bytesMaximum, count <= Layout.wordBytesMaximum else { return -1 }
    let index = candidate(WordHash.of(word, start: hashStart))
    guard index >= 0 else { return -1 }
    var text = WordText()
    guard read(index, &text) == count else { return -1 }
    return text.span.extracting(0..<count).elementsEqual(word) ? index : -1
  }

  // What is not needed each time is static: with `self` as an argument the whole view would be copied.

  /// Whether compressed codes make this word.
  @inline(never) private static func expands(
    _ file: RawSpan, _ codes: Codes, to key: WordKey
  ) -> Bool {
    withUnsafeTemporaryAllocation(byteCount: WordText.capacity, alignment: 16) { room in
      let text = room.baseAddress!
      text.storeBytes(of: 0, as: UInt64.self)
      text.storeBytes(of: 0, toByteOffset: 8, as: UInt64.self)
      return expand(file, codes, text) == key.count && text.load(as: UInt64.self) == key.low
        && text.load(fromByteOffset: 8, as: UInt64.self) == key.high
    }
  }

  /// The only index that a word with this hash can have, or -1: a pilot, a slot, and the fingerprint agrees.
  @inline(__always) private func candidate(_ hash: UInt64) -> Int {
    let pilot = file.u16(pilots &+ 2 &* WordHash.bucket(hash, header.bucketCount))
    let slot = WordHash.slot(hash, pilot: pilot, header.slotCount)
    let print = WordHash.fingerprint(hash)
    let index: Int
    if header.slotBytes == 3 {
      // Four bytes are loaded: the section has one more at its end.
      let entry = file.u32(slots &+ 3 &* slot)
      guard (entry &>> 16) & 0xFF == print & 0xFF else { return -1 }
      index = Int(entry & 0xFFFF)
    } else {
      let entry = file.u32(slots &+ 4 &* slot)
      guard entry &>> 20 == print & 0xFFF else { return -1 }
      index = Int(entry & 0xF_FFFF)
    }
    return index < Int(header.tokenCount) ? index : -1
  }

  // MARK: index to word

  /// A compressed word in the file. Invariant: behind its codes at least 16 more bytes are readable.
  struct Codes {
    /// Where they are.
    let at: Int
    /// 0 when the file is damaged there: then nothing may be read.
    let count: Int
    /// Where their symbols are.
    let symbols: Int
  }

  /// Where the codes of a token are.
  @inline(__always) func codes(_ index: Int) -> Codes {
    let entry = file.u32(blocks &+ 4 &* (index &>> 4))
    let table = Int(truncatingIfNeeded: entry &>> Layout.blockOffsetBits) & (Layout.symbolTablesMaximum &- 1)
    let inside = Int(truncatingIfNeeded: entry & Layout.blockOffsetMask)
    // Compared before it is added: on 32 bits the sum could overflow. The section has at least the padding's
    // 16 bytes.
    guard inside <= stringsEnd &- strings &- 16, table < symbolTables else {
      return Codes(at: 0, count: 0, symbols: 0)
    }
    let block = strings &+ inside
    let symbols = symbols &+ Layout.symbolTableBytes &* table
    guard entry < Layout.wideBlock else { return Self.wideCodes(file, block, index & 15, stringsEnd, symbols) }
    let shift = UInt64(truncatingIfNeeded: 4 &* (index & 15))
    let lengths = file.u64(block)
    let count = Int(truncatingIfNeeded: (lengths &>> shift) & 15)
    let before = lengths & ((1 &<< shift) &- 1)
    let pairs = (before & 0x0F0F_0F0F_0F0F_0F0F) &+ ((before &>> 4) & 0x0F0F_0F0F_0F0F_0F0F)
    let at = block &+ 8 &+ Int(truncatingIfNeeded: (pairs &* 0x0101_0101_0101_0101) &>> 56)
    return Codes(at: at, count: at <= stringsEnd &- Layout.stringPadding &- count ? count : 0, symbols: symbols)
  }

  @inline(never) private static func wideCodes(
    _ file: RawSpan, _ block: Int, _ place: Int, _ stringsEnd: Int, _ symbols: Int
  ) -> Codes {
    var at = block &+ 16
    for i in 0..<place { at &+= Int(file.u8(block &+ i)) }
    let count = Int(file.u8(block &+ place))
    return Codes(at: at, count: at <= stringsEnd &- Layout.stringPadding &- count ? count : 0, symbols: symbols)
  }

  /// Writes the word with this index to `out`, which has at least `WordText.capacity` bytes. Returns its
  /// length, at most 63, or 0 for an index outside or a damaged file.
  @inline(__always) func read(_ index: Int, _ out: UnsafeMutableRawPointer) -> Int {
    guard index >= 0, index < Int(header.tokenCount) else { return 0 }
    if index < Int(header.commonCount) {
      let place = strings &+ Layout.commonPlaceBytes &* index
      let last = file.u64(place &+ 8)
      let length = Int(truncatingIfNeeded: last &>> 56)
      if length > 0, length <= Layout.commonWordBytesMaximum {
        out.storeBytes(of: file.u64(place), as: UInt64.self)
        out.storeBytes(of: last, toByteOffset: 8, as: UInt64.self)
        return length
      }
    }
    return readCompressed(index, out)
  }

  @inline(never) private func readCompressed(_ index: Int, _ out: UnsafeMutableRawPointer) -> Int {
    let codes = codes(index)
    return codes.count > 0 ? Self.expand(file, codes, out) : 0
  }

  func read(_ index: Int, _ text: inout WordText) -> Int {
    text.withUnsafeMutableBytes { read(index, $0) }
  }

  /// Compressed codes to bytes, with zeros behind them in a good file. 0 when they make more than 63.
  ///
  /// Most words have at most eight codes and no escape. Eight are expanded then, whatever their number: a
  /// branch that depends on it would be foreseen wrongly every other time, and that costs more.
  @inline(__always) private static func expand(
    _ file: RawSpan, _ word: Codes, _ out: UnsafeMutableRawPointer
  ) -> Int {
    guard word.count <= 8 else { return expandSlowly(file, word, out) }
    // Behind the word's codes those of the empty symbol.
    let unused = UInt64(truncatingIfNeeded: 64 &- 8 &* word.count)
    var codes = (file.u64(word.at) &<< unused) &>> unused
    guard !hasEscape(codes) else { return expandSlowly(file, word, out) }
    var done = 0
    for _ in 0..<8 {
      let code = Int(truncatingIfNeeded: codes & 0xFF)
      codes &>>= 8
      out.storeBytes(of: file.u64(word.symbols &+ 256 &+ 8 &* code), toByteOffset: done, as: UInt64.self)
      done &+= Int(file.u8(word.symbols &+ code) & 15)
    }
    return done <= Layout.wordBytesMaximum ? done : 0
  }

  @inline(never) private static func expandSlowly(
    _ file: RawSpan, _ word: Codes, _ out: UnsafeMutableRawPointer
  ) -> Int {
    var done = 0
    var from = word.at
    let end = word.at &+ word.count
    while from < end {
      let code = Int(file.u8(from))
      from &+= 1
      guard done <= Layout.wordBytesMaximum else { return 0 }
      if code != Int(Layout.escape) {
        out.storeBytes(of: file.u64(word.symbols &+ 256 &+ 8 &* code), toByteOffset: done, as: UInt64.self)
        done &+= Int(file.u8(word.symbols &+ code) & 15)
      } else {
        // A lone escape at the end takes a byte of what follows: inside the file, and no word is like that.
        out.storeBytes(of: UInt64(file.u8(from)), toByteOffset: done, as: UInt64.self)
        from &+= 1
        done &+= 1
      }
    }
    return done <= Layout.wordBytesMaximum ? done : 0
  }

  /// Whether one of eight codes is the escape: whether a byte of the complement is zero.
  @inline(__always) private static func hasEscape(_ codes: UInt64) -> Bool {
    (~codes &- 0x0101_0101_0101_0101) & codes & 0x8080_8080_8080_8080 != 0
  }
}

/// Room for one word, and for what fast copies write behind it: seven symbols of a damaged table are up to 105
/// bytes, and the eighth is written behind them.
public struct WordText {
  public static let capacity = 128
  private var storage = InlineArray<128, UInt8>(repeating: 0)

  public init() {}

  public subscript(_ index: Int) -> UInt8 {
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
