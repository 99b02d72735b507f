import Bounded

/// Names of files that come from elsewhere.
public enum FileName {
  /// A name that stays in its directory, shows as what it is and is no option: one of the same length or so with
  /// `_` for slashes, control characters, marks that turn the direction of text, bytes that are not UTF-8, and for
  /// a dot, a hyphen or a blank at its start. `file` for nothing.
  public static func sanitised(_ name: RawSpan) -> InlineText<200> {
    var text = TextBuffer(capacity: Limits.fileNameBytes)
    var i = 0
    while i < name.byteCount {
      let length = utf8SequenceLength(name, at: i)
      if length == 0 || isBad(name, i) || (i == 0 && isBadFirst(name[0])) {
        text.append("_")
      } else {
        text.append(name.extracting(i..<(i + length)))
      }
      i += max(1, length)
    }
    if text.isEmpty { text.append("file") }
    return InlineText(text.bytes) ?? InlineText()
  }

  /// The last component of a path, cut to what a part can carry, at the end of a character.
  public static func last(of path: RawSpan) -> Range<Int> {
    var end = path.byteCount
    while end > 0, path[end - 1] == UInt8(ascii: "/") { end -= 1 }
    var start = end
    while start > 0, path[start - 1] != UInt8(ascii: "/") { start -= 1 }
    if end - start > Limits.fileNameBytes {
      end = start + Limits.fileNameBytes
      while end > start, path[end] & 0xC0 == 0x80 { end -= 1 }
    }
    return start..<end
  }

  /// `name (number).ending`: for when there is one of that name. An ending is what follows the last dot.
  public static func numbered(_ name: RawSpan, _ number: UInt64, to text: inout TextBuffer) {
    var dot = name.byteCount
    while dot > 1, name[dot - 1] != UInt8(ascii: ".") { dot -= 1 }
    let split = dot > 1 ? dot - 1 : name.byteCount
    text.append(name.extracting(0..<split))
    text.append(" (")
    text.append(number)
    text.append(")")
    text.append(name.extracting(split..<name.byteCount))
  }

  private static func isBadFirst(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-") || byte == 0x20
  }

  /// A character, well formed, that no file name here may have.
  private static func isBad(_ name: RawSpan, _ i: Int) -> Bool {
    switch name[i] {
    case 0..<0x20, 0x7F, UInt8(ascii: "/"): true
    // U+0080 to U+009F, control characters as well.
    case 0xC2: name[i + 1] < 0xA0
    // U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069: lines and directions.
    case 0xE2 where name[i + 1] == 0x80:
      name[i + 2] == 0x8E || name[i + 2] == 0x8F || (0xA8...0xAE).contains(name[i + 2])
    case 0xE2 where name[i + 1] == 0x81: (0xA6...0xA9).contains(name[i + 2])
    default: false
    }
  }
}

/// A file that came whole, so that a repetition of it is recognised.
public struct FinishedFile: Equatable, Sendable {
  public let source: UInt32
  public let id: InlineArray<16, UInt8>
  public let totalBytes: UInt64
  /// The name it has in its directory.
  public let name: InlineText<255>

  public init(source: UInt32, id: InlineArray<16, UInt8>, totalBytes: UInt64, name: InlineText<255>) {
    self.source = source
    self.id = id
    self.totalBytes = totalBytes
    self.name = name
  }

  public static func == (a: FinishedFile, b: FinishedFile) -> Bool {
    a.names(b.source, b.id) && a.totalBytes == b.totalBytes && a.name == b.name
  }

  public func names(_ source: UInt32, _ id: InlineArray<16, UInt8>) -> Bool {
    self.source == source && self.id.span.bytes.elementsEqual(id.span.bytes)
  }

  // MARK: The list of them on the medium

  private static let mark: StaticString = "SKYFDONE"
  public static let encodedBytes = 12 + Limits.filesRemembered * (4 + 16 + 8 + 1 + 255) + 4

  /// `queue` is empty and has room for `encodedBytes`.
  public static func append(_ files: [FinishedFile], to queue: inout ByteQueue) {
    precondition(queue.isEmpty && files.count <= Limits.filesRemembered)
    queue.append(mark)
    queue.append(bigEndian: UInt32(files.count))
    for file in files {
      queue.append(bigEndian: file.source)
      queue.append(file.id.span.bytes)
      queue.append(bigEndian: file.totalBytes)
      queue.append(bigEndian: UInt8(file.name.count))
      queue.append(file.name.bytes)
    }
    var sum = Crc32c()
    sum.add(queue.bytes)
    let value = sum.value
    queue.append(bigEndian: value)
  }

  /// Nil when the list is damaged.
  public static func list(decoding bytes: RawSpan) -> [FinishedFile]? {
    guard bytes.byteCount >= 16 else { return nil }
    var sum = Crc32c()
    sum.add(bytes.extracting(0..<(bytes.byteCount - 4)))
    var reader = ByteReader(bytes)
    do throws(DecodeError) {
      guard try reader.bytes(8).elementsEqual(mark) else { return nil }
      let count: UInt32 = try reader.integer()
      guard count <= UInt32(Limits.filesRemembered) else { return nil }
      var files: [FinishedFile] = []
      for _ in 0..<count {
        let source: UInt32 = try reader.integer()
        let id: InlineArray<16, UInt8> = try reader.array()
        let total: UInt64 = try reader.integer()
        let length: UInt8 = try reader.integer()
        guard let name = InlineText<255>(try reader.bytes(Int(length))) else { return nil }
        files.append(FinishedFile(source: source, id: id, totalBytes: total, name: name))
      }
      guard try reader.integer(UInt32.self) == sum.value else { return nil }
      try reader.finish()
      return files
    } catch { return nil }
  }
}
