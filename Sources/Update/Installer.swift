import Bounded
import Durable
import SkyCrypto
import Wire

/// Puts a bundle's payload into the slot that is not in use.
///
/// In this order: `begin`, then each block once by `place`, then `finish`. A block is compared with its digest before it is
/// written, and what is on the medium already is not written again: an update that was cut off goes on where it
/// stopped, without any notes. `finish` reads everything back before the slot can be started.
///
/// Invariant: nothing outside the idle slot and the state's copies is written; the state says `trial` only after
/// every block was synced and read back.
public final class Installer<Store: SlotStore> {
  private let store: Store
  public private(set) var state: SlotState
  public let manifest: BundleManifest
  private let table: ByteQueue
  private var found = ByteQueue(capacity: Limits.bundleBlockBytes)
  /// Blocks that were written, and that were there.
  public private(set) var writtenBlocks = 0
  public private(set) var keptBlocks = 0

  /// `manifest` was verified and admitted. `tampered` when the table is not the one that was signed.
  public init(_ store: Store, _ state: SlotState, _ manifest: BundleManifest, table: consuming ByteQueue)
    throws(UpdateError)
  {
    guard table.count == manifest.tableBytes, equal(Sha256.digest(table.bytes), manifest.table) else {
      throw .tampered
    }
    self.store = store
    self.state = state
    self.manifest = manifest
    self.table = table
  }

  /// True when these are the bytes of that block.
  public func matches(_ block: Int, _ bytes: RawSpan) -> Bool {
    bytes.byteCount == manifest.bytes(ofBlock: block).count && isDigest(block, Sha256.digest(bytes))
  }

  /// The other slot is given up. Nothing is written when it was already, for this bundle.
  public func begin() throws(UpdateError) {
    if state.content == .partial, equal(state.slots[state.idle].digest, manifest.digest) { return }
    state.begin(manifest)
    try state.write(store)
  }

  /// Takes the next block's bytes.
  public func place(_ block: Int, _ bytes: RawSpan) throws(UpdateError) {
    guard matches(block, bytes) else { throw .tampered }
    if try holds(block) {
      keptBlocks += 1
      return
    }
    guard bytes.withUnsafeBytes({ store.write(at: offset(block), $0) }) == 0 else { throw .ioFailed }
    writtenBlocks += 1
  }

  /// Syncs, reads back what is on the medium and makes it the system of the next start. `isBack` hears of each block.
  public func finish(_ isBack: (Int) -> Void = { _ in }) throws(UpdateError) {
    precondition(writtenBlocks + keptBlocks == manifest.blockCount)
    guard store.sync() == 0 else { throw .ioFailed }
    store.forget()
    for block in 0..<manifest.blockCount {
      guard try holds(block) else { throw .notKept }
      isBack(block)
    }
    state.activate()
    try state.write(store)
  }

  private func offset(_ block: Int) -> UInt64 {
    state.slots[state.idle].offset + UInt64(manifest.bytes(ofBlock: block).lowerBound)
  }

  private func holds(_ block: Int) throws(UpdateError) -> Bool {
    found.consume(found.count)
    let (from, count) = (offset(block), manifest.bytes(ofBlock: block).count)
    var error: Int32 = 0
    let store = store
    found.appendInPlace(upTo: count) { room in
      error = store.read(at: from, into: room)
      return count
    }
    guard error == 0 else { throw .ioFailed }
    return isDigest(block, Sha256.digest(found.bytes))
  }

  private func isDigest(_ block: Int, _ digest: Bytes32) -> Bool {
    table.withBytes { table in
      let first = block * Limits.hashBytes
      return table.extracting(first..<(first + Limits.hashBytes)).elementsEqual(digest.raw)
    }
  }
}
