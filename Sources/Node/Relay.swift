import Bounded
import SkyCrypto
import Wire

/// One place of a relay's table: the link to a leaf, in the hub's role. The node owns what it says; whoever owns
/// the TLS stream moves the bytes of `session`, as with the link to the hub.
public final class RelayPeer {
  public enum Phase: Sendable {
    /// Nobody's.
    case free
    /// TLS is being made.
    case securing
    /// HELLO is awaited.
    case greeting
    /// The hub was asked whether the node may come in.
    case asking
    /// CONFIRM is awaited.
    case confirming
    /// The link stands; the hub does not know the way yet.
    case joined
    /// The leaf has been configured.
    case online
    /// Nothing more is read; what is in the output still goes out.
    case closing
  }

  /// What the hub knows of the way to this leaf, over the present link to the hub.
  enum Way {
    case unknown
    /// The leaf was asked for its signature.
    case challenged
    /// The hub was told.
    case claimed
    case known
  }

  public var session = Session()
  public internal(set) var phase = Phase.free
  /// From the hub's answer on; 0 before.
  public internal(set) var id: UInt32 = 0
  public internal(set) var linkedSince = Instant.never
  var way = Way.unknown
  var instance = InlineArray<16, UInt8>(repeating: 0)
  var exporter = Bytes32(repeating: 0)
  /// Names this connection to the hub: rises with each.
  var reference: UInt64 = 0
  /// Of the last challenge.
  var count: UInt32 = 0
  var openedAt = Instant.never
  var lastHeard = Instant.never
  /// Frames wait in the input that there was no room or no turn for.
  var hasMore = false
  var wantsClose = false
  /// Ordinary messages handed on for this leaf whose receipts have not come back.
  private var unanswered = 0
  /// When that count last went down, or began.
  private var answeredAt = Instant.never

  init() {}

  /// It has as many messages on their way as one leaf may have: the next one waits until one of them is answered for.
  var hasItsShare: Bool { unanswered >= Limits.relayUnanswered }

  func noteHandedOn(now: Instant) {
    if unanswered == 0 { answeredAt = now }
    unanswered += 1
  }

  func noteAnswered(now: Instant) {
    unanswered = max(0, unanswered - 1)
    answeredAt = now
  }

  /// Receipts get lost: after a while without any nothing is taken to be on its way.
  func forgiveIfDue(now: Instant) {
    if now >= shareDeadline { unanswered = 0 }
  }

  private var shareDeadline: Instant { hasItsShare ? answeredAt + Limits.relayUnansweredMs : .never }

  /// The handshake is not over, and so nobody knows who this is.
  var isStranger: Bool {
    switch phase {
    case .securing, .greeting, .asking, .confirming: true
    case .free, .joined, .online, .closing: false
    }
  }

  var isLinked: Bool { phase == .joined || phase == .online }

  /// When this link's time is up if nothing happens.
  func deadline(silenceMs: UInt64) -> Instant {
    switch phase {
    case .free, .closing: .never
    case .securing, .greeting, .asking, .confirming, .joined: openedAt + Limits.handshakeTimeoutMs
    case .online: min(endOfLink(silenceMs: silenceMs), shareDeadline)
    }
  }

  /// When a link that stands is over if the leaf says nothing more.
  func endOfLink(silenceMs: UInt64) -> Instant { min(lastHeard + silenceMs, session.keyDeadline) }

  func open(reference: UInt64, now: Instant) {
    precondition(phase == .free)
    phase = .securing
    self.reference = reference
    id = 0
    way = .unknown
    count = 0
    openedAt = now
    lastHeard = now
    hasMore = false
    wantsClose = false
    unanswered = 0
  }

  func release() {
    session.reset()
    phase = .free
    way = .unknown
    id = 0
    hasMore = false
    wantsClose = false
    linkedSince = .never
    exporter = Bytes32(repeating: 0)
  }
}

/// A relay's table: the leaves that are linked to it, and who is behind them. Made once; without places it is a
/// node that does not relay.
///
/// Invariant: every route leads to a place whose link stands.
public final class Relay {
  /// Totals since start.
  public struct Counters: Equatable, Sendable {
    /// Frames handed on, towards the hub and towards leaves.
    public var up: UInt64 = 0
    public var down: UInt64 = 0
    /// Frames dropped: the other side had no room, there was no hub, or they had come too far.
    public var full: UInt64 = 0
    public var offline: UInt64 = 0
    public var loops: UInt64 = 0
    /// Frames for a node that is not here.
    public var strays: UInt64 = 0
    /// Leaves that came in, and links that ended with an error.
    public var joined: UInt64 = 0
    public var linkErrors: UInt64 = 0
  }

  struct Route {
    var id: UInt32
    var place: UInt8
  }

  public let peers: [RelayPeer]
  public internal(set) var counters = Counters()
  var routes = InlineArray<64, Route>(repeating: Route(id: 0, place: 0))
  public internal(set) var routeCount = 0
  /// Whose turn it is.
  var turn = 0
  var references: UInt64 = 0
  /// Of the last challenge to anybody.
  var count: UInt32 = 0

  init(places: Int) {
    precondition(places <= Limits.relayPeers)
    peers = (0..<places).map { _ in RelayPeer() }
  }

  public var isOn: Bool { !peers.isEmpty }
  public var linkedCount: Int { peers.reduce(0) { $0 + ($1.isLinked ? 1 : 0) } }

  /// Where to send a frame for this node; nil when it is not here.
  func place(of id: UInt32) -> Int? {
    for i in 0..<routeCount where routes[i].id == id { return Int(routes[i].place) }
    return nil
  }

  /// False when the table is full.
  func setRoute(to id: UInt32, place: Int) -> Bool {
    for i in 0..<routeCount where routes[i].id == id {
      routes[i].place = UInt8(place)
      return true
    }
    guard routeCount < routes.count else { return false }
    routes[routeCount] = Route(id: id, place: UInt8(place))
    routeCount += 1
    return true
  }

  func dropRoute(to id: UInt32) {
    for i in 0..<routeCount where routes[i].id == id { return removeRoute(at: i) }
  }

  /// One node that was reached through this place, forgotten; nil when there is none.
  func popRoute(through place: Int) -> UInt32? {
    for i in 0..<routeCount where Int(routes[i].place) == place {
      let id = routes[i].id
      removeRoute(at: i)
      return id
    }
    return nil
  }

  private func removeRoute(at index: Int) {
    routeCount -= 1
    routes[index] = routes[routeCount]
  }

  /// The place for a newcomer; nil when all are taken, or so many strangers are at the door that members could
  /// be kept out.
  func freePlace() -> Int? {
    var strangers = 0
    var free: Int?
    for i in 0..<peers.count {
      if peers[i].phase == .free { free = free ?? i }
      if peers[i].isStranger { strangers += 1 }
    }
    return strangers < Limits.relayStrangers ? free : nil
  }

  func index(ofReference reference: UInt64) -> Int? {
    for i in 0..<peers.count where peers[i].phase != .free && peers[i].reference == reference { return i }
    return nil
  }

  func checkInvariants() {
    precondition(routeCount <= routes.count)
    for i in 0..<routeCount {
      precondition(peers[Int(routes[i].place)].isLinked, "a route leads to a link that stands")
      for j in 0..<i { precondition(routes[j].id != routes[i].id, "a node is in one place") }
    }
    for peer in peers {
      precondition(peer.session.isEstablished == peer.isLinked || peer.phase == .closing)
      precondition(!peer.isLinked || peer.id != 0)
    }
  }
}

/// What a leaf signs so that a hub sends its messages to a relay: the hub's link (by the nonce of its WELCOME) and
/// key, the relay it is linked to, itself, its run, and a number that rises.
public enum RouteSignature {
  static let label: StaticString = "skynod1 route"

  static func digest(
    hub: Bytes32, relay: UInt32, leaf: UInt32, instance: InlineArray<16, UInt8>, count: UInt32
  ) -> Bytes32 {
    var hash = Sha256()
    hash.update("skynod route")
    hash.update(hub.raw)
    var numbers = InlineArray<12, UInt8>(repeating: 0)
    for i in 0..<4 {
      let shift = UInt32(24 - 8 * i)
      numbers[i] = UInt8(truncatingIfNeeded: relay >> shift)
      numbers[4 + i] = UInt8(truncatingIfNeeded: leaf >> shift)
      numbers[8 + i] = UInt8(truncatingIfNeeded: count >> shift)
    }
    hash.update(numbers.span.bytes)
    hash.update(instance.span.bytes)
    return hash.digest
  }

  /// For the leaf: its answer to a relay that asks for its signature.
  public static func make(
    _ challenge: RouteChallenge, leaf: UInt32, instance: InlineArray<16, UInt8>, identity: borrowing Identity
  ) -> RouteProof {
    let digest = digest(
      hub: challenge.hub, relay: challenge.relay, leaf: leaf, instance: instance, count: challenge.count)
    return RouteProof(
      count: challenge.count, signature: identity.sign(label: label, context: challenge.nonce, digest: digest))
  }

  /// For the hub: that the leaf with this key wants to be reached through `relay`.
  public static func holds(
    _ claim: Attach, by key: Bytes32, nonce: Bytes32, hub: Bytes32, relay: UInt32
  ) -> Bool {
    let digest = digest(
      hub: hub, relay: relay, leaf: claim.id, instance: claim.instance, count: claim.proof.count)
    return Identity.verify(claim.proof.signature, by: key, label: label, context: nonce, digest: digest)
  }
}
