import Bounded
import Wire

/// What would be files: the bytes that parts brought, by place.
private final class Scratch {
  var assembly: FileAssembly
  /// Which part wrote at an offset; two may never write the same byte.
  var written: [UInt64: Int] = [:]

  init(_ head: FileHead, _ source: UInt32) { assembly = FileAssembly(head, from: source) }
}

extension FuzzTarget {
  /// A sequence of messages from up to four senders: two bytes of length, of which the upper four bits say who
  /// sends it and whether its checksum is mended first, then the message. One sender (15) brings a map's file
  /// instead, and one (14) a list of finished files.
  static let reassembly = FuzzTarget(
    name: "reassembly",
    run: { input in
      var files: [Scratch] = []
      let bytes = input.array
      var at = 0
      while at + 2 <= bytes.count {
        let control = bytes[at] >> 4
        let length = min(Int(bytes[at] & 15) << 8 | Int(bytes[at + 1]), bytes.count - at - 2)
        var message = Array(bytes[(at + 2)..<(at + 2 + length)])
        at += 2 + length
        switch control {
        case 15: readMap(&message)
        case 14: readList(&message)
        default:
          if control & 8 != 0 { mendPart(&message) }
          take(message, from: UInt32(control & 3) + 1, &files)
        }
      }
      for file in files { checkFile(file) }
    },
    seeds: {
      let small = seedHead(3_000, "small.bin", 1)
      let empty = seedHead(0, "", 2)
      var map = FileAssembly(seedHead(Limits.fileBytes / 64, "map", 3), from: 7)
      map.mark(0)
      map.mark(200)
      var queue = ByteQueue(capacity: FileAssembly.encodedBytes)
      map.append(to: &queue)
      var list = ByteQueue(capacity: FinishedFile.encodedBytes)
      FinishedFile.append(
        [FinishedFile(source: 1, id: small.id, totalBytes: 3_000, name: InlineText("small.bin")!)], to: &list)
      return [
        Seed(name: "whole", bytes: framed(0, seedPart(small, 1)) + framed(8, seedPart(small, 0))),
        Seed(name: "empty", bytes: framed(0, seedPart(empty, 0)) + framed(8, seedPart(empty, 0))),
        Seed(name: "map", bytes: framed(15, queue.array)),
        Seed(name: "list", bytes: framed(14, list.array)),
        Seed(
          name: "two-files",
          bytes: framed(0, seedPart(seedHead(30, "a", 4), 0)) + framed(0, seedPart(seedHead(31, "a", 4), 0))),
      ]
    })

  private static func seedHead(_ total: UInt64, _ name: String, _ id: UInt8) -> FileHead {
    FileHead(
      id: InlineArray(repeating: id), hash: InlineArray(repeating: 9), totalBytes: total, name: InlineText(name)!)!
  }

  private static func seedPart(_ head: FileHead, _ index: UInt32) -> [UInt8] {
    var queue = ByteQueue(capacity: Limits.messageBytes)
    let data = [UInt8](repeating: 3, count: head.byteCount(of: index))
    FilePart.make(head, index: index, data: data.span.bytes, into: &queue)
    return queue.array
  }

  private static func framed(_ control: UInt8, _ message: [UInt8]) -> [UInt8] {
    [control << 4 | UInt8(message.count >> 8), UInt8(truncatingIfNeeded: message.count)] + message
  }

  private static func take(_ message: [UInt8], from source: UInt32, _ files: inout [Scratch]) {
    guard let part = FilePart(message.span.bytes) else { return }
    precondition(part.index < part.head.parts && part.head.totalBytes <= Limits.fileBytes)
    precondition(part.head.parts <= UInt32(Limits.fileParts))
    checkName(part.head.name.bytes)
    // A whole view means the same message is made from it again.
    var again = ByteQueue(capacity: Limits.messageBytes)
    FilePart.make(part.head, index: part.index, data: part.data, into: &again)
    precondition(again.array == message)

    let id = part.head.id
    let known = files.first {
      $0.assembly.source == source && $0.assembly.head.id.span.bytes.elementsEqual(id.span.bytes)
    }
    guard known != nil || files.count < Limits.filesOpen else { return }
    let file = known ?? Scratch(part.head, source)
    if known == nil { files.append(file) }
    switch file.assembly.place(of: part, from: source) {
    case .new(let offset):
      precondition(offset + UInt64(part.data.byteCount) <= file.assembly.head.totalBytes, "inside the file")
      precondition(file.written[offset] == nil, "no byte is written twice")
      file.written[offset] = part.data.byteCount
      file.assembly.mark(part.index)
    case .duplicate: precondition(file.written[part.head.offset(of: part.index)] == part.data.byteCount)
    case .foreign: precondition(part.head != file.assembly.head, "only of another file")
    }
  }

  /// Whole exactly when every byte came; what is written down is read back the same.
  private static func checkFile(_ file: Scratch) {
    file.assembly.checkInvariants()
    var end: UInt64 = 0
    for (offset, count) in file.written.sorted(by: { $0.key < $1.key }) where offset == end { end += UInt64(count) }
    let hasAll = end == file.assembly.head.totalBytes && !file.written.isEmpty
    precondition(file.assembly.isWhole == hasAll)
    var queue = ByteQueue(capacity: FileAssembly.encodedBytes)
    file.assembly.append(to: &queue)
    guard let again = FileAssembly.decoding(queue.bytes) else { preconditionFailure("a map is read back") }
    precondition(again.head == file.assembly.head && again.partsHere == file.assembly.partsHere)
  }

  private static func checkName(_ name: RawSpan) {
    let clean = FileName.sanitised(name)
    precondition(clean.count > 0 && clean.bytes[0] != UInt8(ascii: ".") && clean.bytes[0] != UInt8(ascii: "-"))
    var i = 0
    while i < clean.count {
      let length = utf8SequenceLength(clean.bytes, at: i)
      precondition(length > 0 && clean.bytes[i] >= 0x20 && clean.bytes[i] != UInt8(ascii: "/"))
      i += length
    }
    precondition(FileName.sanitised(clean.bytes) == clean, "once is enough")
  }

  private static func readMap(_ file: inout [UInt8]) {
    mendEnd(&file)
    guard let assembly = FileAssembly.decoding(file.span.bytes) else { return }
    assembly.checkInvariants()
    var queue = ByteQueue(capacity: FileAssembly.encodedBytes)
    assembly.append(to: &queue)
    precondition(queue.array == file)
  }

  private static func readList(_ file: inout [UInt8]) {
    mendEnd(&file)
    guard let list = FinishedFile.list(decoding: file.span.bytes) else { return }
    var queue = ByteQueue(capacity: FinishedFile.encodedBytes)
    FinishedFile.append(list, to: &queue)
    precondition(queue.array == file)
  }

  /// Puts the right checksum in its place, or nothing behind it would ever be reached.
  private static func mendPart(_ message: inout [UInt8]) {
    guard message.count >= FilePart.headerBytes else { return }
    var sum = Crc32c()
    sum.add(message.span.bytes.extracting(0..<72))
    sum.add(message.span.bytes.extracting(76..<message.count))
    for i in 0..<4 { message[72 + i] = UInt8(truncatingIfNeeded: sum.value >> UInt32(24 - 8 * i)) }
  }

  private static func mendEnd(_ file: inout [UInt8]) {
    guard file.count >= 4 else { return }
    var sum = Crc32c()
    sum.add(file.span.bytes.extracting(0..<(file.count - 4)))
    for i in 0..<4 { file[file.count - 4 + i] = UInt8(truncatingIfNeeded: sum.value >> UInt32(24 - 8 * i)) }
  }
}
