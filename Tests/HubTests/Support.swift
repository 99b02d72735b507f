import Bounded
import Foundation
import Hub
import Testing
import Wire

/// A directory of its own for one test, removed with everything in it.
final class TemporaryDirectory {
  let path: String

  init() throws {
    var template = Array("/tmp/skyhub-test-XXXXXX".utf8CString)
    path = try #require(
      template.withUnsafeMutableBufferPointer { mkdtemp($0.baseAddress!) }.map { String(cString: $0) })
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func registry() throws -> Registry { try Registry(path: path + "/hub.db") }
  /// The same directory as a hub has it.
  func hub() throws -> DataDirectory { try DataDirectory(opening: path, create: true) }
}

/// 32 bytes that differ from number to number.
func keyBytes(_ number: Int) -> Data {
  Data((0..<32).map { UInt8(truncatingIfNeeded: number >> (8 * ($0 & 3))) ^ UInt8($0) })
}

let secret = Data(repeating: 0x5E, count: 32)
let tokenId = Data([1, 2, 3, 4, 5, 6, 7, 8])

/// A join request as a node with key `number` would make it; it proves `secret`.
func request(_ number: Int, token: Data? = nil, secret: Data = secret, nodeClass: NodeClass = .light) -> JoinRequest {
  JoinRequest(
    key: keyBytes(number), fingerprint: keyBytes(number + 1_000_000), nodeClass: nodeClass, agent: "skynod/0.1.0",
    tokenId: token
  ) { $0 == secret }
}

extension Registry {
  func addTestToken(uses: Int = 1, expiresAt: Int64 = 2_000, id: Data = tokenId) throws {
    try addToken(id: id, verifier: secret, uses: uses, expiresAt: expiresAt, label: "test", now: 1_000)
  }
}
