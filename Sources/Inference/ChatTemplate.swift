import Bounded

/// A model's chat template: the part of Jinja that such templates use, run over the template's bytes in the file.
///
/// There: text, `{{ }}`, `{% if elif else endif for endfor set %}`, `{# #}` and blanks cut by `-`; strings, whole
/// numbers, `true false none`, `+ ~ == != % and or not in`, `a if c else b`, `is defined string none`, `messages[1:]`,
/// `loop.first last index index0`, `| trim`, `raise_exception(…)`. Anything else is refused (`badTemplate`), never
/// guessed. Not an interpreter to rely on for time: a budget of steps ends every run.
public final class ChatTemplate {
  public enum Role: Sendable {
    case system
    case user
    case assistant

    var name: StaticString {
      switch self {
      case .system: "system"
      case .user: "user"
      case .assistant: "assistant"
      }
    }
  }

  public struct Message {
    public let role: Role
    public let content: UnsafeRawBufferPointer
    public init(_ role: Role, _ content: UnsafeRawBufferPointer) {
      self.role = role
      self.content = content
    }
  }

  enum Value {
    /// Of a name that nothing was given; not an error until something needs it.
    case undefined
    case none
    case bool(Bool)
    case integer(Int)
    /// A place in `scratch`.
    case text(Range<Int>)
    case message(Int)
    /// The messages from here on.
    case messages(Int)
  }

  struct Variable {
    let name: Range<Int>
    var value: Value
  }

  let template: UnsafeRawBufferPointer
  private let beginText: UnsafeRawBufferPointer
  private let endText: UnsafeRawBufferPointer
  var at = 0
  var scratch: MarkedText
  private var out: MarkedText
  private var messages: (Message?, Message?, Message?, Message?) = (nil, nil, nil, nil)
  private(set) var messageCount = 0
  /// A list with one more room than names: the last is `loop`'s.
  private let variables: UnsafeMutablePointer<Variable>
  private var variableCount = 0
  private static let variablesMaximum = 16
  var loop: (index: Int, count: Int)?
  private var steps = 0
  private static let stepsMaximum = 20_000
  var depth = 0
  static let depthMaximum = 24

  /// The file's template, with the texts of its begin and end tokens. `noTemplate` when there is none.
  public init(_ file: GgufFile, _ tokenizer: Tokenizer, _ arena: inout Arena) throws(InferenceError) {
    guard let text = try file.text("tokenizer.chat_template") else { throw .noTemplate }
    guard text.count <= InferenceLimits.templateBytes else { throw .overLimit }
    template = text
    func name(of token: UInt32?) -> UnsafeRawBufferPointer {
      guard let token, !arena.isCounting else { return UnsafeRawBufferPointer(start: nil, count: 0) }
      return tokenizer.texts[Int(token)]
    }
    beginText = name(of: tokenizer.beginToken)
    endText = name(of: tokenizer.endToken)
    scratch = try MarkedText(capacity: 4 * InferenceLimits.textBytes, &arena)
    out = try MarkedText(capacity: InferenceLimits.textBytes, &arena)
    variables = try arena.take(Self.variablesMaximum)
  }

  /// The prompt for up to four messages, ready for the answer.
  func render(_ list: (Message?, Message?, Message?, Message?)) throws(InferenceError) -> MarkedText {
    messages = list
    messageCount = list.3 != nil ? 4 : list.2 != nil ? 3 : list.1 != nil ? 2 : 1
    out.truncate(to: 0)
    scratch.truncate(to: 0)
    variableCount = 0
    loop = nil
    steps = 0
    depth = 0
    at = 0
    try runBlock(executes: true, isInside: false)
    return out
  }

  func message(_ index: Int) -> Message? {
    switch index {
    case 0: messages.0
    case 1: messages.1
    case 2: messages.2
    case 3: messages.3
    default: nil
    }
  }

  func step() throws(InferenceError) {
    steps += 1
    guard steps <= Self.stepsMaximum else { throw .badTemplate }
  }

  // MARK: Statements

  /// Runs, or passes, until the end or a tag that belongs to the caller: `endif`, `else`, `elif`, `endfor`. Stays
  /// before that tag's name.
  private func runBlock(executes: Bool, isInside: Bool) throws(InferenceError) {
    depth += 1
    guard depth <= Self.depthMaximum else { throw .badTemplate }
    defer { depth -= 1 }
    while true {
      try copyText(executes: executes)
      guard at < template.count else {
        if isInside { throw .badTemplate }
        return
      }
      try step()
      let kind = template[at + 1]
      at += 2
      if at < template.count, template[at] == UInt8(ascii: "-") || template[at] == UInt8(ascii: "+") { at += 1 }
      if kind == UInt8(ascii: "#") {
        while at + 1 < template.count, template[at] != kind || template[at + 1] != UInt8(ascii: "}") { at += 1 }
        try endTag(kind)
      } else if kind == UInt8(ascii: "{") {
        let kept = scratch.count
        if executes {
          try write(try expression())
        } else {
          try skipExpression()
        }
        scratch.truncate(to: kept)
        try endTag(UInt8(ascii: "}"))
      } else {
        skipBlanks()
        if isNext("endif") || isNext("else") || isNext("elif") || isNext("endfor") {
          guard isInside else { throw .badTemplate }
          return
        }
        try runStatement(executes: executes)
      }
    }
  }

  private func runStatement(executes: Bool) throws(InferenceError) {
    if takeWord("if") {
      try runIf(executes: executes)
    } else if takeWord("for") {
      try runFor(executes: executes)
    } else if takeWord("set") {
      let name = try word()
      try take("=")
      if executes {
        try assign(name, try expression())
      } else {
        try skipExpression()
      }
      try endTag(UInt8(ascii: "%"))
    } else {
      throw .badTemplate
    }
  }

  private func runIf(executes: Bool) throws(InferenceError) {
    var isDone = !executes
    var runs = false
    if isDone { try skipExpression() } else { runs = try condition() }
    try endTag(UInt8(ascii: "%"))
    while true {
      try runBlock(executes: runs, isInside: true)
      isDone = isDone || runs
      runs = false
      if takeWord("elif") {
        if isDone { try skipExpression() } else { runs = try condition() }
      } else if takeWord("else") {
        runs = !isDone
      } else if takeWord("endif") {
        return try endTag(UInt8(ascii: "%"))
      } else {
        throw .badTemplate
      }
      try endTag(UInt8(ascii: "%"))
    }
  }

  /// What an expression makes on its way is not needed once it is known to be true or not.
  private func condition() throws(InferenceError) -> Bool {
    let kept = scratch.count
    let result = try isTrue(try expression())
    scratch.truncate(to: kept)
    return result
  }

  private func runFor(executes: Bool) throws(InferenceError) {
    let name = try word()
    guard takeWord("in") else { throw .badTemplate }
    var list = messageCount..<messageCount
    if executes {
      guard case .messages(let first) = try expression() else { throw .badTemplate }
      list = min(first, messageCount)..<messageCount
    } else {
      try skipExpression()
    }
    try endTag(UInt8(ascii: "%"))
    let body = at
    let outer = loop
    for i in list {
      at = body
      loop = (i - list.lowerBound, list.count)
      try assign(name, .message(i))
      try runBlock(executes: true, isInside: true)
      guard isNext("endfor") else { throw .badTemplate }
    }
    loop = outer
    if list.isEmpty { try runBlock(executes: false, isInside: true) }
    guard takeWord("endfor") else { throw .badTemplate }
    try endTag(UInt8(ascii: "%"))
  }

  // MARK: Text

  /// Copies text up to the next tag; stays at its brace.
  private func copyText(executes: Bool) throws(InferenceError) {
    let start = at
    while at < template.count, !isTag(at) { at += 1 }
    var end = at
    if at + 2 < template.count, template[at + 2] == UInt8(ascii: "-") {
      while end > start, isBlank(template[end - 1]) { end -= 1 }
    } else if at + 1 < template.count, template[at + 1] != UInt8(ascii: "{") {
      // Nor the blanks of a line before a statement (lstrip_blocks).
      var line = end
      while line > start, template[line - 1] == 0x20 || template[line - 1] == 0x09 { line -= 1 }
      if line == 0 || (line > 0 && template[line - 1] == 0x0A) { end = line }
    }
    if executes {
      try out.append(UnsafeRawBufferPointer(rebasing: template[start..<end]), isStrange: false)
    }
  }

  private func isTag(_ place: Int) -> Bool {
    guard template[place] == UInt8(ascii: "{"), place + 1 < template.count else { return false }
    let kind = template[place + 1]
    return kind == UInt8(ascii: "{") || kind == UInt8(ascii: "%") || kind == UInt8(ascii: "#")
  }

  /// Takes the end of a tag, `%}` or `}}`, with the blanks that it cuts: all behind `-`, and one line break behind
  /// a statement, as Hugging Face's library sets it (trim_blocks).
  private func endTag(_ kind: UInt8) throws(InferenceError) {
    skipBlanks()
    var cuts = false
    if at < template.count, template[at] == UInt8(ascii: "-") {
      cuts = true
      at += 1
    }
    guard at + 1 < template.count, template[at] == kind, template[at + 1] == UInt8(ascii: "}") else {
      throw .badTemplate
    }
    at += 2
    if cuts {
      skipBlanks()
    } else if kind != UInt8(ascii: "}"), at < template.count, template[at] == 0x0A {
      at += 1
    }
  }

  private func write(_ value: Value) throws(InferenceError) {
    switch value {
    case .text(let range): try out.append(scratch, range)
    case .undefined, .none: break
    case .integer, .bool, .message, .messages: throw .badTemplate
    }
  }

  // MARK: Variables

  private func assign(_ name: Range<Int>, _ value: Value) throws(InferenceError) {
    for i in 0..<variableCount where same(variables[i].name, name) {
      variables[i].value = value
      return
    }
    guard variableCount < Self.variablesMaximum else { throw .badTemplate }
    (variables + variableCount).initialize(to: Variable(name: name, value: value))
    variableCount += 1
  }

  /// What a name stands for.
  func value(of name: Range<Int>) throws(InferenceError) -> Value {
    for i in 0..<variableCount where same(variables[i].name, name) { return variables[i].value }
    if isWord(name, "messages") { return .messages(0) }
    if isWord(name, "add_generation_prompt") { return .bool(true) }
    if isWord(name, "true") || isWord(name, "True") { return .bool(true) }
    if isWord(name, "false") || isWord(name, "False") { return .bool(false) }
    if isWord(name, "none") || isWord(name, "None") { return .none }
    if isWord(name, "bos_token") { return try text(beginText, isStrange: false) }
    if isWord(name, "eos_token") { return try text(endText, isStrange: false) }
    return .undefined
  }

  /// A text in `scratch`.
  func text(_ bytes: UnsafeRawBufferPointer, isStrange: Bool) throws(InferenceError) -> Value {
    let start = scratch.count
    try scratch.append(bytes, isStrange: isStrange)
    return .text(start..<scratch.count)
  }

  private func same(_ a: Range<Int>, _ b: Range<Int>) -> Bool {
    RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: template[a]))
      .elementsEqual(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: template[b])))
  }
}
