import Bounded
import Testing

@Test func instantSaturatesAtNever() {
  #expect(Instant.never + 5 == .never)
  #expect(Instant(ms: 5).since(Instant(ms: 9)) == 0)
}
