/// A first-in first-out queue of bytes in one allocation made when it is created.
///
/// It never grows: an append that does not fit changes nothing and says so. The live bytes are always
/// contiguous, so a parser can look at them as one `RawSpan`.
///
/// Invariant: `0 <= head <= tail <= reached <= capacity`; the live bytes are `head ..< tail`.
public struct ByteQueue: ~Copyable {
  private let storage: UnsafeMutableRawBufferPointer
  private var head = 0
  private var tail = 0
  /// The end of what was written since all was last wiped.
  private var reached = 0

  /// Allocates `capacity` bytes. The only allocation this type makes.
  public init(capacity: Int) {
    storage = .allocate(byteCount: capacity, alignment: 16)
  }

  // Queues carry plaintext and keys in handshakes: wiped before the memory goes back.
  deinit {
    wipe(UnsafeMutableRawBufferPointer(rebasing: storage[0..<reached]))
    storage.deallocate()
  }

  public var capacity: Int { storage.count }
  public var count: Int { tail - head }
  public var isEmpty: Bool { head == tail }
  /// Bytes that can still be appended.
  public var space: Int { capacity - count }

  /// The live bytes, oldest first.
  public var bytes: RawSpan {
    @_lifetime(borrow self)
    get {
      let span = RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: storage[head..<tail]))
      return _overrideLifetime(span, borrowing: self)
    }
  }

  /// The live bytes for the length of a call: a span cannot leave a class's property otherwise.
  public func withBytes<R>(_ body: (RawSpan) -> R) -> R { body(bytes) }

  /// Appends all of `span` or nothing. False when it does not fit.
  @discardableResult
  public mutating func append(_ span: RawSpan) -> Bool {
    guard makeRoom(span.byteCount) else { return false }
    span.withUnsafeBytes { source in
      // Empty buffers may have no base address.
      guard let from = source.baseAddress else { return }
      UnsafeMutableRawPointer(storage.baseAddress!).advanced(by: tail).copyMemory(from: from, byteCount: source.count)
    }
    grow(by: span.byteCount)
    return true
  }

  /// Appends an integer in network byte order, or nothing.
  @discardableResult
  public mutating func append<T: FixedWidthInteger & BitwiseCopyable>(bigEndian value: T) -> Bool {
    let size = MemoryLayout<T>.size
    guard makeRoom(size) else { return false }
    storage.storeBytes(of: value.bigEndian, toByteOffset: tail, as: T.self)
    grow(by: size)
    return true
  }

  /// Overwrites an integer already in the queue, `offset` bytes after the oldest.
  public mutating func patch<T: FixedWidthInteger & BitwiseCopyable>(bigEndian value: T, at offset: Int) {
    precondition(offset >= 0 && offset + MemoryLayout<T>.size <= count)
    storage.storeBytes(of: value.bigEndian, toByteOffset: head + offset, as: T.self)
  }

  /// Appends a static text without its terminator.
  @discardableResult
  public mutating func append(_ text: StaticString) -> Bool {
    let span = RawSpan(_unsafeStart: UnsafeRawPointer(text.utf8Start), byteCount: text.utf8CodeUnitCount)
    return append(span)
  }

  /// Lets `fill` write up to `limit` bytes straight into free space; it returns how many it wrote.
  /// False when `limit` bytes are not free.
  @discardableResult
  public mutating func appendInPlace<E: Error>(
    upTo limit: Int, _ fill: (UnsafeMutableRawBufferPointer) throws(E) -> Int
  ) throws(E) -> Bool {
    guard makeRoom(limit) else { return false }
    reached = max(reached, tail + limit)
    let written = try fill(UnsafeMutableRawBufferPointer(rebasing: storage[tail..<(tail + limit)]))
    precondition(written >= 0 && written <= limit)
    tail += written
    return true
  }

  /// Gives the live bytes for change in place (decryption).
  public mutating func withMutableBytes<R, E: Error>(
    _ body: (UnsafeMutableRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    try body(UnsafeMutableRawBufferPointer(rebasing: storage[head..<tail]))
  }

  /// Drops the `n` oldest bytes.
  public mutating func consume(_ n: Int) {
    precondition(n >= 0 && n <= count)
    head += n
    if head == tail { head = 0; tail = 0 }
  }

  /// Drops the bytes after the `n` oldest.
  public mutating func truncate(to n: Int) {
    precondition(n >= 0 && n <= count)
    tail = head + n
  }

  /// Empties the queue and overwrites what it held.
  public mutating func clear() {
    wipe(UnsafeMutableRawBufferPointer(rebasing: storage[0..<reached]))
    head = 0
    tail = 0
    reached = 0
  }

  private mutating func grow(by n: Int) {
    tail += n
    reached = max(reached, tail)
  }

  /// True when `n` more bytes fit; moves the live bytes to the front if that is what it takes.
  private mutating func makeRoom(_ n: Int) -> Bool {
    guard n <= space else { return false }
    if tail + n > capacity {
      let live = tail - head
      let start = UnsafeMutableRawPointer(storage.baseAddress!)
      start.copyMemory(from: start.advanced(by: head), byteCount: live)
      head = 0
      tail = live
    }
    return true
  }
}

/// Overwrites memory with zeros in a way the optimiser keeps: each byte goes through a volatile-like
/// opaque call boundary. For key material use `SkyCrypto.Secret`, which calls libsodium.
@inline(never)
@_optimize(none)
public func wipe(_ memory: UnsafeMutableRawBufferPointer) {
  guard let base = memory.baseAddress else { return }
  base.initializeMemory(as: UInt8.self, repeating: 0, count: memory.count)
}
