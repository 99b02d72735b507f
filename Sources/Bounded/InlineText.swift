/// A short text stored inline: at most `capacity` bytes, no heap.
///
/// Holds bytes as given; whoever makes one decides what is allowed in it.
public struct InlineText<let capacity: Int>: Equatable, Sendable {
  private var storage: InlineArray<capacity, UInt8>
  public private(set) var count: Int

  public init() {
    storage = InlineArray(repeating: 0)
    count = 0
  }

  /// Nil when `bytes` does not fit.
  public init?(_ bytes: RawSpan) {
    guard bytes.byteCount <= capacity else { return nil }
    self.init()
    count = bytes.byteCount
    for i in 0..<count { storage[i] = bytes[i] }
  }

  /// Nil when `text` does not fit. For start-up and tests: `String` uses the heap.
  public init?(_ text: String) {
    guard text.utf8.count <= capacity else { return nil }
    self.init()
    for byte in text.utf8 {
      storage[count] = byte
      count += 1
    }
  }

  public var isEmpty: Bool { count == 0 }

  public var bytes: RawSpan {
    // Inlined always: specialised across modules, the Embedded optimiser of 6.3 mistakes its convention.
    @_lifetime(borrow self)
    @inline(__always) get {
      let span = storage.span.bytes.extracting(0..<count)
      return _overrideLifetime(span, borrowing: self)
    }
  }

  public static func == (a: Self, b: Self) -> Bool { a.bytes.elementsEqual(b.bytes) }

  /// For start-up, tests and the hub: `String` uses the heap.
  public var string: String { String(decoding: (0..<count).map { storage[$0] }, as: UTF8.self) }
}
