import Bounded
import CSky
import SkyCrypto
import Testing

/// Known answers of the standards, through the layer that ships. Where a typed call fixes a length that a
/// vector does not have, the vector goes through the C function that the call stands on.
@Suite struct VectorTests {
  /// FIPS 180-4 examples, and the empty text.
  @Test(arguments: [
    ("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    ("aaaaaaaaaa", 100_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
  ]) func sha256(_ text: String, _ times: Int, _ expected: String) {
    var hash = Sha256()
    let part = Array(text.utf8)
    for _ in 0..<times { hash.update(part.span.bytes) }
    #expect(hex(hash.digest.raw) == expected)
    #expect(hex(hash.digest.raw) == expected, "reading the digest changes nothing")
  }

  @Test func sha256DoesNotCareHowItIsFed() {
    let text = (0..<200).map { UInt8($0) }
    let whole = Sha256.digest(text.span.bytes)
    for cut in 0...200 {
      var hash = Sha256()
      hash.update(text.span.bytes.extracting(0..<cut))
      let early = hash.digest
      hash.update(text.span.bytes.extracting(cut..<200))
      #expect(equal(hash.digest, whole), "cut at \(cut)")
      #expect(equal(early, Sha256.digest(text.span.bytes.extracting(0..<cut))))
    }
  }

  /// RFC 4231, cases 1 to 3. HMAC pads a short key with zeros, so a 32-byte key holds each of theirs.
  @Test(arguments: [
    (
      String(repeating: "0b", count: 20), "4869205468657265",
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    ),
    (
      "4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    ),
    (
      String(repeating: "aa", count: 20), String(repeating: "dd", count: 50),
      "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
    ),
  ]) func hmacSha256(_ key: String, _ text: String, _ expected: String) {
    let key = secret32(key)
    let text = fromHex(text)
    let whole = hmac(key: key, text.span.bytes)
    #expect(hex(whole.raw) == expected)
    let parts = hmac(
      key: key, text.span.bytes.extracting(0..<1), text.span.bytes.extracting(1..<3),
      text.span.bytes.extracting(3..<text.count))
    #expect(hex(parts.raw) == expected, "in three parts")
  }

  /// RFC 5869, cases 1 and 3; the first 32 bytes of the output.
  @Test(arguments: [
    (
      "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
      "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
      "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
    ),
    (
      "", "", "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
      "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    ),
  ]) func hkdfSha256(_ salt: String, _ info: String, _ extracted: String, _ expanded: String) {
    var salt = fromHex(salt)
    salt += [UInt8](repeating: 0, count: 32 - salt.count)
    let material = [UInt8](repeating: 0x0B, count: 22)
    let info = fromHex(info)
    var (prk, okm) = ([UInt8](repeating: 0, count: 32), [UInt8](repeating: 0, count: 32))
    for cut in [0, 9, 22] {
      material.withUnsafeBufferPointer {
        sky_hkdf_extract(&prk, salt, $0.baseAddress, cut, $0.baseAddress! + cut, 22 - cut)
      }
      #expect(hex(prk.span.bytes) == extracted, "material in two parts, \(cut) bytes in the first")
    }
    sky_hkdf_expand(&okm, prk, info, info.count)
    #expect(hex(okm.span.bytes) == expanded)
  }

  @Test func theTypedHkdfIsTheSameFunction() {
    let first = secret32("01")
    let second = secret32("02")
    let salt = Bytes32 { UInt8($0) }
    var prk = Secret<32>()
    Hkdf.extract(salt: salt, first, second, into: &prk)
    let material = first.bytes + second.bytes
    let byHand = hmac(key: Secret(salt.raw)!, material.span.bytes)
    #expect(prk.bytes == array(byHand.raw))
    var key = Secret<32>()
    Hkdf.expand(prk, label: "skynod 1 chain", into: &key)
    let block = Array("skynod 1 chain".utf8) + [1]
    let expanded = hmac(key: prk, block.span.bytes)
    #expect(key.bytes == array(expanded.raw))
  }

  /// RFC 8032, 7.1, tests 1 to 3.
  @Test(arguments: [
    (
      "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
      "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    ),
    (
      "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
      "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    ),
    (
      "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
      "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    ),
  ]) func ed25519(_ seed: String, _ publicKey: String, _ text: String, _ expected: String) {
    let identity = Identity(seed: secret32(seed))
    let shown = identity.publicKey
    #expect(hex(shown.raw) == publicKey)
    var (made, secret) = ([UInt8](repeating: 0, count: 32), [UInt8](repeating: 0, count: 64))
    sky_ed25519_keypair(&made, &secret, fromHex(seed))
    #expect(hex(made.span.bytes) == publicKey)
    let text = fromHex(text)
    var signature = [UInt8](repeating: 0, count: 64)
    sky_ed25519_sign(&signature, text, text.count, secret)
    #expect(hex(signature.span.bytes) == expected)
    #expect(sky_ed25519_verify(signature, text, text.count, made))
    #expect(!sky_ed25519_verify(signature, text + [0], text.count + 1, made))
  }

  /// RFC 8439, A.5: the nonce there is our four zero bytes and a counter.
  @Test func chaCha20Poly1305() {
    let key = secret32("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0")
    let additional = fromHex("f33388860000000000004e91")
    let sealed = fromHex(
      "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0bdb7b73c"
        + "321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c8559797a06ef4f0ef61"
        + "c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0"
        + "a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a0bb2316053fa76991955ebd63159434e"
        + "cebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4"
        + "022b02709b")
    let tag = fromHex("eead9d67890cbb22392336fea1851f38")
    let text = Array(
      "Internet-Drafts are draft documents valid for a maximum of six months and may be updated, replaced, or obsoleted by other documents at any time. It is inappropriate to use Internet-Drafts as reference material or to cite them other than as /“work in progress./”"
        .utf8)
    check(.chaCha20Poly1305, key, additional, text, sealed: sealed, tag: tag)
  }

  /// Derived with Tests/System/aegis.py, which is checked against the draft's own vector; that one has a nonce that is no
  /// counter.
  @Test func aegis256() {
    let key = secret32("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0")
    let additional = fromHex("f33388860000000000004e91")
    let text = Array("Twenty-four nodes and a hub.".utf8)
    let sealed = fromHex("028537ec382707baa9dedeca1d33a820605b63e78672a4f04a59d08b")
    let tag = fromHex("6806b4ecb9ffe9766f17e088efe3bc6b08bcb07c66e77c27c75f970988be9405")
    check(.aegis256, key, additional, text, sealed: sealed, tag: tag)
  }

  /// Sealed it is what is expected, opened what it was. The counter is the same in all of them.
  private func check(
    _ aead: Aead, _ key: borrowing Secret<32>, _ additional: [UInt8], _ text: [UInt8], sealed: [UInt8], tag: [UInt8]
  ) {
    let counter: UInt64 = 0x0102_0304_0506_0708
    let (ad, body) = (0..<additional.count, additional.count..<(additional.count + text.count))
    var queue = ByteQueue(capacity: 512)
    queue.append((additional + text + [UInt8](repeating: 0, count: aead.tagBytes)).span.bytes)
    aead.seal(&queue, additional: ad, text: body, counter: counter, key: key)
    let out = array(queue.bytes)
    #expect(out == additional + sealed + tag)
    let opened = aead.open(&queue, additional: ad, text: body, counter: counter, key: key)
    let back = Array(array(queue.bytes)[body])
    #expect(opened && back == text)
  }

  /// RFC 8439, A.1, test vector 1: the first block of an all-zero key is new key and output.
  @Test func theGeneratorIsChaCha20() {
    var random = Drbg(seed: Secret<32>())
    let first = random.bytes32()
    #expect(hex(first.raw) == "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586")
    let key = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
    var next = Drbg(seed: secret32(key))
    let (second, again) = (random.bytes32(), next.bytes32())
    #expect(equal(second, again), "the first half became the key")
  }
}

func array(_ span: RawSpan) -> [UInt8] { (0..<span.byteCount).map { span[$0] } }

func hex(_ span: RawSpan) -> String {
  array(span).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

func fromHex(_ text: String) -> [UInt8] {
  let digits = Array(text.utf8).map { UInt8(String(UnicodeScalar($0)), radix: 16)! }
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// A secret from hexadecimal, filled up with zeros.
func secret32(_ text: String) -> Secret<32> {
  var bytes = fromHex(text)
  bytes += [UInt8](repeating: 0, count: 32 - bytes.count)
  return Secret<32>(bytes.span.bytes)!
}

extension Secret {
  var bytes: [UInt8] { withBytes { Array($0) } }
}
