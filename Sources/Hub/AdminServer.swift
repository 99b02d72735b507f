import Bounded
import Foundation
import Platform
import Wire

/// The running hub's side of `admin.sock`: a few clients, one request each, bounded and timed.
///
/// Not a loop: `HubServer` calls it with the events of its descriptors.
final class AdminServer {
  static let clientsMaximum = 16
  static let clientMs: UInt64 = 10_000

  enum Answer {
    case reply(AdminReply)
    /// `finish` brings the answer to this sequence, within this time.
    case later(sequence: UInt64, withinMs: UInt64)
  }

  private final class Client {
    let socket: StreamSocket
    let token: UInt64
    var deadline: Instant
    var input = ByteQueue(capacity: AdminRequest.maximumBytes)
    var output = Data()
    var written = 0
    var awaits: UInt64?

    init(socket: StreamSocket, token: UInt64, deadline: Instant) {
      self.socket = socket
      self.token = token
      self.deadline = deadline
    }
  }

  private let listener: UnixListener
  private let loop: EventLoop
  private let firstToken: UInt64
  private var nextToken: UInt64
  private var clients: [UInt64: Client] = [:]

  var descriptor: Int32 { listener.descriptor }
  var nextDeadline: Instant { clients.values.map(\.deadline).min() ?? .never }

  /// Makes the socket, 0600.
  init(_ directory: DataDirectory, loop: EventLoop, firstToken: UInt64) throws(HubError) {
    self.loop = loop
    self.firstToken = firstToken
    nextToken = firstToken
    // Checks the length; the shim would only say that it failed.
    _ = try AdminClient.address(directory.adminSocketPath)
    do throws(ErrorCode) {
      listener = try UnixListener(path: InlineText<255>(directory.adminSocketPath)!, mode: 0o600)
    } catch {
      throw HubError(.badConfiguration, "\(directory.adminSocketPath) cannot be made: \(DataDirectory.reason())")
    }
    try directory.adopt(directory.adminSocketPath)
  }

  func accept(now: Instant) {
    while let socket = try? listener.accept() {
      // One too many: closed at once, and the command says so.
      guard clients.count < Self.clientsMaximum else { continue }
      let token = drawToken()
      let client = Client(socket: socket, token: token, deadline: now + Self.clientMs)
      guard (try? loop.add(socket.descriptor, token: token, .read)) != nil else { continue }
      clients[token] = client
    }
  }

  /// Tokens up to a million, then from the start again: no client lives that long.
  private func drawToken() -> UInt64 {
    defer { nextToken = nextToken == 1 << 20 - 1 ? firstToken : nextToken + 1 }
    return nextToken
  }

  func handle(_ event: Event, now: Instant, answer: (AdminRequest) -> Answer) {
    guard let client = clients[event.token] else { return }
    if client.output.isEmpty {
      read(client, now: now, answer: answer)
    } else {
      write(client)
    }
  }

  func finish(_ sequence: UInt64, _ answer: AdminReply) {
    for client in clients.values where client.awaits == sequence { reply(answer, to: client) }
  }

  func tick(now: Instant) {
    for client in clients.values where client.deadline <= now { close(client) }
  }

  private func close(_ client: Client) { clients[client.token] = nil }

  private func read(_ client: Client, now: Instant, answer: (AdminRequest) -> Answer) {
    do throws(ErrorCode) {
      let outcome = try client.socket.read(into: &client.input)
      let bytes = Data(copying: client.input.bytes)
      // After its request a client only waits; the end of its stream means it gave up.
      guard client.awaits == nil, let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else {
        if outcome != .waiting { close(client) }
        return
      }
      guard let request = try? JSONDecoder().decode(AdminRequest.self, from: bytes[..<end]) else {
        return reply(AdminReply(error: .badArgument), to: client)
      }
      switch answer(request) {
      case .reply(let answer): reply(answer, to: client)
      case .later(let sequence, let withinMs):
        client.awaits = sequence
        client.deadline = now + withinMs + Self.clientMs
      }
    } catch {
      close(client)
    }
  }

  private func reply(_ reply: AdminReply, to client: Client) {
    guard var line = try? JSONEncoder().encode(reply) else { return close(client) }
    line.append(UInt8(ascii: "\n"))
    client.output = line
    client.awaits = nil
    write(client)
  }

  private func write(_ client: Client) {
    while client.written < client.output.count {
      let rest = client.output[client.written...]
      let count = rest.withUnsafeBytes { bytes in (try? client.socket.write(bytes.bytes)) ?? -1 }
      if count < 0 { return close(client) }
      if count == 0 {
        try? loop.modify(client.socket.descriptor, token: client.token, .write)
        return
      }
      client.written += count
    }
    close(client)
  }
}
