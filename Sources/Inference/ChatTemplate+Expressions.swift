import Bounded

/// Expressions of chat templates, by recursive descent, weakest operator first.
extension ChatTemplate {
  func expression() throws(InferenceError) -> Value {
    depth += 1
    guard depth <= Self.depthMaximum else { throw .badTemplate }
    defer { depth -= 1 }
    try step()
    let value = try disjunction()
    guard takeWord("if") else { return value }
    let isChosen = try isTrue(try disjunction())
    guard takeWord("else") else { return isChosen ? value : .undefined }
    let other = try expression()
    return isChosen ? value : other
  }

  /// Passes an expression that is not run: up to the tag's end.
  func skipExpression() throws(InferenceError) {
    while at < template.count {
      let byte = template[at]
      if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") {
        try skipLiteral()
        continue
      }
      if at + 1 < template.count, template[at + 1] == UInt8(ascii: "}"),
        byte == UInt8(ascii: "%") || byte == UInt8(ascii: "}")
      {
        // The minus in front of it belongs to the end.
        if template[at - 1] == UInt8(ascii: "-") { at -= 1 }
        return
      }
      at += 1
    }
    throw .badTemplate
  }

  private func disjunction() throws(InferenceError) -> Value {
    var value = try conjunction()
    while takeWord("or") {
      let other = try conjunction()
      if try !isTrue(value) { value = other }
    }
    return value
  }

  private func conjunction() throws(InferenceError) -> Value {
    var value = try negation()
    while takeWord("and") {
      let other = try negation()
      if try isTrue(value) { value = other }
    }
    return value
  }

  private func negation() throws(InferenceError) -> Value {
    guard takeWord("not") else { return try comparison() }
    try step()
    depth += 1
    guard depth <= Self.depthMaximum else { throw .badTemplate }
    defer { depth -= 1 }
    return .bool(try !isTrue(try negation()))
  }

  private func comparison() throws(InferenceError) -> Value {
    let value = try sum()
    if takeSign("==") { return .bool(try isEqual(value, try sum())) }
    if takeSign("!=") { return .bool(try !isEqual(value, try sum())) }
    if takeWord("in") { return .bool(try contains(try sum(), value)) }
    if takeWord("is") {
      let isNot = takeWord("not")
      let name = try word()
      return .bool(try test(value, name) != isNot)
    }
    return value
  }

  private func sum() throws(InferenceError) -> Value {
    var value = try remainder()
    while true {
      if takeSign("+") || takeSign("~") {
        value = try joined(value, try remainder())
      } else {
        return value
      }
    }
  }

  private func remainder() throws(InferenceError) -> Value {
    let value = try filtered()
    skipBlanks()
    // Not the end of a statement.
    guard at + 1 < template.count, template[at] == UInt8(ascii: "%"), template[at + 1] != UInt8(ascii: "}") else {
      return value
    }
    at += 1
    guard case .integer(let a) = value, case .integer(let b) = try filtered(), b > 0 else { throw .badTemplate }
    return .integer(a % b)
  }

  private func filtered() throws(InferenceError) -> Value {
    var value = try primary()
    while takeSign("|") {
      let name = try word()
      guard isWord(name, "trim"), case .text(var range) = value else { throw .badTemplate }
      range = trimmed(range)
      value = .text(range)
    }
    return value
  }

  private func trimmed(_ range: Range<Int>) -> Range<Int> {
    var start = range.lowerBound
    var end = range.upperBound
    while start < end, isBlank(scratch.bytes[start]) { start += 1 }
    while end > start, isBlank(scratch.bytes[end - 1]) { end -= 1 }
    return start..<end
  }

  private func primary() throws(InferenceError) -> Value {
    try step()
    skipBlanks()
    guard at < template.count else { throw .badTemplate }
    let byte = template[at]
    var value: Value
    if byte == UInt8(ascii: "(") {
      at += 1
      value = try expression()
      try take(")")
    } else if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") {
      value = try literal()
    } else if byte >= 48, byte < 58 {
      value = .integer(try integer())
    } else {
      let name = try word()
      if isWord(name, "loop") { return try loopValue() }
      // The template says that it does not accept these messages.
      if isWord(name, "raise_exception") { throw .badTemplate }
      value = try self.value(of: name)
    }
    return try members(of: value)
  }

  private func loopValue() throws(InferenceError) -> Value {
    try take(".")
    let name = try word()
    guard let loop else { throw .badTemplate }
    if isWord(name, "first") { return .bool(loop.index == 0) }
    if isWord(name, "last") { return .bool(loop.index == loop.count - 1) }
    if isWord(name, "index0") { return .integer(loop.index) }
    if isWord(name, "index") { return .integer(loop.index + 1) }
    throw .badTemplate
  }

  /// `.role`, `['content']`, `[0]`, `[1:]` and `.strip()` behind a value.
  private func members(of start: Value) throws(InferenceError) -> Value {
    var value = start
    while at < template.count {
      try step()
      if template[at] == UInt8(ascii: ".") {
        at += 1
        let name = try word()
        if isWord(name, "strip"), case .text(let range) = value {
          try take("(")
          try take(")")
          value = .text(trimmed(range))
        } else {
          value = try member(value, RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: template[name])))
        }
      } else if template[at] == UInt8(ascii: "[") {
        at += 1
        value = try indexed(value)
      } else {
        return value
      }
    }
    return value
  }

  private func indexed(_ value: Value) throws(InferenceError) -> Value {
    let index = try expression()
    if takeSign(":") {
      try take("]")
      guard case .messages(let first) = value, case .integer(let skipped) = index, skipped <= 1_000 else {
        throw .badTemplate
      }
      return .messages(first + skipped)
    }
    try take("]")
    switch index {
    case .integer(let number):
      guard case .messages(let first) = value, number <= 1_000, first + number < messageCount else {
        throw .badTemplate
      }
      return .message(first + number)
    case .text(let range):
      let name = UnsafeRawBufferPointer(start: scratch.bytes + range.lowerBound, count: range.count)
      return try member(value, RawSpan(_unsafeBytes: name))
    default: throw .badTemplate
    }
  }

  private func member(_ value: Value, _ name: RawSpan) throws(InferenceError) -> Value {
    guard case .message(let index) = value, let message = message(index) else { throw .badTemplate }
    if name.elementsEqual("content") { return try text(message.content, isStrange: true) }
    if name.elementsEqual("role") {
      let role = message.role.name
      return try text(UnsafeRawBufferPointer(start: role.utf8Start, count: role.utf8CodeUnitCount), isStrange: false)
    }
    // Tools, thoughts, names: these messages have none.
    return .undefined
  }

  // MARK: What values mean

  func isTrue(_ value: Value) throws(InferenceError) -> Bool {
    switch value {
    case .undefined, .none: false
    case .bool(let bool): bool
    case .integer(let number): number != 0
    case .text(let range): !range.isEmpty
    case .message: true
    case .messages(let first): first < messageCount
    }
  }

  private func isEqual(_ a: Value, _ b: Value) throws(InferenceError) -> Bool {
    switch (a, b) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.bool(let x), .bool(let y)): return x == y
    case (.integer(let x), .integer(let y)): return x == y
    case (.text(let x), .text(let y)):
      guard x.count == y.count else { return false }
      for i in 0..<x.count where scratch.bytes[x.lowerBound + i] != scratch.bytes[y.lowerBound + i] { return false }
      return true
    default: return false
    }
  }

  private func contains(_ whole: Value, _ part: Value) throws(InferenceError) -> Bool {
    if case .message = whole, case .text = part { return false }
    guard case .text(let text) = whole, case .text(let piece) = part else { throw .badTemplate }
    guard piece.count <= text.count else { return false }
    for start in 0...(text.count - piece.count) {
      try step()
      var i = 0
      while i < piece.count, scratch.bytes[text.lowerBound + start + i] == scratch.bytes[piece.lowerBound + i] {
        i += 1
      }
      if i == piece.count { return true }
    }
    return false
  }

  private func test(_ value: Value, _ name: Range<Int>) throws(InferenceError) -> Bool {
    if isWord(name, "defined") {
      if case .undefined = value { return false }
      return true
    }
    if isWord(name, "undefined") {
      if case .undefined = value { return true }
      return false
    }
    if isWord(name, "string") {
      if case .text = value { return true }
      return false
    }
    if isWord(name, "none") {
      if case .none = value { return true }
      return false
    }
    if isWord(name, "iterable") || isWord(name, "mapping") { return false }
    throw .badTemplate
  }

  private func joined(_ a: Value, _ b: Value) throws(InferenceError) -> Value {
    if case .integer(let x) = a, case .integer(let y) = b {
      let (sum, overflows) = x.addingReportingOverflow(y)
      guard !overflows else { throw .badTemplate }
      return .integer(sum)
    }
    guard case .text(let x) = a, case .text(let y) = b else { throw .badTemplate }
    let start = scratch.count
    try scratch.append(scratch, x)
    try scratch.append(scratch, y)
    return .text(start..<scratch.count)
  }

  // MARK: Signs and words

  func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (byte >= 0x09 && byte <= 0x0D) }

  func skipBlanks() {
    while at < template.count, isBlank(template[at]) { at += 1 }
  }

  private func isWordByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "_"):
      true
    default: false
    }
  }

  /// Whether this word comes next.
  func isNext(_ text: StaticString) -> Bool {
    let count = text.utf8CodeUnitCount
    guard template.count - at >= count else { return false }
    for i in 0..<count where template[at + i] != text.utf8Start[i] { return false }
    return at + count == template.count || !isWordByte(template[at + count])
  }

  func takeWord(_ text: StaticString) -> Bool {
    skipBlanks()
    guard isNext(text) else { return false }
    at += text.utf8CodeUnitCount
    return true
  }

  func word() throws(InferenceError) -> Range<Int> {
    skipBlanks()
    let start = at
    while at < template.count, isWordByte(template[at]) { at += 1 }
    guard at > start else { throw .badTemplate }
    return start..<at
  }

  func isWord(_ range: Range<Int>, _ text: StaticString) -> Bool {
    RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: template[range])).elementsEqual(text)
  }

  private func takeSign(_ text: StaticString) -> Bool {
    skipBlanks()
    let count = text.utf8CodeUnitCount
    guard template.count - at >= count else { return false }
    for i in 0..<count where template[at + i] != text.utf8Start[i] { return false }
    at += count
    return true
  }

  func take(_ text: StaticString) throws(InferenceError) {
    guard takeSign(text) else { throw .badTemplate }
  }

  private func integer() throws(InferenceError) -> Int {
    var value = 0
    while at < template.count, template[at] >= 48, template[at] < 58 {
      value = value * 10 + Int(template[at] - 48)
      guard value <= 1_000_000 else { throw .badTemplate }
      at += 1
    }
    return value
  }

  private func skipLiteral() throws(InferenceError) {
    let quote = template[at]
    at += 1
    while at < template.count, template[at] != quote { at += template[at] == UInt8(ascii: "\\") ? 2 : 1 }
    guard at < template.count else { throw .badTemplate }
    at += 1
  }

  private func literal() throws(InferenceError) -> Value {
    let quote = template[at]
    at += 1
    let start = scratch.count
    while at < template.count, template[at] != quote {
      var byte = template[at]
      if byte == UInt8(ascii: "\\"), at + 1 < template.count {
        at += 1
        switch template[at] {
        case UInt8(ascii: "n"): byte = 0x0A
        case UInt8(ascii: "t"): byte = 0x09
        case UInt8(ascii: "r"): byte = 0x0D
        case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): byte = template[at]
        default: throw .badTemplate
        }
      }
      try scratch.append(byte, isStrange: false)
      at += 1
    }
    guard at < template.count else { throw .badTemplate }
    at += 1
    return .text(start..<scratch.count)
  }
}
