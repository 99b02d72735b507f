import Bounded
import SkyCrypto
import TestSupport
import Testing
import Wire

@testable import Update

@Suite struct BundleTests {
  init() { #expect(startCrypto()) }

  private static func verified(_ bytes: [UInt8], key: Bytes32 = TestBundle.maker.publicKey) throws(UpdateError)
    -> BundleManifest
  { try BundleManifest.verified(bytes.span.bytes, key: key) }

  @Test func aManifestIsReadBack() throws {
    let bundle = TestBundle(release: 7, minimum: 3)
    let back = try Self.verified(bundle.head)
    #expect(back.release == 7 && back.minimum == 3 && back.board == TestBundle.board)
    #expect(back.payloadBytes == bundle.payload.count && equal(back.digest, bundle.manifest.digest))
    #expect(back.blockCount == 3 && back.bytes(ofBlock: 2) == 131_072..<135_168)
  }

  @Test func noBitOfAManifestCanChange() {
    let head = TestBundle(release: 7).head
    for bit in 0..<(head.count * 8) {
      var bytes = head
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(throws: UpdateError.self) { try Self.verified(bytes) }
    }
  }

  @Test func aManifestOfAnotherLengthIsRefused() {
    let head = TestBundle(release: 7).head
    for count in 0..<head.count {
      #expect(throws: UpdateError.notABundle) { try Self.verified([UInt8](head[..<count])) }
    }
    #expect(throws: UpdateError.notABundle) { try Self.verified(head + [0]) }
  }

  @Test func anotherMakersBundleIsRefused() {
    #expect(throws: UpdateError.wrongKey) {
      try Self.verified(TestBundle(release: 7).head, key: Bytes32(repeating: 1))
    }
  }

  @Test func refusals() throws {
    let disk = makeDisk(TestBundle(release: 5))
    let state = try SlotState.read(disk)
    func refusal(_ bundle: TestBundle, _ state: SlotState, running: Int = 0) -> UpdateError? {
      do throws(UpdateError) {
        try bundle.manifest.admit(board: TestBundle.board, state, running: running)
        return nil
      } catch { return error }
    }
    #expect(refusal(TestBundle(release: 6), state) == nil)
    #expect(refusal(TestBundle(release: 6, board: InlineText("rpi3-arm64")!), state) == .wrongBoard)
    #expect(refusal(TestBundle(release: 6), state, running: 1) == .onTrial)
    #expect(refusal(TestBundle(release: 5), state) == .current)
    #expect(refusal(TestBundle(release: 4), state) == .downgrade)
    #expect(refusal(TestBundle(release: 9, minimum: 6), state) == .tooOld)
    #expect(refusal(TestBundle(release: 9, minimum: 5), state) == nil)
    #expect(refusal(TestBundle(release: 6, payloadBytes: 3 * 65_536 + 4_096), state) == .tooLarge)
    #expect(refusal(TestBundle(release: 6, kernel: 8), state) == nil)
    let fixed = try SlotState.read(makeDisk(TestBundle(release: 5), isKernelFixed: true))
    #expect(refusal(TestBundle(release: 6, kernel: 8), fixed) == .kernelFixed)
    #expect(refusal(TestBundle(release: 6), fixed) == nil)
  }

  @Test func whatWasConfirmedOnceIsTheLeast() throws {
    let disk = makeDisk(TestBundle(release: 1))
    try TestBundle(release: 5).install(disk)
    #expect(try start(disk) == 1)
    try confirm(disk, running: 1)
    try rollBack(disk)
    #expect(try start(disk) == 0)
    try confirm(disk, running: 0)
    #expect(throws: UpdateError.downgrade) { try TestBundle(release: 3).install(disk) }
    try TestBundle(release: 5).install(disk)
  }

  @Test func aWrongBlockOrTableWritesNothing() throws {
    let disk = makeDisk(TestBundle(release: 1))
    let before = disk.store.disk
    let bundle = TestBundle(release: 2)
    for i in stride(from: 0, to: bundle.table.count, by: 7) {
      var table = bundle.table
      table[i] ^= 1
      #expect(throws: UpdateError.tampered) { _ = try bundle.makeInstaller(disk, table: table) }
    }
    let installer = try bundle.makeInstaller(disk)
    var block = bundle.block(0)
    block[77] ^= 1
    #expect(throws: UpdateError.tampered) { try installer.place(0, block.span.bytes) }
    #expect(throws: UpdateError.tampered) { try installer.place(1, bundle.block(0).span.bytes) }
    let matches = installer.matches(0, [UInt8](bundle.block(0).dropLast()).span.bytes)
    #expect(!matches)
    #expect(disk.store.disk == before && disk.store.pending.isEmpty)
  }

  @Test func aMediumThatDoesNotKeepWhatIsWrittenNeverStartsIt() throws {
    let disk = makeDisk(TestBundle(release: 1))
    let bundle = TestBundle(release: 2)
    let installer = try bundle.makeInstaller(disk)
    try installer.begin()
    for i in 0..<bundle.manifest.blockCount { try installer.place(i, bundle.block(i).span.bytes) }
    #expect(disk.sync() == 0)
    // Behind the installer's back: a bit of the last block.
    let place = 1_024 + SlotDisk.slotBytes + bundle.payload.count - 1
    disk.store.disk[place] ^= 4
    #expect(throws: UpdateError.notKept) { try installer.finish() }
    #expect(try start(disk) == 0)
    let again = try bundle.install(disk)
    #expect(again.writtenBlocks == 1 && again.keptBlocks == 2)
    #expect(try start(disk) == 1)
  }

  @Test(arguments: ["write", "sync"]) func aFailingMediumIsSaid(which: String) throws {
    let disk = makeDisk(TestBundle(release: 1))
    if which == "write" { disk.store.writeError = 5 } else { disk.store.syncError = 5 }
    #expect(throws: UpdateError.ioFailed) { try TestBundle(release: 2).install(disk) }
    (disk.store.writeError, disk.store.syncError) = (0, 0)
    #expect(try start(disk) == 0)
  }
}
