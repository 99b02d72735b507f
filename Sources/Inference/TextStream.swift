import Bounded

/// Holds back what cannot be shown yet of a text that comes in pieces: the beginning of a stop text, and characters
/// that are not whole. In a buffer made once.
public struct TextStream: ~Copyable {
  public static let stopsMaximum = 4
  private var held: ByteQueue
  private var stops = InlineArray<4, InlineText<64>>(repeating: InlineText())
  private var stopCount = 0
  private var isFlushed = false
  /// A stop text has come; what follows is dropped.
  public private(set) var hasStopped = false

  public init(capacity: Int = 4_096) { held = ByteQueue(capacity: capacity) }

  public mutating func begin() {
    held.consume(held.count)
    stopCount = 0
    isFlushed = false
    hasStopped = false
  }

  /// False when there is no room for another stop text.
  public mutating func add(stop: InlineText<64>) -> Bool {
    guard stopCount < Self.stopsMaximum, !stop.isEmpty else { return false }
    stops[stopCount] = stop
    stopCount += 1
    return true
  }

  public mutating func append(_ bytes: RawSpan) throws(InferenceError) {
    guard !hasStopped else { return }
    guard held.append(bytes) else { throw .outputTooLong }
    guard let place = firstStop() else { return }
    held.truncate(to: place)
    hasStopped = true
  }

  mutating func append(_ text: borrowing TextBuffer) throws(InferenceError) { try append(text.bytes) }

  private func firstStop() -> Int? {
    let text = held.bytes
    for start in 0..<text.byteCount {
      for i in 0..<stopCount {
        let count = stops[i].count
        guard count <= text.byteCount - start, text.extracting(start..<(start + count)).elementsEqual(stops[i].bytes)
        else { continue }
        return start
      }
    }
    return nil
  }

  /// Nothing more will come: all of it can be shown.
  public mutating func flush() { isFlushed = true }

  /// How many bytes can be shown now.
  public var readyCount: Int {
    let text = held.bytes
    guard !isFlushed, !hasStopped else { return text.byteCount }
    var ready = text.byteCount
    for i in 0..<stopCount {
      // The longest end of the text that a stop text begins with.
      var length = min(stops[i].count - 1, text.byteCount)
      while length > 0,
        !text.extracting((text.byteCount - length)..<text.byteCount).elementsEqual(
          stops[i].bytes.extracting(0..<length))
      {
        length -= 1
      }
      ready = min(ready, text.byteCount - length)
    }
    // At most three bytes of a character that is not whole.
    var start = ready
    while start > 0, ready - start < 3, text[start - 1] & 0xC0 == 0x80 { start -= 1 }
    if start > 0, text[start - 1] >= 0xC2 {
      let length = text[start - 1] < 0xE0 ? 2 : text[start - 1] < 0xF0 ? 3 : 4
      if ready - (start - 1) < length { ready = start - 1 }
    }
    return ready
  }

  public func withReady(_ body: (RawSpan) -> Void) { body(held.bytes.extracting(0..<readyCount)) }

  public mutating func consumeReady() { held.consume(readyCount) }
}
