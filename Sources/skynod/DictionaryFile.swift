import Bounded
import Lexicon
import LexiconText
import Node
import Platform
import SkyCrypto
import Wire

/// The dictionary that this node has mapped, and the place where an update is put together.
///
/// Two files may hold one: the board's own, named in the configuration, and the last update's, in the state
/// directory. The higher generation is in use, the update's when they are equal. Without either everything else
/// works. The file is never changed in place: the pages of an old one stay good until it is let go.
final class DictionaryFile {
  private var map = MappedFile()
  private var part = PartFile()
  private let updatedFile: PathText
  private let partFile: PathText
  let learntFile: PathText
  private var boardFile: PathText
  /// Of the file in use; empty when there is none.
  private(set) var path = PathText()
  private(set) var generation: UInt32 = 0
  /// Why a file that is there is not in use.
  private(set) var problem: LexiconError?
  /// The longest turn that an update took: the sync of the new file, mostly.
  private(set) var installMs: UInt64 = 0

  init(boardFile: PathText, stateDirectory: PathText) throws(ErrorCode) {
    guard let updated = Files.join(stateDirectory, "dictionary.lex"),
      let part = Files.join(stateDirectory, "dictionary.part"), let learnt = Files.join(stateDirectory, "words")
    else { throw .badArgument }
    updatedFile = updated
    partFile = part
    learntFile = learnt
    self.boardFile = boardFile
    load()
  }

  /// After a reload: another file may be named, or be there now.
  func reload(boardFile: PathText) {
    self.boardFile = boardFile
    load()
  }

  private func load() {
    problem = nil
    let board = generation(of: boardFile)
    let updated = generation(of: updatedFile)
    path = updated >= board ? updatedFile : boardFile
    generation = max(updated, board)
    if generation == 0 || !map.open(path) {
      generation = 0
      path = PathText()
      map.close()
    }
  }

  /// 0 for a file that is not there or is no dictionary.
  private func generation(of path: PathText) -> UInt32 {
    guard map.open(path) else { return 0 }
    return Self.generation(map, &problem)
  }

  private static func generation(_ map: borrowing MappedFile, _ problem: inout LexiconError?) -> UInt32 {
    do throws(LexiconError) {
      return try LexiconView(map.bytes).header.generation
    } catch {
      problem = error
      return 0
    }
  }

  // MARK: Reading

  /// Lends the dictionary; nil when there is none.
  func withView<R>(_ body: (borrowing LexiconView) -> R) -> R? { Self.lend(map, body) }

  private static func lend<R>(_ map: borrowing MappedFile, _ body: (borrowing LexiconView) -> R) -> R? {
    guard map.isOpen, let view = try? LexiconView(map.bytes) else { return nil }
    return body(view)
  }

  /// Any word of it; nil without a dictionary.
  func anyWord(_ dice: UInt64) -> WordEntry? {
    withView { view in
      view.id(atIndex: Int(dice % UInt64(view.tokenCount))).flatMap { view.entry(of: $0) }
    } ?? nil
  }

  // MARK: Updating

  /// Does one piece of what an update asks for.
  func perform(_ work: DictionaryUpdate.Work, _ update: DictionaryUpdate) -> Result<Bool, ErrorCode> {
    do throws(ErrorCode) {
      switch work {
      case .begin(let fileBytes): try part.open(partFile, bytes: fileBytes)
      case .find(let bytes, let digest):
        if holds(bytes, digest: digest) { return .success(true) }
        return .success(try reuse(bytes, digest: digest))
      case .write(let bytes):
        try update.withBlock { block throws(ErrorCode) in try part.write(block, at: bytes.lowerBound) }
      case .install(let generation): try install(generation: generation)
      }
      return .success(true)
    } catch { return .failure(error) }
  }

  private func holds(_ bytes: Range<Int>, digest: Bytes32) -> Bool { Self.holds(part, bytes, digest) }

  private static func holds(_ part: borrowing PartFile, _ bytes: Range<Int>, _ digest: Bytes32) -> Bool {
    guard bytes.upperBound <= part.bytes.byteCount else { return false }
    return equal(Sha256.digest(part.bytes.extracting(bytes)), digest)
  }

  /// A block's bytes are where its section's are in the old file: sections move as a whole when earlier ones grow.
  private func reuse(_ bytes: Range<Int>, digest: Bytes32) throws(ErrorCode) -> Bool {
    guard let start = Self.place(of: bytes, new: part, old: map) else { return false }
    return try Self.copy(map, start..<(start + bytes.count), digest, to: &part, at: bytes.lowerBound)
  }

  private static func place(of bytes: Range<Int>, new: borrowing PartFile, old: borrowing MappedFile) -> Int? {
    guard old.isOpen, new.bytes.byteCount >= Layout.headerBytes else { return nil }
    var start = bytes.lowerBound
    // The first block has the header; it is there before the others are looked for, or they are only not found.
    for section in Section.allCases {
      guard let to = Header.place(of: section, in: new.bytes), let from = Header.place(of: section, in: old.bytes)
      else {
        return nil
      }
      if to.contains(bytes.lowerBound) { start = bytes.lowerBound - to.lowerBound + from.lowerBound }
    }
    return start >= 0 && start <= old.bytes.byteCount - bytes.count ? start : nil
  }

  private static func copy(
    _ old: borrowing MappedFile, _ bytes: Range<Int>, _ digest: Bytes32, to part: inout PartFile, at offset: Int
  ) throws(ErrorCode) -> Bool {
    let piece = old.bytes.extracting(bytes)
    guard equal(Sha256.digest(piece), digest) else { return false }
    try part.write(piece, at: offset)
    return true
  }

  /// The bytes are those that the hub signed. That they are a dictionary is looked at all the same: a hub may be
  /// careless. What is in it is checked where it is used.
  private func install(generation: UInt32) throws(ErrorCode) {
    let began = Clock.now
    guard Self.generation(part) == generation else {
      discard()
      throw .dictionaryRefused
    }
    try part.replace(updatedFile, from: partFile)
    load()
    installMs = max(installMs, Clock.now.since(began))
  }

  private static func generation(_ part: borrowing PartFile) -> UInt32 {
    (try? LexiconView(part.bytes))?.header.generation ?? 0
  }

  /// Starting again would only find the same.
  private func discard() {
    part.close()
    do throws(ErrorCode) { try Files.remove(partFile) } catch {}  // the next update truncates it
  }
}
