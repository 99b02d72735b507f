import Bounded
import Foundation
import Node
import SkyCrypto
import TestSupport
import Wire

@testable import Hub

/// Hubs that share what they keep, and nodes that move between them: the code that ships, joined by memory instead of TLS.
/// Time moves only when told.
final class FellowScene {
  /// A hub with its disk. What it keeps in memory goes when it is started again.
  final class Member {
    let id: UInt32
    let seed: Data
    var directory: TemporaryDirectory
    var registry: Registry
    var core: HubCore!
    var isUp = true
    var lines: [String] = []

    init(id: UInt32) throws {
      self.id = id
      seed = keyBytes(9_000 + Int(id))
      directory = try TemporaryDirectory()
      registry = try directory.registry()
    }

    var key: Bytes32 { Identity(seed: Secret<32>(Bytes32(seed)!.raw)!).publicKey }
    var entry: HubEntry {
      PeerHub(place: HostPort(host: "hub\(id).test", port: 7_443), id: id, pin: Bytes32(repeating: 3), key: key).entry
    }
  }

  /// The two ends of one connection between hubs.
  private struct Pipe {
    let from: (Member, HubLink, LinkId)
    let to: (Member, HubLink, LinkId)
  }

  let hubs: [Member]
  var now = Instant(ms: 1_000)
  var wallMs: UInt64 = 1_700_000_000_000
  var nodes: [(node: TestNode, hub: Member)] = []
  private var pipes: [Pipe] = []
  private var exporters: UInt8 = 0
  /// Pairs of hubs that cannot reach each other.
  var partitions: Set<Set<UInt32>> = []
  /// Pairs whose bytes do not move, though the connection stands.
  var stalls: Set<Set<UInt32>> = []
  /// Changes what a hub is told before it starts.
  var adjust: (UInt32, inout HubConfiguration) -> Void = { _, _ in }

  init(_ ids: [UInt32] = [1, 2], start: Bool = true) throws {
    _ = startCrypto()
    hubs = try ids.map { try Member(id: $0) }
    guard start else { return }
    for hub in hubs { try self.start(hub) }
    settle()
  }

  subscript(_ id: UInt32) -> Member { hubs.first { $0.id == id }! }

  func start(_ hub: Member) throws {
    var configuration = HubConfiguration()
    configuration.highestVersion = Limits.highestVersion
    configuration.hubId = hub.id
    configuration.fellows = hubs.filter { $0 !== hub }.map(\.entry)
    adjust(hub.id, &configuration)
    hub.core = HubCore(
      configuration: configuration, registry: hub.registry,
      identity: Identity(seed: Secret<32>(Bytes32(hub.seed)!.raw)!),
      pin: Bytes32(repeating: 3), seed: Secret<32>(Bytes32(keyBytes(4_000 + Int(hub.id)))!.raw)!,
      log: HubLog { [unowned hub] in hub.lines.append($0) }, wallClockMs: { [unowned self] in self.wallMs })
    try hub.core.openFellows(now: now)
    hub.isUp = true
  }

  /// SIGKILL: the disk stays, unless it `loses` that.
  func kill(_ hub: Member, losesDisk: Bool = false) throws {
    hub.isUp = false
    for pipe in pipes where pipe.from.0 === hub || pipe.to.0 === hub { cut(pipe) }
    pipes.removeAll { $0.from.0 === hub || $0.to.0 === hub }
    for (node, at) in nodes where at === hub {
      node.link = nil
      node.session.reset()
    }
    nodes.removeAll { $0.hub === hub }
    guard losesDisk else { return }
    hub.directory = try TemporaryDirectory()
    hub.registry = try hub.directory.registry()
  }

  private func cut(_ pipe: Pipe) {
    for (hub, link, id) in [pipe.from, pipe.to] where hub.isUp && link.id == id {
      hub.core.lost(link, reason: .linkClosed)
    }
  }

  func partition(_ a: UInt32, _ b: UInt32) {
    partitions.insert([a, b])
    for pipe in pipes where Set([pipe.from.0.id, pipe.to.0.id]) == [a, b] { cut(pipe) }
    pipes.removeAll { Set([$0.from.0.id, $0.to.0.id]) == [a, b] }
  }

  func heal() { partitions.removeAll() }

  // MARK: Nodes

  func connect(_ node: TestNode, to hub: Member) {
    if let old = nodes.firstIndex(where: { $0.node === node }) {
      let (_, at) = nodes.remove(at: old)
      if at.isUp, let link = node.link, link.phase != .free { at.core.lost(link, reason: .linkClosed) }
    }
    meet(node, hub)
  }

  /// The same, and the hub before does not notice.
  func move(_ node: TestNode, to hub: Member) {
    nodes.removeAll { $0.node === node }
    meet(node, hub)
  }

  private func meet(_ node: TestNode, _ hub: Member) {
    node.failure = nil
    node.events = []
    nodes.append((node, hub))
    let link = hub.core.open(address: "192.0.2.\(nodes.count)", now: now)
    node.link = link
    exporters &+= 1
    let exporter = Bytes32(repeating: exporters)
    hub.core.secured(link, exporter: exporter)
    var verifier = Secret<32>()
    Session.tokenVerifier(secret: node.tokenSecret, into: &verifier)
    node.session.startAsNode(
      exporter: exporter, hello: node.hello(), verifier: verifier, expectedHubKey: hub.key, random: &node.random)
    settle()
  }

  func allowed(_ number: Int, at hub: Member, instance: UInt8 = 1) throws -> TestNode {
    let node = TestNode(number, instance: instance)
    _ = try hub.registry.allow(key: node.key, label: nil, now: Int64(wallMs / 1_000))
    _ = try hub.core.refresh(now: now)
    // Long enough for a commit at the fellows.
    pass(20)
    return node
  }

  // MARK: Moving

  private func dial() {
    for hub in hubs where hub.isUp {
      for fellow in hub.core.takeDials(now: now) {
        let other = self[fellow.id]
        guard other.isUp, !partitions.contains([hub.id, other.id]) else {
          hub.core.dialFailed(fellow, .connectFailed, now: now)
          continue
        }
        exporters &+= 1
        let exporter = Bytes32(repeating: exporters)
        let accepted = other.core.open(address: "hub\(hub.id).test", now: now)
        other.core.secured(accepted, exporter: exporter)
        let dialled = hub.core.openFellow(fellow, exporter: exporter, now: now)
        pipes.append(Pipe(from: (hub, dialled, dialled.id), to: (other, accepted, accepted.id)))
      }
    }
  }

  private func carry(_ a: (Member, HubLink, LinkId), _ b: (Member, HubLink, LinkId)) -> Bool {
    guard a.1.id == a.2, b.1.id == b.2, a.1.phase != .free, b.1.phase != .free else { return false }
    guard a.1.session.output.pour(into: &b.1.session.input) else { return false }
    while b.0.core.process(b.1, now: now) {}
    return true
  }

  /// Moves bytes until nothing moves.
  func settle() {
    dial()
    var moved = true
    while moved {
      moved = false
      for pipe in pipes where !stalls.contains([pipe.from.0.id, pipe.to.0.id]) {
        if carry(pipe.from, pipe.to) { moved = true }
        if carry(pipe.to, pipe.from) { moved = true }
      }
      reap()
      for (node, hub) in nodes {
        guard let link = node.link, link.phase != .free else { continue }
        if node.session.output.pour(into: &link.session.input) { moved = true }
        while hub.core.process(link, now: now) {}
        if node.isReading, link.session.output.pour(into: &node.session.input) {
          moved = true
          run(node)
        }
        if link.phase == .closing, link.session.output.isEmpty {
          hub.core.lost(link)
          node.link = nil
        }
      }
    }
    for hub in hubs where hub.isUp {
      _ = hub.core.takeTouched()
      hub.core.live.checkInvariants()
      hub.core.fellows.away.checkInvariants()
    }
  }

  /// A side that has closed takes the other with it, once its last words are there.
  private func reap() {
    for pipe in pipes {
      for (a, b) in [(pipe.from, pipe.to), (pipe.to, pipe.from)] {
        let isOver = a.1.id != a.2 || a.1.phase == .free || a.1.phase == .closing && a.1.session.output.isEmpty
        guard isOver, a.0.isUp else { continue }
        if a.1.id == a.2, a.1.phase != .free { a.0.core.lost(a.1) }
        if b.0.isUp, b.1.id == b.2, b.1.phase != .free { b.0.core.lost(b.1, reason: .linkClosed) }
      }
    }
    pipes.removeAll { $0.from.1.id != $0.from.2 || $0.from.1.phase == .free }
  }

  private func run(_ node: TestNode) {
    do {
      while let event = try node.session.nextEvent(now: now, identity: node.identity, random: &node.random) {
        node.received(event, now: now)
      }
    } catch { node.failure = error }
  }

  /// Lets time pass in small steps.
  func pass(_ ms: UInt64, step: UInt64 = 10) {
    let end = now + ms
    while now < end {
      let by = min(step, end.since(now))
      now = now + by
      wallMs += by
      for hub in hubs where hub.isUp { hub.core.tick(now: now) }
      settle()
    }
  }

  func fellow(_ id: UInt32, at hub: UInt32) -> Fellow { self[hub].core.fellows.all.first { $0.id == id }! }
  /// Every pair of hubs that are up is linked, and in step both ways.
  var isInStep: Bool {
    hubs.filter(\.isUp).allSatisfy { hub in
      hub.core.fellows.all.allSatisfy { !self[$0.id].isUp || $0.isInStep }
    }
  }
}
