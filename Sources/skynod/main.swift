import Bounded
import Node
import Platform
import SkyCrypto
import Wire

Limits.assertConsistent()
switch Options.parse() {
case .exit(let status): Process.exit(status)
case .run(let options): Process.exit(start(options))
}

/// Loads the configuration and runs the daemon; the exit status.
func start(_ options: Options) -> Int32 {
  guard startCrypto() else { return fail("the cryptographic library cannot be prepared", .internalError) }
  let file = ConfigurationFile(options)
  let configuration: Configuration
  switch file.load() {
  case .failure(let error, let describe):
    tellFailure(.configurationError, describe.bytes)
    return Int32(error.number)
  case .success(let loaded): configuration = loaded
  }
  if options.checksOnly {
    StandardStream.write("the configuration is valid\n", to: 1)
    return 0
  }
  do throws(ErrorCode) {
    return try Daemon(options: options, file: file, configuration: configuration).run()
  } catch {
    switch error {
    case .busy: return fail("another skynod uses the state directory; stop it or choose --state", .internalError)
    case .malformed:
      return fail("a file in the state directory is damaged; restore it, or remove it and join again", .internalError)
    case .badConfiguration:
      return fail("the credential skynod.identity (32 bytes) or skynod.ticket (a ticket) is not one", .badConfiguration)
    case .certificateInvalid: return fail("ca_file cannot be read, or is longer than 16 KiB", .badConfiguration)
    case .ioFailed:
      return fail("the state directory or the control socket cannot be made; check owner and space", .internalError)
    case .connectFailed:
      return fail("relay_listen cannot be used; is the address this board's, and the port free?", .badConfiguration)
    default: return fail(error.sentence, .internalError)
    }
  }
}

func fail(_ sentence: StaticString, _ code: ErrorCode) -> Int32 {
  let message: JournalMessage = code == .badConfiguration ? .configurationError : .internalTrouble
  tellFailure(
    message, RawSpan(_unsafeStart: UnsafeRawPointer(sentence.utf8Start), byteCount: sentence.utf8CodeUnitCount))
  return Int32(code.number)
}
