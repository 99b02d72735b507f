import Bounded
import Lexicon
import Wire

/// A text and its compact form, as replies show them.
///
/// Fields first (`genom_message`, `intent`, `text_bytes`, …), then a row for each item of the compact form, then
/// `token_count` and `tokens_shown`: a reply of fixed size has room for so many.
public struct EncodedText: ~Escapable {
  private let text: RawSpan
  private let stream: RawSpan

  /// `stream` is the whole compact form of `text`.
  @_lifetime(copy text, copy stream)
  public init(_ text: RawSpan, stream: RawSpan) {
    self.text = text
    self.stream = stream
  }

  /// `GENOM|` source `|` generation `|MSG|` compact form in hexadecimal.
  public func head(source: UInt32, generation: UInt32, to reply: inout ControlReply) {
    reply.fieldInPlace("genom_message") { message in
      message.append("GENOM|")
      if source == 0 { message.append("-") } else { appendNodeId(source, to: &message) }
      message.append("|")
      message.append(UInt64(generation))
      message.append("|MSG|")
      message.append(hex: stream)
    }
    let intent = Intent.of(text)
    reply.field("intent", intent.name)
    reply.field("intent_symbol", intent.symbol)
    reply.fieldHex("compact", stream)
    reply.field("text_bytes", text.byteCount)
    reply.field("compact_bytes", stream.byteCount)
    if text.byteCount > 0 {
      let thousandths = (1_000 * Int64(stream.byteCount) + Int64(text.byteCount) / 2) / Int64(text.byteCount)
      reply.fieldScaled("compression_ratio", thousandths, places: 3)
    } else {
      reply.fieldUnknown("compression_ratio")
    }
  }

  /// The rows. `learnt` says what is known elsewhere of a word that the file does not hold; `afterRow` may take
  /// out what is written so far, for lists longer than the reply.
  public func tokens(
    _ view: borrowing LexiconView, to reply: inout ControlReply, learnt: (RawSpan) -> WordEntry?,
    afterRow: (inout ControlReply) -> Void = { _ in }
  ) throws(LexiconError) {
    var reader = StreamReader(stream)
    var count = 0
    var shown = 0
    var isFull = false
    reply.beginRows()
    while !reader.isAtEnd {
      let item = try reader.next()
      count += 1
      if isFull { continue }
      reply.beginRow()
      row(item, view, &reply, learnt)
      if reply.endRow() {
        shown += 1
        afterRow(&reply)
      } else {
        isFull = true
      }
    }
    reply.endRows()
    reply.field("token_count", count)
    reply.field("tokens_shown", shown)
  }

  private func row(
    _ item: StreamItem, _ view: borrowing LexiconView, _ reply: inout ControlReply, _ learnt: (RawSpan) -> WordEntry?
  ) {
    switch item {
    case .word(let id, _, _):
      reply.field("kind", "word")
      if let entry = view.entry(of: id) { reply.token(entry) }
    case .byte(let byte):
      reply.field("kind", "byte")
      if let entry = view.entry(of: UInt32(byte)) { reply.token(entry) }
    case .literal(let offset, let length, _):
      let literal = stream.extracting(offset..<(offset + length))
      if let entry = learnt(literal) {
        reply.field("kind", "learnt")
        return reply.token(entry)
      }
      reply.field("kind", "literal")
      if ControlText.isClean(literal) { reply.field("text", literal) } else { reply.fieldHex("text_hex", literal) }
    case .digits(let value, let digits, _):
      reply.field("kind", "digits")
      reply.field("text", Self.digits(value, digits))
    case .spaces(let count):
      reply.field("kind", "spaces")
      reply.field("count", count)
    case .repeated(let byte, let count):
      reply.field("kind", "repeated")
      if let entry = view.entry(of: UInt32(byte)) { reply.token(entry) }
      reply.field("count", count)
    }
  }

  private static func digits(_ value: UInt32, _ count: Int) -> InlineText<9> {
    var text = InlineArray<9, UInt8>(repeating: 0)
    var left = value
    for i in stride(from: count - 1, through: 0, by: -1) {
      text[i] = UInt8(ascii: "0") + UInt8(left % 10)
      left /= 10
    }
    return InlineText(text.span.bytes.extracting(0..<count))!
  }

  /// The compact form in an argument: hexadecimal, or behind the last bar of a `genom_message`. The number of
  /// bytes, nil when it is neither or does not fit.
  public static func parse(_ argument: RawSpan, into out: UnsafeMutableRawBufferPointer) -> Int? {
    var start = 0
    var bars = 0
    for i in 0..<argument.byteCount where argument[i] == UInt8(ascii: "|") {
      start = i + 1
      bars += 1
    }
    if bars > 0 {
      guard bars == 4, argument.byteCount >= 6, argument.extracting(0..<6).elementsEqual("GENOM|"), start >= 5,
        argument.extracting((start - 5)..<start).elementsEqual("|MSG|")
      else { return nil }
    }
    let count = (argument.byteCount - start) / 2
    guard (argument.byteCount - start) % 2 == 0, count <= out.count else { return nil }
    for i in 0..<count {
      guard let byte = hexByte(argument[start + 2 * i], argument[start + 2 * i + 1]) else { return nil }
      out[i] = byte
    }
    return count
  }
}
