import Bounded
import Foundation
import GRDB
import Node
import SkyCrypto
import Testing
import Wire

@testable import Hub

/// Registries of hubs that share what they keep become one, whatever happened while they were apart.
@Suite struct FellowRegistryTests {
  private func addToken(_ scene: FellowScene, at hub: UInt32, uses: Int) throws {
    try scene[hub].registry.addToken(
      id: tokenId, verifier: Data(NewToken.verifier(of: InlineArray(repeating: 0x5A))), uses: uses,
      expiresAt: 4_000_000_000, label: "shared", now: 1)
    _ = try scene[hub].core.refresh(now: scene.now)
    scene.pass(50)
  }

  private func newcomer(_ number: Int) -> TestNode {
    let node = TestNode(number)
    node.tokenId = tokenId
    node.tokenSecret = InlineArray(repeating: 0x5A)
    return node
  }

  /// What every hub must have alike.
  private func nodes(_ hub: FellowScene.Member) throws -> [String] {
    try hub.registry.nodes().map { "\($0.id) \($0.key.hex) \($0.label) \($0.isRevoked)" }
  }

  @Test func aTokensUsesAreShared() throws {
    let scene = try FellowScene()
    scene.pass(100)
    try addToken(scene, at: 1, uses: 2)
    scene.connect(newcomer(1), to: scene[2])
    scene.pass(50)
    scene.connect(newcomer(2), to: scene[1])
    scene.pass(50)
    let third = newcomer(3)
    scene.connect(third, to: scene[2])
    #expect(third.failure == .tokenUsed)
    #expect(try scene[1].registry.tokens().map(\.usesLeft) == [0])
    #expect(try nodes(scene[1]) == nodes(scene[2]) && scene[1].registry.nodes().map(\.id) == [2_000_000, 3_000_000])
  }

  @Test func apartEachHubLetsInWhatItKnowsIsLeft() throws {
    let scene = try FellowScene()
    scene.pass(100)
    try addToken(scene, at: 1, uses: 2)
    scene.partition(1, 2)
    for (number, hub) in [(1, 1), (2, 1), (3, 2), (4, 2)] as [(Int, UInt32)] {
      let node = newcomer(number)
      scene.connect(node, to: scene[hub])
      #expect(node.failure == nil)
    }
    scene.heal()
    scene.pass(6_000)
    #expect(try scene[1].registry.tokens().map(\.usesLeft) == [0] && scene[2].registry.tokens().map(\.usesLeft) == [0])
    #expect(try nodes(scene[1]) == nodes(scene[2]) && scene[1].registry.nodes().count == 4)
  }

  @Test func aTokenTakenBackAtOneHubIsGoneAtTheOther() throws {
    let scene = try FellowScene()
    scene.pass(100)
    try addToken(scene, at: 1, uses: 5)
    scene.partition(1, 2)
    // It is used at one, and taken back at the other.
    scene.connect(newcomer(1), to: scene[1])
    #expect(try scene[2].registry.removeToken(id: tokenId, now: 2))
    scene.heal()
    scene.pass(6_000)
    #expect(try scene[1].registry.tokens().isEmpty && scene[2].registry.tokens().isEmpty)
    #expect(try nodes(scene[1]) == nodes(scene[2]))
  }

  @Test func whoIsRevokedAtOneHubIsPutOutByTheOther() throws {
    let scene = try FellowScene()
    let a = try scene.allowed(1, at: scene[1])
    scene.pass(100)
    scene.connect(a, to: scene[1])
    let id = a.id!
    _ = try scene[2].registry.revoke(id: id, reason: "lost", now: Int64(scene.wallMs / 1_000))
    _ = try scene[2].core.refresh(now: scene.now)
    scene.pass(50)
    #expect(a.failure == .revoked)
    #expect(try scene[1].registry.node(id: id)?.revokedReason == "lost")
    scene.connect(a, to: scene[1])
    #expect(a.failure == .revoked)
  }

  /// What is newer counts; of two at one time the revocation.
  @Test(arguments: [(0, true), (5, false), (-5, true)])
  func aRevocationCountsUntilItIsUndoneLater(undoneAfter: Int64, isRevoked: Bool) throws {
    let scene = try FellowScene()
    let a = try scene.allowed(1, at: scene[1])
    scene.pass(100)
    let id = try #require(try scene[1].registry.node(key: a.key)).id
    let now = Int64(scene.wallMs / 1_000)
    scene.partition(1, 2)
    _ = try scene[1].registry.revoke(id: id, reason: "first", now: now - 20)
    _ = try scene[1].registry.allow(key: a.key, label: nil, now: now + undoneAfter)
    _ = try scene[2].registry.revoke(id: id, reason: "second", now: now)
    scene.heal()
    scene.pass(6_000)
    for hub in scene.hubs {
      #expect(try hub.registry.node(id: id)?.isRevoked == isRevoked)
      #expect(try hub.registry.node(id: id)?.revokedReason == (isRevoked ? "second" : ""))
    }
  }

  @Test func theNewestLabelCounts() throws {
    let scene = try FellowScene()
    let a = try scene.allowed(1, at: scene[1])
    scene.pass(100)
    scene.partition(1, 2)
    _ = try scene[1].registry.allow(key: a.key, label: "kitchen", now: 1_800_000_000)
    _ = try scene[2].registry.allow(key: a.key, label: "cellar", now: 1_800_000_009)
    scene.heal()
    scene.pass(6_000)
    #expect(try scene.hubs.map { try $0.registry.nodes().map(\.label) } == [["cellar"], ["cellar"]])
  }

  @Test func anIdentityAdmittedTwiceKeepsTheLowerId() throws {
    let scene = try FellowScene()
    scene.pass(100)
    scene.partition(1, 2)
    let a = try scene.allowed(1, at: scene[1])
    let sender = try scene.allowed(2, at: scene[2])
    _ = try scene.allowed(1, at: scene[2])
    let twice = try #require(try scene[2].registry.node(key: a.key)).id
    scene.connect(a, to: scene[2])
    scene.connect(sender, to: scene[2])
    #expect(a.id == twice && twice == 3_000_001)
    // What waits under the id that goes.
    a.verdict = nil
    try sender.post("to the old id", to: twice, sequence: 1, now: scene.now)
    scene.pass(3_500)
    scene.heal()
    scene.pass(6_000)
    #expect(try scene.hubs.map { try $0.registry.node(key: a.key)?.id } == [2_000_000, 2_000_000])
    #expect(try nodes(scene[1]) == nodes(scene[2]))
    #expect(a.failure == .linkClosed, "it hears its id with the next link")
    a.verdict = { _ in nil }
    a.durable = []
    scene.connect(a, to: scene[2])
    scene.pass(100)
    #expect(a.id == 2_000_000 && a.durable.map(\.text) == ["to the old id"])
    // Somebody who still knows the old one.
    try sender.post("still the old id", to: twice, sequence: 2, now: scene.now)
    scene.pass(100)
    #expect(
      a.durable.map(\.text) == ["to the old id", "still the old id"] && sender.stored.allSatisfy { $0.failure == nil })
    #expect(try scene.hubs.map { try $0.registry.spoolCount() } == [0, 0])
  }

  /// Two hubs that were alone before gave the same ids.
  @Test func anIdThatTwoIdentitiesHaveStaysWithTheFirst() throws {
    let scene = try FellowScene(start: false)
    let (first, second) = (TestNode(1), TestNode(2))
    _ = try scene[1].registry.allow(key: first.key, label: "first", now: 100)
    _ = try scene[2].registry.allow(key: second.key, label: "second", now: 50)
    #expect(try scene.hubs.map { try $0.registry.nodes().map(\.id) } == [[1_000_000], [1_000_000]])
    for hub in scene.hubs { try scene.start(hub) }
    scene.pass(1_000)
    #expect(try nodes(scene[1]) == nodes(scene[2]))
    #expect(try scene[1].registry.node(key: second.key)?.id == 1_000_000)
    #expect(try scene[1].registry.node(key: first.key)?.id == 2_000_000)
    #expect(scene.isInStep)
  }

  @Test func threeHubsAgreeAfterAnything() throws {
    let scene = try FellowScene([1, 2, 3], start: false)
    // Every hub knew some of the same identities, under ids of its own.
    for (i, hub) in scene.hubs.enumerated() {
      for number in 0..<6 where (number + i) % 3 != 0 {
        _ = try hub.registry.allow(
          key: TestNode(number + 10).key, label: "h\(i)", now: Int64(100 + (number * 7 + i * 5) % 11))
      }
    }
    for hub in scene.hubs { try scene.start(hub) }
    scene.pass(3_000)
    let all = try nodes(scene[1])
    #expect(try all.count == 6 && nodes(scene[2]) == all && nodes(scene[3]) == all)
    #expect(Set(try scene[1].registry.nodes().map(\.id)).count == 6)
    // And then they are silent: nothing goes round.
    let marks = try scene.hubs.map { try $0.registry.newestMarks() }
    scene.pass(5_000)
    #expect(try scene.hubs.map { try $0.registry.newestMarks() } == marks)
  }

  /// What a hub cannot read it hands on as it is, and what opens it goes before.
  @Test func cardsOffersAndSealedMessagesAreShared() throws {
    let scene = try FellowScene()
    let a = try scene.allowed(1, at: scene[1])
    let b = try scene.allowed(2, at: scene[1])
    scene.pass(100)
    let registry = scene[1].registry
    let (source, destination) = (
      try #require(try registry.node(key: a.key)).id, try #require(try registry.node(key: b.key)).id
    )
    let card = Data(repeating: 7, count: Card.byteCount)
    let offer = Data(repeating: 8, count: SealOffer.byteCount)
    try registry.setCard(card, of: destination, at: 5)
    try registry.keep(OfferRecord(source: source, destination: destination, body: offer), at: 6)
    let longest = Limits.messageBytes + Limits.sealBytes
    let sealed = SpooledMessage(
      destination: destination, source: source, stream: 77, sequence: 1, hops: 0, expiresMs: 0, isSealed: true,
      text: Data(repeating: 9, count: longest))
    _ = try registry.spool([sealed], forgetting: [], sharing: true, at: 7)
    _ = try scene[1].core.refresh(now: scene.now)
    scene.pass(100)
    let other = scene[2].registry
    #expect(try other.card(of: destination) == card && other.offer(from: source, to: destination) == offer)
    let there = try other.spooled(for: destination, areUrgent: false, after: 0, takesSealed: true, limit: 9)
    #expect(there.count == 1 && there[0].isSealed && there[0].text.count == longest)
    // An older card does not take the place of a newer one, whichever hub has it.
    try other.setCard(Data(repeating: 6, count: Card.byteCount), of: destination, at: 4)
    _ = try scene[2].core.refresh(now: scene.now)
    scene.pass(100)
    #expect(try registry.card(of: destination) == card)
  }

  @Test func withoutFellowsNothingIsNoted() throws {
    let swarm = try TestSwarm()
    try swarm.core.openFellows(now: swarm.now)
    let a = try swarm.allowedNode(1)
    let b = try swarm.allowedNode(2)
    swarm.connect(a)
    try a.post("x", to: try #require(try swarm.registry.node(key: b.key)).id, sequence: 1, now: swarm.now)
    swarm.pass(30)
    #expect(
      try swarm.registry.newestMarks() == LogMarks() && swarm.registry.nodes().map(\.id) == [1_000_000, 1_000_001])
  }

  @Test func aHubThatIsAloneAgainForgetsItsLogs() throws {
    let scene = try FellowScene()
    _ = try scene.allowed(1, at: scene[1])
    scene.pass(100)
    try scene[1].registry.stopSharing()
    let rows = try scene[1].registry.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM shared_registry") }
    #expect(rows == 0)
    _ = try scene[1].registry.allow(key: TestNode(2).key, label: nil, now: 5)
    #expect(try scene[1].registry.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM shared_registry") } == 0)
  }

  @Test func aRegistryRestoredFromACopyGetsAnotherName() throws {
    let scene = try FellowScene()
    let a = try scene.allowed(1, at: scene[1])
    let b = try scene.allowed(2, at: scene[1])
    scene.connect(a, to: scene[1])
    scene.pass(100)
    let copy = scene[1].directory.path + "/copy.db"
    try scene[1].registry.queue.writeWithoutTransaction { try $0.execute(sql: "VACUUM INTO ?", arguments: [copy]) }
    let destination = try #require(try scene[1].registry.node(key: b.key)).id
    for sequence in 1...5 as ClosedRange<UInt64> {
      try a.post("\(sequence)", to: destination, sequence: sequence, now: scene.now)
    }
    scene.pass(100)
    try scene.kill(scene[1])
    scene[1].registry = try Registry(path: copy)
    let name = try scene[1].registry.sharedName()
    try scene.start(scene[1])
    scene.pass(6_000)
    #expect(try scene[1].registry.sharedName() != name)
    #expect(try scene.isInStep && scene[1].registry.spoolCount() == 5)
    _ = try scene.allowed(3, at: scene[1])
    scene.pass(100)
    #expect(try scene[2].registry.nodes().count == 3)
  }

  @Test func fellowsMustHaveNumbersOfTheirOwn() throws {
    var configuration = HubConfiguration()
    configuration.hubId = 1
    func complaint(_ entries: HubEntry...) -> String? {
      configuration.fellows = entries
      do throws(HubError) { try configuration.check() } catch { return error.message }
      return nil
    }
    func entry(_ id: UInt32, key: UInt8 = 1) -> HubEntry {
      PeerHub(place: HostPort("hub.test")!, id: id, pin: Bytes32(repeating: 3), key: Bytes32(repeating: key)).entry
    }
    #expect(complaint(entry(2), entry(3)) == nil)
    #expect(complaint(entry(0))?.contains("number is missing") == true)
    #expect(complaint(entry(1))?.contains("the same ids") == true)
    #expect(complaint(entry(9))?.contains("the same ids") == true)
    #expect(complaint(entry(2), entry(2))?.contains("the same ids") == true)
    #expect(complaint(entry(2, key: 0))?.contains("must not be zero") == true)
  }
}
