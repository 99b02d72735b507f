import Bounded
import Foundation
import Platform
import Wire

/// The connections that this hub makes to its fellows, as far as TLS; one try at a time for each.
///
/// Not the links: what is connected goes to `HubServer`, which serves it like those that came in.
final class FellowDialer {
  enum Outcome {
    case connected(TlsConnection)
    case failed(ErrorCode)
  }

  private final class Attempt {
    let fellow: Fellow
    let dialer: Dialer
    let token: UInt64
    var isUnderWay = false
    var wakeAt = Instant.never

    init(_ fellow: Fellow, loop: EventLoop, token: UInt64) throws(ErrorCode) {
      self.fellow = fellow
      self.token = token
      dialer = try Dialer(loop: loop)
    }
  }

  private var attempts: [Attempt] = []

  init(_ fellows: [Fellow], loop: EventLoop, firstToken: UInt64) throws(ErrorCode) {
    for (i, fellow) in fellows.filter({ $0.dialAt != nil }).enumerated() {
      attempts.append(try Attempt(fellow, loop: loop, token: firstToken + UInt64(i)))
    }
  }

  var nextDeadline: Instant { attempts.map(\.wakeAt).min() ?? .never }

  /// Starts anew; what comes of it, `step` says.
  func dial(_ fellow: Fellow, now: Instant) {
    guard let attempt = attempts.first(where: { $0.fellow === fellow }) else { return }
    attempt.isUnderWay = true
    attempt.wakeAt = now
    do throws(ErrorCode) {
      try attempt.dialer.start(
        fellow.entry.host, port: fellow.entry.port, trust: try TlsContext.client(pin: fellow.entry.pin),
        token: attempt.token, deadline: now + Limits.handshakeTimeoutMs)
    } catch {
      // `step` finds it idle and says so.
      attempt.dialer.cancel()
    }
  }

  /// Goes on with those whose descriptor or time has come; what has ended.
  func step(token: UInt64? = nil, now: Instant) -> [(Fellow, Outcome)] {
    var ended: [(Fellow, Outcome)] = []
    for attempt in attempts where attempt.isUnderWay && (attempt.token == token || attempt.wakeAt <= now) {
      do throws(ErrorCode) {
        switch try attempt.dialer.step(now) {
        case .waiting(let until):
          attempt.wakeAt = until
          continue
        case .connected(let tls): ended.append((attempt.fellow, .connected(tls)))
        case .connectedInClear: ended.append((attempt.fellow, .failed(.tlsFailed)))
        }
      } catch { ended.append((attempt.fellow, .failed(error))) }
      attempt.isUnderWay = false
      attempt.wakeAt = .never
    }
    return ended
  }

  func cancel() {
    for attempt in attempts {
      attempt.dialer.cancel()
      attempt.isUnderWay = false
      attempt.wakeAt = .never
    }
  }
}
