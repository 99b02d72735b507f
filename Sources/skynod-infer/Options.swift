import Bounded
import CSky
import Inference
import Platform
import Wire

/// The command line, read and checked.
struct Options {
  enum Command {
    case generate
    case embed
    case info
    case serve
  }

  enum Outcome {
    case run(Options)
    case exit(Int32)
  }

  var command = Command.generate
  var model = sky_environment("SKYNOD_MODEL") ?? Options.constant("/var/lib/skynod-infer/model.gguf")
  var prompt: Word?
  var system: Word?
  var reference: Word?
  var stop: Word?
  var isRaw = false
  /// Half of the processors: whoever has less to do than to make a text finds the others free.
  var threads = max(1, min(InferenceLimits.threads, Int(sky_processors()) / 2))
  var context = 512
  var kernels: UnsafePointer<CChar>?
  var settings = Generator.Settings()
  var temperatureMilli = 0
  var topPMilli = 950
  var topK = 40
  var seed: UInt64?
  var socket = Options.constant("/run/skynod/infer.sock")
  var idleSeconds = 60
  var showsFigures = false

  /// A text that is part of the program; it has a zero behind it.
  private static func constant(_ text: StaticString) -> UnsafePointer<CChar> {
    UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
  }

  static func parse() -> Outcome {
    var options = Options()
    var index: Int32 = 1
    while index < sky_cli_argument_count() {
      let word = Word(argument: index)
      index += 1
      if help.answers(word) {
        return .exit(0)
      } else if word.is("--raw") {
        options.isRaw = true
      } else if word.is("--figures") {
        options.showsFigures = true
      } else if word.isOption {
        guard index < sky_cli_argument_count() else { return .exit(help.refuse("a value must follow ", word)) }
        let value = Word(argument: index)
        index += 1
        switch options.take(word, value) {
        case .taken: break
        case .unknown: return .exit(help.refuse("unknown option ", word))
        case .wrong: return .exit(help.refuse("a wrong value for ", word))
        }
      } else if !options.take(command: word, isFirst: index == 2) {
        return .exit(help.refuse("unknown command ", word))
      }
    }
    if options.command == .generate || options.command == .embed, options.prompt == nil {
      return .exit(help.refuse("which text? --prompt TEXT"))
    }
    options.settings.sampler = Sampler(
      temperature: Float(options.temperatureMilli) / 1_000, topP: Float(options.topPMilli) / 1_000, topK: options.topK,
      seed: options.seed ?? sky_monotonic_us())
    return .run(options)
  }

  private mutating func take(command word: Word, isFirst: Bool) -> Bool {
    guard isFirst else { return false }
    if word.is("info") {
      command = .info
    } else if word.is("embed") {
      command = .embed
    } else if word.is("serve") {
      command = .serve
    } else {
      return word.is("generate")
    }
    return true
  }

  private enum Taken {
    case taken
    case unknown
    case wrong
  }

  private mutating func take(_ option: Word, _ value: Word) -> Taken {
    if option.is("--model") {
      model = value.start
    } else if option.is("--prompt") {
      prompt = value
    } else if option.is("--system") {
      system = value
    } else if option.is("--reference") {
      reference = value
    } else if option.is("--stop") {
      stop = value
    } else if option.is("--kernels") {
      kernels = value.start
    } else if option.is("--socket") {
      socket = value.start
    } else if option.is("--seed") {
      guard let number = value.number else { return .wrong }
      seed = number
    } else if option.is("--threads") {
      return set(&threads, value, 1, InferenceLimits.threads)
    } else if option.is("--context") {
      return set(&context, value, 16, InferenceLimits.context)
    } else if option.is("--tokens") {
      return set(&settings.tokensMaximum, value, 1, 4_096)
    } else if option.is("--top-k") {
      return set(&topK, value, 1, InferenceLimits.candidates)
    } else if option.is("--idle") {
      return set(&idleSeconds, value, 1, 86_400)
    } else if option.is("--temperature") {
      return set(milli: &temperatureMilli, value, 5_000)
    } else if option.is("--top-p") {
      return set(milli: &topPMilli, value, 1_000)
    } else {
      return .unknown
    }
    return .taken
  }

  private func set(_ target: inout Int, _ value: Word, _ least: Int, _ most: Int) -> Taken {
    guard let number = value.number, number >= UInt64(least), number <= UInt64(most) else { return .wrong }
    target = Int(number)
    return .taken
  }

  private func set(milli target: inout Int, _ value: Word, _ most: Int) -> Taken {
    guard let number = value.milli, number <= most else { return .wrong }
    target = number
    return .taken
  }

  private static let help = CommandHelp(
    "skynod-infer",
    """
    usage: skynod-infer [generate] --prompt TEXT [OPTION]...
           skynod-infer embed --prompt TEXT [OPTION]...
           skynod-infer info [--model FILE]
           skynod-infer serve [--socket PATH] [--idle SECONDS] [OPTION]...

    Runs a small language model from a GGUF file on this machine's processor: continues or answers
    a text, makes the vector of one, or serves both behind a Unix socket.

      --model FILE         the model, default $SKYNOD_MODEL or /var/lib/skynod-infer/model.gguf
      --prompt TEXT        what to answer; with --raw, or without a chat template, what to continue
      --system TEXT        what the model is told to be
      --reference TEXT     the text that the answer is to be taken from
      --raw                no chat template
      --tokens N           of the answer, at most; 1 to 4096, default 256
      --temperature X      0 (default): always the likeliest token; 0.001 to 5: drawn
      --top-p X            drawn from the likeliest tokens that reach this together, default 0.95
      --top-k N            and from so many at most, 1 to 256, default 40
      --seed N             the same seed, the same answer; default: the clock
      --stop TEXT          ends the answer where this comes
      --context N          tokens of prompt and answer together, 16 to 32768, default 512
      --threads N          1 to 4; default: half of the processors
      --kernels NAME       avx512, avx2, ssse3, dotprod, neon or portable instead of the best one
      --figures            times and counts to standard error, afterwards
      --socket PATH        where to serve without systemd's socket, default /run/skynod/infer.sock
      --idle SECONDS       leave when nobody asked for so long, 1 to 86400, default 60
      --version, --help

    A model that does not fit this machine's memory is refused, with the numbers.
    Exit status: 0 done, 64 wrong usage, 65 the model or the text was refused, 66 no such model file,
    70 failure. See skynod-infer(1).

    """)
}
