import Bounded
import CSky
import Platform
import Wire

/// `ask`, `learn`, `forget`, and the import and export of what was taught.
struct KnowledgeRunner {
  private let arguments: Arguments
  private let out: Console

  init(_ arguments: Arguments, _ out: Console) {
    self.arguments = arguments
    self.out = out
  }

  func run(_ command: Subcommand) throws(Failure) {
    switch command {
    case .ask: try ask()
    case .learn:
      let answer = joined(arguments.words.dropFirst())
      try show(learn(arguments.words[0].array, answer, isPinned: arguments.isPinned, arguments.timeToLiveS))
    case .forget: try show(bytes(of: "forget ") + quoted(joined(arguments.words[...])))
    default:
      if arguments.words[0].is("export"), arguments.words.count == 1 { return try export() }
      guard arguments.words[0].is("import"), arguments.words.count == 2 else { throw Failure(.badArgument) }
      try load(arguments.words[1])
    }
  }

  private func client() throws(Failure) -> Client {
    try Client(socket: arguments.socket, timeoutMs: arguments.timeoutMs)
  }

  private func show(_ request: [UInt8]) throws(Failure) {
    let runner = Runner(arguments: arguments, out: out)
    let client = try runner.connect()
    if arguments.isJson { return try runner.printJson(client, request) }
    out.write(printable: value(fields(try client.ask(request)), "result"))
    out.write("\n")
  }

  private func joined(_ words: ArraySlice<Word>) -> [UInt8] {
    var text: [UInt8] = []
    for word in words { text += (text.isEmpty ? [] : [0x20]) + word.array }
    return text
  }

  private func quoted(_ text: [UInt8]) -> [UInt8] {
    var out = TextBuffer(capacity: 4 * text.count + 2)
    ControlText.writeQuoted(text.span.bytes, to: &out)
    return copy(out.bytes)
  }

  private func learn(
    _ question: [UInt8], _ answer: [UInt8], isPinned: Bool, _ ttlS: UInt64
  ) -> [UInt8] {
    bytes(of: isPinned ? "learn pin " : "learn plain ") + digits(ttlS) + [0x20] + quoted(question) + [0x20]
      + quoted(answer)
  }

  // MARK: Asking

  /// Shows the answer as it comes, then a line that tells where it is from.
  private func ask() throws(Failure) {
    let mode: StaticString = arguments.isFree ? "ask free " : arguments.explains ? "ask explain " : "ask grounded "
    let request = bytes(of: mode) + quoted(joined(arguments.words[...]))
    if arguments.isJson { return try show(request) }
    var isStreamed = false
    let lines = try client().ask(request) { line in
      guard starts(line, with: "piece=") else { return false }
      isStreamed = true
      out.write(printable: value(row(line), "piece"))
      out.flush()
      return true
    }
    let head = fields(lines)
    if !isStreamed { out.write(printable: value(head, "answer")) }
    out.write("\n")
    out.dim()
    for field in head where !field.is("answer") && !field.value.isEmpty {
      out.write(field.is("source") ? "\n  " : "  ")
      out.write(printable: field.key)
      out.write(" ")
      out.write(printable: field.value)
    }
    out.plain()
    out.write("\n")
  }

  // MARK: JSON lines

  private func export() throws(Failure) {
    let client = try client()
    var next: UInt64 = 0
    repeat {
      let lines = try client.ask(bytes(of: "knowledge after ") + digits(next))
      next = 0
      for line in lines {
        let entry = row(line)
        if let number = number(entry, "next") { next = number; continue }
        for (i, field) in entry.enumerated() {
          out.write(i == 0 ? "{\"" : ",\"")
          out.write(printable: field.key)
          out.write("\":")
          if field.is("question") || field.is("answer") { out.write(json: field.value) } else { out.write(field.value) }
        }
        out.write("}\n")
      }
    } while next > 0
  }

  private func load(_ word: Word) throws(Failure) {
    let file = word.is("-") ? 0 : sky_file_open(word.start)
    guard file >= 0 else { throw Failure(.ioFailed) }
    defer { if file > 0 { sky_close(file) } }
    let client = try client()
    var count: UInt64 = 0
    var line: [UInt8] = []
    var chunk = InlineArray<4096, UInt8>(repeating: 0)
    while true {
      var got = 0
      var span = chunk.mutableSpan
      span.withUnsafeMutableBytes { got = Int(sky_read(file, $0.baseAddress, $0.count)) }
      guard got >= 0 else { throw Failure(.ioFailed) }
      for i in 0..<got {
        if chunk[i] != 0x0A { line.append(chunk[i]); continue }
        if try take(line, client) { count += 1 }
        line.removeAll()
      }
      guard line.count <= 65_536 else { throw Failure(.tooLong) }
      if got == 0 { break }
    }
    if try take(line, client) { count += 1 }
    out.write(count)
    out.write(" entries imported\n")
  }

  private func take(_ line: [UInt8], _ client: Client) throws(Failure) -> Bool {
    guard line.contains(where: { $0 > 0x20 }) else { return false }
    var object = JsonLine(line)
    guard object.read() else { throw Failure(.badArgument) }
    _ = try client.ask(learn(object.question, object.answer, isPinned: object.isPinned, object.ttlS))
    return true
  }
}

/// One flat JSON object: strings, numbers and words as values; what it does not know it reads over.
struct JsonLine {
  private let text: [UInt8]
  private var at = 0
  private(set) var question: [UInt8] = []
  private(set) var answer: [UInt8] = []
  private(set) var isPinned = false
  private(set) var ttlS: UInt64 = 0

  init(_ text: [UInt8]) { self.text = text }

  /// False when it is none, or has no question and answer.
  mutating func read() -> Bool {
    guard take(0x7B) else { return false }
    repeat {
      guard let key = string(), take(0x3A), let value = value() else { return false }
      if equals(key, "question") { question = value }
      if equals(key, "answer") { answer = value }
      if equals(key, "pinned") { isPinned = equals(value, "true") }
      if equals(key, "ttl") { ttlS = parseDecimal(value.span.bytes) ?? 0 }
    } while take(0x2C)
    return take(0x7D) && !question.isEmpty && !answer.isEmpty
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    while at < text.count, text[at] <= 0x20 { at += 1 }
    guard at < text.count, text[at] == byte else { return false }
    at += 1
    return true
  }

  private mutating func value() -> [UInt8]? {
    if let string = string() { return string }
    let start = at
    while at < text.count, text[at] != 0x2C, text[at] != 0x7D, text[at] > 0x20 { at += 1 }
    return at > start ? Array(text[start..<at]) : nil
  }

  private mutating func string() -> [UInt8]? {
    guard take(0x22) else { return nil }
    var out: [UInt8] = []
    while at < text.count {
      let byte = text[at]
      at += 1
      if byte == 0x22 { return out }
      guard byte == 0x5C else { out.append(byte); continue }
      guard at < text.count else { return nil }
      at += 1
      switch text[at - 1] {
      case UInt8(ascii: "n"): out.append(0x0A)
      case UInt8(ascii: "r"): out.append(0x0D)
      case UInt8(ascii: "t"): out.append(0x09)
      case UInt8(ascii: "b"), UInt8(ascii: "f"): out.append(0x20)
      case UInt8(ascii: "u"):
        guard var point = hex() else { return nil }
        if point >= 0xD800, point < 0xDC00, at + 1 < text.count, text[at] == 0x5C, text[at + 1] == UInt8(ascii: "u") {
          at += 2
          guard let low = hex(), low >= 0xDC00, low < 0xE000 else { return nil }
          point = 0x1_0000 + (point - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = Unicode.Scalar(point) else { return nil }
        for unit in UTF8.encode(scalar)! { out.append(unit) }
      default: out.append(text[at - 1])
      }
    }
    return nil
  }

  private mutating func hex() -> UInt32? {
    guard at + 4 <= text.count else { return nil }
    var value: UInt32 = 0
    for _ in 0..<4 {
      let byte = text[at] | 0x20
      at += 1
      switch byte {
      case 0x30...0x39: value = value << 4 | UInt32(byte - 0x30)
      case 0x61...0x66: value = value << 4 | UInt32(byte - 0x61 + 10)
      default: return nil
      }
    }
    return value
  }
}
