import Bounded
import Testing

@Suite struct RingTests {
  private func contents<let n: Int>(_ ring: borrowing Ring<Int, n>) -> [Int] { (0..<ring.count).map { ring[$0] } }

  @Test func anEmptyRingGivesNothing() {
    var ring = Ring<Int, 3>()
    let first = ring.popFirst()
    #expect(first == nil)
    let (isEmpty, isFull) = (ring.isEmpty, ring.isFull)
    #expect(isEmpty)
    #expect(!isFull)
  }

  @Test func aFullRingTakesNothingAndKeepsWhatItHas() {
    var ring = Ring<Int, 3>()
    let kept = (1...4).map { ring.append($0) }
    #expect(kept == [true, true, true, false])
    let (isFull, all) = (ring.isFull, contents(ring))
    #expect(isFull)
    #expect(all == [1, 2, 3])
  }

  @Test func itIsFirstInFirstOutAcrossTheWrap() {
    var ring = Ring<Int, 3>()
    var next = 0
    var expected = 0
    for _ in 0..<20 {
      while ring.append(next) { next += 1 }
      for _ in 0..<2 {
        let value = ring.popFirst()
        #expect(value == expected)
        expected += 1
      }
    }
  }

  @Test func anIndexCountsFromTheOldest() {
    var ring = Ring<Int, 3>()
    for i in 1...3 { ring.append(i) }
    _ = ring.popFirst()
    ring.append(4)
    let before = contents(ring)
    #expect(before == [2, 3, 4])
    ring[2] = 9
    let after = contents(ring)
    #expect(after == [2, 3, 9])
  }

  @Test func removeAllEmptiesAndLeavesItUsable() {
    var ring = Ring<Int, 2>()
    ring.append(1)
    ring.append(2)
    ring.removeAll()
    let isEmpty = ring.isEmpty
    #expect(isEmpty)
    let again = ring.append(3)
    let all = contents(ring)
    #expect(again)
    #expect(all == [3])
  }

  /// An element that leaves must not live on in its slot.
  @Test func popReleasesTheElement() {
    final class Guest {}
    var ring = Ring<Guest, 2>()
    weak var guest: Guest?
    do {
      let made = Guest()
      guest = made
      ring.append(made)
    }
    #expect(guest != nil)
    _ = ring.popFirst()
    #expect(guest == nil)
  }
}
