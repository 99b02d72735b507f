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
    let mode: StaticString = arguments.isFree ? "ask free" : arguments.explains ? "ask explain" : "ask grounded"
    let whereTo: StaticString = arguments.staysLocal ? ",local " : arguments.asksUpstream ? ",upstream " : " "
    let request = bytes(of: mode) + bytes(of: whereTo) + quoted(joined(arguments.words[...]))
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
        // Answers of the hub are not what this node was taught: an import would make them that.
        guard equals(value(entry, "level"), "0") else { continue }
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
    var taught = TaughtLine()
    var number: UInt64 = 0
    var count: UInt64 = 0
    var line: [UInt8] = []
    var chunk = InlineArray<4096, UInt8>(repeating: 0)
    var isAtEnd = false
    while !isAtEnd {
      var got = 0
      var span = chunk.mutableSpan
      span.withUnsafeMutableBytes { got = Int(sky_read(file, $0.baseAddress, $0.count)) }
      guard got >= 0 else { throw Failure(.ioFailed) }
      isAtEnd = got == 0
      if isAtEnd {
        chunk[0] = 0x0A
        got = 1
      }
      for i in 0..<got {
        if chunk[i] != 0x0A { line.append(chunk[i]); continue }
        number += 1
        if line.contains(where: { $0 > 0x20 }) {
          do throws(Failure) {
            try take(line, &taught, client)
          } catch {
            throw error.inLine(number)
          }
          count += 1
        }
        line.removeAll()
      }
      guard line.count <= Limits.taughtLineBytes else { throw Failure(.tooLong).inLine(number + 1) }
    }
    out.write(count)
    out.write(" entries imported\n")
  }

  private func take(_ line: [UInt8], _ taught: inout TaughtLine, _ client: Client) throws(Failure) {
    do throws(ErrorCode) {
      try taught.read(line.span.bytes)
    } catch {
      throw Failure(
        error, error == .tooLong ? error.sentence : "no JSON object with question and answer as import takes it")
    }
    _ = try client.ask(
      learn(copy(taught.question.bytes), copy(taught.answer.bytes), isPinned: taught.isPinned, taught.timeToLiveS))
  }
}

extension Failure {
  fileprivate func inLine(_ line: UInt64) -> Failure {
    var named = Array(text.prefix { $0 != 0x20 })
    let sentence = text[named.count...]
    named += bytes(of: " line ")
    named += digits(line)
    named += bytes(of: ":")
    named += sentence
    return Failure(number: number, text: named)
  }
}
