import Bounded
import Node
import SkyCrypto
import Wire

extension FuzzTarget {
  /// What a hub may send about dictionaries: the manifest of an update, and the entries of words.
  static let manifest = FuzzTarget(
    name: "manifest",
    run: { bytes in
      if let manifest = try? DictionaryManifest(decoding: bytes) {
        var next = 0
        for page in 0..<manifest.pageCount {
          for block in manifest.blocks(ofPage: page) {
            let place = manifest.bytes(ofBlock: block)
            precondition(place.lowerBound == next && !place.isEmpty && place.count <= Limits.dictionaryBlockBytes)
            next = place.upperBound
          }
        }
        precondition(next == Int(manifest.fileBytes) && next <= Limits.dictionaryBytes)
        // Nobody can sign for this key.
        precondition((try? DictionaryUpdate.verified(bytes, key: Bytes32(repeating: 7)).generation) == nil)
      }
      if let request = try? PieceRequest(decoding: bytes) {
        var queue = ByteQueue(capacity: PieceRequest.byteCount)
        precondition(request.append(to: &queue))
        precondition(queue.bytes.elementsEqual(bytes.extracting(0..<PieceRequest.byteCount)))
      }
      var reader = ByteReader(bytes)
      while reader.remaining > 0 {
        let start = reader.offset
        guard let entry = try? WordEntry(from: &reader) else { break }
        var queue = ByteQueue(capacity: WordEntry.maximumBytes)
        precondition(entry.append(to: &queue) && queue.bytes.elementsEqual(bytes.extracting(start..<reader.offset)))
      }
    },
    seeds: {
      var manifest = ByteQueue(capacity: DictionaryManifest.maximumBytes)
      DictionaryManifest.appendHead(generation: 3, fileBytes: 600_000, to: &manifest)
      for _ in 0..<2 { manifest.append(Bytes32(repeating: 5).span.bytes) }
      manifest.append(Signature(repeating: 6).span.bytes)
      var request = ByteQueue(capacity: PieceRequest.byteCount)
      PieceRequest(generation: 3, kind: .block, index: 9).append(to: &request)
      var entries = ByteQueue(capacity: 2 * WordEntry.maximumBytes)
      var entry = WordEntry(word: InlineText("zorkmid")!)
      entry.append(to: &entries)
      entry.id = 70_000
      entry.sector = InlineText("noun.quantity")!
      entry.domain = InlineText("quantity")!
      entry.locale = InlineText("en")!
      entry.append(to: &entries)
      return [
        Seed(name: "manifest", bytes: manifest.array), Seed(name: "request", bytes: request.array),
        Seed(name: "entries", bytes: entries.array),
      ]
    })
}
