import Bounded
import SkyCrypto
import TestSupport
import Testing
import Wire

@testable import Update

@Suite struct SlotStateTests {
  init() { #expect(startCrypto()) }

  private static func bytes(_ state: SlotState) -> [UInt8] {
    var queue = ByteQueue(capacity: Limits.updateSectorBytes)
    state.append(to: &queue)
    return queue.withBytes { bytes in (0..<bytes.byteCount).map { bytes[$0] } }
  }

  @Test func aSectorIsReadBack() throws {
    let disk = makeDisk(TestBundle(release: 1))
    try TestBundle(release: 2).install(disk)
    let state = try SlotState.read(disk)
    let bytes = Self.bytes(state)
    #expect(bytes.count == 512)
    #expect(try SlotState(decoding: bytes.span.bytes) == state)
    for count in [0, 511, 513] {
      let other = [UInt8]((bytes + [0])[..<count])
      #expect(throws: DecodeError.self) { try SlotState(decoding: other.span.bytes) }
    }
  }

  @Test func aFlippedBitIsSeen() throws {
    let bytes = Self.bytes(try SlotState.read(makeDisk(TestBundle(release: 1))))
    for bit in 0..<(bytes.count * 8) {
      var other = bytes
      other[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(throws: DecodeError.self) { try SlotState(decoding: other.span.bytes) }
    }
  }

  @Test func oneCopyIsEnough() throws {
    for lost in 0..<2 {
      let disk = makeDisk(TestBundle(release: 1))
      disk.store.badSectors = [lost]
      #expect(try start(disk) == 0)
    }
    let disk = makeDisk(TestBundle(release: 1))
    disk.store.badSectors = [0, 1]
    #expect(throws: UpdateError.noState) { try start(disk) }
  }

  @Test func onlyWhatIsOnTrialIsConfirmed() throws {
    let disk = makeDisk(TestBundle(release: 1))
    #expect(throws: UpdateError.notOnTrial) { try confirm(disk, running: 1) }
    #expect(throws: UpdateError.nothingToRollBack) { try rollBack(disk) }
    try confirm(disk, running: 0)
    #expect(try SlotState.read(disk).good == 0)
    let installer = try TestBundle(release: 2).makeInstaller(disk)
    try installer.begin()
    #expect(throws: UpdateError.notOnTrial) { try confirm(disk, running: 1) }
    #expect(throws: UpdateError.nothingToRollBack) { try rollBack(disk) }
  }

  @Test func theThirdStartMayStillConfirm() throws {
    let disk = makeDisk(TestBundle(release: 1))
    try TestBundle(release: 2).install(disk)
    for _ in 0..<3 { #expect(try start(disk) == 1) }
    try confirm(disk, running: 1)
    for _ in 0..<20 { #expect(try start(disk) == 1) }
  }

  @Test func anUpdateCanBeGivenUpBeforeItsFirstStart() throws {
    let disk = makeDisk(TestBundle(release: 1))
    try TestBundle(release: 2).install(disk)
    try rollBack(disk)
    #expect(try start(disk) == 0)
    #expect(try SlotState.read(disk).content == .failed)
  }
}
