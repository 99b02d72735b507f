import Bounded
import CSky
import Platform
import Wire

/// `inbox --follow` and `inbox --save`: shows messages as they come, puts files together.
///
/// Lists the inbox, handles what is new in it, and only then acknowledges, as far as everything before is handled:
/// numbers are acknowledged from the front. With `--follow` a daemon that goes away is waited for.
final class InboxReader {
  /// An event may be missed while the daemon is being restarted.
  private static let lookAgainMs: UInt64 = 5_000
  /// The daemon reads its ring beside its loop: what waits there shows a moment later.
  private static let refillMs: UInt64 = 2_000

  private let arguments: Arguments
  private let out: Console
  private let complaints = Console(fd: 2)
  private var files: ReceivedFiles?
  private var client: Client?
  private var hasNews = false
  /// Up to here everything was handled by this run. Numbers never begin again, not even in a new daemon.
  private var lastSeen: UInt64 = 0
  private var acknowledged: UInt64 = 0
  /// Durable texts that were shown: after a restart of the daemon they come again under new numbers.
  private var shown: [[UInt8]] = []
  private var damage = 0

  init(_ arguments: Arguments, _ out: Console) {
    self.arguments = arguments
    self.out = out
  }

  func run() throws(Failure) {
    sky_cli_note_interrupts()
    if let directory = arguments.saveDirectory {
      // A cycle until the process ends, as with the client below.
      files = try ReceivedFiles(directory) { self.tell($0) }
      try files?.finishWhole()
    }
    var isAway = false
    while !sky_cli_interrupted() {
      do throws(Failure) {
        if try turn(try connection()) { break }
        isAway = false
      } catch {
        client = nil
        if sky_cli_interrupted() { break }
        guard arguments.follows, Self.passes(error) else { throw error }
        if !isAway { complain(error) }
        isAway = true
        sky_cli_sleep_ms(500)
      }
    }
    files?.tellIncomplete()
    out.flush()
    if damage > 0, !arguments.follows { throw Failure(.damaged) }
  }

  /// Errors of a daemon that is being restarted.
  static func passes(_ failure: Failure) -> Bool {
    switch failure.number {
    case ErrorCode.daemonUnavailable.number, ErrorCode.timeout.number, ErrorCode.draining.number,
      ErrorCode.busy.number:
      true
    default: false
    }
  }

  private func connection() throws(Failure) -> Client {
    if let client { return client }
    let fresh = try Client(socket: arguments.socket, timeoutMs: arguments.timeoutMs)
    fresh.onEvent = { _ in self.hasNews = true }
    if arguments.follows { _ = try fresh.ask("watch message") }
    client = fresh
    return fresh
  }

  /// Handles what is there. True when there is no more and none is waited for.
  private func turn(_ client: Client) throws(Failure) -> Bool {
    hasNews = false
    var after = acknowledged
    var upTo: UInt64 = 0
    var left: UInt64 = 0
    while true {
      let lines = try client.ask(bytes(of: "inbox after ") + digits(after))
      if lines.isEmpty { break }
      for line in lines {
        let message = row(line)
        guard let number = number(message, "seq") else { throw Failure(.malformed) }
        let isDone = try handle(message, number) && left == 0
        if isDone { upTo = number } else { left += 1 }
        after = number
      }
    }
    out.flush()
    try files?.settle()
    if upTo > acknowledged {
      _ = try client.ask(bytes(of: "inbox ack ") + digits(upTo))
      acknowledged = upTo
    }
    try files?.finishWhole()
    out.flush()
    if upTo > 0 { return false }
    if arguments.follows {
      if !hasNews, try client.event(deadline: sky_clock_ms() + Self.lookAgainMs) != nil { try client.drainEvents() }
      return false
    }
    return try isAll(client, left: left)
  }

  /// True when nothing but what was left in the inbox waits for the owner.
  private func isAll(_ client: Client, left: UInt64) throws(Failure) -> Bool {
    let deadline = sky_clock_ms() + Self.refillMs
    while !sky_cli_interrupted() {
      let status = fields(try client.ask("status"))
      let waiting = number(status, "durable_here") ?? 0
      if waiting <= left { break }
      if (number(status, "inbox_used") ?? 0) > left { return false }
      if sky_clock_ms() > deadline { break }
      sky_cli_sleep_ms(20)
    }
    if left > 0, files != nil, !arguments.acknowledges { complainOfTexts() }
    return true
  }

  /// True when the message may be acknowledged.
  private func handle(_ message: [Field], _ number: UInt64) throws(Failure) -> Bool {
    let isNew = number > lastSeen
    lastSeen = max(lastSeen, number)
    if let files, let bytes = Self.binary(value(message, "hex")), let part = FilePart(bytes.span.bytes) {
      // What this run has handled and could not acknowledge is not to be taken for a repetition.
      if isNew {
        guard let source = parseNodeId(value(message, "from").span.bytes) else { throw Failure(.malformed) }
        try files.take(part, from: source)
      }
      return true
    }
    if isNew, !wasShown(message) { show(message) }
    return arguments.acknowledges && value(message, "transfer").isEmpty
  }

  private func wasShown(_ message: [Field]) -> Bool {
    let stream = value(message, "stream")
    if stream.isEmpty { return false }
    let name = stream + [0x20] + value(message, "sequence")
    if shown.contains(where: { $0 == name }) { return true }
    if shown.count == 64 { shown.removeFirst() }
    shown.append(name)
    return false
  }

  private static func binary(_ hex: [UInt8]) -> [UInt8]? {
    guard !hex.isEmpty, hex.count % 2 == 0 else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(hex.count / 2)
    for i in stride(from: 0, to: hex.count, by: 2) {
      guard let byte = hexByte(hex[i], hex[i + 1]) else { return nil }
      bytes.append(byte)
    }
    return bytes
  }

  // MARK: Telling

  private func show(_ message: [Field]) {
    guard arguments.isJson else { return out.message(message) }
    out.write("{\"ok\":true,\"kind\":\"message\"")
    for field in message { out.member(field) }
    out.write("}\n")
  }

  private func tell(_ news: FileNews) {
    if news.kind == .damaged { damage += 1 }
    if arguments.isJson { return tellJson(news) }
    switch news.kind {
    case .saved: out.write("saved ")
    case .again: out.write("came again, is there: ")
    case .damaged: out.write("damaged, thrown away: ")
    case .incomplete: out.write("incomplete ")
    }
    out.write(printable: news.name)
    out.write(" from ")
    out.node(news.source)
    if news.kind == .incomplete {
      out.write(", ")
      out.write(UInt64(news.partsHere))
      out.write(" of ")
      out.write(UInt64(news.head.parts))
      out.write(" parts are here")
    } else {
      out.write(", ")
      out.write(news.head.totalBytes)
      out.write(" bytes")
    }
    out.write("\n")
  }

  private func tellJson(_ news: FileNews) {
    out.write(news.kind == .damaged ? "{\"ok\":false,\"kind\":\"" : "{\"ok\":true,\"kind\":\"")
    switch news.kind {
    case .saved: out.write("file")
    case .again: out.write("again")
    case .damaged: out.write("damaged")
    case .incomplete: out.write("incomplete")
    }
    out.write("\",\"from\":\"")
    out.node(news.source)
    out.write("\",\"name\":")
    out.write(json: news.name)
    out.write(",\"sent_as\":")
    out.write(json: copy(news.head.name.bytes))
    out.write(",\"bytes\":")
    out.write(news.head.totalBytes)
    out.write(",\"parts\":")
    out.write(UInt64(news.head.parts))
    out.write(",\"parts_here\":")
    out.write(UInt64(news.partsHere))
    out.write(",\"transfer\":\"")
    out.write(hex: copy(news.head.id.span.bytes))
    out.write("\",\"sha256\":\"")
    out.write(hex: copy(news.head.hash.span.bytes))
    out.write("\"}\n")
  }

  private func complain(_ failure: Failure) {
    complaints.write("skynodctl: ")
    complaints.write(printable: failure.text)
    complaints.write("; waiting for it\n")
    complaints.flush()
  }

  private func complainOfTexts() {
    complaints.write("skynodctl: messages wait in front; with --ack they are acknowledged, and more can come\n")
    complaints.flush()
  }
}

extension Console {
  /// One message of the inbox, for people. The bytes of a part say nothing to them.
  func message(_ message: [Field]) {
    bold()
    for (i, field) in message.enumerated() where !field.is("text") && !field.is("hex") {
      if i > 0 { write("  ") }
      write(printable: field.key)
      write(" ")
      show(field.value, .plain)
    }
    plain()
    write("\n")
    guard value(message, "transfer").isEmpty else { return }
    write("    ")
    let text = value(message, "text")
    write(printable: text.isEmpty ? value(message, "hex") : text, indent: 4)
    write("\n")
  }

  /// `,"key":value` with the daemon's own types.
  func member(_ field: Field) {
    write(",")
    write(json: field.key)
    write(":")
    let isNumber = field.is("seq") || field.is("sequence") || field.is("part") || field.is("parts")
    if isNumber || field.is("sealed") || field.is("urgent") {
      write(field.value)
    } else if field.value.isEmpty, field.is("time") {
      write("null")
    } else {
      write(json: field.value)
    }
  }

  func node(_ id: UInt32) {
    var text = TextBuffer(capacity: 16)
    appendNodeId(id, to: &text)
    write(text.bytes)
  }

  func write(hex value: [UInt8]) {
    var text = TextBuffer(capacity: 2 * value.count)
    text.append(hex: value.span.bytes)
    write(text.bytes)
  }
}
