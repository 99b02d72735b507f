import Bounded
import Foundation
import Lexicon
import LexiconBuilder

/// The dictionary beside five other structures with the same words and the same queries, all in one run.
enum LexiconSpeed {
  struct Figures {
    var bytesPerToken: Double
    var random: Double
    var zipf: Double
    /// The same, each word in a buffer of exactly its size.
    var alone: Double
    var miss: Double
    var reverse: Double
    var pages: Double
  }

  struct Goals {
    let tokens: Int
    let name: String
    let bytes: Double
    let zipf: Double
    let miss: Double
    let reverse: Double
  }

  static let sizes = [
    Goals(tokens: 65_536, name: "64K", bytes: 9.6, zipf: 25, miss: 8, reverse: 18),
    Goals(tokens: 262_144, name: "256K", bytes: 10.8, zipf: 50, miss: 12, reverse: 26),
    Goals(tokens: 1_000_000, name: "1M", bytes: 11.0, zipf: 110, miss: 25, reverse: 80),
  ]
  static let peers = ["tinycdb", "lmdb", "sqlite", "marisa", "cmph"]

  static func run(_ options: BenchOptions, _ lab: Lab) throws -> Report {
    let folder = ProcessInfo.processInfo.environment["SKYBENCH_LEXICON"] ?? ".sdk/lexicon"
    var report = Report("lexicon")
    report.peer = "the best of tinycdb, LMDB, SQLite, marisa-trie and cmph in each line"
    report.notes = [
      Proc.machine(),
      "one load after another: "
        + [1, 4, 16].map { String(format: "%.0f ns in %d MiB", loadLatency(bytes: $0 << 20), $0) }
        .joined(separator: ", "),
      "tokens  structure  B/token  random ns  Zipf ns  miss ns  id→string ns  pages",
    ]
    for goals in sizes {
      let file = "\(folder)/\(["64K": "64k", "256K": "256k", "1M": "full"][goals.name]!).lex"
      let queries = try QuerySet(dictionary: file, next: "\(folder)/full.tsv.next", whole: "\(folder)/full.lex", lab)
      guard queries.tokens == goals.tokens else { throw BenchError("\(file) has \(queries.tokens) tokens") }
      let ours = try measureOurs(file, queries)
      report.notes.append(line(goals.name, "skynod", ours))
      var others: [Figures] = []
      for peer in peers {
        let figures = try measurePeer(peer, goals, queries, lab)
        report.notes.append(line(goals.name, peer, figures))
        others.append(figures)
      }
      func best(_ key: KeyPath<Figures, Double>) -> Double? { others.map { $0[keyPath: key] }.min() }
      let better = others.filter { $0.bytesPerToken < ours.bytesPerToken && $0.zipf < ours.zipf }.count
      report.metrics += [
        Metric(
          "\(goals.name): both ways", ours.bytesPerToken, "B/token", peer: best(\.bytesPerToken),
          goal: .atMost(goals.bytes)),
        Metric("\(goals.name): random hit", ours.random, "ns", peer: best(\.random)),
        Metric("\(goals.name): Zipf hit", ours.zipf, "ns", peer: best(\.zipf), goal: .atMost(goals.zipf)),
        Metric("\(goals.name): Zipf hit, word alone", ours.alone, "ns", peer: best(\.alone)),
        Metric("\(goals.name): miss", ours.miss, "ns", peer: best(\.miss), goal: .atMost(goals.miss)),
        Metric("\(goals.name): id to string", ours.reverse, "ns", peer: best(\.reverse), goal: .atMost(goals.reverse)),
        Metric("\(goals.name): pages, 10,000 Zipf hits", ours.pages, "pages", peer: best(\.pages)),
        Metric("\(goals.name): peers better in size and Zipf hit", Double(better), "", goal: .atMost(0)),
      ]
    }
    return report
  }

  private static func line(_ size: String, _ name: String, _ figures: Figures) -> String {
    func pad(_ text: String, _ width: Int) -> String {
      text + String(repeating: " ", count: max(1, width - text.count))
    }
    let cells = [figures.bytesPerToken, figures.random, figures.zipf, figures.miss, figures.reverse, figures.pages]
    return pad(size, 8) + pad(name, 11) + cells.map { pad(String(format: "%.1f", $0), 11) }.joined()
  }

  /// Pilots, slots, strings and leaves: what the others have too. Metadata and points are not counted.
  private static let sections: [Section] = [.pilots, .slots, .blocks, .strings, .symbols, .leafMap, .leaves]

  private static func measureOurs(_ file: String, _ queries: QuerySet) throws -> Figures {
    let map = try MappedFile(file)
    let view = try LexiconView(RawSpan(_unsafeBytes: map.bytes))
    let header = view.header
    let bytes = Layout.headerBytes + sections.reduce(0) { $0 + Int(header[$1].sizeBytes) }
    for i in 0..<queries.tokens where view.id(of: queries.words[i]) != queries.words.id(i) {
      throw BenchError("\(file): word \(i) is not found")
    }
    for i in 0..<queries.miss.count where view.id(of: queries.miss[i]) != nil {
      throw BenchError("\(file): a miss is found")
    }
    for i in 0..<queries.zipf.count
    where view.id(of: queries.zipf.place(i), in: queries.zipf.text) != queries.zipf.id(i) {
      throw BenchError("\(file): query \(i) is not found")
    }
    // Words are looked up where they stand in a text, as the encoder does it.
    func hits(_ set: QueryFile) -> Double {
      measure(set.count) { range in
        var sum: UInt64 = 0
        for i in range { sum &+= UInt64(view.id(of: set.place(i), in: set.text) ?? 0) }
        return sum
      }
    }
    let alone = measure(queries.zipf.count) { range in
      var sum: UInt64 = 0
      for i in range { sum &+= UInt64(view.id(of: queries.zipf[i]) ?? 0) }
      return sum
    }
    let ids = queries.random
    // At the start of a cache line: where the stack happens to be would change the figure by a third.
    let room = UnsafeMutableRawPointer.allocate(byteCount: MemoryLayout<WordText>.stride, alignment: 64)
    defer { room.deallocate() }
    let text = room.initializeMemory(as: WordText.self, to: WordText())
    let reverse = measure(ids.count) { range in
      var sum: UInt64 = 0
      for i in range { sum &+= UInt64(view.word(ids.id(i), into: &text.pointee) ?? 0) &+ UInt64(text.pointee[0]) }
      return sum
    }
    let (random, zipf, miss) = (hits(queries.random), hits(queries.zipf), hits(queries.miss))
    let pages = TouchedPages.count(map.bytes) {
      var sum: UInt64 = 0
      for i in 0..<10_000 { sum &+= UInt64(view.id(of: queries.zipf[i]) ?? 0) }
      sink = sum
    }
    return Figures(
      bytesPerToken: Double(bytes) / Double(queries.tokens), random: random, zipf: zipf, alone: alone, miss: miss,
      reverse: reverse, pages: Double(pages))
  }

  private static func measurePeer(_ name: String, _ goals: Goals, _ queries: QuerySet, _ lab: Lab) throws -> Figures {
    let program = ProcessInfo.processInfo.environment["SKYBENCH_PEERS"] ?? "out/host/lexicon-peers"
    let output = try lab.run([program, name, queries.prefix + ".words", queries.prefix, lab.folder.path])
    let fields = output.split(whereSeparator: \.isWhitespace).compactMap { Double($0) }
    guard fields.count == 7, fields[6] == 0 else { throw BenchError("\(name): \(output)") }
    return Figures(
      bytesPerToken: fields[0] / Double(goals.tokens), random: fields[1], zipf: fields[2], alone: fields[2],
      miss: fields[3], reverse: fields[4], pages: fields[5])
  }
}

nonisolated(unsafe) var sink: UInt64 = 0

/// Nanoseconds of this thread for one query: groups of 25,000, the best of 5 passes each, or of as many as a
/// second takes, so that quick structures are not measured in one bad moment; the median of the groups. The
/// peers' program does the same.
func measure(_ count: Int, _ run: (Range<Int>) -> UInt64) -> Double {
  let group = 25_000
  var best = [Double](repeating: .infinity, count: count / group)
  let begin = threadNs()
  var passes = 0
  while passes < 5 || threadNs() - begin < 1e9 {
    passes += 1
    for i in best.indices {
      let start = threadNs()
      sink = run(i * group..<(i + 1) * group)
      best[i] = min(best[i], (threadNs() - start) / Double(group))
    }
  }
  return best.median
}

/// Nanoseconds for a load whose place the load before has said, anywhere in so many bytes: what the machine's
/// caches give at this moment, without which the larger dictionaries' figures say little.
func loadLatency(bytes: Int) -> Double {
  let lines = bytes / 64
  let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 4_096)
  defer { memory.deallocate() }
  var generator = Shuffler(state: 7)
  let order = Array(0..<lines).shuffled(using: &generator)
  for (i, line) in order.enumerated() {
    memory.storeBytes(of: 64 * order[(i + 1) % lines], toByteOffset: 64 * line, as: Int.self)
  }
  let loads = 500_000
  var at = 0
  var best = Double.infinity
  for _ in 0..<5 {
    let start = threadNs()
    for _ in 0..<loads { at = memory.load(fromByteOffset: at, as: Int.self) }
    best = min(best, (threadNs() - start) / Double(loads))
  }
  sink = UInt64(at)
  return best
}

func threadNs() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
}

/// A whole file, read-only.
final class MappedFile {
  let bytes: UnsafeRawBufferPointer

  init(_ path: String) throws {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { throw BenchError("cannot open \(path): tools/lexicon-full makes it") }
    defer { close(descriptor) }
    var info = stat()
    fstat(descriptor, &info)
    let start = mmap(nil, Int(info.st_size), PROT_READ, MAP_SHARED, descriptor, 0)
    guard let start, start != MAP_FAILED else { throw BenchError("cannot map \(path)") }
    bytes = UnsafeRawBufferPointer(start: start, count: Int(info.st_size))
  }

  deinit { munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress!), bytes.count) }
}

/// Words with ids, as the peers' program reads them: a count, offsets (one more), ids, bytes.
///
/// Plain pointers: what counting references would take is not to be measured. The mapping stays for good.
struct QueryFile {
  private let offsets: UnsafePointer<UInt32>
  private let ids: UnsafePointer<UInt32>
  private let bytes: UnsafeRawPointer
  let count: Int

  init(_ path: String) throws {
    let map = Unmanaged.passRetained(try MappedFile(path)).takeUnretainedValue()
    let numbers = map.bytes.baseAddress!.assumingMemoryBound(to: UInt32.self)
    count = Int(numbers[0])
    offsets = numbers + 1
    ids = offsets + count + 1
    bytes = UnsafeRawPointer(ids + count)
  }

  @inline(__always) func id(_ i: Int) -> UInt32 { ids[i] }

  /// All words, one behind the other.
  var text: RawSpan {
    @_lifetime(borrow self)
    get {
      let all = UnsafeRawBufferPointer(start: bytes, count: Int(offsets[count]))
      return _overrideLifetime(RawSpan(_unsafeBytes: all), borrowing: self)
    }
  }

  @inline(__always) func place(_ i: Int) -> Range<Int> {
    Range(uncheckedBounds: (Int(offsets[i]), Int(offsets[i + 1])))
  }

  @inline(__always) subscript(i: Int) -> RawSpan {
    @_lifetime(borrow self)
    get {
      let word = UnsafeRawBufferPointer(start: bytes + Int(offsets[i]), count: Int(offsets[i + 1] - offsets[i]))
      return _overrideLifetime(RawSpan(_unsafeBytes: word), borrowing: self)
    }
  }

  static func write(_ words: [([UInt8], UInt32)], to path: String) throws {
    var numbers = [UInt32(words.count)]
    var at: UInt32 = 0
    for (word, _) in words {
      numbers.append(at)
      at += UInt32(word.count)
    }
    numbers.append(at)
    numbers += words.map(\.1)
    var data = numbers.withUnsafeBytes { Data($0) }
    for (word, _) in words { data.append(contentsOf: word) }
    try data.write(to: URL(filePath: path))
  }
}

/// A million queries of each kind for one dictionary: hits at random and by Zipf's law over the dictionary's
/// order (1 / (rank + 2.7)), and real words that are not in it.
struct QuerySet {
  let prefix: String
  let tokens: Int
  let words: QueryFile
  let random: QueryFile
  let zipf: QueryFile
  let miss: QueryFile

  init(dictionary: String, next: String, whole: String, _ lab: Lab) throws {
    let prefix = lab.file("queries-" + (dictionary as NSString).lastPathComponent)
    self.prefix = prefix
    let words = try Self.words(of: dictionary)
    tokens = words.count
    var generator = Shuffler(state: 42)
    let queries = 500_000
    let shuffled = words.shuffled(using: &generator)
    // Ours by global id; the peers by the place in the dictionary.
    let place = Dictionary(uniqueKeysWithValues: words.enumerated().map { ($1.1, UInt32($0)) })
    func write(_ queries: [([UInt8], UInt32)], _ name: String) throws {
      try QueryFile.write(queries, to: prefix + ".own." + name)
      try QueryFile.write(queries.map { ($0.0, place[$0.1]!) }, to: prefix + "." + name)
    }
    try write(words, "words")
    try write((0..<queries).map { shuffled[$0 % shuffled.count] }, "random")
    var sums: [Double] = []
    var sum = 0.0
    for rank in words.indices {
      sum += 1 / (Double(rank) + 2.7)
      sums.append(sum)
    }
    let drawn = (0..<queries).map { _ in
      let value = Double.random(in: 0..<sum, using: &generator)
      var (low, high) = (0, words.count - 1)
      while low < high {
        let middle = (low + high) / 2
        if sums[middle] < value { low = middle + 1 } else { high = middle }
      }
      return words[low]
    }
    try write(drawn, "zipf")
    let held = Set(words.map(\.0))
    var absent = try Self.words(of: whole).map(\.0).filter { !held.contains($0) }
    if absent.isEmpty {
      absent = try Data(contentsOf: URL(filePath: next)).split(separator: 0x0A).map { Array($0) }
    }
    absent.shuffle(using: &generator)
    try QueryFile.write((0..<queries).map { (absent[$0 % absent.count], 0) }, to: prefix + ".miss")
    self.words = try QueryFile(prefix + ".own.words")
    random = try QueryFile(prefix + ".own.random")
    zipf = try QueryFile(prefix + ".own.zipf")
    miss = try QueryFile(prefix + ".miss")
  }

  private static func words(of path: String) throws -> [([UInt8], UInt32)] {
    let map = try MappedFile(path)
    let view = try LexiconView(RawSpan(_unsafeBytes: map.bytes))
    var text = WordText()
    var words: [([UInt8], UInt32)] = []
    for index in 0..<view.tokenCount {
      guard let id = view.id(atIndex: index), let count = view.word(id, into: &text) else {
        throw BenchError("\(path) cannot be read")
      }
      words.append(((0..<count).map { text[$0] }, id))
    }
    return words
  }
}

struct Shuffler: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return (state ^ (state >> 33)) &* 0xFF51_AFD7_ED55_8CCD
  }
}

/// Counts the pages of a mapping that a piece of work touches: all are closed, and each opens at its first touch.
enum TouchedPages {
  nonisolated(unsafe) private static var count = 0

  static func count(_ bytes: UnsafeRawBufferPointer, _ work: () -> Void) -> Int {
    count = 0
    var action = sigaction()
    var before = sigaction()
    action.sa_flags = SA_SIGINFO | Int32(bitPattern: UInt32(SA_NODEFER))
    action.__sigaction_handler.sa_sigaction = { _, info, _ in
      let address = UInt(bitPattern: info!.pointee._sifields._sigfault.si_addr) & ~4095
      if mprotect(UnsafeMutableRawPointer(bitPattern: address), 4_096, PROT_READ) != 0 { _exit(71) }
      TouchedPages.count += 1
    }
    sigaction(SIGSEGV, &action, &before)
    let start = UnsafeMutableRawPointer(mutating: bytes.baseAddress!)
    mprotect(start, bytes.count, PROT_NONE)
    work()
    mprotect(start, bytes.count, PROT_READ)
    sigaction(SIGSEGV, &before, nil)
    return count
  }
}
