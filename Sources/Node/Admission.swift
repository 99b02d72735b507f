import Bounded
import SkyCrypto
import Wire

/// What a node must remember across restarts: its id, the hubs it has learnt and a ticket not yet used.
///
/// File form (big-endian): magic `SKYA`, version u8 = 1, node id u32, hub count u8, the hubs, ticket flag u8,
/// then if 1 the ticket's hub, token id 8, token secret 16; last the first 8 bytes of the SHA-256 of all that.
/// May hold a token's secret: the file is 0600 and written whole.
public struct Admission: Equatable, Sendable {
  /// 0 while not admitted.
  public var nodeId: UInt32 = 0
  public var hubs = HubList()
  public var ticket: Ticket?

  public static let maximumBytes = 11 + (Limits.hubListCount + 1) * (HubEntry.fixedBytes + 253) + 24 + 8
  private static let magic: UInt32 = 0x534B_5941
  private static let checkBytes = 8

  public init() {}

  public init(decoding file: RawSpan) throws(ErrorCode) {
    guard file.byteCount >= Self.checkBytes else { throw .malformed }
    let end = file.byteCount - Self.checkBytes
    let digest = Sha256.digest(file.extracting(0..<end))
    guard file.extracting(end..<file.byteCount).elementsEqual(digest.raw.extracting(0..<Self.checkBytes)) else {
      throw .malformed
    }
    do throws(DecodeError) {
      var reader = ByteReader(file.extracting(0..<end))
      guard try reader.integer(UInt32.self) == Self.magic, try reader.integer(UInt8.self) == 1 else { throw .invalid }
      nodeId = try reader.integer()
      let count: UInt8 = try reader.integer()
      for _ in 0..<Int(count) {
        guard hubs.append(try HubEntry(from: &reader)) else { throw .invalid }
      }
      switch try reader.integer(UInt8.self) {
      case 0: break
      case 1:
        let hub = try HubEntry(from: &reader)
        ticket = Ticket(hub: hub, tokenId: try reader.array(), tokenSecret: try reader.array())
      default: throw .invalid
      }
      try reader.finish()
    } catch { throw .malformed }
  }

  /// `queue` must be empty and hold `maximumBytes`.
  public func encode(to queue: inout ByteQueue) {
    precondition(queue.isEmpty && queue.capacity >= Self.maximumBytes)
    queue.append(bigEndian: Self.magic)
    queue.append(bigEndian: UInt8(1))
    queue.append(bigEndian: nodeId)
    queue.append(bigEndian: UInt8(hubs.count))
    for i in 0..<hubs.count { _ = hubs[i].append(to: &queue) }
    queue.append(bigEndian: UInt8(ticket == nil ? 0 : 1))
    if let ticket {
      _ = ticket.hub.append(to: &queue)
      queue.append(ticket.tokenId.raw)
      queue.append(ticket.tokenSecret.raw)
    }
    let digest = Sha256.digest(queue.bytes)
    queue.append(digest.raw.extracting(0..<Self.checkBytes))
  }
}
