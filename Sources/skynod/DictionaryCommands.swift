import Bounded
import Lexicon
import LexiconText
import Node
import Platform
import Wire

/// The verbs of the dictionary. Each is bounded by the length of a control line: long texts are `skynodctl`'s,
/// which gets the file's descriptor by `dict open`.
///
/// Makes its buffers once.
final class DictionaryCommands {
  private let file: DictionaryFile
  /// An encoded text; or, of a text to decode, the text and behind it the compact form.
  private let room = UnsafeMutableRawBufferPointer.allocate(
    byteCount: max(
      Encoder.bound(Limits.encodeTextBytes), DictionaryCommands.decodedBytes + Limits.controlLineBytes / 2),
    alignment: 16)
  /// Of a text that is decoded: a message, and what the decoder wants to see free.
  private static let decodedBytes = Limits.messageBytes + Decoder.outputMinimum
  private var text = TextBuffer(capacity: Limits.encodeTextBytes)

  init(_ file: DictionaryFile) { self.file = file }

  deinit { room.deallocate() }

  func handle(_ request: borrowing ControlRequest, node: Node, now: Instant, reply: inout ControlReply) {
    do throws(ErrorCode) {
      switch request.verb {
      case .encode: try encode(request, node, now, &reply)
      case .decode: try decode(request, &reply)
      case .lookup: try lookup(request, node, now, &reply)
      case .translate: try translate(&reply)
      case .dict: try dictionary(request, node, now, &reply)
      default: throw .unknownCommand
      }
    } catch {
      // `lookup` and `translate` have said more.
      if reply.failure == nil { reply.error(error) }
    }
  }

  /// The argument without its quotes, in `text`.
  private func read(_ argument: RawSpan) throws(ErrorCode) {
    text.removeAll()
    guard ControlText.read(argument, into: &text) else { throw .badArgument }
    guard !text.isTruncated else { throw .tooLong }
  }

  // MARK: Texts

  private func encode(
    _ request: borrowing ControlRequest, _ node: Node, _ now: Instant, _ reply: inout ControlReply
  ) throws(ErrorCode) {
    try read(request.argument(0))
    try encode(text, node, now, &reply)
  }

  private func encode(
    _ text: borrowing TextBuffer, _ node: Node, _ now: Instant, _ reply: inout ControlReply
  ) throws(ErrorCode) {
    let isDone = file.withView { view in
      let step = Encoder(copy view).encode(text.bytes, isLast: true, into: room)
      let compact = UnsafeRawBufferPointer(rebasing: room[0..<step.written])
      let encoded = EncodedText(text.bytes, stream: RawSpan(_unsafeBytes: compact))
      encoded.head(source: node.nodeId, generation: file.generation, to: &reply)
      do throws(LexiconError) {
        try encoded.tokens(view, to: &reply, learnt: { Self.learnt($0, node, now) })
        return true
      } catch {
        return false
      }
    }
    guard let isDone else { throw .noDictionary }
    if !isDone { throw .internalError }
  }

  /// What the hub has told of an unknown word; asks when that is nothing yet.
  private static func learnt(_ literal: RawSpan, _ node: Node, _ now: Instant) -> WordEntry? {
    var text = WordText()
    let count = Canonical.isWord(literal) ? Canonical.lower(literal, into: &text) : 0
    guard count > 0, case .learnt(let entry) = node.words.want(text.span.extracting(0..<count), now: now) else {
      return nil
    }
    return entry
  }

  private func decode(_ request: borrowing ControlRequest, _ reply: inout ControlReply) throws(ErrorCode) {
    let decoded = UnsafeMutableRawBufferPointer(rebasing: room[..<Self.decodedBytes])
    let stream = UnsafeMutableRawBufferPointer(rebasing: room[Self.decodedBytes...])
    guard let count = EncodedText.parse(request.argument(0), into: stream) else { throw .badArgument }
    let outcome = file.withView { view in
      let compact = UnsafeRawBufferPointer(rebasing: stream[0..<count])
      return try? Decoder(copy view).decode(RawSpan(_unsafeBytes: compact), isLast: true, into: decoded)
    }
    guard let outcome else { throw .noDictionary }
    guard let outcome else { throw .badEncoding }
    guard outcome.consumed == count else { throw .tooLong }
    let bytes = RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: decoded[0..<outcome.written]))
    if ControlText.isClean(bytes) { reply.field("text", bytes) } else { reply.fieldHex("text_hex", bytes) }
    reply.field("text_bytes", outcome.written)
  }

  // MARK: Words

  private func lookup(
    _ request: borrowing ControlRequest, _ node: Node, _ now: Instant, _ reply: inout ControlReply
  ) throws(ErrorCode) {
    try read(request.argument(0))
    try lookup(text, node, now, &reply)
  }

  private func lookup(
    _ text: borrowing TextBuffer, _ node: Node, _ now: Instant, _ reply: inout ControlReply
  ) throws(ErrorCode) {
    if let id = TokenText.parse(text.bytes) {
      if let entry = file.withView({ $0.entry(of: id) }) ?? nil {
        return reply.tokenInFull(entry, origin: "dictionary")
      }
      guard let entry = node.words.find(id: id) else { throw .notFound }
      return reply.tokenInFull(entry, origin: "hub")
    }
    if let entry = file.withView({ $0.entry(of: text.bytes) }) ?? nil {
      return reply.tokenInFull(entry, origin: "dictionary")
    }
    var word = WordText()
    let count = Canonical.lower(text.bytes, into: &word)
    guard count > 0 else { throw .tooLong }
    switch node.words.want(word.span.extracting(0..<count), now: now) {
    case .learnt(let entry): reply.tokenInFull(entry, origin: "hub")
    case .unknown: reply.error(.notFound, sentence: "neither this node nor its hub knows this word")
    case .full: throw .full
    case .waiting:
      guard node.state == .online else {
        reply.error(.offline, sentence: "this node does not know the word; the hub is asked once there is a link")
        return
      }
      guard node.hubDictionaryGeneration > 0 else {
        return reply.error(.notFound, sentence: "this node does not know the word, and its hub has no dictionary")
      }
      reply.error(.busy, sentence: "this node does not know the word; the hub is being asked, try again")
    }
  }

  /// The lists that dictionaries are built from say of each word which language it is of, not what it means in
  /// another one.
  private func translate(_ reply: inout ControlReply) throws(ErrorCode) {
    guard file.generation > 0 else { throw .noDictionary }
    reply.error(
      .notFound, sentence: "this dictionary has no translations: its sources list words by language, not by meaning")
  }

  // MARK: The dictionary itself

  private func dictionary(
    _ request: borrowing ControlRequest, _ node: Node, _ now: Instant, _ reply: inout ControlReply
  ) throws(ErrorCode) {
    if request.argument(0, is: "status") {
      status(node, &reply)
    } else if request.argument(0, is: "update") {
      reply.field("result", try node.updateDictionary(now: now) ? "started" : "current")
      reply.field("generation", UInt64(node.dictionaryGeneration))
      reply.field("hub_generation", UInt64(node.hubDictionaryGeneration))
    } else if request.argument(0, is: "open") {
      guard file.generation > 0 else { throw .noDictionary }
      reply.attachment = try Files.open(file.path)
      reply.field("generation", UInt64(file.generation))
      nodeId(node.nodeId, &reply)
    } else {
      throw .badArgument
    }
  }

  private func nodeId(_ id: UInt32, _ reply: inout ControlReply) {
    if id == 0 { return reply.fieldUnknown("id") }
    reply.fieldInPlace("id") { appendNodeId(id, to: &$0) }
  }

  private func status(_ node: Node, _ reply: inout ControlReply) {
    reply.field("dictionary", file.generation > 0 ? "ready" : "none")
    reply.field("problem", file.problem?.token ?? "")
    reply.field("path", file.path)
    reply.field("generation", UInt64(file.generation))
    reply.field("hub_generation", UInt64(node.hubDictionaryGeneration))
    reply.field("tokens", file.withView { $0.tokenCount } ?? 0)
    reply.field("leaves", file.withView { Int($0.header.leafCount) } ?? 0)
    reply.field("size_bytes", file.withView { Int($0.header.fileBytes) } ?? 0)
    update(node.update, &reply)
    reply.field("words_learnt", node.words.learntCount)
    reply.field("words_waiting", node.words.waiting)
    reply.field("words_asked", node.words.counters.asked)
    reply.field("words_unknown", node.words.counters.unknown)
    reply.field("words_refused", node.words.counters.refused)
    reply.field("hub_is_foreign", node.words.isForeign)
  }

  private func update(_ update: borrowing DictionaryUpdate, _ reply: inout ControlReply) {
    reply.field("update", update.phase.token)
    reply.field("update_result", update.outcome.token)
    let blocks = update.manifest?.blockCount ?? 0
    reply.field("update_blocks", blocks)
    reply.field("update_fetched", update.fetchedBlocks)
    reply.field("update_reused", update.reusedBlocks)
    reply.field("update_install_ms", file.installMs)
  }
}

extension DictionaryUpdate.Outcome {
  var token: StaticString {
    switch self {
    case .none: ""
    case .current: "current"
    case .installed: "installed"
    case .failed(let code): code.token
    }
  }
}
