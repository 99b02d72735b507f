import Bounded
import Packing
import Wire

/// Where texts of messages get shorter on their way out, and what they were on their way in (docs/protocol.md, "Packed
/// texts"). Nothing stays in it from one message to the next but until it is wiped.
final class PackRoom {
  /// The byte behind a sealed text that says what it is.
  private enum Form {
    static let plain: UInt8 = 0
    static let packed: UInt8 = 1
  }

  private let room: UnsafeMutableRawBufferPointer
  /// The end of what may have been written to it since it was wiped.
  private var reached = 0

  init() { room = .allocate(byteCount: Limits.messageBytes + Packing.spareBytes, alignment: 16) }

  deinit {
    clear()
    room.deallocate()
  }

  func clear() {
    wipe(UnsafeMutableRawBufferPointer(rebasing: room[..<reached]))
    reached = 0
  }

  /// Appends the text packed. False, and nothing appended, when that would not be shorter.
  func pack(_ text: RawSpan, appendTo queue: inout ByteQueue) -> Bool {
    defer { clear() }
    guard let count = pack(text) else { return false }
    return queue.append(filled(count))
  }

  /// What goes under a seal: the text, packed if that is shorter, and its form.
  @_lifetime(borrow self)
  func sealable(_ text: RawSpan) -> RawSpan {
    if let count = pack(text) {
      room[count] = Form.packed
      return filled(count + 1)
    }
    text.withUnsafeBytes { room.copyMemory(from: $0) }
    room[text.byteCount] = Form.plain
    return filled(text.byteCount + 1)
  }

  private func pack(_ text: RawSpan) -> Int? {
    reached = max(reached, text.byteCount + Packing.spareBytes)
    return Packing.pack(text, into: room)
  }

  /// Puts the text in the place of what was under a seal: all of `queue` from `start` on. False when it is none; then
  /// nothing is left there.
  func restore(_ queue: inout ByteQueue, from start: Int) -> Bool {
    let end = queue.count - 1
    guard end > start else { return Self.drop(&queue, to: start) }
    let form = queue.bytes[end]
    queue.truncate(to: end)
    if form == Form.plain, end - start <= Limits.messageBytes { return true }
    let before = reached
    reached = room.count
    guard form == Form.packed, let count = Self.unpack(queue, from: start, into: room) else {
      return Self.drop(&queue, to: start)
    }
    reached = max(before, count + Packing.spareBytes)
    queue.truncate(to: start)
    return queue.append(filled(count))
  }

  private static func drop(_ queue: inout ByteQueue, to start: Int) -> Bool {
    queue.truncate(to: start)
    return false
  }

  private static func unpack(
    _ queue: borrowing ByteQueue, from start: Int, into room: UnsafeMutableRawBufferPointer
  ) -> Int? { Packing.unpack(queue.bytes.extracting(start..<queue.count), into: room) }

  @_lifetime(borrow self)
  private func filled(_ count: Int) -> RawSpan {
    let span = RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: room[..<count]))
    return _overrideLifetime(span, borrowing: self)
  }
}
