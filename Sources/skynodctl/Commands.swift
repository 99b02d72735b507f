import Bounded
import CSky
import Platform
import Wire

/// Carries out one sub-command. Throws what the exit status says.
struct Runner {
  let arguments: Arguments
  let out: Console

  func connect() throws(Failure) -> Client {
    let client = try Client(socket: arguments.socket, timeoutMs: arguments.timeoutMs)
    if arguments.isJson { try client.switchToJson() }
    return client
  }

  func run(_ command: Subcommand) throws(Failure) {
    switch command {
    case .help: help()
    case .version: try version()
    case .top: try TopView(arguments: arguments, out: out).run()
    case .watch: try watch()
    case .join: try join()
    case .send: try send()
    case .inbox where arguments.keepsInboxOpen: try InboxReader(arguments, out).run()
    case .inbox where arguments.words.isEmpty: try inbox()
    case .ask, .learn, .forget: try KnowledgeRunner(arguments, out).run(command)
    case .knowledge where !arguments.words.isEmpty && !arguments.words[0].is("status"):
      try KnowledgeRunner(arguments, out).run(command)
    case .encode: try TextCoder(arguments, out).encode()
    // JSON has no place for a stream of bytes.
    case .decode where !arguments.isJson || arguments.file != nil || arguments.readsStandardInput:
      try TextCoder(arguments, out).decode()
    default:
      let request = try request(for: command)
      let client = try connect()
      if arguments.isJson { try printJson(client, request) } else { try print(command, client.ask(request)) }
    }
  }

  // MARK: Requests

  /// The request line: the sub-command's name and words, which are the protocol's own.
  private func request(for command: Subcommand) throws(Failure) -> [UInt8] {
    var line = bytes(of: command.name)
    for word in arguments.words { line += [0x20] + word.array }
    switch command {
    case .dict, .update, .knowledge: if arguments.words.isEmpty { line += bytes(of: " status") }
    default: break
    }
    try checkLine(line)
    return line
  }

  /// A word with a line feed in it would be a second request.
  private func checkLine(_ line: [UInt8]) throws(Failure) {
    for byte in line where byte < 0x20 { throw Failure(.badArgument) }
  }

  private func requestToSend(_ text: [UInt8]) throws(Failure) -> [UInt8] {
    try checkLine(arguments.words[0].array)
    for byte in arguments.words[0].array where byte == 0x20 { throw Failure(.badArgument) }
    guard text.count <= Limits.messageBytes else { throw Failure(.tooLong) }
    // In quotes, so that every byte arrives.
    var quoted = TextBuffer(capacity: 4 * Limits.messageBytes + 2)
    ControlText.writeQuoted(text.span.bytes, to: &quoted)
    let destination = arguments.words[0].array + [0x20]
    guard arguments.isDurable else { return bytes(of: "send ") + destination + copy(quoted.bytes) }
    let urgent: StaticString = arguments.isUrgent ? ",urgent " : " "
    return bytes(of: "post ") + destination + digits(arguments.timeToLiveS) + bytes(of: urgent) + copy(quoted.bytes)
  }

  /// Standard input to its end, or so much of it that it is longer than a message.
  private func standardInput() throws(Failure) -> [UInt8] {
    var text: [UInt8] = []
    var chunk = InlineArray<1024, UInt8>(repeating: 0)
    while text.count <= Limits.messageBytes + 1 {
      var count = 0
      var span = chunk.mutableSpan
      span.withUnsafeMutableBytes { count = Int(sky_read(0, $0.baseAddress, $0.count)) }
      guard count >= 0 else { throw Failure(.ioFailed) }
      if count == 0 { break }
      for i in 0..<count { text.append(chunk[i]) }
    }
    return text
  }

  // MARK: Output

  func printJson(_ client: Client, _ request: [UInt8]) throws(Failure) {
    try show(json: client.askJson(request))
  }

  /// Prints a JSON reply; one that reports an error becomes the exit status.
  private func show(json line: [UInt8]) throws(Failure) {
    out.write(line)
    out.write("\n")
    let head: StaticString = "{\"ok\":false,\"error\":{\"number\":"
    guard starts(line, with: head) else { return }
    var number: UInt16 = 0
    for byte in line[head.utf8CodeUnitCount...] {
      guard byte >= 0x30, byte <= 0x39, number < 6_000 else { break }
      number = number * 10 + UInt16(byte - 0x30)
    }
    throw Failure(number: number > 0 && number < 256 ? number : ErrorCode.internalError.number, text: [])
  }

  private func print(_ command: Subcommand, _ lines: [[UInt8]]) {
    switch command {
    case .status: out.status(fields(lines))
    case .peers: out.table(lines.map { row($0) })
    case .keys where arguments.words.isEmpty: out.table(lines.map { row($0) })
    case .metrics:
      for line in lines {
        out.write(line)
        out.write("\n")
      }
    case .reload: out.write("reloaded\n")
    case .drain: out.write("draining\n")
    case .send: out.write(arguments.isDurable ? "stored\n" : "queued\n")
    default:
      let all = fields(lines)
      var width = 0
      for field in all { width = max(width, field.key.count) }
      for field in all {
        out.write(printable: field.key)
        out.spaces(width + 2 - field.key.count)
        out.show(field.value, .plain)
        out.write("\n")
      }
    }
  }

  // MARK: Commands with more to them

  private func send() throws(Failure) {
    if let file = arguments.file {
      return try FileSender(arguments, out, descriptor: FileSource.open(file)).run()
    }
    var text: [UInt8] = []
    if arguments.readsStandardInput {
      let input = try standardInput()
      text = input.last == 0x0A ? Array(input.dropLast()) : input
      if text.count > Limits.messageBytes || arguments.name != nil || arguments.firstPart > 1 {
        guard !arguments.isUrgent else {
          throw Failure(.tooLong, "an urgent message is at most 3072 bytes long; files are not urgent")
        }
        return try FileSender(arguments, out, descriptor: FileSource.spool(input)).run()
      }
    } else {
      for (i, word) in arguments.words.dropFirst().enumerated() { text += (i > 0 ? [0x20] : []) + word.array }
    }
    let request = try requestToSend(text)
    if arguments.waitsForReceipt { return try sendAndWait(request) }
    let client = try connect()
    if arguments.isJson { try printJson(client, request) } else { try print(.send, client.ask(request)) }
  }

  private func help() {
    guard let word = arguments.words.first, let about = Subcommand(word) else { return out.help() }
    out.help(about)
  }

  private func version() throws(Failure) {
    if !arguments.isJson {
      out.write("skynodctl ")
      out.write(Version.text)
      out.write("\n")
      out.flush()
    }
    let client = try connect()
    if arguments.isJson { return try printJson(client, bytes(of: "version")) }
    let reply = fields(try client.ask("version"))
    out.write("skynod ")
    out.write(printable: value(reply, "version"))
    out.write("\n")
  }

  private func watch() throws(Failure) {
    var request = bytes(of: "watch")
    for word in arguments.words { request += [0x20] + word.array }
    try checkLine(request)
    let client = try connect()
    client.onEvent = { line in
      out.write(line)
      out.write("\n")
      out.flush()
    }
    if arguments.isJson { try printJson(client, request) } else { _ = try client.ask(request) }
    out.flush()
    while let line = try client.event() { client.onEvent?(line) }
  }

  /// Sends, then waits for what its receiver says.
  private func sendAndWait(_ request: [UInt8]) throws(Failure) {
    let client = try Client(socket: arguments.socket, timeoutMs: arguments.timeoutMs)
    let news = Deliveries()
    client.onEvent = { news.lines.append($0) }
    _ = try client.ask("watch delivery")
    let deadline = sky_clock_ms() + arguments.timeoutMs
    var sequence = value(fields(try client.ask(request)), "sequence")
    var result = try news.result(of: sequence, client, deadline: deadline)
    // Its receiver asks for the key meanwhile.
    for _ in 0..<3 where equals(result, ErrorCode.keyAwaited.token) {
      sky_cli_sleep_ms(300)
      sequence = value(fields(try client.ask(request)), "sequence")
      result = try news.result(of: sequence, client, deadline: deadline)
    }
    if arguments.isJson {
      out.write("{\"ok\":true,\"sequence\":")
      out.write(sequence)
      out.write(",\"result\":\"")
      out.write(result)
      out.write("\"}\n")
    } else {
      out.write(equals(result, "ok") ? "delivered\n" : "not delivered\n")
    }
    if let code = ErrorCode.allCases.first(where: { equals(result, $0.token) }) { throw Failure(code) }
  }

  /// Lists page after page: a reply holds as many messages as fit it.
  private func inbox() throws(Failure) {
    let client = try connect()
    var last: UInt64 = 0
    // The last one before the first part of a file: what --ack may acknowledge.
    var free: UInt64 = 0
    var hasParts = false
    while true {
      let request = bytes(of: "inbox after ") + digits(last)
      let next: UInt64?
      if arguments.isJson {
        let line = try client.askJson(request)
        next = sequences(json: line, &free, &hasParts)
        if next != nil || last == 0 { try show(json: line) }
      } else {
        next = showMessages(try client.ask(request), &free, &hasParts)
      }
      out.flush()
      guard let next, next > last else { break }
      last = next
    }
    if hasParts, !arguments.isJson {
      out.write("parts of files wait; take them with skynodctl inbox --save DIR\n")
    }
    guard arguments.acknowledges, free > 0 else { return }
    let acknowledge = bytes(of: "inbox ack ") + digits(free)
    if arguments.isJson { try printJson(client, acknowledge) } else { _ = try client.ask(acknowledge) }
  }

  private func showMessages(_ lines: [[UInt8]], _ free: inout UInt64, _ hasParts: inout Bool) -> UInt64? {
    var last: UInt64?
    for line in lines {
      let message = row(line)
      last = number(message, "seq") ?? last
      if !value(message, "transfer").isEmpty { hasParts = true }
      if !hasParts { free = last ?? free }
      out.message(message)
    }
    return last
  }

  /// The number of the last row of a JSON page. `{"seq":` and `,"transfer":"` cannot stand inside a JSON string.
  private func sequences(json line: [UInt8], _ free: inout UInt64, _ hasParts: inout Bool) -> UInt64? {
    let mark: StaticString = "{\"seq\":"
    let part: StaticString = ",\"transfer\":\""
    var found: UInt64?
    for i in 0..<line.count {
      if starts(line, with: part, at: i) { hasParts = true }
      guard starts(line, with: mark, at: i) else { continue }
      if !hasParts { free = found ?? free }
      var end = i + mark.utf8CodeUnitCount
      let start = end
      while end < line.count, line[end] >= 0x30, line[end] <= 0x39 { end += 1 }
      found = parseDecimal(line.span.bytes.extracting(start..<end)) ?? found
    }
    if !hasParts { free = found ?? free }
    return found
  }

  /// Hands over the ticket, then waits for what comes of it.
  private func join() throws(Failure) {
    let line = try request(for: .join)
    let client = try Client(socket: arguments.socket, timeoutMs: arguments.timeoutMs)
    _ = try client.ask(line)
    if arguments.timeoutMs > 0 { try waitUntilOnline(client) }
    if arguments.isJson {
      try client.switchToJson()
      return try printJson(client, bytes(of: arguments.timeoutMs > 0 ? "id" : "status"))
    }
    guard arguments.timeoutMs > 0 else { return out.write("the ticket was handed over\n") }
    out.write("joined as ")
    out.write(printable: value(fields(try client.ask("id")), "id"))
    out.write("\n")
  }

  private func waitUntilOnline(_ client: Client) throws(Failure) {
    let deadline = sky_clock_ms() + arguments.timeoutMs
    var status: [Field] = []
    while sky_clock_ms() < deadline {
      status = fields(try client.ask("status"))
      let state = value(status, "state")
      if equals(state, "online") { return }
      // Only a reason that is this attempt's own, and that waiting will not mend.
      if equals(state, "offline"), let code = refusal(value(status, "reason")) { throw Failure(code) }
      sky_cli_sleep_ms(100)
    }
    let hint = value(status, "hint")
    guard !hint.isEmpty else { throw Failure(.timeout) }
    throw Failure(number: ErrorCode.timeout.number, text: bytes(of: ErrorCode.timeout.token) + [0x20] + hint)
  }

  private func refusal(_ token: [UInt8]) -> ErrorCode? {
    for number in UInt16(30)..<100 {
      if let code = ErrorCode(rawValue: number), equals(token, code.token) { return code.needsPerson ? code : nil }
    }
    return nil
  }
}

/// The line without its first words.
func afterWords(_ count: Int, of line: [UInt8]) -> [UInt8] {
  var left = count
  for (i, byte) in line.enumerated() where byte == 0x20 {
    left -= 1
    if left == 0 { return Array(line[(i + 1)...]) }
  }
  return []
}

/// Delivery events, as they came in beside replies.
private final class Deliveries {
  var lines: [[UInt8]] = []

  /// `ok`, or the token of an error.
  func result(of sequence: [UInt8], _ client: Client, deadline: UInt64) throws(Failure) -> [UInt8] {
    while true {
      for line in lines {
        let event = row(afterWords(3, of: line))
        if value(event, "sequence") == sequence { return value(event, "result") }
      }
      lines.removeAll()
      guard let line = try client.event(deadline: deadline) else { throw Failure(.timeout) }
      lines.append(line)
    }
  }
}
