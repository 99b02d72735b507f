import Bounded
import Foundation
import Node
import Wire

/// One connection as the core sees it: a session and what the hub knows about who is behind it.
///
/// Not a socket: the transport moves bytes between `session.input`, `session.output` and the network.
/// Buffers are made with the object and used again for the next connection of the slot.
final class HubLink {
  enum Phase {
    /// No connection in this slot.
    case free
    /// The TLS handshake is under way.
    case securing
    /// The inner handshake is under way.
    case joining
    case online
    /// Nothing more is read; what is in the output still goes out.
    case closing
  }

  struct Newcomer {
    var agent: String
    var fingerprint: Data
  }

  var session = Session()
  private(set) var id: LinkId
  private(set) var phase = Phase.free
  private(set) var address = ""
  private(set) var openedAt = Instant(ms: 0)
  var joinedAt = Instant(ms: 0)
  var lastHeardAt = Instant(ms: 0)
  private(set) var closesBy = Instant.never
  /// From the moment the registry knows the node, proven or not.
  var nodeId: UInt32?
  /// The other end is, or claims to be, that hub.
  var fellow: Fellow?
  var instance = Data()
  var agent = ""
  var fingerprint = Data()
  /// Of a relay: the number of the last proof taken for each of its leaves.
  var routeCounts: [UInt32: UInt32] = [:]
  /// Of a relay: what nodes said of themselves that asked to come in through it and have not yet.
  var newcomers: [UInt32: Newcomer] = [:]
  /// In the core's list of links with output to flush.
  var isTouched = false

  init(slot: Int) { id = LinkId(slot: slot, generation: 0) }

  func open(generation: UInt64, address: String, now: Instant) {
    precondition(phase == .free)
    id = LinkId(slot: id.slot, generation: generation)
    phase = .securing
    self.address = address
    openedAt = now
    lastHeardAt = now
    closesBy = .never
    nodeId = nil
    isTouched = false
  }

  func secured() { phase = .joining }

  func join(now: Instant) {
    phase = .online
    joinedAt = now
    lastHeardAt = now
  }

  /// Only last words go out from here, until `deadline`.
  func beginClosing(by deadline: Instant) {
    guard phase != .closing, phase != .free else { return }
    phase = .closing
    closesBy = deadline
  }

  func closeNoLater(than deadline: Instant) { closesBy = min(closesBy, deadline) }

  func release() {
    phase = .free
    session.reset()
    nodeId = nil
    fellow = nil
    instance = Data()
    agent = ""
    fingerprint = Data()
    routeCounts = [:]
    newcomers = [:]
  }

  /// When this link's time is up if nothing happens. `silenceMs` is for online links.
  func deadline(silenceMs: UInt64) -> Instant {
    switch phase {
    case .free: .never
    case .securing, .joining: openedAt + Limits.handshakeTimeoutMs
    case .online: min(lastHeardAt + (fellow == nil ? silenceMs : Limits.fellowSilenceMs), session.keyDeadline)
    case .closing: closesBy
    }
  }
}
