import Foundation
import Hub
import Testing
import Wire

@Suite struct AdmissionTests {
  let directory: TemporaryDirectory
  let registry: Registry

  init() throws {
    directory = try TemporaryDirectory()
    registry = try directory.registry()
  }

  @Test func firstNodeGetsTheFirstIdOfItsClass() throws {
    try registry.addTestToken()
    #expect(try registry.admit(request(1, token: tokenId), now: 1_500) == .success(1_000_000))
  }

  @Test func strangerWithoutTokenIsRefused() throws {
    #expect(try registry.admit(request(1), now: 1_500) == .failure(.tokenRequired))
    #expect(try registry.nodes().isEmpty)
  }

  @Test func unknownTokenIsRefused() throws {
    #expect(try registry.admit(request(1, token: tokenId), now: 1_500) == .failure(.tokenUnknown))
  }

  @Test func wrongSecretIsRefusedAndUsesNothingUp() throws {
    try registry.addTestToken()
    let wrong = request(1, token: tokenId, secret: Data(repeating: 1, count: 32))
    #expect(try registry.admit(wrong, now: 1_500) == .failure(.tokenInvalid))
    #expect(try registry.tokens().first?.usesLeft == 1)
  }

  @Test func wrongSecretLearnsNothingAboutAnExpiredToken() throws {
    try registry.addTestToken(expiresAt: 1_200)
    let wrong = request(1, token: tokenId, secret: Data(repeating: 1, count: 32))
    #expect(try registry.admit(wrong, now: 1_500) == .failure(.tokenInvalid))
  }

  @Test func expiredTokenIsRefusedFromItsLastSecondOn() throws {
    try registry.addTestToken(uses: 2, expiresAt: 2_000)
    #expect(try registry.admit(request(1, token: tokenId), now: 1_999) == .success(1_000_000))
    #expect(try registry.admit(request(2, token: tokenId), now: 2_000) == .failure(.tokenExpired))
  }

  @Test func singleUseTokenAdmitsOneNode() throws {
    try registry.addTestToken()
    #expect(try registry.admit(request(1, token: tokenId), now: 1_500) == .success(1_000_000))
    #expect(try registry.admit(request(2, token: tokenId), now: 1_500) == .failure(.tokenUsed))
  }

  @Test func limitedTokenAdmitsThatMany() throws {
    try registry.addTestToken(uses: 3)
    for i in 0..<3 {
      #expect(try registry.admit(request(i, token: tokenId), now: 1_500) == .success(1_000_000 + UInt32(i)))
    }
    #expect(try registry.admit(request(3, token: tokenId), now: 1_500) == .failure(.tokenUsed))
  }

  @Test func knownNodeNeedsNoTokenAndUsesNoneUp() throws {
    try registry.addTestToken(uses: 2)
    #expect(try registry.admit(request(1, token: tokenId), now: 1_500) == .success(1_000_000))
    #expect(try registry.admit(request(1, token: tokenId), now: 1_500) == .success(1_000_000))
    #expect(try registry.admit(request(1), now: 9_999) == .success(1_000_000))
    #expect(try registry.tokens().first?.usesLeft == 1)
  }

  @Test func revokedTokenIsUnknown() throws {
    try registry.addTestToken()
    #expect(try registry.removeToken(id: tokenId, now: 1_100))
    #expect(try !registry.removeToken(id: tokenId, now: 1_100))
    #expect(try registry.admit(request(1, token: tokenId), now: 1_500) == .failure(.tokenUnknown))
  }

  @Test(arguments: [NodeClass.infrastructure, .desktop]) func otherClassesAreRefused(_ nodeClass: NodeClass) throws {
    try registry.addTestToken()
    let stranger = request(1, token: tokenId, nodeClass: nodeClass)
    #expect(try registry.admit(stranger, now: 1_500) == .failure(.classRefused))
    #expect(try registry.tokens().first?.usesLeft == 1)
  }

  /// Two processes' worth of connections race for the last use, many times over.
  @Test func lastUseOfATokenIsWonOnce() async throws {
    let path = directory.path + "/hub.db"
    for round in 0..<20 {
      let id = Data([9, 9, 9, 9, 9, 9, 9, UInt8(round)])
      try registry.addTestToken(id: id)
      let winners = try await withThrowingTaskGroup(of: Bool.self) { group in
        for racer in 0..<4 {
          group.addTask {
            let own = try Registry(path: path)
            let result = try own.admit(request(100 + round * 4 + racer, token: id), now: 1_500)
            if case .success = result { return true }
            #expect(result == .failure(.tokenUsed))
            return false
          }
        }
        return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
      }
      #expect(winners == 1)
    }
    #expect(try registry.nodes().count == 20)
  }

  @Test func exhaustedAddressesGiveTheTokensUseBack() throws {
    try registry.addTestToken(uses: 2)
    try registry.pretendLastId(Limits.lightNodeLast - 1)
    #expect(try registry.admit(request(1, token: tokenId), now: 1_500) == .success(Limits.lightNodeLast))
    #expect(try registry.admit(request(2, token: tokenId), now: 1_500) == .failure(.addressesExhausted))
    #expect(try registry.tokens().first?.usesLeft == 1)
  }
}
