import Bounded

/// Texts to token numbers and back, for one model.
///
/// Compact: the tokens' texts stay in the mapped file. What it needs is taken from the arena at load; afterwards
/// nothing is allocated. Not for several threads at once.
public final class Tokenizer {
  enum Kind {
    /// GPT-2's byte pairs. `splitsDigits`: each digit is a word of its own (pre-tokenizer `smollm`).
    case bytePair(BytePairEncoder)
    case sentencePiece(SentencePieceEncoder)
    case wordPiece(WordPieceEncoder)
  }

  /// What a token is for; raw values are those of GGUF.
  enum TokenType: Int32 {
    case normal = 1
    case unknown, control, userDefined, unused, byte
  }

  let kind: Kind
  let texts: TextIndex
  /// Each token's type, 4 bytes, in the file; nil when the file has none: all are normal then.
  private let types: UnsafeRawPointer?
  /// Tokens that stand for themselves in a prompt: `<|im_start|>` and its like, longest first.
  private let specials: UnsafeMutablePointer<UInt32>
  private var specialCount = 0
  private static let specialsMaximum = 8_192
  /// Whether one of them begins with this byte.
  private var beginsSpecial = InlineArray<256, Bool>(repeating: false)

  public let beginToken: UInt32?
  public let endToken: UInt32?
  /// The end of a turn, where that is another token.
  public private(set) var endOfTurnToken: UInt32?
  public let addsBegin: Bool

  public init(_ file: GgufFile, _ arena: inout Arena) throws(InferenceError) {
    guard let tokens = try file.array("tokenizer.ggml.tokens", of: .string) else { throw .missingKey }
    texts = try TextIndex(file, tokens, most: InferenceLimits.vocabulary, &arena)
    let count = texts.count
    if let array = try file.array("tokenizer.ggml.token_type", of: .int32) {
      guard array.count == count else { throw .badVocabulary }
      types = file.bytes.baseAddress! + array.offset
    } else {
      types = nil
    }
    func token(_ key: StaticString) throws(InferenceError) -> UInt32? {
      guard let id = try file.integer(key), id < count else { return nil }
      return UInt32(id)
    }
    beginToken = try token("tokenizer.ggml.bos_token_id")
    endToken = try token("tokenizer.ggml.eos_token_id")
    let unknown = try token("tokenizer.ggml.unknown_token_id")
    guard let model = try file.text("tokenizer.ggml.model") else { throw .missingKey }
    let name = RawSpan(_unsafeBytes: model)
    if name.elementsEqual("gpt2") {
      kind = .bytePair(try BytePairEncoder(file, &arena))
      addsBegin = try file.bool("tokenizer.ggml.add_bos_token") ?? false
    } else if name.elementsEqual("llama") {
      kind = .sentencePiece(try SentencePieceEncoder(file, count, unknown, &arena))
      addsBegin = try file.bool("tokenizer.ggml.add_bos_token") ?? true
    } else if name.elementsEqual("bert") {
      kind = .wordPiece(try WordPieceEncoder(file, unknown, &arena))
      addsBegin = true
    } else {
      throw .unknownTokenizer
    }
    specials = try arena.take(Self.specialsMaximum)
    endOfTurnToken = try token("tokenizer.ggml.eot_token_id")
    guard !arena.isCounting else { return }
    findSpecials()
    if endOfTurnToken == nil {
      endOfTurnToken = special("<end_of_turn>") ?? special("<|eot_id|>") ?? special("<|im_end|>")
    }
  }

  public var count: Int { texts.count }

  func type(_ token: Int) -> TokenType {
    guard let types else { return .normal }
    return TokenType(rawValue: types.loadUnaligned(fromByteOffset: 4 * token, as: Int32.self)) ?? .normal
  }

  private func special(_ text: StaticString) -> UInt32? {
    for i in 0..<specialCount where RawSpan(_unsafeBytes: texts[Int(specials[i])]).elementsEqual(text) {
      return specials[i]
    }
    return nil
  }

  private func findSpecials() {
    for token in 0..<count {
      let type = type(token)
      guard type == .control || type == .userDefined, !texts[token].isEmpty, specialCount < Self.specialsMaximum else {
        continue
      }
      specials[specialCount] = UInt32(token)
      beginsSpecial[Int(texts[token][0])] = true
      specialCount += 1
    }
    // By insertion, longest first: models have few of different lengths, mostly in order already.
    var i = 1
    while i < specialCount {
      let token = specials[i]
      let length = texts[Int(token)].count
      var k = i
      while k > 0, texts[Int(specials[k - 1])].count < length {
        specials[k] = specials[k - 1]
        k -= 1
      }
      specials[k] = token
      i += 1
    }
  }

  public func isEnd(_ token: UInt32) -> Bool { token == endToken || token == endOfTurnToken }

  // MARK: Text to tokens

  /// Writes the tokens of `text` to `out`, and returns how many. `addsBegin`, if the model wants it, puts the
  /// begin token in front; `parsesSpecials` takes the names of control tokens for these, as prompts made from a
  /// chat template need, and as texts of strangers must not have.
  public func encode(
    _ text: UnsafeRawBufferPointer, addsBegin: Bool, parsesSpecials: Bool, into out: UnsafeMutableBufferPointer<UInt32>
  ) throws(InferenceError) -> Int {
    try encode(text, marks: nil, addsBegin: addsBegin, parsesSpecials: parsesSpecials, into: out)
  }

  /// The same, but no control token is found where a byte is marked.
  func encode(
    _ text: UnsafeRawBufferPointer, marks: UnsafePointer<UInt8>?, addsBegin: Bool, parsesSpecials: Bool,
    into out: UnsafeMutableBufferPointer<UInt32>
  ) throws(InferenceError) -> Int {
    guard text.count <= InferenceLimits.textBytes else { throw .textTooLong }
    var writer = TokenWriter(out)
    if addsBegin, self.addsBegin, let beginToken { try writer.append(beginToken) }
    var at = 0
    var plain = 0
    while at < text.count {
      guard let token = special(text, at, marks, withControl: parsesSpecials) else {
        at += 1
        continue
      }
      try encodePlain(UnsafeRawBufferPointer(rebasing: text[plain..<at]), isFirst: plain == 0, &writer)
      try writer.append(token)
      at += texts[Int(token)].count
      plain = at
    }
    if plain < text.count {
      try encodePlain(UnsafeRawBufferPointer(rebasing: text[plain...]), isFirst: plain == 0, &writer)
    }
    if case .wordPiece = kind, addsBegin, let endToken { try writer.append(endToken) }
    return writer.count
  }

  /// Tokens that the model's makers defined are taken always, those that control it only if wanted.
  private func special(_ text: UnsafeRawBufferPointer, _ at: Int, _ marks: UnsafePointer<UInt8>?, withControl: Bool)
    -> UInt32?
  {
    guard beginsSpecial[Int(text[at])] else { return nil }
    for i in 0..<specialCount {
      let name = texts[Int(specials[i])]
      let isOwn = type(Int(specials[i])) == .userDefined
      guard name[0] == text[at], withControl || isOwn, name.count <= text.count - at else { continue }
      var k = 1
      while k < name.count, name[k] == text[at + k] { k += 1 }
      if !isOwn, let marks {
        for i in 0..<k where marks[at + i] != 0 { k = 0 }
      }
      if k == name.count { return specials[i] }
    }
    return nil
  }

  private func encodePlain(_ text: UnsafeRawBufferPointer, isFirst: Bool, _ writer: inout TokenWriter)
    throws(InferenceError)
  {
    guard !text.isEmpty else { return }
    switch kind {
    case .bytePair(let encoder): try encoder.encode(text, texts, &writer)
    case .sentencePiece(let encoder): try encoder.encode(text, isFirst: isFirst, texts, &writer)
    case .wordPiece(let encoder): try encoder.encode(text, texts, &writer)
    }
  }

  // MARK: Tokens to text

  /// Appends a token's bytes; control tokens have none unless `showsControl`. Characters may be cut anywhere.
  public func append(_ token: UInt32, to out: inout TextBuffer, showsControl: Bool = false) {
    guard token < count else { return }
    let type = type(Int(token))
    if type == .control || type == .userDefined || type == .unknown {
      if showsControl || type == .userDefined { out.append(RawSpan(_unsafeBytes: texts[Int(token)])) }
      return
    }
    switch kind {
    case .bytePair: BytePairEncoder.append(texts[Int(token)], to: &out)
    case .sentencePiece: SentencePieceEncoder.append(texts[Int(token)], isByte: type == .byte, to: &out)
    case .wordPiece: out.append(RawSpan(_unsafeBytes: texts[Int(token)]))
    }
  }
}

/// Where tokens go; says when there is no room.
struct TokenWriter {
  private let out: UnsafeMutableBufferPointer<UInt32>
  private(set) var count = 0

  init(_ out: UnsafeMutableBufferPointer<UInt32>) { self.out = out }

  mutating func append(_ token: UInt32) throws(InferenceError) {
    guard count < out.count else { throw .contextFull }
    out[count] = token
    count += 1
  }
}

/// One character of UTF-8 at `at`: its code point and length. A byte that begins none is U+FFFD of length 1.
func character(_ text: UnsafeRawBufferPointer, _ at: Int) -> (code: UInt32, length: Int) {
  let first = UInt32(text[at])
  if first < 0x80 { return (first, 1) }
  let length = utf8SequenceLength(RawSpan(_unsafeBytes: text), at: at)
  guard length > 1 else { return (0xFFFD, 1) }
  var code = first & (0x7F >> UInt32(length))
  for i in 1..<length { code = code << 6 | UInt32(text[at + i] & 0x3F) }
  return (code, length)
}
