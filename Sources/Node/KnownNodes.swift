import Bounded
import SkyCrypto
import Wire

/// Which identity an id had when keys were last made with it: an id belongs to an identity for ever, so a hub that names
/// another one later is not believed. Who is here can be sealed for, and gets nothing in plain any more.
///
/// File form (big-endian): magic `SKYK`, version u8 = 1, count u8, then `id u32, mark 16` each, the one longest without a new
/// key first; last the first 8 bytes of the SHA-256 of all that.
public final class KnownNodes {
  /// The first bytes of the identity's SHA-256.
  public typealias Mark = InlineArray<16, UInt8>

  public struct Entry: Sendable {
    public var id: UInt32 = 0
    public var mark = Mark(repeating: 0)
  }

  public static let maximumBytes = 6 + Limits.knownNodes * 20 + checkBytes
  private static let magic: UInt32 = 0x534B_594B
  private static let checkBytes = 8

  private var entries = InlineArray<96, Entry>(repeating: Entry())
  public private(set) var count = 0

  public init() {}

  public convenience init(decoding file: RawSpan) throws(ErrorCode) {
    self.init()
    guard file.byteCount >= Self.checkBytes else { throw .malformed }
    let end = file.byteCount - Self.checkBytes
    let digest = Sha256.digest(file.extracting(0..<end))
    guard file.extracting(end..<file.byteCount).elementsEqual(digest.raw.extracting(0..<Self.checkBytes)) else {
      throw .malformed
    }
    do throws(DecodeError) {
      var reader = ByteReader(file.extracting(0..<end))
      guard try reader.integer(UInt32.self) == Self.magic, try reader.integer(UInt8.self) == 1 else { throw .invalid }
      let count = Int(try reader.integer(UInt8.self))
      guard count <= Limits.knownNodes else { throw .invalid }
      for i in 0..<count {
        entries[i] = Entry(id: try reader.integer(), mark: try reader.array())
        guard index(of: entries[i].id) == nil else { throw .invalid }
        self.count += 1
      }
      try reader.finish()
    } catch { throw .malformed }
  }

  /// `queue` must be empty and hold `maximumBytes`.
  public func encode(to queue: inout ByteQueue) {
    precondition(queue.isEmpty && queue.capacity >= Self.maximumBytes)
    queue.append(bigEndian: Self.magic)
    queue.append(bigEndian: UInt8(1))
    queue.append(bigEndian: UInt8(count))
    for i in 0..<count {
      queue.append(bigEndian: entries[i].id)
      queue.append(entries[i].mark.raw)
    }
    let digest = Sha256.digest(queue.bytes)
    queue.append(digest.raw.extracting(0..<Self.checkBytes))
  }

  public subscript(index: Int) -> Entry {
    precondition(index < count)
    return entries[index]
  }

  public func contains(_ id: UInt32) -> Bool { index(of: id) != nil }

  /// False when this id had another identity.
  func allows(_ id: UInt32, _ identity: Bytes32) -> Bool {
    guard let index = index(of: id) else { return true }
    return equal(entries[index].mark, Self.mark(of: identity))
  }

  /// A key was made with this node. True when it was not known before.
  func note(_ id: UInt32, _ identity: Bytes32) -> Bool {
    let known = index(of: id)
    let entry = known.map { entries[$0] } ?? Entry(id: id, mark: Self.mark(of: identity))
    if let known { remove(at: known) } else if count == Limits.knownNodes { remove(at: 0) }
    entries[count] = entry
    count += 1
    return known == nil
  }

  /// False when it was not known.
  func forget(_ id: UInt32) -> Bool {
    guard let index = index(of: id) else { return false }
    remove(at: index)
    return true
  }

  private func index(of id: UInt32) -> Int? {
    for i in 0..<count where entries[i].id == id { return i }
    return nil
  }

  private func remove(at index: Int) {
    for i in index..<(count - 1) { entries[i] = entries[i + 1] }
    count -= 1
  }

  private static func mark(of identity: Bytes32) -> Mark {
    let digest = Sha256.digest(identity.raw)
    return Mark { digest[$0] }
  }
}
