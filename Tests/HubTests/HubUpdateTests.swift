import Bounded
import Foundation
import Node
import SkyCrypto
import Testing
import Update
import Wire

@testable import Hub

/// Bundles and roll-outs in a whole hub.
@Suite struct HubUpdateTests {
  private let swarm: TestSwarm
  private let directory: DataDirectory
  private var maker: Identity { Identity(seed: Secret<32>(Bytes32(keyBytes(31))!.raw)!) }

  init() throws {
    swarm = try TestSwarm(publishes: true)
    directory = try swarm.directory.hub()
  }

  /// Bytes and digest.
  @discardableResult
  private func publish(_ release: UInt64, board: String = "toy") throws -> (bytes: Data, digest: Bytes32) {
    let payload = Data(repeating: UInt8(release), count: 12_288)
    let table = payload.withUnsafeBytes { Sha256.digest($0.bytes) }
    var manifest = BundleManifest(
      board: InlineText(board)!, name: InlineText("0.1")!, release: release, minimum: 1, payloadBytes: payload.count,
      kernel: Bytes32(repeating: 1), table: Sha256.digest(table.raw))
    var head = ByteQueue(capacity: 512)
    manifest.append(to: &head, signedBy: maker)
    let bytes = Data(copying: head.bytes) + Data(table) + payload
    let path = swarm.directory.path + "/new"
    try bytes.write(to: URL(filePath: path))
    try HubBundles.publish(
      path, manifest, maker: maker.publicKey, in: directory, swarm.registry, at: swarm.core.wallSeconds)
    _ = try swarm.core.refresh(now: swarm.now)
    swarm.settle()
    return (bytes, manifest.digest)
  }

  private func say(_ node: TestNode, release: UInt64, policy: UpdatePolicy = .auto) throws {
    var standing = Standing(board: InlineText("toy")!)
    standing.slots[0].release = release
    var body = ByteQueue(capacity: 512)
    SystemReport(policy: policy, standing: standing).append(to: &body)
    try node.session.send(FrameHeader(kind: .system, source: node.id ?? 0), body: body.bytes, now: swarm.now)
    swarm.settle()
  }

  private func ask(_ node: TestNode, _ digest: Bytes32, _ offset: UInt32, _ count: UInt16) throws {
    var body = ByteQueue(capacity: 64)
    BundleRequest(digest: digest, offset: offset, count: count).append(to: &body)
    try node.session.send(FrameHeader(kind: .bundleRequest, source: node.id ?? 0), body: body.bytes, now: swarm.now)
    swarm.settle()
  }

  private func online(_ number: Int) throws -> TestNode {
    let node = try swarm.allowedNode(number)
    swarm.connect(node)
    return node
  }

  @Test func aNodeHearsOfWhatIsNewerForItsBoard() throws {
    let node = try online(1)
    try say(node, release: 1)
    #expect(node.offers == [Data([0])], "nothing is published")
    let bundle = try publish(2)
    #expect(node.offers.last == Data([0]) + bundle.bytes.prefix(512))
    try publish(2, board: "boy")
    #expect(node.offers.count == 2)
    try say(node, release: 2)
    #expect(node.offers.last == Data([0]), "it has that")
  }

  @Test func piecesAreTheBundlesBytes() throws {
    let node = try online(1)
    let bundle = try publish(2)
    try ask(node, bundle.digest, 512, 8_192)
    #expect(node.pieces.last?.dropFirst(38) == bundle.bytes[512..<8_704])
    try ask(node, Bytes32(repeating: 9), 0, 512)
    #expect(node.pieces.last?.count == 38 && node.pieces.last?.suffix(2) == Data([0, 0]), "nobody publishes that")
    try ask(node, bundle.digest, UInt32(bundle.bytes.count) - 10, 11)
    #expect(node.failure == .malformedFrame)
  }

  @Test func aRollOutMakesNodesDueAndOutlivesTheHub() throws {
    let nodes = try (1...3).map { try online($0) }
    let bundle = try publish(2)
    for node in nodes { try say(node, release: 1) }
    try swarm.registry.start(
      Rollout(
        board: "toy", release: 2, digest: Data(bundle.digest), percents: [10, 50, 100], gate: Rollout.Gate(),
        at: swarm.core.wallSeconds))
    _ = try swarm.core.refresh(now: swarm.now)
    swarm.pass(2_000)
    #expect(nodes.filter { $0.offers.last?.first == 1 }.count == 1)
    #expect(try swarm.registry.rollouts()[0].members.count == 1)
    #expect(try swarm.registry.systems().count == 3)
    _ = try swarm.registry.changeRollout(of: "toy", at: 5) { $0.pause("by hand") }
    _ = try swarm.core.refresh(now: swarm.now)
    swarm.settle()
    #expect(nodes.allSatisfy { $0.offers.last?.first == 0 })
  }

  @Test func aRevokedNodeIsNoCandidateAnyMore() throws {
    let nodes = try (1...3).map { try online($0) }
    let bundle = try publish(2)
    for node in nodes { try say(node, release: 1) }
    #expect(try swarm.registry.revoke(id: nodes[0].id!, reason: "gone", now: 5))
    try swarm.registry.start(
      Rollout(
        board: "toy", release: 2, digest: Data(bundle.digest), percents: [100], gate: Rollout.Gate(),
        at: swarm.core.wallSeconds))
    _ = try swarm.core.refresh(now: swarm.now)
    swarm.pass(2_000)
    #expect(try Set(swarm.registry.rollouts()[0].members.map(\.id)) == [nodes[1].id!, nodes[2].id!])
  }

  @Test func anotherReleaseEndsTheRollOutOfTheOneBefore() throws {
    let bundle = try publish(2)
    try swarm.registry.start(
      Rollout(
        board: "toy", release: 2, digest: Data(bundle.digest), percents: [100], gate: Rollout.Gate(),
        at: swarm.core.wallSeconds))
    #expect(throws: HubError.self) {
      try swarm.registry.start(
        Rollout(board: "toy", release: 2, digest: Data(), percents: [100], gate: Rollout.Gate(), at: 1))
    }
    try publish(3)
    let rollout = try swarm.registry.rollouts()[0]
    #expect(rollout.state == .aborted && rollout.reason.contains("release 3"))
  }

  @Test func olderReleasesAndOtherMakersAreNotPublished() throws {
    try publish(5)
    #expect(throws: HubError.self) { try publish(5) }
    #expect(throws: HubError.self) { try publish(4) }
    #expect(try swarm.registry.bundles().map(\.release) == [5])
  }

  @Test func aReportThatIsNoneEndsTheLink() throws {
    let node = try online(1)
    try node.session.send(FrameHeader(kind: .system, source: node.id ?? 0), body: [1, 2, 3].span.bytes, now: swarm.now)
    swarm.settle()
    #expect(node.failure == .malformedFrame)
  }
}
