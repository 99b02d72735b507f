import Bounded
import CSky
import Wire

/// A file's path.
public typealias PathText = InlineText<255>

/// Small files, whole. No open descriptor is left behind.
public enum Files {
  /// Appends the whole file. `notFound`, `tooLong` when it does not fit, else `ioFailed`.
  public static func read(_ path: PathText, into queue: inout ByteQueue) throws(ErrorCode) {
    var result = 0
    queue.appendInPlace(upTo: queue.space) { room in
      result = path.withCString { sky_file_read($0, room.baseAddress, room.count) }
      return max(0, result)
    }
    if result >= 0 { return }
    if result == Int(SKY_NO_ENTRY) { throw .notFound }
    throw result == Int(SKY_TOO_BIG) ? .tooLong : .ioFailed
  }

  /// Replaces a file: after a crash either the old or the new content is there, never a mixture.
  public static func write(_ path: PathText, _ bytes: RawSpan, mode: UInt32 = 0o600) throws(ErrorCode) {
    let result = bytes.withUnsafeBytes { from in
      path.withCString { sky_file_write($0, from.baseAddress, from.count, mode) }
    }
    guard result == 0 else { throw .ioFailed }
  }

  /// A descriptor for reading a regular file; whoever takes it closes it.
  public static func open(_ path: PathText) throws(ErrorCode) -> Int32 {
    let descriptor = path.withCString { sky_file_open($0) }
    guard descriptor >= 0 else { throw .ioFailed }
    return descriptor
  }

  public static func remove(_ path: PathText) throws(ErrorCode) {
    let result = path.withCString { sky_file_remove($0) }
    guard result == 0 || result == SKY_NO_ENTRY else { throw .ioFailed }
  }

  public static func exists(_ path: PathText) -> Bool { path.withCString { sky_file_exists($0) } }

  /// The group that owns what is at `path`; nil when nothing is.
  public static func group(of path: PathText) -> UInt32? {
    var gid: UInt32 = 0
    return path.withCString { sky_file_group($0, &gid) } == 0 ? gid : nil
  }

  /// A group's number by its name in /etc/group.
  public static func group(named name: InlineText<253>) -> UInt32? {
    var gid: UInt32 = 0
    return name.withCString { sky_group_find($0, &gid) } == 0 ? gid : nil
  }

  /// Makes one directory; being there already is fine.
  public static func makeDirectory(_ path: PathText, mode: UInt32 = 0o700) throws(ErrorCode) {
    guard path.withCString({ sky_directory_make($0, mode) }) == 0 else { throw .ioFailed }
  }

  /// `directory/name`; nil when it is too long.
  public static func join(_ directory: PathText, _ name: StaticString) -> PathText? {
    let length = directory.count + 1 + name.utf8CodeUnitCount
    guard length <= Limits.pathBytes else { return nil }
    var text = InlineArray<255, UInt8>(repeating: 0)
    let from = directory.bytes
    for i in 0..<directory.count { text[i] = from[i] }
    text[directory.count] = UInt8(ascii: "/")
    for i in 0..<name.utf8CodeUnitCount { text[directory.count + 1 + i] = name.utf8Start[i] }
    return PathText(text.span.bytes.extracting(0..<length))
  }
}

/// Holds a directory for this process alone, until it goes away.
public final class DirectoryLock {
  private let descriptor: Int32

  /// `busy` when another process holds it.
  public init(_ path: PathText) throws(ErrorCode) {
    let made = path.withCString { sky_lock_file($0) }
    if made == SKY_AGAIN { throw .busy }
    guard made >= 0 else { throw .ioFailed }
    descriptor = made
  }

  deinit { sky_close(descriptor) }
}
