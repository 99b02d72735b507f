import Bounded
import Node
import Platform
import Wire

enum LoadedConfiguration {
  case success(Configuration)
  /// With a line for people.
  case failure(ErrorCode, InlineText<400>)
}

/// Reads and checks the configuration file. An absent default file means defaults.
func loadConfiguration(_ options: Options) -> LoadedConfiguration {
  var file = ByteQueue(capacity: Limits.configurationBytes)
  var text = TextBuffer(capacity: 400)
  text.append(options.configurationFile)
  do throws(ErrorCode) {
    try Files.read(options.configurationFile, into: &file)
  } catch {
    if error == .notFound, !options.isFileNamed { return .success(Configuration()) }
    text.append(": ")
    text.append(error == .notFound ? "there is no such file" : "it cannot be read, or is longer than 64 KiB")
    return .failure(.badConfiguration, InlineText(text.bytes)!)
  }
  let configuration: Configuration
  do throws(ConfigurationError) {
    configuration = try Configuration(parsing: file.bytes)
  } catch {
    text.append(":")
    error.describe(into: &text)
    return .failure(.badConfiguration, InlineText(text.bytes)!)
  }
  // The parser looks at the form of a line; what a ticket holds is known here.
  do throws(ErrorCode) {
    _ = try NodeSettings(configuration)
  } catch {
    text.append(": ticket: expected a ticket as skyhub token prints it; a character is missing or wrong")
    return .failure(.badConfiguration, InlineText(text.bytes)!)
  }
  return .success(configuration)
}
