import Bounded
import SkyCrypto
import Update
import Wire

extension FuzzTarget {
  /// The head of a bundle.
  static let bundle = FuzzTarget(
    name: "bundle",
    run: { bytes in
      guard let manifest = try? BundleManifest(decoding: bytes) else { return }
      var next = 0
      for block in 0..<manifest.blockCount {
        let place = manifest.bytes(ofBlock: block)
        precondition(place.lowerBound == next && !place.isEmpty && place.count <= Limits.bundleBlockBytes)
        next = place.upperBound
      }
      precondition(next == manifest.payloadBytes && manifest.blockCount <= Limits.bundleBlocks)
      precondition(manifest.bundleBytes == manifest.payloadOffset + next)
      // Nobody can sign for this key.
      precondition((try? BundleManifest.verified(bytes, key: Bytes32(repeating: 7)).release) == nil)
    },
    seeds: {
      let maker = Identity(seed: Secret<32>())
      return [("small", 4_096), ("large", Limits.bundleBlocks * Limits.bundleBlockBytes)].map { name, bytes in
        var manifest = BundleManifest(
          board: InlineText("pc-x86_64")!, name: InlineText("0.1.0~20260101")!, release: 7, minimum: 3,
          payloadBytes: bytes, kernel: Bytes32(repeating: 1), table: Bytes32(repeating: 2))
        var queue = ByteQueue(capacity: Limits.updateSectorBytes)
        manifest.append(to: &queue, signedBy: maker)
        return Seed(name: name, bytes: queue.array)
      }
    })

  /// A copy of the slots' state, with whatever checksum: it is put right before it is read.
  static let slots = FuzzTarget(
    name: "slots",
    run: { bytes in
      precondition((try? SlotState(decoding: bytes)) == nil || bytes.byteCount == Limits.updateSectorBytes)
      guard bytes.byteCount == Limits.updateSectorBytes else { return }
      var queue = ByteQueue(capacity: Limits.updateSectorBytes)
      queue.append(bytes.extracting(0..<(Limits.updateSectorBytes - 4)))
      queue.append(bigEndian: Crc32c.checksum(queue.bytes))
      guard var state = try? SlotState(decoding: queue.bytes) else { return }
      var again = ByteQueue(capacity: Limits.updateSectorBytes)
      state.append(to: &again)
      precondition(again.bytes.elementsEqual(queue.bytes), "what is read is what is written")
      // Whatever it says, starts come to an end with the good slot, and then change nothing.
      let good = state.good
      for _ in 0...Int(Limits.updateTries) { _ = state.choose() }
      let last = state.choose()
      precondition(last.slot == good && !last.changed && state.good == good)
    },
    seeds: {
      var fresh = SlotState(
        offsets: (80 << 20, 176 << 20), slotBytes: 96 << 20, release: 7, name: InlineText("0.1.0")!,
        kernel: Bytes32(repeating: 1), isKernelFixed: false)
      var first = ByteQueue(capacity: Limits.updateSectorBytes)
      fresh.append(to: &first)
      // The other slot on trial: content and tries.
      var bytes = first.array
      bytes[17] = 3
      bytes[18] = 3
      return [Seed(name: "fresh", bytes: first.array), Seed(name: "trial", bytes: bytes)]
    })
}
