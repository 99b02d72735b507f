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

/// Where a node is reached: over a link of its own, or over that of a relay.
public struct Place: Hashable, Sendable {
  public let link: LinkId
  /// The relay that the node is linked to; nil when the link is its own.
  public let relay: UInt32?

  public init(link: LinkId, relay: UInt32? = nil) {
    self.link = link
    self.relay = relay
  }
}

/// Who is connected, and what to do when an identity shows up twice. Pure: time is an argument.
///
/// An identity that appears with another instance id while a session of it is live is either the same
/// board after a power cut (the old session is dead, TCP has not noticed) or a copy of its key. A ping to
/// the old session tells which. The newcomer is asked to try again meanwhile.
///
/// Invariant: `links` and `leaves` together name exactly the places of `entries`.
public struct LiveTable {
  /// How long the old session has to answer before it counts as dead.
  public static let probeMs: UInt64 = 5_000
  /// How long an answer stands as proof that the identity is in use elsewhere.
  public static let proofMs: UInt64 = 60_000

  public enum Verdict: Equatable, Sendable {
    /// Let it in. When `replaces` is not nil, that is an older session of the same run of the same node.
    case welcome(replaces: Place?)
    /// Refuse with `sessionBusy`; when `probe` is not nil, ping that place now.
    case busy(probe: Place?)
    /// Refuse with `cloneDetected`; `isNews` the first time after each proof.
    case clone(isNews: Bool)
  }

  private enum Probe {
    case idle
    case sent(at: Instant)
    case answered(at: Instant, reported: Bool)
  }

  private struct Entry {
    var place: Place
    var instance: Data
    var enteredAt: Instant
    var probe: Probe
  }

  private var entries: [UInt32: Entry] = [:]
  private var links: [LinkId: UInt32] = [:]
  /// The nodes that are reached over each relay's link.
  private var leaves: [LinkId: Set<UInt32>] = [:]

  public init() {}

  public var count: Int { entries.count }
  public var ids: some Sequence<UInt32> { entries.keys }
  /// The link to send on.
  public func link(of id: UInt32) -> LinkId? { entries[id]?.place.link }
  public func place(of id: UInt32) -> Place? { entries[id]?.place }
  public func id(of link: LinkId) -> UInt32? { links[link] }
  public func instance(of id: UInt32) -> Data? { entries[id]?.instance }
  /// How long the present session has lasted.
  public func ageMs(of id: UInt32, now: Instant) -> UInt64 { entries[id].map { now.since($0.enteredAt) } ?? 0 }
  public func leaves(of link: LinkId) -> Set<UInt32> { leaves[link] ?? [] }

  /// Judges a node that asks to be let in, and starts a probe when one is needed.
  public mutating func judge(id: UInt32, instance: Data, now: Instant) -> Verdict {
    guard let entry = entries[id] else { return .welcome(replaces: nil) }
    if entry.instance == instance { return .welcome(replaces: entry.place) }
    switch entry.probe {
    case .sent: return .busy(probe: nil)
    case .answered(let at, let reported) where now.since(at) < Self.proofMs:
      entries[id]!.probe = .answered(at: at, reported: true)
      return .clone(isNews: !reported)
    case .idle, .answered:
      entries[id]!.probe = .sent(at: now)
      return .busy(probe: entry.place)
    }
  }

  /// Makes an authenticated session the live one.
  ///
  /// - Returns: the verdict at this moment. Only after `.welcome` is it in the table; the place it replaces
  ///   is out of the table and to be closed. Two newcomers may have been welcomed at once: the second to
  ///   get here is judged like any other.
  public mutating func enter(id: UInt32, instance: Data, at place: Place, now: Instant) -> Verdict {
    let verdict = judge(id: id, instance: instance, now: now)
    guard case .welcome(let replaced) = verdict else { return verdict }
    if let replaced { forget(id, replaced) }
    entries[id] = Entry(place: place, instance: instance, enteredAt: now, probe: .idle)
    if place.relay == nil { links[place.link] = id } else { leaves[place.link, default: []].insert(id) }
    return replaced == place ? .welcome(replaces: nil) : verdict
  }

  private mutating func forget(_ id: UInt32, _ place: Place) {
    entries[id] = nil
    guard place.relay != nil else { return links[place.link] = nil }
    leaves[place.link]?.remove(id)
    if leaves[place.link]?.isEmpty == true { leaves[place.link] = nil }
  }

  /// The node answered a ping that was sent after the probe began.
  public mutating func answered(_ id: UInt32, now: Instant) {
    guard case .sent = entries[id]?.probe else { return }
    entries[id]!.probe = .answered(at: now, reported: false)
  }

  /// Forgets a link that closed, and everybody who was reached over it: those. Harmless for one that is not here.
  @discardableResult
  public mutating func leave(_ link: LinkId) -> [UInt32] {
    let gone = (links[link].map { [$0] } ?? []) + (leaves[link] ?? [])
    for id in gone { forget(id, entries[id]!.place) }
    return gone
  }

  /// Forgets a node that was reached over a relay's link. False when it is not, or no more.
  @discardableResult
  public mutating func detach(_ id: UInt32, from link: LinkId) -> Bool {
    guard let place = entries[id]?.place, place.link == link, place.relay != nil else { return false }
    forget(id, place)
    return true
  }

  /// Nodes whose probe ran out unanswered: to be closed by the caller.
  public func silent(now: Instant) -> [(id: UInt32, place: Place)] {
    entries.compactMap { id, entry in
      guard case .sent(let at) = entry.probe, now.since(at) >= Self.probeMs else { return nil }
      return (id, entry.place)
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
    precondition(entries.count == links.count + leaves.values.reduce(0) { $0 + $1.count })
    for (id, entry) in entries {
      let link = entry.place.link
      precondition(entry.place.relay == nil ? links[link] == id : leaves[link]?.contains(id) == true)
    }
  }
}
