import Bounded
import Foundation
import Platform
import Wire

/// A request to the upstream, as the core wants it made.
struct UpstreamRequest {
  let number: UInt64
  let body: Data
}

/// What came of one. A failure after `wasSent` may have cost money all the same.
struct UpstreamOutcome {
  let number: UInt64
  var body: Data?
  var failure: ErrorCode?
  /// For people, never with anything of what the upstream said.
  var why = ""
  var wasSent = false
}

/// Connections to the upstream on the hub's own loop: a few at once, more wait their turn, each with its time. Nothing here
/// waits for anybody.
final class UpstreamPool {
  static let connections = 4
  static let waiting = 32
  static let readsPerTurn = 4

  private final class Exchange {
    let dialer: Dialer
    let token: UInt64
    var request: UpstreamRequest?
    var deadline = Instant.never
    var wakeAt = Instant.never
    var tls: TlsConnection?
    var socket: StreamSocket?
    var output = ByteQueue(capacity: 65_536)
    var input = ByteQueue(capacity: 16_384)
    var response = HttpResponse()
    var wasSent = false

    init(loop: EventLoop, token: UInt64) throws(ErrorCode) {
      dialer = try Dialer(loop: loop)
      self.token = token
    }

    var descriptor: Int32 { tls?.descriptor ?? socket?.descriptor ?? -1 }

    func write() throws(ErrorCode) -> WriteOutcome {
      if let tls { return try tls.write(from: &output) }
      guard let socket else { throw .internalError }
      return try socket.write(from: &output)
    }

    func read() throws(ErrorCode) -> ReadOutcome {
      if let tls { return try tls.read(into: &input) }
      guard let socket else { throw .internalError }
      return try socket.read(into: &input)
    }
  }

  private let configuration: UpstreamConfiguration
  private let host: HostText
  private let trust: TlsContext?
  /// Sent as it is; nowhere else.
  private let authorization: String
  private let loop: EventLoop
  private var exchanges: [Exchange] = []
  private var queue: [(request: UpstreamRequest, deadline: Instant)] = []
  private var finished: [UpstreamOutcome] = []

  init(_ configuration: UpstreamConfiguration, key: String, loop: EventLoop, firstToken: UInt64) throws(HubError) {
    self.configuration = configuration
    self.loop = loop
    host = HostText(configuration.host)!
    authorization = key.isEmpty ? "" : "Authorization: Bearer \(key)\r\n"
    trust = configuration.isSecure ? try Self.trust(configuration.authorityFile) : nil
    do throws(ErrorCode) {
      for i in 0..<Self.connections { exchanges.append(try Exchange(loop: loop, token: firstToken + UInt64(i))) }
    } catch { throw HubError(.internalError, "the resolver of the upstream cannot be made") }
  }

  private static func trust(_ file: String) throws(HubError) -> TlsContext {
    guard let pem = FileManager.default.contents(atPath: file), !pem.isEmpty else {
      throw HubError(
        .badConfiguration, "ca_file \(file) cannot be read", hint: "install ca-certificates, or set ca_file")
    }
    let bytes = [UInt8](pem)
    do throws(ErrorCode) { return try TlsContext.client(caPem: bytes.span.bytes) } catch {
      throw HubError(.badConfiguration, "ca_file \(file) holds no certificates that can be used")
    }
  }

  // MARK: Requests

  func submit(_ request: UpstreamRequest, now: Instant) {
    let deadline = now + configuration.timeoutMs
    guard let free = exchanges.first(where: { $0.request == nil }) else {
      guard queue.count < Self.waiting else {
        finished.append(UpstreamOutcome(number: request.number, failure: .busy, why: "too many questions wait"))
        return
      }
      return queue.append((request, deadline))
    }
    begin(request, on: free, deadline: deadline, now: now)
  }

  func takeFinished() -> [UpstreamOutcome] {
    guard !finished.isEmpty else { return [] }
    defer { finished.removeAll() }
    return finished
  }

  var nextDeadline: Instant {
    exchanges.reduce(queue.map(\.deadline).min() ?? .never) { min($0, min($1.deadline, $1.wakeAt)) }
  }

  func handle(token: UInt64, now: Instant) {
    if let exchange = exchanges.first(where: { $0.token == token }) { go(on: exchange, now: now) }
  }

  func tick(now: Instant) {
    for exchange in exchanges where exchange.request != nil {
      if now >= exchange.deadline {
        end(exchange, .timeout, "no answer within \(configuration.timeoutMs) ms", now: now)
      } else if now >= exchange.wakeAt {
        go(on: exchange, now: now)
      }
    }
    for late in queue where late.deadline <= now {
      finished.append(UpstreamOutcome(number: late.request.number, failure: .timeout, why: "its turn did not come"))
    }
    queue.removeAll { $0.deadline <= now }
  }

  // MARK: One exchange

  private func begin(_ request: UpstreamRequest, on exchange: Exchange, deadline: Instant, now: Instant) {
    exchange.request = request
    exchange.deadline = deadline
    exchange.response = HttpResponse()
    exchange.wasSent = false
    exchange.output.clear()
    exchange.input.clear()
    let port = configuration.port == (configuration.isSecure ? 443 : 80) ? "" : ":\(configuration.port)"
    let name = configuration.host.contains(":") ? "[\(configuration.host)]" : configuration.host
    let head = """
      POST \(configuration.path) HTTP/1.1\r\nHost: \(name)\(port)\r\nUser-Agent: skyhub/\(Version.text)\r\n\
      \(authorization)Content-Type: application/json\r\nAccept: application/json\r\n\
      Content-Length: \(request.body.count)\r\nConnection: close\r\n\r\n
      """
    var isWhole = true
    for part in [Data(head.utf8), request.body] {
      part.withUnsafeBytes { if !exchange.output.append($0.bytes) { isWhole = false } }
    }
    guard isWhole else { return end(exchange, .tooLong, "the request is too long", now: now) }
    do throws(ErrorCode) {
      try exchange.dialer.start(host, port: configuration.port, trust: trust, token: exchange.token, deadline: deadline)
    } catch { return end(exchange, .upstreamFailed, "\(error.sentence)", now: now) }
    go(on: exchange, now: now)
  }

  private func go(on exchange: Exchange, now: Instant) {
    guard exchange.request != nil else { return }
    exchange.wakeAt = .never
    do throws(ErrorCode) {
      if exchange.tls == nil, exchange.socket == nil {
        switch try exchange.dialer.step(now) {
        case .waiting(let until):
          exchange.wakeAt = until
          return
        case .connected(let made): exchange.tls = made
        case .connectedInClear(let made): exchange.socket = made
        }
      }
      try move(exchange, now: now)
    } catch {
      // What names the step that failed, and nothing of what came.
      end(exchange, .upstreamFailed, "\(error.sentence)", now: now)
    }
  }

  private func move(_ exchange: Exchange, now: Instant) throws(ErrorCode) {
    if !exchange.output.isEmpty {
      exchange.wasSent = true
      let outcome = try exchange.write()
      try loop.modify(exchange.descriptor, token: exchange.token, outcome == .waiting ? [.read, .write] : .read)
    }
    for _ in 0..<Self.readsPerTurn {
      // Many servers end TLS without a goodbye: what came before counts, if it is whole.
      var outcome = ReadOutcome.waiting
      var failure: ErrorCode?
      do throws(ErrorCode) { outcome = try exchange.read() } catch { failure = error }
      do {
        try exchange.response.take(Data(copying: exchange.input.bytes))
        exchange.input.consume(exchange.input.count)
        if outcome == .closed, !exchange.response.isComplete { try exchange.response.ended() }
      } catch {
        return end(exchange, .upstreamFailed, "what came is no response of HTTP, or too long", now: now)
      }
      if exchange.response.isComplete { return finish(exchange, now: now) }
      if let failure { throw failure }
      if outcome == .waiting { return }
    }
    // Others have their turn; TLS may hold what the descriptor does not show.
    exchange.wakeAt = now
  }

  private func finish(_ exchange: Exchange, now: Instant) {
    let status = exchange.response.status
    switch status {
    case 200: end(exchange, nil, "", body: exchange.response.body, now: now)
    case 401, 403: end(exchange, .upstreamFailed, "it refuses the key (HTTP \(status))", isFree: true, now: now)
    case 429: end(exchange, .busy, "it wants fewer requests (HTTP 429)", isFree: true, now: now)
    default: end(exchange, .upstreamFailed, "it answers HTTP \(status)", isFree: true, now: now)
    }
  }

  /// Tells what came of it, and gives the place to the next.
  private func end(
    _ exchange: Exchange, _ failure: ErrorCode?, _ why: String, body: Data? = nil, isFree: Bool = false, now: Instant
  ) {
    guard let request = exchange.request else { return }
    exchange.dialer.cancel()
    exchange.tls = nil
    exchange.socket = nil
    exchange.request = nil
    exchange.deadline = .never
    exchange.wakeAt = .never
    finished.append(
      UpstreamOutcome(
        number: request.number, body: body, failure: failure, why: why, wasSent: exchange.wasSent && !isFree))
    guard !queue.isEmpty else { return }
    let next = queue.removeFirst()
    begin(next.request, on: exchange, deadline: next.deadline, now: now)
  }
}
