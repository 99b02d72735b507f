import Bounded
import SkyCrypto
import TestSupport
import Testing
import Update
import Wire

@testable import Node

/// A bundle as a hub has it.
private struct Bundle {
  let manifest: BundleManifest
  let bytes: [UInt8]

  init(release: UInt64, board: StaticString = "toy", payloadBytes: Int = 2 * 65_536 + 4_096) {
    let payload = (0..<payloadBytes).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ Int(release)) }
    var table = ByteQueue(capacity: 65_536)
    for start in stride(from: 0, to: payloadBytes, by: Limits.bundleBlockBytes) {
      table.append(
        Sha256.digest([UInt8](payload[start..<min(start + Limits.bundleBlockBytes, payloadBytes)]).span.bytes).raw)
    }
    var manifest = BundleManifest(
      board: InlineText(board), name: InlineText("0.1")!, release: release, minimum: 1, payloadBytes: payloadBytes,
      kernel: Bytes32(repeating: 9), table: Sha256.digest(table.bytes))
    var head = ByteQueue(capacity: 512)
    manifest.append(to: &head, signedBy: Self.maker)
    self.manifest = manifest
    bytes = NodeTests.bytes(of: head.bytes) + NodeTests.bytes(of: table.bytes) + payload
  }

  static var maker: Identity { Identity(seed: NodeScene.secret(4_711)) }
}

/// A disk in memory, for a real updater behind the node.
private final class Disk: SlotStore {
  static let slotBytes = 3 * Limits.bundleBlockBytes
  var bytes: [UInt64: [UInt8]] = [:]
  var writes = 0
  func read(at offset: UInt64, into memory: UnsafeMutableRawBufferPointer) -> Int32 {
    for start in stride(from: 0, to: memory.count, by: 512) {
      let sector = bytes[(offset + UInt64(start)) / 512] ?? [UInt8](repeating: 0, count: 512)
      sector.withUnsafeBytes {
        UnsafeMutableRawBufferPointer(rebasing: memory[start..<min(start + 512, memory.count)])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<min(512, memory.count - start)]))
      }
    }
    return 0
  }
  func write(at offset: UInt64, _ from: UnsafeRawBufferPointer) -> Int32 {
    writes += 1
    for start in stride(from: 0, to: from.count, by: 512) {
      bytes[(offset + UInt64(start)) / 512] = [UInt8](from[start..<min(start + 512, from.count)])
    }
    return 0
  }
  func sync() -> Int32 { 0 }
  func forget() {}
}

private final class Board: UpdaterBoard {
  let disk = Disk()
  var runs = 0
  var restarts = 0

  init() {
    var state = SlotState(
      offsets: (16 << 20, 20 << 20), slotBytes: Disk.slotBytes, release: 5, name: InlineText("0.0")!,
      kernel: Bytes32(repeating: 9), isKernelFixed: false)
    try! state.format(disk)
  }

  func name() throws(UpdateError) -> InlineText<32> { InlineText("toy")! }
  func makersKey() throws(UpdateError) -> Bytes32 { Bundle.maker.publicKey }
  func running() throws(UpdateError) -> Int { runs }
  func openDisk(isWritable: Bool) throws(UpdateError) -> Disk { disk }
  func restart() throws(UpdateError) { restarts += 1 }
}

/// A node with the updater that ships behind it, and a hub that has a bundle.
private final class UpdateScene {
  let scene: NodeScene
  let board = Board()
  private(set) var updater: Updater<Board>
  private var epoch: UInt32 = 0
  var bundle: Bundle?
  /// Changes a piece before it is sent; nil: the hub does not answer.
  var spoil: ((inout [UInt8]) -> Void)? = { _ in }
  var pieces = 0
  var reports: [SystemReport] = []
  var isDue = false
  /// Nobody listens where the updater should.
  var isAbsent = false

  init(_ policy: UpdatePolicy) {
    _ = startCrypto()
    scene = NodeScene { $0.updates = policy }
    updater = Updater(board)
  }

  var node: Node { scene.node }
  var system: SystemUpdate { node.system }
  var standing: Standing? { system.standing }

  func begin() {
    scene.start()
    settle()
  }

  func offer() {
    var body = ByteQueue(capacity: 600)
    let head = [UInt8]((bundle?.bytes ?? []).prefix(512))
    BundleOffer.append(isDue: isDue, manifest: head.span.bytes, to: &body)
    scene.hub.send(FrameHeader(kind: .bundleOffer, destination: 1_000_000), bytes(of: body.bytes), now: scene.now)
    settle()
  }

  private func pump() -> Bool {
    if epoch != system.epoch || !system.needsUpdater {
      epoch = system.epoch
      updater = Updater(board)
    }
    guard system.hasErrand else { return false }
    if isAbsent {
      node.updaterLost(isAbsent: true, now: scene.now)
      return true
    }
    var request = ByteQueue(capacity: UpdaterRecord.maximumBytes)
    var answer = ByteQueue(capacity: 1_024)
    system.appendErrand(to: &request)
    let record = try! UpdaterRecord.peek(request.bytes)!
    let isRequest = updater.take(record.kind, record.body(of: request.bytes), answer: &answer)
    let back = try! UpdaterRecord.peek(answer.bytes)!
    let isAnswer = node.updaterAnswered(back.kind, back.body(of: answer.bytes), now: scene.now)
    #expect(isRequest && isAnswer)
    return true
  }

  func settle() {
    repeat {
      scene.settle()
      for frame in scene.hub.frames {
        if frame.header.kind == .system {
          reports.append(try! SystemReport(decoding: frame.body.span.bytes))
        }
        guard frame.header.kind == .bundleRequest, let bundle, let spoil else { continue }
        pieces += 1
        let request = try! BundleRequest(decoding: frame.body.span.bytes)
        var body = frame.body
        let start = Int(request.offset)
        body += bundle.bytes[start..<(start + Int(request.count))]
        spoil(&body)
        scene.hub.send(FrameHeader(kind: .bundlePiece, destination: 1_000_000), body, now: scene.now)
      }
      scene.hub.frames.removeAll()
      scene.settle()
    } while pump() || !scene.hub.frames.isEmpty
  }

  func pass(_ ms: UInt64) {
    let end = scene.now + ms
    while scene.now < end {
      let isIdle = system.phase == .idle && node.state == .online
      scene.pass(min(end.since(scene.now), isIdle ? 5_000 : Limits.bundlePieceIntervalMs))
      settle()
    }
  }
}

@Suite struct SystemUpdateTests {
  private func online(_ policy: UpdatePolicy, _ bundle: Bundle? = Bundle(release: 7)) -> UpdateScene {
    let scene = UpdateScene(policy)
    scene.bundle = bundle
    scene.begin()
    return scene
  }

  @Test func theHubIsToldWhatTheBoardRuns() {
    let scene = online(.ask)
    #expect(scene.reports.count == 1 && scene.reports[0].policy == .ask && scene.reports[0].standing.release == 5)
    scene.pass(Limits.systemReportMs)
    #expect(scene.reports.count == 2, "and again, in case it was lost")
  }

  @Test func offMeansThatTheHubIsToldNothing() {
    let scene = online(.off)
    scene.isDue = true
    scene.offer()
    scene.pass(60_000)
    #expect(scene.reports.isEmpty && scene.pieces == 0)
    #expect(throws: ErrorCode.forbidden) { try scene.node.applySystem(now: scene.scene.now) }
  }

  @Test func aBoardWithoutAnUpdaterIsNone() {
    let scene = UpdateScene(.auto)
    scene.isAbsent = true
    scene.begin()
    scene.pass(60_000)
    #expect(scene.system.isAbsent && scene.reports.isEmpty)
    #expect(scene.scene.node.state == .online)
  }

  @Test func askWaitsForSomebodyToSayApply() throws {
    let scene = online(.ask)
    scene.isDue = true
    scene.offer()
    scene.pass(60_000)
    #expect(scene.pieces == 0 && scene.system.offer?.release == 7)
    #expect(try scene.node.applySystem(now: scene.scene.now))
    scene.settle()
    scene.pass(5_000)
    #expect(scene.standing?.isRestartDue == true && scene.system.outcome == .ready(7))
    #expect(scene.pieces == 18 && scene.board.restarts == 0, "a restart is somebody's too")
    #expect(scene.scene.notices.contains(.system(.ready(7))))
    #expect(try !scene.node.applySystem(now: scene.scene.now), "it is there")
    let word = scene.node.restartSystem()
    #expect(scene.node.systemWord(word) == nil)
    scene.settle()
    #expect(scene.node.systemWord(word) == .success(true) && scene.board.restarts == 1)
  }

  @Test func autoAppliesAndRestartsWhenItIsItsTurn() {
    let scene = online(.auto)
    scene.offer()
    scene.pass(60_000)
    #expect(scene.pieces == 0, "not its turn yet")
    scene.isDue = true
    scene.offer()
    scene.pass(5_000)
    #expect(scene.standing?.isRestartDue == true && scene.board.restarts == 1)
    #expect(scene.reports.last?.standing.isRestartDue == true)
    scene.pass(60_000)
    #expect(scene.board.restarts == 1, "not again and again")
  }

  @Test func piecesComeNoFasterThanTheLimit() {
    let scene = online(.auto)
    scene.isDue = true
    let began = scene.scene.now
    scene.offer()
    while scene.board.restarts == 0, scene.scene.now.since(began) < 60_000 { scene.pass(Limits.bundlePieceIntervalMs) }
    #expect(scene.scene.now.since(began) >= 17 * Limits.bundlePieceIntervalMs)
  }

  @Test func whatDidNotProveItselfIsNotTriedAgainByItself() throws {
    let scene = online(.auto)
    scene.isDue = true
    scene.offer()
    scene.pass(5_000)
    #expect(scene.board.restarts == 1)
    // It started three times and never confirmed.
    var state = try SlotState.read(scene.board.disk)
    for _ in 0...Int(Limits.updateTries) { _ = state.choose() }
    try state.write(scene.board.disk)
    let pieces = scene.pieces
    scene.node.checkSystem(now: scene.scene.now)
    scene.settle()
    #expect(scene.standing?.content == .failed && scene.reports.last?.standing.content == .failed)
    scene.offer()
    scene.pass(2 * Limits.updateRetryMs)
    #expect(scene.pieces == pieces && scene.board.restarts == 1)
    scene.bundle = Bundle(release: 8)
    scene.offer()
    scene.pass(5_000)
    #expect(scene.board.restarts == 2, "a newer one is")
  }

  @Test func whatWasConfirmedAndLeftAgainIsNotTakenByItself() throws {
    let scene = online(.auto)
    var state = try SlotState.read(scene.board.disk)
    let manifest = scene.bundle!.manifest
    let installer = try Installer(scene.board.disk, state, manifest, table: table(scene.bundle!))
    try installer.begin()
    for block in 0..<manifest.blockCount {
      let place = manifest.bytes(ofBlock: block)
      let start = manifest.payloadOffset
      try installer.place(
        block, [UInt8](scene.bundle!.bytes[(start + place.lowerBound)..<(start + place.upperBound)]).span.bytes)
    }
    try installer.finish()
    state = try SlotState.read(scene.board.disk)
    _ = try state.confirm(running: 1)
    try state.rollBack()
    _ = try state.confirm(running: 0)
    try state.write(scene.board.disk)
    scene.node.checkSystem(now: scene.scene.now)
    scene.isDue = true
    scene.settle()
    scene.offer()
    scene.pass(60_000)
    #expect(scene.standing?.floor == 7 && scene.standing?.release == 5 && scene.board.restarts == 0)
  }

  private func table(_ bundle: Bundle) -> ByteQueue {
    var queue = ByteQueue(capacity: bundle.manifest.tableBytes)
    queue.append([UInt8](bundle.bytes[512..<bundle.manifest.payloadOffset]).span.bytes)
    return queue
  }

  @Test func anUpdateGoesOnAfterABreakOfTheLink() {
    let scene = online(.auto)
    scene.isDue = true
    scene.offer()
    scene.pass(12 * Limits.bundlePieceIntervalMs)
    let before = scene.pieces
    #expect(before >= 9 && scene.board.restarts == 0)
    scene.scene.cut()
    scene.settle()
    #expect(scene.system.phase == .idle)
    scene.pass(60_000)
    scene.offer()
    scene.pass(5_000)
    #expect(scene.board.restarts == 1)
    #expect(scene.pieces <= 18 + 1 + 8, "what the slot has is not asked for: \(scene.pieces)")
  }

  @Test func whatSomebodyAskedForGoesOnAfterABreakToo() throws {
    let scene = online(.ask)
    scene.offer()
    _ = try scene.node.applySystem(now: scene.scene.now)
    scene.settle()
    scene.pass(5 * Limits.bundlePieceIntervalMs)
    scene.scene.cut()
    scene.settle()
    scene.pass(60_000)
    scene.offer()
    scene.pass(5_000)
    #expect(scene.standing?.isRestartDue == true && scene.board.restarts == 0)
  }

  @Test func aPieceThatDoesNotComeIsAskedForAgain() {
    let scene = online(.auto)
    scene.isDue = true
    scene.spoil = nil
    scene.offer()
    scene.pass(5_000)
    #expect(scene.system.phase == .fetching)
    scene.spoil = { _ in }
    scene.pass(Limits.pieceTimeoutMs + 5_000)
    #expect(scene.board.restarts == 1)
  }

  @Test func wrongBytesAreRefusedAndTheHubIsTold() {
    let scene = online(.auto)
    scene.isDue = true
    scene.spoil = { $0[$0.count - 1] ^= 1 }
    scene.offer()
    scene.pass(60_000)
    #expect(scene.system.outcome == .failed(.tampered) && scene.pieces == 1, "the table was wrong already")
    #expect(scene.reports.last?.failure == UpdateError.tampered.rawValue && scene.reports.last?.failedRelease == 7)
    scene.spoil = { _ in }
    scene.pass(Limits.updateRetryMs)
    #expect(scene.board.restarts == 1, "an hour later it is tried again")
  }

  @Test func piecesOfAnotherPlaceOrBundleAreIgnored() {
    let scene = online(.auto)
    scene.isDue = true
    scene.spoil = { $0[35] ^= 1 }
    scene.offer()
    scene.pass(1_000)
    #expect(scene.system.phase == .fetching && scene.node.counters.ignored == 1)
    scene.spoil = { $0[0] ^= 1 }
    scene.pass(Limits.pieceTimeoutMs)
    #expect(scene.system.phase == .fetching && scene.node.counters.ignored == 2)
    scene.spoil = { _ in }
    scene.pass(Limits.pieceTimeoutMs + 5_000)
    #expect(scene.board.restarts == 1)
  }

  @Test func aPieceThatIsShorterThanItSaysEndsTheLink() {
    let scene = online(.auto)
    scene.isDue = true
    scene.spoil = { $0.removeLast() }
    scene.offer()
    scene.pass(500)
    #expect(scene.scene.errors.contains(.malformedFrame))
  }

  @Test func anotherBoardsBundleIsRefusedWithoutAPieceOfIt() {
    let scene = online(.auto, Bundle(release: 7, board: "boy"))
    scene.isDue = true
    scene.offer()
    scene.pass(60_000)
    #expect(scene.system.outcome == .failed(.wrongBoard) && scene.pieces == 0)
  }

  @Test func aHubCannotMakeItAskForMoreThanTheBundleHas() {
    let scene = online(.auto)
    scene.isDue = true
    scene.spoil = { body in for i in BundleRequest.byteCount..<body.count { body[i] = 0 } }
    for release in 7...20 as ClosedRange<UInt64> {
      scene.bundle = Bundle(release: release)
      scene.offer()
      scene.pass(2_000)
    }
    #expect(scene.pieces == 14, "of each the table, which was wrong")
    #expect(scene.board.disk.writes == 2, "the state of the new disk")
  }

  @Test func aPauseStopsWhatIsUnderWay() {
    let scene = online(.auto)
    scene.isDue = true
    scene.offer()
    scene.pass(5 * Limits.bundlePieceIntervalMs)
    scene.isDue = false
    scene.offer()
    let pieces = scene.pieces
    scene.pass(60_000)
    #expect(scene.system.phase == .idle && scene.pieces == pieces)
    scene.isDue = true
    scene.offer()
    scene.pass(5_000)
    #expect(scene.board.restarts == 1)
  }

  @Test func aBundleThatIsWithdrawnIsLeft() {
    let scene = online(.auto)
    scene.isDue = true
    scene.offer()
    scene.pass(5 * Limits.bundlePieceIntervalMs)
    scene.bundle = nil
    scene.isDue = false
    scene.offer()
    scene.pass(60_000)
    #expect(scene.system.phase == .idle && scene.system.offer == nil)
    #expect(throws: ErrorCode.notFound) { try scene.node.applySystem(now: scene.scene.now) }
  }

  @Test func anUpdaterThatDiesIsAskedAgainAfterAnHour() {
    let scene = online(.auto)
    scene.isDue = true
    scene.offer()
    scene.pass(3 * Limits.bundlePieceIntervalMs)
    scene.node.updaterLost(isAbsent: false, now: scene.scene.now)
    scene.settle()
    #expect(scene.system.outcome == .lost)
    scene.pass(Limits.updateRetryMs + 5_000)
    #expect(scene.board.restarts == 1)
  }

  @Test func wordsToAnUpdaterThatIsAwayEnd() {
    let scene = UpdateScene(.ask)
    scene.isAbsent = true
    scene.begin()
    let word = scene.node.rollBackSystem()
    scene.settle()
    #expect(scene.node.systemWord(word) == .failure(.noState))
  }
}
