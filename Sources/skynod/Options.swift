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
      let word = Word(argument: index)
      index += 1
      if help.answers(word) {
        return .exit(0)
      } else if word.is("--check-config") {
        options.checksOnly = true
      } else if word.is("--config") || word.is("--state") || word.is("--socket") {
        guard index < sky_cli_argument_count(), let path = Word(argument: index).path else {
          return .exit(help.refuse("a path of at most 255 bytes must follow ", word))
        }
        index += 1
        if word.is("--config") {
          options.configurationFile = path
          options.isFileNamed = true
        } else if word.is("--state") {
          options.stateDirectory = path
        } else {
          options.controlSocket = path
        }
      } else {
        return .exit(help.refuse("unknown option ", word))
      }
    }
    return .run(options)
  }

  private static let help = CommandHelp(
    "skynod",
    """
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

    """)
}
