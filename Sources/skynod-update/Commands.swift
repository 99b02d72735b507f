import Bounded
import CSky
import Platform
import SkyCrypto
import Update
import Wire

/// Where the image says what it is, and where the initrd has left what it found.
private enum Place {
  static let board: StaticString = "/usr/lib/skynod/board"
  static let key: StaticString = "/usr/lib/skynod/update.key"
  static let disk: StaticString = "/run/skynod-image/whole"
  static let running: StaticString = "/run/skynod-image/slot"
}

enum Report {
  static func failure(_ error: UpdateError) -> Int32 {
    var text = TextBuffer(capacity: 512)
    text.append("skynod-update: ")
    text.append(error.sentence)
    text.append("\n")
    StandardStream.write(text, to: 2)
    return Int32(error.rawValue)
  }
}

extension Options {
  /// Carries out the command; the exit status.
  func run() throws(UpdateError) -> Int32 {
    switch command {
    case .apply: try apply(isWriting: true)
    case .check: try apply(isWriting: false)
    case .status: try status()
    case .rollback: try rollBack()
    case .confirm: try confirm()
    case .choose: try choose()
    case .start: return start()
    case .format: try format()
    }
    return 0
  }

  // MARK: A bundle

  private func apply(isWriting: Bool) throws(UpdateError) {
    let source = try BundleSource(words[0]!)
    var queue = ByteQueue(capacity: Limits.bundleBlockBytes)
    try source.read(Limits.updateSectorBytes, into: &queue)
    let manifest = try BundleManifest.verified(queue.bytes, key: try makersKey())
    let store = try openDisk(isWritable: isWriting)
    let state = try SlotState.read(store)
    try manifest.admit(board: try boardName(), state, running: try runningSlot())
    if let bytes = source.bytes, bytes != manifest.bundleBytes {
      throw bytes < manifest.bundleBytes ? .truncated : .notABundle
    }
    var table = ByteQueue(capacity: manifest.tableBytes)
    try source.read(manifest.tableBytes, into: &table)
    let installer = try Installer(store, state, manifest, table: table)
    let blocks = UInt64(manifest.blockCount)
    var progress = ProgressLine()
    defer { progress.hide() }
    // A file is looked through before a byte is written; of a stream each block is, before it is.
    if source.bytes != nil || !isWriting {
      for block in 0..<manifest.blockCount {
        try source.read(manifest.bytes(ofBlock: block).count, into: &queue)
        guard installer.matches(block, queue.bytes) else { throw .tampered }
        progress.show("looking through block", UInt64(block), of: blocks)
      }
      source.rewind(to: manifest.payloadOffset)
    }
    var text = TextBuffer(capacity: 512)
    text.append(manifest.name)
    text.append(", release ")
    text.append(manifest.release)
    if isWriting {
      try installer.begin()
      for block in 0..<manifest.blockCount {
        try source.read(manifest.bytes(ofBlock: block).count, into: &queue)
        try installer.place(block, queue.bytes)
        progress.show("writing block", UInt64(block), of: blocks)
      }
      try installer.finish { progress.show("reading back block", UInt64($0), of: blocks) }
      text.append(": in slot ")
      text.append(letter(installer.state.idle))
      text.append(", ")
      text.append(installer.writtenBlocks)
      text.append(" of ")
      text.append(manifest.blockCount)
      text.append(" blocks written, the others were there. Restart the board to try it.\n")
    } else {
      text.append(": would be taken\n")
    }
    progress.hide()
    StandardStream.write(text, to: 1)
  }

  // MARK: The slots

  private func status() throws(UpdateError) {
    let state = try SlotState.read(try openDisk(isWritable: false))
    var text = TextBuffer(capacity: 1_024)
    if isJson { describe(state, json: &text) } else { describe(state, plain: &text) }
    StandardStream.write(text, to: 1)
  }

  private func describe(_ state: SlotState, plain text: inout TextBuffer) {
    for slot in 0..<2 {
      text.append("slot ")
      text.append(letter(slot))
      text.append(": ")
      text.append(slot == state.good ? "good" : state.content.token)
      if slot == state.good || state.content != .empty {
        text.append(", ")
        text.append(state.slots[slot].name)
        text.append(", release ")
        text.append(state.slots[slot].release)
      }
      if slot != state.good, state.content == .trial {
        text.append(", starts left: ")
        text.append(UInt64(state.tries))
      }
      text.append("\n")
    }
  }

  private func describe(_ state: SlotState, json text: inout TextBuffer) {
    text.append("{\"good\":\"")
    text.append(letter(state.good))
    text.append("\",\"other\":\"")
    text.append(state.content.token)
    text.append("\",\"tries\":")
    text.append(UInt64(state.tries))
    text.append(",\"floor\":")
    text.append(state.floor)
    text.append(",\"slot_bytes\":")
    text.append(state.slotBytes)
    for slot in 0..<2 {
      begin("offset", slot, &text)
      text.append(state.slots[slot].offset)
      begin("release", slot, &text)
      text.append(state.slots[slot].release)
      begin("name", slot, &text)
      text.append(json: state.slots[slot].name.bytes)
      begin("bundle", slot, &text)
      text.append("\"")
      text.append(hex: state.slots[slot].digest.raw)
      text.append("\"")
    }
    text.append("}\n")
  }

  private func begin(_ key: StaticString, _ slot: Int, _ text: inout TextBuffer) {
    text.append(",\"")
    text.append(letter(slot))
    text.append("_")
    text.append(key)
    text.append("\":")
  }

  private func rollBack() throws(UpdateError) {
    let store = try openDisk(isWritable: true)
    var state = try SlotState.read(store)
    try state.rollBack()
    try state.write(store)
    StandardStream.write(
      state.content == .trial
        ? "the system before is tried at the next restart\n"
        : "the update is given up, the next restart takes the good system\n",
      to: 1)
  }

  private func confirm() throws(UpdateError) {
    let store = try openDisk(isWritable: true)
    var state = try SlotState.read(store)
    if try state.confirm(running: try runningSlot()) { try state.write(store) }
    var text = TextBuffer(capacity: 256)
    text.append("slot ")
    text.append(letter(state.good))
    text.append(" is good: ")
    text.append(state.slots[state.good].name)
    text.append("\n")
    StandardStream.write(text, to: 1)
  }

  /// For the initrd: prints where the slot to start begins, counted before.
  private func choose() throws(UpdateError) {
    let store = try openDisk(isWritable: true)
    var state = try SlotState.read(store)
    let choice = state.choose()
    if choice.changed { try state.write(store) }
    StandardStream.write(letter(choice.slot), to: 1)
    StandardStream.write("\n", to: 1)
  }

  private func start() -> Int32 {
    let error = sky_kernel_start(words[0]!.start, words[1]!.start, words[2]!.start)
    var text = TextBuffer(capacity: 128)
    text.append("skynod-update: the kernel cannot start another one, error ")
    text.append(Int(-error))
    text.append("\n")
    StandardStream.write(text, to: 2)
    return Int32(UpdateError.kernelFixed.rawValue)
  }

  private func format() throws(UpdateError) {
    let store = try openDisk(isWritable: true)
    let end = max(offsets[0], offsets[1]) + UInt64(slotBytes)
    guard end <= store.bytes else { throw .ioFailed }
    var state = SlotState(
      offsets: (offsets[0], offsets[1]), slotBytes: slotBytes, release: release, name: name!,
      kernel: try kernelDigest(), isKernelFixed: isKernelFixed)
    try state.format(store)
  }

  private func kernelDigest() throws(UpdateError) -> Bytes32 {
    let kernel = try BundleSource(words[0]!)
    guard let bytes = kernel.bytes else { throw .ioFailed }
    var queue = ByteQueue(capacity: Limits.bundleBlockBytes)
    var hash = Sha256()
    var done = 0
    while done < bytes {
      try kernel.read(min(Limits.bundleBlockBytes, bytes - done), into: &queue)
      hash.update(queue.bytes)
      done += queue.count
    }
    return hash.digest
  }

  // MARK: What the image and the initrd say

  private func letter(_ slot: Int) -> StaticString { slot == 0 ? "a" : "b" }

  private func openDisk(isWritable: Bool) throws(UpdateError) -> DiskStore {
    if let disk { return try DiskStore(disk, isWritable: isWritable) }
    var queue = ByteQueue(capacity: Limits.pathBytes + 1)
    try read(Place.disk, into: &queue, otherwise: .noState)
    guard let path = PathText(queue.bytes) else { throw .noState }
    return try DiskStore(path, isWritable: isWritable)
  }

  private func makersKey() throws(UpdateError) -> Bytes32 {
    var queue = ByteQueue(capacity: Limits.keyBytes)
    do throws(ErrorCode) {
      try Files.read(key?.path ?? Self.path(Place.key), into: &queue)
    } catch { throw .noKey }
    guard queue.count == Limits.keyBytes else { throw .noKey }
    return Bytes32(copying: queue.bytes)
  }

  private func boardName() throws(UpdateError) -> InlineText<32> {
    if let board { return board }
    var queue = ByteQueue(capacity: 256)
    try read(Place.board, into: &queue, otherwise: .wrongBoard)
    guard let name = InlineText<32>(queue.bytes) else { throw .wrongBoard }
    return name
  }

  private func runningSlot() throws(UpdateError) -> Int {
    if let running { return running }
    var queue = ByteQueue(capacity: 256)
    try read(Place.running, into: &queue, otherwise: .noState)
    return queue.bytes.elementsEqual("b") ? 1 : 0
  }

  /// A line that the image or the initrd has left.
  private func read(_ place: StaticString, into queue: inout ByteQueue, otherwise wanting: UpdateError)
    throws(UpdateError)
  {
    do throws(ErrorCode) { try Files.read(Self.path(place), into: &queue) } catch { throw wanting }
    if queue.count > 0, queue.bytes[queue.count - 1] == UInt8(ascii: "\n") { queue.truncate(to: queue.count - 1) }
    guard queue.count > 0 else { throw wanting }
  }

  private static func path(_ text: StaticString) -> PathText {
    PathText(RawSpan(_unsafeStart: UnsafeRawPointer(text.utf8Start), byteCount: text.utf8CodeUnitCount))!
  }
}
