/// Where a ring lives while it is opened: a file, or a test's idea of one.
///
/// The calls block; they are used before the daemon says it is ready, and never after. Each returns 0
/// or the operating system's (positive) error number.
public protocol BlockStore: AnyObject {
  func read(at offset: UInt64, into memory: UnsafeMutableRawBufferPointer) -> Int32
  func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) -> Int32
  /// What was written before is on the medium when this returns 0.
  func sync() -> Int32
}

/// What a ring wants written: first the batch, synced; then the checkpoint, synced. Either may be empty.
///
/// The bytes stay as they are until `DurableRing.handleWritten`.
public struct RingWrite {
  public let batchOffset: UInt64
  public let batch: UnsafeRawBufferPointer
  public let checkpointOffset: UInt64
  public let checkpoint: UnsafeRawBufferPointer
}

/// What a ring wants read; nobody else looks at the memory until `DurableRing.handleRead`.
public struct RingRead {
  public let offset: UInt64
  public let memory: UnsafeMutableRawBufferPointer
}
