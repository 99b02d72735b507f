import Bounded
import Durable
import Foundation
import Platform
import Testing

/// The ring in a real file with its thread.
@Suite struct RingFileTests {
  private final class Folder {
    let path: String
    init() {
      var template = Array("/tmp/skynod-ring.XXXXXX".utf8CString)
      precondition(mkdtemp(&template) != nil)
      path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
    var file: PathText { PathText(path + "/ring")! }
  }

  private static func parameters() -> RingParameters {
    var parameters = RingParameters()
    parameters.fileBytes = 1 << 18
    return parameters
  }

  private static func open(_ path: PathText, _ parameters: RingParameters = parameters()) throws -> RingFile {
    try RingFile(path, parameters, now: Clock.now, restore: { _ in }, visit: { _, _ in }, user: { _ in 0 })
  }

  /// Waits for the thread, at most ten seconds.
  private static func settle(_ file: RingFile, _ isDone: () -> Bool) throws -> Bool {
    let loop = try EventLoop()
    if let descriptor = file.descriptor { try loop.add(descriptor, token: 1, .read) }
    let end = Clock.now + 10_000
    while Clock.now < end {
      if isDone() { return true }
      if file.pump(now: Clock.now, user: { _ in 0 }) { continue }
      try loop.wait(until: min(file.ring.deadline(now: Clock.now), Clock.now + 20))
    }
    return false
  }

  private static func append(_ file: RingFile, _ text: String) throws -> UInt64 {
    try file.ring.append(kind: 1, Array(text.utf8).span.bytes, now: Clock.now)
  }

  private static func body(of ring: DurableRing) -> String {
    String(decoding: array(ring.body), as: UTF8.self)
  }

  private static func take(_ file: RingFile) throws -> String? {
    var text: String?
    _ = try settle(file) {
      guard let offer = file.ring.next() else { return file.ring.isEmpty }
      text = body(of: file.ring)
      file.ring.consume(offer.sequence)
      return true
    }
    return text
  }

  @Test func whatIsSettledIsThereAfterAnotherStart() throws {
    let folder = Folder()
    do {
      let file = try RingFileTests.open(folder.file)
      #expect(file.ring.health == .stored)
      var last: UInt64 = 0
      for i in 0..<100 { last = try RingFileTests.append(file, "message \(i)") }
      #expect(try RingFileTests.settle(file) { file.ring.settledSequence >= last })
      #expect(file.syncs < 10, "records share their syncs")
    }
    // Another size in the configuration changes nothing in a file that is there.
    var parameters = RingFileTests.parameters()
    parameters.fileBytes *= 2
    let file = try RingFileTests.open(folder.file, parameters)
    #expect(file.ring.counters.recovered == 100 && file.ring.parameters.fileBytes == 1 << 18)
    for i in 0..<100 { #expect(try RingFileTests.take(file) == "message \(i)") }
    // The last look passes over what follows the last record.
    #expect(try RingFileTests.take(file) == nil)
    let isEmpty = file.ring.isEmpty
    #expect(isEmpty)
    let size = try FileManager.default.attributesOfItem(atPath: folder.file.string)[.size] as? Int
    #expect(size == 1 << 18)
  }

  /// The loop turns on while every sync takes half a second; what it took in is stored in the end.
  @Test func aSlowMediumNeverStopsTheLoop() throws {
    let folder = Folder()
    let file = try RingFileTests.open(folder.file)
    file.slowDown(ms: 500)
    let loop = try EventLoop()
    try loop.add(file.descriptor!, token: 1, .read)
    var last: UInt64 = 0
    var turns = 0
    var longestUs: UInt64 = 0
    let end = Clock.now + 3_000
    let clock = ContinuousClock()
    while Clock.now < end {
      let took = try clock.measure {
        last = try RingFileTests.append(file, "message \(turns)")
        file.pump(now: Clock.now, user: { _ in 0 })
        while let offer = file.ring.next() { file.ring.consume(offer.sequence) }
      }
      longestUs = max(longestUs, UInt64(took / .microseconds(1)))
      turns += 1
      try loop.wait(until: Clock.now + 10)
    }
    print(
      "slow medium: \(turns) turns in 3 s, the longest \(longestUs) us, the slowest write \(file.slowestWriteUs) us")
    #expect(file.slowestWriteUs >= 500_000 && file.syncs <= 7)
    // Six or seven writes: a loop that waited for them would have turned as often.
    #expect(turns >= 60)
    #expect(try RingFileTests.settle(file) { file.ring.settledSequence >= last })
  }

  @Test func damageToTheFileIsSurvived() throws {
    let folder = Folder()
    do {
      let file = try RingFileTests.open(folder.file)
      let last = try RingFileTests.append(file, "kept")
      #expect(try RingFileTests.settle(file) { file.ring.settledSequence >= last })
    }
    // Cut short: what lies before the cut counts.
    #expect(truncate(folder.file.string, 100_000) == 0)
    do {
      let file = try RingFileTests.open(folder.file)
      #expect(file.ring.health == .stored && file.ring.counters.recovered == 1)
      #expect(try RingFileTests.take(file) == "kept")
    }
    try Data("no ring at all".utf8).write(to: URL(filePath: folder.file.string))
    let file = try RingFileTests.open(folder.file)
    #expect(file.ring.health == .stored && file.ring.counters.recovered == 0)
    let last = try RingFileTests.append(file, "new")
    #expect(try RingFileTests.settle(file) { file.ring.settledSequence >= last })
  }

  @Test func withoutAFileItWorksInMemory() throws {
    let folder = Folder()
    let file = try RingFileTests.open(PathText(folder.path + "/missing/ring")!)
    #expect(file.ring.health == .memory(2) && file.descriptor == nil)
    for i in 0..<500 {
      _ = try RingFileTests.append(file, "message \(i)")
      #expect(try RingFileTests.take(file) == "message \(i)")
    }
    #expect(file.ring.counters.consumed == 500)
  }
}
