import Bounded
import Foundation
import SkyCrypto
import TestSupport
import Testing
import Wire

@testable import Update

/// The power goes at every write and every sync of a board's life: updates, starts, confirmations, going back. What was
/// not synced is there, is not, is torn or spoilt, sector by sector.
@Suite struct PowerCutTests {
  static let bundles = (1...3).map { TestBundle(release: UInt64($0)) }
  static let seed = UInt64(ProcessInfo.processInfo.environment["SKYNOD_SEED"] ?? "") ?? 1
  /// Media after the power cut that are looked at for each place where it can happen.
  static let imagesPerCut = ProcessInfo.processInfo.environment["SKYNOD_DEEP"] != nil ? 400 : 60

  final class Board {
    let disk: SlotDisk
    /// Slots that may be the good one, whenever the power goes: the one before an operation and the one after it.
    var mayBeGood: Set<Int> = [0]
    var dice = Dice(seed: PowerCutTests.seed)
    var cuts = 0
    var images = 0
    var problem: String?

    init() { disk = makeDisk(PowerCutTests.bundles[0]) }

    func perform(_ what: String, _ body: (SlotDisk) throws -> Void) throws {
      disk.store.atCrashPoint = { [self] in
        cuts += 1
        for _ in 0..<PowerCutTests.imagesPerCut where problem == nil {
          images += 1
          let image = disk.store.image(fates(disk.store.pending.count))
          problem = verify(image).map { "\(what), cut \(cuts), seed \(PowerCutTests.seed): \($0)" }
        }
      }
      try body(disk)
      disk.store.atCrashPoint = nil
      #expect(problem == nil)
    }

    func start(expecting slot: Int) throws {
      var taken = -1
      try perform("start") { taken = try UpdateTests.start($0) }
      #expect(taken == slot)
    }

    private func fates(_ count: Int) -> [FaultyStore.Fate] {
      // How many of the sectors reached the medium, and how many of the others were hurt.
      let kept = [0, 10, 50, 90, 100][dice.below(5)]
      let hurt = [0, 0, 5, 50][dice.below(4)]
      return (0..<count).map { _ in
        if dice.below(100) < kept { return .new }
        return dice.below(100) < hurt ? FaultyStore.Fate.allCases[2 + dice.below(4)] : .old
      }
    }

    /// Starts the board from this medium, again and again without anybody confirming.
    private func verify(_ image: [UInt8]) -> String? {
      let disk = SlotDisk(image)
      do throws(UpdateError) {
        for count in 0..<4 {
          let slot = try UpdateTests.start(disk)
          let state = try SlotState.read(disk)
          let release = Int(state.slots[slot].release)
          guard release >= 1, release <= 3, disk.holds(PowerCutTests.bundles[release - 1].payload, slot: slot) else {
            return "start \(count) takes slot \(slot), which is not whole: \(state)"
          }
        }
        let state = try SlotState.read(disk)
        guard mayBeGood.contains(state.good) else { return "slot \(state.good) is the good one" }
        let writes = disk.store.writes
        for _ in 0..<20 {
          guard try UpdateTests.start(disk) == state.good else { return "a start took the slot that is not good" }
        }
        guard disk.store.writes == writes else { return "starts of the good system write" }
        // And the update goes through at the next attempt.
        let next = PowerCutTests.bundles.first {
          $0.manifest.release > max(state.floor, state.slots[state.good].release)
        }
        guard let next else { return nil }
        try next.install(disk)
        guard try UpdateTests.start(disk) == 1 - state.good, disk.holds(next.payload, slot: 1 - state.good) else {
          return "the update after the power cut did not come to be"
        }
      } catch { return "\(error)" }
      return nil
    }
  }

  @Test func everyPowerCutLeavesABoardThatStarts() throws {
    #expect(startCrypto())
    let board = Board()
    let (second, third) = (Self.bundles[1], Self.bundles[2])
    try board.perform("update") { try second.install($0) }
    try board.start(expecting: 1)
    board.mayBeGood = [0, 1]
    try board.perform("confirm") { try confirm($0, running: 1) }
    board.mayBeGood = [1]
    try board.perform("go back") { try rollBack($0) }
    try board.start(expecting: 0)
    try board.perform("give that up") { try rollBack($0) }
    try board.perform("next update") { try third.install($0) }
    for slot in [0, 0, 0, 1] { try board.start(expecting: slot) }
    try board.perform("the same again") { disk in
      let again = try third.install(disk)
      #expect(again.writtenBlocks == 0 && again.keptBlocks == 3)
    }
    try board.start(expecting: 0)
    board.mayBeGood = [0, 1]
    try board.perform("confirm") { try confirm($0, running: 0) }
    #expect(board.images >= 1_000)
    print("power cuts: \(board.cuts) places, \(board.images) media after them")
  }
}
