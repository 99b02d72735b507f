import Bounded
import SkyCrypto
import Wire

/// What a board says of its system: the updater to the node, and the node to its hub. 220 bytes:
/// `board 32, u8 running, u8 good, u8 content of the slot that is not good, u8 tries, u64 floor`, then of each slot
/// `u64 release, name 48, bundle's digest 32`.
///
/// Not the slots' state: it has no places on the disk, and nobody trusts it with more than a decision to ask.
public struct Standing: Equatable, Sendable {
  public static let byteCount =
    Limits.boardNameBytes + 4 + 8 + 2 * (8 + Limits.releaseNameBytes + Limits.hashBytes)

  public struct Slot: Equatable, Sendable {
    public var release: UInt64 = 0
    public var name = InlineText<48>("-")!
    /// Of the bundle; zeros for what came with the image.
    public var digest = Bytes32(repeating: 0)

    public init() {}

    public static func == (a: Slot, b: Slot) -> Bool {
      a.release == b.release && a.name == b.name && equal(a.digest, b.digest)
    }
  }

  public var board: InlineText<32>
  /// The slot whose system runs.
  public var running = 0
  /// The slot that is started when nothing is on trial.
  public var good = 0
  /// Of the slot that is not good.
  public var content = SlotContent.empty
  public var tries: UInt8 = 0
  /// The highest release that was ever confirmed.
  public var floor: UInt64 = 0
  public var slots: InlineArray<2, Slot> = [Slot(), Slot()]

  public init(board: InlineText<32>) { self.board = board }

  public init(board: InlineText<32>, _ state: SlotState, running: Int) {
    self.board = board
    self.running = running
    good = state.good
    content = state.content
    tries = state.tries
    floor = state.floor
    for i in 0..<2 {
      slots[i].release = state.slots[i].release
      slots[i].name = state.slots[i].name
      slots[i].digest = state.slots[i].digest
    }
  }

  public static func == (a: Standing, b: Standing) -> Bool {
    a.board == b.board && a.running == b.running && a.good == b.good && a.content == b.content && a.tries == b.tries
      && a.floor == b.floor && a.slots[0] == b.slots[0] && a.slots[1] == b.slots[1]
  }

  /// Of the system that runs.
  public var release: UInt64 { slots[running].release }
  /// The running system has not been confirmed.
  public var isOnTrial: Bool { running != good }
  /// A new system is complete and waits for a restart.
  public var isRestartDue: Bool { running == good && content == .trial }
  /// The slot that is not good.
  public var other: Slot { slots[1 - good] }

  /// True when the system of this bundle was tried here and did not prove itself.
  public func hasFailed(_ digest: Bytes32) -> Bool { content == .failed && equal(other.digest, digest) }

  public init(from reader: inout ByteReader) throws(DecodeError) {
    board = try reader.name()
    running = Int(try reader.integer(UInt8.self))
    good = Int(try reader.integer(UInt8.self))
    guard running < 2, good < 2, let content = SlotContent(rawValue: try reader.integer()) else { throw .invalid }
    self.content = content
    tries = try reader.integer()
    floor = try reader.integer()
    guard tries <= Limits.updateTries else { throw .invalid }
    for i in 0..<2 {
      slots[i].release = try reader.integer()
      slots[i].name = try reader.name()
      slots[i].digest = try reader.array()
    }
  }

  public func append(to queue: inout ByteQueue) {
    queue.append(name: board)
    queue.append(bigEndian: UInt8(running))
    queue.append(bigEndian: UInt8(good))
    queue.append(bigEndian: content.rawValue)
    queue.append(bigEndian: tries)
    queue.append(bigEndian: floor)
    for i in 0..<2 {
      queue.append(bigEndian: slots[i].release)
      queue.append(name: slots[i].name)
      queue.append(slots[i].digest.raw)
    }
  }
}
