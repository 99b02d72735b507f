import Durable
import Foundation
import TestSupport
import Testing

/// Every crash point of every sequence of up to six operations. `SKYNOD_DEEP=1` goes to seven, and cuts
/// the power a second time while the ring is opened again.
@Suite struct CrashTests {
  enum Step: CaseIterable { case small, large, commit, consume, checkpoint, restart }

  static let isDeep = ProcessInfo.processInfo.environment["SKYNOD_DEEP"] != nil
  static let depth = Int(ProcessInfo.processInfo.environment["SKYNOD_DEPTH"] ?? "") ?? (isDeep ? 7 : 6)

  /// False when there was nothing to do: the sequence is the same as the shorter one without this step.
  private static func perform(_ step: Step, _ rig: RingRig) -> Bool {
    switch step {
    case .small: _ = rig.append(40)
    case .large: _ = rig.append(700)
    case .commit: return rig.commit()
    case .consume: return rig.deliverAndConsume()
    case .checkpoint: rig.checkpoint()
    case .restart: rig.restart()
    }
    return true
  }

  /// How the ring begins: new; with its head near the end of the lap; nearly full of what is not consumed.
  private static func makeStart(_ which: Int) -> RingRig {
    let rig = RingRig(FaultyStore(bytes: Int(RingRig.tiny().fileBytes)))
    switch which {
    case 1:
      for _ in 0..<2 {
        rig.append(700)
        rig.commit()
        rig.deliverAndConsume()
        rig.checkpoint()
      }
      rig.append(40)
      rig.commit()
    case 2:
      for _ in 0..<4 {
        rig.append(40)
        rig.commit()
      }
    default: break
    }
    return rig
  }

  /// A medium after a power cut with what was promised then, by 128 bits of hash.
  struct Memory: Hashable {
    let low: Int
    let high: Int

    init(_ image: [UInt8], _ promises: Promises) {
      low = Memory.hash(image, promises, 1)
      high = Memory.hash(image, promises, 2)
    }

    private static func hash(_ image: [UInt8], _ promises: Promises, _ salt: Int) -> Int {
      var hasher = Hasher()
      hasher.combine(salt)
      image.withUnsafeBytes { hasher.combine(bytes: $0) }
      hasher.combine(promises.acknowledged)
      hasher.combine(promises.arrived)
      hasher.combine(promises.appended)
      return hasher.finalize()
    }
  }

  final class Count {
    var sequences = 0
    var crashes = 0
    var images = 0
  }

  private static func explore(_ which: Int, depth: Int, first: Step, _ count: Count) -> String? {
    var known = Set<Memory>()
    let steps = Step.allCases
    let begin = makeStart(which)
    for length in 1...depth {
      var choice = [Int](repeating: 0, count: length)
      choice[0] = steps.firstIndex(of: first)!
      repeat {
        let rig = RingRig(FaultyStore(disk: begin.store.disk), promises: begin.promises, now: begin.now)
        if let idle = (0..<(length - 1)).first(where: { !perform(steps[choice[$0]], rig) }) {
          // All that begin so are done with.
          for i in (idle + 1)..<length { choice[i] = steps.count - 1 }
          continue
        }
        count.sequences += 1
        let failure = cutEverywhere(steps[choice[length - 1]], rig, &known, count)
        if let failure {
          return "start \(which), \(choice.map { "\(steps[$0])" }.joined(separator: " ")): \(failure)"
        }
      } while advance(&choice, steps.count)
    }
    return nil
  }

  /// Performs the last step and cuts the power wherever it can go meanwhile, and after it.
  private static func cutEverywhere(_ last: Step, _ rig: RingRig, _ known: inout Set<Memory>, _ count: Count) -> String?
  {
    var failure: String?
    var seen = known
    known = []
    rig.store.atCrashPoint = {
      count.crashes += 1
      rig.store.everyImage { image in
        let memory = Memory(image, rig.promises)
        guard failure == nil, seen.insert(memory).inserted else { return }
        count.images += 1
        failure = image.verify(rig.promises, rig.parameters, now: rig.now)
        if failure == nil, isDeep { failure = cutAgain(image, rig) }
      }
    }
    _ = perform(last, rig)
    rig.store.atCrashPoint?()
    rig.store.atCrashPoint = nil
    rig.check()
    known = seen
    return failure ?? rig.problem
  }

  /// The power goes again while the ring is opened.
  private static func cutAgain(_ image: [UInt8], _ rig: RingRig) -> String? {
    let store = FaultyStore(disk: image)
    var failure: String?
    store.atCrashPoint = {
      store.everyImage { again in
        if failure == nil { failure = again.verify(rig.promises, rig.parameters, now: rig.now) }
      }
    }
    _ = RingRig(store, rig.parameters, promises: rig.promises, now: rig.now)
    return failure.map { "a second cut: " + $0 }
  }

  /// The next choice with the same first step; false after the last.
  private static func advance(_ choice: inout [Int], _ base: Int) -> Bool {
    for i in stride(from: choice.count - 1, to: 0, by: -1) {
      choice[i] += 1
      if choice[i] < base { return true }
      choice[i] = 0
    }
    return false
  }

  @Test(arguments: Step.allCases, [0, 1, 2])
  func everyCrashPointKeepsEveryPromise(first: Step, start: Int) {
    let count = Count()
    let failure = CrashTests.explore(start, depth: CrashTests.depth, first: first, count)
    #expect(failure == nil)
    // Writing or consuming nothing is no different from the sequence without it.
    let isIdle = first == .commit || first == .consume && start == 0
    #expect(isIdle ? count.sequences == 1 : count.sequences > 1_000 || CrashTests.depth < 6)
    print(
      "crash points: start \(start), first \(first): \(count.sequences) sequences that differ, \(count.crashes) crash points, "
        + "\(count.images) different states after them")
  }
}
