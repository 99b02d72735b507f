import Bounded
import CSky
import Platform
import Wire

/// `send --file`, and input longer than a message: one durable message for each part, in order.
///
/// Nothing is kept beside the file: the parts follow from it, and their id from its content, its name and its
/// destination. A part that is sent twice, because its `OK` was lost or someone went on too early, is recognised
/// by `inbox --save`.
final class FileSender {
  private static let pauseMs: Int32 = 200

  private let arguments: Arguments
  private let out: Console
  private var progress = ProgressLine()
  private let descriptor: Int32
  private let head: FileHead
  private var client: Client?
  private var wasConnected = false
  private var lostSince: UInt64?
  /// The part that is sent next, counted from 0.
  private var next: UInt32
  /// Sent, and without a receipt yet; in order. Only with `--wait`.
  private var awaited: [(sequence: UInt64, part: UInt32)] = []
  private var refused: (part: UInt32, token: [UInt8])?
  private var steppedAt = sky_clock_ms()
  private var message = ByteQueue(capacity: Limits.messageBytes)
  private var data = [UInt8](repeating: 0, count: Limits.filePartBytes)

  /// Takes the descriptor over.
  init(_ arguments: Arguments, _ out: Console, descriptor: Int32) throws(Failure) {
    self.arguments = arguments
    self.out = out
    self.descriptor = descriptor
    next = UInt32(arguments.firstPart - 1)
    guard let destination = parseNodeId(arguments.words[0].bytes) else { throw Failure(.badArgument) }
    guard destination != 0 else {
      throw Failure(.badArgument, "the hub puts no files together, and keeps its newest 1,000 messages; name a node")
    }
    let size = sky_disk_size(descriptor)
    guard size >= 0 else { throw Failure(.ioFailed, "the file cannot be read") }
    guard UInt64(size) <= Limits.fileBytes else {
      throw Failure(.tooLong, "a file may be 64 MiB long; split it, or compress it")
    }
    let name = Self.name(arguments)
    let hash = try Self.hash(descriptor, UInt64(size))
    let id = Self.id(hash, UInt64(size), name, destination)
    guard let head = FileHead(id: id, hash: hash, totalBytes: UInt64(size), name: name) else {
      throw Failure(.tooLong)
    }
    self.head = head
    guard next < head.parts else {
      throw Failure(.badArgument, "the file has no such part: --from counts from 1 to the number of its parts")
    }
  }

  deinit { sky_close(descriptor) }

  func run() throws(Failure) {
    sky_cli_note_interrupts()
    while next < head.parts || !awaited.isEmpty {
      do throws(Failure) {
        try step()
        lostSince = nil
      } catch {
        try recover(from: error)
      }
      showProgress()
    }
    progress.hide()
    guard try Self.hash(descriptor, head.totalBytes).span.bytes.elementsEqual(head.hash.span.bytes) else {
      throw Failure(.damaged, "the file has changed while it was sent, the receiver will throw it away; send it again")
    }
    tell()
  }

  // MARK: Steps

  private func step() throws(Failure) {
    if sky_cli_interrupted() { throw Self.interrupted }
    let client = try connection()
    if let refused { throw self.failure(refused) }
    if arguments.waitsForReceipt, awaited.count >= Limits.fileReceiptsAwaited || next == head.parts {
      if let line = try client.event(deadline: sky_clock_ms() + 500) { note(line) }
      return try checkStall()
    }
    if next % 32 == 0, let waiting = number(fields(try client.ask("status")), "durable_waiting"),
      waiting >= UInt64(Limits.filePartsAhead)
    {
      sky_cli_sleep_ms(Self.pauseMs)
      return try checkStall()
    }
    let reply = fields(try client.ask(try request(for: next)))
    guard let sequence = number(reply, "sequence") else { throw Failure(.malformed) }
    if arguments.waitsForReceipt { awaited.append((sequence, next)) }
    next += 1
    steppedAt = sky_clock_ms()
  }

  /// One attempt. The first has to succeed; later the daemon may be away for a while.
  private func connection() throws(Failure) -> Client {
    if let client { return client }
    let fresh = try Client(socket: arguments.socket, timeoutMs: arguments.timeoutMs)
    // A cycle until the process ends, which is when both go.
    fresh.onEvent = { self.note($0) }
    if arguments.waitsForReceipt { _ = try fresh.ask("watch delivery") }
    client = fresh
    wasConnected = true
    return fresh
  }

  /// Throws what waiting does not mend.
  private func recover(from failure: Failure) throws(Failure) {
    if sky_cli_interrupted() { throw withHint(Self.interrupted) }
    if failure.number == ErrorCode.unknownCommand.number {
      throw Failure(.unknownCommand, "the daemon is older than skynodctl and takes no files; update it")
    }
    guard wasConnected else { throw failure }
    if hasStalled || refused != nil { throw withHint(failure) }
    let isRefusal = client != nil && failure.number == ErrorCode.busy.number
    if failure.number != ErrorCode.full.number, !isRefusal {
      guard InboxReader.passes(failure) else { throw withHint(failure) }
      client = nil
      // What their receivers say meanwhile is lost: they are sent again, and recognised.
      if let first = awaited.first { next = first.part }
      awaited.removeAll()
      let since = lostSince ?? sky_clock_ms()
      lostSince = since
      if sky_clock_ms() - since > Limits.fileReconnectMs { throw withHint(failure) }
    }
    sky_cli_sleep_ms(Self.pauseMs)
  }

  /// Nothing went forward for as long as was to be waited.
  private var hasStalled: Bool {
    (arguments.waitsForReceipt || arguments.timeoutSeconds != nil) && sky_clock_ms() - steppedAt > arguments.timeoutMs
  }

  private func checkStall() throws(Failure) {
    if hasStalled { throw Failure(.timeout) }
  }

  private func request(for index: UInt32) throws(Failure) -> [UInt8] {
    let count = head.byteCount(of: index)
    let result = data.withUnsafeMutableBytes {
      sky_disk_read(descriptor, head.offset(of: index), $0.baseAddress, count)
    }
    guard result == 0 else { throw Failure(.ioFailed, "the file cannot be read any more") }
    FilePart.make(head, index: index, data: data.span.bytes.extracting(0..<count), into: &message)
    var text = TextBuffer(capacity: Limits.controlLineBytes)
    Self.encode(message, to: &text)
    return bytes(of: "post64 ") + arguments.words[0].array + [0x20] + digits(arguments.timeToLiveS) + [0x20]
      + copy(text.bytes)
  }

  private static func encode(_ message: borrowing ByteQueue, to text: inout TextBuffer) {
    Base64.encodeUrl(message.bytes, to: &text)
  }

  /// Takes what an event says of a part.
  private func note(_ line: [UInt8]) {
    guard starts(line, with: "EVENT ") else { return }
    let event = row(afterWords(3, of: line))
    guard let sequence = number(event, "sequence") else { return }
    for i in 0..<awaited.count where awaited[i].sequence == sequence {
      let result = value(event, "result")
      if !equals(result, "ok") { refused = (awaited[i].part, result) }
      awaited.remove(at: i)
      steppedAt = sky_clock_ms()
      return
    }
  }

  // MARK: Telling

  private static var interrupted: Failure { Failure(number: 130, text: bytes(of: "interrupted interrupted")) }

  private func failure(_ refused: (part: UInt32, token: [UInt8])) -> Failure {
    next = refused.part
    awaited.removeAll()
    return Failure(ErrorCode.allCases.first { equals(refused.token, $0.token) } ?? .internalError)
  }

  /// With what is to be typed to go on.
  private func withHint(_ failure: Failure) -> Failure {
    progress.hide()
    let from = UInt64(awaited.first?.part ?? next) + 1
    var text = failure.text + bytes(of: "; ") + digits(from - 1) + bytes(of: " of ") + digits(UInt64(head.parts))
    text += bytes(of: " parts are on their way; to go on, repeat the command with --from ") + digits(from)
    return Failure(number: failure.number, text: text)
  }

  private func tell() {
    var transfer = TextBuffer(capacity: 32)
    transfer.append(hex: head.id.span.bytes)
    var hash = TextBuffer(capacity: 64)
    hash.append(hex: head.hash.span.bytes)
    let word: StaticString = arguments.waitsForReceipt ? "delivered" : "stored"
    if arguments.isJson {
      out.write("{\"ok\":true,\"result\":\"")
      out.write(word)
      out.write("\",\"name\":")
      out.write(json: copy(head.name.bytes))
      out.write(",\"bytes\":")
      out.write(head.totalBytes)
      out.write(",\"parts\":")
      out.write(UInt64(head.parts))
      out.write(",\"transfer\":\"")
      out.write(transfer.bytes)
      out.write("\",\"sha256\":\"")
      out.write(hash.bytes)
      return out.write("\"}\n")
    }
    out.write(word)
    out.write(": ")
    out.write(printable: copy(head.name.bytes))
    out.write(", ")
    out.write(head.totalBytes)
    out.write(" bytes in ")
    out.write(UInt64(head.parts))
    out.write(head.parts == 1 ? " part, sha256 " : " parts, sha256 ")
    out.write(hash.bytes)
    out.write("\n")
  }

  private func showProgress() {
    guard !arguments.isJson else { return }
    let note: StaticString =
      if lostSince != nil {
        ", waiting for the daemon"
      } else if sky_clock_ms() - steppedAt <= 1_000 {
        ""
      } else {
        next < head.parts ? ", waiting for room" : ", waiting for receipts"
      }
    progress.show("part", UInt64(next), of: UInt64(head.parts), note)
  }

  // MARK: The file

  private static func name(_ arguments: Arguments) -> InlineText<200> {
    let path = arguments.name?.array ?? arguments.file?.array ?? bytes(of: "stdin")
    let span = path.span.bytes
    return InlineText(span.extracting(FileName.last(of: span))) ?? InlineText()
  }

  private static func id(
    _ hash: InlineArray<32, UInt8>, _ size: UInt64, _ name: InlineText<200>, _ destination: UInt32
  ) -> InlineArray<16, UInt8> {
    var queue = ByteQueue(capacity: 512)
    queue.append("skynod file 1")
    queue.append(hash.span.bytes)
    queue.append(bigEndian: size)
    queue.append(bigEndian: destination)
    queue.append(name.bytes)
    var sum = FileHash()
    sum.add(queue.bytes)
    let digest = sum.finish()
    return InlineArray { digest[$0] }
  }

  /// SHA-256 of the first `size` bytes, or of what there is of them.
  static func hash(_ descriptor: Int32, _ size: UInt64) throws(Failure) -> InlineArray<32, UInt8> {
    var chunk = [UInt8](repeating: 0, count: 16_384)
    var sum = FileHash()
    var at: UInt64 = 0
    while at < size {
      let count = Int(min(size - at, UInt64(chunk.count)))
      let result = chunk.withUnsafeMutableBytes { sky_disk_read(descriptor, at, $0.baseAddress, count) }
      guard result == 0 else { throw Failure(.ioFailed, "the file cannot be read to its end") }
      sum.add(chunk.span.bytes.extracting(0..<count))
      at += UInt64(count)
    }
    return sum.finish()
  }
}

/// What is sent as a file.
enum FileSource {
  static func open(_ path: Word) throws(Failure) -> Int32 {
    let descriptor = sky_file_open(path.start)
    if descriptor >= 0 { return descriptor }
    if descriptor == SKY_NO_ENTRY { throw Failure(.notFound, "there is no such file") }
    throw Failure(.ioFailed, "the file cannot be opened, or is not a regular one")
  }

  /// Standard input, which cannot be read twice, as a file without a name; `begun` was read already.
  static func spool(_ begun: [UInt8]) throws(Failure) -> Int32 {
    let usual: StaticString = "/tmp"
    let start = UnsafeRawPointer(usual.utf8Start).assumingMemoryBound(to: CChar.self)
    let descriptor = sky_file_temporary(sky_environment("TMPDIR") ?? start)
    guard descriptor >= 0 else { throw Failure(.ioFailed, "no temporary file in TMPDIR, where long input is gathered") }
    var chunk = begun
    var at: UInt64 = 0
    while !chunk.isEmpty {
      let result = chunk.span.bytes.withUnsafeBytes { sky_disk_write(descriptor, at, $0.baseAddress, $0.count) }
      at += UInt64(chunk.count)
      guard result == 0, at <= Limits.fileBytes else {
        sky_close(descriptor)
        throw result == 0
          ? Failure(.tooLong, "a file may be 64 MiB long") : Failure(.ioFailed, "writing to TMPDIR failed; is it full?")
      }
      chunk = [UInt8](repeating: 0, count: 16_384)
      let got = chunk.withUnsafeMutableBytes { sky_read(0, $0.baseAddress, $0.count) }
      guard got >= 0 else {
        sky_close(descriptor)
        throw Failure(.ioFailed, "standard input cannot be read")
      }
      chunk.removeLast(chunk.count - got)
    }
    return descriptor
  }
}
