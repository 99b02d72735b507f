import Bounded
import SkyCrypto
import Wire

@testable import Node

private let helloXwing = 4 + Hello.xwingOffset
private let helloAgent = helloXwing + Limits.xwingPublicKeyBytes
private let helloToken = helloAgent + Limits.agentBytes
private let helloMac = 4 + Hello.macOffset
private let welcomeCipher = 4 + Welcome.ciphertextOffset
private let welcomeSignature = 4 + Welcome.signatureOffset

private func tampered(
  _ name: String, _ stage: Stage, _ victim: Side, _ code: ErrorCode, told: Told = .byName, frames: Int = 0,
  withToken: Bool = false, _ change: @escaping @Sendable (inout [UInt8]) -> Void
) -> Attack {
  Attack(name: name, victim: victim, code: code, told: told, genuineFrames: frames) { scene in
    if withToken { scene.requireToken() }
    scene.play(at: stage, withToken: withToken, change)
  }
}

/// Records of an honest session of its own, by stage. A sealed one of the highest version is long enough for all.
private func recorded(_ version: UInt8 = Limits.lowestVersion) -> [Stage: [UInt8]] {
  let scene = AttackScene(version: version)
  var records: [Stage: [UInt8]] = [:]
  scene.pair.start(hello: scene.pair.hello(withToken: false))
  scene.play { records[$0] = $1 }
  return records
}

let handshakeAttacks: [Attack] = helloAttacks + welcomeAttacks + confirmAttacks + readyAttacks + orderAttacks

private let helloAttacks: [Attack] = [
  tampered("HELLO: record type 0", .hello, .hub, .unknownRecord, put(0, at: 0)),
  tampered("HELLO: record type 99", .hello, .hub, .unknownRecord, put(99, at: 0)),
  tampered("HELLO: type of a WELCOME", .hello, .hub, .oversized, put(2, at: 0)),
  tampered("HELLO: epoch not zero", .hello, .hub, .malformed, put(1, at: 1)),
  tampered("HELLO: length one over", .hello, .hub, .oversized, lengthened(by: 1)),
  tampered("HELLO: length one under", .hello, .hub, .malformed, lengthened(by: -1)),
  tampered("HELLO: length 65535, refused on four bytes", .hello, .hub, .oversized) { $0 = [1, 0, 0xFF, 0xFF] },
  tampered("HELLO: length 0", .hello, .hub, .malformed) { $0 = [1, 0, 0, 0] },
  tampered("HELLO: no version in common, later", .hello, .hub, .versionUnsupported) {
    $0[4] = 9; $0[5] = 3
  },
  tampered("HELLO: version range empty", .hello, .hub, .malformed, put(9, at: 5)),
  tampered("HELLO: version 0", .hello, .hub, .malformed, put(0, at: 5)),
  tampered("HELLO: later versions claimed for the node", .hello, .node, .badSignature, put(9, at: 4)),
  tampered("HELLO: the other highest version", .hello, .node, .badSignature, flip(4, mask: 3)),
  tampered("HELLO: class that does not exist", .hello, .hub, .malformed, put(0x58, at: 6)),
  tampered("HELLO: another class", .hello, .node, .badSignature, put(NodeClass.desktop.rawValue, at: 6)),
  tampered("HELLO: duty that does not exist", .hello, .hub, .malformed, put(0x80, at: 7)),
  tampered("HELLO: another duty", .hello, .node, .badSignature, flip(7, mask: 4)),
  tampered("HELLO: instance", .hello, .node, .badSignature, flip(8)),
  tampered("HELLO: fingerprint", .hello, .node, .badSignature, flip(24)),
  tampered("HELLO: identity", .hello, .node, .badSignature, flip(56)),
  tampered("HELLO: nonce", .hello, .node, .badSignature, flip(88)),
  tampered("HELLO: X-Wing key, ML-KEM part", .hello, .node, .badSignature, flip(helloXwing)),
  tampered("HELLO: X-Wing key, X25519 part", .hello, .node, .badSignature, flip(helloAgent - 1)),
  tampered("HELLO: X-Wing key not an encoding", .hello, .hub, .keyExchangeFailed) { bytes in
    for i in helloXwing..<(helloXwing + 1_152) { bytes[i] = 0xFF }
  },
  tampered("HELLO: X-Wing key of low order in X25519", .hello, .hub, .keyExchangeFailed) { bytes in
    for i in (helloAgent - 32)..<helloAgent { bytes[i] = 0 }
  },
  tampered("HELLO: agent", .hello, .node, .badSignature, flip(helloAgent)),
  tampered("HELLO: token id added", .hello, .node, .badSignature, flip(helloToken)),
  tampered("HELLO: token MAC added", .hello, .node, .badSignature, flip(helloMac)),
  tampered("HELLO: token MAC flipped", .hello, .hub, .tokenInvalid, withToken: true, flip(helloMac)),
  tampered("HELLO: token MAC's last bit", .hello, .hub, .tokenInvalid, withToken: true, flip(-1)),
  tampered("HELLO: unknown token id", .hello, .hub, .tokenUnknown, withToken: true, flip(helloToken)),
  tampered("HELLO: token taken out", .hello, .hub, .tokenRequired, withToken: true) { bytes in
    for i in helloToken..<bytes.count { bytes[i] = 0 }
  },
  tampered("HELLO: identity under a token", .hello, .hub, .tokenInvalid, withToken: true, flip(56)),
  tampered("HELLO: X-Wing key under a token", .hello, .hub, .tokenInvalid, withToken: true, flip(helloXwing)),
]

private let welcomeAttacks: [Attack] = [
  tampered("WELCOME: unknown record type", .welcome, .node, .unknownRecord, put(17, at: 0)),
  tampered("WELCOME: epoch not zero", .welcome, .node, .malformed, put(1, at: 1)),
  tampered("WELCOME: length one over", .welcome, .node, .oversized, lengthened(by: 1)),
  tampered("WELCOME: length one under", .welcome, .node, .malformed, lengthened(by: -1)),
  tampered("WELCOME: version 0", .welcome, .node, .versionUnsupported, put(0, at: 4)),
  tampered("WELCOME: version 3", .welcome, .node, .versionUnsupported, put(3, at: 4)),
  tampered("WELCOME: reserved byte", .welcome, .node, .malformed, put(1, at: 5)),
  tampered("WELCOME: reserved word", .welcome, .node, .malformed, put(1, at: 7)),
  tampered("WELCOME: node id", .welcome, .node, .badSignature, flip(11)),
  tampered("WELCOME: hub id", .welcome, .node, .badSignature, flip(15)),
  tampered("WELCOME: hub key against the pin", .welcome, .node, .hubKeyMismatch, flip(16)),
  Attack(name: "WELCOME: hub key without a pin", victim: .node, code: .badSignature) { scene in
    scene.pair.start(expectedHubKey: Bytes32(repeating: 0), hello: scene.pair.hello(withToken: false))
    scene.play { stage, bytes in if stage == .welcome { bytes[16] ^= 1 } }
  },
  Attack(name: "WELCOME: a hub other than the pinned one", victim: .node, code: .hubKeyMismatch) { scene in
    scene.pair.start(expectedHubKey: Bytes32(repeating: 5), hello: scene.pair.hello(withToken: false))
    scene.play { _, _ in }
  },
  tampered("WELCOME: nonce", .welcome, .node, .badSignature, flip(48)),
  tampered("WELCOME: ciphertext, ML-KEM part", .welcome, .node, .badSignature, flip(welcomeCipher)),
  tampered("WELCOME: ciphertext, X25519 part", .welcome, .node, .badSignature, flip(welcomeSignature - 1)),
  tampered("WELCOME: signature's first half", .welcome, .node, .badSignature, flip(welcomeSignature)),
  tampered("WELCOME: signature's second half", .welcome, .node, .badSignature, flip(-1)),
  tampered("WELCOME: signature all zero", .welcome, .node, .badSignature) { bytes in
    for i in welcomeSignature..<bytes.count { bytes[i] = 0 }
  },
]

private let confirmAttacks: [Attack] = [
  tampered("CONFIRM: unknown record type", .confirm, .hub, .unknownRecord, put(6, at: 0)),
  tampered("CONFIRM: epoch not zero", .confirm, .hub, .malformed, put(1, at: 1)),
  tampered("CONFIRM: length one over", .confirm, .hub, .oversized, lengthened(by: 1)),
  tampered("CONFIRM: length one under", .confirm, .hub, .malformed, lengthened(by: -1)),
  tampered("CONFIRM: signature", .confirm, .hub, .badSignature, flip(4)),
  tampered("CONFIRM: signature's last byte", .confirm, .hub, .badSignature, flip(67)),
  tampered("CONFIRM: tag", .confirm, .hub, .confirmationFailed, flip(68)),
  tampered("CONFIRM: tag's last bit", .confirm, .hub, .confirmationFailed, flip(-1)),
  Attack(name: "CONFIRM: signed by another key than HELLO's", victim: .hub, code: .badSignature) { scene in
    var hello = scene.pair.hello(withToken: false)
    hello.identity = scene.pair.hubIdentity.publicKey
    scene.pair.start(hello: hello)
    scene.play { _, _ in }
  },
  Attack(name: "CONFIRM: identity of small order", victim: .hub, code: .badSignature) { scene in
    var hello = scene.pair.hello(withToken: false)
    hello.identity = InlineArray { $0 == 0 ? 1 : 0 }
    scene.pair.start(hello: hello)
    scene.play { stage, bytes in
      // R the neutral element, S zero: verifies for a library that takes such keys.
      if stage == .confirm { for i in 4..<68 { bytes[i] = i == 4 ? 1 : 0 } }
    }
  },
]

private let readyAttacks: [Attack] = [
  // The hub is established and takes nothing in the clear: it ends with an error of its own.
  tampered(
    "READY: unknown record type", .ready, .node, .unknownRecord, told: .endsWith(.unexpectedRecord), put(0, at: 0)),
  tampered("READY: epoch not zero", .ready, .node, .malformed, told: .endsWith(.unexpectedRecord), put(1, at: 1)),
  tampered(
    "READY: length one over", .ready, .node, .oversized, told: .endsWith(.unexpectedRecord), lengthened(by: 1)),
  tampered(
    "READY: length one under", .ready, .node, .malformed, told: .endsWith(.unexpectedRecord), lengthened(by: -1)),
  tampered("READY: tag", .ready, .node, .confirmationFailed, told: .endsWith(.unexpectedRecord), flip(4)),
  tampered("READY: tag's last bit", .ready, .node, .confirmationFailed, told: .endsWith(.unexpectedRecord), flip(-1)),
]

private func crossed(_ name: String, _ victim: Side, _ code: ErrorCode, token: Bool) -> Attack {
  Attack(name: name, victim: victim, code: code) { scene in
    if token { scene.requireToken() }
    scene.pair.start(
      nodeExporter: Bytes32(repeating: 1), hubExporter: Bytes32(repeating: 2),
      hello: scene.pair.hello(withToken: token))
    scene.play { _, _ in }
  }
}

private let orderAttacks: [Attack] = [
  crossed("two TLS connections spliced, known key", .node, .badSignature, token: false),
  crossed("two TLS connections spliced, token", .hub, .tokenInvalid, token: true),
  Attack(name: "HELLO reflected to the node", victim: .node, code: .unexpectedRecord) { scene in
    var own: [UInt8] = []
    scene.pair.start(hello: scene.pair.hello(withToken: false))
    scene.play { stage, bytes in
      if stage == .hello { own = bytes }
      if stage == .welcome { bytes = own }
    }
  },
  tampered("WELCOME reflected to the hub", .confirm, .hub, .unexpectedRecord) { bytes in
    bytes = recorded()[.welcome]!
  },
  tampered("CONFIRM reflected to the node", .ready, .node, .unexpectedRecord, told: .endsWith(.unexpectedRecord)) {
    $0 = recorded()[.confirm]!
  },
  tampered("CONFIRM before HELLO", .hello, .hub, .unexpectedRecord) { $0 = recorded()[.confirm]! + $0 },
  tampered("READY to a hub", .hello, .hub, .unexpectedRecord) { $0 = recorded()[.ready]! + $0 },
  tampered("READY before WELCOME", .welcome, .node, .unexpectedRecord) { $0 = recorded()[.ready]! + $0 },
  tampered("HELLO twice", .confirm, .hub, .unexpectedRecord) { $0 = recorded()[.hello]! + $0 },
  tampered("WELCOME twice", .ready, .node, .unexpectedRecord, told: .endsWith(.unexpectedRecord)) {
    $0 = recorded()[.welcome]! + $0
  },
  tampered("sealed record before HELLO", .hello, .hub, .unexpectedRecord) {
    $0 = recorded(Limits.highestVersion)[.messageToHub]! + $0
  },
  tampered("sealed record before WELCOME", .welcome, .node, .unexpectedRecord) {
    $0 = recorded(Limits.highestVersion)[.messageToNode]! + $0
  },
  tampered("sealed record before CONFIRM", .confirm, .hub, .unexpectedRecord) {
    $0 = recorded(Limits.highestVersion)[.messageToHub]! + $0
  },
  tampered("sealed record before READY", .ready, .node, .unexpectedRecord, told: .endsWith(.unexpectedRecord)) {
    $0 = recorded(Limits.highestVersion)[.messageToNode]! + $0
  },
  tampered("refusal to a hub before HELLO", .hello, .hub, .unexpectedRecord) { $0 = [5, 0, 0, 2, 0, 85] },
  tampered("refusal of three bytes", .welcome, .node, .oversized) { $0 = [5, 0, 0, 3, 0, 85, 0] },
  tampered("refusal of one byte", .welcome, .node, .malformed) { $0 = [5, 0, 0, 1, 85] },
  Attack(name: "recorded HELLO and CONFIRM on a new connection, known key", victim: .hub, code: .badSignature) {
    scene in
    let old = replayable()
    scene.pair.start(hubExporter: Bytes32(repeating: 0x77), hello: scene.pair.hello(withToken: false))
    scene.play { stage, bytes in
      if stage == .hello { bytes = old.hello }
      // The node that was recorded is not there: its place is taken by the recording.
      if stage == .welcome { scene.skipNode(&bytes) }
      if stage == .confirm { bytes = old.confirm }
    }
  },
  Attack(name: "recorded HELLO on a new connection, token", victim: .hub, code: .tokenInvalid) { scene in
    scene.requireToken()
    let old = replayable()
    scene.pair.start(hubExporter: Bytes32(repeating: 0x77))
    scene.play { stage, bytes in if stage == .hello { bytes = old.hello } }
  },
  Attack(name: "recorded HELLO and CONFIRM, exporter the same, hub's nonce fresh", victim: .hub, code: .badSignature) {
    scene in
    let old = replayable()
    _ = scene.pair.hubRandom.next()
    scene.pair.start(hello: scene.pair.hello(withToken: false))
    scene.play { stage, bytes in
      if stage == .hello { bytes = old.hello }
      if stage == .welcome { scene.skipNode(&bytes) }
      if stage == .confirm { bytes = old.confirm }
    }
  },
  Attack(name: "recorded WELCOME on a new connection", victim: .node, code: .badSignature) { scene in
    let old = recorded()[.welcome]!
    _ = scene.pair.nodeRandom.next()
    scene.pair.start(hello: scene.pair.hello(withToken: false))
    scene.play { stage, bytes in if stage == .welcome { bytes = old } }
  },
  Attack(name: "HELLO's MAC from another HELLO", victim: .hub, code: .tokenInvalid) { scene in
    scene.requireToken()
    let other = replayable().hello
    _ = scene.pair.nodeRandom.next()
    scene.pair.start()
    scene.play { stage, bytes in
      if stage == .hello { bytes.replaceSubrange(helloMac..., with: other[helloMac...]) }
    }
  },
]

/// HELLO (with token) and CONFIRM of an honest session.
private func replayable() -> (hello: [UInt8], confirm: [UInt8]) {
  let scene = AttackScene()
  var records: [Stage: [UInt8]] = [:]
  scene.pair.start()
  scene.play { records[$0] = $1 }
  return (records[.hello]!, records[.confirm]!)
}

extension AttackScene {
  /// Takes the hub's answer away from the node, as if an attacker had the stream.
  func skipNode(_ bytes: inout [UInt8]) { bytes = [] }
}

private func refusing(_ code: ErrorCode) -> Attack {
  Attack(name: "admission refused: \(code)", victim: .hub, code: code) { scene in
    scene.decide = { _ in code }
    scene.pair.start()
    scene.play { _, _ in }
  }
}

/// The decision is the hub's registry's; here only that the node hears it by name and nothing else happens.
let admissionAttacks: [Attack] =
  [
    ErrorCode.tokenRequired, .tokenUnknown, .tokenExpired, .tokenUsed, .revoked, .cloneDetected, .sessionBusy, .hubFull,
    .classRefused, .addressesExhausted,
  ].map(refusing) + [
    Attack(name: "token: none where one is needed", victim: .hub, code: .tokenRequired) { scene in
      scene.requireToken()
      scene.pair.start(hello: scene.pair.hello(withToken: false))
      scene.play { _, _ in }
    },
    Attack(name: "token: wrong secret", victim: .hub, code: .tokenInvalid) { scene in
      scene.requireToken()
      scene.pair.start(secret: InlineArray(repeating: 8))
      scene.play { _, _ in }
    },
    Attack(name: "token: unknown id", victim: .hub, code: .tokenUnknown) { scene in
      scene.requireToken()
      var hello = scene.pair.hello()
      hello.tokenId = InlineArray(repeating: 6)
      scene.pair.start(hello: hello)
      scene.play { _, _ in }
    },
  ]
