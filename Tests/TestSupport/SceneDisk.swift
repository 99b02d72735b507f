import Bounded
import Durable
import Node
import Wire

/// A medium in memory, whole or failing.
public final class MemoryMedium: BlockStore {
  public var bytes: [UInt8]
  /// The error number of every call; 0 lets them work.
  public var error: Int32 = 0

  public init(_ bytes: [UInt8]?, size: UInt32) { self.bytes = bytes ?? [UInt8](repeating: 0, count: Int(size)) }

  public func read(at offset: UInt64, into memory: UnsafeMutableRawBufferPointer) -> Int32 {
    if error != 0 { return error }
    for i in 0..<memory.count { memory[i] = bytes[Int(offset) + i] }
    return 0
  }

  public func write(at offset: UInt64, _ piece: UnsafeRawBufferPointer) -> Int32 {
    if error != 0 { return error }
    for i in 0..<piece.count { bytes[Int(offset) + i] = piece[i] }
    return 0
  }

  public func sync() -> Int32 { error }
}

/// The rings of a node over media in memory. Made again from the bytes of another, it is the board after
/// the power went.
public final class SceneDisk {
  public let outgoing: MemoryMedium
  public let urgent: MemoryMedium
  public let incoming: MemoryMedium
  public let stores: Stores
  /// False: the media take their time.
  public var isMoving = true

  public init(_ before: SceneDisk? = nil, now: Instant) {
    let size: UInt32 = 1 << 17
    var out = Stores.outgoingParameters
    var hurried = Stores.urgentParameters
    var into = Stores.incomingParameters
    (out.fileBytes, hurried.fileBytes, into.fileBytes) = (size, size, size)
    outgoing = MemoryMedium(before?.outgoing.bytes, size: size)
    urgent = MemoryMedium(before?.urgent.bytes, size: size)
    incoming = MemoryMedium(before?.incoming.bytes, size: size)
    let seen = SeenMessages()
    stores = Stores(
      outgoing: DurableRing(out), urgent: DurableRing(hurried), incoming: DurableRing(into), seen: seen)
    stores.outgoing.open(
      outgoing, .init(stream: 71, memoryStream: 72, salt: 7), now: now, restore: { _ in }, visit: { _, _ in },
      user: { _ in 0 })
    stores.urgent.open(
      urgent, .init(stream: 91, memoryStream: 92, salt: 9), now: now, restore: { _ in }, visit: { _, _ in },
      user: { _ in 0 })
    stores.incoming.open(
      incoming, .init(stream: 81, memoryStream: 82, salt: 8), now: now, restore: { seen.restore($0, now: now) },
      visit: { seen.visit($1, now: now) }, user: { seen.write(into: $0) })
  }

  public func pump(now: Instant) {
    guard isMoving else { return }
    Self.pump(stores.outgoing, outgoing, now) { _ in 0 }
    Self.pump(stores.urgent, urgent, now) { _ in 0 }
    Self.pump(stores.incoming, incoming, now) { stores.seen.write(into: $0) }
  }

  private static func pump(
    _ ring: DurableRing, _ store: MemoryMedium, _ now: Instant, user: DurableRing.UserWriter
  ) {
    while let write = ring.pollWrite(now: now, user: user) {
      var error = store.write(at: write.batchOffset, write.batch)
      if error == 0 { error = store.write(at: write.checkpointOffset, write.checkpoint) }
      ring.handleWritten(batchStored: error == 0, error: error, now: now)
      if error != 0 { break }
    }
    while let read = ring.pollRead() {
      ring.handleRead(error: store.read(at: read.offset, into: read.memory))
    }
    ring.checkInvariants()
  }
}
