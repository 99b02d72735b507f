import Bounded
import CSky
import Knowledge
import Platform
import Wire

/// What this node was taught, in `knowledge.store` of the state directory.
///
/// Reads at most two pages for a question, writes one at a time through `PageFile`. Makes its buffers once.
public final class KnowledgeStore {
  public static let token: UInt64 = 8 << 32

  public typealias Match = QuestionMatch

  public struct Counters {
    public fileprivate(set) var hits: UInt64 = 0
    public fileprivate(set) var misses: UInt64 = 0
    public fileprivate(set) var evicted: UInt64 = 0
    public fileprivate(set) var damaged: UInt64 = 0
  }

  /// What a write has done, once it is on the medium.
  public struct Change {
    public fileprivate(set) var replaced = false
    public fileprivate(set) var evicted = 0
  }

  public let layout: StoreLayout
  private let file: PageFile
  private let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 * Limits.knowledgePageBytes, alignment: 16)
  private let writer = PageWriter()
  private var asked = Phrase()
  private var known = Phrase()
  /// Hashes that answered since their page was written, by their lowest bits.
  private let used = UnsafeMutableBufferPointer<UInt32>.allocate(capacity: Limits.knowledgeMarks)
  private var pageBeingWritten = -1
  private var entriesBeingWritten: UInt32 = 0
  public private(set) var lastWrite: UInt64 = 0
  public private(set) var hasLastWriteFailed = false
  public private(set) var change = Change()
  public private(set) var entries: UInt32 = 0
  public private(set) var counters = Counters()

  /// Makes the file or opens what is there, which keeps its size.
  public init(directory: PathText, bytes: UInt64, loop: EventLoop) throws(ErrorCode) {
    guard let path = Files.join(directory, "knowledge.store") else { throw .badArgument }
    let wanted = StoreLayout(fileBytes: bytes)
    let head = wanted.head()
    file = try PageFile(path, bytes: wanted.fileBytes, head: head.span.bytes)
    used.initialize(repeating: 0)
    let first = UnsafeMutableRawBufferPointer(rebasing: room[..<Limits.knowledgePageBytes])
    guard file.read(at: 0, into: first),
      let found = StoreLayout(head: RawSpan(_unsafeBytes: UnsafeRawBufferPointer(first))),
      file.sizeBytes >= found.fileBytes
    else { throw .malformed }
    layout = found
    mend()
    try loop.add(file.descriptor, token: Self.token, .read)
  }

  deinit {
    room.deallocate()
    used.deallocate()
  }

  /// Puts the copy of the page that was written last where it belongs, if that was not finished.
  private func mend() {
    guard file.read(at: StoreLayout.copyOffset, into: memory(0)) else { return }
    let page = view(0)
    guard page.isWhole, page.pageNumber < UInt32(layout.pages) else { return }
    entries = min(page.storeEntries, UInt32(layout.pages * Limits.knowledgePageEntries))
    let offset = StoreLayout.offset(ofPage: Int(page.pageNumber))
    guard file.read(at: offset, into: memory(1)), !view(1).isWhole || !isSame else { return }
    _ = file.writeNow(UnsafeRawBufferPointer(memory(0)), at: offset)
  }

  private var isSame: Bool {
    for i in 0..<Limits.knowledgePageBytes where room[i] != room[Limits.knowledgePageBytes + i] { return false }
    return true
  }

  // MARK: Reading

  private func memory(_ place: Int) -> UnsafeMutableRawBufferPointer {
    let start = place * Limits.knowledgePageBytes
    return UnsafeMutableRawBufferPointer(rebasing: room[start..<(start + Limits.knowledgePageBytes)])
  }

  @_lifetime(borrow self)
  private func view(_ place: Int) -> KnowledgePage {
    let page = KnowledgePage(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(memory(place))))
    return _overrideLifetime(page, borrowing: self)
  }

  /// The page as it will be, if it is being written. One that cannot be read is empty.
  @discardableResult
  private func load(_ page: Int, _ place: Int) -> Bool {
    if page == pageBeingWritten {
      memory(place).copyMemory(from: writer.bytes)
    } else if !file.read(at: StoreLayout.offset(ofPage: page), into: memory(place)) {
      for i in 0..<Limits.knowledgePageBytes { memory(place)[i] = 0 }
      return false
    }
    return true
  }

  /// Lends the page; what it held before is overwritten by the next call of anything here.
  public func withPage<R>(_ page: Int, _ body: (borrowing KnowledgePage) -> R) -> R {
    load(page, 0)
    return body(view(0))
  }

  /// The answer to a question, if it was taught or may be given for another one: nil, too, when two differ.
  public func find<R>(_ question: RawSpan, nowS: UInt32, _ body: (borrowing KnowledgeEntry, Match) -> R) -> R? {
    asked.read(question)
    var best = (place: 0, index: 0)
    var choice = QuestionChoice()
    loadPlaces(asked.hash)
    for place in 0..<2 {
      for i in 0..<view(place).entryCount where view(place).hash(i) == asked.hash {
        guard let entry = view(place).entry(i) else {
          counters.damaged += 1
          continue
        }
        guard entry.facts.isFresh(at: nowS), let match = match(entry, question) else { continue }
        let hasSameAnswer = view(best.place).entry(best.index)?.answer.elementsEqual(entry.answer) ?? false
        if choice.take(match, hasSameAnswer: hasSameAnswer) { best = (place, i) }
      }
    }
    guard let match = choice.answer, let entry = view(best.place).entry(best.index) else {
      counters.misses += 1
      return nil
    }
    counters.hits += 1
    used[mark(asked.hash)] = asked.hash
    return body(entry, match)
  }

  @discardableResult
  private func loadPlaces(_ hash: UInt32) -> Bool {
    let places = layout.places(hash)
    let isFirstRead = load(places.0, 0)
    return load(places.1, 1) && isFirstRead
  }

  private func match(_ entry: borrowing KnowledgeEntry, _ question: RawSpan) -> Match? {
    asked.match(question, with: entry.question, known: &known)
  }

  /// Why this entry's answer is not given to a question.
  public func describeDifference(of question: RawSpan, from entry: borrowing KnowledgeEntry, to out: inout TextBuffer) {
    asked.read(question)
    known.read(entry.question)
    asked.describe(asked.difference(from: known), from: known, to: &out)
  }

  // MARK: Writing

  /// Begins to write; `lastWrite` rises to the number that this returns when it is done. Throws `busy` while another
  /// change is on its way, and `full` when pinned entries take the room; for an answer that was not taught (`level` above
  /// 0) also when taught ones do, or when the question has one.
  public func learn(
    _ question: RawSpan, _ answer: RawSpan, pinned: Bool, ttlS: UInt32, level: UInt8, nowS: UInt32
  ) throws(ErrorCode) -> UInt64 {
    guard pageBeingWritten < 0 else { throw .busy }
    asked.read(question)
    let places = layout.places(asked.hash)
    guard loadPlaces(asked.hash) else { throw .ioFailed }
    let old = sameQuestion()
    if level > 0, let old, let there = view(old.place).entry(old.index), there.facts.level == 0,
      there.facts.isFresh(at: nowS)
    {
      throw .full
    }
    var facts = EntryFacts()
    facts.hash = asked.hash
    var sketch = Sketch(question)
    sketch.add(answer)
    facts.sketchLow = sketch.low
    facts.sketchHigh = sketch.high
    facts.learntAt = nowS
    facts.expiresAt = ttlS == 0 ? 0 : nowS &+ ttlS
    facts.isPinned = pinned
    facts.level = level
    let entry = KnowledgeEntry(facts: facts, question: question, answer: answer)
    let size = question.byteCount + answer.byteCount
    let place =
      old?.place
      ?? (PageWriter.shortage(view(0), size) <= PageWriter.shortage(view(1), size)
        && view(0).entryCount <= view(1).entryCount ? 0 : 1)
    try writer.write(view(place), without: old?.index, adding: entry, nowS: nowS, isUsed: isUsed)
    return submit(place == 0 ? places.0 : places.1, added: 1, removed: old == nil ? 0 : 1)
  }

  /// The same for a question with this normal form; throws `notFound` when there is none.
  public func forget(_ question: RawSpan, nowS: UInt32) throws(ErrorCode) -> UInt64 {
    guard pageBeingWritten < 0 else { throw .busy }
    asked.read(question)
    let places = layout.places(asked.hash)
    guard loadPlaces(asked.hash) else { throw .ioFailed }
    guard let old = sameQuestion() else { throw .notFound }
    try writer.write(view(old.place), without: old.index, adding: nil, nowS: nowS, isUsed: isUsed)
    return submit(old.place == 0 ? places.0 : places.1, added: 0, removed: 1)
  }

  private func isUsed(_ hash: UInt32) -> Bool { used[mark(hash)] == hash }

  /// Its place among the marks. A hash is no `Int` where that has 32 bits.
  private func mark(_ hash: UInt32) -> Int { Int(hash % UInt32(used.count)) }

  private func sameQuestion() -> (place: Int, index: Int)? {
    for place in 0..<2 {
      for i in 0..<view(place).entryCount where view(place).hash(i) == asked.hash {
        guard let entry = view(place).entry(i) else { continue }
        known.read(entry.question)
        if known.hasSameNormal(as: asked) { return (place, i) }
      }
    }
    return nil
  }

  private func submit(_ page: Int, added: UInt32, removed: UInt32) -> UInt64 {
    let gone = UInt32(writer.evicted)
    entriesBeingWritten = entries + added - min(entries + added, removed + gone)
    writer.finish(pageNumber: UInt32(page), storeEntries: entriesBeingWritten)
    change = Change(replaced: added > 0 && removed > 0, evicted: writer.evicted)
    pageBeingWritten = page
    let isTaken = file.write(
      writer.bytes, at: StoreLayout.offset(ofPage: page), copyAt: StoreLayout.copyOffset)
    precondition(isTaken)
    return lastWrite + 1
  }

  /// Takes what the thread has done.
  public func pump() {
    guard pageBeingWritten >= 0, let isWritten = file.takeWritten() else { return }
    hasLastWriteFailed = !isWritten
    if isWritten {
      entries = entriesBeingWritten
      counters.evicted += UInt64(change.evicted)
    }
    pageBeingWritten = -1
    lastWrite += 1
  }

  public var isWriting: Bool { pageBeingWritten >= 0 }
  public var failedReads: UInt64 { file.failedReads }
}
