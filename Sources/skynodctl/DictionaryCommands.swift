import Bounded
import CSky
import Lexicon
import LexiconText
import Platform
import Wire

/// `encode` and `decode`: done here, over the dictionary whose descriptor the daemon hands out. Texts of any
/// size, in fixed memory, and none of the daemon's time.
final class TextCoder {
  /// What is read at once; also the longest text whose tokens are listed.
  static let pieceBytes = 16_384
  /// Unknown words that the daemon is asked about, of one text.
  private static let questionsMaximum = 64

  private let arguments: Arguments
  private let out: Console
  private let client: Client
  private var map = MappedFile()
  private var generation: UInt32 = 0
  private var source: UInt32 = 0
  private let input = UnsafeMutableRawBufferPointer.allocate(byteCount: pieceBytes, alignment: 16)
  private let output = UnsafeMutableRawBufferPointer.allocate(byteCount: Encoder.bound(pieceBytes), alignment: 16)

  init(_ arguments: Arguments, _ out: Console) throws(Failure) {
    self.arguments = arguments
    self.out = out
    client = try Client(socket: arguments.socket, timeoutMs: arguments.timeoutMs)
    let reply = fields(try client.ask("dict open"))
    generation = UInt32(clamping: number(reply, "generation") ?? 0)
    source = parseNodeId(value(reply, "id").span.bytes) ?? 0
    guard client.handed >= 0, map.open(descriptor: client.handed) else { throw Failure(.noDictionary) }
  }

  deinit {
    input.deallocate()
    output.deallocate()
  }

  private func withView(_ body: (borrowing LexiconView) throws(Failure) -> Void) throws(Failure) {
    try Self.lend(map, body)
  }

  private static func lend(
    _ map: borrowing MappedFile, _ body: (borrowing LexiconView) throws(Failure) -> Void
  ) throws(Failure) {
    let view: LexiconView
    do throws(LexiconError) { view = try LexiconView(map.bytes) } catch { throw Failure(.noDictionary) }
    try body(view)
  }

  // MARK: Streams

  /// Standard input or `--file`; -1 for the words of the command line.
  private func openInput() throws(Failure) -> Int32 {
    if arguments.readsStandardInput { return 0 }
    guard let path = arguments.file else { return -1 }
    let descriptor = sky_file_open(path.start)
    guard descriptor >= 0 else { throw Failure(.ioFailed) }
    return descriptor
  }

  /// Reads until `room` is full or the input ends.
  private static func fill(_ descriptor: Int32, _ room: UnsafeMutableRawBufferPointer) throws(Failure) -> Int {
    var count = 0
    while count < room.count {
      let got = sky_read(descriptor, room.baseAddress! + count, room.count - count)
      guard got >= 0 else { throw Failure(.ioFailed) }
      if got == 0 { break }
      count += got
    }
    return count
  }

  /// The whole input: its words joined by blanks, or as much as one piece holds. `tooLong` when there is more.
  private func readAll() throws(Failure) -> Int {
    let descriptor = try openInput()
    if descriptor >= 0 {
      let count = try Self.fill(descriptor, input)
      guard count < input.count else { throw Failure(.tooLong) }
      return count
    }
    var count = 0
    for (i, word) in arguments.words.enumerated() {
      guard count + word.count < input.count else { throw Failure(.tooLong) }
      if i > 0 {
        input[count] = 0x20
        count += 1
      }
      for k in 0..<word.count { input[count + k] = UInt8(bitPattern: word.start[k]) }
      count += word.count
    }
    return count
  }

  /// From a descriptor to standard output, piece by piece; what a piece leaves over moves to the front.
  private func pump(
    _ descriptor: Int32, _ step: (RawSpan, Bool) throws(Failure) -> Progress
  ) throws(Failure) {
    var held = 0
    while true {
      let rest = UnsafeMutableRawBufferPointer(rebasing: input[held...])
      let count = try Self.fill(descriptor, rest)
      let isLast = count < rest.count
      held += count
      var from = 0
      while from < held {
        let bytes = UnsafeRawBufferPointer(rebasing: input[from..<held])
        let done = try step(RawSpan(_unsafeBytes: bytes), isLast)
        if done.consumed == 0, done.written == 0 { break }
        guard sky_cli_write(1, output.baseAddress, done.written) == 0 else { throw Failure(.ioFailed) }
        from += done.consumed
      }
      input.baseAddress!.copyMemory(from: input.baseAddress! + from, byteCount: held - from)
      held -= from
      guard isLast else { continue }
      guard held == 0 else { throw Failure(.badEncoding) }
      return
    }
  }

  // MARK: Commands

  func encode() throws(Failure) {
    if !arguments.wantsCompact { return try list() }
    let descriptor = try openInput()
    let output = output
    if descriptor < 0 {
      let count = try readAll()
      let text = UnsafeRawBufferPointer(rebasing: input[0..<count])
      return try withView { view throws(Failure) in
        let step = Encoder(copy view).encode(RawSpan(_unsafeBytes: text), isLast: true, into: output)
        guard sky_cli_write(1, output.baseAddress, step.written) == 0 else { throw Failure(.ioFailed) }
      }
    }
    try withView { view throws(Failure) in
      try pump(descriptor) { bytes, isLast throws(Failure) in
        Encoder(copy view).encode(bytes, isLast: isLast, into: output)
      }
    }
  }

  func decode() throws(Failure) {
    let descriptor = try openInput()
    let output = output
    try withView { view throws(Failure) in
      if descriptor >= 0 {
        return try pump(descriptor) { bytes, isLast throws(Failure) in
          try Self.decode(bytes, isLast, view, into: output)
        }
      }
      guard let count = EncodedText.parse(arguments.words[0].bytes, into: input) else {
        throw Failure(.badArgument)
      }
      var from = 0
      while from < count {
        let bytes = UnsafeRawBufferPointer(rebasing: input[from..<count])
        let done = try Self.decode(RawSpan(_unsafeBytes: bytes), true, view, into: output)
        out.write(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: output[0..<done.written])))
        out.flush()
        from += done.consumed
      }
      if sky_cli_is_terminal(1) { out.write("\n") }
    }
  }

  private static func decode(
    _ bytes: RawSpan, _ isLast: Bool, _ view: borrowing LexiconView, into output: UnsafeMutableRawBufferPointer
  ) throws(Failure) -> Progress {
    do throws(LexiconError) {
      return try Decoder(copy view).decode(bytes, isLast: isLast, into: output)
    } catch { throw Failure(.badEncoding) }
  }

  /// The fields and a line for each token, as they are found.
  private func list() throws(Failure) {
    let count = try readAll()
    let text = UnsafeRawBufferPointer(rebasing: input[0..<count])
    var questions = 0
    try withView { view throws(Failure) in
      let step = Encoder(copy view).encode(RawSpan(_unsafeBytes: text), isLast: true, into: output)
      let compact = UnsafeRawBufferPointer(rebasing: output[0..<step.written])
      let encoded = EncodedText(RawSpan(_unsafeBytes: text), stream: RawSpan(_unsafeBytes: compact))
      // The message, the compact form and their names.
      var reply = ControlReply(capacity: 4 * step.written + 2_048)
      reply.begin(json: arguments.isJson)
      encoded.head(source: source, generation: generation, to: &reply)
      do throws(LexiconError) {
        try encoded.tokens(
          view, to: &reply, learnt: { learnt($0, &questions) }, afterRow: { reply in reply.drain { show($0) } })
      } catch { throw Failure(.internalError) }
      reply.ok()
      reply.drain { show($0) }
    }
  }

  /// What the daemon has learnt of an unknown word; by being asked it also comes to ask the hub.
  private func learnt(_ literal: RawSpan, _ questions: inout Int) -> WordEntry? {
    guard Canonical.isWord(literal), questions < Self.questionsMaximum else { return nil }
    questions += 1
    guard let lines = try? client.ask(bytes(of: "lookup ") + copy(literal)) else { return nil }
    let reply = fields(lines)
    guard let id = TokenText.parse(value(reply, "token_id").span.bytes),
      let word = InlineText<63>(value(reply, "canonical").span.bytes)
    else { return nil }
    var entry = WordEntry(word: word)
    entry.id = id
    entry.slot = UInt16(clamping: number(reply, "slot") ?? 0)
    entry.band = UInt8(clamping: number(reply, "band") ?? 0)
    entry.domain = InlineText(value(reply, "sector").span.bytes) ?? InlineText()
    return entry
  }

  private func show(_ lines: RawSpan) {
    if arguments.isJson { return out.write(lines) }
    var start = 0
    for i in 0..<lines.byteCount where lines[i] == 0x0A {
      show(line: row(copy(lines.extracting(start..<i))))
      start = i + 1
    }
  }

  private func show(line: [Field]) {
    // The last line of a reply has no fields.
    guard let first = line.first else { return }
    guard first.is("kind") else {
      return out.field(first, width: 19)
    }
    out.write("  ")
    out.column(first.value, width: 9)
    for name in ["token_id", "hex", "sector", "r", "theta"] as [StaticString] {
      out.column(value(line, name), width: name.utf8CodeUnitCount < 4 ? 7 : 11)
    }
    for name in ["canonical", "text", "text_hex", "count"] as [StaticString] {
      let shown = value(line, name)
      if !shown.isEmpty { out.write(printable: shown, indent: 2) }
    }
    out.write("\n")
  }
}

extension Console {
  func field(_ field: Field, width: Int) {
    write(printable: field.key)
    spaces(width - field.key.count)
    show(field.value, .plain)
    write("\n")
  }

  func column(_ text: [UInt8], width: Int) {
    write(printable: text)
    spaces(max(1, width - text.count))
  }
}
