import Bounded
import SkyCrypto
import Testing

@Suite struct SecretTests {
  @Test func aNewSecretIsZero() {
    #expect(Secret<32>().bytes == [UInt8](repeating: 0, count: 32))
    #expect(Secret<64>().bytes == [UInt8](repeating: 0, count: 64))
  }

  @Test func itTakesExactlyItsLength() {
    func makes(_ count: Int) -> Bool {
      let bytes = [UInt8](repeating: 5, count: count)
      return Secret<32>(bytes.span.bytes) != nil
    }
    #expect([0, 31, 32, 33, 64].map(makes) == [false, false, true, false, false])
  }

  @Test func wipingLeavesZerosInItsMemory() {
    var secret = secret32(String(repeating: "5a", count: 32))
    let address = secret.withBytes { $0.baseAddress }
    secret.wipe()
    #expect(secret.bytes == [UInt8](repeating: 0, count: 32))
    let after = secret.withBytes { $0.baseAddress }
    #expect(address == after, "the same memory, not another")
  }

  @Test func aCopyIsIndependent() {
    let original = secret32(String(repeating: "5a", count: 32))
    var copy = Secret<32>()
    copy.copy(from: original)
    let equal = copy.equals(original)
    #expect(equal)
    copy.wipe()
    #expect(original.bytes == [UInt8](repeating: 0x5A, count: 32))
  }

  @Test func everyByteCountsInAComparison() {
    let original = secret32(String(repeating: "5a", count: 32))
    for i in 0..<32 {
      for bit in 0..<8 as Range<UInt8> {
        var bytes = original.bytes
        bytes[i] ^= 1 << bit
        let other = Secret<32>(bytes.span.bytes)!
        let same = other.equals(original)
        #expect(!same, "bit \(bit) of byte \(i)")
        #expect(!equal(Bytes32(copying: bytes.span.bytes), Bytes32(repeating: 0x5A)))
      }
    }
    #expect(equal(Bytes32(repeating: 0x5A), Bytes32(repeating: 0x5A)))
  }

  @Test func itIsOnePointer() {
    #expect(MemoryLayout<Secret<32>>.size == MemoryLayout<Int>.size)
  }
}

@Suite struct DrbgTests {
  @Test func theSameSeedGivesTheSameSequence() {
    var a = Drbg(seed: secret32("07"))
    var b = Drbg(seed: secret32("07"))
    for _ in 0..<100 {
      let (x, y) = (a.next(), b.next())
      #expect(x == y)
    }
    var other = Drbg(seed: secret32("08"))
    let (x, y) = (a.next(), other.next())
    #expect(x != y)
  }

  @Test func everyWayOfDrawingAdvances() {
    var random = Drbg(seed: secret32("07"))
    var seen: Set<[UInt8]> = []
    for _ in 0..<100 {
      var short = Secret<32>()
      var long = Secret<64>()
      random.fill(&short)
      random.fill(&long)
      let block = random.bytes32()
      seen.formUnion([short.bytes, Array(long.bytes[..<32]), Array(long.bytes[32...]), array(block.raw)])
    }
    #expect(seen.count == 400)
  }

  @Test func reseedingMixesBothIn() {
    func first(seed: String, entropy: UInt8) -> UInt64 {
      var random = Drbg(seed: secret32(seed))
      random.reseed(Bytes32(repeating: entropy))
      return random.next()
    }
    #expect(first(seed: "07", entropy: 1) == first(seed: "07", entropy: 1))
    #expect(first(seed: "07", entropy: 1) != first(seed: "07", entropy: 2))
    #expect(first(seed: "07", entropy: 1) != first(seed: "08", entropy: 1))
  }

  @Test func aBoundedDrawIsInsideAndEven() {
    var random = Drbg(seed: secret32("07"))
    let none = random.next(below: 0)
    let only = random.next(below: 1)
    #expect(none == 0)
    #expect(only == 0)
    var counts = [Int](repeating: 0, count: 10)
    for _ in 0..<10_000 { counts[Int(random.next(below: 10))] += 1 }
    #expect(counts.allSatisfy { 850...1_150 ~= $0 }, "\(counts)")
    for _ in 0..<100 {
      let large = random.next(below: .max)
      #expect(large < .max)
    }
  }
}

@Suite struct AeadTests {
  private func sealed(_ aead: Aead, counter: UInt64 = 9) -> [UInt8] {
    var queue = ByteQueue(capacity: 64)
    let plain: [UInt8] = [1, 2, 3, 4, 10, 11, 12] + [UInt8](repeating: 0, count: aead.tagBytes)
    queue.append(plain.span.bytes)
    aead.seal(&queue, additional: 0..<4, text: 4..<7, counter: counter, key: secret32("42"))
    return array(queue.bytes)
  }

  private func open(_ aead: Aead, _ bytes: [UInt8], counter: UInt64 = 9, key: String = "42") -> [UInt8]? {
    var queue = ByteQueue(capacity: 64)
    queue.append(bytes.span.bytes)
    let isGenuine = aead.open(&queue, additional: 0..<4, text: 4..<7, counter: counter, key: secret32(key))
    let text = Array(array(queue.bytes)[4..<7])
    if !isGenuine { #expect(text == [0, 0, 0], "what does not authenticate is not shown") }
    return isGenuine ? text : nil
  }

  @Test(arguments: [.chaCha20Poly1305, .aegis256] as [Aead]) func onlyTheGenuineRecordOpens(_ aead: Aead) {
    let bytes = sealed(aead)
    #expect(open(aead, bytes) == [10, 11, 12])
    for i in bytes.indices {
      for bit in 0..<8 as Range<UInt8> {
        var damaged = bytes
        damaged[i] ^= 1 << bit
        #expect(open(aead, damaged) == nil, "bit \(bit) of byte \(i)")
      }
    }
    #expect(open(aead, bytes, counter: 8) == nil)
    #expect(open(aead, bytes, counter: 9 | 1 << 63) == nil)
    #expect(open(aead, bytes, key: "43") == nil)
    #expect(sealed(aead, counter: 10) != bytes)
  }
}

@Suite struct IdentityTests {
  private let context = Bytes32(repeating: 1)
  private let digest = Bytes32(repeating: 2)

  private func verifies(
    _ signature: Signature, _ key: Bytes32, label: StaticString = "skynod1 welcome", context: Bytes32? = nil,
    digest: Bytes32? = nil
  ) -> Bool {
    Identity.verify(
      signature, by: key, label: label, context: context ?? self.context, digest: digest ?? self.digest)
  }

  @Test func aSignatureIsForOneLabelContextAndDigestByOneKey() {
    let identity = Identity(seed: secret32("11"))
    let other = Identity(seed: secret32("12"))
    let (key, otherKey) = (identity.publicKey, other.publicKey)
    let signature = identity.sign(label: "skynod1 welcome", context: context, digest: digest)
    #expect(verifies(signature, key))
    #expect(!verifies(signature, otherKey))
    #expect(!verifies(signature, key, label: "skynod1 confirm"))
    #expect(!verifies(signature, key, label: "skynod1 welcom"))
    #expect(!verifies(signature, key, context: digest, digest: context))
    for i in 0..<64 {
      var damaged = signature
      damaged[i] ^= 1
      #expect(!verifies(damaged, key), "byte \(i)")
    }
    #expect(!verifies(Signature(repeating: 0), key))
    #expect(!verifies(Signature(repeating: 0), Bytes32(repeating: 0)), "no small-order key passes for anybody")
  }

  @Test func theAddressIsTheHashOfTheKey() {
    var text = TextBuffer(capacity: 128)
    let key = Identity(seed: secret32("11")).publicKey
    Identity.appendAddress(of: key, to: &text)
    #expect(String(decoding: array(text.bytes), as: UTF8.self) == "SKC-" + hex(Sha256.digest(key.raw).raw))
  }
}
