import Bounded
import SkyCrypto
import Testing
import Wire

@testable import Node

/// A published file, and the hub's answers about it.
private struct Publication {
  let generation: UInt32
  let file: [UInt8]
  private(set) var manifest: [UInt8]
  let pages: [[UInt8]]

  /// The key of `NodeScene`'s first hub.
  private static let hub: UInt64 = 100
  static var key: Bytes32 { Identity(seed: NodeScene.secret(hub)).publicKey }

  init(generation: UInt32, file: [UInt8], signer seed: UInt64 = Publication.hub) {
    let signer = Identity(seed: NodeScene.secret(seed))
    self.generation = generation
    self.file = file
    let blocks = stride(from: 0, to: file.count, by: Limits.dictionaryBlockBytes).map {
      Self.digest(Array(file[$0..<min($0 + Limits.dictionaryBlockBytes, file.count)]))
    }
    pages = stride(from: 0, to: blocks.count, by: Limits.dictionaryPageBlocks).map {
      blocks[$0..<min($0 + Limits.dictionaryPageBlocks, blocks.count)].flatMap { $0 }
    }
    var queue = ByteQueue(capacity: DictionaryManifest.maximumBytes)
    DictionaryManifest.appendHead(generation: generation, fileBytes: UInt32(file.count), to: &queue)
    for page in pages { queue.append(Self.digest(page).span.bytes) }
    let signature = signer.sign(
      label: DictionaryUpdate.label, context: Bytes32(repeating: 0), digest: Sha256.digest(queue.bytes))
    queue.append(signature.span.bytes)
    manifest = bytes(of: queue.bytes)
  }

  private static func digest(_ part: [UInt8]) -> [UInt8] { bytes(of: Sha256.digest(part.span.bytes).raw) }

  /// The body of the DICTIONARY PIECE for a request.
  func piece(_ request: PieceRequest) -> [UInt8] {
    if request.kind == .manifest || request.generation != generation {
      return Self.head(PieceRequest(generation: generation, kind: .manifest, index: 0)) + manifest
    }
    if request.kind == .page { return Self.head(request) + pages[Int(request.index)] }
    let start = Int(request.index) * Limits.dictionaryBlockBytes
    return Self.head(request) + file[start..<min(start + Limits.dictionaryBlockBytes, file.count)]
  }

  static func head(_ request: PieceRequest) -> [UInt8] {
    var queue = ByteQueue(capacity: PieceRequest.byteCount)
    request.append(to: &queue)
    return bytes(of: queue.bytes)
  }
}

/// Files in memory: what is in use, and what is being put together.
final class MemoryStore {
  var generation: UInt32 = 1
  var present: [UInt8] = []
  var part: [UInt8] = []
  var writes = 0
  var failure: ErrorCode?
  var refusesInstall = false

  /// Does what an update asks for, as the daemon does with files.
  func perform(_ work: DictionaryUpdate.Work, _ update: DictionaryUpdate) -> Result<Bool, ErrorCode> {
    do throws(ErrorCode) {
      switch work {
      case .begin(let fileBytes): try begin(fileBytes: fileBytes)
      case .find(let range, let digest): return .success(holds(range, digest: digest) || reuse(range, digest: digest))
      case .write(let range): try update.withBlock { block throws(ErrorCode) in try write(block, at: range.lowerBound) }
      case .install(let generation): try install(generation: generation)
      }
      return .success(true)
    } catch { return .failure(error) }
  }

  private func begin(fileBytes: Int) throws(ErrorCode) {
    if let failure { throw failure }
    part += [UInt8](repeating: 0, count: max(0, fileBytes - part.count))
    part.removeSubrange(fileBytes...)
  }

  private func holds(_ range: Range<Int>, digest: Bytes32) -> Bool {
    equal(Sha256.digest(Array(part[range]).span.bytes), digest)
  }

  private func reuse(_ range: Range<Int>, digest: Bytes32) -> Bool {
    guard range.upperBound <= present.count, equal(Sha256.digest(Array(present[range]).span.bytes), digest) else {
      return false
    }
    part.replaceSubrange(range, with: present[range])
    return true
  }

  private func write(_ piece: RawSpan, at offset: Int) throws(ErrorCode) {
    if let failure { throw failure }
    writes += 1
    part.replaceSubrange(offset..<(offset + piece.byteCount), with: bytes(of: piece))
  }

  private func install(generation: UInt32) throws(ErrorCode) {
    if refusesInstall { throw .dictionaryRefused }
    self.generation = generation
    present = part
  }
}

@Suite struct DictionaryUpdateTests {
  private let key = Publication.key

  private static func file(_ count: Int, seed: Int = 1) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761 &+ seed) >> 7) }
  }

  /// Runs an update; `change` sees each answer before it arrives. Ends when the update does or `change` gives nil.
  private func run(
    _ update: DictionaryUpdate, _ store: MemoryStore, _ hub: Publication,
    _ change: (PieceRequest, [UInt8]) -> [UInt8]? = { $1 }
  ) {
    update.start()
    for _ in 0..<100_000 {
      if let work = update.work {
        update.finish(store.perform(work, update))
      } else if let request = update.request {
        guard let answer = change(request, hub.piece(request)) else { return }
        #expect((try? update.arrived(answer.span.bytes, key: key, present: store.generation)) == true)
      } else {
        return
      }
    }
    Issue.record("the update does not end")
  }

  @Test(arguments: [1, 4_096, 4_097, 130 * 4_096, 300 * 4_096 + 5])
  func aFileComesWhole(_ count: Int) {
    let update = DictionaryUpdate()
    let store = MemoryStore()
    let hub = Publication(generation: 2, file: Self.file(count))
    run(update, store, hub)
    #expect(update.outcome == .installed(2))
    #expect(store.present == hub.file)
    #expect(update.fetchedBlocks == store.writes)
  }

  @Test func onlyWhatHasChangedIsFetched() {
    let update = DictionaryUpdate()
    let store = MemoryStore()
    var file = Self.file(200 * 4_096)
    store.present = file
    file[5_000] ^= 1
    file[150 * 4_096] ^= 1
    run(update, store, Publication(generation: 2, file: file))
    #expect(update.outcome == .installed(2) && store.present == file)
    #expect(update.fetchedBlocks == 2 && update.reusedBlocks == 198)
  }

  @Test func anUpdateThatWasCutOffGoesOnWhereItStopped() {
    let store = MemoryStore()
    let hub = Publication(generation: 2, file: Self.file(200 * 4_096))
    let first = DictionaryUpdate()
    run(first, store, hub) { request, answer in request.kind == .block && request.index == 140 ? nil : answer }
    #expect(store.generation == 1 && store.writes == 140)
    first.stop()
    #expect(first.isIdle && first.work == nil)
    // Even if some of what was written did not reach the medium.
    store.part[70 * 4_096] ^= 0xFF
    let second = DictionaryUpdate()
    run(second, store, hub)
    #expect(store.present == hub.file)
    #expect(second.fetchedBlocks == 61 && second.reusedBlocks == 139)
  }

  @Test func everyDamageToWhatComesIsRefused() {
    let hub = Publication(generation: 2, file: Self.file(3 * 4_096))
    for kind in [PieceKind.manifest, .page, .block] {
      var offsets = Array(stride(from: PieceRequest.byteCount, to: PieceRequest.byteCount + 96, by: 5))
      if kind == .manifest { offsets = Array(PieceRequest.byteCount..<(PieceRequest.byteCount + hub.manifest.count)) }
      for offset in offsets {
        let update = DictionaryUpdate()
        let store = MemoryStore()
        store.present = [7]
        run(update, store, hub) { request, answer in
          var answer = answer
          if request.kind == kind, offset < answer.count { answer[offset] ^= 0x20 }
          return answer
        }
        #expect(update.outcome == .failed(.dictionaryRefused), "\(kind), byte \(offset)")
        #expect(store.generation == 1 && store.present == [7])
      }
    }
  }

  @Test func piecesOfAnotherLengthAreRefused() {
    let hub = Publication(generation: 2, file: Self.file(3 * 4_096))
    for change in [{ Array($0.dropLast()) }, { Array($0.prefix(PieceRequest.byteCount)) }] as [([UInt8]) -> [UInt8]] {
      for kind in [PieceKind.manifest, .page, .block] {
        let update = DictionaryUpdate()
        let store = MemoryStore()
        run(update, store, hub) { $0.kind == kind ? change($1) : $1 }
        #expect(update.outcome == .failed(.dictionaryRefused))
        #expect(store.generation == 1)
      }
    }
  }

  @Test func whatAnotherHubHasSignedIsRefused() {
    let update = DictionaryUpdate()
    let store = MemoryStore()
    run(update, store, Publication(generation: 2, file: Self.file(5_000), signer: 101))
    #expect(update.outcome == .failed(.dictionaryRefused))
    #expect(store.part.isEmpty)
  }

  @Test(arguments: [1, 2] as [UInt32]) func nothingOlderIsTaken(_ generation: UInt32) {
    let update = DictionaryUpdate()
    let store = MemoryStore()
    store.generation = 2
    run(update, store, Publication(generation: generation, file: Self.file(5_000)))
    #expect(update.outcome == .current && store.writes == 0)
  }

  @Test func aGenerationPublishedMeanwhileTakesItsPlace() {
    let update = DictionaryUpdate()
    let store = MemoryStore()
    let (second, third) = (
      Publication(generation: 2, file: Self.file(9_000)), Publication(generation: 3, file: Self.file(20_000, seed: 9))
    )
    run(update, store, second) { request, answer in
      request.kind == .block && request.index == 1 || request.generation == 3 ? third.piece(request) : answer
    }
    #expect(update.outcome == .installed(3) && store.present == third.file)
  }

  @Test func aHubThatPublishesNothingSaysSo() {
    let update = DictionaryUpdate()
    run(update, MemoryStore(), Publication(generation: 2, file: [1])) { _, _ in
      Publication.head(PieceRequest(generation: 0, kind: .none, index: 0))
    }
    #expect(update.outcome == .failed(.notFound))
  }

  @Test func troubleWithTheMediumIsNamed() {
    let update = DictionaryUpdate()
    let store = MemoryStore()
    store.failure = .ioFailed
    run(update, store, Publication(generation: 2, file: Self.file(5_000)))
    #expect(update.outcome == .failed(.ioFailed))
    store.failure = nil
    store.refusesInstall = true
    run(update, store, Publication(generation: 2, file: Self.file(5_000)))
    #expect(update.outcome == .failed(.dictionaryRefused) && store.generation == 1)
  }

  @Test func whatNobodyAskedForIsLeft() throws {
    let update = DictionaryUpdate()
    let hub = Publication(generation: 2, file: Self.file(5_000))
    #expect(
      try !update.arrived(
        hub.piece(PieceRequest(generation: 0, kind: .manifest, index: 0)).span.bytes, key: key, present: 1))
    update.start()
    #expect(
      try !update.arrived(
        hub.piece(PieceRequest(generation: 2, kind: .block, index: 0)).span.bytes, key: key, present: 1))
    #expect(throws: ErrorCode.malformedFrame) {
      try update.arrived(([1, 2, 3] as [UInt8]).span.bytes, key: key, present: 1)
    }
  }
}

/// The same through a whole node.
@Suite struct NodeDictionaryTests {
  private func want(_ scene: NodeScene, _ word: String) {
    _ = scene.node.words.want(Array(word.utf8).span.bytes, now: scene.now)
    scene.handle(.tick)
  }

  @Test func aHubWithoutADictionaryIsAskedNothing() {
    let scene = NodeScene()
    scene.goOnline()
    want(scene, "zorkmid")
    scene.pass(600_000)
    #expect(scene.hub.count(.wordQuery) == 0 && scene.hub.count(.dictionaryRequest) == 0)
  }

  @Test func wordsAreAskedOfAHubThatHasOne() {
    let scene = NodeScene()
    scene.hub.configure.dictionaryGeneration = 1
    scene.node.useDictionary(generation: 1, known: nil)
    scene.goOnline()
    want(scene, "zorkmid")
    #expect(scene.hub.frames.last { $0.header.kind == .wordQuery }?.body == [1, 7] + Array("zorkmid".utf8))
    var entry = WordEntry(word: InlineText("zorkmid")!)
    entry.id = 70_000
    var body = ByteQueue(capacity: 256)
    body.append(bigEndian: UInt8(1))
    entry.append(to: &body)
    scene.hub.send(FrameHeader(kind: .wordAnswer, destination: 1_000_000), bytes(of: body.bytes), now: scene.now)
    scene.settle()
    #expect(scene.node.words.find(id: 70_000) == entry)
    #expect(scene.hub.count(.dictionaryRequest) == 0, "the hub's is no newer")
  }

  @Test func aNewerDictionaryIsFetchedByItselfAndReported() {
    let scene = NodeScene()
    scene.node.useDictionary(generation: 1, known: nil)
    scene.goOnline()
    let publication = Publication(generation: 2, file: [UInt8](repeating: 5, count: 9_000))
    let store = MemoryStore()
    scene.hub.configure.dictionaryGeneration = 2
    scene.hub.sendConfigure(now: scene.now)
    scene.settle()
    let began = scene.now
    var answered = 0
    while answered < 20, scene.node.dictionaryGeneration == 1 {
      for frame in scene.hub.frames where frame.header.kind == .dictionaryRequest {
        answered += 1
        let answer = publication.piece(try! PieceRequest(decoding: frame.body.span.bytes))
        scene.hub.send(FrameHeader(kind: .dictionaryPiece, destination: 1_000_000), answer, now: scene.now)
      }
      scene.hub.frames.removeAll()
      scene.settle()
      while let work = scene.node.update.work {
        scene.node.finishUpdateWork(store.perform(work, scene.node.update), now: scene.now)
      }
      scene.settle()
      if store.generation == 2 { scene.node.useDictionary(generation: 2, known: nil) }
      scene.pass(Limits.pieceIntervalMs)
    }
    #expect(scene.node.dictionaryGeneration == 2 && answered == 5, "a manifest, a page, three blocks")
    #expect(scene.now.since(began) >= 4 * Limits.pieceIntervalMs)
    #expect(scene.notices.contains(.dictionary(.installed(2))))
    scene.pass(60_000)
    #expect(scene.hub.heartbeats.last?.dictionaryGeneration == 2)
  }

  @Test func aPieceThatDoesNotComeIsAskedForAgain() {
    let scene = NodeScene()
    scene.hub.configure.dictionaryGeneration = 2
    scene.goOnline()
    scene.pass(0)
    #expect(scene.hub.count(.dictionaryRequest) == 1)
    scene.pass(Limits.pieceTimeoutMs)
    #expect(scene.hub.count(.dictionaryRequest) == 2)
  }

  @Test func whatWasRefusedIsTriedAgainAfterAnHourOrWhenAsked() throws {
    let scene = NodeScene()
    scene.hub.configure.dictionaryGeneration = 2
    scene.goOnline()
    scene.pass(0)
    scene.hub.send(
      FrameHeader(kind: .dictionaryPiece, destination: 1_000_000),
      Publication.head(PieceRequest(generation: 0, kind: .none, index: 0)), now: scene.now)
    scene.settle()
    #expect(scene.node.update.outcome == .failed(.notFound))
    scene.pass(Limits.updateRetryMs - 60_000)
    #expect(scene.hub.count(.dictionaryRequest) == 1)
    let started = try scene.node.updateDictionary(now: scene.now)
    scene.settle()
    #expect(started)
    #expect(scene.hub.count(.dictionaryRequest) == 2)
  }

  @Test func withoutALinkThereIsNothingToAsk() {
    let scene = NodeScene()
    #expect(throws: ErrorCode.offline) { try scene.node.updateDictionary(now: scene.now) }
    scene.goOnline()
    #expect(throws: ErrorCode.notFound) { try scene.node.updateDictionary(now: scene.now) }
  }
}
