import CSky
import Foundation
import Testing

/// What a ring's file is to the kernel.
@Suite struct DiskTests {
  private static let bytes = 1 << 16

  /// There the kernel's memory is the medium.
  private static func isInMemory(_ path: String) throws -> Bool {
    let stat = Process()
    stat.executableURL = URL(fileURLWithPath: "/usr/bin/stat")
    stat.arguments = ["-f", "-c", "%T", path]
    let output = Pipe()
    stat.standardOutput = output
    try stat.run()
    stat.waitUntilExit()
    return String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self).hasPrefix("tmpfs")
  }

  /// How many pages of the file the kernel holds.
  private func pagesHeld(_ descriptor: Int32) throws -> Int {
    let memory = try #require(mmap(nil, Self.bytes, PROT_READ, MAP_SHARED, descriptor, 0))
    defer { munmap(memory, Self.bytes) }
    var held = [UInt8](repeating: 0, count: Self.bytes / Int(getpagesize()))
    try #require(mincore(memory, Self.bytes, &held) == 0)
    return held.count { $0 & 1 == 1 }
  }

  /// After a sync that failed, the kernel's copies are of bytes that it will never store: a record among them would count as
  /// stored at the next start, and go with the power.
  @Test func whatIsReadAfterABeginningIsWhatTheMediumHas() throws {
    var template = Array("/var/tmp/skynod-disk.XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    try #require(descriptor >= 0)
    unlink(template)
    defer { close(descriptor) }
    let content = [UInt8](repeating: 7, count: Self.bytes)
    try #require(write(descriptor, content, content.count) == content.count)
    #expect(try pagesHeld(descriptor) > 0)
    sky_disk_begin(descriptor)
    if try !Self.isInMemory("/var/tmp") { #expect(try pagesHeld(descriptor) == 0) }
    var again = [UInt8](repeating: 0, count: Self.bytes)
    #expect(sky_disk_read(descriptor, 0, &again, again.count) == 0 && again == content)
  }
}
