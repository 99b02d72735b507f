import Bounded
import CSky
import Platform
import Update
import Wire

/// The command line, read and checked.
struct Options {
  enum Command {
    case apply, check, status, rollback, confirm, choose, start, format
  }

  enum Outcome {
    case run(Options)
    case exit(Int32)
  }

  var command = Command.status
  /// What stands behind the command.
  var words: InlineArray<3, Word?> = [nil, nil, nil]
  var wordCount = 0
  var disk: PathText?
  var board: InlineText<32>?
  var key: Word?
  var running: Int?
  var isJson = false
  // For `format`
  var offsets: InlineArray<2, UInt64> = [0, 0]
  var slotBytes = 0
  var release: UInt64 = 0
  var name: InlineText<48>?
  var isKernelFixed = false

  static func parse() -> Outcome {
    var options = Options()
    guard sky_cli_argument_count() > 1 else { return .exit(help.refuse("which command?")) }
    var index: Int32 = 1
    while index < sky_cli_argument_count() {
      let word = Word(argument: index)
      index += 1
      if help.answers(word) {
        return .exit(0)
      } else if word.is("--json") {
        options.isJson = true
      } else if word.is("--fixed-kernel") {
        options.isKernelFixed = true
      } else if word.isOption {
        guard index < sky_cli_argument_count() else { return .exit(help.refuse("a value must follow ", word)) }
        let value = Word(argument: index)
        index += 1
        guard let isRight = options.take(word, value) else { return .exit(help.refuse("unknown option ", word)) }
        guard isRight else { return .exit(help.refuse("a wrong value for ", word)) }
      } else if index == 2 {
        guard options.take(command: word) else { return .exit(help.refuse("unknown command ", word)) }
      } else {
        guard options.wordCount < options.words.count else { return .exit(help.refuse("what is ", word)) }
        options.words[options.wordCount] = word
        options.wordCount += 1
      }
    }
    guard options.wordCount == options.wordsWanted else {
      return .exit(help.refuse("not as many words as belong to ", Word(argument: 1)))
    }
    guard options.command != .format || options.release > 0 && options.slotBytes > 0 && options.name != nil else {
      return .exit(
        help.refuse("--slot-a, --slot-b, --slot-bytes, --release and --name must follow ", Word(argument: 1)))
    }
    return .run(options)
  }

  private var wordsWanted: Int {
    switch command {
    case .apply, .check, .format: 1
    case .start: 3
    case .status, .rollback, .confirm, .choose: 0
    }
  }

  private mutating func take(command word: Word) -> Bool {
    if word.is("apply") {
      command = .apply
    } else if word.is("check") {
      command = .check
    } else if word.is("status") {
      command = .status
    } else if word.is("rollback") {
      command = .rollback
    } else if word.is("confirm") {
      command = .confirm
    } else if word.is("choose") {
      command = .choose
    } else if word.is("start") {
      command = .start
    } else if word.is("format") {
      command = .format
    } else {
      return false
    }
    return true
  }

  /// Nil for an unknown option, false for a wrong value.
  private mutating func take(_ option: Word, _ value: Word) -> Bool? {
    if option.is("--disk") {
      disk = value.path
      return disk != nil
    } else if option.is("--key") {
      key = value
    } else if option.is("--board") {
      board = value.count > 0 ? InlineText(value.bytes) : nil
      return board != nil
    } else if option.is("--name") {
      name = value.count > 0 ? InlineText(value.bytes) : nil
      return name != nil
    } else if option.is("--running") {
      running = value.is("a") ? 0 : value.is("b") ? 1 : nil
      return running != nil
    } else if option.is("--slot-a") {
      return Self.set(&offsets[0], value)
    } else if option.is("--slot-b") {
      return Self.set(&offsets[1], value)
    } else if option.is("--release") {
      return Self.set(&release, value)
    } else if option.is("--slot-bytes") {
      guard let number = value.number, number > 0, number <= 1 << 40 else { return false }
      slotBytes = Int(number)
    } else {
      return nil
    }
    return true
  }

  private static func set(_ target: inout UInt64, _ value: Word) -> Bool {
    guard let number = value.number, number > 0, number <= 1 << 48 else { return false }
    target = number
    return true
  }

  private static let help = CommandHelp(
    "skynod-update",
    """
    usage: skynod-update apply|check FILE|- [OPTION]...
           skynod-update status [--json] | rollback | confirm [OPTION]...
           skynod-update choose [OPTION]...
           skynod-update start KERNEL INITRD COMMANDLINE
           skynod-update format KERNEL --slot-a N --slot-b N --slot-bytes N --release N --name TEXT [--fixed-kernel]

    Updates the system of this board: two slots take turns, and the one in use is never written to.

      apply FILE|-   write a signed bundle into the other slot, check it, start it at the next restart;
                     called again after an interruption it goes on where it stopped. - is standard input
      check FILE|-   say whether the bundle would be taken; write nothing
      status         what the slots hold
      rollback       give up an update that is not confirmed; else try the system before once more
      confirm        the running system is good: the board's service does this when its link is up

    For the image itself: choose counts a start and prints the slot, start goes over to another kernel,
    format makes the slots' state on a new disk.

      --disk PATH    the whole disk, or a file; default: where the running system lies
      --key FILE     the maker's public key, default /usr/lib/skynod/update.key
      --board NAME   default: /usr/lib/skynod/board
      --running a|b  the slot that runs, default: as the running system was started
      --json         status as JSON
      --version, --help

    Exit status: 0 done, 10 to 23 refused and nothing written, 30 to 33 the disk, 64 wrong usage; each with a
    sentence on standard error. See skynod-update(8).

    """)
}
