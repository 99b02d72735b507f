/// How the sources' categories become the protocol's sectors and quadrants: the one place to change that.
///
/// The categories are WordNet's 45 lexicographer files, three of our own (`function`, `number`, `place`), and
/// `lang.xx` for words of which only the language is known. Quadrants: I ideas, II people, III things,
/// IV doing.
public enum SectorTable {
  static let known: [(name: String, domain: String, quadrant: UInt8)] = [
    ("function", "grammar", 1), ("number", "quantity", 1), ("adj.all", "quality", 1), ("adj.pert", "quality", 1),
    ("adj.ppl", "quality", 1), ("adv.all", "manner", 1), ("noun.Tops", "concept", 1),
    ("noun.attribute", "concept", 1), ("noun.cognition", "concept", 1), ("noun.motive", "concept", 1),
    ("noun.quantity", "quantity", 1), ("noun.relation", "concept", 1), ("noun.shape", "concept", 1),
    ("noun.time", "time", 1), ("noun.communication", "language", 2), ("noun.feeling", "emotion", 2),
    ("noun.group", "social", 2), ("noun.person", "social", 2), ("noun.possession", "economy", 2),
    ("verb.communication", "language", 2), ("verb.emotion", "emotion", 2), ("verb.possession", "economy", 2),
    ("verb.social", "social", 2), ("noun.animal", "nature", 3), ("noun.artifact", "object", 3),
    ("noun.body", "body", 3), ("noun.food", "food", 3), ("noun.location", "place", 3),
    ("noun.object", "nature", 3), ("noun.phenomenon", "nature", 3), ("noun.plant", "nature", 3),
    ("noun.substance", "matter", 3), ("place", "place", 3), ("verb.weather", "nature", 3),
    ("noun.act", "action", 4), ("noun.event", "event", 4), ("noun.process", "process", 4),
    ("noun.state", "state", 4), ("verb.body", "body", 4), ("verb.change", "process", 4),
    ("verb.cognition", "thought", 4), ("verb.competition", "action", 4), ("verb.consumption", "action", 4),
    ("verb.contact", "action", 4), ("verb.creation", "action", 4), ("verb.motion", "motion", 4),
    ("verb.perception", "perception", 4), ("verb.stative", "state", 4),
  ]

  /// The entry of a category; nil for one that is unknown.
  static func entry(_ name: String) -> SectorEntry? {
    if let found = known.first(where: { $0.name == name }) {
      return SectorEntry(name: name, domain: found.domain, quadrant: found.quadrant)
    }
    guard name.hasPrefix("lang."), (2...8).contains(name.utf8.count - 5) else { return nil }
    // Languages share the circle evenly: of their words nothing else is known.
    let quadrant = 1 + name.utf8.reduce(0) { $0 + Int($1) } % 4
    return SectorEntry(name: name, domain: "world", quadrant: UInt8(quadrant))
  }
}

public struct SectorEntry: Equatable, Sendable {
  public var name: String
  public var domain: String
  public var quadrant: UInt8
}
