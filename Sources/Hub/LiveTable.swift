import Bounded
import Foundation

/// Names one connection of the server for as long as the server runs; a slot used again gets a new
/// generation, so a stale name means nobody.
public struct LinkId: Hashable, Sendable {
  public let slot: Int
  public let generation: UInt64

  public init(slot: Int, generation: UInt64) {
    self.slot = slot
    self.generation = generation
  }
}

/// Who is connected, and what to do when an identity shows up twice. Pure: time is an argument.
///
/// An identity that appears with another instance id while a session of it is live is either the same
/// board after a power cut (the old session is dead, TCP has not noticed) or a copy of its key. A ping to
/// the old session tells which. The newcomer is asked to try again meanwhile.
///
/// Invariant: `links[e.link] == id` for every entry `e` of `entries`, and nothing else is in `links`.
public struct LiveTable {
  /// How long the old session has to answer before it counts as dead.
  public static let probeMs: UInt64 = 5_000
  /// How long an answer stands as proof that the identity is in use elsewhere.
  public static let proofMs: UInt64 = 60_000

  public enum Verdict: Equatable, Sendable {
    /// Let it in. When `replaces` is not nil, that is an older session of the same run of the same node.
    case welcome(replaces: LinkId?)
    /// Refuse with `sessionBusy`; when `probe` is not nil, ping that link now.
    case busy(probe: LinkId?)
    /// Refuse with `cloneDetected`; `isNews` until `reported` is called, once for each proof.
    case clone(isNews: Bool)
  }

  private enum Probe {
    case idle
    case sent(at: Instant)
    case answered(at: Instant, reported: Bool)
  }

  private struct Entry {
    var link: LinkId
    var instance: Data
    var probe: Probe
  }

  private var entries: [UInt32: Entry] = [:]
  private var links: [LinkId: UInt32] = [:]

  public init() {}

  public var count: Int { entries.count }
  public var ids: some Sequence<UInt32> { entries.keys }
  public func link(of id: UInt32) -> LinkId? { entries[id]?.link }
  public func id(of link: LinkId) -> UInt32? { links[link] }

  /// Judges a node that asks to be let in, and starts a probe when one is needed.
  public mutating func judge(id: UInt32, instance: Data, now: Instant) -> Verdict {
    guard let entry = entries[id] else { return .welcome(replaces: nil) }
    if entry.instance == instance { return .welcome(replaces: entry.link) }
    switch entry.probe {
    case .sent: return .busy(probe: nil)
    case .answered(let at, let reported) where now.since(at) < Self.proofMs:
      return .clone(isNews: !reported)
    case .idle, .answered:
      entries[id]!.probe = .sent(at: now)
      return .busy(probe: entry.link)
    }
  }

  /// Makes an authenticated session the live one.
  ///
  /// - Returns: the verdict at this moment. Only after `.welcome` is it in the table; the link it replaces
  ///   is out of the table and to be closed. Two newcomers may have been welcomed at once: the second to
  ///   get here is judged like any other.
  public mutating func enter(id: UInt32, instance: Data, link: LinkId, now: Instant) -> Verdict {
    let verdict = judge(id: id, instance: instance, now: now)
    guard case .welcome(let replaced) = verdict else { return verdict }
    if let replaced { links[replaced] = nil }
    entries[id] = Entry(link: link, instance: instance, probe: .idle)
    links[link] = id
    return verdict
  }

  /// The link answered a ping that was sent after the probe began.
  public mutating func answered(_ link: LinkId, now: Instant) {
    guard let id = links[link], case .sent = entries[id]!.probe else { return }
    entries[id]!.probe = .answered(at: now, reported: false)
  }

  /// The clone was written down; another newcomer within the same proof is no news.
  public mutating func reported(_ id: UInt32) {
    guard case .answered(let at, _)? = entries[id]?.probe else { return }
    entries[id]!.probe = .answered(at: at, reported: true)
  }

  /// Forgets a link that closed. Harmless for one that is not here.
  public mutating func leave(_ link: LinkId) {
    guard let id = links.removeValue(forKey: link) else { return }
    entries[id] = nil
  }

  /// Links whose probe ran out unanswered: to be closed by the caller, which then calls `leave`.
  public func silentLinks(now: Instant) -> [LinkId] {
    entries.values.compactMap { entry in
      guard case .sent(let at) = entry.probe, now.since(at) >= Self.probeMs else { return nil }
      return entry.link
    }
  }

  /// When the earliest open probe runs out.
  public var nextProbeDeadline: Instant? {
    entries.values.compactMap { entry in
      guard case .sent(let at) = entry.probe else { return nil }
      return at + Self.probeMs
    }.min()
  }

  public func checkInvariants() {
    precondition(entries.count == links.count)
    for (id, entry) in entries { precondition(links[entry.link] == id) }
  }
}
