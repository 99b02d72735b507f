import Bounded
import Wire

/// Joins the control server to the event loop.
///
/// Tokens carry the slot's serial, so an event of a client that went earlier in the same turn, or a
/// descriptor number that was used again, is never taken for the client that has the slot now.
extension ControlServer {
  /// Tokens run from the one given to `watch` up to this many more.
  public static let tokenSpan: UInt64 = 1 << 40

  /// Brings the loop's interest in every client up to date: at the end of each turn, and after anything
  /// that publishes events.
  public func watch(on loop: EventLoop, firstToken: UInt64) throws(ErrorCode) {
    for index in 0..<slotCount {
      guard let change = takeInterestChange(index) else { continue }
      var wanted = Interest()
      if change.interest.read { wanted.insert(.read) }
      if change.interest.write { wanted.insert(.write) }
      let token = firstToken + (UInt64(serial(index)) << 8 | UInt64(index))
      if change.isNew {
        try loop.add(descriptor(index), token: token, wanted)
      } else {
        try loop.modify(descriptor(index), token: token, wanted)
      }
    }
  }

  /// Serves an event of the loop. False when its token is not one of this server's.
  public func serve(
    _ event: Event, firstToken: UInt64, now: Instant, handler: any ControlHandler
  ) -> Bool {
    guard event.token >= firstToken, event.token - firstToken < Self.tokenSpan else { return false }
    let own = event.token - firstToken
    let index = Int(own & 0xFF)
    guard index < slotCount, serial(index) == UInt32(truncatingIfNeeded: own >> 8) else { return true }
    handle(
      index, readable: event.isReadable, writable: event.isWritable, hungUp: event.isHangup, now: now,
      handler: handler)
    return true
  }
}
