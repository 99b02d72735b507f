import Bounded
import Testing

@testable import Wire

@Suite struct DictionaryFrameTests {
  private static var known: WordEntry {
    var entry = WordEntry(word: InlineText("zorkmid")!)
    entry.id = 70_000
    entry.slot = 513
    entry.band = 1
    entry.confidence = 2
    entry.quadrant = 3
    entry.sector = InlineText("noun.quantity")!
    entry.domain = InlineText("quantity")!
    entry.locale = InlineText("en")!
    return entry
  }

  private static func request(_ bytes: [UInt8]) -> PieceRequest? { try? PieceRequest(decoding: bytes.span.bytes) }

  private static func isManifest(_ bytes: [UInt8]) -> Bool {
    (try? DictionaryManifest(decoding: bytes.span.bytes)) != nil
  }

  private func decoded(_ bytes: [UInt8]) -> WordEntry? {
    var reader = ByteReader(bytes.span.bytes)
    guard let entry = try? WordEntry(from: &reader), reader.remaining == 0 else { return nil }
    return entry
  }

  @Test func anEntryComesBackWhole() throws {
    let unknown = WordEntry(word: InlineText("x")!)
    for entry in [Self.known, unknown] {
      let bytes = try #require(encoded { entry.append(to: &$0) })
      #expect(bytes.count == entry.byteCount && decoded(bytes) == entry)
      for count in 0..<bytes.count { #expect(decoded(Array(bytes[..<count])) == nil) }
    }
  }

  @Test func theLongestEntryFitsWhereItIsPut() throws {
    var entry = Self.known
    entry.word = InlineText(String(repeating: "w", count: 63))!
    for path in [\WordEntry.sector, \.domain, \.locale] {
      entry[keyPath: path] = InlineText(String(repeating: "s", count: 31))!
    }
    #expect(entry.byteCount == WordEntry.maximumBytes)
    #expect(encoded(WordEntry.maximumBytes) { entry.append(to: &$0) } != nil)
    #expect(encoded(WordEntry.maximumBytes - 1) { entry.append(to: &$0) } == nil)
  }

  /// Offsets of an entry with a word of seven bytes: id 8, band 14, confidence 15, quadrant 16, length 17.
  @Test(arguments: [(0, 0), (0, 64), (14, 16), (15, 4), (16, 0), (16, 5), (17, 32)])
  func anEntryOutsideItsRangesIsRefused(_ offset: Int, _ value: Int) throws {
    var bytes = try #require(encoded { Self.known.append(to: &$0) })
    bytes[offset] = UInt8(value)
    #expect(decoded(bytes) == nil)
  }

  @Test func theIdOfAByteIsNoAnswer() throws {
    var entry = Self.known
    entry.id = 255
    #expect(decoded(try #require(encoded { entry.append(to: &$0) })) == nil)
  }

  @Test func requestsComeBack() throws {
    for kind in [PieceKind.manifest, .page, .block, .none] {
      let request = PieceRequest(generation: 0x0102_0304, kind: kind, index: 0x0506_0708)
      let bytes = try #require(encoded { request.append(to: &$0) })
      #expect(bytes.count == PieceRequest.byteCount)
      #expect(Self.request(bytes) == request)
      for count in 0..<bytes.count {
        #expect(Self.request(Array(bytes[..<count])) == nil)
      }
    }
    #expect(
      Self.request([0, 0, 0, 1, 4, 0, 0, 0, 0]) == nil)
  }

  private func manifest(fileBytes: UInt32, pages: Int? = nil, generation: UInt32 = 3) -> [UInt8] {
    var queue = ByteQueue(capacity: 8_192)
    DictionaryManifest.appendHead(generation: generation, fileBytes: fileBytes, to: &queue)
    var bytes = array(queue.bytes)
    if let pages { bytes[16] = UInt8(pages) }
    for page in 0..<Int(bytes[16]) { bytes += [UInt8](repeating: UInt8(page), count: 32) }
    return bytes + [UInt8](repeating: 0xAA, count: 64)
  }

  @Test(arguments: [1, 4_096, 4_097, 524_288, 524_289, Limits.dictionaryBytes])
  func aManifestSaysWhereEveryByteIs(_ fileBytes: Int) throws {
    let bytes = manifest(fileBytes: UInt32(fileBytes))
    #expect(bytes.count <= DictionaryManifest.maximumBytes)
    let read = try DictionaryManifest(decoding: bytes.span.bytes)
    #expect(read.generation == 3 && Int(read.fileBytes) == fileBytes && read.signedBytes == bytes.count - 64)
    var next = 0
    for page in 0..<read.pageCount {
      #expect(read.page(page)[0] == UInt8(page))
      for block in read.blocks(ofPage: page) {
        #expect(read.bytes(ofBlock: block).lowerBound == next)
        next = read.bytes(ofBlock: block).upperBound
      }
    }
    #expect(next == fileBytes)
    for count in stride(from: 0, to: bytes.count, by: 7) {
      #expect(!Self.isManifest(Array(bytes[..<count])))
    }
  }

  @Test func aManifestWithoutSenseIsRefused() {
    let bad = [
      manifest(fileBytes: 0), manifest(fileBytes: UInt32(Limits.dictionaryBytes) + 1, pages: 64),
      manifest(fileBytes: 4_096, pages: 2), manifest(fileBytes: 600_000, pages: 1),
      manifest(fileBytes: 1, generation: 0),
      manifest(fileBytes: 1) + [0], Array("SKYDICT2".utf8) + manifest(fileBytes: 1).dropFirst(8),
    ]
    for bytes in bad {
      #expect(!Self.isManifest(bytes))
    }
  }
}
