import Bounded
import Packing
import Wire

extension FuzzTarget {
  /// A packed body from anybody gives a text that is not too long, or nothing; any text packs to what gives it back.
  static let packed = FuzzTarget(
    name: "packed",
    run: { bytes in
      let longest = max(bytes.byteCount, Limits.messageBytes)
      withUnsafeTemporaryAllocation(byteCount: 2 * (longest + Packing.spareBytes), alignment: 1) { memory in
        let half = memory.count / 2
        let (first, second) = (
          UnsafeMutableRawBufferPointer(rebasing: memory[..<half]),
          UnsafeMutableRawBufferPointer(rebasing: memory[half...])
        )
        _ = Packing.unpack(bytes, into: first)
        guard let count = Packing.pack(bytes, into: first) else { return }
        precondition(count < bytes.byteCount)
        let packed = RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: first[..<count]))
        let back = Packing.unpack(packed, into: second)
        precondition(back == bytes.byteCount, "not as long as it was")
        bytes.withUnsafeBytes { precondition($0.elementsEqual(second[..<$0.count]), "not as it was") }
      }
    },
    seeds: {
      [
        Seed(name: "text", bytes: Array("The water level is high: 21.5 percent, \"pump\" = on.\n".utf8)),
        Seed(name: "packed", bytes: [0x80, 0x00, 0xB2, 0x00, 0x70, 0x00, 0x06, 0x00, 0x8F]),
        Seed(name: "runs", bytes: [0xEA, 0x20, 0xC7, 0xE7, 0xFF, 0xFF, 0x02] + Array("abc".utf8)),
      ]
    })
}
