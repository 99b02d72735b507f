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
  }

  /// Words in the file, without the 256 bytes.
  public var tokenCount: Int { Int(header.tokenCount) }

  // MARK: word to index

  /// The index of a word of at most 16 bytes, or -1.
  @inline(__always) func index(of key: WordKey) -> Int {
    let hash = WordHash.of(key, seed: header.seed)
    let index = candidate(hash)
    guard index >= 0 else { return -1 }
    var at = 0
    let length = locate(index, &at)
    guard length > 0 else { return -1 }
    if index < Int(header.rawCount) {
      guard length == key.count else { return -1 }
      // The padding makes 16 bytes readable.
      let low = file.u64(at) & Self.mask(length)
      let high = file.u64(at &+ 8) & Self.mask(length &- 8)
      return low == key.low && high == key.high ? index : -1
    }
    let table = symbolTable(index)
    return table >= 0 && matches(at, length, key, table) ? index : -1
  }

  /// The index of any word, or -1.
  func index(of word: RawSpan) -> Int {
    let count = word.byteCount
    guard count > 0, count <= Layout.wordBytesMaximum else { return -1 }
    if count <= WordKey.bytesMaximum { return index(of: WordKey(word, 0, count)) }
    let index = candidate(WordHash.of(word, seed: header.seed))
    guard index >= 0 else { return -1 }
    var text = WordText()
    guard read(index, &text) == count else { return -1 }
    for i in 0..<count where text[i] != word.u8(i) { return -1 }
    return index
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

  /// Where the stored bytes of a token are, and their number; 0 when the file is damaged there.
  /// Behind them at least 16 more bytes are readable.
  @inline(__always) func locate(_ index: Int, _ at: inout Int) -> Int {
    let offset = file.u32(blocks &+ 4 &* (index &>> 4))
    let inside = Int(truncatingIfNeeded: offset & ~Layout.wideBlock)
    // Compared before it is added: on 32 bits the sum of two such numbers can overflow. The section has at
    // least the padding's 16 bytes.
    guard inside <= stringsEnd &- strings &- 16 else { return 0 }
    let block = strings &+ inside
    let place = UInt64(truncatingIfNeeded: index & 15)
    let length: Int
    if offset < Layout.wideBlock {
      let lengths = file.u64(block)
      length = Int(truncatingIfNeeded: (lengths &>> (4 &* place)) & 15)
      let before = lengths & ((1 &<< (4 &* place)) &- 1)
      let pairs = (before & 0x0F0F_0F0F_0F0F_0F0F) &+ ((before &>> 4) & 0x0F0F_0F0F_0F0F_0F0F)
      at = block &+ 8 &+ Int(truncatingIfNeeded: (pairs &* 0x0101_0101_0101_0101) &>> 56)
    } else {
      var sum = 0
      for i in 0..<(index & 15) { sum &+= Int(file.u8(block &+ i)) }
      length = Int(file.u8(block &+ (index & 15)))
      at = block &+ 16 &+ sum
    }
    guard at <= stringsEnd &- Layout.stringPadding &- length else { return 0 }
    return length
  }

  /// Writes the word with this index to `out`, which has at least `WordText.capacity` bytes. Returns its
  /// length, at most 63, or 0 for an index outside or a damaged file.
  @inline(__always) func read(_ index: Int, _ out: UnsafeMutableRawPointer) -> Int {
    guard index >= 0, index < Int(header.tokenCount) else { return 0 }
    var at = 0
    let length = locate(index, &at)
    // 0 also says that the place is outside: nothing may be read there.
    guard length > 0 else { return 0 }
    if index < Int(header.rawCount) {
      guard length <= Layout.wordBytesMaximum else { return 0 }
      out.storeBytes(of: file.u64(at), as: UInt64.self)
      out.storeBytes(of: file.u64(at &+ 8), toByteOffset: 8, as: UInt64.self)
      var done = 16
      while done < length {
        // A word's last bytes and the 16 behind them are inside.
        out.storeBytes(of: file.u64(at &+ done), toByteOffset: done, as: UInt64.self)
        done &+= 8
      }
      return length
    }
    let table = symbolTable(index)
    return table >= 0 ? expand(at, length, table, out) : 0
  }

  /// Where the symbols of a compressed token's leaf are; -1 when the leaf names a table that is not there.
  @inline(__always) private func symbolTable(_ index: Int) -> Int {
    let number = Int(file.u8(leaves &+ Layout.leafEntryBytes &* (index &>> 8) &+ 3))
    return number < symbolTables ? symbols &+ Layout.symbolTableBytes &* number : -1
  }

  func read(_ index: Int, _ text: inout WordText) -> Int {
    text.withUnsafeMutableBytes { read(index, $0) }
  }

  /// Compressed codes to bytes. 0 when they make more than 63.
  @inline(__always) private func expand(_ at: Int, _ length: Int, _ symbols: Int, _ out: UnsafeMutableRawPointer) -> Int
  {
    var done = 0
    var from = at
    let end = at &+ length
    while from < end {
      let code = Int(file.u8(from))
      from &+= 1
      guard done <= Layout.wordBytesMaximum else { return 0 }
      if code != Int(Layout.escape) {
        out.storeBytes(of: file.u64(symbols &+ 256 &+ 8 &* code), toByteOffset: done, as: UInt64.self)
        done &+= Int(file.u8(symbols &+ code) & 15)
      } else {
        // A lone escape at the end takes a byte of what follows: inside the file, and no word is like that.
        out.storeBytes(of: file.u8(from), toByteOffset: done, as: UInt8.self)
        from &+= 1
        done &+= 1
      }
    }
    return done <= Layout.wordBytesMaximum ? done : 0
  }

  /// Whether compressed codes make this word; in registers.
  @inline(__always) private func matches(_ at: Int, _ length: Int, _ key: WordKey, _ symbols: Int) -> Bool {
    var low: UInt64 = 0
    var high: UInt64 = 0
    var done = 0
    var from = at
    let end = at &+ length
    while from < end {
      let code = Int(file.u8(from))
      from &+= 1
      let symbol: UInt64
      let size: Int
      if code != Int(Layout.escape) {
        symbol = file.u64(symbols &+ 256 &+ 8 &* code)
        size = Int(file.u8(symbols &+ code) & 15)
      } else {
        symbol = UInt64(file.u8(from))
        from &+= 1
        size = 1
      }
      if done < 8 {
        let shift = UInt64(truncatingIfNeeded: 8 &* done)
        low |= symbol &<< shift
        // In two steps, as 64 is no shift.
        high |= (symbol &>> 1) &>> (63 &- shift)
      } else if done < 16 {
        high |= symbol &<< UInt64(truncatingIfNeeded: 8 &* (done &- 8))
      } else {
        return false
      }
      done &+= size
    }
    return low == key.low && high == key.high && done == key.count
  }

  /// The lowest `count` bytes of eight; all of them from 8 on, none below 1.
  @inline(__always) static func mask(_ count: Int) -> UInt64 {
    count >= 8 ? ~0 : count <= 0 ? 0 : (1 &<< UInt64(truncatingIfNeeded: 8 &* count)) &- 1
  }
}

/// Room for one word and for what fast copies write behind it.
public struct WordText {
  public static let capacity = 80
  private var storage = InlineArray<80, UInt8>(repeating: 0)

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
