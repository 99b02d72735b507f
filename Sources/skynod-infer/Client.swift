import Bounded
import CSky
import Wire

/// One connection to the worker, with buffers made at start. Not a thread: the worker's loop fills and empties it.
///
/// Invariant: with descriptor -1 it is free and its buffers are empty.
final class Client {
  private(set) var descriptor: Int32 = -1
  var input = ByteQueue(capacity: InferenceRequest.lineBytes + 1)
  var output = ByteQueue(capacity: 32_768)
  /// No further request is read: `quit`, or the other side has ended.
  var isLeaving = false
  /// A line that is too long is dropped to its end.
  private var isSkipping = false

  /// Less room than this, and the text waits until the client has read.
  static let pieceBytes = 8_192

  func open(_ descriptor: Int32) {
    self.descriptor = descriptor
    // What was still said to the one before, who had gone.
    output.consume(output.count)
    isLeaving = false
    isSkipping = false
  }

  func close() {
    if descriptor >= 0 { sky_close(descriptor) }
    descriptor = -1
    input.consume(input.count)
    output.consume(output.count)
  }

  var isOpen: Bool { descriptor >= 0 }

  /// Reads what is there. An end of the stream leaves what came before to be answered.
  func fill() {
    guard isOpen, input.space > 0 else { return }
    var got = 0
    input.appendInPlace(upTo: input.space) { room in
      got = sky_read(descriptor, room.baseAddress, room.count)
      return max(0, got)
    }
    if got == 0 { isLeaving = true }
    if got < 0, got != Int(SKY_AGAIN) { close() }
  }

  func flush() {
    while isOpen, !output.isEmpty {
      let put = output.withBytes { bytes in
        bytes.withUnsafeBytes { sky_write(descriptor, $0.baseAddress, $0.count) }
      }
      if put == Int(SKY_AGAIN) { return }
      if put < 0 { return close() }
      output.consume(put)
    }
  }

  enum Line {
    case none
    case tooLong
    case whole(Int)
  }

  /// The next request's length, without its line feed.
  func nextLine() -> Line {
    if let end = input.withBytes({ Self.lineFeed($0) }) {
      guard isSkipping else { return .whole(end) }
      isSkipping = false
      input.consume(end + 1)
      return .tooLong
    }
    if input.space == 0 {
      isSkipping = true
      input.consume(input.count)
    }
    return .none
  }

  private static func lineFeed(_ bytes: RawSpan) -> Int? {
    for i in 0..<bytes.byteCount where bytes[i] == 0x0A { return i }
    return nil
  }

  func dropLine(_ length: Int) { input.consume(length + 1) }

  // MARK: Writing

  func write(_ text: StaticString) { _ = output.append(text) }
  func write(_ text: RawSpan) { _ = output.append(text) }
  func write(_ text: borrowing TextBuffer) { _ = output.append(text.bytes) }
}
