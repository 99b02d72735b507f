import Wire

/// A failure told to the person at the terminal: what happened, and what to do next.
///
/// Not for the link: there `ErrorCode` crosses alone. `code` is also the exit status.
public struct HubError: Error, Equatable, CustomStringConvertible {
  public let code: ErrorCode
  public let message: String
  /// What to do next; nil when the message already says it.
  public let hint: String?

  public init(_ code: ErrorCode, _ message: String, hint: String? = nil) {
    self.code = code
    self.message = message
    self.hint = hint
  }

  public var exitStatus: Int32 { Int32(code.number) }
  public var description: String { hint.map { "\(message)\n  \($0)" } ?? message }
}
