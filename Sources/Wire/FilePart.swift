import Bounded

/// What every part of one file says of the whole of it.
public struct FileHead: Equatable, Sendable {
  public static let idBytes = 16

  /// Made from the content, the name and the destination: whoever sends the same again uses the same id.
  public let id: InlineArray<16, UInt8>
  /// SHA-256 of the whole.
  public let hash: InlineArray<32, UInt8>
  public let totalBytes: UInt64
  /// As the sender has it; `FileName.sanitised` before it names anything.
  public let name: InlineText<200>

  /// Nil when the file is longer than a transfer may be.
  public init?(
    id: InlineArray<16, UInt8>, hash: InlineArray<32, UInt8>, totalBytes: UInt64, name: InlineText<200>
  ) {
    guard totalBytes <= Limits.fileBytes else { return nil }
    self.id = id
    self.hash = hash
    self.totalBytes = totalBytes
    self.name = name
  }

  /// An empty file is one empty part.
  public var parts: UInt32 {
    UInt32(max(1, (totalBytes + UInt64(Limits.filePartBytes) - 1) / UInt64(Limits.filePartBytes)))
  }

  /// Where a part lies in the file. `index` counts from 0 and is below `parts`.
  public func offset(of index: UInt32) -> UInt64 { UInt64(index) * UInt64(Limits.filePartBytes) }

  /// Every part but the last is full.
  public func byteCount(of index: UInt32) -> Int {
    Int(min(UInt64(Limits.filePartBytes), totalBytes - offset(of: index)))
  }

  public static func == (a: FileHead, b: FileHead) -> Bool {
    a.id.span.bytes.elementsEqual(b.id.span.bytes) && a.hash.span.bytes.elementsEqual(b.hash.span.bytes)
      && a.totalBytes == b.totalBytes && a.name == b.name
  }
}

/// One part of a file, as it travels in a durable message: a checked view, not a copy. A text never begins like
/// one, with a zero byte.
///
///      0  4   00 "SKF"
///      4  1   version, 1
///      5  1   n, bytes of the name
///      6  2   zero
///      8  16  transfer id
///     24  32  SHA-256 of the whole file
///     56  8   bytes of the whole file
///     64  4   this part, counted from 0
///     68  4   parts
///     72  4   CRC-32C of everything else
///     76  n   the file's name
///     76+n    the bytes; their number follows from the place
///
/// Invariant: `index < head.parts`, and `data` is exactly what belongs at that place.
public struct FilePart: ~Escapable {
  public static let headerBytes = 76
  public static let version: UInt8 = 1
  private static let sumOffset = 72

  public let head: FileHead
  /// Counted from 0.
  public let index: UInt32
  private let message: RawSpan
  private let dataStart: Int

  public var data: RawSpan {
    @_lifetime(copy self)
    get { message.extracting(dataStart..<message.byteCount) }
  }

  /// Nil when the message is anything else, or a part that is not whole.
  @_lifetime(copy message)
  public init?(_ message: RawSpan) {
    guard Self.isMarked(message), message[4] == Self.version else { return nil }
    let nameBytes = Int(message[5])
    guard message[6] == 0, message[7] == 0, nameBytes <= Limits.fileNameBytes,
      message.byteCount >= Self.headerBytes + nameBytes, message.byteCount <= Limits.messageBytes
    else { return nil }
    let dataStart = Self.headerBytes + nameBytes
    let id = InlineArray<16, UInt8> { message[8 + $0] }
    let hash = InlineArray<32, UInt8> { message[24 + $0] }
    guard let name = InlineText<200>(message.extracting(Self.headerBytes..<dataStart)),
      let head = FileHead(id: id, hash: hash, totalBytes: Self.load(message, 56), name: name)
    else { return nil }
    let index: UInt32 = Self.load(message, 64)
    guard Self.load(message, 68) == head.parts, index < head.parts,
      message.byteCount - dataStart == head.byteCount(of: index),
      Self.load(message, Self.sumOffset) == Self.checksum(message)
    else { return nil }
    self.head = head
    self.index = index
    self.message = message
    self.dataStart = dataStart
  }

  /// True for a part of this or a later version, whole or not.
  public static func isMarked(_ message: RawSpan) -> Bool {
    message.byteCount >= headerBytes && message[0] == 0 && message[1] == UInt8(ascii: "S")
      && message[2] == UInt8(ascii: "K") && message[3] == UInt8(ascii: "F")
  }

  /// Makes the message of one part; `message` is emptied first and has room for `Limits.messageBytes`.
  public static func make(_ head: FileHead, index: UInt32, data: RawSpan, into message: inout ByteQueue) {
    precondition(index < head.parts && data.byteCount == head.byteCount(of: index))
    message.consume(message.count)
    message.append("\0SKF")
    message.append(bigEndian: version)
    message.append(bigEndian: UInt8(head.name.count))
    message.append(bigEndian: 0 as UInt16)
    message.append(head.id.span.bytes)
    message.append(head.hash.span.bytes)
    message.append(bigEndian: head.totalBytes)
    message.append(bigEndian: index)
    message.append(bigEndian: head.parts)
    message.append(bigEndian: 0 as UInt32)
    message.append(head.name.bytes)
    let fits = message.append(data)
    precondition(fits)
    let sum = checksum(message.bytes)
    message.patch(bigEndian: sum, at: sumOffset)
  }

  static func checksum(_ message: RawSpan) -> UInt32 {
    var sum = Crc32c()
    sum.add(message.extracting(0..<sumOffset))
    sum.add(message.extracting((sumOffset + 4)..<message.byteCount))
    return sum.value
  }

  private static func load<T: FixedWidthInteger & BitwiseCopyable>(_ message: RawSpan, _ offset: Int) -> T {
    T(bigEndian: message.unsafeLoadUnaligned(fromByteOffset: offset, as: T.self))
  }
}
