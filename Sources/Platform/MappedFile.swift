import Bounded
import CSky
import Wire

/// A file's bytes, mapped for reading: the page cache holds them, not this process. Empty until `open`.
///
/// Who wants to change such a file replaces it; the bytes here stay those of the file that was opened.
public struct MappedFile: ~Copyable {
  private var start: UnsafeRawPointer?
  private var count = 0

  public init() {}

  deinit {
    if let start { sky_file_unmap(start, count) }
  }

  public var isOpen: Bool { start != nil }

  public var bytes: RawSpan {
    @_lifetime(borrow self)
    get {
      let span = RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: start, count: count))
      return _overrideLifetime(span, borrowing: self)
    }
  }

  /// Takes the place of what was mapped before. False, and nothing mapped, when the file cannot be, or is empty.
  public mutating func open(_ path: PathText) -> Bool {
    close()
    start = path.withCString { sky_file_map($0, &count) }
    return isOpen
  }

  /// The same of a descriptor, which stays the caller's.
  public mutating func open(descriptor: Int32) -> Bool {
    close()
    start = UnsafeRawPointer(sky_descriptor_map(descriptor, &count))
    return isOpen
  }

  public mutating func close() {
    if let start { sky_file_unmap(start, count) }
    start = nil
    count = 0
  }
}

/// A file that is written piece by piece and then takes another's place. What an earlier run left stays, for who
/// can tell good pieces from bad ones.
public struct PartFile: ~Copyable {
  private var descriptor: Int32 = -1
  private var map = MappedFile()

  public init() {}

  deinit { sky_close(descriptor) }

  /// Opens or makes the file with exactly `count` bytes; those that were not written read as zero.
  public mutating func open(_ path: PathText, bytes count: Int) throws(ErrorCode) {
    close()
    var isReadOnly = false
    descriptor = path.withCString { sky_disk_open($0, &isReadOnly) }
    guard descriptor >= 0, !isReadOnly, sky_disk_resize(descriptor, UInt64(count)) == 0,
      map.open(descriptor: descriptor)
    else {
      close()
      throw .ioFailed
    }
  }

  /// What is in it so far.
  public var bytes: RawSpan {
    @_lifetime(borrow self)
    get { map.bytes }
  }

  /// Writes a piece without waiting for the medium.
  public mutating func write(_ piece: RawSpan, at offset: Int) throws(ErrorCode) {
    let result = piece.withUnsafeBytes { sky_disk_write(descriptor, UInt64(offset), $0.baseAddress, $0.count) }
    guard result == 0 else { throw .ioFailed }
    sky_disk_write_back(descriptor, UInt64(offset), piece.byteCount)
  }

  /// Syncs the file and puts it in the place of `target`: after a crash one of the two is there, whole.
  public mutating func replace(_ target: PathText, from path: PathText) throws(ErrorCode) {
    guard sky_disk_sync(descriptor) == 0 else { throw .ioFailed }
    close()
    let result = path.withCString { from in target.withCString { sky_file_replace(from, $0) } }
    guard result == 0 else { throw .ioFailed }
  }

  public mutating func close() {
    map.close()
    sky_close(descriptor)
    descriptor = -1
  }
}
