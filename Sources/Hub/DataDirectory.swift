import Foundation
import Wire

/// Where a hub keeps everything: one directory, 0700, files 0600.
///
/// Invariant after `open`: the directory exists and belongs to one user. Files that root makes in another
/// user's directory are given to that user, so commands run by root do not lock the service out.
public struct DataDirectory: Sendable {
  public static let standardPath = "/var/lib/skyhub"

  public let path: String

  public var databasePath: String { path + "/hub.db" }
  public var certificatePath: String { path + "/hub.crt" }
  public var privateKeyPath: String { path + "/hub.key" }
  public var identityPath: String { path + "/identity.key" }
  public var adminSocketPath: String { path + "/admin.sock" }
  public var lockPath: String { path + "/serve.lock" }

  // What is published for nodes: the signed manifest, and by its generation the file and its digests.
  public var dictionaryManifestPath: String { path + "/dictionary.manifest" }
  public func dictionaryPath(_ generation: UInt32) -> String { path + "/dictionary-\(generation).lex" }
  public func dictionaryPagesPath(_ generation: UInt32) -> String { path + "/dictionary-\(generation).pages" }

  /// Removes what older generations left. A hub that runs keeps what it has mapped.
  func removeDictionaries(except generation: UInt32) throws(HubError) {
    let kept = [dictionaryPath(generation), dictionaryPagesPath(generation)]
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: path) else { return }
    for name in names where name.hasPrefix("dictionary-") && !kept.contains(path + "/" + name) {
      guard unlink(path + "/" + name) == 0 else { throw HubError(.ioFailed, "\(name): \(Self.reason())") }
    }
  }

  /// - Parameter create: make the directory when it is missing. Otherwise that is `badConfiguration`.
  public init(opening path: String, create: Bool) throws(HubError) {
    self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    var status = stat()
    if stat(path, &status) != 0 {
      guard errno == ENOENT, create else {
        throw HubError(
          .badConfiguration, "data directory \(path): \(Self.reason())",
          hint: "start skyhub serve once, run as the hub's user, or name the directory with --data")
      }
      guard mkdir(path, 0o700) == 0, stat(path, &status) == 0 else {
        throw HubError(
          .badConfiguration, "data directory \(path) cannot be made: \(Self.reason())",
          hint: "make it first, or name another one with --data")
      }
    }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw HubError(.badConfiguration, "\(path) is not a directory", hint: "name a directory with --data")
    }
    guard status.st_mode & 0o077 == 0 else {
      throw HubError(
        .badConfiguration, "\(path) is open to other users", hint: "it holds the hub's keys: chmod 700 \(path)")
    }
    guard access(path, R_OK | W_OK | X_OK) == 0 else {
      throw HubError(
        .badConfiguration, "data directory \(path): \(Self.reason())",
        hint: "run as the user it belongs to, or as root")
    }
  }

  /// Opens the registry, making it at first use.
  public func openRegistry(busyTimeoutMs: Int = 5_000) throws(HubError) -> Registry {
    let isNew = access(databasePath, F_OK) != 0
    let registry = try Registry(path: databasePath, busyTimeoutMs: busyTimeoutMs)
    if isNew { for suffix in ["", "-wal", "-shm"] { try adopt(databasePath + suffix) } }
    return registry
  }

  /// Reads a file that only its owner may read; nil when there is none. It must leave a byte free.
  public func readSecret(_ file: String, into memory: UnsafeMutableRawBufferPointer) throws(HubError) -> Int? {
    let descriptor = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    if descriptor < 0 {
      if errno == ENOENT { return nil }
      throw HubError(.badConfiguration, "\(file): \(Self.reason())")
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & 0o077 == 0 else {
      throw HubError(.badConfiguration, "\(file) is open to other users", hint: "chmod 600 \(file)")
    }
    let count = read(descriptor, memory.baseAddress, memory.count)
    guard count > 0, count == status.st_size else {
      throw HubError(.badConfiguration, "\(file) is empty or too long", hint: "restore it from a backup")
    }
    return count
  }

  /// Writes a new file, 0600, whole or not at all, on the disk before it returns.
  public func writeNew(_ file: String, _ content: UnsafeRawBufferPointer) throws(HubError) {
    let temporary = file + ".new"
    unlink(temporary)
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw HubError(.ioFailed, "\(temporary): \(Self.reason())") }
    let written = write(descriptor, content.baseAddress, content.count)
    let flushed = fsync(descriptor) == 0
    close(descriptor)
    guard written == content.count, flushed, rename(temporary, file) == 0 else {
      throw HubError(.ioFailed, "\(file): \(Self.reason())", hint: "check the free space and the disk")
    }
    let directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if directory >= 0 {
      fsync(directory)
      close(directory)
    }
    try adopt(file)
  }

  /// Holds the directory for one server. The descriptor is the lock and stays open.
  public func lockForServing() throws(HubError) -> Int32 {
    let descriptor = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw HubError(.badConfiguration, "\(lockPath): \(Self.reason())") }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      close(descriptor)
      throw HubError(
        .badConfiguration, "another skyhub serve uses \(path)", hint: "stop it, or name another --data")
    }
    try adopt(lockPath)
    return descriptor
  }

  /// Gives a file that root made to the directory's owner, and closes it to everybody else.
  public func adopt(_ file: String) throws(HubError) {
    guard access(file, F_OK) == 0 else { return }
    var owner = stat()
    guard chmod(file, 0o600) == 0, stat(path, &owner) == 0 else {
      throw HubError(.ioFailed, "\(file): \(Self.reason())")
    }
    if geteuid() == 0, owner.st_uid != 0, chown(file, owner.st_uid, owner.st_gid) != 0 {
      throw HubError(.ioFailed, "\(file): \(Self.reason())")
    }
  }

  static func reason() -> String { String(cString: strerror(errno)) }
}
