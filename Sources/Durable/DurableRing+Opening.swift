import Bounded

extension DurableRing {
  /// What the ring needs from outside when it makes a new file, or has none.
  public struct Fresh: Sendable {
    /// Random: names a new file's records.
    public var stream: UInt64
    /// Random: names records that never see a medium.
    public var memoryStream: UInt64
    /// Random and never shown.
    public var salt: UInt32

    public init(stream: UInt64, memoryStream: UInt64, salt: UInt32) {
      self.stream = stream
      self.memoryStream = memoryStream
      self.salt = salt
    }
  }

  /// Gets the owner's bytes of the newest checkpoint; none when there is no such checkpoint.
  public typealias UserReader = (UnsafeRawBufferPointer) -> Void

  /// Recovers what the store holds, or makes a new ring of it, and begins a new age of sequences.
  ///
  /// `restore` gets the owner's bytes of the newest checkpoint (none for a new ring), then `visit` every
  /// live record in no particular order; `user` writes the owner's bytes anew. It blocks. It does not
  /// fail: see `health`.
  public func open<Store: BlockStore>(
    _ store: Store, _ fresh: Fresh, now: Instant,
    restore: UserReader, visit: (RingOffer, RawSpan) -> Void, user: UserWriter
  ) {
    memoryStream = fresh.memoryStream
    lastCheckpoint = now
    // A checkpoint may be one that is only in the kernel's memory. Until it is on the medium, the one before it, whose place
    // is the next to be written, is the only one there.
    var error = store.sync()
    let head = readHead(store)
    let slot = readSlots(store)
    if let slot {
      (stream, salt) = (slot.stream, slot.salt)
      restoreUser(store, slot, restore)
    } else if let head {
      (stream, salt) = (head.stream, head.salt)
      restore(UnsafeRawBufferPointer(start: nil, count: 0))
    } else {
      (stream, salt) = (fresh.stream, fresh.salt)
      restore(UnsafeRawBufferPointer(start: nil, count: 0))
    }
    let found = scan(store, from: slot, visit: visit)
    beginAge(found, slot: slot, isNew: slot == nil && head == nil)
    let isHeadWell = head != nil && head == RingHead(parameters, stream: stream, salt: salt)
    if error == 0 && !isHeadWell { error = writeHead(store) }
    if error == 0 && nextSequence >= parameters.sequences.upperBound { error = DurableRing.exhausted }
    if error == 0 { error = writeOpeningSlot(store, user: user) }
    if error != 0 { stayInMemory(error) } else { health = .stored }
  }

  /// EOVERFLOW: the file has no sequences left.
  static var exhausted: Int32 { 75 }

  /// Opens without a file: everything stays in memory.
  public func openWithoutStore(_ fresh: Fresh, error: Int32, now: Instant) {
    (stream, salt, memoryStream) = (fresh.stream, fresh.salt, fresh.memoryStream)
    lastCheckpoint = now
    beginAge(Found(), slot: nil, isNew: true)
    stayInMemory(error)
  }

  private func stayInMemory(_ error: Int32) {
    if error != 0 { counters.writeErrors += 1 }
    health = .memory(error)
    memoryFrom = nextSequence
  }

  // MARK: Heads

  private func readHead<Store: BlockStore>(_ store: Store) -> RingHead? {
    let memory = UnsafeMutableRawBufferPointer(rebasing: readMemory[0..<Int(block)])
    guard store.read(at: 0, into: memory) == 0 else {
      counters.readErrors += 1
      return nil
    }
    if let head = RingHead(reading: memory.baseAddress!), head.fileBytes == parameters.fileBytes,
      head.blockBytes == parameters.blockBytes, head.slotBytes == parameters.slotBytes
    {
      return head
    }
    if !isZero(memory) { counters.damagedHeads += 1 }
    return nil
  }

  /// Reads both checkpoints into `slots`; the newest, or nil when neither is whole.
  private func readSlots<Store: BlockStore>(_ store: Store) -> RingSlot? {
    var newest: RingSlot?
    var valid = 0
    for index in 0..<UInt64(2) {
      guard let slot = readSlot(store, index) else { continue }
      valid += 1
      keep(slot)
      if newest == nil || slot.serial > newest!.serial { newest = slot }
    }
    guard let newest else { return nil }
    // The other one is overwritten next; until then only this one counts.
    if valid == 1 { slots = (newest, newest) }
    return newest
  }

  private func readSlot<Store: BlockStore>(_ store: Store, _ index: UInt64) -> RingSlot? {
    guard store.read(at: offset(ofSlot: index), into: slotImage) == 0 else {
      counters.readErrors += 1
      return nil
    }
    guard let slot = RingSlot(reading: slotImage.baseAddress!, slotBytes: slotImage.count),
      slot.serial & 1 == index
    else {
      if !isZero(slotImage) { counters.damagedHeads += 1 }
      return nil
    }
    return slot
  }

  private func restoreUser<Store: BlockStore>(
    _ store: Store, _ slot: RingSlot, _ restore: UserReader
  ) {
    guard store.read(at: offset(ofSlot: slot.serial), into: slotImage) == 0 else {
      counters.readErrors += 1
      restore(UnsafeRawBufferPointer(start: nil, count: 0))
      return
    }
    let start = RingFormat.slotHeadBytes
    restore(UnsafeRawBufferPointer(rebasing: slotImage[start..<(start + slot.userBytes)]))
  }

  private func isZero(_ memory: UnsafeMutableRawBufferPointer) -> Bool {
    for byte in memory where byte != 0 { return false }
    return true
  }

  // MARK: Records

  /// What the scan found. Offsets are into the data.
  struct Found {
    var count: UInt64 = 0
    var firstSequence = UInt64.max
    var firstOffset: UInt64 = 0
    var lastSequence: UInt64 = 0
    var lastEnd: UInt64 = 0
    /// The highest of all, consumed ones included.
    var highest: UInt64 = 0
  }

  private func scan<Store: BlockStore>(
    _ store: Store, from slot: RingSlot?, visit: (RingOffer, RawSpan) -> Void
  ) -> Found {
    var found = Found()
    let least = slot?.tailSequence ?? 0
    var loaded: UInt64 = 0
    var count = 0
    var offset: UInt64 = 0
    while offset < dataBytes {
      let end = loaded + UInt64(count)
      let isShort = offset > loaded && end < dataBytes && offset + UInt64(RingFormat.recordHeadBytes) > end
      if offset >= end || isShort {
        (loaded, count) = load(store, &offset)
        continue
      }
      let at = UnsafeRawPointer(readMemory.baseAddress!) + Int(offset - loaded)
      let available = count - Int(offset - loaded)
      let thing = RingFormat.findRecord(
        at, available: available, bodyLimit: parameters.bodyBytes, salt: salt)
      switch thing {
      case .nothing: offset += UInt64(RingFormat.step)
      case .cut(let bytes, _) where offset > loaded && offset + UInt64(bytes) <= dataBytes:
        (loaded, count) = load(store, &offset)
      case .damaged(let sequence), .cut(_, let sequence):
        if sequence >= least && sequence > 0 { counters.quarantined += 1 }
        offset += UInt64(RingFormat.step)
      case .record(let record) where record.sequence >= RingFormat.sequenceLimit:
        counters.quarantined += 1
        offset += UInt64(record.bytes)
      case .record(let record):
        found.highest = max(found.highest, record.sequence)
        if record.sequence >= least { note(record, at, offset, &found, visit) }
        offset += UInt64(record.bytes)
      }
    }
    return found
  }

  /// Reads on from `offset` as far as the medium lets; steps over blocks that cannot be read.
  private func load<Store: BlockStore>(_ store: Store, _ offset: inout UInt64) -> (UInt64, Int) {
    let most = Int(min(UInt64(parameters.readBytes), dataBytes - offset))
    if read(store, offset, 0..<most) { return (offset, most) }
    while offset < dataBytes {
      // Piece by piece, each to the end of its block.
      var count = 0
      while count < most, offset + UInt64(count) < dataBytes {
        let at = offset + UInt64(count)
        let piece = min(Int(block - at % block), most - count, Int(dataBytes - at))
        guard read(store, offset, count..<(count + piece)) else { break }
        count += piece
      }
      if count > 0 { return (offset, count) }
      offset = min(offset - offset % block + block, dataBytes)
    }
    return (offset, 0)
  }

  private func read<Store: BlockStore>(_ store: Store, _ offset: UInt64, _ range: Range<Int>) -> Bool {
    let memory = UnsafeMutableRawBufferPointer(rebasing: readMemory[range])
    if store.read(at: parameters.dataOffset + offset + UInt64(range.lowerBound), into: memory) == 0 { return true }
    counters.readErrors += 1
    return false
  }

  private func note(
    _ record: FoundRecord, _ at: UnsafeRawPointer, _ offset: UInt64, _ found: inout Found,
    _ visit: (RingOffer, RawSpan) -> Void
  ) {
    found.count += 1
    if record.sequence < found.firstSequence {
      found.firstSequence = record.sequence
      found.firstOffset = offset
    }
    if record.sequence >= found.lastSequence {
      found.lastSequence = record.sequence
      found.lastEnd = offset + UInt64(record.bytes)
    }
    let body = UnsafeRawBufferPointer(start: at + RingFormat.recordHeadBytes, count: record.bodyBytes)
    visit(
      RingOffer(
        stream: stream, sequence: record.sequence, kind: record.kind, flags: record.flags, isStored: true),
      RawSpan(_unsafeBytes: body))
  }

  /// Sets positions and sequences after the scan. The upper half of a sequence counts openings: no
  /// sequence is given twice, whatever was lost.
  private func beginAge(_ found: Found, slot: RingSlot?, isNew: Bool) {
    let base = slot?.tailPosition ?? found.firstOffset
    cursor = base
    cursorSequence = slot?.tailSequence ?? 0
    head = base
    if found.count > 0 {
      cursor = base + (found.firstOffset + dataBytes - base % dataBytes) % dataBytes
      // The checkpoint names the oldest of its age exactly: it may be the one that is gone.
      if cursorSequence >> 32 != found.firstSequence >> 32 { cursorSequence = found.firstSequence }
      let end = (found.lastEnd + block - 1) & ~(block - 1)
      head = base + (end % dataBytes + dataBytes - base % dataBytes) % dataBytes
      if head <= cursor { head += dataBytes }
      counters.recovered = found.count
      counters.missing = missing(found)
    } else {
      // A batch begins on a block.
      head = (base + block - 1) & ~(block - 1)
      cursor = head
    }
    committed = head
    openedAt = head
    // A checkpoint says which age had begun, even when nothing of it reached the medium.
    var age = (max(found.highest, slot?.nextSequence ?? 0) >> 32) + 1
    // Without a checkpoint nobody knows what was given out: far ahead of anything that may have been.
    if slot == nil && !isNew { age += 1 << 24 }
    // No honest file comes to the last age; beyond it nothing more is stored.
    age = min(max(age, parameters.sequences.lowerBound >> 32), RingFormat.sequenceLimit >> 32)
    nextSequence = age << 32
    if found.count == 0 { cursorSequence = nextSequence }
    settledSequence = nextSequence - 1
    if slot == nil {
      slots.even.tailPosition = cursor
      slots.odd.tailPosition = cursor
    }
    // No checkpoint may hold back more than there is.
    let least = head - min(head, dataBytes)
    slots.even.tailPosition = min(cursor, max(least, slots.even.tailPosition))
    slots.odd.tailPosition = min(cursor, max(least, slots.odd.tailPosition))
  }

  /// Sequences absent up to the last live record; unknown when they reach over the beginning of an age.
  private func missing(_ found: Found) -> UInt64 {
    guard cursorSequence >> 32 == found.lastSequence >> 32, found.lastSequence >= cursorSequence else { return 0 }
    // In one age: far from the end of 64 bits. A forged file may hold a sequence twice.
    let span = found.lastSequence - cursorSequence + 1
    return span - min(span, found.count)
  }

  // MARK: Writing

  private func writeHead<Store: BlockStore>(_ store: Store) -> Int32 {
    let memory = UnsafeMutableRawBufferPointer(rebasing: readMemory[0..<Int(block)])
    memory.initializeMemory(as: UInt8.self, repeating: 0)
    readCount = 0
    RingHead(parameters, stream: stream, salt: salt).write(memory.baseAddress!)
    let error = store.write(at: 0, UnsafeRawBufferPointer(memory))
    return error == 0 ? store.sync() : error
  }

  private func writeOpeningSlot<Store: BlockStore>(
    _ store: Store, user: UserWriter
  ) -> Int32 {
    let slot = makeSlot(user: user)
    var error = store.write(at: offset(ofSlot: slot.serial), UnsafeRawBufferPointer(slotImage))
    if error == 0 { error = store.sync() }
    guard error == 0 else { return error }
    keep(slot)
    counters.checkpoints += 1
    counters.bytesWritten += UInt64(slotImage.count)
    return 0
  }
}

extension RingParameters {
  /// These parameters with the layout that the store's head names, when it has a whole one: a file keeps
  /// the layout that it was made with.
  public func adopting<Store: BlockStore>(_ store: Store) -> RingParameters? {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 512, alignment: 16)
    defer { memory.deallocate() }
    guard store.read(at: 0, into: memory) == 0, let head = RingHead(reading: memory.baseAddress!) else {
      return nil
    }
    var adopted = self
    adopted.fileBytes = head.fileBytes
    adopted.blockBytes = head.blockBytes
    adopted.slotBytes = head.slotBytes
    return adopted.isSound ? adopted : nil
  }
}
