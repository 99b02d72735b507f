import Bounded
import CSky
import Inference
import Platform

/// A loaded model, of one kind or the other, with its memory. Everything is allocated here, nothing afterwards.
final class Engine {
  enum Kind {
    case generator(Generator)
    case encoder(BertEncoder)
  }

  let kind: Kind
  let file: GgufFile
  let pool: WorkPool
  let room: MemoryRoom

  /// Maps, checks, sizes, and takes the memory. `doesNotFit` when there is not enough: `Report` has the numbers.
  init(_ options: Options) throws(InferenceError) {
    var size = 0
    guard let start = sky_file_map(options.model, &size) else { throw .cannotMap }
    file = try GgufFile(UnsafeRawBufferPointer(start: start, count: size))
    pool = try WorkPool(threads: options.threads, kernels: options.kernels)
    var counting = Arena()
    _ = try Self.make(file, options, pool, &counting)
    room = MemoryRoom(weightsBytes: UInt64(size), workBytes: UInt64(counting.used))
    guard room.fits else {
      Report.keep(room)
      throw .doesNotFit
    }
    guard let memory = sky_memory_reserve(counting.used) else { throw .noMemory }
    var arena = Arena(UnsafeMutableRawBufferPointer(start: memory, count: counting.used))
    kind = try Self.make(file, options, pool, &arena)
  }

  private static func make(_ file: GgufFile, _ options: Options, _ pool: WorkPool, _ arena: inout Arena)
    throws(InferenceError) -> Kind
  {
    guard let name = try file.text("general.architecture") else { throw .missingKey }
    if RawSpan(_unsafeBytes: name).elementsEqual("bert") {
      return .encoder(try BertEncoder(file, context: options.context, pool: pool, &arena))
    }
    return .generator(try Generator(file, context: options.context, pool: pool, &arena))
  }
}

/// What is told to standard error when something is refused.
enum Report {
  /// The last refusal's numbers.
  nonisolated(unsafe) private(set) static var room: MemoryRoom?

  static func keep(_ room: MemoryRoom) { self.room = room }

  static func failure(_ error: InferenceError) -> Int32 {
    var text = TextBuffer(capacity: 768)
    text.append("skynod-infer: ")
    append(error, &text)
    text.append("\n")
    StandardStream.write(text, to: 2)
    switch error {
    case .cannotMap: return 66
    case .noMemory: return 70
    default: return 65
    }
  }

  static func append(_ error: InferenceError, _ text: inout TextBuffer) {
    text.append(error.sentence)
    guard error == .doesNotFit, let room else { return }
    text.append(": it ")
    room.describe(to: &text)
  }
}

/// What is asked, in buffers made once.
///
/// Small models do not know facts; they can find them in a text that is put before them (`reference`).
final class Question {
  var text = TextBuffer(capacity: InferenceLimits.textBytes)
  var system = TextBuffer(capacity: InferenceLimits.textBytes)
  var reference = TextBuffer(capacity: InferenceLimits.textBytes)
  private var whole = TextBuffer(capacity: InferenceLimits.textBytes)

  func removeAll() {
    text.removeAll()
    system.removeAll()
    reference.removeAll()
    whole.removeAll()
  }

  /// Hands the question to the model: by its chat template, or as plain text without one.
  func put(to generator: Generator, isRaw: Bool, _ settings: Generator.Settings) throws(InferenceError) {
    if text.isTruncated || system.isTruncated || reference.isTruncated { throw .textTooLong }
    let isChat = generator.isInstruct && !isRaw
    whole.removeAll()
    if !isChat, !system.isEmpty {
      whole.append(system.bytes)
      whole.append("\n\n")
    }
    if !reference.isEmpty {
      if isChat {
        whole.append("Answer the question from this text only. If the text does not say, answer: I do not know.\n\n")
      }
      whole.append(reference.bytes)
      whole.append(isChat ? "\n\nQuestion: " : "\n\n")
    }
    whole.append(text.bytes)
    if whole.isTruncated { throw .textTooLong }
    // The buffers do not move while this object lives.
    let user = whole.withUnsafeBytes { $0 }
    guard isChat else { return try generator.begin(raw: user, settings) }
    let message = ChatTemplate.Message(.user, user)
    if system.isEmpty {
      try generator.begin(chat: (message, nil, nil, nil), settings)
    } else {
      let first = ChatTemplate.Message(.system, system.withUnsafeBytes { $0 })
      try generator.begin(chat: (first, message, nil, nil), settings)
    }
  }
}
