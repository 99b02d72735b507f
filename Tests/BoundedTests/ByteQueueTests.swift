import Bounded
import Testing

@Suite struct ByteQueueTests {
  private func append(_ bytes: [UInt8], to queue: inout ByteQueue) -> Bool { queue.append(bytes.span.bytes) }

  @Test func aNewQueueIsEmpty() {
    let queue = ByteQueue(capacity: 8)
    let (count, space, isEmpty, bytes) = (queue.count, queue.space, queue.isEmpty, array(queue.bytes))
    #expect(count == 0)
    #expect(space == 8)
    #expect(isEmpty)
    #expect(bytes == [])
  }

  @Test func itFillsToTheLastByteAndNoFurther() {
    var queue = ByteQueue(capacity: 4)
    let fits = append([1, 2, 3, 4], to: &queue)
    #expect(fits)
    let one = append([5], to: &queue)
    #expect(!one)
    let none = append([], to: &queue)
    #expect(none, "nothing fits into a full queue")
    let (bytes, space) = (array(queue.bytes), queue.space)
    #expect(bytes == [1, 2, 3, 4])
    #expect(space == 0)
  }

  @Test func whatDoesNotFitChangesNothing() {
    var queue = ByteQueue(capacity: 7)
    _ = append([9, 9, 9, 9], to: &queue)
    let refused = [
      append([1, 2, 3, 4], to: &queue), queue.append(bigEndian: UInt32(7)), queue.append(bigEndian: UInt64(7)),
      queue.append("four"), queue.appendInPlace(upTo: 4) { _ in 4 },
    ]
    #expect(refused == [false, false, false, false, false])
    let bytes = array(queue.bytes)
    #expect(bytes == [9, 9, 9, 9])
  }

  @Test func liveBytesMoveToTheFrontWhenThatMakesRoom() {
    var queue = ByteQueue(capacity: 4)
    _ = append([1, 2, 3, 4], to: &queue)
    queue.consume(3)
    let fits = append([5, 6, 7], to: &queue)
    #expect(fits)
    let bytes = array(queue.bytes)
    #expect(bytes == [4, 5, 6, 7])
  }

  @Test func aWholeConsumeStartsAtTheFrontAgain() {
    var queue = ByteQueue(capacity: 4)
    for round in 0..<10 as Range<UInt8> {
      let fits = append([round, 1, 2, 3], to: &queue)
      #expect(fits)
      queue.consume(4)
      let isEmpty = queue.isEmpty
      #expect(isEmpty)
    }
  }

  @Test func integersAreBigEndian() {
    var queue = ByteQueue(capacity: 15)
    queue.append(bigEndian: UInt8(0x01))
    queue.append(bigEndian: UInt16(0x0203))
    queue.append(bigEndian: UInt32(0x0405_0607))
    queue.append(bigEndian: UInt64(0x0809_0A0B_0C0D_0E0F))
    let bytes = array(queue.bytes)
    #expect(bytes == Array(1...15))
  }

  @Test func patchOverwritesInPlaceAfterTheOldestByte() {
    var queue = ByteQueue(capacity: 8)
    _ = append([0, 0, 0, 0, 0, 0, 0, 0], to: &queue)
    queue.consume(2)
    queue.patch(bigEndian: UInt16(0xABCD), at: 0)
    queue.patch(bigEndian: UInt16(0x1234), at: 4)
    let bytes = array(queue.bytes)
    #expect(bytes == [0xAB, 0xCD, 0, 0, 0x12, 0x34])
  }

  @Test func truncateDropsTheYoungest() {
    var queue = ByteQueue(capacity: 4)
    _ = append([1, 2, 3, 4], to: &queue)
    queue.consume(1)
    queue.truncate(to: 2)
    let bytes = array(queue.bytes)
    #expect(bytes == [2, 3])
    queue.truncate(to: 0)
    let isEmpty = queue.isEmpty
    #expect(isEmpty)
  }

  @Test func clearWipesAllThatWasEverWritten() {
    var queue = ByteQueue(capacity: 8)
    _ = append([1, 2, 3, 4, 5, 6], to: &queue)
    queue.consume(6)
    // More than it says.
    let isOffered = queue.appendInPlace(upTo: 7) { room in
      for i in 0..<7 { room[i] = 9 }
      return 1
    }
    #expect(isOffered)
    queue.truncate(to: 0)
    _ = append([1], to: &queue)
    queue.clear()
    var left: [UInt8] = []
    queue.appendInPlace(upTo: 8) { room in
      left = Array(room[..<7])
      return 0
    }
    #expect(left == [UInt8](repeating: 0, count: 7))
  }

  @Test func appendInPlaceTakesWhatWasWritten() {
    var queue = ByteQueue(capacity: 4)
    let offered = queue.appendInPlace(upTo: 4) { room in
      room[0] = 7
      room[1] = 8
      return 2
    }
    #expect(offered)
    let bytes = array(queue.bytes)
    #expect(bytes == [7, 8])
  }

  @Test func clearingOverwritesWhatTheQueueHeld() {
    var queue = ByteQueue(capacity: 16)
    _ = append([UInt8](repeating: 0xAA, count: 16), to: &queue)
    queue.consume(3)
    queue.clear()
    let count = queue.count
    #expect(count == 0)
    // The same memory is handed out again: it must hold nothing of what was there.
    var seen: [UInt8] = []
    queue.appendInPlace(upTo: 16) { room in
      seen = Array(room)
      return 0
    }
    #expect(seen == [UInt8](repeating: 0, count: 16))
  }

  @Test(arguments: [1, 2, 3] as [UInt64]) func itAgreesWithAnArray(_ seed: UInt64) {
    var random = Lcg(state: seed)
    var queue = ByteQueue(capacity: 32)
    var model: [UInt8] = []
    for step in 0..<5_000 {
      let n = random.next(40)
      if random.next(2) == 0 {
        let bytes = (0..<n).map { _ in UInt8(random.next(256)) }
        let fits = queue.append(bytes.span.bytes)
        #expect(fits == (model.count + n <= 32), "seed \(seed), step \(step)")
        if fits { model += bytes }
      } else {
        let taken = min(n, model.count)
        queue.consume(taken)
        model.removeFirst(taken)
      }
      let (bytes, space) = (array(queue.bytes), queue.space)
      guard bytes == model, space == 32 - model.count else {
        Issue.record("seed \(seed), step \(step): \(bytes) instead of \(model)")
        return
      }
    }
  }
}
