import Bounded
import Durable
import Foundation
import SkyCrypto
import TestSupport
import Wire

@testable import Update

/// A disk whose gaps take no memory: the two copies of the state, then the slots.
final class SlotDisk: SlotStore {
  static let slotBytes = 3 * Limits.bundleBlockBytes
  static let slots = UInt64(16 << 20)
  let store: FaultyStore

  init() { store = FaultyStore(bytes: 2 * Limits.updateSectorBytes + 2 * Self.slotBytes) }
  init(_ image: [UInt8]) { store = FaultyStore(disk: image) }

  private func place(_ offset: UInt64) -> UInt64 {
    for i in 0..<2 where SlotState.places[i] == offset { return UInt64(i * Limits.updateSectorBytes) }
    precondition(offset >= Self.slots, "nothing but the slots and the copies is touched")
    return offset - Self.slots + UInt64(2 * Limits.updateSectorBytes)
  }

  func read(at offset: UInt64, into memory: UnsafeMutableRawBufferPointer) -> Int32 {
    store.read(at: place(offset), into: memory)
  }
  func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) -> Int32 { store.write(at: place(offset), bytes) }
  func sync() -> Int32 { store.sync() }
  func forget() {}

  func holds(_ payload: [UInt8], slot: Int) -> Bool {
    let start = 2 * Limits.updateSectorBytes + slot * Self.slotBytes
    return store.disk.withUnsafeBytes { disk in
      payload.withUnsafeBytes { memcmp(disk.baseAddress! + start, $0.baseAddress!, $0.count) == 0 }
    }
  }
}

/// A bundle, and all that was made for it.
struct TestBundle {
  let manifest: BundleManifest
  let head: [UInt8]
  let table: [UInt8]
  let payload: [UInt8]

  static var maker: Identity { Identity(seed: Secret<32>([UInt8](repeating: 3, count: 32).span.bytes)!) }
  static let board = InlineText<32>("pc-x86_64")!

  init(
    release: UInt64, minimum: UInt64 = 1, board: InlineText<32> = board, payloadBytes: Int = 2 * 65_536 + 4_096,
    kernel: UInt8 = 9
  ) {
    var dice = Dice(seed: release)
    payload = (0..<payloadBytes / 8).flatMap { _ in withUnsafeBytes(of: dice.roll()) { Array($0) } }
    var table = ByteQueue(capacity: Limits.bundleBlocks * Limits.hashBytes)
    for start in stride(from: 0, to: payloadBytes, by: Limits.bundleBlockBytes) {
      let block = [UInt8](payload[start..<min(start + Limits.bundleBlockBytes, payloadBytes)])
      table.append(Sha256.digest(block.span.bytes).raw)
    }
    var manifest = BundleManifest(
      board: board, name: InlineText("0.\(release).0")!, release: release, minimum: minimum,
      payloadBytes: payloadBytes, kernel: Bytes32(repeating: kernel), table: Sha256.digest(table.bytes))
    var head = ByteQueue(capacity: Limits.updateSectorBytes)
    manifest.append(to: &head, signedBy: Self.maker)
    self.manifest = manifest
    self.head = head.withBytes { bytes in (0..<bytes.byteCount).map { bytes[$0] } }
    self.table = table.withBytes { bytes in (0..<bytes.byteCount).map { bytes[$0] } }
  }

  func block(_ index: Int) -> [UInt8] { [UInt8](payload[manifest.bytes(ofBlock: index)]) }
}

/// A new board that runs `bundle` from its first slot.
func makeDisk(_ bundle: TestBundle, isKernelFixed: Bool = false) -> SlotDisk {
  let disk = SlotDisk()
  disk.store.disk.replaceSubrange(1_024..<(1_024 + bundle.payload.count), with: bundle.payload)
  var state = SlotState(
    offsets: (SlotDisk.slots, SlotDisk.slots + UInt64(SlotDisk.slotBytes)), slotBytes: SlotDisk.slotBytes,
    release: bundle.manifest.release, name: bundle.manifest.name, kernel: Bytes32(repeating: 9),
    isKernelFixed: isKernelFixed)
  try! state.format(disk)
  return disk
}

extension TestBundle {
  func makeInstaller(_ disk: SlotDisk, table wrong: [UInt8]? = nil) throws(UpdateError) -> Installer<SlotDisk> {
    let table = wrong ?? table
    var queue = ByteQueue(capacity: max(1, table.count))
    queue.append(table.span.bytes)
    return try Installer(disk, try SlotState.read(disk), manifest, table: queue)
  }

  @discardableResult
  func install(_ disk: SlotDisk) throws(UpdateError) -> Installer<SlotDisk> {
    let state = try SlotState.read(disk)
    try manifest.admit(board: Self.board, state, running: state.good)
    let installer = try makeInstaller(disk)
    try installer.begin()
    for i in 0..<manifest.blockCount { try installer.place(i, block(i).span.bytes) }
    try installer.finish()
    return installer
  }
}

/// A start, as the initrd does it: the slot.
func start(_ disk: SlotDisk) throws(UpdateError) -> Int {
  var state = try SlotState.read(disk)
  let choice = state.choose()
  if choice.changed { try state.write(disk) }
  return choice.slot
}

func confirm(_ disk: SlotDisk, running: Int) throws(UpdateError) {
  var state = try SlotState.read(disk)
  if try state.confirm(running: running) { try state.write(disk) }
}

func rollBack(_ disk: SlotDisk) throws(UpdateError) {
  var state = try SlotState.read(disk)
  try state.rollBack()
  try state.write(disk)
}
