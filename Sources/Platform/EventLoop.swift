import Bounded
import CSky
import Wire

/// Which readiness of a descriptor is wanted.
public struct Interest: OptionSet, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  public static let read = Interest(rawValue: SKY_READ)
  public static let write = Interest(rawValue: SKY_WRITE)
}

/// Something became ready.
public struct Event: Sendable {
  /// As given when the descriptor was added.
  public let token: UInt64
  let flags: UInt32
  /// Also true when the other side closed or the descriptor failed: reading tells which.
  public var isReadable: Bool { flags & SKY_READ != 0 }
  public var isWritable: Bool { flags & SKY_WRITE != 0 }
  public var isHangup: Bool { flags & SKY_HANGUP != 0 }
}

/// Waits for descriptors and for time, on epoll, level-triggered.
///
/// It knows no callbacks and no timers: who uses it asks for the earliest deadline and looks at the
/// events by index after `wait`. A descriptor leaves by itself when it is closed. An event may be
/// stale when an earlier one of the same turn closed its descriptor: tokens that are never used twice
/// tell.
public final class EventLoop {
  private let epoll: Int32
  private let events: UnsafeMutablePointer<sky_event>
  /// Events of the last `wait`.
  public private(set) var count = 0

  public init() throws(ErrorCode) {
    let made = sky_epoll_create()
    guard made >= 0 else { throw .internalError }
    epoll = made
    events = .allocate(capacity: Limits.eventsPerTurn)
  }

  deinit {
    sky_close(epoll)
    events.deallocate()
  }

  public func add(_ descriptor: Int32, token: UInt64, _ interest: Interest) throws(ErrorCode) {
    guard sky_epoll_add(epoll, descriptor, interest.rawValue, token) == 0 else { throw .internalError }
  }

  public func modify(_ descriptor: Int32, token: UInt64, _ interest: Interest) throws(ErrorCode) {
    guard sky_epoll_modify(epoll, descriptor, interest.rawValue, token) == 0 else { throw .internalError }
  }

  /// Needed only for descriptors that stay open. Removing what is not there is no error.
  public func remove(_ descriptor: Int32) { _ = sky_epoll_remove(epoll, descriptor) }

  /// Waits until something is ready or `deadline` has come; returns how many events there are.
  @discardableResult
  public func wait(until deadline: Instant) throws(ErrorCode) -> Int {
    var timeoutMs: Int32 = -1
    if deadline != .never { timeoutMs = Int32(min(deadline.since(Clock.now), UInt64(Int32.max))) }
    let n = sky_epoll_wait(epoll, events, Int32(Limits.eventsPerTurn), timeoutMs)
    guard n >= 0 else { throw .internalError }
    count = Int(n)
    return count
  }

  public subscript(index: Int) -> Event {
    precondition(index >= 0 && index < count)
    return Event(token: events[index].token, flags: events[index].flags)
  }
}

/// What a signal asks for.
public enum SystemSignal: Equatable, Sendable {
  /// SIGTERM or SIGINT
  case terminate
  /// SIGHUP
  case reload
  /// SIGCHLD
  case child
}

/// Signals as a descriptor. Make one, early; it blocks the ordinary delivery and ignores SIGPIPE.
public final class SignalSource {
  public let descriptor: Int32

  public init(children: Bool = false) throws(ErrorCode) {
    let made = sky_signal_open(children)
    guard made >= 0 else { throw .internalError }
    descriptor = made
  }

  deinit { sky_close(descriptor) }

  /// The next pending one.
  public func next() -> SystemSignal? {
    switch sky_signal_read(descriptor) {
    case SKY_SIGNAL_TERMINATE: .terminate
    case SKY_SIGNAL_RELOAD: .reload
    case SKY_SIGNAL_CHILD: .child
    default: nil
    }
  }
}
