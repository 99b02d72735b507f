import Bounded
import CSky
import Platform
import Wire

/// Standard output and error of the program, gathered and written in one go.
///
/// Not for secrets and not for more than `capacity` bytes between flushes: what does not fit is
/// written first, then gathered again.
final class Console {
  private var text = TextBuffer(capacity: 16_384)
  private let fd: Int32
  /// Colour only for people: on a terminal, and not when NO_COLOR is set (no-color.org).
  let hasColour: Bool

  init(fd: Int32) {
    self.fd = fd
    let refused = sky_environment("NO_COLOR").map { $0.pointee != 0 } ?? false
    hasColour = sky_cli_is_terminal(fd) && !refused
  }

  func write(_ value: StaticString) {
    makeRoom(value.utf8CodeUnitCount)
    text.append(value)
  }

  func write(_ value: UInt64) {
    makeRoom(20)
    text.append(value)
  }

  func write(_ value: RawSpan) {
    makeRoom(value.byteCount)
    text.append(value)
  }

  func write(_ value: [UInt8]) { write(value.span.bytes) }

  func write(scaled value: Int64, places: Int) {
    makeRoom(24)
    text.append(scaled: value, places: places)
  }

  /// Text from elsewhere, for a terminal: control characters cannot move the cursor.
  func write(printable value: [UInt8], indent: Int = 0) {
    for byte in value {
      if byte == 0x0A {
        write("\n")
        spaces(indent)
      } else {
        makeRoom(1)
        text.append(byte: byte < 0x20 || byte == 0x7F ? UInt8(ascii: "?") : byte)
      }
    }
  }

  /// A JSON string with its quotes.
  func write(json value: [UInt8]) {
    makeRoom(6 * value.count + 2)
    text.append(json: value.span.bytes)
  }

  func spaces(_ count: Int) {
    for _ in 0..<max(0, count) { write(" ") }
  }

  /// Writes `value` and blanks up to `width` characters.
  func write(_ value: StaticString, width: Int) {
    write(value)
    spaces(width - value.utf8CodeUnitCount)
  }

  func bold() { if hasColour { write("\u{1B}[1m") } }
  func green() { if hasColour { write("\u{1B}[32m") } }
  func yellow() { if hasColour { write("\u{1B}[33m") } }
  func red() { if hasColour { write("\u{1B}[31m") } }
  func dim() { if hasColour { write("\u{1B}[2m") } }
  func plain() { if hasColour { write("\u{1B}[0m") } }

  func flush() {
    text.write(to: fd)
    text.removeAll()
  }

  private func makeRoom(_ n: Int) {
    if text.capacity - text.count < n { flush() }
  }
}

extension Word {
  var array: [UInt8] { copy(bytes) }
}

extension TextBuffer {
  borrowing func write(to fd: Int32) {
    bytes.withUnsafeBytes { _ = sky_cli_write(fd, $0.baseAddress, $0.count) }
  }
}
