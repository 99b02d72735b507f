import Bounded
import Wire

func array(_ span: RawSpan) -> [UInt8] { (0..<span.byteCount).map { span[$0] } }

func text(_ span: RawSpan) -> String { String(decoding: array(span), as: UTF8.self) }

/// What a text builder wrote.
func written(_ capacity: Int = 1_024, _ body: (inout TextBuffer) -> Void) -> String {
  var buffer = TextBuffer(capacity: capacity)
  body(&buffer)
  return text(buffer.bytes)
}

/// What an encoder wrote; nil when it said that there was no room.
func encoded(_ capacity: Int = Limits.frameBodyBytes, _ body: (inout ByteQueue) -> Bool) -> [UInt8]? {
  var queue = ByteQueue(capacity: capacity)
  return body(&queue) ? array(queue.bytes) : nil
}

/// The value, or the error in its place.
func outcome<T>(_ body: () throws(ErrorCode) -> T) -> Result<T, ErrorCode> {
  do throws(ErrorCode) { return .success(try body()) } catch { return .failure(error) }
}

extension Result {
  var error: Failure? {
    if case .failure(let error) = self { return error }
    return nil
  }

  var value: Success? {
    if case .success(let value) = self { return value }
    return nil
  }
}

func hub(
  _ host: String = "hub.example", port: UInt16 = 7_443, id: UInt32 = 0, pin: UInt8 = 1, key: UInt8 = 2
) -> HubEntry {
  HubEntry(
    host: InlineText(host)!, port: port, id: id, pin: InlineArray(repeating: pin), key: InlineArray(repeating: key))
}
