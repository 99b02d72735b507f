import Bounded
import SkyCrypto
import TestSupport
import Testing
import Wire

@testable import Update

/// A board in memory.
final class TestBoard: UpdaterBoard {
  let disk: SlotDisk
  var runs = 0
  var restarts = 0

  init(_ disk: SlotDisk) { self.disk = disk }

  func name() throws(UpdateError) -> InlineText<32> { TestBundle.board }
  func makersKey() throws(UpdateError) -> Bytes32 { TestBundle.maker.publicKey }
  func running() throws(UpdateError) -> Int { runs }
  func openDisk(isWritable: Bool) throws(UpdateError) -> SlotDisk { disk }
  func restart() throws(UpdateError) { restarts += 1 }
}

/// What a node gets for an answer.
enum TestAnswer: Equatable {
  case standing(Standing)
  case want(BundleWant)
  case done
  case refused(UpdateError)
  case closed
}

extension Updater where Board == TestBoard {
  func ask(_ kind: UpdaterRecord.Kind, _ body: [UInt8] = []) -> TestAnswer {
    var answer = ByteQueue(capacity: 1_024)
    guard take(kind, body.span.bytes, answer: &answer) else { return .closed }
    let record = try! UpdaterRecord.peek(answer.bytes)!
    let bytes = record.body(of: answer.bytes)
    switch record.kind {
    case .standing:
      var reader = ByteReader(bytes)
      return .standing(try! Standing(from: &reader))
    case .want: return .want(try! BundleWant(decoding: bytes))
    default: return bytes[0] == 0 ? .done : .refused(UpdateError(rawValue: bytes[0])!)
    }
  }

  /// Hands over what is wanted until there is an end; `change` may spoil a piece. Pieces that went.
  func feed(
    _ bundle: TestBundle, pieces: Int = .max, _ change: (Int, inout [UInt8]) -> Void = { _, _ in }
  ) -> (TestAnswer, Int) {
    let whole = bundle.head + bundle.table + bundle.payload
    var answer = ask(.apply, bundle.head)
    var sent = 0
    while sent < pieces, case .want(let want) = answer {
      var bytes = [UInt8](whole[Int(want.offset)..<(Int(want.offset) + Int(want.count))])
      change(sent, &bytes)
      answer = ask(.piece, withUnsafeBytes(of: want.offset.bigEndian) { Array($0) } + bytes)
      sent += 1
    }
    return (answer, sent)
  }
}

@Suite struct UpdaterTests {
  private let old = TestBundle(release: 2)
  private let new = TestBundle(release: 3)
  private let board: TestBoard
  private let updater: Updater<TestBoard>

  init() {
    _ = startCrypto()
    board = TestBoard(makeDisk(old))
    updater = Updater(board)
  }

  private var state: SlotState { get throws { try SlotState.read(board.disk) } }

  @Test func aBundleComesInPiecesAndWaitsForARestart() throws {
    let (answer, pieces) = updater.feed(new)
    #expect(answer == .done && pieces == 1 + 8 + 8 + 1, "the table, two whole blocks and a rest")
    #expect(board.disk.holds(new.payload, slot: 1) && board.disk.holds(old.payload, slot: 0))
    #expect(try state.content == .trial && board.restarts == 0)
    #expect(updater.ask(.restart) == .done && board.restarts == 1)
  }

  @Test func whatTheSlotHoldsIsNotAskedFor() throws {
    #expect(updater.feed(new, pieces: 9).1 == 9)
    let again = Updater(board)
    let (answer, pieces) = again.feed(new)
    #expect(answer == .done && pieces == 1 + 8 + 1, "the first block was there")
    #expect(board.disk.holds(new.payload, slot: 1))
  }

  @Test func whatTheSystemInUseHasIsNotAskedForEither() throws {
    var payload = old.payload
    payload[70_000] ^= 1
    let near = TestBundle(release: 3, payload: payload)
    let (answer, pieces) = updater.feed(near)
    #expect(answer == .done && pieces == 1 + 8, "one block differs")
    #expect(board.disk.holds(payload, slot: 1) && board.disk.holds(old.payload, slot: 0))
  }

  @Test func standingIsWhatTheSlotsSay() throws {
    guard case .standing(let before) = updater.ask(.status) else { return #expect(Bool(false)) }
    #expect(before.release == 2 && !before.isOnTrial && !before.isRestartDue && before.content == .empty)
    _ = updater.feed(new)
    guard case .standing(let after) = updater.ask(.status) else { return #expect(Bool(false)) }
    #expect(after.isRestartDue && after.other.release == 3 && equal(after.other.digest, new.manifest.digest))
    board.runs = try start(board.disk)
    guard case .standing(let trial) = updater.ask(.status) else { return #expect(Bool(false)) }
    #expect(trial.isOnTrial && trial.release == 3)
    try confirm(board.disk, running: 1)
    guard case .standing(let good) = updater.ask(.status) else { return #expect(Bool(false)) }
    #expect(!good.isOnTrial && good.content == .previous && good.floor == 3)
  }

  @Test func nothingButAGenuineNewerBundleForThisBoardIsTaken() throws {
    let disk = board.disk.store.disk
    var forged = new.head
    forged[95] ^= 1
    #expect(updater.ask(.apply, forged) == .refused(.wrongKey))
    #expect(updater.ask(.apply, TestBundle(release: 3, board: InlineText("toaster")!).head) == .refused(.wrongBoard))
    #expect(updater.ask(.apply, TestBundle(release: 1).head) == .refused(.downgrade))
    #expect(updater.ask(.apply, old.head) == .refused(.current))
    #expect(updater.ask(.apply, TestBundle(release: 3, minimum: 3).head) == .refused(.tooOld))
    #expect(board.disk.store.disk == disk, "not a byte was written")
  }

  @Test func aTableThatIsNotTheSignedOneIsRefusedBeforeAByteIsWritten() {
    let disk = board.disk.store.disk
    let (answer, _) = updater.feed(new) { if $0 == 0 { $1[5] ^= 1 } }
    #expect(answer == .refused(.tampered) && board.disk.store.disk == disk)
  }

  @Test func aBlockThatIsNotTheSignedOneIsRefused() throws {
    for piece in [1, 8, 9, 17] {
      let board = TestBoard(makeDisk(old))
      let (answer, sent) = Updater(board).feed(new) { if $0 == piece { $1[0] ^= 0x80 } }
      #expect(answer == .refused(.tampered) && sent > piece)
      let started = try start(board.disk)
      #expect(try SlotState.read(board.disk).content == .partial && started == 0)
      #expect(Updater(board).feed(new).0 == .done)
    }
  }

  @Test func piecesThatWereNotWantedAreRefused() {
    #expect(updater.ask(.piece, [0, 0, 2, 0, 1]) == .refused(.notABundle))
    guard case .want(let want) = updater.ask(.apply, new.head) else { return #expect(Bool(false)) }
    #expect(want.offset == 512 && Int(want.count) == new.table.count && want.blocks == 3)
    #expect(updater.ask(.piece, [0, 0, 3, 0] + new.table) == .refused(.tampered), "another place")
    #expect(updater.ask(.piece, [0, 0, 2, 0] + new.table) == .refused(.notABundle), "it was given up")
  }

  @Test func aNodeCanRestartOnlyABoardThatHasSomethingToTry() {
    #expect(updater.ask(.restart) == .refused(.nothingToTry))
    _ = updater.feed(new, pieces: 3)
    #expect(updater.ask(.restart) == .refused(.inUse))
    #expect(updater.ask(.rollBack) == .refused(.inUse) && board.restarts == 0)
  }

  @Test func goingBackIsWhatTheSlotsAllow() throws {
    #expect(updater.ask(.rollBack) == .refused(.nothingToRollBack))
    _ = updater.feed(new)
    #expect(updater.ask(.rollBack) == .done)
    #expect(try state.content == .failed && start(board.disk) == 0)
  }

  @Test func answersAreNoRequests() {
    #expect(updater.ask(.result, [0]) == .closed)
    #expect(updater.ask(.want, [UInt8](repeating: 0, count: BundleWant.byteCount)) == .closed)
  }

  @Test func recordsOfAnotherLengthAreNone() throws {
    for kind in 0...255 as ClosedRange<UInt8> {
      for length in [0, 1, 5, 10, 220, 512, 8_196, 8_197, 65_535] {
        let head = [kind, UInt8(length >> 8), UInt8(length & 255)]
        let isRight =
          switch (kind, length) {
          case (1, 0), (4, 0), (5, 0), (2, 512), (3, 5...8_196), (17, 220), (18, 10), (19, 1): true
          default: false
          }
        if isRight {
          #expect(throws: Never.self) { try UpdaterRecord.peek(head.span.bytes) }
        } else {
          #expect(throws: DecodeError.self, "\(kind) \(length)") { try UpdaterRecord.peek(head.span.bytes) }
        }
      }
    }
  }

  @Test func reportsAreReadBackAndNoOtherLengthIs() throws {
    var standing = Standing(board: TestBundle.board)
    standing.content = .trial
    standing.tries = 2
    standing.slots[1].release = 9
    let report = SystemReport(policy: .auto, failure: 18, failedRelease: 9, standing: standing)
    var queue = ByteQueue(capacity: 512)
    report.append(to: &queue)
    let back = try SystemReport(decoding: queue.bytes)
    #expect(queue.count == SystemReport.byteCount && back == report)
    for count in 0..<queue.count {
      #expect(throws: ErrorCode.malformedFrame) { try SystemReport(decoding: queue.bytes.extracting(0..<count)) }
    }
  }
}
