import Bounded
import Node
import TestSupport
import Wire

extension FuzzTarget {
  /// A relay between a hub and a leaf that both went mad after they were let in: every frame they seal is the input's.
  ///
  /// Held for every script: the node's own invariants, and that no frame of the leaf reaches the hub under a name that
  /// is not the leaf's.
  static let relay = FuzzTarget(
    name: "relay",
    run: { bytes in
      let world = RelayWorld()
      var script = Script(bytes)
      while let step = script.byte() { take(step, &script, world) }
    },
    seeds: {
      // side, kind, flags, source, destination, sequence, count of the body, body
      func frame(_ side: UInt8, _ kind: UInt8, _ from: UInt8, _ to: UInt8, _ body: [UInt8] = []) -> [UInt8] {
        [side, kind, 0, from, to, 7, 0, UInt8(body.count)] + body
      }
      let leaf: UInt8 = 1
      let word: [UInt8] = [0, 0x0F, 0x42, 0x41, 0, 35]
      return [
        Seed(
          name: "up",
          bytes: frame(0, 4, leaf, 0, [0x68, 0x69]) + frame(0, 2, leaf, 0, [UInt8](repeating: 0, count: 37))),
        Seed(
          name: "down",
          bytes: frame(1, 4, 5, leaf, [0x68, 0x69]) + frame(0, 5, leaf, 5, [0, 0, 0, 0, 0, 0, 0, 7, 0, 0])),
        Seed(name: "to-the-relay", bytes: frame(0, 4, leaf, 2, [0x68])),
        Seed(name: "stray", bytes: frame(1, 4, 5, 6, [0x68])),
        Seed(name: "spoofed", bytes: frame(0, 4, 5, 0, [0x68])),
        Seed(name: "detached", bytes: frame(1, 36, 0, 2, word)),
        Seed(name: "ping", bytes: frame(1, 8, 0, leaf) + frame(0, 9, leaf, 0)),
        Seed(name: "second-proof", bytes: [2, 200] + frame(0, 33, leaf, 0, [UInt8](repeating: 1, count: 68))),
        Seed(
          name: "behind-the-leaf",
          bytes: frame(0, 30, leaf, 0, [UInt8](repeating: 1, count: 60)) + frame(1, 35, 0, leaf, word)),
        Seed(name: "time", bytes: [2, 30, 3, 2, 120, 3]),
        Seed(name: "gone", bytes: [4, 0] + frame(1, 4, 5, leaf, [1])),
        Seed(name: "hub-gone", bytes: [4, 1] + frame(0, 4, leaf, 0, [1])),
      ]
    })

  private static func take(_ step: UInt8, _ script: inout Script, _ world: RelayWorld) {
    switch step {
    case 0, 1: send(fromHub: step == 1, &script, world)
    case 2: world.now = world.now + UInt64(script.byte() ?? 0) * 1_000
    case 3: world.node.handle(.tick, now: world.now)
    case 4: if script.byte() == 1 { world.loseHub() } else { world.losePeer() }
    default: break
    }
    world.settle()
  }

  private static func id(_ byte: UInt8) -> UInt32 {
    switch byte {
    case 0: 0
    case 1: RelayWorld.leafId
    case 2: RelayWorld.relayId
    default: RelayWorld.relayId + UInt32(byte)
    }
  }

  private static func send(fromHub: Bool, _ script: inout Script, _ world: RelayWorld) {
    let kind = FrameKind(rawValue: script.byte() ?? 4) ?? .message
    let flags = (script.byte() ?? 0) & (kind == .message ? 3 : 1)
    let (source, destination) = (id(script.byte() ?? 0), id(script.byte() ?? 0))
    let header = FrameHeader(
      kind: kind, flags: flags, hops: script.byte() ?? 0, source: source, destination: destination,
      sequence: UInt64(script.byte() ?? 0))
    let body = script.literal(Int(script.byte() ?? 0))
    world.send(fromHub: fromHub, header, body.span.bytes)
  }
}
