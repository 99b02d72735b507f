import Bounded

extension DurableRing {
  /// The end of what may be handed out: what is on the medium; without one, what waits in memory too.
  var offerEnd: UInt64 { health == .stored || placed.isEmpty ? committed : head }

  /// Bytes that `next` has not looked at yet.
  public var unseenBytes: UInt64 { offerEnd - cursor }

  /// The body of the record that `next` gave last. Empty after any other call.
  public var body: RawSpan {
    @_lifetime(borrow self)
    get {
      let span = RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: bodyPointer, count: bodyCount))
      return _overrideLifetime(span, borrowing: self)
    }
  }

  /// The next record to send. Nil when there is none, when a read has to end first (`pollRead`), or when
  /// too much is on the way.
  public func next() -> RingOffer? {
    bodyPointer = nil
    bodyCount = 0
    while handedOut < onTheWay.count {
      let entry = onTheWay[handedOut]
      if entry.isDone {
        handedOut += 1
        continue
      }
      switch look(at: entry.position) {
      case .wait: return nil
      case .found(.record(let record), let at) where record.sequence == entry.sequence:
        handedOut += 1
        return offer(record, at)
      case .found: passOver(handedOut)
      }
    }
    return nextUnseen()
  }

  private func nextUnseen() -> RingOffer? {
    while true {
      skipWhatHoldsNothing()
      guard cursor < offerEnd, onTheWay.count < parameters.wayRecords else { return nil }
      switch look(at: cursor) {
      case .wait: return nil
      case .found(.nothing, _): cursor += UInt64(RingFormat.step)
      case .found(.damaged(let sequence), _), .found(.cut(_, let sequence), _):
        if cursor >= openedAt, sequence >= cursorSequence, sequence < nextSequence { counters.quarantined += 1 }
        cursor += UInt64(RingFormat.step)
      case .found(.record(let record), let at):
        // Left over from an earlier lap.
        if record.sequence < cursorSequence || record.sequence >= nextSequence {
          cursor += UInt64(record.bytes)
          continue
        }
        if !onTheWay.isEmpty, record.sequence - tail.sequence >= parameters.spanSequences { return nil }
        passOver(upTo: record.sequence)
        onTheWay.append(OnTheWay(position: cursor, sequence: record.sequence))
        handedOut += 1
        cursor += UInt64(record.bytes)
        cursorSequence = record.sequence + 1
        return offer(record, at)
      }
    }
  }

  /// Steps over padding and the unused end of a lap where it is known that no record follows.
  private func skipWhatHoldsNothing() {
    if cursorSequence > settledSequence || cursor >= committed {
      cursor = max(cursor, committed)
      if cursorSequence <= settledSequence { passOver(upTo: settledSequence + 1) }
      if offerEnd > committed { cursor = max(cursor, placedAt) }
    }
    // All of a batch without a medium was handed out; the rest of it is padding.
    if offerEnd > committed, cursorSequence > placed.lastSequence { cursor = offerEnd }
  }

  /// The next record's sequence is at least this one: those between are not there.
  private func passOver(upTo sequence: UInt64) {
    // Ages begin far apart, with nothing between.
    if sequence >> 32 == cursorSequence >> 32 { counters.passedOver += sequence - cursorSequence }
    cursorSequence = sequence
  }

  private func offer(_ record: FoundRecord, _ at: UnsafeRawPointer) -> RingOffer {
    bodyPointer = at + RingFormat.recordHeadBytes
    bodyCount = record.bodyBytes
    let isStored = placed.isEmpty || record.sequence < placed.firstSequence
    return RingOffer(
      stream: record.sequence >= memoryFrom ? memoryStream : stream, sequence: record.sequence, kind: record.kind,
      flags: record.flags, isStored: isStored)
  }

  /// A record that was handed out once and cannot be read now.
  private func passOver(_ index: Int) {
    counters.quarantined += 1
    counters.passedOver += 1
    onTheWay[index].isDone = true
    if index == 0 { dropDone() } else { handedOut += 1 }
  }

  private enum Look {
    case wait
    case found(FoundThing, UnsafeRawPointer)
  }

  /// What lies at a position, once its bytes are in memory; asks for them if they are not.
  private func look(at position: UInt64) -> Look {
    if !placed.isEmpty, position >= placedAt {
      // The lap's unused end lies before `placedAt`; what follows the records is padding.
      let at = UnsafeRawPointer(placed.memory.baseAddress!) + Int(position - placedAt)
      let available = Int(head - position)
      return .found(find(at, available), at)
    }
    guard position >= readAt, position < readAt + UInt64(readCount) else {
      want(position, parameters.readBytes, least: Int(block))
      return .wait
    }
    let skip = Int(position - readAt)
    let at = UnsafeRawPointer(readMemory.baseAddress!) + skip
    let found = find(at, readCount - skip)
    // The head itself may be cut off; records begin at multiples of eight.
    let isShort = readCount - skip < RingFormat.recordHeadBytes
    let ahead = readable(from: position)
    switch found {
    case .cut(let bytes, _) where bytes <= ahead:
      want(position, parameters.readBytes, least: bytes)
      return .wait
    case .nothing where isShort && ahead > readCount - skip:
      want(position, parameters.readBytes, least: RingFormat.recordHeadBytes)
      return .wait
    default: return .found(found, at)
    }
  }

  private func find(_ at: UnsafeRawPointer, _ available: Int) -> FoundThing {
    RingFormat.findRecord(at, available: available, bodyLimit: parameters.bodyBytes, salt: salt)
  }

  /// Bytes from a position to the end of its lap or of what is on the medium.
  private func readable(from position: UInt64) -> Int {
    Int(min(dataBytes - position % dataBytes, committed - min(committed, position), UInt64(parameters.fileBytes)))
  }

  private func want(_ position: UInt64, _ bytes: Int, least: Int) {
    guard wanted == nil else { return }
    let ahead = readable(from: position)
    wanted = Wanted(position: position, bytes: min(bytes, ahead), least: min(least, ahead))
  }

  /// What is to be read now, if anything.
  public func pollRead() -> RingRead? {
    guard !isReading, let wanted else { return nil }
    isReading = true
    readCount = 0
    bodyPointer = nil
    bodyCount = 0
    return RingRead(
      offset: parameters.dataOffset + wanted.position % dataBytes,
      memory: UnsafeMutableRawBufferPointer(rebasing: readMemory[0..<wanted.bytes]))
  }

  /// The read that `pollRead` gave has ended, with an error number or 0. `next` may have a record now.
  public func handleRead(error: Int32) {
    guard isReading, let done = wanted else { return }
    isReading = false
    if error == 0 {
      readAt = done.position
      readCount = done.bytes
      wanted = nil
      return
    }
    counters.readErrors += 1
    if done.bytes > done.least {
      wanted!.bytes = done.least
      return
    }
    wanted = nil
    // The medium does not give these bytes: they are as good as damaged.
    if handedOut < onTheWay.count, onTheWay[handedOut].position == done.position {
      passOver(handedOut)
    } else if cursor == done.position {
      counters.quarantined += 1
      let offset = cursor % block
      cursor = min(cursor + (block - offset), offerEnd)
    }
  }
}
