import Bounded
import Testing

@Suite struct UnitsTests {
  @Test func instantSaturatesAtNever() {
    #expect(Instant.never + 5 == .never)
    #expect(Instant(ms: .max - 4) + 5 == .never)
    #expect(Instant(ms: .max - 5) + 5 == Instant(ms: .max))
    #expect(Instant(ms: 1) + 5 == Instant(ms: 6))
  }

  @Test func timeSinceALaterInstantIsNothing() {
    #expect(Instant(ms: 5).since(Instant(ms: 9)) == 0)
    #expect(Instant(ms: 9).since(Instant(ms: 5)) == 4)
    #expect(Instant(ms: 5).since(Instant(ms: 5)) == 0)
    #expect(Instant.never.since(Instant(ms: 0)) == .max)
  }

  @Test func instantsAreOrderedByTime() {
    #expect(Instant(ms: 1) < Instant(ms: 2))
    #expect(!(Instant(ms: 2) < Instant(ms: 2)))
    #expect(Instant(ms: .max - 1) < .never)
  }

  @Test func anInstantIsEightBytes() {
    #expect(MemoryLayout<Instant>.size == 8)
    #expect(MemoryLayout<Instant>.stride == 8)
  }
}
