import Bounded
import Durable

/// A file on a board's flash: what programs read of it, and what would be left if the power went now.
///
/// The failure model is that of docs/reliability.md. Each sector written since the last sync is, after a power cut,
/// old, new, a part of each, or garbage, independently of the others. A sync that fails has stored nothing, and what
/// it could not store may be forgotten by later ones. Killing a process loses nothing that was written.
final class Medium: BlockStore {
  static let sectorBytes = 512
  private static let ioError: Int32 = 5

  private(set) var bytes: [UInt8]
  private var safe: [UInt8]
  private enum Sector { case clean, dirty, forgotten }
  private var sectors: [Sector]
  private var unsynced: [Int] = []
  var dice: Dice

  /// Error numbers of every write, sync and read; 0 lets them work.
  var writeError: Int32 = 0
  var syncError: Int32 = 0
  var readError: Int32 = 0
  /// The defect `syncLies`.
  var syncLies = false
  /// So many more writes and syncs, then the power goes in the middle of the next.
  var diesAfter: Int?
  private(set) var hasDied = false

  init(bytes count: Int, dice: Dice) {
    bytes = [UInt8](repeating: 0, count: count)
    safe = bytes
    sectors = [Sector](repeating: .clean, count: (count + Self.sectorBytes - 1) / Self.sectorBytes)
    self.dice = dice
  }

  func read(at offset: UInt64, into memory: UnsafeMutableRawBufferPointer) -> Int32 {
    if readError != 0 { return readError }
    guard Int(offset) + memory.count <= bytes.count else { return Self.ioError }
    bytes.withUnsafeBytes {
      memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[Int(offset)..<(Int(offset) + memory.count)]))
    }
    return 0
  }

  func write(at offset: UInt64, _ piece: UnsafeRawBufferPointer) -> Int32 {
    if writeError != 0 { return writeError }
    if isDead() { return 0 }
    guard !piece.isEmpty else { return 0 }
    let start = Int(offset)
    precondition(start + piece.count <= bytes.count, "the file never grows")
    bytes.withUnsafeMutableBytes {
      UnsafeMutableRawBufferPointer(rebasing: $0[start..<(start + piece.count)]).copyMemory(from: piece)
    }
    for sector in (start / Self.sectorBytes)...((start + piece.count - 1) / Self.sectorBytes) {
      if sectors[sector] == .clean { unsynced.append(sector) }
      sectors[sector] = .dirty
    }
    return 0
  }

  func sync() -> Int32 {
    if syncError != 0 {
      for sector in unsynced where dice.oneIn(2) { sectors[sector] = .forgotten }
      return syncError
    }
    if isDead() || syncLies { return 0 }
    var left: [Int] = []
    for sector in unsynced {
      if sectors[sector] == .forgotten {
        left.append(sector)
        continue
      }
      keep(sector, new: Self.sectorBytes)
      sectors[sector] = .clean
    }
    unsynced = left
    return 0
  }

  /// A program opens the file, as `sky_disk_begin` does: what the kernel holds is stored, and what it has given up is
  /// read from the medium again.
  func reopen() {
    _ = sync()
    for sector in unsynced where sectors[sector] == .forgotten {
      for i in range(sector) { bytes[i] = safe[i] }
      sectors[sector] = .clean
    }
    unsynced.removeAll { sectors[$0] == .clean }
  }

  /// True from the moment at which the power went: nothing reaches the medium any more.
  private func isDead() -> Bool {
    guard let left = diesAfter else { return false }
    if left == 0 { hasDied = true } else { diesAfter = left - 1 }
    return hasDied
  }

  private func range(_ sector: Int) -> Range<Int> {
    (sector * Self.sectorBytes)..<min(bytes.count, (sector + 1) * Self.sectorBytes)
  }

  /// Takes the first `new` bytes of a sector over to what is safe.
  private func keep(_ sector: Int, new: Int) {
    for i in range(sector).prefix(new) { safe[i] = bytes[i] }
  }

  /// The power goes, and comes back.
  func cutPower() {
    for sector in unsynced {
      if sectors[sector] == .dirty {
        switch dice.below(8) {
        case 0, 1, 2: break
        case 3, 4, 5: keep(sector, new: Self.sectorBytes)
        case 6: keep(sector, new: dice.below(Self.sectorBytes))
        default: for i in range(sector) { safe[i] = UInt8(truncatingIfNeeded: dice.next()) }
        }
      }
      sectors[sector] = .clean
    }
    unsynced.removeAll(keepingCapacity: true)
    bytes = safe
    diesAfter = nil
    hasDied = false
  }

  /// A bit changes by itself, in what is at rest.
  func flip(bit: Int, at offset: Int) {
    bytes[offset] ^= 1 << UInt8(bit)
    safe[offset] ^= 1 << UInt8(bit)
  }

  /// The offsets at which records begin that hold this byte, by the look of their heads (docs/reliability.md, "The file").
  func records(around offset: Int, from dataOffset: Int, longest: Int) -> [Int] {
    var found: [Int] = []
    var at = offset & ~7
    while at >= dataOffset, at + longest > offset {
      if at + 24 <= bytes.count, bytes[at] == 0x53, bytes[at + 1] == 0x4B, bytes[at + 2] == 0x59, bytes[at + 3] == 0x52
      {
        let length = Int(number(at + 16, bytes: 4))
        if at + 24 + length > offset { found.append(at) }
      }
      at -= 8
    }
    return found
  }

  func number(_ offset: Int, bytes count: Int) -> UInt64 {
    var value: UInt64 = 0
    for i in 0..<count where offset + i < bytes.count { value = value << 8 | UInt64(bytes[offset + i]) }
    return value
  }
}
