import Bounded
import SkyCrypto
import Testing
import Wire

@testable import Node

@Suite struct AdmissionTests {
  private func some(hubs: Int = 2, ticket: Bool = false) -> Admission {
    var admission = Admission()
    admission.nodeId = 1_234_567
    for i in 0..<hubs { admission.hubs.append(SceneHub(i).entry) }
    if ticket { admission.ticket = SceneHub(3).ticket }
    return admission
  }

  private func encoded(_ admission: Admission) -> [UInt8] {
    var queue = ByteQueue(capacity: Admission.maximumBytes)
    admission.encode(to: &queue)
    return bytes(of: queue.bytes)
  }

  private func decoded(_ file: [UInt8]) -> Admission? {
    do throws(ErrorCode) { return try Admission(decoding: file.span.bytes) } catch {
      #expect(error == .malformed)
      return nil
    }
  }

  /// The file as it is with its check made anew, so that what is inside is looked at.
  private func signed(_ content: [UInt8]) -> [UInt8] {
    content + bytes(of: Sha256.digest(content.span.bytes).raw).prefix(8)
  }

  @Test func itReadsBackWhatItWrote() {
    for hubs in [0, 1, 8] {
      for ticket in [false, true] {
        let admission = some(hubs: hubs, ticket: ticket)
        #expect(decoded(encoded(admission)) == admission)
      }
    }
    #expect(decoded(encoded(Admission())) == Admission())
  }

  @Test func theLongestFitsItsLimit() {
    var longest = Admission()
    func entry(_ i: Int) -> HubEntry {
      var entry = SceneHub(i).entry
      entry.host = InlineText(String(repeating: "\(i)", count: 253))!
      return entry
    }
    for i in 0..<8 { longest.hubs.append(entry(i)) }
    longest.ticket = SceneHub(8).ticket
    longest.ticket?.hub = entry(8)
    #expect(encoded(longest).count == Admission.maximumBytes)
    #expect(decoded(encoded(longest)) == longest)
  }

  @Test func everyDamageIsNoticed() {
    let file = encoded(some(hubs: 1, ticket: true))
    for i in file.indices {
      for bit in [0, 3, 7] as [UInt8] {
        var damaged = file
        damaged[i] ^= 1 << bit
        #expect(decoded(damaged) == nil, "bit \(bit) of byte \(i)")
      }
    }
    for count in file.indices { #expect(decoded(Array(file[..<count])) == nil, "\(count) bytes") }
    #expect(decoded(file + [0]) == nil)
    #expect(decoded([]) == nil)
  }

  @Test func whatIsInsideIsCheckedEvenWhenTheSumIsRight() {
    let content = Array(encoded(some(hubs: 1)).dropLast(8))
    #expect(decoded(signed(content)) != nil)
    func changed(_ index: Int, _ value: UInt8) -> Admission? {
      var other = content
      other[index] = value
      return decoded(signed(other))
    }
    #expect(changed(0, 0x54) == nil, "magic")
    #expect(changed(4, 2) == nil, "version")
    #expect(changed(9, 0) == nil, "fewer hubs than there are")
    #expect(changed(9, 2) == nil, "more hubs than there are")
    #expect(changed(content.count - 1, 2) == nil, "ticket flag")
    #expect(changed(content.count - 1, 1) == nil, "a ticket that is not there")
    #expect(decoded(signed(content + [0])) == nil, "something after the end")
  }

  @Test func moreHubsThanAListHoldsAreRefused() {
    var content = Array(encoded(some(hubs: 8)).dropLast(9))
    content[9] = 9
    var queue = ByteQueue(capacity: 512)
    _ = SceneHub(8).entry.append(to: &queue)
    content += bytes(of: queue.bytes) + [0]
    #expect(decoded(signed(content)) == nil)
  }
}

@Suite struct TimersTests {
  @Test func nothingIsDueAtFirst() {
    var timers = Timers()
    #expect(timers.next == .never)
    for timer in Timer.allCases { #expect(timers[timer] == .never) }
    let due = timers.popDue(now: Instant(ms: .max - 1))
    #expect(due == nil)
  }

  @Test func everyTimerHasADeadlineOfItsOwn() {
    var timers = Timers()
    for timer in Timer.allCases { timers.set(timer, Instant(ms: UInt64(timer.rawValue + 1))) }
    for timer in Timer.allCases { #expect(timers[timer] == Instant(ms: UInt64(timer.rawValue + 1))) }
    #expect(timers.next == Instant(ms: 1))
    timers.cancel(Timer.allCases[0])
    #expect(timers.next == Instant(ms: 2))
    timers.cancelAll()
    #expect(timers.next == .never)
  }

  @Test func theDueAreGivenOnceEachAndNoneEarly() {
    var timers = Timers()
    timers.set(.retry, Instant(ms: 10))
    timers.set(.drain, Instant(ms: 10))
    timers.set(.silence, Instant(ms: 11))
    let early = timers.popDue(now: Instant(ms: 9))
    #expect(early == nil)
    var due: Set<Timer> = []
    while let timer = timers.popDue(now: Instant(ms: 10)) { due.insert(timer) }
    #expect(due == [.retry, .drain])
    #expect(timers.next == Instant(ms: 11))
  }

  @Test func theEndOfALinkKeepsTheWaitForReceipts() {
    var timers = Timers()
    for timer in Timer.allCases { timers.set(timer, Instant(ms: 5)) }
    timers.cancelLink()
    for timer in Timer.allCases { #expect((timers[timer] != .never) == (timer == .receipt)) }
  }
}
