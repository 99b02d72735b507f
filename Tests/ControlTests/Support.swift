import Bounded
import CSky
import Platform
import Wire

/// Lends `text` as a span.
func withSpan<R>(_ text: String, _ body: (RawSpan) throws -> R) rethrows -> R {
  let bytes = Array(text.utf8)
  return try bytes.withUnsafeBytes { try body(RawSpan(_unsafeBytes: $0)) }
}

func withSpan<R>(_ bytes: [UInt8], _ body: (RawSpan) throws -> R) rethrows -> R {
  try bytes.withUnsafeBytes { try body(RawSpan(_unsafeBytes: $0)) }
}

func string(_ span: RawSpan) -> String {
  span.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
}

/// What a request was read as, or why not.
struct Parsed: Equatable {
  var verb: ControlVerb?
  var arguments: [String] = []
  var role: ControlRole?
  var error: ErrorCode?

  init(_ line: String) { self.init(Array(line.utf8)) }

  init(_ line: [UInt8]) {
    line.withUnsafeBytes { raw in
      do throws(ErrorCode) {
        let request = try ControlRequest(parsing: RawSpan(_unsafeBytes: raw))
        verb = request.verb
        role = request.role
        for i in 0..<request.argumentCount { arguments.append(string(request.argument(i))) }
      } catch {
        self.error = error
      }
    }
  }

  init(_ verb: ControlVerb, _ arguments: [String] = [], role: ControlRole) {
    self.verb = verb
    self.arguments = arguments
    self.role = role
  }
}

/// Answers like a node that is online: for the tests of the server and of skynodctl.
final class SampleNode: ControlHandler {
  var handled: [String] = []
  struct Message {
    var sequence: UInt64
    var from: String
    var text: String
    /// Of a file, instead of a text.
    var part: [UInt8]?

    init(_ sequence: UInt64, _ from: String, _ text: String, part: [UInt8]? = nil) {
      self.sequence = sequence
      self.from = from
      self.text = text
      self.part = part
    }
  }

  var messages: [Message] = []
  var relay = false
  var joined = true
  var refusesTickets = false
  var isRefused = false
  /// Handed out by the next `dict open`.
  var attachment: Int32 = -1

  /// What `post64` brought. So many of them are refused with `full` first, each once.
  var parts: [[UInt8]] = []
  var refusals = 0

  private func takePart(_ request: borrowing ControlRequest, _ reply: inout ControlReply) {
    var bytes = TextBuffer(capacity: Limits.controlLineBytes)
    guard Base64.decode(request.argument(2), into: &bytes) else { return reply.error(.badArgument) }
    if refusals > 0 {
      refusals -= 1
      return reply.error(.full)
    }
    parts.append((0..<bytes.count).map { bytes.bytes[$0] })
    reply.field("sequence", UInt64(parts.count))
  }

  /// Replies that are held wait for this.
  var mayFinish = false

  func finish(_ held: HeldReply, reply: inout ControlReply) -> Bool {
    guard mayFinish else { return false }
    reply.field("finished", held.value)
    return true
  }

  func handle(_ request: borrowing ControlRequest, role: ControlRole, reply: inout ControlReply) {
    var words = [request.verb.name.description]
    for i in 0..<request.argumentCount { words.append(string(request.argument(i))) }
    handled.append(words.joined(separator: "|"))
    switch request.verb {
    case .status: status(&reply)
    case .id:
      guard joined else { return reply.error(.notJoined) }
      reply.field("id", "NOD1000001")
      reply.field("fingerprint", "0011223344556677")
    case .join:
      isRefused = refusesTickets
      joined = !refusesTickets
      reply.field("state", "connecting")
    case .send: send(request, &reply)
    case .post: reply.hold(HeldReply(.post, request.number(1) ?? 0))
    case .post64: takePart(request, &reply)
    case .inbox: inbox(request, &reply)
    case .mode:
      if request.argumentCount == 2 { relay = request.argument(1, is: "on") }
      reply.field("relay", relay)
    case .peers:
      reply.beginRows()
      reply.beginRow()
      reply.field("peer", "HUB")
      reply.field("address", "hub.example:7300")
      reply.endRow()
      reply.endRows()
    case .metrics:
      reply.beginText()
      reply.plain("# TYPE skynod_heartbeats counter\nskynod_heartbeats_total ")
      reply.plain(7)
      reply.plain("\n# EOF\n")
      reply.endText()
    case .dict:
      reply.attachment = attachment
      attachment = -1
      reply.field("generation", 4)
    default: break
    }
  }

  private func status(_ reply: inout ControlReply) {
    reply.field("version", Version.text)
    reply.field("state", isRefused ? "offline" : "online")
    reply.field("reason", isRefused ? ErrorCode.tokenExpired.token : "")
    reply.field("hint", isRefused ? ErrorCode.tokenExpired.sentence : "")
    reply.field("sent", 41 as UInt64)
    reply.fieldScaled("temperature_c", 415, places: 1)
    reply.fieldUnknown("battery_percent")
  }

  private func send(_ request: borrowing ControlRequest, _ reply: inout ControlReply) {
    var text = TextBuffer(capacity: Limits.controlLineBytes)
    guard ControlText.read(request.argument(1), into: &text) else { return reply.error(.badArgument) }
    guard text.count <= Limits.messageBytes else { return reply.error(.tooLong) }
    guard request.argument(0, is: "HUB") else { return reply.error(.unreachable) }
    noteNumbers()
    messages.append(Message(lastNumber + 1, "HUB", string(text.bytes)))
    reply.field("sequence", lastNumber + 1)
  }

  /// As in a node, numbers never begin again.
  private var lastNumber: UInt64 = 0
  private func noteNumbers() { lastNumber = max(lastNumber, messages.last?.sequence ?? 0) }

  private func inbox(_ request: borrowing ControlRequest, _ reply: inout ControlReply) {
    if request.argument(0, is: "ack") {
      let upTo = request.number(1) ?? .max
      noteNumbers()
      messages.removeAll { $0.sequence <= upTo }
      return
    }
    let after = request.argument(0, is: "after") ? request.number(1) ?? 0 : 0
    reply.beginRows()
    for message in messages where message.sequence > after {
      reply.beginRow()
      reply.field("seq", message.sequence)
      withSpan(message.from) { reply.field("from", $0) }
      if let part = message.part {
        withSpan(Array(part[8..<24])) { reply.fieldHex("transfer", $0) }
        withSpan(part) { reply.fieldHex("hex", $0) }
      } else {
        withSpan(message.text) { reply.field("text", $0) }
      }
      if !reply.endRow() { break }
    }
    reply.endRows()
  }
}

/// One client's end of a socket pair whose other end is in a server, stepped by hand.
final class Line {
  let fd: Int32
  /// Kept as bytes: a character may come in two pieces.
  private var bytes: [UInt8] = []
  var received: String { String(decoding: bytes, as: UTF8.self) }
  private(set) var hasEnded = false

  init(fd: Int32) { self.fd = fd }
  deinit { if fd >= 0 { sky_close(fd) } }

  /// How many bytes the socket took.
  @discardableResult
  func send(_ bytes: [UInt8]) -> Int {
    bytes.withUnsafeBytes { Int(sky_write(fd, $0.baseAddress, $0.count)) }
  }

  @discardableResult
  func send(_ text: String) -> Int { send(Array(text.utf8)) }

  /// Everything that is there now.
  @discardableResult
  func receive() -> String {
    var new: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let got = buffer.withUnsafeMutableBytes { Int(sky_read(fd, $0.baseAddress, $0.count)) }
      if got == 0 { hasEnded = true }
      if got <= 0 { break }
      new += buffer[0..<got]
    }
    bytes += new
    return String(decoding: new, as: UTF8.self)
  }
}

/// A server with its sample node, driven one turn at a time: no loop, no clock.
final class Bench {
  let server: ControlServer
  let node = SampleNode()
  var now = Instant(ms: 1_000)

  init(operateGroup: UInt32? = nil, ownUid: UInt32 = sky_effective_user_id()) {
    server = ControlServer(operateGroup: operateGroup, ownUid: ownUid)
  }

  /// A new client; its line's `received` starts with what the server greeted it with.
  func connect() -> (line: Line, index: Int?) {
    var ends: [Int32] = [-1, -1]
    precondition(sky_unix_pair(&ends) == 0)
    let index = server.adopt(ends[1], now: now)
    return (Line(fd: ends[0]), index)
  }

  /// A client past its greeting.
  func client() -> (line: Line, index: Int) {
    let (line, index) = connect()
    precondition(line.receive() == "SKYNOD 1 \(Version.text)\n")
    return (line, index!)
  }

  /// One turn for a client, as level-triggered epoll would give it while it has something to say.
  func turn(_ index: Int, hungUp: Bool = false) {
    let interest = server.interest(index)
    server.handle(
      index, readable: interest.read, writable: interest.write, hungUp: hungUp, now: now, handler: node)
  }

  /// Sends a request and gives what comes back after one turn.
  func ask(_ client: (line: Line, index: Int), _ request: String) -> String {
    client.line.send(request + "\n")
    turn(client.index)
    return client.line.receive()
  }
}
