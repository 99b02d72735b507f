import Bounded
import Durable
import SkyCrypto
import Wire

/// The board as its updater knows it: what the image says, and the disk.
public protocol UpdaterBoard: AnyObject {
  associatedtype Store: SlotStore
  func name() throws(UpdateError) -> InlineText<32>
  func makersKey() throws(UpdateError) -> Bytes32
  /// The slot whose system runs.
  func running() throws(UpdateError) -> Int
  /// For whoever writes, alone: `inUse` when somebody else is at it.
  func openDisk(isWritable: Bool) throws(UpdateError) -> Store
  func restart() throws(UpdateError)
}

/// Carries out what a node asks for, and nothing that the maker of the image has not signed. The node is not
/// trusted: the most it can do is to install a genuine bundle for this board that is no older than what was confirmed, to
/// go back to the system before, and to restart a board that has a new system to try.
///
/// It asks for the bytes it needs, one piece at a time: the table, then of each block that the slot does not hold already
/// its parts. An update that was cut off so goes on where it stopped.
public final class Updater<Board: UpdaterBoard> {
  private let board: Board
  private var manifest: BundleManifest?
  private var installer: Installer<Board.Store>?
  private var table = ByteQueue(capacity: 0)
  private var block = ByteQueue(capacity: Limits.bundleBlockBytes)
  private var next = 0
  private var want: BundleWant?

  public init(_ board: Board) { self.board = board }

  /// Takes one request and appends its answer. False when this is no request: the stream is to be closed.
  public func take(_ kind: UpdaterRecord.Kind, _ body: RawSpan, answer: inout ByteQueue) -> Bool {
    do throws(UpdateError) {
      switch kind {
      case .status:
        UpdaterRecord.append(.standing, length: Standing.byteCount, to: &answer)
        let (state, running) = (try SlotState.read(try board.openDisk(isWritable: false)), try board.running())
        Standing(board: try board.name(), state, running: running).append(to: &answer)
        return true
      case .apply: try begin(body)
      case .piece: try place(body)
      case .rollBack: try rollBack()
      case .restart: try restart()
      case .standing, .want, .result: return false
      }
    } catch {
      // Only `status` has written before it failed.
      answer.clear()
      if kind == .apply || kind == .piece { stop() }
      UpdaterRecord.append(result: error, to: &answer)
      return true
    }
    if let want, kind == .apply || kind == .piece {
      UpdaterRecord.append(.want, length: BundleWant.byteCount, to: &answer)
      want.append(to: &answer)
    } else {
      UpdaterRecord.append(result: nil, to: &answer)
    }
    return true
  }

  private func stop() {
    manifest = nil
    installer = nil
    want = nil
  }

  private func begin(_ body: RawSpan) throws(UpdateError) {
    stop()
    let manifest = try BundleManifest.verified(body, key: try board.makersKey())
    try manifest.admit(
      board: try board.name(), try SlotState.read(try board.openDisk(isWritable: false)), running: try board.running())
    self.manifest = manifest
    table = ByteQueue(capacity: manifest.tableBytes)
    askForTable(manifest)
  }

  private func askForTable(_ manifest: BundleManifest) {
    want = BundleWant(
      offset: UInt32(Limits.updateSectorBytes + table.count),
      count: UInt16(min(table.space, Limits.bundlePieceBytes)), block: 0, blocks: UInt16(manifest.blockCount))
  }

  private func place(_ body: RawSpan) throws(UpdateError) {
    guard let manifest, let want else { throw .notABundle }
    let bytes = body.extracting(4..<body.byteCount)
    guard UInt32(bigEndian: body.unsafeLoadUnaligned(as: UInt32.self)) == want.offset,
      bytes.byteCount == Int(want.count)
    else { throw .tampered }
    guard let installer else {
      table.append(bytes)
      if table.space > 0 { return askForTable(manifest) }
      return try beginBlocks(manifest)
    }
    block.append(bytes)
    if block.count == manifest.bytes(ofBlock: next).count {
      try Self.place(installer, next, block)
      block.clear()
      next += 1
    }
    try askForBlock(manifest, installer)
  }

  // A span cannot leave the property that holds its buffer: it is lent for a call.
  private static func place(
    _ installer: Installer<Board.Store>, _ number: Int, _ block: borrowing ByteQueue
  ) throws(UpdateError) { try installer.place(number, block.bytes) }

  /// Looked at again under the lock: the table has taken its time.
  private func beginBlocks(_ manifest: BundleManifest) throws(UpdateError) {
    let store = try board.openDisk(isWritable: true)
    let state = try SlotState.read(store)
    try manifest.admit(board: try board.name(), state, running: try board.running())
    var table = ByteQueue(capacity: 0)
    swap(&table, &self.table)
    let installer = try Installer(store, state, manifest, table: table)
    try installer.begin()
    self.installer = installer
    block.clear()
    next = 0
    try askForBlock(manifest, installer)
  }

  /// The next part of a block that is not there; the end when all are.
  private func askForBlock(_ manifest: BundleManifest, _ installer: Installer<Board.Store>) throws(UpdateError) {
    while block.isEmpty, next < manifest.blockCount, try installer.keeps(next) { next += 1 }
    guard next < manifest.blockCount else {
      try installer.finish()
      return stop()
    }
    let bytes = manifest.bytes(ofBlock: next)
    want = BundleWant(
      offset: UInt32(manifest.payloadOffset + bytes.lowerBound + block.count),
      count: UInt16(min(bytes.count - block.count, Limits.bundlePieceBytes)), block: UInt16(next),
      blocks: UInt16(manifest.blockCount))
  }

  private func rollBack() throws(UpdateError) {
    let store = try openAlone()
    var state = try SlotState.read(store)
    try state.rollBack()
    try state.write(store)
  }

  private func restart() throws(UpdateError) {
    let state = try SlotState.read(try openAlone())
    guard state.content == .trial, try board.running() == state.good else { throw .nothingToTry }
    try board.restart()
  }

  private func openAlone() throws(UpdateError) -> Board.Store {
    guard manifest == nil else { throw .inUse }
    return try board.openDisk(isWritable: true)
  }
}
