import Bounded
import CSky
import Wire

/// A file of fixed size that is read page by page and written beside the loop, a page at a time and twice: first its copy at
/// another place, synced, then itself. Whenever power goes, one of the two is whole.
///
/// Read with `pread`, not mapped: a medium that fails is a refused read here, and would be a signal there.
///
/// Watch `descriptor`, and call `takeWritten` when it is readable. Every call but the writing itself blocks, for as long as
/// one page takes.
public final class PageFile {
  private let file: Int32
  private let disk: OpaquePointer
  /// Pages that could not be read, since start.
  public private(set) var failedReads: UInt64 = 0

  /// Opens the file, or makes it of `bytes` bytes of zero behind `head`.
  public init(_ path: PathText, bytes: UInt64, head: RawSpan) throws(ErrorCode) {
    var isReadOnly = false
    let opened = path.withCString { sky_disk_open($0, &isReadOnly) }
    guard opened >= 0 else { throw .ioFailed }
    file = opened
    var isGood = !isReadOnly
    if isGood, sky_disk_size(opened) == 0 {
      isGood = path.withCString { sky_disk_allocate(opened, $0, bytes) } == 0
      isGood = isGood && head.withUnsafeBytes { sky_disk_write(opened, 0, $0.baseAddress, $0.count) } == 0
      isGood = isGood && sky_disk_sync(opened) == 0
      // Half a file would only take the room that others need.
      if !isGood { _ = sky_disk_resize(opened, 0) }
    }
    var error: Int32 = 0
    guard isGood, let started = sky_disk_start(opened, &error) else {
      sky_close(opened)
      throw .ioFailed
    }
    disk = started
  }

  /// Waits for what is under way.
  deinit {
    sky_disk_stop(disk)
    sky_close(file)
  }

  public var descriptor: Int32 { sky_disk_event(disk) }
  public var sizeBytes: UInt64 { UInt64(max(0, sky_disk_size(file))) }

  public func read(at offset: UInt64, into memory: UnsafeMutableRawBufferPointer) -> Bool {
    let isRead = sky_disk_read(file, offset, memory.baseAddress, memory.count) == 0
    if !isRead { failedReads += 1 }
    return isRead
  }

  /// Before the loop runs.
  public func writeNow(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) -> Bool {
    sky_disk_write(file, offset, bytes.baseAddress, bytes.count) == 0 && sky_disk_sync(file) == 0
  }

  /// False while another page is being written. The bytes stay as they are until `takeWritten`.
  public func write(_ page: UnsafeRawBufferPointer, at offset: UInt64, copyAt copy: UInt64) -> Bool {
    let first = sky_disk_piece(offset: copy, bytes: page.baseAddress, n: page.count)
    let second = sky_disk_piece(offset: offset, bytes: page.baseAddress, n: page.count)
    return sky_disk_submit_write(disk, first, second)
  }

  /// Whether the page is on the medium now; nil while it is not known.
  public func takeWritten() -> Bool? {
    sky_disk_hear(disk)
    var synced: Int32 = 0
    var error: Int32 = 0
    guard sky_disk_take_write(disk, &synced, &error) else { return nil }
    return error == 0
  }
}
