import Bounded
import CSky
import Platform
import Wire

/// The daemon's command line.
struct Options {
  var configurationFile = PathText("/etc/skynod/skynod.conf")!
  /// True when the file was named: a missing default file means defaults, a missing named one is an error.
  var isFileNamed = false
  var stateDirectory: PathText?
  var controlSocket: PathText?
  var checksOnly = false

  enum Outcome {
    case run(Options)
    case exit(Int32)
  }

  static func parse() -> Outcome {
    var options = Options()
    var index: Int32 = 1
    while index < sky_cli_argument_count() {
      let word = Argument(index)
      index += 1
      if word.equals("--help") || word.equals("-h") {
        Console.write(help, to: 1)
        return .exit(0)
      } else if word.equals("--version") {
        var text = TextBuffer(capacity: 128)
        text.append("skynod ")
        text.append(Version.text)
        text.append("\n")
        Console.write(text.bytes, to: 1)
        return .exit(0)
      } else if word.equals("--check-config") {
        options.checksOnly = true
      } else if word.equals("--config") || word.equals("--state") || word.equals("--socket") {
        guard index < sky_cli_argument_count(), let path = Argument(index).path else {
          return usage("a path of at most 255 bytes must follow ", word)
        }
        index += 1
        if word.equals("--config") {
          options.configurationFile = path
          options.isFileNamed = true
        } else if word.equals("--state") {
          options.stateDirectory = path
        } else {
          options.controlSocket = path
        }
      } else {
        return usage("unknown option ", word)
      }
    }
    return .run(options)
  }

  private static func usage(_ problem: StaticString, _ word: Argument) -> Outcome {
    var text = TextBuffer(capacity: 512)
    text.append("skynod: ")
    text.append(problem)
    text.append(word.bytes)
    text.append("; try skynod --help\n")
    Console.write(text.bytes, to: 2)
    return .exit(Int32(ErrorCode.usage.number))
  }

  private static let help: StaticString = """
    usage: skynod [--config FILE] [--check-config] [--state DIR] [--socket PATH]

    The light node of a private swarm. Runs in the foreground, made for systemd; talk to it
    with skynodctl(1).

      --config FILE    configuration, default /etc/skynod/skynod.conf (all defaults if absent)
      --check-config   read the configuration, say what is wrong, and exit
      --state DIR      state directory, instead of the configuration's
      --socket PATH    control socket, instead of the configuration's
      --version        print the version
      --help           print this

    Signals: SIGHUP reloads the configuration, SIGTERM and SIGINT say goodbye and stop.
    Exit status: 0 stopped as asked, 64 wrong usage, 70 failure, 78 wrong configuration.
    See skynod(8) and skynod.conf(5).

    """
}

/// One word of the command line.
private struct Argument {
  private let start: UnsafePointer<CChar>
  private let count: Int

  init(_ index: Int32) {
    start = sky_cli_argument(index)
    var length = 0
    while start[length] != 0 { length += 1 }
    count = length
  }

  var bytes: RawSpan {
    @_lifetime(borrow self)
    get {
      // The kernel keeps the arguments for the life of the process.
      let span = RawSpan(_unsafeStart: UnsafeRawPointer(start), byteCount: count)
      return _overrideLifetime(span, borrowing: self)
    }
  }

  func equals(_ text: StaticString) -> Bool { bytes.elementsEqual(text) }
  var path: PathText? { count > 0 ? PathText(bytes) : nil }
}

/// Plain output before the journal is there.
enum Console {
  static func write(_ text: StaticString, to descriptor: Int32) {
    _ = sky_cli_write(descriptor, text.utf8Start, text.utf8CodeUnitCount)
  }

  static func write(_ text: RawSpan, to descriptor: Int32) {
    text.withUnsafeBytes { _ = sky_cli_write(descriptor, $0.baseAddress, $0.count) }
  }
}
