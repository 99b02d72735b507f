import Bounded
import CSky
import Inference
import Platform
import Wire

/// Serves a model behind a Unix socket: one answer at a time, streamed; other clients are heard meanwhile.
///
/// One thread beside those of the kernels. While a text is being made, descriptors are looked at between the model's
/// layers: so `cancel`, a client that went, and SIGTERM stop it within one layer's time.
///
/// A model that was refused does not end the worker: every request gets the reason, with the numbers.
final class Worker {
  static let clientsMaximum = 4
  private static let listenerToken: UInt64 = 1_000
  private static let signalToken: UInt64 = 1_001

  private let options: Options
  private var engine: Engine?
  private var refusal: InferenceError?
  private var clients: InlineArray<4, Client>
  private let question = Question()
  private var text = TextBuffer(capacity: Client.pieceBytes)
  private var epoll: Int32 = -1
  private var listener: Int32 = -1
  private var signals: Int32 = -1
  private let notifier = Notifier()
  /// Whose text is being made; -1 when none is.
  private var active = -1
  private var isCancelled = false
  private var isEnding = false
  private var begunUs: UInt64 = 0
  private var promptDoneUs: UInt64 = 0
  private var lastUseMs: UInt64 = 0
  private var answers: UInt64 = 0

  init(_ options: Options) {
    self.options = options
    clients = InlineArray { _ in Client() }
  }

  /// Until it was told to end, or nobody has asked for long. The exit status.
  func run() -> Int32 {
    do throws(InferenceError) {
      engine = try Engine(options)
    } catch {
      refusal = error
      _ = Report.failure(error)
    }
    guard openDescriptors() else {
      StandardStream.write("skynod-infer: the socket cannot be made; check --socket, or let systemd make it\n", to: 2)
      return 70
    }
    tellStatus(isReady: true)
    lastUseMs = sky_clock_ms()
    while !isEnding {
      if active >= 0 {
        serve(timeoutMs: hasRoom ? 0 : 1_000)
        if active >= 0, hasRoom { advance() }
      } else {
        serve(timeoutMs: idleLeftMs)
        if clientCount == 0, idleLeftMs == 0 { break }
      }
    }
    notifier.stopping()
    for i in 0..<Self.clientsMaximum {
      clients[i].flush()
      clients[i].close()
    }
    return 0
  }

  // MARK: Descriptors

  private func openDescriptors() -> Bool {
    epoll = sky_epoll_create()
    signals = sky_signal_open(false)
    listener = sky_listen_count() > 0 ? 3 : sky_unix_listen(options.socket, 0o660, 4)
    return epoll >= 0 && signals >= 0 && listener >= 0
      && sky_epoll_add(epoll, listener, SKY_READ, Self.listenerToken) == 0
      && sky_epoll_add(epoll, signals, SKY_READ, Self.signalToken) == 0
  }

  private var clientCount: Int {
    var count = 0
    for i in 0..<Self.clientsMaximum where clients[i].isOpen { count += 1 }
    return count
  }

  /// Clients that only keep a connection open do not keep the worker.
  private var idleLeftMs: Int32 {
    let passed = sky_clock_ms() - lastUseMs
    let limit = UInt64(options.idleSeconds) * 1_000
    return passed >= limit ? 0 : Int32(limit - passed)
  }

  private var hasRoom: Bool { active < 0 || clients[active].output.space >= Client.pieceBytes }

  private func tellStatus(isReady: Bool = false) {
    text.removeAll()
    if let refusal {
      text.append("no model: ")
      Report.append(refusal, &text)
    } else {
      text.append("model loaded, ")
      text.append(answers)
      text.append(answers == 1 ? " answer" : " answers")
    }
    text.withUnsafeBytes {
      let status = RawSpan(_unsafeBytes: $0)
      if isReady { notifier.ready(status: status) } else { notifier.status(status) }
    }
  }

  private func countAnswer() {
    answers += 1
    tellStatus()
  }

  /// Waits, then serves whatever is ready. May be called while a step is under way: it touches no model.
  private func serve(timeoutMs: Int32) {
    var events = InlineArray<8, sky_event>(repeating: sky_event())
    let count = withUnsafeMutableBytes(of: &events) {
      sky_epoll_wait(epoll, $0.baseAddress!.assumingMemoryBound(to: sky_event.self), 8, timeoutMs)
    }
    guard count > 0 else { return }
    for i in 0..<Int(count) {
      let event = events[i]
      switch event.token {
      case Self.signalToken:
        while true {
          let signal = sky_signal_read(signals)
          if signal <= 0 { break }
          if signal == SKY_SIGNAL_TERMINATE {
            isEnding = true
            isCancelled = true
          }
        }
      case Self.listenerToken: accept()
      default: serveClient(Int(event.token), event.flags)
      }
    }
  }

  private func accept() {
    let descriptor = sky_accept(listener, nil)
    guard descriptor >= 0 else { return }
    lastUseMs = sky_clock_ms()
    // The place of one who has gone is taken until the text for it has ended.
    for i in 0..<Self.clientsMaximum where !clients[i].isOpen && i != active {
      guard sky_epoll_add(epoll, descriptor, SKY_READ, UInt64(i)) == 0 else { break }
      clients[i].open(descriptor)
      clients[i].write("SKYINFER 1 ")
      clients[i].write(Version.text)
      clients[i].write("\n")
      clients[i].flush()
      return
    }
    let message: StaticString = "ERR 17 busy too many clients; try again\n"
    _ = sky_write(descriptor, message.utf8Start, message.utf8CodeUnitCount)
    sky_close(descriptor)
  }

  private func serveClient(_ index: Int, _ flags: UInt32) {
    let client = clients[index]
    guard index < Self.clientsMaximum, client.isOpen else { return }
    if flags & SKY_WRITE != 0 { client.flush() }
    if flags & (SKY_READ | SKY_HANGUP) != 0 {
      // A whole buffer of requests waits until they are answered.
      client.fill()
      if flags & SKY_HANGUP != 0 {
        client.isLeaving = true
        // Nobody will read the rest.
        if index == active { isCancelled = true }
      }
    }
    answerLines(index)
    afterwards(index)
  }

  /// What a client waits for, and whether it is done.
  private func afterwards(_ index: Int) {
    let client = clients[index]
    client.flush()
    if client.isOpen, client.isLeaving, index != active, client.output.isEmpty { client.close() }
    guard client.isOpen else {
      if index == active { isCancelled = true }
      return
    }
    var wanted = client.output.isEmpty ? 0 : SKY_WRITE
    if !client.isLeaving { wanted |= SKY_READ }
    _ = sky_epoll_modify(epoll, client.descriptor, wanted, UInt64(index))
  }

  // MARK: Requests

  private func answerLines(_ index: Int) {
    let client = clients[index]
    while client.isOpen, client.output.space >= Client.pieceBytes {
      switch client.nextLine() {
      case .none: return
      case .tooLong: refuse(client, .tooLong)
      case .whole(let length):
        // While a text is made for this client its other requests wait; `cancel` counts when it is the next one.
        if index == active {
          guard client.input.withBytes({ Self.verb($0.extracting(0..<length)) }) == .cancel else { return }
          isCancelled = true
        } else if isModelBeingLeft, client.input.withBytes({ Self.needsModel($0.extracting(0..<length)) }) {
          // Free at the end of this step: `done` comes back to it.
          return
        } else {
          answer(index, length)
        }
        client.dropLine(length)
      }
    }
  }

  private static func verb(_ line: RawSpan) -> InferenceRequest.Verb? {
    do throws(ErrorCode) { return try InferenceRequest(parsing: line).verb } catch { return nil }
  }

  private static func needsModel(_ line: RawSpan) -> Bool {
    let verb = verb(line)
    return verb == .generate || verb == .embed
  }

  /// A text is under way and nobody wants the rest.
  private var isModelBeingLeft: Bool { active >= 0 && isCancelled && !isEnding }

  private func answer(_ index: Int, _ length: Int) {
    lastUseMs = sky_clock_ms()
    guard length > 0 else { return }
    clients[index].input.withBytes { answer(index, $0.extracting(0..<length)) }
  }

  private func answer(_ index: Int, _ line: RawSpan) {
    let client = clients[index]
    do throws(ErrorCode) {
      let request = try InferenceRequest(parsing: line)
      switch request.verb {
      case .generate: begin(index, request)
      case .embed: embed(index, request)
      case .info: tellInfo(client)
      case .cancel: client.write("OK\n")
      case .version:
        client.write("version=")
        client.write(Version.text)
        client.write("\nprotocol=1\nOK\n")
      case .help: client.write(Self.help)
      case .quit:
        client.write("OK\n")
        client.isLeaving = true
      }
    } catch {
      refuse(client, error)
    }
  }

  private static let help: StaticString = """
    generate [KEY=VALUE]... TEXT   answers a text; keys: tokens temperature top_p top_k seed raw stop system reference
    embed TEXT                     the vector of a text
    info                           the model, and what it takes
    cancel                         stops the text that is being made for this client
    version
    quit
    OK

    """

  private static let busySentence: StaticString = "the model makes a text for another client; try again"

  private func refuse(_ client: Client, _ error: ErrorCode) {
    text.removeAll()
    text.append("ERR ")
    text.append(Int(error.number))
    text.append(" ")
    text.append(error.token)
    text.append(" ")
    text.append(error == .busy ? Self.busySentence : error.sentence)
    text.append("\n")
    client.write(text)
  }

  /// Errors of the model have the numbers from 200 on.
  private func refuse(_ client: Client, _ error: InferenceError) {
    text.removeAll()
    text.append("ERR ")
    text.append(200 + Int(error.rawValue))
    text.append(" ")
    text.append(error.token)
    text.append(" ")
    Report.append(error, &text)
    text.append("\n")
    client.write(text)
  }

  private func tellInfo(_ client: Client) {
    guard let engine else { return refuse(client, refusal ?? .cannotMap) }
    text.removeAll()
    switch engine.kind {
    case .generator(let generator):
      text.append("kind=generate\ncontext=")
      text.append(generator.decoder.context)
      text.append(generator.isInstruct ? "\ninstruct=true" : "\ninstruct=false")
    case .encoder(let encoder):
      text.append("kind=embed\ncontext=")
      text.append(encoder.context)
      text.append("\ndimensions=")
      text.append(encoder.embedding)
    }
    text.append("\nweights_bytes=")
    text.append(engine.room.weightsBytes)
    text.append("\nwork_bytes=")
    text.append(engine.room.workBytes)
    text.append("\nthreads=")
    text.append(engine.pool.threads)
    text.append("\nkernels=")
    text.append(Word(engine.pool.kernelsName).bytes)
    text.append("\nanswers=")
    text.append(answers)
    text.append("\npid=")
    text.append(Int(sky_process_id()))
    text.append(active >= 0 ? "\nbusy=true\nOK\n" : "\nbusy=false\nOK\n")
    client.write(text)
  }

  // MARK: Texts

  private func begin(_ index: Int, _ request: borrowing InferenceRequest) {
    let client = clients[index]
    guard active < 0 else { return refuse(client, ErrorCode.busy) }
    do throws(InferenceError) {
      guard let engine else { throw refusal ?? .cannotMap }
      guard case .generator(let generator) = engine.kind else { throw .wrongKind }
      question.removeAll()
      request.appendText(to: &question.text)
      request.appendSystem(to: &question.system)
      request.appendReference(to: &question.reference)
      var settings = Generator.Settings()
      settings.tokensMaximum = request.tokens ?? options.settings.tokensMaximum
      settings.sampler = Sampler(
        temperature: Float(request.temperatureMilli ?? options.temperatureMilli) / 1_000,
        topP: Float(request.topPMilli ?? options.topPMilli) / 1_000, topK: request.topK ?? options.topK,
        seed: request.seed ?? sky_monotonic_us())
      try question.put(to: generator, isRaw: request.isRaw || options.isRaw, settings)
      for i in 0..<request.stopCount {
        text.removeAll()
        request.appendStop(i, to: &text)
        guard let stop = InlineText<64>(text.bytes), generator.output.add(stop: stop) else { throw .badValue }
      }
    } catch {
      return refuse(client, error)
    }
    begunUs = sky_monotonic_us()
    promptDoneUs = 0
    isCancelled = false
    active = index
  }

  /// One step of the text that is being made.
  private func advance() {
    let client = clients[active]
    guard let engine, case .generator(let generator) = engine.kind else { return }
    do throws(InferenceError) {
      let end = try generator.step {
        self.serve(timeoutMs: 0)
        return self.isCancelled
      }
      if promptDoneUs == 0, generator.answerCount > 0 { promptDoneUs = sky_monotonic_us() }
      send(generator, client)
      if let end { finish(generator, client, end.name) }
    } catch .cancelled {
      generator.output.flush()
      send(generator, client)
      finish(generator, client, "cancelled")
    } catch {
      refuse(client, error)
      done()
    }
  }

  /// The new piece of the text as one line, in quotes.
  private func send(_ generator: Generator, _ client: Client) {
    text.removeAll()
    generator.output.withReady { bytes in
      guard bytes.byteCount > 0 else { return }
      text.append("piece=")
      ControlText.writeQuoted(bytes, to: &text)
      text.append("\n")
    }
    generator.output.consumeReady()
    guard !text.isEmpty else { return }
    client.write(text)
    afterwards(active)
  }

  private func finish(_ generator: Generator, _ client: Client, _ end: StaticString) {
    countAnswer()
    let now = sky_monotonic_us()
    let middle = promptDoneUs == 0 ? now : promptDoneUs
    text.removeAll()
    text.append("end=")
    text.append(end)
    text.append("\nprompt_tokens=")
    text.append(generator.promptCount)
    text.append("\nreused_tokens=")
    text.append(generator.reusedCount)
    text.append("\ntokens=")
    text.append(generator.answerCount)
    text.append("\nprompt_ms=")
    text.append((middle - begunUs) / 1_000)
    text.append("\nanswer_ms=")
    text.append((now - middle) / 1_000)
    // A small model's own knowledge is not to be trusted: whether it was given something to answer from.
    text.append(question.reference.isEmpty ? "\ngrounded=false\nOK\n" : "\ngrounded=true\nOK\n")
    client.write(text)
    done()
  }

  private func done() {
    let last = active
    active = -1
    lastUseMs = sky_clock_ms()
    // Requests that came meanwhile, of whoever waited for the model first.
    for i in 1...Self.clientsMaximum {
      let index = (last + i) % Self.clientsMaximum
      answerLines(index)
      afterwards(index)
    }
  }

  private func embed(_ index: Int, _ request: borrowing InferenceRequest) {
    let client = clients[index]
    guard active < 0 else { return refuse(client, ErrorCode.busy) }
    do throws(InferenceError) {
      guard let engine else { throw refusal ?? .cannotMap }
      guard case .encoder(let encoder) = engine.kind else { throw .wrongKind }
      question.removeAll()
      request.appendText(to: &question.text)
      if question.text.isTruncated { throw .textTooLong }
      let vector = try encoder.embed(question.text.withUnsafeBytes { $0 })
      guard client.output.space >= 16 * vector.count + 64 else { throw .outputTooLong }
      client.write("vector=")
      for i in 0..<vector.count {
        text.removeAll()
        if i > 0 { text.append(",") }
        text.append(scaled: Int64((vector[i] * 1_000_000).rounded()), places: 6)
        client.write(text)
      }
      text.removeAll()
      text.append("\nprompt_tokens=")
      text.append(encoder.tokenCount)
      text.append("\nOK\n")
      client.write(text)
      countAnswer()
    } catch {
      refuse(client, error)
    }
  }
}
