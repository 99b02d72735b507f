import Durable

/// A medium that forgets what was not synced: a power cut leaves each sector written since the last sync
/// as it was, as it was meant to be, half of each, or spoilt.
public final class FaultyStore: BlockStore {
  public static let sector = 512
  /// What is on the medium.
  public var disk: [UInt8]
  /// Sectors written since the last sync, in the order of their first write.
  public private(set) var pending: [(index: Int, bytes: [UInt8])] = []
  /// Error numbers for the calls; 0 lets them work.
  public var readError: Int32 = 0
  public var writeError: Int32 = 0
  public var syncError: Int32 = 0
  /// A sync that fails forgets what it could not write; without this the kernel keeps it, to be written later.
  public var forgets = true
  /// Sectors that cannot be read.
  public var badSectors: Set<Int> = []
  public private(set) var writes = 0
  public private(set) var syncs = 0
  public private(set) var bytesWritten = 0
  /// Called where the power may go: after each write and each sync.
  public var atCrashPoint: (() -> Void)?

  public init(bytes: Int) { disk = [UInt8](repeating: 0, count: bytes) }
  public init(disk: [UInt8]) { self.disk = disk }

  public func read(at offset: UInt64, into memory: UnsafeMutableRawBufferPointer) -> Int32 {
    let start = Int(offset)
    precondition(start + memory.count <= disk.count, "reads stay inside the file")
    if readError != 0 { return readError }
    if !badSectors.isEmpty {
      for sector in (start / FaultyStore.sector)...((start + memory.count - 1) / FaultyStore.sector)
      where badSectors.contains(sector) {
        return 5
      }
    }
    disk.withUnsafeBytes {
      memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<(start + memory.count)]))
    }
    for (index, bytes) in pending {
      let at = index * FaultyStore.sector
      let low = max(at, start)
      let high = min(at + FaultyStore.sector, start + memory.count)
      if low < high {
        bytes.withUnsafeBytes {
          UnsafeMutableRawBufferPointer(rebasing: memory[(low - start)..<(high - start)]).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: $0[(low - at)..<(high - at)]))
        }
      }
    }
    return 0
  }

  public func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) -> Int32 {
    precondition(offset % UInt64(FaultyStore.sector) == 0 && bytes.count % FaultyStore.sector == 0)
    precondition(Int(offset) + bytes.count <= disk.count, "writes stay inside the file")
    writes += 1
    if writeError != 0 { return writeError }
    bytesWritten += bytes.count
    for start in stride(from: 0, to: bytes.count, by: FaultyStore.sector) {
      let index = (Int(offset) + start) / FaultyStore.sector
      let sector = [UInt8](bytes[start..<(start + FaultyStore.sector)])
      if let known = pending.firstIndex(where: { $0.index == index }) {
        pending[known].bytes = sector
      } else {
        pending.append((index, sector))
      }
    }
    atCrashPoint?()
    return 0
  }

  public func sync() -> Int32 {
    syncs += 1
    // What the kernel forgets is not written by the next sync either.
    if syncError != 0 {
      if forgets { pending = [] }
      return syncError
    }
    for (index, bytes) in pending {
      disk.replaceSubrange((index * FaultyStore.sector)..<((index + 1) * FaultyStore.sector), with: bytes)
    }
    pending = []
    atCrashPoint?()
    return 0
  }

  // MARK: Power cuts

  public enum Fate: CaseIterable { case old, new, tornEarly, tornLate, reversed, spoilt }

  /// The medium after a power cut with these fates of the sectors in `pending`.
  public func image(_ fates: [Fate]) -> [UInt8] {
    var image = disk
    for ((index, bytes), fate) in zip(pending, fates) {
      let at = index * FaultyStore.sector
      if fate == .old { continue }
      if fate == .new {
        image.replaceSubrange(at..<(at + FaultyStore.sector), with: bytes)
        continue
      }
      for i in 0..<FaultyStore.sector {
        switch fate {
        case .old, .new: break
        // Within a record's head, and within its body.
        case .tornEarly: if i < 12 { image[at + i] = bytes[i] }
        case .tornLate: if i < 264 { image[at + i] = bytes[i] }
        case .reversed: if i >= 264 { image[at + i] = bytes[i] }
        case .spoilt: image[at + i] = UInt8(truncatingIfNeeded: (i &* 167) ^ (i >> 3) ^ index)
        }
      }
    }
    return image
  }

  /// Every way the power cut can end: all combinations for up to two sectors; for more all subsets of
  /// whole sectors, and each sector damaged in each way with the others all old or all new.
  public func everyImage(_ body: ([UInt8]) -> Void) {
    let count = pending.count
    if count == 0 { return body(disk) }
    let fates = count <= 2 ? Fate.allCases : [.old, .new]
    var choice = [Int](repeating: 0, count: count)
    while true {
      body(image(choice.map { fates[$0] }))
      var i = 0
      while i < count {
        choice[i] += 1
        if choice[i] < fates.count { break }
        choice[i] = 0
        i += 1
      }
      if i == count { break }
    }
    if count <= 2 { return }
    for i in 0..<count {
      for fate in Fate.allCases.dropFirst(2) {
        for others in [Fate.old, .new] {
          var all = [Fate](repeating: others, count: count)
          all[i] = fate
          body(image(all))
        }
      }
    }
  }
}

/// A small repeatable generator (SplitMix64).
public struct Dice {
  var state: UInt64
  public init(seed: UInt64) { state = seed }
  public mutating func roll() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
  public mutating func below(_ n: Int) -> Int { Int(roll() % UInt64(n)) }
}
