import Bounded
import SkyCrypto
import Wire

/// Words that the node's own dictionary does not hold: those to ask the hub about, those it does not know either,
/// and those it has told. All of it bounded; nothing here waits for anybody.
///
/// Learnt words belong to one hub: its ids mean nothing elsewhere. Each question also holds a word that the node
/// knows; when the hub gives it another id, the two dictionaries are not of one origin, and its answers count for
/// nothing.
///
/// Invariant: a word is in at most one place, and the words of a question under way are the oldest of the queue.
public final class WordDesk {
  /// What can be said of a word at once.
  public enum Answer: Equatable, Sendable {
    case learnt(WordEntry)
    /// It will be asked, or is being asked.
    case waiting
    /// The hub does not know it.
    case unknown
    /// Too many wait already.
    case full
  }

  public struct Counters: Equatable, Sendable {
    public var asked: UInt64 = 0
    public var learnt: UInt64 = 0
    public var unknown: UInt64 = 0
    /// Words that found no place in the queue.
    public var refused: UInt64 = 0
  }

  private static let magic: UInt32 = 0x534B_594C
  private static let headBytes = 4 + 1 + Limits.keyBytes
  private static let checkBytes = 8
  /// The longest `encode`.
  static let fileBytes = headBytes + Limits.learntBytes + checkBytes

  public private(set) var counters = Counters()
  /// The hub's dictionary is of another origin than the node's.
  public private(set) var isForeign = false
  /// When `encode` should be called and the result kept; `never` when nothing is new.
  public private(set) var writeDue = Instant.never
  private var queue = Ring<InlineText<63>, 32>()
  private var asked = 0
  private var askedAt = Instant.never
  private var nextQuestionAt = Instant(ms: 0)
  /// Entries, the oldest first.
  private var learnt = ByteQueue(capacity: Limits.learntBytes)
  private var hubKey = Bytes32(repeating: 0)
  private var unknown = InlineArray<128, UInt64>(repeating: 0)
  private var unknownUntil = InlineArray<128, Instant>(repeating: Instant(ms: 0))
  private var nextUnknown = 0
  private var known: WordEntry?

  init() {}

  public var waiting: Int { queue.count }
  public var learntCount: Int { Self.entries(learnt) }

  // MARK: Words

  /// What is known of a word in canonical form; asks for it when that is nothing.
  public func want(_ word: RawSpan, now: Instant) -> Answer {
    if let entry = find(word) { return .learnt(entry) }
    guard let text = InlineText<63>(word), !text.isEmpty else { return .unknown }
    if isUnknown(word, now: now) { return .unknown }
    for i in 0..<queue.count where queue[i] == text { return .waiting }
    guard queue.append(text) else {
      counters.refused += 1
      return .full
    }
    return .waiting
  }

  /// A learnt word; asks nobody.
  public func find(_ word: RawSpan) -> WordEntry? {
    Self.find(learnt) { entry in entry.word.bytes.elementsEqual(word) }
  }

  /// A learnt word by its id.
  public func find(id: UInt32) -> WordEntry? { Self.find(learnt) { $0.id == id } }

  private static func find(_ learnt: borrowing ByteQueue, _ isWanted: (WordEntry) -> Bool) -> WordEntry? {
    var reader = ByteReader(learnt.bytes)
    while reader.remaining > 0 {
      guard let entry = try? WordEntry(from: &reader) else { return nil }
      if isWanted(entry) { return entry }
    }
    return nil
  }

  private static func entries(_ learnt: borrowing ByteQueue) -> Int {
    var reader = ByteReader(learnt.bytes)
    var count = 0
    while reader.remaining > 0, (try? WordEntry(from: &reader)) != nil { count += 1 }
    return count
  }

  // MARK: Questions

  /// Another dictionary is in use, or none; `known` is a word of it.
  func use(known: WordEntry?) {
    self.known = known
    isForeign = false
    unknownUntil = InlineArray(repeating: Instant(ms: 0))
  }

  /// The link is gone: what was asked is asked again.
  func linkEnded() {
    asked = 0
    askedAt = .never
    isForeign = false
  }

  /// When there is something to do on a link.
  var deadline: Instant {
    if asked > 0 { return askedAt + Limits.wordTimeoutMs }
    return queue.isEmpty || isForeign ? .never : nextQuestionAt
  }

  /// There is no room on the link now.
  func postpone(now: Instant) {
    asked = 0
    nextQuestionAt = now + Limits.wordIntervalMs
  }

  /// Appends a question's body: `u8 count`, then each word as `u8 n, n bytes`. False when there is none to ask now.
  func appendQuestion(to body: inout ByteQueue, now: Instant) -> Bool {
    if asked > 0, now >= askedAt + Limits.wordTimeoutMs {
      // This hub is slow, or does not answer: others may be better served later.
      asked = 0
      nextQuestionAt = now + 6 * Limits.wordTimeoutMs
    }
    guard asked == 0, !queue.isEmpty, !isForeign, now >= nextQuestionAt else { return false }
    let count = min(queue.count, Limits.wordBatch)
    body.append(bigEndian: UInt8(count + (known == nil ? 0 : 1)))
    for i in 0..<count { Self.append(queue[i], to: &body) }
    if let known { Self.append(known.word, to: &body) }
    asked = count
    askedAt = now
    nextQuestionAt = now + Limits.wordIntervalMs
    counters.asked += UInt64(count)
    return true
  }

  private static func append(_ word: InlineText<63>, to body: inout ByteQueue) {
    body.append(bigEndian: UInt8(word.count))
    body.append(word.bytes)
  }

  /// Takes an answer: an entry for each word of the question, in its order. One that nobody waits for any more
  /// changes nothing.
  func take(_ answer: RawSpan, from hub: Bytes32, now: Instant) throws(ErrorCode) {
    guard asked > 0 else { return }
    do throws(DecodeError) {
      // Looked through first: the word that tells whether it can be trusted is the last.
      var reader = ByteReader(answer)
      let count: UInt8 = try reader.integer()
      guard Int(count) == asked + (known == nil ? 0 : 1) else { throw .invalid }
      for i in 0..<asked {
        guard try WordEntry(from: &reader).word == queue[i] else { throw .invalid }
      }
      if let known {
        let entry = try WordEntry(from: &reader)
        guard entry.word == known.word else { throw .invalid }
        isForeign = entry.id != known.id
      }
      try reader.finish()
      if isForeign { return asked = 0 }
      if !equal(hubKey, hub) { forget(for: hub) }
      var again = ByteReader(answer)
      try again.skip(1)
      for _ in 0..<asked {
        _ = queue.popFirst()
        keep(try WordEntry(from: &again), now: now)
      }
      asked = 0
    } catch { throw .malformedFrame }
  }

  private func forget(for hub: Bytes32) {
    learnt.consume(learnt.count)
    hubKey = hub
  }

  private func keep(_ entry: WordEntry, now: Instant) {
    guard entry.id != 0 else {
      counters.unknown += 1
      unknown[nextUnknown] = Self.hash(entry.word.bytes)
      unknownUntil[nextUnknown] = now + Limits.unknownWordMs
      nextUnknown = (nextUnknown + 1) % unknown.count
      return
    }
    while learnt.space < entry.byteCount, let oldest = Self.firstBytes(learnt) { learnt.consume(oldest) }
    entry.append(to: &learnt)
    counters.learnt += 1
    if writeDue == .never { writeDue = now + Limits.learntWriteMs }
  }

  private static func firstBytes(_ learnt: borrowing ByteQueue) -> Int? {
    var reader = ByteReader(learnt.bytes)
    return (try? WordEntry(from: &reader))?.byteCount
  }

  private func isUnknown(_ word: RawSpan, now: Instant) -> Bool {
    let hash = Self.hash(word)
    for i in 0..<unknown.count where unknown[i] == hash && unknownUntil[i] > now { return true }
    return false
  }

  /// FNV-1a. Two words with one hash cost a word that is not asked for a day.
  private static func hash(_ word: RawSpan) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for i in 0..<word.byteCount { hash = (hash ^ UInt64(word[i])) &* 0x100_0000_01B3 }
    return hash
  }

  // MARK: Kept over restarts

  /// The learnt words as a file: `SKYL`, version 1, the hub's key, the entries, and the first 8 bytes of the
  /// SHA-256 of all that. `queue` must be empty and hold `fileBytes`.
  func encode(to file: inout ByteQueue) {
    precondition(file.isEmpty && file.capacity >= Self.fileBytes)
    file.append(bigEndian: Self.magic)
    file.append(bigEndian: UInt8(1))
    file.append(hubKey.raw)
    Self.copy(learnt, to: &file)
    let digest = Sha256.digest(file.bytes)
    file.append(digest.raw.extracting(0..<Self.checkBytes))
    writeDue = .never
  }

  private static func copy(_ from: borrowing ByteQueue, to: inout ByteQueue) { to.append(from.bytes) }

  /// Takes what an earlier run kept. A damaged file is refused whole: the words can be asked again.
  func decode(_ file: RawSpan) throws(ErrorCode) {
    guard file.byteCount >= Self.headBytes + Self.checkBytes, file.byteCount <= Self.fileBytes else { throw .malformed }
    let end = file.byteCount - Self.checkBytes
    let digest = Sha256.digest(file.extracting(0..<end))
    guard file.extracting(end..<file.byteCount).elementsEqual(digest.raw.extracting(0..<Self.checkBytes)) else {
      throw .malformed
    }
    do throws(DecodeError) {
      var reader = ByteReader(file.extracting(0..<end))
      guard try reader.integer(UInt32.self) == Self.magic, try reader.integer(UInt8.self) == 1 else { throw .invalid }
      let key: Bytes32 = try reader.array()
      while reader.remaining > 0 {
        guard try WordEntry(from: &reader).id != 0 else { throw .invalid }
      }
      forget(for: key)
      learnt.append(file.extracting(Self.headBytes..<end))
    } catch { throw .malformed }
  }
}
