import Foundation
import GRDB
import Testing
import Wire

@testable import Hub

extension Registry {
  func pretendLastId(_ id: UInt32) throws {
    try write { try $0.execute(sql: "UPDATE sqlite_sequence SET seq = ? WHERE name = 'nodes'", arguments: [id]) }
  }
}

@Suite struct RegistryTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  @Test func idsSurviveARestart() throws {
    let first = try directory.registry()
    try first.addTestToken(uses: 3)
    #expect(try first.admit(request(1, token: tokenId), now: 1_500) == .success(1_000_000))
    #expect(try first.admit(request(2, token: tokenId), now: 1_500) == .success(1_000_001))

    let second = try directory.registry()
    #expect(try second.admit(request(2), now: 1_600) == .success(1_000_001))
    #expect(try second.admit(request(1), now: 1_600) == .success(1_000_000))
    #expect(try second.admit(request(3, token: tokenId), now: 1_600) == .success(1_000_002))
  }

  @Test func idIsNotReusedEvenWhenTheRowIsDeletedByHand() throws {
    let registry = try directory.registry()
    try registry.addTestToken(uses: 2)
    #expect(try registry.admit(request(1, token: tokenId), now: 1_500) == .success(1_000_000))
    try registry.write { try $0.execute(sql: "DELETE FROM nodes") }
    #expect(try registry.admit(request(2, token: tokenId), now: 1_500) == .success(1_000_001))
  }

  @Test func revokedNodeStaysOutAndKeepsItsId() throws {
    let registry = try directory.registry()
    try registry.addTestToken(uses: 5)
    #expect(try registry.admit(request(1, token: tokenId), now: 1_500) == .success(1_000_000))
    #expect(try registry.revoke(id: 1_000_000, reason: "stolen", now: 1_600))
    #expect(try !registry.revoke(id: 1_000_000, reason: "again", now: 1_700))
    #expect(try registry.admit(request(1), now: 1_700) == .failure(.revoked))
    #expect(try registry.admit(request(1, token: tokenId), now: 1_700) == .failure(.revoked))
    #expect(try registry.revoked(among: [1_000_000, 1_000_001]) == [1_000_000])
    let record = try registry.node(named: .id(1_000_000))
    #expect(record.revokedReason == "stolen" && record.revokedAt == 1_600)

    #expect(try registry.allow(key: keyBytes(1), label: nil, now: 1_800) == 1_000_000)
    #expect(try registry.admit(request(1), now: 1_900) == .success(1_000_000))
  }

  @Test func allowedKeyNeedsNoToken() throws {
    let registry = try directory.registry()
    #expect(try registry.allow(key: keyBytes(7), label: "greenhouse", now: 1_000) == 1_000_000)
    #expect(try registry.allow(key: keyBytes(7), label: nil, now: 1_000) == 1_000_000)
    #expect(try registry.admit(request(7), now: 1_500) == .success(1_000_000))
    #expect(try registry.node(named: .key(keyBytes(7))).label == "greenhouse")
  }

  @Test func nodesAreFoundByEveryNameTheyHave() throws {
    let registry = try directory.registry()
    try registry.addTestToken(uses: 2)
    _ = try registry.admit(request(1, token: tokenId), now: 1_500)
    let fingerprint = keyBytes(1_000_001)
    #expect(try registry.node(named: NodeName("NOD1000000")).key == keyBytes(1))
    #expect(try registry.node(named: NodeName("nod1000000")).key == keyBytes(1))
    #expect(try registry.node(named: NodeName("1000000")).key == keyBytes(1))
    #expect(try registry.node(named: NodeName(String(fingerprint.hex.prefix(12)))).key == keyBytes(1))
    #expect(try registry.node(named: NodeName(fingerprint.hex)).key == keyBytes(1))
    #expect(try registry.node(named: NodeName(keyBytes(1).hex)).id == 1_000_000)
    #expect(throws: HubError.self) { try registry.node(named: NodeName("NOD1000001")) }
    #expect(throws: HubError.self) { try NodeName("abc") }
  }

  @Test func sightingsKeepTheFirstAndMoveTheLast() throws {
    let registry = try directory.registry()
    _ = try registry.allow(key: keyBytes(1), label: nil, now: 1_000)
    try registry.noteSeen([Sighting(id: 1_000_000, at: 1_100, vitals: "{\"load\":1}", agent: "skynod/1")])
    try registry.noteSeen([Sighting(id: 1_000_000, at: 1_200)])
    let record = try registry.node(named: .id(1_000_000))
    #expect(record.firstSeenAt == 1_100 && record.lastSeenAt == 1_200)
    #expect(record.vitals == "{\"load\":1}" && record.agent == "skynod/1")
  }

  @Test func clonesAreCountedAndLogged() throws {
    let registry = try directory.registry()
    _ = try registry.allow(key: keyBytes(1), label: nil, now: 1_000)
    try registry.noteClone(id: 1_000_000, detail: "from 192.0.2.1", now: 1_100)
    try registry.noteClone(id: 1_000_000, detail: "from 192.0.2.2", now: 1_200)
    #expect(try registry.node(named: .id(1_000_000)).clonesSeen == 2)
    #expect(try registry.events(limit: 2).map(\.kind) == ["clone", "clone"])
  }

  @Test func eventLogAndInboxAreBounded() throws {
    let registry = try directory.registry()
    try registry.write { db in
      for i in 0..<(Registry.eventRows + 50) { try Registry.record("test", "\(i)", at: 1, in: db) }
    }
    let events = try registry.events(limit: 100_000)
    #expect(events.count == Registry.eventRows && events.first?.detail == "50")

    let many = (0..<(Registry.inboxRows + 10)).map { (at: Int64(1), from: UInt32(1_000_000), body: Data("\($0)".utf8)) }
    try registry.keepMessages(Array(many.prefix(20)))
    try registry.keepMessages(many)
    let inbox = try registry.inbox(limit: 100_000)
    #expect(inbox.count == Registry.inboxRows && inbox.first?.body == Data("10".utf8))
  }

  @Test func anotherProcessesChangeIsSeen() throws {
    let one = try directory.registry()
    let other = try directory.registry()
    let before = try one.foreignChangeCount()
    _ = try other.allow(key: keyBytes(1), label: nil, now: 1_000)
    #expect(try one.foreignChangeCount() != before)
  }

  @Test func damagedFileIsAConfigurationError() throws {
    try Data(repeating: 0x41, count: 4_096).write(to: URL(fileURLWithPath: directory.path + "/hub.db"))
    let error = #expect(throws: HubError.self) { try directory.registry() }
    #expect(error?.code == .badConfiguration)
  }

  @Test func registryHoldsNoTokenSecret() throws {
    let token = NewToken()
    let registry = try directory.registry()
    try registry.addToken(
      id: Data(token.id), verifier: Data(NewToken.verifier(of: token.secret)), uses: 1, expiresAt: 2_000, label: "",
      now: 1_000)
    for name in ["hub.db", "hub.db-wal"] {
      let content = try Data(contentsOf: URL(fileURLWithPath: directory.path + "/" + name))
      #expect(content.range(of: Data(token.secret)) == nil)
    }
  }
}
