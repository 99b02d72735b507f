import Bounded
import Durable
import TestSupport
import Testing

@Suite struct WindowTests {
  private let now = Instant(ms: 1_000)

  @Test func whatWasSeenIsADuplicate() {
    var window = DuplicateWindow<4>(keepMs: 1_000)
    for sequence: UInt64 in [10, 12, 11, 300, 299] {
      let first = window.insert(source: 1, sequence: sequence, now: now)
      let second = window.insert(source: 1, sequence: sequence, now: now)
      #expect(first == .new && second == .duplicate)
    }
    let behind = window.novelty(source: 1, sequence: 44, now: now)
    let edge = window.novelty(source: 1, sequence: 45, now: now)
    #expect(behind == .tooOld && edge == .new)
    window.checkInvariants()
  }

  /// Against a set of everything ever seen.
  @Test(arguments: 0..<20)
  func agreesWithAnUnboundedSet(seed: Int) {
    var dice = Dice(seed: UInt64(seed))
    var window = DuplicateWindow<3>(keepMs: .max)
    var seen: [UInt64: Set<UInt64>] = [:]
    var newest: [UInt64: UInt64] = [:]
    for _ in 0..<5_000 {
      let source = UInt64(dice.below(3))
      let around = Int(newest[source] ?? 1 << 40)
      let jump = dice.below(50) == 0 ? dice.below(2_000) : dice.below(8)
      let sequence = UInt64(max(0, around + jump - dice.below(300)))
      let expected: Novelty =
        if let top = newest[source], sequence <= top, top - sequence >= DuplicateWindowLimits.reach {
          .tooOld
        } else { seen[source, default: []].contains(sequence) ? .duplicate : .new }
      let verdict = window.insert(source: source, sequence: sequence, now: now)
      #expect(verdict == expected, "seed \(seed)")
      if verdict == .new {
        seen[source, default: []].insert(sequence)
        newest[source] = max(newest[source] ?? 0, sequence)
      }
    }
    window.checkInvariants()
    #expect(window.count == 3)
  }

  @Test func aNewcomerGetsAPlaceOnlyFromTheLongSilent() {
    var window = DuplicateWindow<2>(keepMs: 1_000)
    window.insert(source: 1, sequence: 1, now: Instant(ms: 0))
    window.insert(source: 2, sequence: 1, now: Instant(ms: 500))
    let tooEarly = window.insert(source: 3, sequence: 1, now: Instant(ms: 999))
    #expect(tooEarly == .noRoom)
    let inTime = window.insert(source: 3, sequence: 1, now: Instant(ms: 1_000))
    #expect(inTime == .new && window.evictions == 1 && window.count == 2)
    let other = window.insert(source: 2, sequence: 1, now: Instant(ms: 1_000))
    #expect(other == .duplicate, "the source heard later kept its place")
    window.forget(source: 2)
    #expect(window.count == 1)
    window.checkInvariants()
  }

  @Test func comesBackFromItsBytesAndFromNoOthers() {
    var dice = Dice(seed: 7)
    var window = DuplicateWindow<5>(keepMs: .max)
    for _ in 0..<2_000 {
      window.insert(source: UInt64(dice.below(4)), sequence: 1_000_000 + UInt64(dice.below(1_000)), now: now)
    }
    var bytes = [UInt8](repeating: 0, count: DuplicateWindow<5>.encodedBytes)
    bytes.withUnsafeMutableBytes { window.encode(into: $0) }
    var again = DuplicateWindow<5>(keepMs: .max)
    let isRead = bytes.withUnsafeBytes { again.decode($0, now: now) }
    #expect(isRead)
    for source in 0..<5 {
      for sequence in 999_700..<1_001_100 {
        let mine = window.novelty(source: UInt64(source), sequence: UInt64(sequence), now: now)
        let theirs = again.novelty(source: UInt64(source), sequence: UInt64(sequence), now: now)
        if mine != theirs { Issue.record("source \(source), sequence \(sequence): \(mine), \(theirs)") }
      }
    }
    for bit in 0..<(bytes.count * 8) {
      bytes[bit / 8] ^= 1 << (bit % 8)
      if bytes.withUnsafeBytes({ again.decode($0, now: now) }) { Issue.record("bit \(bit) makes no difference") }
      if again.count != 0 { Issue.record("bit \(bit): not empty after a refusal") }
      bytes[bit / 8] ^= 1 << (bit % 8)
    }
  }

  @Test func sizesAreWhatTheFormatSays() {
    #expect(DuplicateWindow<1>.encodedBytes == 60)
    #expect(DuplicateWindow<64>.encodedBytes == 3_084)
    #expect(DuplicateWindow<64>.encodedBytes <= RingParameters().userBytes)
  }
}
