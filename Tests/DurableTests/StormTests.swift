import Bounded
import Durable
import TestSupport
import Testing

/// Long random lives: traffic, power cuts, kills, failing media, flipped bits.
@Suite struct StormTests {
  private static func parameters(_ dice: inout Dice) -> RingParameters {
    var parameters = RingParameters()
    parameters.blockBytes = [512, 1_024, 4_096][dice.below(3)]
    parameters.slotBytes = parameters.blockBytes
    parameters.bodyBytes = 1_500
    parameters.batchBytes = 4_096
    parameters.readBytes = 4_096
    parameters.fileBytes = 3 * parameters.slotBytes + UInt32(12 + dice.below(20)) * 1_024
    return parameters
  }

  private static func live(_ rig: RingRig, _ dice: inout Dice) {
    switch dice.below(20) {
    case 0..<7: rig.append(8 + dice.below(1_400))
    case 7..<12: rig.commit()
    case 12..<16: rig.deliverAndConsume()
    case 16:
      _ = rig.deliver()
      if dice.below(2) == 0 { rig.ring.rewind() }
    case 17: rig.checkpoint()
    case 18: if dice.below(4) == 0 { rig.restart() }
    default:
      let error = [0, 0, 0, 5, 28, 30][dice.below(6)]
      if dice.below(2) == 0 { rig.store.writeError = Int32(error) } else { rig.store.syncError = Int32(error) }
    }
  }

  @Test(arguments: 0..<40)
  func everyPromiseHoldsThroughCutsAndFailures(seed: Int) {
    var dice = Dice(seed: UInt64(seed))
    let parameters = StormTests.parameters(&dice)
    #expect(parameters.isSound)
    var rig = RingRig(FaultyStore(bytes: Int(parameters.fileBytes)), parameters)
    for turn in 0..<3_000 {
      // A power cut somewhere in this turn, perhaps.
      var image: [UInt8]?
      var promises: Promises?
      if dice.below(30) == 0 {
        var fateDice = Dice(seed: dice.roll())
        var left = fateDice.below(3)
        rig.store.atCrashPoint = {
          left -= 1
          guard left < 0, image == nil else { return }
          image = rig.store.image(rig.store.pending.map { _ in FaultyStore.Fate.allCases[fateDice.below(6)] })
          promises = rig.promises
        }
      }
      StormTests.live(rig, &dice)
      rig.store.atCrashPoint = nil
      if let problem = rig.problem {
        Issue.record("seed \(seed), turn \(turn): \(problem)")
        return
      }
      guard let image, var promises else { continue }
      promises.waiting = []
      rig = RingRig(FaultyStore(disk: image), parameters, promises: promises, now: rig.now)
      rig.check()
    }
    rig.store.writeError = 0
    rig.store.syncError = 0
    rig.restart()
    while rig.deliverAndConsume() {}
    rig.check()
    #expect(rig.problem == nil, "seed \(seed)")
    let lost = rig.promises.acknowledged.subtracting(rig.promises.arrived)
    #expect(lost.isEmpty, "seed \(seed)")
  }

  /// Damage to what is on the medium costs at most the records that it hits.
  @Test(arguments: 0..<20)
  func flippedBitsCostOnlyTheRecordsTheyHit(seed: Int) {
    var dice = Dice(seed: 1_000 + UInt64(seed))
    let parameters = StormTests.parameters(&dice)
    let rig = RingRig(FaultyStore(bytes: Int(parameters.fileBytes)), parameters)
    var flips = 0
    for _ in 0..<4_000 {
      switch dice.below(10) {
      case 0..<4: rig.append(8 + dice.below(700))
      case 4..<7: rig.commit()
      case 7..<9: rig.deliverAndConsume()
      default:
        if dice.below(8) == 0 { rig.restart() }
        guard dice.below(4) == 0 else { continue }
        let data = 3 * Int(parameters.slotBytes)
        let at = data + dice.below(rig.store.disk.count - data)
        rig.store.disk[at] ^= 1 << UInt8(dice.below(8))
        flips += 1
      }
    }
    rig.restart()
    while rig.deliverAndConsume() {}
    rig.check()
    #expect(rig.problem == nil, "seed \(seed)")
    let lost = rig.promises.acknowledged.subtracting(rig.promises.arrived)
    #expect(lost.count <= flips && rig.ring.isEmpty, "seed \(seed): \(lost.count) lost by \(flips) flips")
  }
}
