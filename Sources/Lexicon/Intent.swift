import Bounded

/// What a message seems to want, by a small table of rules; no more than a hint.
///
/// The first rule that holds decides: a question mark at the end, then the first word, then the message's
/// form. ASCII case does not matter.
public enum Intent: UInt8, CaseIterable, Sendable {
  case greeting, farewell, thanks, apology, question, command, affirmation, denial, alert, statement

  public var name: StaticString {
    switch self {
    case .greeting: "greeting"
    case .farewell: "farewell"
    case .thanks: "thanks"
    case .apology: "apology"
    case .question: "question"
    case .command: "command"
    case .affirmation: "affirmation"
    case .denial: "denial"
    case .alert: "alert"
    case .statement: "statement"
    }
  }

  public var symbol: StaticString {
    switch self {
    case .greeting: "👋"
    case .farewell: "🚪"
    case .thanks: "🙏"
    case .apology: "🙇"
    case .question: "❓"
    case .command: "⚡"
    case .affirmation: "✅"
    case .denial: "❌"
    case .alert: "🚨"
    case .statement: "💬"
    }
  }

  /// The words that decide as the first of a message; nil where there are none.
  private var openings: StaticString? {
    switch self {
    case .greeting: " hello hi hey hallo greetings welcome morning bonjour hola ciao salut servus moin "
    case .farewell: " bye goodbye farewell tschüss adieu "
    case .thanks: " thanks thank thx danke merci gracias grazie "
    case .apology: " sorry apologies pardon entschuldigung "
    case .question:
      " what who whom whose where when why how which is are was were do does did can could will would should may "
    case .command:
      """
       get set show list send start stop run open close read write find give make take add remove delete update \
      join leave wait check restart reload please tell help\u{20}
      """
    case .affirmation: " yes yeah yep ok okay sure agreed ja oui si "
    case .denial: " no nope never nein non "
    case .alert: " warning error alert alarm danger emergency critical failure fire "
    case .statement: nil
    }
  }

  public static func of(_ text: RawSpan) -> Intent {
    var end = text.byteCount
    while end > 0, text.u8(end - 1) <= 0x20 { end -= 1 }
    guard end > 0 else { return .statement }
    if text.u8(end - 1) == UInt8(ascii: "?") { return .question }
    var start = 0
    while start < end, !isWordByte(text.u8(start)) { start += 1 }
    var stop = start
    while stop < end, isWordByte(text.u8(stop)) { stop += 1 }
    guard stop > start else { return .statement }
    let word = text.extracting(start..<stop)
    for intent in allCases {
      if let openings = intent.openings, holds(openings, word) { return intent }
    }
    return .statement
  }

  private static func isWordByte(_ byte: UInt8) -> Bool {
    byte >= 0x80 || (byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z"))
  }

  /// Whether `word` stands in `list` between two spaces.
  private static func holds(_ list: StaticString, _ word: RawSpan) -> Bool {
    let bytes = list.utf8Start
    let count = list.utf8CodeUnitCount
    guard word.byteCount + 2 <= count else { return false }
    for start in 1...(count - 1 - word.byteCount)
    where bytes[start - 1] == 0x20 && bytes[start + word.byteCount] == 0x20 {
      var same = true
      for i in 0..<word.byteCount {
        let byte = word.u8(i)
        if (byte < 0x80 ? byte | 0x20 : byte) != bytes[start + i] {
          same = false
          break
        }
      }
      if same { return true }
    }
    return false
  }
}
