import Node
import Testing
import Wire

@Suite struct ReplayWindowTests {
  @Test func everyCounterIsTakenOnceInOrder() {
    var window = ReplayWindow()
    for counter in 0..<1_000 as Range<UInt64> {
      #expect(window.allows(counter))
      window.mark(counter)
      #expect(!window.allows(counter))
    }
  }

  @Test func theFirstCounterMayBeAny() {
    for first in [0, 1, 63, 64, 1 << 40, UInt64.max] {
      var window = ReplayWindow()
      #expect(window.allows(first))
      window.mark(first)
      #expect(!window.allows(first))
      if first > 0 { #expect(window.allows(first - 1)) }
    }
  }

  @Test func theWindowIsSixtyFourWide() {
    var window = ReplayWindow()
    window.mark(100)
    #expect(window.allows(100 - 63))
    #expect(!window.allows(100 - 64))
    #expect(!window.allows(0))
    window.mark(37)
    #expect(!window.allows(37))
    window.mark(101)
    #expect(!window.allows(37))
    #expect(window.allows(38))
  }

  @Test func aJumpOverTheWholeWindowForgetsNothingThatCouldReturn() {
    for jump in [63, 64, 65, 1_000, UInt64.max - 100] {
      var window = ReplayWindow()
      for counter in 0...100 as ClosedRange<UInt64> { window.mark(counter) }
      let newest = 100 + jump
      window.mark(newest)
      #expect(!window.allows(newest))
      for counter in 0...100 as ClosedRange<UInt64> { #expect(!window.allows(counter), "jump \(jump)") }
      #expect(window.allows(newest - 1) == (newest - 1 > 100))
    }
  }

  @Test func askingChangesNothing() {
    var window = ReplayWindow()
    window.mark(10)
    let before = window
    for counter in [0, 10, 11, UInt64.max] { _ = window.allows(counter) }
    #expect(window == before)
  }

  @Test func itAgreesWithASetOfAllCountersSeen() {
    var seed: UInt64 = 0x5EED
    func next(_ bound: UInt64) -> UInt64 {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (seed >> 33) % bound
    }
    var window = ReplayWindow()
    var seen = Set<UInt64>()
    var newest: UInt64 = 0
    for _ in 0..<20_000 {
      let counter = newest + next(80) >= 60 ? newest + next(80) - min(newest, 60) : next(80)
      let expected =
        seen.isEmpty || counter > newest || (newest - counter < Limits.replayWindowFrames && !seen.contains(counter))
      #expect(window.allows(counter) == expected, "counter \(counter), newest \(newest)")
      guard expected else { continue }
      window.mark(counter)
      seen.insert(counter)
      newest = max(newest, counter)
    }
    #expect(seen.count > 5_000)
  }
}
