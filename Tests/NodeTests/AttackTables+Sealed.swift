import Bounded
import SkyCrypto
import Wire

@testable import Node

private func sealed(
  _ name: String, to victim: Side, _ code: ErrorCode, told: Told = .byName,
  _ change: @escaping @Sendable (inout [UInt8]) -> Void
) -> Attack {
  Attack(name: "\(name), to the \(victim)", victim: victim, code: code, told: told) { scene in
    scene.establish()
    scene.say("secret", from: victim == .hub ? .node : .hub)
    var bytes = scene.intercept(to: victim)
    change(&bytes)
    scene.inject(bytes, to: victim)
  }
}

private func scripted(
  _ name: String, _ victim: Side, _ code: ErrorCode, told: Told = .byName, frames: Int = 0,
  _ script: @escaping @Sendable (AttackScene) -> Void
) -> Attack {
  Attack(name: name, victim: victim, code: code, told: told, genuineFrames: frames) { scene in
    scene.establish()
    script(scene)
  }
}

private func bothWays(_ victim: Side) -> [Attack] {
  let sender: Side = victim == .hub ? .node : .hub
  return [
    sealed("sealed: record type flipped", to: victim, .unknownRecord, flip(0)),
    sealed("sealed: type of a handshake record", to: victim, .oversized, put(4, at: 0)),
    sealed("sealed: next epoch claimed", to: victim, .wrongEpoch, put(1, at: 1)),
    sealed("sealed: epoch 255", to: victim, .wrongEpoch, put(255, at: 1)),
    sealed("sealed: one byte shorter", to: victim, .decryptFailed) {
      lengthened(by: -1)(&$0); $0.removeLast()
    },
    sealed("sealed: one byte longer", to: victim, .decryptFailed) {
      lengthened(by: 1)(&$0); $0.append(0)
    },
    sealed("sealed: too short for a frame", to: victim, .malformed) { $0 = [16, 0, 0, 47] },
    sealed("sealed: oversized, refused on four bytes", to: victim, .oversized) {
      $0 = [16, 0, UInt8((Limits.sealedPayloadBytes + 1) >> 8), UInt8((Limits.sealedPayloadBytes + 1) & 255)]
    },
    sealed("sealed: counter", to: victim, .decryptFailed, flip(11)),
    sealed("sealed: counter's highest bit", to: victim, .decryptFailed, flip(4, mask: 0x80)),
    sealed("sealed: ciphertext of the header", to: victim, .decryptFailed, flip(12)),
    sealed("sealed: ciphertext of the body", to: victim, .decryptFailed, flip(41)),
    sealed("sealed: tag's first bit", to: victim, .decryptFailed, flip(42)),
    sealed("sealed: tag's last bit", to: victim, .decryptFailed, flip(-1)),
    scripted("sealed: replayed, to the \(victim)", victim, .replayed, frames: 1) { scene in
      scene.say("once", from: sender)
      let bytes = scene.intercept(to: victim)
      scene.inject(bytes + bytes, to: victim)
    },
    scripted("sealed: held back beyond the window, to the \(victim)", victim, .replayed, frames: 64) { scene in
      scene.say("late", from: sender)
      let late = scene.intercept(to: victim)
      for i in 1...Int(Limits.replayWindowFrames) { scene.say("\(i)", from: sender) }
      scene.inject(scene.intercept(to: victim) + late, to: victim)
    },
    scripted("sealed: reflected, to the \(victim)", victim, .decryptFailed) { scene in
      scene.say("to the other side", from: victim)
      scene.inject(scene.intercept(to: sender), to: victim)
    },
    scripted("sealed: from another session, to the \(victim)", victim, .decryptFailed) { scene in
      let other = AttackScene(version: scene.pair.versions.node)
      _ = other.pair.hubRandom.next()
      other.establish()
      other.say("elsewhere", from: sender)
      scene.inject(other.intercept(to: victim), to: victim)
    },
    scripted("sealed: after the key's last moment, to the \(victim)", victim, .keyExpired, told: .nothing) { scene in
      scene.say("stale", from: sender)
      scene.pair.now = scene.pair.now + Limits.keyRefusedAfterMs + 1
      scene.pump(victim)
    },
    scripted("handshake record after READY, to the \(victim)", victim, .unexpectedRecord) {
      $0.inject([4, 0, 0, 32] + [UInt8](repeating: 0, count: 32), to: victim)
    },
    scripted("refusal in the clear after READY, to the \(victim)", victim, .unexpectedRecord) {
      $0.inject([5, 0, 0, 2, 0, 85], to: victim)
    },
    scripted("frame: kind 0, to the \(victim)", victim, .malformedFrame) {
      $0.inject($0.forge(rawFrame(kind: 0), from: sender), to: victim)
    },
    scripted("frame: unknown kind, to the \(victim)", victim, .malformedFrame) {
      $0.inject($0.forge(rawFrame(kind: 13), from: sender), to: victim)
    },
    scripted("frame: kind 255, to the \(victim)", victim, .malformedFrame) {
      $0.inject($0.forge(rawFrame(kind: 255), from: sender), to: victim)
    },
    scripted("frame: unknown flag, to the \(victim)", victim, .malformedFrame) {
      $0.inject($0.forge(rawFrame(kind: 4, flags: 8), from: sender), to: victim)
    },
    scripted("frame: sealed, and no message, to the \(victim)", victim, .malformedFrame) {
      $0.inject($0.forge(rawFrame(kind: 5, flags: 2), from: sender), to: victim)
    },
    scripted("frame: all flags, to the \(victim)", victim, .malformedFrame) {
      $0.inject($0.forge(rawFrame(kind: 4, flags: 0xFF), from: sender), to: victim)
    },
    scripted("CLOSE without a code, to the \(victim)", victim, .malformed) {
      $0.send(FrameHeader(kind: .close), from: sender)
      $0.pump(victim)
    },
    scripted("CLOSE with half a code, to the \(victim)", victim, .malformed) {
      $0.send(FrameHeader(kind: .close), [85], from: sender)
      $0.pump(victim)
    },
  ]
}

let recordAttacks: [Attack] = bothWays(.hub) + bothWays(.node)

let rekeyAttacks: [Attack] = [
  Attack(name: "REKEY INIT tampered on the wire", victim: .hub, code: .decryptFailed, genuineFrames: 1) {
    $0.play(at: .rekeyInit, flip(100))
  },
  Attack(
    name: "REKEY REPLY tampered on the wire", victim: .node, code: .decryptFailed,
    told: .byName, genuineFrames: 1
  ) {
    $0.play(at: .rekeyReply, flip(100))
  },
  Attack(name: "REKEY DONE tampered on the wire", victim: .hub, code: .decryptFailed, genuineFrames: 1) {
    $0.play(at: .rekeyDone, flip(-1))
  },
  Attack(name: "REKEY INIT replayed", victim: .hub, code: .replayed, genuineFrames: 1) {
    $0.play(at: .rekeyInit) { $0 += $0 }
  },
  scripted("REKEY INIT one byte short", .hub, .rekeyFailed) {
    $0.send(FrameHeader(kind: .rekeyInit), [UInt8](repeating: 1, count: 1_215), from: .node)
    $0.pump(.hub)
  },
  scripted("REKEY INIT one byte long", .hub, .rekeyFailed) {
    $0.send(FrameHeader(kind: .rekeyInit), [UInt8](repeating: 1, count: 1_217), from: .node)
    $0.pump(.hub)
  },
  scripted("REKEY INIT with a key that is no encoding", .hub, .rekeyFailed) {
    $0.send(FrameHeader(kind: .rekeyInit), [UInt8](repeating: 0xFF, count: 1_216), from: .node)
    $0.pump(.hub)
  },
  scripted("REKEY INIT from the hub", .node, .rekeyFailed) {
    $0.send(FrameHeader(kind: .rekeyInit), [UInt8](repeating: 1, count: 1_216), from: .hub)
    $0.pump(.node)
  },
  scripted("second REKEY INIT before the first is done", .hub, .rekeyFailed) {
    $0.halfRekey()
    $0.send(FrameHeader(kind: .rekeyInit), [UInt8](repeating: 1, count: 1_216), from: .node)
    $0.pump(.hub)
  },
  scripted("REKEY REPLY nobody asked for", .node, .rekeyFailed) {
    $0.send(FrameHeader(kind: .rekeyReply), [UInt8](repeating: 1, count: 1_120), from: .hub)
    $0.pump(.node)
  },
  scripted("REKEY REPLY to a hub", .hub, .rekeyFailed) {
    $0.send(FrameHeader(kind: .rekeyReply), [UInt8](repeating: 1, count: 1_120), from: .node)
    $0.pump(.hub)
  },
  scripted("REKEY REPLY one byte short", .node, .rekeyFailed) { scene in
    scene.beginRekeyAndLoseIt()
    scene.send(FrameHeader(kind: .rekeyReply), [UInt8](repeating: 1, count: 1_119), from: .hub)
    scene.pump(.node)
  },
  scripted("REKEY REPLY twice", .node, .wrongEpoch) { scene in
    scene.halfRekey()
    let reply = scene.intercept(to: .node)
    scene.inject(reply + reply, to: .node)
  },
  scripted("REKEY REPLY for another key: the new keys differ", .hub, .decryptFailed, told: .endsWith(.wrongEpoch)) {
    scene in
    // The hub answers twice: first with a ciphertext for nobody, which the node takes.
    do throws(ErrorCode) {
      try scene.pair.node.beginRekey(now: scene.pair.now, random: &scene.pair.nodeRandom)
    } catch { return }
    scene.send(FrameHeader(kind: .rekeyReply), [UInt8](repeating: 1, count: 1_120), from: .hub)
    scene.pump(.node)
    scene.pump(.hub)
  },
  scripted("REKEY DONE with a body", .hub, .malformedFrame) {
    $0.send(FrameHeader(kind: .rekeyDone), [1], from: .node)
    $0.pump(.hub)
  },
  scripted("REKEY DONE to a node", .node, .malformedFrame) {
    $0.send(FrameHeader(kind: .rekeyDone), from: .hub)
    $0.pump(.node)
  },
  scripted("record under the old key after the renewal", .hub, .wrongEpoch, told: .byName) { scene in
    scene.say("old", from: .node)
    let old = scene.intercept(to: .hub)
    scene.halfRekey()
    scene.pump(.node)
    scene.pump(.hub)
    scene.inject(old, to: .hub)
  },
  scripted("record under a key before its renewal", .node, .wrongEpoch) { scene in
    scene.inject(scene.forge(rawFrame(kind: 4), from: .hub, epoch: 1), to: .node)
  },
  scripted("record two epochs ahead while a renewal is open", .hub, .wrongEpoch) { scene in
    scene.halfRekey()
    scene.inject(scene.forge(rawFrame(kind: 4), from: .node, epoch: 2), to: .hub)
  },
  scripted("record of the next epoch under the old key", .hub, .decryptFailed) { scene in
    scene.halfRekey()
    scene.inject(scene.forge(rawFrame(kind: 4), from: .node, epoch: 1), to: .hub)
  },
  scripted("new key first used after its last moment", .hub, .keyExpired, told: .nothing) { scene in
    scene.halfRekey()
    scene.pump(.node)
    scene.pair.now = scene.pair.now + Limits.keyRefusedAfterMs + 1
    scene.pump(.hub)
  },
]

extension AttackScene {
  /// The node's offer never arrives.
  func beginRekeyAndLoseIt() {
    do throws(ErrorCode) { try pair.node.beginRekey(now: pair.now, random: &pair.nodeRandom) } catch { return }
    _ = intercept(to: .hub)
  }
}
