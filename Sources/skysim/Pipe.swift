import Bounded
import Wire

/// What a hostile party on the way does to the next bytes that pass, once.
enum Tampering {
  case flip, drop, repeatThem, insert, cutShort, swap
}

/// One direction of a link: bytes in order, each piece with its time of arrival. Loss on the way shows as delay, as
/// on any TCP connection; only who breaks TLS can take bytes out or put others in.
final class Pipe {
  private struct Piece {
    var at: Instant
    var bytes: Int
  }
  /// What a peer's kernel takes before it stops: a half-open link swallows no more.
  private static let kernelBytes = 32_768

  private var queue = ByteQueue(capacity: 49_152)
  private var pieces = Ring<Piece, 64>()
  private var newest = Instant(ms: 0)
  private var swallowed = 0
  /// Bytes go in and never come out.
  private(set) var isSwallowing = false
  /// Nothing arrives before this.
  private(set) var holdsUntil = Instant(ms: 0)
  /// When the other side learns that nothing more comes.
  private(set) var endsAt = Instant.never
  var tampering: Tampering?
  private var heldBack: [UInt8] = []
  private var sent: UInt64 = 0
  private(set) var delivered: UInt64 = 0
  /// From this byte on, what arrives is not what was sent: no session may live beyond it.
  private(set) var spoiltFrom = UInt64.max

  func reset() {
    queue.consume(queue.count)
    pieces.removeAll()
    newest = Instant(ms: 0)
    swallowed = 0
    isSwallowing = false
    holdsUntil = Instant(ms: 0)
    endsAt = .never
    tampering = nil
    heldBack.removeAll()
    sent = 0
    delivered = 0
    spoiltFrom = .max
  }

  var hasEnd: Bool { endsAt != .never }
  private var space: Int {
    if isSwallowing { return max(0, Self.kernelBytes - swallowed) }
    return pieces.count < 48 ? queue.space / 2 : 0
  }

  /// Takes what the sender has, as far as there is room. True when it took something.
  func take(from output: inout ByteQueue, latencyMs: UInt64, dice: inout Dice, now: Instant) -> Bool {
    let count = min(output.count, space)
    guard count > 0 else { return false }
    defer { output.consume(count) }
    if isSwallowing {
      swallowed += count
      return true
    }
    var wait = latencyMs + dice.below(latencyMs / 4 + 1)
    // A lost segment: the kernel sends it again, and what follows waits for it.
    if dice.oneIn(200) { wait += dice.from(200, to: 3_000) }
    if let how = tampering {
      tampering = nil
      return tamper(how, with: output.bytes.extracting(0..<count), wait, &dice, now: now)
    }
    // Where one read ends and the next begins is anybody's guess.
    let first = dice.oneIn(8) ? dice.below(count + 1) : count
    put(output.bytes.extracting(0..<first), now + wait)
    put(output.bytes.extracting(first..<count), now + wait + dice.below(50))
    release(now + wait)
    return true
  }

  private func put(_ bytes: RawSpan, _ at: Instant) {
    guard bytes.byteCount > 0, queue.append(bytes) else { return }
    newest = max(newest, at)
    pieces.append(Piece(at: newest, bytes: bytes.byteCount))
    sent += UInt64(bytes.byteCount)
  }

  private func put(_ bytes: [UInt8], _ at: Instant) { put(bytes.span.bytes, at) }

  private func release(_ at: Instant) {
    guard !heldBack.isEmpty else { return }
    put(heldBack, at)
    heldBack.removeAll()
  }

  /// Each push of a session is whole records, so what is dropped, repeated or swapped here are records.
  private func tamper(_ how: Tampering, with bytes: RawSpan, _ wait: UInt64, _ dice: inout Dice, now: Instant) -> Bool {
    let at = now + wait
    var copy = (0..<bytes.byteCount).map { bytes[$0] }
    switch how {
    case .flip:
      let place = dice.below(copy.count)
      copy[place] ^= 1 << UInt8(dice.below(8))
      spoiltFrom = min(spoiltFrom, sent + UInt64(place))
      put(copy, at)
    case .drop: break
    case .repeatThem:
      put(copy, at)
      spoiltFrom = min(spoiltFrom, sent)
      put(copy, at)
    case .insert:
      let garbage = (0..<dice.from(1, to: 80)).map { _ in UInt8(truncatingIfNeeded: dice.next()) }
      spoiltFrom = min(spoiltFrom, sent)
      put(garbage, at)
      put(copy, at)
    case .cutShort:
      // Never at the end of a record: that would be a drop.
      put(Array(copy.dropLast(1 + dice.below(3))), at)
      spoiltFrom = min(spoiltFrom, sent)
    case .swap: heldBack = copy
    }
    return true
  }

  // MARK: Arriving

  /// When `deliver` has something to do.
  var due: Instant {
    let next = pieces.isEmpty ? endsAt : pieces[0].at
    return next == .never ? .never : max(next, holdsUntil)
  }

  /// Moves what has arrived to the receiver, as far as it has room. True when it moved something.
  func deliver(to input: inout ByteQueue, now: Instant) -> Bool {
    guard now >= holdsUntil else { return false }
    var moved = false
    while !pieces.isEmpty, pieces[0].at <= now {
      let count = min(pieces[0].bytes, input.space)
      guard count > 0 else { break }
      input.append(queue.bytes.extracting(0..<count))
      queue.consume(count)
      delivered += UInt64(count)
      moved = true
      if count == pieces[0].bytes { _ = pieces.popFirst() } else { pieces[0].bytes -= count }
    }
    return moved
  }

  /// True when all has arrived and nothing more will come.
  func hasEnded(now: Instant) -> Bool { pieces.isEmpty && endsAt <= now && now >= holdsUntil }

  // MARK: What happens to it

  /// The sender sends nothing more.
  func end(_ at: Instant) { if endsAt == .never { endsAt = max(at, newest) } }
  func hold(until: Instant) { holdsUntil = max(holdsUntil, until) }
  func swallow() {
    isSwallowing = true
    queue.consume(queue.count)
    pieces.removeAll()
  }

  /// What is under way is lost from some byte on, and the receiver hears of it.
  func cut(_ at: Instant, dice: inout Dice) {
    let keep = dice.below(queue.count + 1)
    queue.truncate(to: keep)
    var total = 0
    var kept = Ring<Piece, 64>()
    while let piece = pieces.popFirst(), total < keep {
      let bytes = min(piece.bytes, keep - total)
      kept.append(Piece(at: piece.at, bytes: bytes))
      total += bytes
    }
    swap(&pieces, &kept)
    endsAt = min(endsAt, max(at, newest))
  }
}
