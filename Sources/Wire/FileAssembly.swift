import Bounded

/// Which parts of one file are here. Not the bytes: whoever keeps those writes them, then marks the part.
///
/// Order of calls for each part: `place`, write and sync what is new, `mark`. Once `isWhole` the bytes are all
/// there; whether they are the right ones the hash says, which is for whoever can read them.
///
/// Invariant: a bit for each part, `partsHere` of them set, none beyond the last part. Memory is fixed by
/// `Limits.fileParts`, whatever a part claims.
public struct FileAssembly: ~Copyable {
  public enum Place: Equatable, Sendable {
    /// To be written at this offset.
    case new(UInt64)
    case duplicate
    /// Of another file, or of another sender's.
    case foreign
  }

  private static let words = Limits.fileParts / 64
  private static let mark: StaticString = "SKYFMAP1"
  /// The mark, source, name's length, id, hash, size, name, bits, checksum.
  public static let encodedBytes = 8 + 4 + 4 + 16 + 32 + 8 + Limits.fileNameBytes + 8 * words + 4

  public let head: FileHead
  /// Who sends it; two senders' files never mix, not even under the same id.
  public let source: UInt32
  public private(set) var partsHere: UInt32 = 0
  private let bits: UnsafeMutableBufferPointer<UInt64>

  public init(_ head: FileHead, from source: UInt32) {
    self.head = head
    self.source = source
    bits = .allocate(capacity: Self.words)
    bits.initialize(repeating: 0)
  }

  deinit { bits.deallocate() }

  public var isWhole: Bool { partsHere == head.parts }

  public func has(_ index: UInt32) -> Bool { bits[Int(index / 64)] >> UInt64(index % 64) & 1 == 1 }

  /// The first part that is not here, counted from 0.
  public var firstMissing: UInt32? {
    for word in 0..<Self.words where bits[word] != .max {
      let index = UInt32(64 * word + (~bits[word]).trailingZeroBitCount)
      return index < head.parts ? index : nil
    }
    return nil
  }

  public func place(of part: borrowing FilePart, from source: UInt32) -> Place {
    guard source == self.source, part.head == head else { return .foreign }
    return has(part.index) ? .duplicate : .new(head.offset(of: part.index))
  }

  /// The part's bytes are kept.
  public mutating func mark(_ index: UInt32) {
    precondition(index < head.parts)
    guard !has(index) else { return }
    bits[Int(index / 64)] |= 1 << UInt64(index % 64)
    partsHere += 1
  }

  // MARK: On the medium

  /// Appends the map's file; there must be room for `encodedBytes`.
  public func append(to queue: inout ByteQueue) {
    precondition(queue.isEmpty && queue.space >= Self.encodedBytes)
    queue.append(Self.mark)
    queue.append(bigEndian: source)
    queue.append(bigEndian: UInt32(head.name.count))
    queue.append(head.id.span.bytes)
    queue.append(head.hash.span.bytes)
    queue.append(bigEndian: head.totalBytes)
    queue.append(head.name.bytes)
    for word in 0..<wordsInUse { queue.append(bigEndian: bits[word]) }
    var sum = Crc32c()
    sum.add(queue.bytes)
    let value = sum.value
    queue.append(bigEndian: value)
  }

  /// Reads such a file; nil when it is anything else, or damaged.
  public static func decoding(_ file: RawSpan) -> FileAssembly? {
    guard file.byteCount > 4, let found = head(of: file) else { return nil }
    var sum = Crc32c()
    sum.add(file.extracting(0..<(file.byteCount - 4)))
    var reader = ByteReader(file.extracting((72 + found.head.name.count)..<file.byteCount))
    var assembly = FileAssembly(found.head, from: found.source)
    let words = assembly.wordsInUse
    do throws(DecodeError) {
      for word in 0..<words {
        let bits: UInt64 = try reader.integer()
        assembly.bits[word] = bits
        assembly.partsHere += UInt32(bits.nonzeroBitCount)
      }
      guard try reader.integer(UInt32.self) == sum.value else { return nil }
      try reader.finish()
    } catch { return nil }
    let spare = 64 * UInt32(words) - found.head.parts
    guard spare == 0 || assembly.bits[words - 1] >> UInt64(64 - spare) == 0 else { return nil }
    return assembly
  }

  private var wordsInUse: Int { Int((head.parts + 63) / 64) }

  private static func head(of file: RawSpan) -> (head: FileHead, source: UInt32)? {
    var reader = ByteReader(file)
    do throws(DecodeError) {
      guard try reader.bytes(8).elementsEqual(mark) else { return nil }
      let source: UInt32 = try reader.integer()
      let nameBytes: UInt32 = try reader.integer()
      guard nameBytes <= UInt32(Limits.fileNameBytes) else { return nil }
      let id: InlineArray<16, UInt8> = try reader.array()
      let hash: InlineArray<32, UInt8> = try reader.array()
      let total: UInt64 = try reader.integer()
      guard let name = InlineText<200>(try reader.bytes(Int(nameBytes))),
        let head = FileHead(id: id, hash: hash, totalBytes: total, name: name)
      else { return nil }
      return (head, source)
    } catch { return nil }
  }

  public func checkInvariants() {
    var count: UInt32 = 0
    for word in 0..<Self.words { count += UInt32(bits[word].nonzeroBitCount) }
    precondition(count == partsHere && partsHere <= head.parts, "as many bits as parts that are here")
    for index in head.parts..<UInt32(Limits.fileParts) {
      precondition(!has(index), "no bit beyond the last part")
    }
    precondition(isWhole == (firstMissing == nil))
  }
}
