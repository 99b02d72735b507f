import Bounded
import Durable
import SkyCrypto
import Update
import Wire

/// A small disk in memory, gaps left out as far as the state's copies go.
private final class FuzzDisk: SlotStore {
  static let slotBytes = 2 * Limits.bundleBlockBytes
  var sectors: [UInt64: [UInt8]] = [:]

  func read(at offset: UInt64, into memory: UnsafeMutableRawBufferPointer) -> Int32 {
    for start in stride(from: 0, to: memory.count, by: 512) {
      let sector = sectors[offset + UInt64(start)]
      for i in 0..<min(512, memory.count - start) { memory[start + i] = sector?[i] ?? 0 }
    }
    return 0
  }
  func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) -> Int32 {
    for start in stride(from: 0, to: bytes.count, by: 512) {
      sectors[offset + UInt64(start)] = [UInt8](bytes[start..<min(start + 512, bytes.count)])
    }
    return 0
  }
  func sync() -> Int32 { 0 }
  func forget() {}
}

private final class FuzzBoard: UpdaterBoard {
  let disk = FuzzDisk()
  func name() throws(UpdateError) -> InlineText<32> { InlineText("toy")! }
  func makersKey() throws(UpdateError) -> Bytes32 { Identity(seed: Secret<32>()).publicKey }
  func running() throws(UpdateError) -> Int { 0 }
  func openDisk(isWritable: Bool) throws(UpdateError) -> FuzzDisk { disk }
  func restart() throws(UpdateError) {
    let state = try? SlotState.read(disk)
    precondition(state?.content == .trial, "a board restarts only to try something")
  }
}

extension FuzzTarget {
  /// A node gone bad: whatever it writes to the updater's socket. Nothing but the whole of the one genuine bundle makes a slot
  /// startable.
  static let updater = FuzzTarget(
    name: "updater",
    run: { bytes in
      let board = FuzzBoard()
      var state = SlotState(
        offsets: (16 << 20, 20 << 20), slotBytes: FuzzDisk.slotBytes, release: 1, name: InlineText("0.1")!,
        kernel: Bytes32(repeating: 1), isKernelFixed: false)
      try! state.format(board.disk)
      let updater = Updater(board)
      var answer = ByteQueue(capacity: 1_024)
      var rest = 0
      while let record = (try? UpdaterRecord.peek(bytes.extracting(rest..<bytes.byteCount))) ?? nil {
        let isRequest = updater.take(
          record.kind, record.body(of: bytes.extracting(rest..<bytes.byteCount)), answer: &answer)
        guard isRequest else { break }
        guard let said = (try? UpdaterRecord.peek(answer.bytes)) ?? nil, said.byteCount == answer.count else {
          preconditionFailure("an answer is one record")
        }
        if said.kind == .want {
          let want = try? BundleWant(decoding: said.body(of: answer.bytes))
          precondition(want != nil && Int(want!.offset) + Int(want!.count) <= bundleBytes.count)
        }
        answer.clear()
        rest += record.byteCount
      }
      guard let after = try? SlotState.read(board.disk) else { preconditionFailure("the state is whole") }
      precondition(after.good == 0 && after.floor == 1)
      if after.content == .trial {
        for (i, byte) in payload.enumerated() {
          precondition(board.disk.sectors[20 << 20 + UInt64(i / 512 * 512)]?[i % 512] == byte, "what is tried is whole")
        }
      }
    },
    seeds: {
      func record(_ kind: UpdaterRecord.Kind, _ body: [UInt8] = []) -> [UInt8] {
        var queue = ByteQueue(capacity: 9_000)
        UpdaterRecord.append(kind, length: body.count, to: &queue)
        return queue.array + body
      }
      let head = Array(bundleBytes[..<512])
      let table = Array(bundleBytes[512..<544])
      return [
        Seed(name: "words", bytes: record(.status) + record(.rollBack) + record(.restart)),
        Seed(name: "apply", bytes: record(.status) + record(.apply, head) + record(.piece, [0, 0, 2, 0] + table)),
        Seed(
          name: "wrong",
          bytes: record(.apply, head) + record(.piece, [0, 0, 2, 0] + table.reversed()) + record(.restart)),
        Seed(name: "answer", bytes: record(.result, [0])),
      ]
    })

  private static let payload = [UInt8](repeating: 7, count: Limits.bundleStepBytes)
  /// A bundle of one small block, by the maker whose key the board has.
  private static let bundleBytes: [UInt8] = {
    let table = Sha256.digest(payload.span.bytes)
    var manifest = BundleManifest(
      board: InlineText("toy")!, name: InlineText("0.2")!, release: 2, minimum: 1, payloadBytes: payload.count,
      kernel: Bytes32(repeating: 1), table: Sha256.digest(table.raw))
    var head = ByteQueue(capacity: Limits.updateSectorBytes)
    manifest.append(to: &head, signedBy: Identity(seed: Secret<32>()))
    return head.array + table.raw.array + payload
  }()
}
