import Bounded
import CSky
import Durable
import Wire

/// The file of a ring before the loop runs: blocking calls.
private final class RingFileStore: BlockStore {
  let descriptor: Int32
  let isReadOnly: Bool

  init(descriptor: Int32, isReadOnly: Bool) {
    self.descriptor = descriptor
    self.isReadOnly = isReadOnly
  }

  deinit { sky_close(descriptor) }

  func read(at offset: UInt64, into memory: UnsafeMutableRawBufferPointer) -> Int32 {
    -sky_disk_read(descriptor, offset, memory.baseAddress, memory.count)
  }

  func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) -> Int32 {
    isReadOnly ? RingFile.readOnlyError : -sky_disk_write(descriptor, offset, bytes.baseAddress, bytes.count)
  }

  func sync() -> Int32 { -sky_disk_sync(descriptor) }
}

/// A durable ring in a file, with the thread that writes it: no call here waits for the medium once the
/// ring is open.
///
/// Opening never fails: where the file cannot be used the ring works in memory, and `ring.health` says
/// why. Watch `descriptor` and call `pump` when it is readable, after each turn that used the ring, and at
/// `ring.deadline`.
public final class RingFile {
  /// EROFS
  static let readOnlyError: Int32 = 30

  /// The ring, for whoever uses it beside this file.
  public let ring: DurableRing
  private let store: RingFileStore?
  private let disk: OpaquePointer?

  /// Blocks: the file is made or recovered. See `DurableRing.open` for the closures.
  public init(
    _ path: PathText, _ wanted: RingParameters, now: Instant,
    restore: DurableRing.UserReader, visit: (RingOffer, RawSpan) -> Void, user: DurableRing.UserWriter
  ) throws(ErrorCode) {
    let fresh = try RingFile.makeFresh()
    switch RingFile.prepare(path, wanted) {
    case .failed(let error):
      store = nil
      disk = nil
      ring = DurableRing(wanted)
      ring.openWithoutStore(fresh, error: error, now: now)
    case .ready(let ready, let parameters):
      store = ready
      ring = DurableRing(parameters)
      ring.open(ready, fresh, now: now, restore: restore, visit: visit, user: user)
      var error: Int32 = 0
      disk = sky_disk_start(ready.descriptor, &error)
      guard disk != nil else { throw .internalError }
    }
  }

  /// Waits for what is under way. What was appended and not written is lost, as in a crash: settle first.
  deinit { if let disk { sky_disk_stop(disk) } }

  /// Readable when `pump` has something to do; nil when there is no file.
  public var descriptor: Int32? { disk.map { sky_disk_event($0) } }

  /// Takes what the thread has done and gives it what is to be done. True when records may be settled, or
  /// `next` may have one: without a medium that is so at once, and no descriptor tells.
  @discardableResult
  public func pump(now: Instant, user: DurableRing.UserWriter) -> Bool {
    guard let disk else {
      // Without a file this only puts the gathered records where they can be handed out.
      let unseen = ring.unseenBytes
      _ = ring.pollWrite(now: now, user: user)
      return ring.unseenBytes > unseen
    }
    sky_disk_hear(disk)
    var didTake = false
    var synced: Int32 = 0
    var error: Int32 = 0
    if sky_disk_take_write(disk, &synced, &error) {
      ring.handleWritten(batchStored: synced > 0, error: -error, now: now)
      didTake = true
    }
    if sky_disk_take_read(disk, &error) {
      ring.handleRead(error: -error)
      didTake = true
    }
    let unseen = ring.unseenBytes
    if let write = ring.pollWrite(now: now, user: user) {
      let first = sky_disk_piece(offset: write.batchOffset, bytes: write.batch.baseAddress, n: write.batch.count)
      let second = sky_disk_piece(
        offset: write.checkpointOffset, bytes: write.checkpoint.baseAddress, n: write.checkpoint.count)
      // The ring asks for one write at a time, so the place is free.
      let isTaken = sky_disk_submit_write(disk, first, second)
      precondition(isTaken)
    }
    if let read = ring.pollRead() {
      let isTaken = sky_disk_submit_read(disk, read.offset, read.memory.baseAddress, read.memory.count)
      precondition(isTaken)
    }
    return didTake || ring.unseenBytes > unseen
  }

  /// The longest write with its syncs, in microseconds, and the number of syncs since the start.
  public var slowestWriteUs: UInt64 { disk.map { sky_disk_slowest_us($0) } ?? 0 }
  public var syncs: UInt64 { disk.map { sky_disk_syncs($0) } ?? 0 }

  #if !hasFeature(Embedded)
    /// For tests: every sync takes this much longer.
    public func slowDown(ms: UInt32) { if let disk { sky_disk_slow_down(disk, ms) } }
  #endif

  // MARK: Opening

  private enum Prepared {
    case ready(RingFileStore, RingParameters)
    case failed(Int32)
  }

  /// Opens the file; makes it when it is not there, keeps its own layout when it is.
  private static func prepare(_ path: PathText, _ wanted: RingParameters) -> Prepared {
    var isReadOnly = false
    let descriptor = path.withCString { sky_disk_open($0, &isReadOnly) }
    guard descriptor >= 0 else { return .failed(-descriptor) }
    let store = RingFileStore(descriptor: descriptor, isReadOnly: isReadOnly)
    if !isReadOnly { sky_disk_begin(descriptor) }
    let size = sky_disk_size(descriptor)
    guard size >= 0 else { return .failed(Int32(-size)) }
    if UInt64(size) == UInt64(wanted.fileBytes) { return .ready(store, wanted.adopting(store) ?? wanted) }
    if let own = size > 0 ? wanted.adopting(store) : nil {
      // Cut short or grown by an accident of the file system: the records that are there count.
      if UInt64(size) != UInt64(own.fileBytes), !isReadOnly {
        let error = sky_disk_resize(descriptor, UInt64(own.fileBytes))
        if error != 0 { return .failed(-error) }
      }
      return .ready(store, own)
    }
    if isReadOnly { return .failed(readOnlyError) }
    let error = path.withCString { sky_disk_allocate(descriptor, $0, UInt64(wanted.fileBytes)) }
    guard error == 0 else {
      // Half a file would only take the room that others need.
      _ = sky_disk_resize(descriptor, 0)
      return .failed(-error)
    }
    return .ready(store, wanted)
  }

  private static func makeFresh() throws(ErrorCode) -> DurableRing.Fresh {
    var bytes = InlineArray<20, UInt8>(repeating: 0)
    var span = bytes.mutableSpan
    let result = span.withUnsafeMutableBytes { sky_random($0.baseAddress, $0.count) }
    guard result == 0 else { throw .internalError }
    var reader = ByteReader(bytes.span.bytes)
    do throws(DecodeError) {
      return DurableRing.Fresh(
        stream: try reader.integer(), memoryStream: try reader.integer(), salt: try reader.integer())
    } catch { throw .internalError }
  }
}
