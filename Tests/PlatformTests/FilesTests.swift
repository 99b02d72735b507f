import Bounded
import Foundation
import Platform
import Testing
import Wire

@Suite struct FilesTests {
  private func read(_ path: PathText, room: Int = 64) throws(ErrorCode) -> [UInt8] {
    var queue = ByteQueue(capacity: room)
    try Files.read(path, into: &queue)
    return array(queue.bytes)
  }

  private func write(_ path: PathText, _ text: String, mode: UInt32 = 0o600) -> ErrorCode? {
    let bytes = Array(text.utf8)
    return thrown { () throws(ErrorCode) in try Files.write(path, bytes.span.bytes, mode: mode) }
  }

  @Test func whatIsWrittenIsReadAgainWithItsMode() throws {
    let folder = try Folder()
    #expect(write(folder.file("a"), "first") == nil)
    #expect(write(folder.file("a"), "second", mode: 0o640) == nil)
    #expect(try read(folder.file("a")) == Array("second".utf8))
    let attributes = try FileManager.default.attributesOfItem(atPath: folder.path + "/a")
    #expect(attributes[.posixPermissions] as? Int == 0o640)
    #expect(folder.names == ["a"])
  }

  @Test func anEmptyFileIsAFile() throws {
    let folder = try Folder()
    #expect(write(folder.file("a"), "") == nil)
    #expect(try read(folder.file("a")).isEmpty)
  }

  @Test func readingTellsMissingFromTooLongFromUnreadable() throws {
    let folder = try Folder()
    try folder.write("long", String(repeating: "x", count: 65))
    try folder.write("fits", String(repeating: "x", count: 64))
    #expect(thrown { () throws(ErrorCode) in _ = try read(folder.file("absent")) } == .notFound)
    #expect(thrown { () throws(ErrorCode) in _ = try read(folder.file("long")) } == .tooLong)
    #expect(try read(folder.file("fits")).count == 64)
    #expect(thrown { () throws(ErrorCode) in _ = try read(PathText(folder.path)!) } == .ioFailed)
    #expect(thrown { () throws(ErrorCode) in _ = try read(folder.file("fits/below")) } == .ioFailed)
  }

  /// A pipe without a writer must not hold the daemon up.
  @Test func aPipeInAFilesPlaceIsEmpty() throws {
    let folder = try Folder()
    #expect(mkfifo(folder.path + "/pipe", 0o600) == 0)
    #expect(try read(folder.file("pipe")).isEmpty)
  }

  @Test func aFailedWriteLeavesTheOldContentAndNothingElse() throws {
    let folder = try Folder()
    // Renaming over a folder fails after the new content was written whole.
    try folder.write("taken/keep", "old")
    #expect(write(folder.file("taken"), "new") == .ioFailed)
    #expect(folder.read("taken/keep") == Array("old".utf8))
    #expect(folder.names == ["taken"])
    #expect(write(folder.file("absent/a"), "new") == .ioFailed)
    #expect(folder.names == ["taken"])
  }

  @Test func theLeftoverOfACrashIsReplacedAndALinkInItsPlaceNotFollowed() throws {
    let folder = try Folder()
    try folder.write("a", "old")
    try folder.write("a.new", "half of")
    #expect(write(folder.file("a"), "new") == nil)
    try folder.write("victim", "untouched")
    try FileManager.default.createSymbolicLink(
      atPath: folder.path + "/a.new", withDestinationPath: folder.path + "/victim")
    #expect(write(folder.file("a"), "newer") == nil)
    #expect(folder.read("victim") == Array("untouched".utf8))
    #expect(folder.read("a") == Array("newer".utf8))
    #expect(folder.names == ["a", "victim"])
  }

  @Test func removingWhatIsNotThereIsNoError() throws {
    let folder = try Folder()
    try folder.write("a", "x")
    for _ in 0..<2 { #expect(thrown { () throws(ErrorCode) in try Files.remove(folder.file("a")) } == nil) }
    #expect(!Files.exists(folder.file("a")))
    #expect(thrown { () throws(ErrorCode) in try Files.remove(PathText(folder.path)!) } == .ioFailed)
  }

  @Test func aFolderIsMadeOnceAndAFileIsNoFolder() throws {
    let folder = try Folder()
    for _ in 0..<2 { #expect(thrown { () throws(ErrorCode) in try Files.makeDirectory(folder.file("d")) } == nil) }
    try folder.write("file", "x")
    #expect(thrown { () throws(ErrorCode) in try Files.makeDirectory(folder.file("file")) } == .ioFailed)
    #expect(thrown { () throws(ErrorCode) in try Files.makeDirectory(folder.file("no/d")) } == .ioFailed)
  }

  @Test func oneHolderForADirectory() throws {
    let folder = try Folder()
    do {
      let held = try DirectoryLock(folder.file("lock"))
      #expect(thrown { () throws(ErrorCode) in _ = try DirectoryLock(folder.file("lock")) } == .busy)
      withExtendedLifetime(held) {}
    }
    #expect(thrown { () throws(ErrorCode) in _ = try DirectoryLock(folder.file("lock")) } == nil)
    #expect(thrown { () throws(ErrorCode) in _ = try DirectoryLock(folder.file("no/lock")) } == .ioFailed)
  }

  @Test func pathsHaveALimit() throws {
    let long = PathText(String(repeating: "x", count: Limits.pathBytes - 2))!
    #expect(Files.join(long, "y")?.count == Limits.pathBytes)
    #expect(Files.join(long, "yz") == nil)
  }
}
