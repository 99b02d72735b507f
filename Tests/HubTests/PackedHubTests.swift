import Bounded
import Foundation
import Node
import Packing
import Testing
import Wire

@testable import Hub

/// Packed messages for the hub are in its inbox as what they were.
@Suite struct PackedHubTests {
  private let swarm: TestSwarm
  private let node: TestNode
  private static let text = Data("the water level is high".utf8)
  private static let nonsense = Data([0xEF, 0xEF])

  init() throws {
    swarm = try TestSwarm()
    node = try swarm.allowedNode(1)
    swarm.connect(node)
  }

  private static var packed: Data {
    var room = Data(count: text.count + Packing.spareBytes)
    let count = room.withUnsafeMutableBytes { room in text.withUnsafeBytes { Packing.pack($0.bytes, into: room) } }
    return room.prefix(count!)
  }

  private func send(_ body: Data, stream: UInt64? = nil, sequence: UInt64) throws {
    var queue = ByteQueue(capacity: 4_096)
    if let stream { queue.append(bigEndian: stream) }
    body.withUnsafeBytes { _ = queue.append($0.bytes) }
    let header = FrameHeader(
      kind: .message, flags: FrameHeader.packed | (stream == nil ? 0 : FrameHeader.durable), source: node.id!,
      destination: 0, sequence: sequence)
    try node.session.send(header, body: queue.bytes, now: swarm.now)
    // The hub gathers before it commits.
    for _ in 0..<3 { swarm.pass(600) }
  }

  @Test func aPackedMessageIsReadable() throws {
    #expect(Self.packed.count < Self.text.count)
    try send(Self.packed, sequence: 1)
    try send(Self.packed, stream: 77, sequence: 2)
    #expect(try swarm.registry.inbox(limit: 10).map(\.body) == [Self.text, Self.text])
    #expect(node.stored.map(\.failure) == [nil] && node.receipts.allSatisfy { $0.failure == nil })
  }

  @Test func whatNobodyPackedIsRefusedAndTheLinkStays() throws {
    try send(Self.nonsense, sequence: 1)
    #expect(node.receipts.map(\.failure) == [.malformedFrame])
    try send(Self.nonsense, stream: 77, sequence: 2)
    #expect(node.stored.map(\.failure) == [.malformedFrame])
    #expect(try swarm.registry.inbox(limit: 10).isEmpty && node.failure == nil)
  }
}
