import Bounded
import Foundation
import Node
import SkyCrypto
import TestSupport
import Wire

@testable import Hub

/// A hub and nodes, some of them behind relays: the code that ships on both sides, joined by memory instead of TLS.
/// Time moves only when told.
final class RelayScene {
  let swarm: TestSwarm
  private(set) var members: [Member] = []
  var isHubUp = true
  private var exporters: UInt8 = 0

  /// A node with its platform.
  final class Member {
    let name: String
    let number: Int
    var node: Node
    let disk: SceneDisk
    /// What it has at the other end of its link.
    enum Upstream {
      case none
      case hub(HubLink)
      case relay(Member, Int)
    }
    var upstream = Upstream.none
    /// False: as if its power had gone.
    var isUp = true
    /// False: nothing it sends arrives, nothing it is sent is read.
    var isReachable = true
    /// Who is told to go through a relay cannot go to the hub itself.
    var reachesHub = true
    var notices: [Node.Notice] = []

    init(_ name: String, _ number: Int, _ node: Node, _ disk: SceneDisk) {
      self.name = name
      self.number = number
      self.node = node
      self.disk = disk
    }

    /// What it remembers of others, as it was last written down.
    func knownAgain() throws -> KnownNodes {
      var file = ByteQueue(capacity: KnownNodes.maximumBytes)
      node.known.encode(to: &file)
      return try KnownNodes(decoding: file.bytes)
    }

    /// Of each message that came: whether it was sealed.
    var sealed: [Bool] { (0..<node.inbox.count).map { node.inbox[$0].isSealed } }

    var texts: [String] {
      let inbox = node.inbox
      return (0..<inbox.count).map { index in
        let text = inbox.text(of: inbox[index])
        return String(decoding: (0..<text.byteCount).map { text[$0] }, as: UTF8.self)
      }
    }

    var receipts: [ErrorCode?] {
      notices.compactMap { if case .receipt(_, let failure) = $0 { .some(failure) } else { nil } }
    }
    var linkErrors: [ErrorCode] {
      notices.compactMap { if case .linkError(let code) = $0 { code } else { nil } }
    }
  }

  init() throws { swarm = try TestSwarm() }

  var now: Instant { swarm.now }
  var core: HubCore { swarm.core }

  private static func secret(_ number: Int) -> Secret<32> { Secret<32>(Bytes32(keyBytes(number))!.raw)! }

  /// A node that the hub's key list names, with these to try as hubs: the hub itself, or a relay.
  func member(
    _ name: String, behind relays: [Member] = [], relays isRelay: Bool = false, instance: UInt8 = 1,
    sameAs other: Member? = nil, isAllowed: Bool = true, seal: SealPolicy = .prefer
  ) throws -> Member {
    let number = other?.number ?? members.count + 1
    var settings = NodeSettings()
    settings.seal = seal
    for relay in relays { settings.hubs.append(place(of: relay)) }
    if relays.isEmpty {
      settings.hubs.append(
        HubEntry(
          host: InlineText("hub.test")!, port: 7_443, pin: Bytes32(repeating: 3), key: swarm.hubKey))
    }
    let me = NodeSelf(
      instance: InlineArray(repeating: instance), hardware: Bytes32(repeating: UInt8(number)),
      agent: InlineArray(repeating: 0x61))
    let disk = SceneDisk(other?.disk, now: now)
    let node = Node(
      seed: Self.secret(number), entropy: Self.secret(300 + members.count), me: me, settings: settings,
      admission: Admission(), stores: disk.stores, relayPlaces: isRelay ? Limits.relayPeers : 0,
      known: try other.map { try $0.knownAgain() } ?? KnownNodes())
    if isAllowed {
      _ = try swarm.registry.allow(key: Data(node.identity.publicKey), label: nil, now: 1)
    }
    let member = Member(name, number, node, disk)
    member.reachesHub = relays.isEmpty
    members.append(member)
    return member
  }

  func place(of relay: Member) -> HubEntry {
    HubEntry(
      host: InlineText("\(relay.name).test")!, port: 7_443, pin: Bytes32(repeating: 9),
      key: relay.node.identity.publicKey)
  }

  // MARK: Time

  func start(_ members: Member...) {
    for member in members {
      member.node.handle(.start, now: now)
      settle()
    }
  }

  /// Lets time go by in steps of at most 10 ms.
  func pass(_ ms: UInt64) {
    var left = ms
    while left > 0 {
      let step = min(left, ms > 2_000 ? 100 : 10)
      left -= step
      swarm.now = swarm.now + step
      if isHubUp, core.nextDeadline <= now { core.tick(now: now) }
      for member in members where member.isUp {
        if member.node.nextDeadline <= now { member.node.handle(.tick, now: now) }
      }
      settle()
    }
  }

  func post(_ text: String, from: Member, to: Member) throws {
    let bytes = Array(text.utf8)
    _ = try from.node.post(bytes.span.bytes, to: to.node.nodeId, now: now)
    settle()
  }

  func send(_ text: String, from: Member, to id: UInt32) throws {
    let bytes = Array(text.utf8)
    _ = try from.node.send(bytes.span.bytes, to: id, now: now)
    settle()
  }

  // MARK: What happens to links

  /// The hub's process ends: every link to it is cut, what it had not committed is gone.
  func stopHub() {
    isHubUp = false
    for member in members {
      guard case .hub(let link) = member.upstream else { continue }
      member.upstream = .none
      core.lost(link)
      member.node.handle(.linkDown(.linkClosed), now: now)
    }
    settle()
  }

  /// The power of a board goes; its peers see a cut, or nothing for now.
  func cutPower(of member: Member, isNoticed: Bool = true) {
    member.isUp = false
    if isNoticed { cutUpstream(of: member) }
    settle()
  }

  func cutUpstream(of member: Member) {
    endStream(of: member)
    if member.isUp { member.node.handle(.linkDown(.linkClosed), now: now) }
    settle()
  }

  /// The other side sees that the stream is gone.
  private func endStream(of member: Member) {
    let upstream = member.upstream
    member.upstream = .none
    switch upstream {
    case .none: break
    case .hub(let link): core.lost(link)
    case .relay(let relay, let place): relay.node.handle(.peerDown(place, .linkClosed), now: now)
    }
  }

  // MARK: The platforms

  func settle() {
    var moved = true
    var rounds = 0
    while moved {
      moved = false
      rounds += 1
      precondition(rounds < 10_000, "the scene comes to rest")
      for member in members where member.isUp {
        while let action = member.node.nextAction() {
          perform(action, member)
          moved = true
        }
        member.disk.pump(now: now)
        if member.node.moveStored(now: now) { moved = true }
        member.node.moveRelayed(now: now)
        while let notice = member.node.nextNotice() { member.notices.append(notice) }
        if member.isReachable, moveBytes(of: member) { moved = true }
        if member.node.isRelayDue { moved = true }
        member.node.checkInvariants()
      }
    }
    _ = core.takeTouched()
    core.live.checkInvariants()
  }

  private func perform(_ action: Node.Action, _ member: Member) {
    switch action {
    case .connect(let index): connect(member, to: member.node.hubs[index])
    case .disconnect:
      _ = moveBytes(of: member)
      endStream(of: member)
    case .probe(let index):
      member.node.handle(.probeResult(reachable: answers(member.node.hubs[index], member)), now: now)
    case .sampleVitals:
      member.node.handle(.systemClock(1_700_000_000_000 + now.ms), now: now)
      member.node.handle(.vitals(VitalSigns()), now: now)
    case .persist, .keepKnown, .stop: break
    case .closePeer(let place):
      let leaf = members.first { if case .relay(let relay, place) = $0.upstream { relay === member } else { false } }
      if let leaf {
        _ = moveBytes(of: leaf)
        leaf.upstream = .none
        leaf.node.handle(.linkDown(.linkClosed), now: now)
      }
      member.node.handle(.peerDown(place, .linkClosed), now: now)
    }
  }

  private func answers(_ entry: HubEntry, _ member: Member) -> Bool {
    guard let relay = members.last(where: { place(of: $0).isSamePlace(as: entry) && $0.isUp }) else {
      return isHubUp && member.reachesHub
    }
    guard let place = relay.node.openPeer(now: now) else { return false }
    relay.node.handle(.peerDown(place, .linkClosed), now: now)
    return true
  }

  private func connect(_ member: Member, to entry: HubEntry) {
    exporters &+= 1
    let exporter = Bytes32(repeating: exporters)
    if let relay = members.last(where: { place(of: $0).isSamePlace(as: entry) && $0.isUp }) {
      guard let place = relay.node.openPeer(now: now) else {
        return member.node.handle(.linkDown(.connectFailed), now: now)
      }
      member.upstream = .relay(relay, place)
      relay.node.handle(.peerUp(place, exporter: exporter, entropy: exporter), now: now)
    } else if entry.host == InlineText("hub.test")!, isHubUp, member.reachesHub {
      let link = core.open(address: member.name, now: now)
      member.upstream = .hub(link)
      core.secured(link, exporter: exporter)
    } else {
      return member.node.handle(.linkDown(.connectFailed), now: now)
    }
    member.node.handle(.linkUp(exporter: exporter, entropy: exporter), now: now)
  }

  private func moveBytes(of member: Member) -> Bool {
    switch member.upstream {
    case .none: return false
    case .hub(let link):
      var moved = member.node.session.output.pour(into: &link.session.input)
      while core.process(link, now: now) {}
      if link.session.output.pour(into: &member.node.session.input) {
        member.node.handle(.linkBytes, now: now)
        moved = true
      }
      if link.phase == .closing, link.session.output.isEmpty, case .hub = member.upstream {
        core.lost(link)
        member.upstream = .none
        member.node.handle(.linkDown(.linkClosed), now: now)
        moved = true
      }
      return moved
    case .relay(let relay, let place):
      guard relay.isUp, relay.isReachable else { return false }
      let peer = relay.node.relay.peers[place]
      var moved = false
      if member.node.session.output.pour(into: &peer.session.input) {
        relay.node.handle(.peerBytes(place), now: now)
        moved = true
      }
      if peer.session.output.pour(into: &member.node.session.input) {
        member.node.handle(.linkBytes, now: now)
        moved = true
      }
      return moved
    }
  }
}
