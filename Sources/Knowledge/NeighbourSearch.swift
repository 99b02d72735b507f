import Bounded
import Wire

/// Looks for the entries that have most words in common with a question, page by page. What a model said is none of them:
/// one must not be the reference of another.
public struct NeighbourSearch {
  public struct Neighbour: Equatable, Sendable {
    public var page = 0
    public var index = 0
    public var hash: UInt32 = 0
    /// Words in common.
    public var shared = 0

    public init() {}
  }

  private var sketch = Sketch()
  private var best = InlineArray<3, Neighbour>(repeating: Neighbour())
  public private(set) var count = 0
  public private(set) var nextPage = 0

  public init() {}

  public mutating func begin(_ question: RawSpan) {
    sketch = Sketch(question)
    count = 0
    nextPage = 0
  }

  public subscript(index: Int) -> Neighbour { best[index] }

  /// Words that a neighbour must share: one in three, and one.
  private var least: Int { max(1, (sketch.count + 2) / 3) }

  /// Takes the page that `nextPage` names.
  public mutating func take(_ page: borrowing KnowledgePage, nowS: UInt32) {
    for i in 0..<page.entryCount {
      let wanted = count < best.count ? least : max(least, best[best.count - 1].shared + 1)
      guard sketch.overlap(low: page.sketchLow(i), high: page.sketchHigh(i)) >= min(wanted, 2),
        let entry = page.entry(i), entry.facts.isFresh(at: nowS), entry.facts.level <= 1
      else { continue }
      var other = Sketch(entry.question)
      other.add(entry.answer)
      let shared = sketch.shared(with: other)
      guard shared >= wanted else { continue }
      var found = Neighbour()
      found.page = nextPage
      found.index = i
      found.hash = entry.facts.hash
      found.shared = shared
      insert(found)
    }
    nextPage += 1
  }

  private mutating func insert(_ found: Neighbour) {
    if count < best.count { count += 1 }
    var at = count - 1
    while at > 0, best[at - 1].shared < found.shared {
      best[at] = best[at - 1]
      at -= 1
    }
    best[at] = found
  }
}
