import Bounded
import CSky
import Wire

/// One connection of the control socket's server: a descriptor and its two fixed buffers.
///
/// Not a protocol: it knows lines and bytes, not verbs.
final class ControlClient {
  private(set) var fd: Int32 = -1
  private(set) var role = ControlRole.read
  /// The line bytes, its line feed, and a carriage return that some send before it.
  private(set) var input = ByteQueue(capacity: Limits.controlLineBytes + 2)
  var output = ByteQueue(capacity: Limits.controlReplyBytes + Limits.controlEventBytes)
  var isJson = false
  /// A set of `ControlEventKind.bit`.
  var kinds: UInt16 = 0
  /// Events missed since it was last told.
  var lost: UInt64 = 0
  var lastHeard = Instant(ms: 0)
  /// It asked to quit: closed when its output has gone.
  var isLeaving = false
  /// What its request at hand waits for; it is served no further meanwhile.
  var held: HeldReply?
  /// Lines of that reply have gone out: nothing else may come between.
  var isMidReply = false
  /// It will send nothing more.
  private(set) var hasEnded = false
  /// The line at hand was longer than the limit: what follows of it is dropped.
  var lineWasCut = false
  private var isSkipping = false
  private(set) var serial: UInt32 = 0
  /// Goes with the next bytes that are written; -1: none.
  private var handed: Int32 = -1
  /// What the loop was last told; nil when it does not know this descriptor yet.
  private var told: ControlServer.Waits?
  /// Input bytes known to hold no line feed.
  private var scanned = 0

  func open(_ fd: Int32, role: ControlRole, now: Instant) {
    precondition(self.fd < 0 && input.isEmpty && output.isEmpty)
    self.fd = fd
    serial &+= 1
    told = nil
    self.role = role
    lastHeard = now
    isJson = false
    kinds = 0
    lost = 0
    isLeaving = false
    held = nil
    isMidReply = false
    hasEnded = false
    lineWasCut = false
    isSkipping = false
    scanned = 0
  }

  func close() {
    guard fd >= 0 else { return }
    sky_close(fd)
    fd = -1
    held = nil
    hand(-1)
    kinds = 0
    // Input may hold a join ticket.
    input.clear()
    output.consume(output.count)
  }

  var interest: ControlServer.Waits {
    guard fd >= 0 else { return .init(read: false, write: false) }
    return .init(read: !hasEnded && !isLeaving && input.space > 0, write: !output.isEmpty)
  }

  func takeInterestChange() -> (interest: ControlServer.Waits, isNew: Bool)? {
    let now = interest
    guard fd >= 0, told != now else { return nil }
    let isNew = told == nil
    told = now
    return (now, isNew)
  }

  /// Reads once, at most what fits.
  func fill() {
    let space = input.space
    guard space > 0 else { return }
    var got = 0
    input.appendInPlace(upTo: space) { memory in
      got = sky_read(fd, memory.baseAddress, memory.count)
      return max(0, got)
    }
    if got == 0 { hasEnded = true }
    if got < 0 && got != Int(SKY_AGAIN) { close() }
  }

  /// Hands a descriptor over with what is written next, and closes it then. A client that asks twice without
  /// reading gets the second.
  func hand(_ descriptor: Int32) {
    if handed >= 0 { sky_close(handed) }
    handed = descriptor
  }

  /// Writes what the socket takes.
  func flush() {
    while fd >= 0, !output.isEmpty {
      let put = output.withBytes { bytes in
        bytes.withUnsafeBytes {
          handed < 0
            ? sky_write(fd, $0.baseAddress, $0.count)
            : sky_unix_write_with(fd, $0.baseAddress, $0.count, handed)
        }
      }
      if put > 0 {
        output.consume(put)
        hand(-1)
      } else {
        if put != Int(SKY_AGAIN) { close() }
        return
      }
    }
  }

  /// The length of the next whole line, without its line feed; nil when there is none yet. A line that
  /// fills the buffer is given as far as it came, with `lineWasCut` set.
  func nextLine() -> Int? {
    while true {
      let length = input.count
      scanned = lineFeed(from: scanned)
      if scanned < length {
        guard isSkipping else { return scanned }
        isSkipping = false
        dropLine(scanned)
        continue
      }
      guard isSkipping || input.space == 0 else { return nil }
      if isSkipping {
        dropLine(length)
        return nil
      }
      isSkipping = true
      lineWasCut = true
      return length
    }
  }

  /// Forgets the first `length` bytes of input and the line feed after them.
  func dropLine(_ length: Int) {
    let n = min(length + 1, input.count)
    input.withMutableBytes { wipe(UnsafeMutableRawBufferPointer(rebasing: $0[0..<n])) }
    input.consume(n)
    scanned = 0
  }

  /// The place of the first line feed at or after `start`, or the end of the input.
  private func lineFeed(from start: Int) -> Int {
    input.withBytes { bytes in
      var i = start
      while i < bytes.byteCount, bytes[i] != 0x0A { i += 1 }
      return i
    }
  }

  func closeIfDone() {
    if fd >= 0, output.isEmpty, held == nil, isLeaving || (hasEnded && kinds == 0) { close() }
  }
}
