import Bounded
import Foundation
import Node
import Testing
import Wire

@testable import Hub

/// Hubs that die, come back with or without their disks, and lose sight of each other, while nodes move between them and
/// send: what was acknowledged arrives exactly once.
@Suite struct FellowStormTests {
  /// A node that keeps to the rules of durable messages: it sends again what was not acknowledged, in order, and takes each
  /// name once.
  private final class Board {
    let node: TestNode
    var hub: FellowScene.Member?
    var posted: UInt64 = 0
    /// Sequences that no hub has acknowledged.
    var open: [UInt64] = []
    var acknowledged: Set<UInt64> = []
    var window = Set<String>()
    var got: [String] = []

    init(_ node: TestNode) { self.node = node }

    func post(to destination: UInt32, _ scene: FellowScene) {
      posted += 1
      let sequence = posted % 4 == 0 ? Limits.urgentSequences + posted : posted
      open.append(sequence)
      send(sequence, to: destination, scene)
    }

    private func send(_ sequence: UInt64, to destination: UInt32, _ scene: FellowScene) {
      guard node.isOnline else { return }
      let stream: UInt64 = Limits.isUrgent(sequence) ? 78 : 77
      try? node.post("m\(sequence)", to: destination, stream: stream, sequence: sequence, now: scene.now)
    }

    func resend(to destination: UInt32, _ scene: FellowScene) {
      for sequence in open { send(sequence, to: destination, scene) }
    }

    func work() {
      for entry in node.stored where entry.failure == nil {
        open.removeAll { $0 == entry.sequence }
        acknowledged.insert(entry.sequence)
      }
      node.stored = []
      for message in node.durable where window.insert("\(message.frame.source) \(message.frame.sequence)").inserted {
        got.append(message.text)
      }
      node.durable = []
    }
  }

  @Test(arguments: 1...12 as ClosedRange<UInt64>)
  func whatIsAcknowledgedArrivesExactlyOnce(seed: UInt64) throws {
    var dice = Dice(seed)
    let scene = try FellowScene([1, 2, 3])
    let sender = Board(try scene.allowed(1, at: scene[1]))
    let receiver = Board(try scene.allowed(2, at: scene[1]))
    scene.pass(300)
    let destination = try #require(try scene[1].registry.node(key: receiver.node.key)).id
    for step in 0..<160 {
      switch dice.next(12) {
      case 0:
        let up = scene.hubs.filter(\.isUp)
        // A disk is lost only while others have all that was acknowledged.
        if up.count > 1 {
          try scene.kill(up[dice.next(up.count)], losesDisk: up.count == 3 && scene.isInStep && dice.next(2) == 0)
        }
      case 1, 2: if let down = scene.hubs.first(where: { !$0.isUp }) { try scene.start(down) }
      case 3: scene.partition(UInt32(1 + dice.next(3)), UInt32(1 + dice.next(3)))
      case 4, 5: scene.heal()
      case 6, 7:
        let board = dice.next(2) == 0 ? sender : receiver
        let up = scene.hubs.filter(\.isUp)
        guard !up.isEmpty else { break }
        board.work()
        scene.connect(board.node, to: up[dice.next(up.count)])
        if board === sender { board.resend(to: destination, scene) }
      // Never so many that an older one could count as had.
      default: if sender.open.count < 20, sender.posted < 200 { sender.post(to: destination, scene) }
      }
      scene.pass(UInt64(10 + dice.next(400)), step: 20)
      for board in [sender, receiver] { board.work() }
      #expect(step >= 0)
    }
    // Nothing goes wrong any more.
    scene.heal()
    for hub in scene.hubs where !hub.isUp { try scene.start(hub) }
    scene.pass(15_000, step: 20)
    scene.connect(sender.node, to: scene[1])
    sender.resend(to: destination, scene)
    scene.connect(receiver.node, to: scene[3])
    scene.pass(5_000, step: 20)
    for board in [sender, receiver] { board.work() }
    #expect(scene.isInStep, "seed \(seed)")
    #expect(sender.open.isEmpty, "seed \(seed)")
    let missing = sender.acknowledged.filter { !receiver.got.contains("m\($0)") }
    #expect(missing.isEmpty, "seed \(seed): lost \(missing.sorted())")
    #expect(receiver.got.count == Set(receiver.got).count, "seed \(seed)")
    #expect(try scene.hubs.map { try $0.registry.spoolCount() } == [0, 0, 0], "seed \(seed)")
    let nodes = try scene.hubs.map { try $0.registry.nodes().map(\.id) }
    #expect(nodes[0] == nodes[1] && nodes[1] == nodes[2], "seed \(seed)")
  }

  private struct Dice {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 }
    mutating func next(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(bound))
    }
  }
}
