import Bounded
import Foundation
import Lexicon
import LexiconBuilder

extension FuzzTarget {
  /// A whole dictionary file. The header's checksum is made right first: what is behind it must hold by itself.
  static let dictionary = FuzzTarget(
    name: "dictionary",
    run: { bytes in
      var file = bytes.array
      if file.count >= Layout.headerBytes {
        for (at, value) in [(16, UInt32(file.count)), (Layout.checksumOffset, 0)] { store(value, &file, at) }
        var sum = Crc32c()
        for i in 0..<Layout.headerBytes where i < Layout.checksumOffset || i >= Layout.sectionTableOffset {
          sum.add(file[i])
        }
        store(sum.value, &file, Layout.checksumOffset)
      }
      guard let view = try? LexiconView(file.span.bytes) else { return }
      use(view)
    },
    seeds: { [Seed(name: "small", bytes: small), Seed(name: "common", bytes: common)] })

  /// An encoded stream, against a good dictionary; and the same bytes encoded come back.
  static let encoded = FuzzTarget(
    name: "encoded",
    run: { bytes in
      guard let view = try? LexiconView(small.span.bytes) else { preconditionFailure("the dictionary is good") }
      let decoder = Decoder(view)
      let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 20_000, alignment: 16)
      defer { room.deallocate() }
      if let step = try? decoder.decode(bytes, isLast: true, into: room) {
        precondition(step.consumed <= bytes.byteCount && step.written <= room.count)
      }
      let step = Encoder(view).encode(bytes, isLast: true, into: room)
      precondition(step.consumed == bytes.byteCount && step.written <= Encoder.bound(bytes.byteCount))
      let stream = Array(room[0..<step.written])
      let back = try? decoder.decode(stream.span.bytes, isLast: true, into: room)
      precondition(back == Progress(consumed: stream.count, written: bytes.byteCount))
      precondition(
        RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: room[0..<bytes.byteCount])).elementsEqual(bytes))
    },
    seeds: {
      let text = "Hello world, the GRÜN éclair 007 fileName\n\n\n\n\n    of don't 世界 ____ \u{1}xyz moon's"
      let bytes = Array(text.utf8)
      let room = UnsafeMutableRawBufferPointer.allocate(byteCount: Encoder.bound(bytes.count), alignment: 16)
      defer { room.deallocate() }
      let step = try! Encoder(LexiconView(small.span.bytes)).encode(bytes.span.bytes, isLast: true, into: room)
      return [Seed(name: "text", bytes: bytes), Seed(name: "stream", bytes: Array(room[0..<step.written]))]
    })

  private static let words = [
    "the", "of", "hello", "world", "don't", "moon", "grün", "éclair", "世界", "file", "name", "antidisestablishment", "a",
    "strasse", "мир", "i", "swarm", "node", "hub", "token", "beat", "obey", "watch", "board",
  ]

  private static func file(common: Int) -> [UInt8] {
    let lines = words.enumerated().map {
      "\($1)\tnoun.\($0 % 2 == 0 ? "act" : "food")\t3\t\($0 % 3 == 0 ? "de" : "en")\n"
    }
    return try! FileImage(Contents(WordList(parsing: Array(lines.joined().utf8)), generation: 3), commonTokens: common)
      .bytes
  }
  private static let small = file(common: 8)
  private static let common = file(common: 4_096)

  private static func store(_ value: UInt32, _ file: inout [UInt8], _ at: Int) {
    for i in 0..<4 { file[at + i] = UInt8(truncatingIfNeeded: value >> UInt32(8 * i)) }
  }

  private static func use(_ view: borrowing LexiconView) {
    _ = try? view.verify()
    var text = WordText()
    for id in UInt32(250)..<600 {
      _ = view.word(id, into: &text)
      if let metadata = view.metadata(of: id) { _ = view.id(at: metadata.point) }
    }
    for word in words { _ = Array(word.utf8).withUnsafeBytes { view.id(of: RawSpan(_unsafeBytes: $0)) } }
    for number in 0..<4 { _ = view.sector(number)?.name.byteCount }
    for number in 0..<4 { _ = view.locale(number)?.byteCount }
    _ = view.about.byteCount
    let input = Array("hello the moon's antidisestablishment 世界 board watch".utf8)
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 4_096, alignment: 16)
    defer { room.deallocate() }
    let step = Encoder(copy view).encode(input.span.bytes, isLast: true, into: room)
    let stream = Array(room[0..<step.written])
    _ = try? Decoder(copy view).decode(stream.span.bytes, isLast: true, into: room)
  }
}
