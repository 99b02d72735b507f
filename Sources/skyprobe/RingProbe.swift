import Bounded
import CSky
import Durable
import Platform
import Wire

// The ring file on its own, with the thread and the heap of a board program.
//
//   ring append PATH COUNT     takes COUNT messages of 256 bytes in as fast as it may; "settled N" after
//                              each write, at the end what health, counters and heap say
//   ring drain PATH            hands everything out and consumes it: "message N" for each
//   ring idle PATH SECONDS     does nothing for so long; prints bytes written and syncs

func ring(_ words: [HostText]) throws(ErrorCode) {
  guard words.count >= 3, let path = PathText(words[2].bytes) else { throw .usage }
  var parameters = RingParameters()
  parameters.fileBytes = 1 << 20
  let file = try RingFile(
    path, parameters, now: Clock.now, restore: { _ in }, visit: { _, _ in }, user: { _ in 0 })
  let loop = try EventLoop()
  if let descriptor = file.descriptor { try loop.add(descriptor, token: 1, .read) }
  say("recovered \(file.ring.counters.recovered)")
  if words[1].bytes.elementsEqual("append") {
    try append(file, loop, try number(words, 3, default: 100))
  } else if words[1].bytes.elementsEqual("drain") {
    try drain(file, loop)
  } else if words[1].bytes.elementsEqual("idle") {
    let end = Clock.now + 1_000 * (try number(words, 3, default: 10))
    while Clock.now < end { try turn(file, loop, min(end, file.ring.deadline(now: Clock.now))) }
    say("idle bytes=\(file.ring.counters.bytesWritten) syncs=\(file.syncs)")
  } else {
    throw .usage
  }
}

private func turn(_ file: RingFile, _ loop: EventLoop, _ deadline: Instant) throws(ErrorCode) {
  try loop.wait(until: deadline)
  file.pump(now: Clock.now, user: { _ in 0 })
}

private func append(_ file: RingFile, _ loop: EventLoop, _ count: UInt64) throws(ErrorCode) {
  var body = InlineArray<256, UInt8>(repeating: 0x55)
  // The first sequence of this age: messages are numbered from 1 beyond what the file held.
  let before = file.ring.nextSequence - 1
  var taken: UInt64 = 0
  var told: UInt64 = 0
  let heap = sky_heap_read().allocations
  var lines: UInt64 = 0
  var isFull = false
  while told < count {
    while taken < count {
      let number = taken + 1
      for i in 0..<8 { body[i] = UInt8(truncatingIfNeeded: number >> UInt64(56 - 8 * i)) }
      do throws(RingRefusal) {
        _ = try file.ring.append(kind: 1, body.span.bytes, now: Clock.now)
        taken += 1
      } catch {
        isFull = error == .full
        break
      }
    }
    if case .stored = file.ring.health {} else { break }
    try turn(file, loop, min(file.ring.deadline(now: Clock.now), Clock.now + 100))
    let settled = file.ring.settledSequence - before
    if settled > told {
      told = settled
      // Its own allocations are those of the text.
      let here = sky_heap_read().allocations
      say("settled \(told)")
      lines += sky_heap_read().allocations - here
    }
    if isFull && told == taken { break }
  }
  let allocations = sky_heap_read().allocations - heap - lines
  let counters = file.ring.counters
  say(
    "health \(name(file.ring.health)) appended=\(counters.appended) settled=\(told) full=\(counters.refusedFull > 0) "
      + "write_errors=\(counters.writeErrors)")
  say("allocations \(allocations)")
}

private func drain(_ file: RingFile, _ loop: EventLoop) throws(ErrorCode) {
  while !file.ring.isEmpty {
    while let offer = file.ring.next() {
      say("message \(messageNumber(file.ring))")
      file.ring.consume(offer.sequence)
    }
    try turn(file, loop, Clock.now + 10)
  }
  file.ring.askForCheckpoint()
  while case .stored = file.ring.health, !file.ring.isCheckpointed {
    try turn(file, loop, Clock.now + 10)
  }
  let counters = file.ring.counters
  say("drained consumed=\(counters.consumed) quarantined=\(counters.quarantined) missing=\(counters.missing)")
}

private func messageNumber(_ ring: DurableRing) -> UInt64 {
  var number: UInt64 = 0
  for i in 0..<8 { number = number << 8 | UInt64(ring.body[i]) }
  return number
}

private func name(_ health: RingHealth) -> String {
  switch health {
  case .stored: "stored"
  case .degraded(let error): "degraded \(error)"
  case .memory(let error): "memory \(error)"
  }
}
