import Bounded
import CSky
import Wire

/// Why a request did not succeed: a number for the exit status and the line to show.
struct Failure: Error {
  let number: UInt16
  /// `<token> <sentence>`, as the daemon put it.
  let text: [UInt8]

  init(number: UInt16, text: [UInt8]) {
    self.number = number
    self.text = text
  }

  init(_ code: ErrorCode) {
    number = code.number
    text = bytes(of: code.token) + [0x20] + bytes(of: code.sentence)
  }

  /// With a sentence that fits the case better than the usual one.
  init(_ code: ErrorCode, _ sentence: StaticString) {
    number = code.number
    text = bytes(of: code.token) + [0x20] + bytes(of: sentence)
  }
}

func bytes(of text: StaticString) -> [UInt8] {
  (0..<text.utf8CodeUnitCount).map { text.utf8Start[$0] }
}

func starts(_ bytes: [UInt8], with text: StaticString, at start: Int = 0) -> Bool {
  guard bytes.count - start >= text.utf8CodeUnitCount else { return false }
  for i in 0..<text.utf8CodeUnitCount where bytes[start + i] != text.utf8Start[i] { return false }
  return true
}

func equals(_ bytes: [UInt8], _ text: StaticString) -> Bool {
  bytes.count == text.utf8CodeUnitCount && starts(bytes, with: text)
}

/// A connection to the daemon's control socket, asked one request at a time.
final class Client {
  let fd: Int32
  /// A descriptor that came with a reply; -1: none.
  private(set) var handed: Int32 = -1
  private var pending: [UInt8] = []
  private var start = 0
  private let timeoutMs: UInt64
  /// Where events go that come while a reply is awaited.
  var onEvent: ((_ line: [UInt8]) -> Void)?

  /// Connects and reads the greeting.
  init(socket: UnsafePointer<CChar>, timeoutMs: UInt64) throws(Failure) {
    self.timeoutMs = timeoutMs
    // A timeout of 0 is for what a command waits for afterwards; the daemon's own answer takes a moment.
    let deadline = sky_clock_ms() + max(timeoutMs, 1_000)
    var fd = sky_unix_connect(socket)
    // The daemon's queue is full for a moment.
    while fd == SKY_AGAIN, sky_clock_ms() < deadline {
      sky_cli_sleep_ms(20)
      fd = sky_unix_connect(socket)
    }
    guard fd >= 0 else { throw Failure(.daemonUnavailable) }
    self.fd = fd
    let greeting = try line(deadline: deadline)
    if starts(greeting, with: "ERR ") { throw Self.failure(greeting) }
    guard starts(greeting, with: "SKYNOD 1 ") else { throw Failure(.versionUnsupported) }
  }

  deinit {
    sky_close(fd)
    sky_close(handed)
  }

  /// The next line without its line feed; nil when `deadline` (milliseconds, nil for none) passes.
  private func lineIfAny(deadline: UInt64?) throws(Failure) -> [UInt8]? {
    var scanned = start
    while true {
      while scanned < pending.count {
        if pending[scanned] == 0x0A {
          let line = Array(pending[start..<scanned])
          start = scanned + 1
          return line
        }
        scanned += 1
      }
      pending.removeSubrange(0..<start)
      scanned -= start
      start = 0
      // A line is part of a reply: this is not a daemon.
      guard pending.count <= Limits.controlReplyBytes else { throw Failure(.malformed) }
      guard try waitForMore(deadline: deadline) else { return nil }
    }
  }

  private func waitForMore(deadline: UInt64?) throws(Failure) -> Bool {
    var wait: Int32 = -1
    if let deadline {
      let now = sky_clock_ms()
      wait = now < deadline ? Int32(min(deadline - now, 86_400_000)) : 0
    }
    let ready = sky_cli_wait(fd, -1, wait)
    if sky_cli_interrupted() { return false }
    guard ready != 0 else { return false }
    var count = 0
    var chunk = InlineArray<4096, UInt8>(repeating: 0)
    var span = chunk.mutableSpan
    span.withUnsafeMutableBytes { count = Int(sky_unix_read_with(fd, $0.baseAddress, $0.count, &handed)) }
    if count == Int(SKY_AGAIN) { return true }
    guard count > 0 else { throw Failure(.daemonUnavailable) }
    for i in 0..<count { pending.append(chunk[i]) }
    return true
  }

  private func line(deadline: UInt64) throws(Failure) -> [UInt8] {
    guard let line = try lineIfAny(deadline: deadline) else { throw Failure(.timeout) }
    return line
  }

  /// The next event line, waiting as long as it takes, or until the deadline (`sky_clock_ms`).
  func event(deadline: UInt64? = nil) throws(Failure) -> [UInt8]? { try lineIfAny(deadline: deadline) }

  /// Takes the event lines that are there without waiting.
  func drainEvents() throws(Failure) {
    while let line = try lineIfAny(deadline: 0) { onEvent?(line) }
  }

  /// Sends one request line and gives the lines of its reply, the final `OK` left out.
  /// `onLine` may take a line before the reply has ended; it is left out of the result then.
  func ask(_ request: [UInt8], onLine: (([UInt8]) -> Bool)? = nil) throws(Failure) -> [[UInt8]] {
    let deadline = sky_clock_ms() + max(timeoutMs, 1_000)
    try send(request)
    var lines: [[UInt8]] = []
    while true {
      let line = try line(deadline: deadline)
      if starts(line, with: "EVENT ") || starts(line, with: "LOST ") {
        onEvent?(line)
      } else if equals(line, "OK") {
        return lines
      } else if starts(line, with: "ERR ") {
        throw Self.failure(line)
      } else if onLine?(line) != true {
        lines.append(line)
      }
    }
  }

  func ask(_ request: StaticString) throws(Failure) -> [[UInt8]] { try ask(bytes(of: request)) }

  /// Sends one request after `json on` and gives the one line of its reply.
  func askJson(_ request: [UInt8]) throws(Failure) -> [UInt8] {
    try send(request)
    return try line(deadline: sky_clock_ms() + max(timeoutMs, 1_000))
  }

  /// From here on replies are JSON: use `askJson`.
  func switchToJson() throws(Failure) {
    _ = try askJson(bytes(of: "json on"))
  }

  private func send(_ request: [UInt8]) throws(Failure) {
    guard request.count <= Limits.controlLineBytes else { throw Failure(.tooLong) }
    let line = request + [0x0A]
    let error = line.span.bytes.withUnsafeBytes { sky_cli_send(fd, $0.baseAddress, $0.count) }
    guard error == 0 else { throw Failure(.daemonUnavailable) }
  }

  /// Reads `ERR <number> <token> <sentence>`.
  private static func failure(_ line: [UInt8]) -> Failure {
    var i = 4
    var number: UInt16 = 0
    while i < line.count, line[i] >= 0x30, line[i] <= 0x39, number < 6_000 {
      number = number * 10 + UInt16(line[i] - 0x30)
      i += 1
    }
    let text = i + 1 < line.count ? Array(line[(i + 1)...]) : []
    // An exit status is 1 to 255.
    return number > 0 && number < 256 ? Failure(number: number, text: text) : Failure(.internalError)
  }
}
