import CSky
import Platform
import Wire

/// Why the command line was not understood.
struct UsageError: Error {
  let sentence: StaticString
  let word: Word?
}

/// The command line, read and checked.
struct Arguments {
  var command: Subcommand?
  var words: [Word] = []
  var socket: UnsafePointer<CChar>
  var timeoutSeconds: UInt64?
  var isJson = false
  var wantsHelp = false
  var wantsVersion = false
  var readsStandardInput = false
  var acknowledges = false
  var isDurable = false
  var isUrgent = false
  /// Seconds that a durable message may wait; 0 means without limit.
  var timeToLiveS: UInt64 = 0
  var waitsForReceipt = false
  /// Of `ask` and `learn`.
  var isFree = false
  var explains = false
  var staysLocal = false
  var asksUpstream = false
  var isPinned = false
  /// Of `send`, `encode` and `decode`: the input; of the last two the binary form as output.
  var file: Word?
  /// Of `send`: the name that a file gets, and the first part to be sent, counted from 1.
  var name: Word?
  var firstPart: UInt64 = 1
  /// Of `inbox`: where files go, and whether to wait for more.
  var saveDirectory: Word?
  var follows = false
  var wantsCompact = false

  /// Global options may stand before or after the command; `--` ends options.
  init() throws(UsageError) {
    socket = sky_environment("SKYNOD_SOCKET") ?? defaultSocket
    var index: Int32 = 1
    var optionsEnded = false
    while index < sky_cli_argument_count() {
      let word = Word(argument: index)
      index += 1
      if optionsEnded || !word.isOption {
        try take(word)
      } else if word.is("--") {
        optionsEnded = true
      } else {
        try takeOption(word, &index)
      }
    }
  }

  /// Seconds to wait for the daemon.
  var timeoutMs: UInt64 {
    let seconds = timeoutSeconds ?? (waitsForReceipt ? 60 : command?.defaultTimeoutSeconds ?? 5)
    return seconds * 1_000
  }

  private var takesTimeToLive: Bool { command == .send || command == .learn }
  private var isCoder: Bool { command == .encode || command == .decode }

  private mutating func take(_ word: Word) throws(UsageError) {
    if command != nil { return words.append(word) }
    guard let found = Subcommand(word) else { throw UsageError(sentence: "no such command", word: word) }
    command = found
  }

  private mutating func takeOption(_ word: Word, _ index: inout Int32) throws(UsageError) {
    if word.is("--json") {
      isJson = true
    } else if word.is("--help") || word.is("-h") {
      wantsHelp = true
    } else if word.is("--version") {
      wantsVersion = true
    } else if word.is("--stdin"), command == .send || isCoder {
      readsStandardInput = true
    } else if word.is("--free"), command == .ask {
      isFree = true
    } else if word.is("--explain"), command == .ask {
      explains = true
    } else if word.is("--local"), command == .ask {
      staysLocal = true
    } else if word.is("--upstream"), command == .ask {
      asksUpstream = true
    } else if word.is("--pin"), command == .learn {
      isPinned = true
    } else if word.is("--ttl"), takesTimeToLive {
      try setTimeToLive(value(of: word, &index))
    } else if let seconds = word.after("--ttl="), takesTimeToLive {
      try setTimeToLive(seconds)
    } else if word.is("--file"), command == .send || isCoder {
      file = try value(of: word, &index)
    } else if let path = word.after("--file="), command == .send || isCoder {
      file = path
    } else if word.is("--compact"), command == .encode {
      wantsCompact = true
    } else if command == .send, try takeSendOption(word, &index) {
      return
    } else if command == .inbox, try takeInboxOption(word, &index) {
      return
    } else if word.is("--socket") {
      socket = try value(of: word, &index).start
    } else if let path = word.after("--socket=") {
      socket = path.start
    } else if word.is("--timeout") {
      try setTimeout(value(of: word, &index))
    } else if let seconds = word.after("--timeout=") {
      try setTimeout(seconds)
    } else {
      throw UsageError(sentence: "no such option", word: word)
    }
  }

  /// False when it is none of these.
  private mutating func takeSendOption(_ word: Word, _ index: inout Int32) throws(UsageError) -> Bool {
    if word.is("--durable") {
      isDurable = true
    } else if word.is("--urgent") {
      isUrgent = true
      isDurable = true
    } else if word.is("--wait") {
      waitsForReceipt = true
    } else if word.is("--name") {
      name = try value(of: word, &index)
    } else if let text = word.after("--name=") {
      name = text
    } else if word.is("--from") {
      try setFirstPart(value(of: word, &index))
    } else if let number = word.after("--from=") {
      try setFirstPart(number)
    } else {
      return false
    }
    return true
  }

  private mutating func takeInboxOption(_ word: Word, _ index: inout Int32) throws(UsageError) -> Bool {
    if word.is("--ack") {
      acknowledges = true
    } else if word.is("--follow") {
      follows = true
    } else if word.is("--save") {
      saveDirectory = try value(of: word, &index)
    } else if let path = word.after("--save=") {
      saveDirectory = path
    } else {
      return false
    }
    return true
  }

  private mutating func setFirstPart(_ word: Word) throws(UsageError) {
    guard let number = word.number, number >= 1, number <= UInt64(Limits.fileParts) else {
      throw UsageError(sentence: "not the number of a part, from 1 on", word: word)
    }
    firstPart = number
  }

  private func value(of option: Word, _ index: inout Int32) throws(UsageError) -> Word {
    guard index < sky_cli_argument_count() else {
      throw UsageError(sentence: "a value is missing after", word: option)
    }
    index += 1
    return Word(argument: index - 1)
  }

  private mutating func setTimeout(_ word: Word) throws(UsageError) {
    guard let seconds = word.number, seconds <= 86_400 else {
      throw UsageError(sentence: "not a number of seconds from 0 to 86400", word: word)
    }
    timeoutSeconds = seconds
  }

  private mutating func setTimeToLive(_ word: Word) throws(UsageError) {
    guard let seconds = word.number, seconds >= 1, seconds <= UInt64(UInt32.max) else {
      throw UsageError(sentence: "not a number of seconds from 1 to 4294967295", word: word)
    }
    timeToLiveS = seconds
    isDurable = true
  }

  /// What `--follow` and `--save` do rather than one listing.
  var keepsInboxOpen: Bool { follows || saveDirectory != nil }

  private var readsFile: Bool { readsStandardInput || file != nil }

  /// How many words each command takes.
  func checkWords() throws(UsageError) {
    guard let command else { throw UsageError(sentence: "which command? try --help", word: nil) }
    let range: (least: Int, most: Int)
    switch command {
    case .join: range = (1, 1)
    case .send: range = readsFile ? (1, 1) : (2, .max)
    case .inbox: range = words.isEmpty || acknowledges || keepsInboxOpen ? (0, 0) : (2, 2)
    case .watch, .mode: range = (0, 16)
    case .help, .dict, .update: range = (0, 1)
    case .relay: range = (0, 3)
    case .encode where !readsFile: range = (1, .max)
    case .decode where !readsFile: range = (1, 1)
    case .lookup, .ask, .forget: range = (1, .max)
    case .translate, .learn: range = (2, .max)
    case .vote: range = (2, 2)
    case .knowledge, .keys: range = (0, 2)
    default: range = (0, 0)
    }
    if words.count < range.least { throw UsageError(sentence: "an argument is missing after", word: words.last) }
    if words.count > range.most { throw UsageError(sentence: "one argument too many", word: words[range.most]) }
    if command == .inbox, let first = words.first, !first.is("ack") {
      throw UsageError(sentence: "inbox knows only ack, not", word: first)
    }
    if readsStandardInput, let file { throw UsageError(sentence: "either --stdin or a file, not both:", word: file) }
    if isUrgent, let file { throw UsageError(sentence: "--urgent is for messages, not for a file:", word: file) }
    if command == .send, !readsFile, name != nil || firstPart > 1 {
      throw UsageError(sentence: "--name and --from go with --file or --stdin only, not with", word: words.last)
    }
  }
}

/// Literals end with a zero byte.
private var defaultSocket: UnsafePointer<CChar> {
  let path: StaticString = "/run/skynod/control.sock"
  return UnsafeRawPointer(path.utf8Start).assumingMemoryBound(to: CChar.self)
}
