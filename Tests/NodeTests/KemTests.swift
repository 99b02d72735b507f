import Bounded
import CSky
import Crypto
import Foundation
import SkyCrypto
import Testing

/// X-Wing and ML-KEM-768 against a second implementation (swift-crypto, on BoringSSL), in both directions.
@Suite struct KemTests {
  static let rounds = 100

  /// A generator with a fixed seed: a failure repeats.
  private struct Bytes: ~Copyable {
    var random: Drbg
    init(_ first: UInt8) {
      var seed = Secret<32>()
      seed.withMutableBytes { for i in 0..<32 { $0[i] = first &+ UInt8(i) } }
      random = Drbg(seed: seed)
    }
    mutating func take(_ n: Int) -> [UInt8] {
      var out: [UInt8] = []
      while out.count < n { out += random.bytes32().span.withUnsafeBytes { Array($0) } }
      return Array(out.prefix(n))
    }
  }

  // MARK: Ours, as plain arrays

  private func secret<let n: Int>(_ bytes: [UInt8]) -> Secret<n> { Secret<n>(bytes.span.bytes)! }

  private func ourPublic(_ seed: [UInt8]) -> (key: [UInt8], secret: [UInt8]) {
    var queue = ByteQueue(capacity: XWing.publicKeyBytes)
    var kept = Secret<32>()
    let made = XWing.makeKeyPair(seed: secret(seed), secret: &kept, appendTo: &queue)
    #expect(made)
    return (queue.bytes.withUnsafeBytes { Array($0) }, kept.withBytes { Array($0) })
  }

  private func ourEncapsulation(_ key: [UInt8], _ seed: [UInt8]) -> (ciphertext: [UInt8], shared: [UInt8])? {
    var source = ByteQueue(capacity: XWing.publicKeyBytes)
    source.append(key.span.bytes)
    var queue = ByteQueue(capacity: XWing.ciphertextBytes)
    var shared = Secret<32>()
    guard XWing.encapsulate(to: source, 0..<source.count, seed: secret(seed), shared: &shared, appendTo: &queue) else {
      return nil
    }
    return (queue.bytes.withUnsafeBytes { Array($0) }, shared.withBytes { Array($0) })
  }

  private func ourShared(_ ciphertext: [UInt8], _ kept: [UInt8]) -> [UInt8]? {
    var source = ByteQueue(capacity: XWing.ciphertextBytes)
    source.append(ciphertext.span.bytes)
    var shared = Secret<32>()
    guard XWing.decapsulate(source, 0..<source.count, secret: secret(kept), shared: &shared) else { return nil }
    return shared.withBytes { Array($0) }
  }

  private func array(_ key: SymmetricKey) -> [UInt8] { key.withUnsafeBytes { Array($0) } }

  // MARK: X-Wing

  @Test func xwingAgreesBothWaysFromTheSameSeeds() throws {
    var bytes = Bytes(7)
    for round in 0..<Self.rounds {
      let (seed, coins) = (bytes.take(32), bytes.take(64))
      let ours = ourPublic(seed)
      let theirs = try XWingMLKEM768X25519.PrivateKey(seedRepresentation: seed, publicKey: nil)
      #expect(Array(theirs.publicKey.rawRepresentation) == ours.key, "round \(round): public key")

      // Their encapsulation to our key; ours to theirs.
      let result = try XWingMLKEM768X25519.PublicKey(rawRepresentation: ours.key).encapsulate()
      #expect(ourShared(Array(result.encapsulated), ours.secret) == array(result.sharedSecret), "round \(round): in")
      let made = try #require(ourEncapsulation(Array(theirs.publicKey.rawRepresentation), coins))
      #expect(array(try theirs.decapsulate(Data(made.ciphertext))) == made.shared, "round \(round): out")
    }
  }

  @Test func aTamperedXwingCiphertextGivesBothTheSameSecretThatNobodyShares() throws {
    var bytes = Bytes(9)
    for round in 0..<Self.rounds {
      let (seed, coins) = (bytes.take(32), bytes.take(64))
      let ours = ourPublic(seed)
      let theirs = try XWingMLKEM768X25519.PrivateKey(seedRepresentation: seed, publicKey: nil)
      var made = try #require(ourEncapsulation(ours.key, coins))
      // A bit of the ML-KEM part in even rounds, of X25519's in odd ones (its highest bit is ignored: RFC 7748).
      let place = bytes.take(2)
      let at = round % 2 == 0 ? (Int(place[0]) << 8 | Int(place[1])) % 1_088 : 1_088 + Int(place[0]) % 31
      made.ciphertext[at] ^= 1 << (place[1] % 8)
      let mine = try #require(ourShared(made.ciphertext, ours.secret))
      #expect(mine != made.shared, "round \(round), byte \(at): the true secret came out")
      #expect(mine == array(try theirs.decapsulate(Data(made.ciphertext))), "round \(round), byte \(at)")
    }
  }

  /// Where we are stricter than the draft: an X25519 share of low order is refused, not hashed.
  @Test func lowOrderSharesAreRefused() throws {
    var key = ourPublic([UInt8](repeating: 1, count: 32)).key
    key.replaceSubrange(1_184..., with: [UInt8](repeating: 0, count: 32))
    #expect(ourEncapsulation(key, [UInt8](repeating: 2, count: 64)) == nil)
    let ours = ourPublic([UInt8](repeating: 1, count: 32))
    var made = try #require(ourEncapsulation(ours.key, [UInt8](repeating: 3, count: 64)))
    made.ciphertext.replaceSubrange(1_088..., with: [UInt8](repeating: 0, count: 32))
    #expect(ourShared(made.ciphertext, ours.secret) == nil)
  }

  @Test func wrongLengthsAreRefused() throws {
    let ours = ourPublic([UInt8](repeating: 1, count: 32))
    #expect(ourEncapsulation(Array(ours.key.dropLast()), [UInt8](repeating: 3, count: 64)) == nil)
    let made = try #require(ourEncapsulation(ours.key, [UInt8](repeating: 3, count: 64)))
    #expect(ourShared(Array(made.ciphertext.dropLast()), ours.secret) == nil)
  }

  // MARK: ML-KEM-768

  @Test func mlkemAgreesBothWaysAndRejectsAlike() throws {
    var bytes = Bytes(11)
    for round in 0..<Self.rounds {
      let seed = bytes.take(64)
      var key = [UInt8](repeating: 0, count: 1_184)
      var kept = [UInt8](repeating: 0, count: 2_400)
      let made = sky_mlkem768_keypair(&key, &kept, seed)
      #expect(made == 0)
      let theirs = try MLKEM768.PrivateKey(seedRepresentation: seed, publicKey: nil)
      #expect(Array(theirs.publicKey.rawRepresentation) == key, "round \(round): public key")

      var shared = [UInt8](repeating: 0, count: 32)
      let result = try MLKEM768.PublicKey(rawRepresentation: key).encapsulate()
      let opened = sky_mlkem768_decapsulate(&shared, Array(result.encapsulated), kept)
      #expect(opened == 0)
      #expect(shared == array(result.sharedSecret), "round \(round): in")

      var ciphertext = [UInt8](repeating: 0, count: 1_088)
      let coins = bytes.take(32)
      let sealed = sky_mlkem768_encapsulate(&ciphertext, &shared, key, coins)
      #expect(sealed == 0)
      #expect(array(try theirs.decapsulate(Data(ciphertext))) == shared, "round \(round): out")

      let place = bytes.take(3)
      ciphertext[(Int(place[0]) << 8 | Int(place[1])) % 1_088] ^= 1 << (place[2] % 8)
      var rejected = [UInt8](repeating: 0, count: 32)
      let taken = sky_mlkem768_decapsulate(&rejected, ciphertext, kept)
      #expect(taken == 0)
      #expect(rejected != shared, "round \(round): the true secret came out")
      #expect(rejected == array(try theirs.decapsulate(Data(ciphertext))), "round \(round): implicit rejection")
    }
  }
}
