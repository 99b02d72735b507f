import Bounded

extension DurableRing {
  /// Fills in the owner's bytes of a checkpoint; how many there are.
  public typealias UserWriter = (UnsafeMutableRawBufferPointer) -> Int

  /// What is to be written now, if anything. `user` fills in the owner's bytes of a checkpoint and
  /// returns how many; they must describe exactly the records appended so far.
  public func pollWrite(now: Instant, user: UserWriter) -> RingWrite? {
    guard !isWriting else { return nil }
    let isDue = isCheckpointDue(now)
    if placed.isEmpty, !filling.isEmpty,
      isDue || health != .stored || now >= fillingSince + parameters.gatherMs
    {
      placeFilling()
    }
    switch health {
    case .memory: return nil
    case .degraded: guard now >= retryAt else { return nil }
    case .stored: break
    }
    // The owner's bytes speak of all that was appended: none of it may be missing from this write.
    let writesSlot = isDue && filling.isEmpty
    if placed.isEmpty && !writesSlot { return nil }
    var slotOffset: UInt64 = 0
    if writesSlot {
      let slot = makeSlot(user: user)
      slotOffset = offset(ofSlot: slot.serial)
      slotInWrite = slot
    }
    isWriting = true
    return RingWrite(
      batchOffset: parameters.dataOffset + placedAt % dataBytes,
      batch: UnsafeRawBufferPointer(rebasing: placed.memory[0..<Int(placed.isEmpty ? 0 : rounded(placed.used))]),
      checkpointOffset: slotOffset,
      checkpoint: UnsafeRawBufferPointer(rebasing: slotImage[0..<(writesSlot ? slotImage.count : 0)]))
  }

  /// The write that `pollWrite` gave has ended: `batchStored` when the batch's sync returned 0, `error`
  /// the first error number, or 0.
  public func handleWritten(batchStored: Bool, error: Int32, now: Instant) {
    precondition(isWriting)
    isWriting = false
    if !placed.isEmpty, batchStored || error == 0 {
      counters.batches += 1
      counters.bytesWritten += rounded(placed.used)
      settledSequence = placed.lastSequence
      committed = head
      placed.removeAll()
    }
    if let slot = slotInWrite, error == 0 {
      keep(slot)
      lastCheckpoint = now
      counters.checkpoints += 1
      counters.bytesWritten += UInt64(slotImage.count)
      isPressed = isPressed && reclaimed < tail.position
      isAsked = isAsked && isDirty
    }
    slotInWrite = nil
    if error == 0 {
      health = .stored
    } else {
      counters.writeErrors += 1
      health = .degraded(error)
      retryAt = now + parameters.retryMs
    }
    dropPlacedIfConsumed()
  }

  /// Wants all consumption recorded soon, as before an orderly stop: what a checkpoint does not know to be
  /// consumed is handed out again by the next start. Done when `isCheckpointed`.
  public func askForCheckpoint() { isAsked = true }

  /// The medium knows of everything that was consumed.
  public var isCheckpointed: Bool { !isDirty }

  /// The medium has all that it can: every record that was appended, and what was consumed.
  public var isSettled: Bool { health != .stored || isCheckpointed && settledSequence + 1 >= nextSequence }

  /// When `pollWrite` may have something without another call before; `.never` when nothing waits.
  public func deadline(now: Instant) -> Instant {
    if isWriting { return .never }
    var earliest = Instant.never
    if !placed.isEmpty || !filling.isEmpty {
      switch health {
      case .stored: earliest = placed.isEmpty ? fillingSince + parameters.gatherMs : now
      case .degraded: earliest = placed.isEmpty ? now : retryAt
      case .memory: earliest = placed.isEmpty ? now : .never
      }
    }
    // Pressed with nothing to give back: only who consumes can help.
    guard isDirty || isPressed && tail.position > reclaimed else { return earliest }
    switch health {
    case .stored: return min(earliest, isCheckpointDue(now) ? now : nextCheckpoint)
    case .degraded: return min(earliest, retryAt)
    case .memory: return earliest
    }
  }

  /// Records consumed that the medium does not know to be so.
  var isDirty: Bool { tail.sequence != newestSlot.tailSequence }

  var newestSlot: RingSlot { slots.even.serial > slots.odd.serial ? slots.even : slots.odd }

  func isCheckpointDue(_ now: Instant) -> Bool {
    let free = tail.position - reclaimed
    if isAsked && isDirty { return true }
    // Not for every record: a ring that stays full would write a checkpoint for each.
    if isPressed && free > 0 && (free >= dataBytes / 8 || onTheWay.isEmpty || now >= nextCheckpoint) { return true }
    // Early enough that nobody is refused while room could be had.
    if dataBytes - usedBytes < dataBytes / 4 && free >= dataBytes / 8 { return true }
    return isDirty && now >= nextCheckpoint
  }

  var nextCheckpoint: Instant {
    lastCheckpoint + (isPressed ? min(1_000, parameters.checkpointMs) : parameters.checkpointMs)
  }

  func placeFilling() {
    swap(&filling, &placed)
    let whole = rounded(placed.used)
    let rest = UnsafeMutableRawBufferPointer(rebasing: placed.memory[placed.used..<Int(whole)])
    if let base = rest.baseAddress { base.initializeMemory(as: UInt8.self, repeating: 0, count: rest.count) }
    placedAt = place(whole)
    head = placedAt + whole
    precondition(head - reclaimed <= dataBytes)
  }

  func makeSlot(user: UserWriter) -> RingSlot {
    let at = tail
    var slot = RingSlot(
      serial: newestSlot.serial + 1, tailSequence: at.sequence, tailPosition: at.position, nextSequence: nextSequence,
      stream: stream, salt: salt)
    let start = RingFormat.slotHeadBytes
    slot.userBytes = user(UnsafeMutableRawBufferPointer(rebasing: slotImage[start..<(start + parameters.userBytes)]))
    precondition(slot.userBytes >= 0 && slot.userBytes <= parameters.userBytes)
    slot.write(slotImage.baseAddress!, slotBytes: slotImage.count)
    return slot
  }

  func offset(ofSlot serial: UInt64) -> UInt64 { UInt64(parameters.slotBytes) * (1 + serial & 1) }

  func keep(_ slot: RingSlot) {
    if slot.serial & 1 == 0 { slots.even = slot } else { slots.odd = slot }
  }
}
