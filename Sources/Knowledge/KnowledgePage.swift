import Bounded
import Wire

/// What the store keeps of a question beside the texts.
public struct EntryFacts: Sendable {
  /// Of the question's `Phrase`.
  public var hash: UInt32 = 0
  public var sketchLow: UInt64 = 0
  public var sketchHigh: UInt64 = 0
  /// Seconds since 1970; 0: not known.
  public var learntAt: UInt32 = 0
  /// 0: never.
  public var expiresAt: UInt32 = 0
  /// Stays when others have to go.
  public var isPinned = false
  /// Where the answer came from: 0 was taught, others are the level that gave it.
  public var level: UInt8 = 0

  public init() {}

  /// Whether it may be used at this time, in seconds since 1970; without a clock (0) only what never expires.
  public func isFresh(at nowS: UInt32) -> Bool { expiresAt == 0 || nowS != 0 && nowS < expiresAt }
}

/// A page of the store, any bytes: a checked view. What is damaged in it is as if it were not there.
///
/// Layout, numbers with the lowest byte first. A page of zeros is empty.
///
///     0  u32  CRC-32C of all behind it
///     4  u32  which page it is
///     8  u32  entries of the whole store
///    12  u16  entries of this page, u16 0
///    16  for each entry 48 bytes:
///         0  u32  CRC-32C of 4 to 39 and of the texts
///         4  u32  hash, u64 u64 sketch, u32 learnt, u32 expires
///        32  u16  where the question is, the answer behind it; u16 u16 their lengths
///        38  u8   1: pinned, u8 level
///        40  u32  order of use, u32 0
///
/// The texts grow from the page's end towards the entries.
public struct KnowledgePage: ~Escapable {
  static let headBytes = 16
  static let entryBytes = 48

  let bytes: RawSpan

  /// `bytes` is a whole page.
  @_lifetime(copy bytes)
  public init(_ bytes: RawSpan) {
    precondition(bytes.byteCount == Limits.knowledgePageBytes)
    self.bytes = bytes
  }

  public var entryCount: Int { min(Int(number(12, UInt16.self)), Limits.knowledgePageEntries) }
  /// Entries of the whole store when this page was written.
  public var storeEntries: UInt32 { number(8) }
  public var pageNumber: UInt32 { number(4) }

  /// Written to its end, as a whole.
  public var isWhole: Bool {
    number(0, UInt32.self) == Crc32c.checksum(bytes.extracting(4..<bytes.byteCount))
  }

  func number<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _: T.Type = T.self) -> T {
    T(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: T.self))
  }

  private func start(_ index: Int) -> Int { Self.headBytes + index * Self.entryBytes }

  public func hash(_ index: Int) -> UInt32 { number(start(index) + 4) }
  public func sketchLow(_ index: Int) -> UInt64 { number(start(index) + 8) }
  public func sketchHigh(_ index: Int) -> UInt64 { number(start(index) + 16) }
  /// Larger for what was used or written later, among the entries of a page.
  func usedAt(_ index: Int) -> UInt32 { number(start(index) + 40) }

  /// Where question and answer lie; nil for an entry that is damaged.
  private func texts(_ index: Int) -> (question: Range<Int>, answer: Range<Int>)? {
    let at = start(index)
    let offset = Int(number(at + 32, UInt16.self))
    let question = Int(number(at + 34, UInt16.self))
    let answer = Int(number(at + 36, UInt16.self))
    guard question <= Limits.questionBytes, answer <= Limits.answerBytes, offset >= start(entryCount),
      offset + question + answer <= bytes.byteCount
    else { return nil }
    let split = offset + question
    return (offset..<split, split..<(split + answer))
  }

  /// The entry, if its checksum says that it is as it was written.
  @_lifetime(copy self)
  public func entry(_ index: Int) -> KnowledgeEntry? {
    guard index >= 0, index < entryCount, let texts = texts(index) else { return nil }
    var sum = Crc32c()
    sum.add(bytes.extracting((start(index) + 4)..<(start(index) + 40)))
    sum.add(bytes.extracting(texts.question))
    sum.add(bytes.extracting(texts.answer))
    guard sum.value == number(start(index), UInt32.self) else { return nil }
    var facts = EntryFacts()
    facts.hash = hash(index)
    facts.sketchLow = sketchLow(index)
    facts.sketchHigh = sketchHigh(index)
    facts.learntAt = number(start(index) + 24)
    facts.expiresAt = number(start(index) + 28)
    facts.isPinned = number(start(index) + 38, UInt8.self) & 1 != 0
    facts.level = number(start(index) + 39)
    return KnowledgeEntry(
      facts: facts, question: bytes.extracting(texts.question), answer: bytes.extracting(texts.answer))
  }
}

public struct KnowledgeEntry: ~Escapable {
  public let facts: EntryFacts
  public let question: RawSpan
  public let answer: RawSpan

  @_lifetime(copy question, copy answer)
  public init(facts: EntryFacts, question: RawSpan, answer: RawSpan) {
    self.facts = facts
    self.question = question
    self.answer = answer
  }

  var bytes: Int { KnowledgePage.entryBytes + question.byteCount + answer.byteCount }
}

/// Writes a page anew: the entries of an old one that are whole and fresh, without one, with another.
public final class PageWriter {
  private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: Limits.knowledgePageBytes, alignment: 16)
  private var count = 0
  private var textStart = 0
  /// Entries that had to make room, were too old or damaged.
  public private(set) var evicted = 0
  public private(set) var kept = 0

  public init() {}

  deinit { memory.deallocate() }

  public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(memory) }

  public func withPage<R>(_ body: (borrowing KnowledgePage) -> R) -> R {
    body(KnowledgePage(RawSpan(_unsafeBytes: bytes)))
  }

  /// What writing an entry of this length would make go: 0 when it fits beside all that is there.
  public static func shortage(_ page: borrowing KnowledgePage, _ bytesNeeded: Int) -> Int {
    var used = KnowledgePage.headBytes + KnowledgePage.entryBytes + bytesNeeded
    for i in 0..<page.entryCount { if let entry = page.entry(i) { used += entry.bytes } }
    return max(0, used - Limits.knowledgePageBytes)
  }

  /// `without` leaves out an entry that is replaced or forgotten; when there is no room, answers of others go first, then
  /// what was taught, of each the least recently used; pinned ones never, and for another's answer nothing that was taught.
  /// Throws `full` when these leave none. `isUsed` tells of use since the page was written.
  public func write(
    _ page: borrowing KnowledgePage, without: Int?, adding: KnowledgeEntry?, nowS: UInt32,
    isUsed: (UInt32) -> Bool
  ) throws(ErrorCode) {
    var keeps: UInt64 = 0
    var used = InlineArray<64, UInt32>(repeating: 0)
    var size = KnowledgePage.headBytes
    var newest: UInt32 = 0
    for i in 0..<page.entryCount { newest = max(newest, page.usedAt(i)) }
    if newest == .max { newest = 0 }
    for i in 0..<page.entryCount where i != without {
      guard let entry = page.entry(i), entry.facts.isFresh(at: nowS) || nowS == 0 else { continue }
      keeps |= 1 << UInt64(i)
      used[i] = isUsed(entry.facts.hash) ? newest + 1 : min(page.usedAt(i), newest)
      size += entry.bytes
    }
    let before = page.entryCount - (without == nil ? 0 : 1)
    let needed = adding?.bytes ?? 0
    while size + needed > Limits.knowledgePageBytes
      || needed > 0 && keeps.nonzeroBitCount >= Limits.knowledgePageEntries
    {
      let isTaught = (adding?.facts.level ?? 0) == 0
      guard
        let oldest = Self.oldest(page, keeps, used, taught: false)
          ?? (isTaught ? Self.oldest(page, keeps, used, taught: true) : nil)
      else { throw .full }
      keeps &= ~(1 << UInt64(oldest))
      size -= page.entry(oldest)?.bytes ?? 0
    }
    begin(keeps.nonzeroBitCount + (needed > 0 ? 1 : 0))
    for i in 0..<page.entryCount where keeps & (1 << UInt64(i)) != 0 {
      if let entry = page.entry(i) { put(entry, usedAt: used[i]) }
    }
    kept = count
    evicted = before - count
    if let adding { put(adding, usedAt: newest + 1) }
  }

  private static func oldest(
    _ page: borrowing KnowledgePage, _ keeps: UInt64, _ used: InlineArray<64, UInt32>, taught: Bool
  ) -> Int? {
    var best: Int?
    for i in 0..<page.entryCount where keeps & (1 << UInt64(i)) != 0 {
      guard let entry = page.entry(i), !entry.facts.isPinned, (entry.facts.level == 0) == taught else { continue }
      if let other = best, used[other] <= used[i] { continue }
      best = i
    }
    return best
  }

  private func begin(_ entries: Int) {
    for i in 0..<memory.count { memory[i] = 0 }
    count = 0
    textStart = memory.count
    set(UInt16(entries), 12)
  }

  /// The last step, when it is known how many entries the store has.
  public func finish(pageNumber: UInt32, storeEntries: UInt32) {
    set(pageNumber, 4)
    set(storeEntries, 8)
    set(Crc32c.checksum(memory.baseAddress! + 4, memory.count - 4), 0)
  }

  private func set<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, _ offset: Int) {
    memory.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
  }

  private func copy(_ text: RawSpan, _ offset: Int) {
    for i in 0..<text.byteCount { memory[offset + i] = text[i] }
  }

  private func put(_ entry: borrowing KnowledgeEntry, usedAt: UInt32) {
    let at = KnowledgePage.headBytes + count * KnowledgePage.entryBytes
    let (question, answer) = (entry.question.byteCount, entry.answer.byteCount)
    textStart -= question + answer
    copy(entry.question, textStart)
    copy(entry.answer, textStart + question)
    set(entry.facts.hash, at + 4)
    set(entry.facts.sketchLow, at + 8)
    set(entry.facts.sketchHigh, at + 16)
    set(entry.facts.learntAt, at + 24)
    set(entry.facts.expiresAt, at + 28)
    set(UInt16(textStart), at + 32)
    set(UInt16(question), at + 34)
    set(UInt16(answer), at + 36)
    set(UInt8(entry.facts.isPinned ? 1 : 0), at + 38)
    set(entry.facts.level, at + 39)
    set(usedAt, at + 40)
    var sum = Crc32c()
    sum.add(memory.baseAddress! + at + 4, 36)
    sum.add(memory.baseAddress! + textStart, question + answer)
    set(sum.value, at)
    count += 1
  }
}
