import Bounded
import Node
import Platform
import Wire

/// Reads and checks the configuration file, at start and at each reload, in buffers that it makes once.
final class ConfigurationFile {
  enum Outcome {
    case success(Configuration)
    /// With a line for people.
    case failure(ErrorCode, InlineText<400>)
  }

  private let path: PathText
  /// A missing default file means defaults, a missing named one is an error.
  private let mustExist: Bool
  private var file = ByteQueue(capacity: Limits.configurationBytes)
  private var text = TextBuffer(capacity: 400)

  init(_ options: Options) {
    path = options.configurationFile
    mustExist = options.isFileNamed
  }

  func load() -> Outcome {
    file.clear()
    text.removeAll()
    text.append(path)
    do throws(ErrorCode) {
      try Files.read(path, into: &file)
    } catch {
      if error == .notFound, !mustExist { return .success(Configuration()) }
      text.append(": ")
      text.append(error == .notFound ? "there is no such file" : "it cannot be read, or is longer than 16 KiB")
      return failure
    }
    // It may hold a ticket.
    defer { file.clear() }
    let configuration: Configuration
    do throws(ConfigurationError) {
      configuration = try Self.parse(file)
    } catch {
      text.append(":")
      error.describe(into: &text)
      return failure
    }
    // The parser looks at the form of a line; what a ticket holds is known here.
    do throws(ErrorCode) {
      _ = try NodeSettings(configuration)
    } catch {
      text.append(": ticket: expected a ticket as skyhub token prints it; a character is missing or wrong")
      return failure
    }
    return .success(configuration)
  }

  private var failure: Outcome { .failure(.badConfiguration, Self.inline(text)) }

  // A span cannot leave the property that holds its buffer: it is lent for a call.
  private static func parse(_ file: borrowing ByteQueue) throws(ConfigurationError) -> Configuration {
    try Configuration(parsing: file.bytes)
  }
  private static func inline(_ text: borrowing TextBuffer) -> InlineText<400> { InlineText(text.bytes)! }
}
