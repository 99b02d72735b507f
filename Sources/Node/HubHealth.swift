import Wire

/// How each hub of a node's list has served it of late, 0 to 100: attempts that ended in a link raise it, attempts that
/// failed and links that soon ended lower it, the newest counting the most.
///
/// Not the order of the hubs, which is the owner's. A preferred hub that comes and goes is gone back to more slowly.
public struct HubHealth: Sendable {
  private static let unknown: UInt8 = 50
  private var scores = InlineArray<8, UInt8>(repeating: unknown)

  public init() {}

  public subscript(hub: Int) -> UInt8 { scores[hub] }
  func isPoor(_ hub: Int) -> Bool { scores[hub] < Limits.healthPoor }

  mutating func linked(_ hub: Int) { scores[hub] += (100 - scores[hub]) / 4 }
  mutating func failed(_ hub: Int) { scores[hub] -= (scores[hub] + 3) / 4 }

  /// A link to it ended that was online for so long.
  mutating func ended(_ hub: Int, afterMs: UInt64) {
    if afterMs < Limits.healthLinkMs { scores[hub] /= 2 } else { linked(hub) }
  }

  /// The same for a list in another order, or of others.
  func moved(from old: borrowing HubList, to new: borrowing HubList) -> HubHealth {
    var moved = HubHealth()
    for i in 0..<new.count {
      if let before = old.firstIndex(of: new[i]) { moved.scores[i] = scores[before] }
    }
    return moved
  }
}
