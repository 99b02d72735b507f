import Bounded
import Foundation
import Lexicon
import LexiconBuilder
import Testing

/// A damaged file or stream gives an error, wrong words or none, and never a trap.
@Suite struct DamageTests {
  /// Uses everything that a view offers.
  private func exercise(_ view: borrowing LexiconView, _ random: inout SplitMix) {
    var text = WordText()
    for _ in 0..<40 {
      let id = UInt32.random(in: 0..<UInt32(view.tokenCount) + 600, using: &random)
      _ = view.word(id, into: &text)
      _ = view.metadata(of: id)
      _ = view.id(at: TokenPoint(band: UInt8(id & 15), slot: UInt16(truncatingIfNeeded: id)))
      _ = view.leafChecksum(Int(id >> 8))
    }
    for number in 0..<8 {
      _ = view.sector(number)?.domain.byteCount
      _ = view.locale(number)?.byteCount
    }
    _ = view.about.byteCount
    let stream = encode(Array("Hello the moon's antidisestablishmentarianism grün 世界 word wordgbx".utf8), view)
    _ = try? decode(stream, view)
    _ = try? decode((0..<64).map { _ in UInt8.random(in: 0...255, using: &random) }, view)
  }

  @Test func aDamagedFileIsHarmless() {
    let seed = UInt64.random(in: 0 ... .max)
    print("seed \(seed)")
    var random = SplitMix(seed)
    var opened = 0
    for _ in 0..<400 {
      var file = Sample.file
      for _ in 0..<Int.random(in: 1...30, using: &random) {
        // Half of the damage to the header, where the checksum is then made right again.
        let at =
          Bool.random(using: &random)
          ? Int.random(in: 24..<256, using: &random) : file.indices.randomElement(using: &random)!
        file[at] = Bool.random(using: &random) ? UInt8.random(in: 0...255, using: &random) : file[at] &+ 1
      }
      repairHeader(&file)
      let isOpen = file.withUnsafeBytes { bytes in
        guard let view = try? LexiconView(RawSpan(_unsafeBytes: bytes)) else { return false }
        exercise(view, &random)
        _ = failure { () throws(LexiconError) in try view.verify() }
        return true
      }
      if isOpen { opened += 1 }
    }
    #expect(opened > 20, "the damage reached the contents")
  }

  /// Every block at each edge of its section and far behind it, with each table, and with numbers from none to all that
  /// can be.
  @Test func blocksThatLeadAnywhereAreHarmless() throws {
    let places = try withView(Sample.file) { view in
      let size = view.header[.strings].sizeBytes
      return [0, 7, 8, size - 241, size - 9, size - 8, size - 1, size, size + 1, Layout.blockPlaceMask]
    }
    var random = SplitMix(1)
    for place in places {
      for table in [UInt32(0), 1, 2, 15, 16, 31] {
        for numbers in [0, 1 << 60, 0x8888_8888_8888_8888, 0x9999_9999_9999_9999, UInt64.max] {
          var file = Sample.file
          let (start, blocks) = try withView(file) { view in
            (Int(view.header[.blocks].offset), Int(view.header[.blocks].sizeBytes) / Layout.blockBytes)
          }
          let entry = place | table << Layout.blockPlaceBits
          var bytes: [UInt8] = []
          for shift in stride(from: UInt32(0), to: 32, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: entry >> shift))
          }
          for shift in stride(from: UInt64(0), to: 64, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: numbers >> shift))
          }
          for block in 0..<blocks {
            file.replaceSubrange((start + 12 * block)..<(start + 12 * block + 12), with: bytes)
          }
          try withView(file) { view in exercise(view, &random) }
        }
      }
    }
  }

  @Test func aShortenedFileIsRefused() throws {
    for count in [0, 7, 8, 100, 255, 256, 257, Sample.file.count / 2, Sample.file.count - 1] {
      #expect(refusal(Array(Sample.file[0..<count])) != nil, "\(count) bytes")
    }
    #expect(refusal(Sample.file + [0]) == .truncated)
    #expect(refusal(Sample.file) == nil)
  }

  @Test func everyFlippedByteIsNoticedByVerify() throws {
    let seed = UInt64.random(in: 0 ... .max)
    var random = SplitMix(seed)
    try withView(Sample.file) { view in
      for section in Section.allCases {
        let entry = view.header[section]
        guard entry.sizeBytes > 0 else { continue }
        var file = Sample.file
        file[Int(entry.offset) + Int.random(in: 0..<Int(entry.sizeBytes), using: &random)] ^=
          1 << UInt8.random(in: 0...7, using: &random)
        let error = try withView(file) { damaged in failure { () throws(LexiconError) in try damaged.verify() } }
        #expect(error == .damagedSection, "seed \(seed) \(section)")
      }
    }
  }

  @Test func badStreamsAreRefused() throws {
    try withView(Sample.file) { view in
      let cases: [([UInt8], LexiconError)] = [
        ([0xEB], .badStream), ([0xEF], .badStream), ([0xB3, 0, 0, 0], .badStream), ([0xEA, 0x20, 2], .badStream),
        ([0xE8, 117], .badStream), ([0xE8, 110, 0xFF, 0xFF], .badStream), ([0xF7, 121], .badStream),
        ([0x00], .truncatedStream), ([0x80, 0], .truncatedStream), ([0xF1, 0x41], .truncatedStream),
        ([0xE7], .truncatedStream), ([0x7F, 0xFF], .unknownToken), ([0xB8, 0xFF, 0xFF, 0xFF], .unknownToken),
      ]
      for (stream, error) in cases {
        let found = failure { () throws(LexiconError) in _ = try decode(stream, view) }
        #expect(found == error, "\(stream)")
      }
    }
  }

  private func failure(_ body: () throws(LexiconError) -> Void) -> LexiconError? {
    do throws(LexiconError) {
      try body()
      return nil
    } catch {
      return error
    }
  }

  private func refusal(_ file: [UInt8]) -> LexiconError? {
    file.withUnsafeBytes { bytes in
      failure { () throws(LexiconError) in _ = try LexiconView(RawSpan(_unsafeBytes: bytes)).tokenCount }
    }
  }

  private func repairHeader(_ file: inout [UInt8]) {
    var sum = Crc32c()
    for i in 0..<Layout.headerBytes where !(Layout.checksumOffset..<Layout.sectionTableOffset).contains(i) {
      sum.add(file[i])
    }
    for i in 0..<4 { file[Layout.checksumOffset + i] = UInt8(truncatingIfNeeded: sum.value >> UInt32(8 * i)) }
  }
}
