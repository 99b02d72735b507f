import Bounded
import Foundation
import Lexicon
import LexiconText
import Node
import SkyCrypto
import Wire

/// The dictionaries of a hub: the one it publishes for its nodes, piece by piece, and the one by which it answers
/// what they do not know. Read from mapped files; not changed while in use, only replaced.
public final class HubDictionary {
  private struct Published {
    let manifest: Data
    let pages: Data
    let file: Data
    let head: DictionaryManifest
  }

  private let directory: DataDirectory?
  private let wordsPath: String?
  private var published: Published?
  /// Where words are looked up: the file of `--dictionary`, else the published one.
  private var words: Data?
  private var wordsGeneration: UInt32 = 0
  /// Files that are there and of another version of the format: a program that was updated goes on without them.
  public private(set) var outdated: [String] = []

  /// A hub without a dictionary: it tells its nodes so, and they ask for nothing.
  public init() {
    directory = nil
    wordsPath = nil
  }

  /// `wordsPath` is a dictionary file to answer from; nil for the published one.
  public init(in directory: DataDirectory, wordsPath: String?) throws(HubError) {
    self.directory = directory
    self.wordsPath = wordsPath
    try reload()
  }

  /// What nodes are told; 0: no dictionary.
  public var generation: UInt32 { published?.head.generation ?? wordsGeneration }

  /// Looks again at what is published. On an error everything stays as it was.
  public func reload() throws(HubError) {
    guard let directory else { return }
    var old: [String] = []
    func usable(_ file: Data, _ path: String) throws(HubError) -> UInt32? {
      let generation = try Self.generation(file, path)
      if generation == nil { old.append(path) }
      return generation
    }
    var fresh = try Self.load(directory)
    if let file = fresh?.file, let generation = fresh?.head.generation,
      try usable(file, directory.dictionaryPath(generation)) == nil
    {
      fresh = nil
    }
    var answering = (file: fresh?.file, generation: fresh?.head.generation ?? 0)
    if let wordsPath {
      let file = try Self.map(wordsPath)
      if let generation = try usable(file, wordsPath) { answering = (file, generation) }
    }
    (words, wordsGeneration) = answering
    published = fresh
    outdated = old
  }

  // MARK: Words

  /// Answers a WORD QUERY. `malformedFrame` when it is none.
  func answer(_ question: RawSpan, into answer: inout ByteQueue) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(question)
      let count: UInt8 = try reader.integer()
      guard count >= 1, Int(count) <= Limits.wordBatch + 1 else { throw .invalid }
      answer.append(bigEndian: count)
      for _ in 0..<Int(count) {
        let length: UInt8 = try reader.integer()
        guard let word = InlineText<63>(try reader.bytes(Int(length))), !word.isEmpty else { throw .invalid }
        entry(of: word).append(to: &answer)
      }
      try reader.finish()
    } catch { throw .malformedFrame }
  }

  /// With id 0 when the word is not known here, or is a single byte, which every dictionary has.
  private func entry(of word: InlineText<63>) -> WordEntry {
    // What is published may be ahead of the file that is asked: nodes have it, so it is known here.
    for file in [words, published?.file] {
      if let file, let entry = Self.entry(of: word, in: file) { return entry }
    }
    return WordEntry(word: word)
  }

  private static func entry(of word: InlineText<63>, in file: Data) -> WordEntry? {
    file.withUnsafeBytes { bytes in
      guard let view = try? LexiconView(RawSpan(_unsafeBytes: bytes)), let id = view.id(of: word.bytes), id >= 256
      else { return nil }
      return view.entry(of: id)
    }
  }

  // MARK: Pieces

  /// Appends a DICTIONARY PIECE. A request for a generation that is gone is answered with the present manifest.
  func piece(for request: PieceRequest, into body: inout ByteQueue) throws(ErrorCode) {
    guard let published else {
      PieceRequest(generation: 0, kind: .none, index: 0).append(to: &body)
      return
    }
    let head = published.head
    if request.kind == .manifest || request.generation != head.generation {
      PieceRequest(generation: head.generation, kind: .manifest, index: 0).append(to: &body)
      return Self.append(published.manifest, 0..<published.manifest.count, to: &body)
    }
    let index = Int(request.index)
    switch request.kind {
    case .page where index < head.pageCount:
      request.append(to: &body)
      let blocks = head.blocks(ofPage: index)
      Self.append(
        published.pages, (blocks.lowerBound * Limits.hashBytes)..<(blocks.upperBound * Limits.hashBytes), to: &body)
    case .block where index < head.blockCount:
      request.append(to: &body)
      Self.append(published.file, head.bytes(ofBlock: index), to: &body)
    default: throw .malformedFrame
    }
  }

  private static func append(_ data: Data, _ range: Range<Int>, to body: inout ByteQueue) {
    data.withUnsafeBytes { _ = body.append(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: $0[range]))) }
  }

  // MARK: Files

  /// Publishes a dictionary file under the hub's signature. What it holds is the caller's business; that its
  /// generation is higher than the published one's is looked at here.
  public static func publish(_ path: String, in directory: DataDirectory) throws(HubError) {
    let file = try map(path)
    guard let generation = try generation(file, path) else {
      throw HubError(.badArgument, "\(path): \(LexiconError.unknownVersion.sentence)")
    }
    guard file.count <= Limits.dictionaryBytes else {
      throw HubError(.badArgument, "\(path) is larger than \(Limits.dictionaryBytes >> 20) MiB")
    }
    guard generation > 0 else { throw HubError(.badArgument, "\(path) is of generation 0, which means none") }
    if let before = try load(directory), before.head.generation >= generation {
      throw HubError(
        .badArgument, "\(path) is of generation \(generation), and \(before.head.generation) is published",
        hint: "build it with a higher --generation: nodes take nothing older")
    }
    let (manifest, pages) = try signed(file, generation, try HubKeys(in: directory).takeIdentity())
    try write(file, to: directory.dictionaryPath(generation), directory)
    try write(pages, to: directory.dictionaryPagesPath(generation), directory)
    try write(manifest, to: directory.dictionaryManifestPath, directory)
    try directory.removeDictionaries(except: generation)
  }

  /// The file that is published now; nil when there is none, or one that no program of this version can read.
  public static func publishedPath(in directory: DataDirectory) throws(HubError) -> String? {
    guard let published = try load(directory) else { return nil }
    let path = directory.dictionaryPath(published.head.generation)
    return try generation(published.file, path) == nil ? nil : path
  }

  private static func write(_ data: Data, to path: String, _ directory: DataDirectory) throws(HubError) {
    var failure: HubError?
    data.withUnsafeBytes { bytes in
      do throws(HubError) { try directory.writeNew(path, bytes) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// The manifest and the digests of all blocks.
  static func signed(
    _ file: Data, _ generation: UInt32, _ identity: consuming Identity
  ) throws(HubError) -> (manifest: Data, pages: Data) {
    var pages = Data()
    for start in stride(from: 0, to: file.count, by: Limits.dictionaryBlockBytes) {
      pages.append(digest(file, start..<min(start + Limits.dictionaryBlockBytes, file.count)))
    }
    var queue = ByteQueue(capacity: DictionaryManifest.maximumBytes)
    DictionaryManifest.appendHead(generation: generation, fileBytes: UInt32(file.count), to: &queue)
    let pageBytes = Limits.dictionaryPageBlocks * Limits.hashBytes
    for start in stride(from: 0, to: pages.count, by: pageBytes) {
      digest(pages, start..<min(start + pageBytes, pages.count)).withUnsafeBytes { _ = queue.append($0.bytes) }
    }
    let signature = identity.sign(
      label: DictionaryUpdate.label, context: Bytes32(repeating: 0), digest: Sha256.digest(queue.bytes))
    queue.append(signature.span.bytes)
    return (Data(copying: queue.bytes), pages)
  }

  private static func digest(_ data: Data, _ range: Range<Int>) -> Data {
    data.withUnsafeBytes { bytes in
      Data(Sha256.digest(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: bytes[range]))))
    }
  }

  /// Nil when nothing was ever published.
  private static func load(_ directory: DataDirectory) throws(HubError) -> Published? {
    let path = directory.dictionaryManifestPath
    guard access(path, F_OK) == 0 else { return nil }
    let manifest = try map(path)
    let head: DictionaryManifest? = manifest.withUnsafeBytes { try? DictionaryManifest(decoding: $0.bytes) }
    guard let head else { throw damaged(path) }
    let file = try map(directory.dictionaryPath(head.generation))
    let pages = try map(directory.dictionaryPagesPath(head.generation))
    guard file.count == Int(head.fileBytes), pages.count == head.blockCount * Limits.hashBytes else {
      throw damaged(directory.dictionaryPath(head.generation))
    }
    return Published(manifest: manifest, pages: pages, file: file, head: head)
  }

  private static func damaged(_ path: String) -> HubError {
    HubError(.badConfiguration, "\(path) is damaged", hint: "publish a dictionary again: skyhub lexicon publish")
  }

  private static func map(_ path: String) throws(HubError) -> Data {
    do {
      return try Data(contentsOf: URL(filePath: path), options: .alwaysMapped)
    } catch {
      throw HubError(.badConfiguration, "\(path) cannot be read: \(error.localizedDescription)")
    }
  }

  /// Nil for a dictionary of another version of the format.
  private static func generation(_ file: Data, _ path: String) throws(HubError) -> UInt32? {
    var failure: LexiconError?
    let generation = file.withUnsafeBytes { bytes -> UInt32 in
      do throws(LexiconError) {
        return try LexiconView(RawSpan(_unsafeBytes: bytes)).header.generation
      } catch {
        failure = error
        return 0
      }
    }
    if failure == .unknownVersion { return nil }
    if let failure { throw HubError(.badConfiguration, "\(path): \(failure.sentence)") }
    return generation
  }
}
