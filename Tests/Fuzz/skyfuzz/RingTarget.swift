import Bounded
import Durable

/// A small ring file in memory; longer and shorter inputs are cut and filled up.
private final class MemoryStore: BlockStore {
  var bytes: [UInt8]
  init(_ bytes: [UInt8]) { self.bytes = bytes }

  func read(at offset: UInt64, into memory: UnsafeMutableRawBufferPointer) -> Int32 {
    let start = Int(offset)
    precondition(start + memory.count <= bytes.count)
    bytes.withUnsafeBytes {
      memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<(start + memory.count)]))
    }
    return 0
  }

  func write(at offset: UInt64, _ piece: UnsafeRawBufferPointer) -> Int32 {
    precondition(Int(offset) + piece.count <= bytes.count)
    bytes.replaceSubrange(Int(offset)..<(Int(offset) + piece.count), with: piece)
    return 0
  }

  func sync() -> Int32 { 0 }
}

extension FuzzTarget {
  private static var ringParameters: RingParameters {
    var parameters = RingParameters()
    parameters.slotBytes = 512
    parameters.fileBytes = 7 * 512
    parameters.bodyBytes = 400
    parameters.batchBytes = 512
    parameters.readBytes = 512
    return parameters
  }

  /// Any bytes as a ring file. Checksums that are wrong are mended first where the input says so, or
  /// nothing behind them would ever be reached.
  static let ring = FuzzTarget(
    name: "ring",
    run: { input in
      let parameters = ringParameters
      let size = Int(parameters.fileBytes)
      var file = Array(input.array.prefix(size))
      file += [UInt8](repeating: 0, count: size - file.count)
      let mends = input.byteCount > size && input[size] & 1 == 1
      if mends { mend(&file) }
      let store = MemoryStore(file)
      _ = parameters.adopting(store)
      for _ in 0..<2 { live(store, parameters) }
    },
    seeds: {
      var seeds: [Seed] = []
      for (name, steps) in [("new", 0), ("some", 3), ("laps", 40)] {
        let parameters = ringParameters
        let store = MemoryStore([UInt8](repeating: 0, count: Int(parameters.fileBytes)))
        let ring = DurableRing(parameters)
        open(ring, store, parameters)
        for i in 0..<steps {
          _ = try? ring.append(kind: 1, [UInt8](repeating: UInt8(i), count: 8 + 9 * i).span.bytes, now: Instant(ms: 1))
          pump(ring, store, Instant(ms: UInt64(100_000 * (i + 1))))
          if i % 2 == 0, let offer = ring.next() { ring.consume(offer.sequence) }
        }
        seeds.append(Seed(name: name, bytes: store.bytes))
        seeds.append(Seed(name: name + "-mended", bytes: store.bytes + [1]))
      }
      return seeds
    })

  private static func open(_ ring: DurableRing, _ store: MemoryStore, _ parameters: RingParameters) {
    ring.open(
      store, .init(stream: 7, memoryStream: 8, salt: 9), now: Instant(ms: 1),
      restore: { precondition($0.count <= parameters.userBytes) },
      visit: { _, body in precondition(body.byteCount <= parameters.bodyBytes) }, user: { _ in 0 })
    ring.checkInvariants()
  }

  private static func pump(_ ring: DurableRing, _ store: MemoryStore, _ now: Instant) {
    while let write = ring.pollWrite(now: now, user: { _ in 0 }) {
      if !write.batch.isEmpty { _ = store.write(at: write.batchOffset, write.batch) }
      if !write.checkpoint.isEmpty { _ = store.write(at: write.checkpointOffset, write.checkpoint) }
      ring.handleWritten(batchStored: !write.batch.isEmpty, error: 0, now: now)
    }
    while let read = ring.pollRead() { ring.handleRead(error: store.read(at: read.offset, into: read.memory)) }
  }

  /// Opens, hands out all there is, takes something new in and gets exactly that back.
  private static func live(_ store: MemoryStore, _ parameters: RingParameters) {
    let ring = DurableRing(parameters)
    open(ring, store, parameters)
    var now = Instant(ms: 100_000)
    var last: UInt64 = 0
    var turns = 0
    while turns < 1_000 {
      turns += 1
      if let offer = ring.next() {
        precondition(offer.sequence > last || last == 0, "sequences rise")
        last = offer.sequence
        precondition(ring.body.byteCount <= parameters.bodyBytes)
        let isConsumed = ring.consume(offer.sequence)
        precondition(isConsumed)
        continue
      }
      guard let read = ring.pollRead() else { break }
      ring.handleRead(error: store.read(at: read.offset, into: read.memory))
    }
    precondition(turns < 1_000, "a file of seven sectors has an end")
    ring.checkInvariants()
    for _ in 0..<3 {
      now = now + 100_000
      pump(ring, store, now)
    }
    guard ring.health == .stored else {
      precondition(ring.health == .memory(75), "only a file without sequences left is not written")
      return
    }
    let body = [UInt8](repeating: 0xAB, count: 100)
    do throws(RingRefusal) {
      let sequence = try ring.append(kind: 3, body.span.bytes, now: now)
      precondition(sequence > last)
      now = now + 100_000
      pump(ring, store, now)
      precondition(ring.settledSequence == sequence)
      var offer = ring.next()
      if offer == nil {
        pump(ring, store, now)
        offer = ring.next()
      }
      precondition(offer?.sequence == sequence && ring.body.elementsEqual(body.span.bytes))
      ring.consume(sequence)
    } catch { preconditionFailure("an empty ring takes a record") }
    ring.checkInvariants()
  }

  /// Puts right checksums where a head, a checkpoint or a record seems to begin.
  private static func mend(_ file: inout [UInt8]) {
    func put(_ value: UInt32, _ at: Int) {
      for i in 0..<4 { file[at + i] = UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * i)) }
    }
    func big(_ at: Int) -> UInt32 { (0..<4).reduce(0) { $0 << 8 | UInt32(file[at + $1]) } }
    func crc(_ range: Range<Int>, _ seed: UInt32) -> UInt32 {
      file.withUnsafeBytes { Crc32c.checksum($0.baseAddress! + range.lowerBound, range.count, seed: seed) }
    }
    put(crc(0..<36, 0), 36)
    for slot in [512, 1_024] { put(crc(slot..<(slot + 508), 0), slot + 508) }
    // The salt is the checkpoint's or the head's; one of them.
    let salt = big(512 + 48)
    var at = 1_536
    while at + 24 <= file.count {
      let length = Int(big(at + 16))
      if big(at) == 0x534B_5952, length <= 400, at + 24 + length <= file.count {
        put(crc((at + 8)..<(at + 24 + length), salt), at + 4)
        at += (24 + length + 7) & ~7
      } else {
        at += 8
      }
    }
  }

  /// A duplicate window's bytes, then what is inserted; the first byte says whether the checksum is mended.
  static let window = FuzzTarget(
    name: "window",
    run: { input in
      guard input.byteCount > 0 else { return }
      let size = DuplicateWindow<4>.encodedBytes
      var bytes = Array(input.array.dropFirst().prefix(size))
      let rest = Array(input.array.dropFirst(1 + size))
      if input[0] & 1 == 1, bytes.count == size {
        let sum = bytes.withUnsafeBytes { Crc32c.checksum($0.baseAddress!, size - 4) }
        for i in 0..<4 { bytes[size - 4 + i] = UInt8(truncatingIfNeeded: sum >> UInt32(24 - 8 * i)) }
      }
      var window = DuplicateWindow<4>(keepMs: 50)
      let isRead = bytes.withUnsafeBytes { window.decode($0, now: Instant(ms: 0)) }
      precondition(isRead || window.count == 0)
      var now: UInt64 = 0
      var at = 0
      while at + 10 <= rest.count {
        let source = UInt64(rest[at] % 6)
        let sequence = (1..<9).reduce(UInt64(0)) { $0 << 8 | UInt64(rest[at + $1]) }
        now += UInt64(rest[at + 9])
        at += 10
        let expected = window.novelty(source: source, sequence: sequence, now: Instant(ms: now))
        let verdict = window.insert(source: source, sequence: sequence, now: Instant(ms: now))
        precondition(expected == verdict)
        let again = window.novelty(source: source, sequence: sequence, now: Instant(ms: now))
        precondition(verdict != .new || again == .duplicate, "what was inserted is known")
      }
      if isRead { check(&window) }
    },
    seeds: {
      var window = DuplicateWindow<4>(keepMs: 50)
      for i: UInt64 in 1...20 { window.insert(source: i % 3, sequence: 1_000 + 7 * i, now: Instant(ms: 0)) }
      var bytes = [UInt8](repeating: 0, count: DuplicateWindow<4>.encodedBytes)
      bytes.withUnsafeMutableBytes { window.encode(into: $0) }
      let insertions: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 4, 9, 1, 5, 255, 255, 255, 255, 255, 255, 255, 255, 60]
      return [
        Seed(name: "known", bytes: [0] + bytes + insertions), Seed(name: "mended", bytes: [1] + bytes + insertions),
        Seed(name: "empty", bytes: [0]),
      ]
    })

  /// What was read and changed is written and read back the same.
  private static func check(_ window: inout DuplicateWindow<4>) {
    var bytes = [UInt8](repeating: 0, count: DuplicateWindow<4>.encodedBytes)
    bytes.withUnsafeMutableBytes { window.encode(into: $0) }
    var again = DuplicateWindow<4>(keepMs: 50)
    let isRead = bytes.withUnsafeBytes { again.decode($0, now: Instant(ms: 0)) }
    precondition(isRead && again.count == window.count)
  }
}
