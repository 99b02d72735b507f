import Lexicon

/// Pilots and slots such that every word of a set finds its own index in one step.
///
/// Words fall into buckets of five on average; for each bucket, the fullest first, the smallest pilot is
/// searched that sends all of its words to free slots.
struct PerfectHash {
  let seed: UInt32
  let pilots: [UInt16]
  /// Index of the word in each slot, -1 in the few that stay free.
  let slots: [Int32]
  let fingerprints: [UInt32]

  static func bucketCount(_ words: Int) -> Int { words / 5 + 1 }
  static func slotCount(_ words: Int) -> Int { words + words / 50 + 8 }

  init(_ words: [[UInt8]]) throws(BuildError) {
    // A few seeds fail at worst: the search below succeeds for nearly all of them.
    for seed in UInt32(1)...64 {
      let hashes = words.map {
        $0.withUnsafeBytes { WordHash.of(RawSpan(_unsafeBytes: $0), start: WordHash.start(seed)) }
      }
      if let (pilots, slots) = Self.search(hashes) {
        self.seed = seed
        self.pilots = pilots
        self.slots = slots
        fingerprints = hashes.map { WordHash.fingerprint($0) }
        return
      }
    }
    throw BuildError("no perfect hash was found")
  }

  private static func search(_ hashes: [UInt64]) -> (pilots: [UInt16], slots: [Int32])? {
    let buckets = bucketCount(hashes.count)
    let slotCount = slotCount(hashes.count)
    // Counting sort by bucket.
    var starts = [Int](repeating: 0, count: buckets + 1)
    for hash in hashes { starts[WordHash.bucket(hash, UInt32(buckets)) + 1] += 1 }
    for i in 0..<buckets { starts[i + 1] += starts[i] }
    var next = starts
    var members = [Int32](repeating: 0, count: hashes.count)
    for (i, hash) in hashes.enumerated() {
      let bucket = WordHash.bucket(hash, UInt32(buckets))
      members[next[bucket]] = Int32(i)
      next[bucket] += 1
    }
    let order = (0..<buckets).sorted {
      let (a, b) = (starts[$0 + 1] - starts[$0], starts[$1 + 1] - starts[$1])
      return a == b ? $0 < $1 : a > b
    }
    var pilots = [UInt16](repeating: 0, count: buckets)
    var slots = [Int32](repeating: -1, count: slotCount)
    var taken: [Int] = []
    for bucket in order {
      let range = starts[bucket]..<starts[bucket + 1]
      if range.isEmpty { break }
      var pilot: UInt16 = 0
      search: while true {
        taken.removeAll(keepingCapacity: true)
        var fits = true
        for i in range {
          let slot = WordHash.slot(hashes[Int(members[i])], pilot: pilot, UInt32(slotCount))
          if slots[slot] >= 0 || taken.contains(slot) {
            fits = false
            break
          }
          taken.append(slot)
        }
        if fits { break search }
        guard pilot < .max else { return nil }
        pilot += 1
      }
      pilots[bucket] = pilot
      for (i, slot) in zip(range, taken) { slots[slot] = members[i] }
    }
    return (pilots, slots)
  }
}
