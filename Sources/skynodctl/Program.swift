import CSky
import Platform
import Wire

/// From the command line to the exit status.
struct Program {
  let out = Console(fd: 1)
  let err = Console(fd: 2)

  /// The exit status.
  func run() -> UInt16 {
    do throws(UsageError) {
      let arguments = try Arguments()
      if arguments.wantsVersion {
        out.write("skynodctl ")
        out.write(Version.text)
        out.write("\n")
        out.flush()
        return 0
      }
      if arguments.wantsHelp {
        if let command = arguments.command { out.help(command) } else { out.help() }
        out.flush()
        return 0
      }
      try arguments.checkWords()
      if arguments.command == .help, let word = arguments.words.first, Subcommand(word) == nil {
        throw UsageError(sentence: "no such command", word: word)
      }
      return carryOut(arguments)
    } catch {
      complain(error)
      return ErrorCode.usage.number
    }
  }

  func carryOut(_ arguments: Arguments) -> UInt16 {
    guard let command = arguments.command else { return ErrorCode.usage.number }
    do throws(Failure) {
      try Runner(arguments: arguments, out: out).run(command)
      out.flush()
      return 0
    } catch {
      out.flush()
      report(error, arguments)
      return error.number
    }
  }

  /// `skynodctl: <token> <sentence>` for people; an object like the daemon's own in JSON.
  func report(_ failure: Failure, _ arguments: Arguments) {
    // A JSON reply that told the error has been printed.
    guard !failure.text.isEmpty else { return }
    var split = 0
    while split < failure.text.count, failure.text[split] != 0x20 { split += 1 }
    let token = Array(failure.text[..<split])
    let sentence = Array(failure.text[min(split + 1, failure.text.count)...])
    if arguments.isJson {
      out.write("{\"ok\":false,\"error\":{\"number\":")
      out.write(UInt64(failure.number))
      out.write(",\"token\":")
      out.write(json: token)
      out.write(",\"text\":")
      out.write(json: sentence)
      out.write("}}\n")
      out.flush()
      return
    }
    err.write("skynodctl: ")
    err.red()
    err.write(printable: sentence.isEmpty ? token : sentence)
    err.plain()
    if failure.number == ErrorCode.daemonUnavailable.number {
      err.write(" (")
      err.write(printable: Word(arguments.socket).array)
      err.write("; try: systemctl status skynod)")
    } else {
      err.write(" (")
      err.write(printable: token)
      err.write(")")
    }
    err.write("\n")
    err.flush()
  }

  func complain(_ error: UsageError) {
    err.write("skynodctl: ")
    err.write(error.sentence)
    if let word = error.word {
      err.write(" '")
      err.write(printable: word.array)
      err.write("'")
    }
    err.write("; see skynodctl --help\n")
    err.flush()
  }
}
