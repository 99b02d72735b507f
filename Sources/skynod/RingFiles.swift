import Bounded
import CSky
import Durable
import Node
import Platform
import Wire

/// The ring files of the state directory, `outgoing.ring`, `urgent.ring` and `incoming.ring`, each with the thread that
/// writes it.
final class RingFiles {
  static let outgoingToken: UInt64 = 3 << 32
  static let incomingToken: UInt64 = 4 << 32
  static let urgentToken: UInt64 = 11 << 32

  let stores: Stores
  private let outgoing: RingFile
  private let urgent: RingFile
  private let incoming: RingFile

  /// Makes or recovers them; a file that cannot be used is told by its ring's health.
  init(directory: PathText, loop: EventLoop) throws(ErrorCode) {
    guard let outgoingPath = Files.join(directory, "outgoing.ring"),
      let urgentPath = Files.join(directory, "urgent.ring"),
      let incomingPath = Files.join(directory, "incoming.ring")
    else { throw .badArgument }
    let seen = SeenMessages()
    let now = Clock.now
    outgoing = try RingFile(
      outgoingPath, Stores.outgoingParameters, now: now, restore: { _ in }, visit: { _, _ in }, user: { _ in 0 })
    urgent = try RingFile(
      urgentPath, Stores.urgentParameters, now: now, restore: { _ in }, visit: { _, _ in }, user: { _ in 0 })
    incoming = try RingFile(
      incomingPath, Stores.incomingParameters, now: now, restore: { seen.restore($0, now: now) },
      visit: { seen.visit($1, now: now) }, user: { seen.write(into: $0) })
    stores = Stores(outgoing: outgoing.ring, urgent: urgent.ring, incoming: incoming.ring, seen: seen)
    if let descriptor = outgoing.descriptor { try loop.add(descriptor, token: Self.outgoingToken, .read) }
    if let descriptor = urgent.descriptor { try loop.add(descriptor, token: Self.urgentToken, .read) }
    if let descriptor = incoming.descriptor { try loop.add(descriptor, token: Self.incomingToken, .read) }
  }

  /// Takes what the threads have done, and gives them what is to be done. True when the node can go on with stored
  /// messages: no descriptor tells of that a second time.
  func pump(now: Instant) -> Bool {
    let sent = outgoing.pump(now: now) { _ in 0 }
    let hurried = urgent.pump(now: now) { _ in 0 }
    let received = incoming.pump(now: now) { stores.seen.write(into: $0) }
    return sent || hurried || received
  }

  func deadline(now: Instant) -> Instant {
    min(min(outgoing.ring.deadline(now: now), urgent.ring.deadline(now: now)), incoming.ring.deadline(now: now))
  }

  /// A thread may be writing into memory.
  var isReading: Bool { outgoing.ring.isReading || urgent.ring.isReading || incoming.ring.isReading }

  /// Before a stop: what was taken in, and what was consumed, onto the medium. Waits, but not for ever.
  func settle() {
    let end = Clock.now + Limits.settleMs
    outgoing.ring.askForCheckpoint()
    urgent.ring.askForCheckpoint()
    incoming.ring.askForCheckpoint()
    while Clock.now < end, !(outgoing.ring.isSettled && urgent.ring.isSettled && incoming.ring.isSettled) {
      _ = pump(now: Clock.now)
      sky_cli_sleep_ms(1)
    }
  }
}
