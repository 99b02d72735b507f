import Bounded
import Testing
import Wire

@testable import Node

/// The score of each hub of a node's list.
@Suite struct HubHealthTests {
  private func entry(_ name: String) -> HubEntry {
    HubEntry(
      host: InlineText(name)!, port: 7_443, pin: InlineArray(repeating: 1), key: InlineArray(repeating: 2))
  }

  @Test func itFallsWithFailuresAndRisesWithLinksThatLast() {
    var health = HubHealth()
    #expect(health[0] == 50)
    for _ in 0..<20 { health.failed(0) }
    #expect(health[0] == 0 && health.isPoor(0) && health[1] == 50)
    for _ in 0..<20 {
      health.linked(0)
      health.ended(0, afterMs: Limits.healthLinkMs)
    }
    #expect(health[0] > 90 && !health.isPoor(0))
    health.ended(0, afterMs: Limits.healthLinkMs - 1)
    #expect(health[0] < 50)
  }

  @Test func aHubThatComesAndGoesBecomesPoor() {
    var health = HubHealth()
    for count in 1...10 {
      health.linked(0)
      health.ended(0, afterMs: 5_000)
      #expect(health.isPoor(0) == (count >= 2))
    }
    for _ in 0..<2 {
      health.linked(0)
      health.ended(0, afterMs: Limits.healthLinkMs)
    }
    #expect(!health.isPoor(0))
  }

  @Test func itGoesWithItsHub() {
    var (old, new) = (HubList(), HubList())
    for name in ["a", "b", "c"] { old.append(entry(name)) }
    for name in ["c", "d", "a"] { new.append(entry(name)) }
    var health = HubHealth()
    health.failed(0)
    health.linked(2)
    let moved = health.moved(from: old, to: new)
    #expect(moved[0] == health[2] && moved[1] == 50 && moved[2] == health[0])
  }
}
