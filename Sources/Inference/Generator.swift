import Bounded

/// Continues a text with a decoder, step by step, so that whoever calls can look after other things in between.
///
/// Order of calls: `begin` with what to continue, then `step` until it says how it ended; after each step take what
/// `output` has ready. What a new prompt shares with the last one stays in the cache.
public final class Generator {
  public struct Settings {
    /// Tokens of the answer, at most.
    public var tokensMaximum = 256
    public var sampler = Sampler()
    public init() {}
  }

  public enum End: Sendable {
    /// The model ended its turn.
    case stop
    /// A stop text came.
    case stopText
    /// As many tokens as were asked for.
    case length
    /// The context is full.
    case context

    public var name: StaticString {
      switch self {
      case .stop: "stop"
      case .stopText: "stop_text"
      case .length: "length"
      case .context: "context"
      }
    }
  }

  public let tokenizer: Tokenizer
  public let decoder: Decoder
  public var output = TextStream()
  public private(set) var promptCount = 0
  /// How much of the prompt was in the cache already.
  public private(set) var reusedCount = 0
  public private(set) var answerCount = 0
  /// The last prompt's tokens.
  public let prompt: UnsafeMutablePointer<UInt32>
  private let template: ChatTemplate?
  /// Prompt and answer; those below the decoder's position are in its cache.
  private let tokens: UnsafeMutablePointer<UInt32>
  private var count = 0
  private var settings = Settings()
  private var text = TextBuffer(capacity: InferenceLimits.tokenBytes)

  public init(_ file: GgufFile, context: Int, pool: WorkPool, _ arena: inout Arena) throws(InferenceError) {
    decoder = try Decoder(file, context: context, pool: pool, &arena)
    tokenizer = try Tokenizer(file, &arena)
    var found: ChatTemplate?
    do throws(InferenceError) {
      found = try ChatTemplate(file, tokenizer, &arena)
    } catch .noTemplate {
      found = nil
    }
    template = found
    tokens = try arena.take(decoder.context)
    prompt = try arena.take(decoder.context)
  }

  /// Whether the model has a chat template, which makes it an instruct model.
  public var isInstruct: Bool { template != nil }

  /// Continues a text as it stands.
  public func begin(raw text: UnsafeRawBufferPointer, _ settings: Settings) throws(InferenceError) {
    let room = UnsafeMutableBufferPointer(start: prompt, count: decoder.context)
    try begin(try tokenizer.encode(text, addsBegin: true, parsesSpecials: false, into: room), settings)
  }

  /// Answers the last of some messages, by the model's template.
  public func begin(
    chat messages: (ChatTemplate.Message?, ChatTemplate.Message?, ChatTemplate.Message?, ChatTemplate.Message?),
    _ settings: Settings
  ) throws(InferenceError) {
    guard let template else { throw .noTemplate }
    let text = try template.render(messages)
    let room = UnsafeMutableBufferPointer(start: prompt, count: decoder.context)
    // The template writes the begin token itself, where there is one.
    let count = try tokenizer.encode(text.buffer, marks: text.marks, addsBegin: false, parsesSpecials: true, into: room)
    try begin(count, settings)
  }

  private func begin(_ newCount: Int, _ settings: Settings) throws(InferenceError) {
    guard newCount >= 1 else { throw .badValue }
    guard newCount < decoder.context else { throw .contextFull }
    // The last token always goes through the model: its logits are wanted.
    var shared = 0
    while shared < newCount - 1, shared < decoder.position, tokens[shared] == prompt[shared] { shared += 1 }
    decoder.rewind(to: shared)
    for i in 0..<newCount { tokens[i] = prompt[i] }
    reusedCount = shared
    promptCount = newCount
    count = newCount
    answerCount = 0
    self.settings = settings
    output.begin()
  }

  /// Brings the text further: a batch of the prompt, or one token. Nil while it goes on. `isCancelled` is asked often,
  /// and ends the call with `cancelled` when it says so.
  public func step(isCancelled: () -> Bool) throws(InferenceError) -> End? {
    let start = decoder.position
    let end = min(count, start + InferenceLimits.batch)
    try decoder.evaluate(UnsafeBufferPointer(start: tokens + start, count: end - start), isCancelled: isCancelled)
    guard end == count else { return nil }
    if answerCount >= settings.tokensMaximum { return finish(.length) }
    let token = settings.sampler.choose(decoder.logits(at: end - start - 1))
    if tokenizer.isEnd(token) { return finish(.stop) }
    answerCount += 1
    try show(token)
    if output.hasStopped { return finish(.stopText) }
    if answerCount >= settings.tokensMaximum { return finish(.length) }
    guard count < decoder.context else { return finish(.context) }
    tokens[count] = token
    count += 1
    return nil
  }

  private func show(_ token: UInt32) throws(InferenceError) {
    text.removeAll()
    tokenizer.append(token, to: &text)
    try output.append(text)
  }

  private func finish(_ end: End) -> End {
    output.flush()
    return end
  }
}
