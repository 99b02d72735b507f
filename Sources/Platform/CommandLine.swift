import Bounded
import CSky
import Wire

/// One word of the command line, or of the environment; its bytes live as long as the process.
public struct Word: @unchecked Sendable {
  public let start: UnsafePointer<CChar>
  public let count: Int

  public init(_ start: UnsafePointer<CChar>) {
    self.start = start
    var n = 0
    while start[n] != 0 { n += 1 }
    count = n
  }

  /// The word at this place of the command line; the program's name is at 0.
  public init(argument index: Int32) { self.init(sky_cli_argument(index)) }

  public var bytes: RawSpan {
    @_lifetime(borrow self)
    get {
      // The kernel keeps the arguments for the life of the process.
      let span = RawSpan(_unsafeStart: UnsafeRawPointer(start), byteCount: count)
      return _overrideLifetime(span, borrowing: self)
    }
  }

  public func `is`(_ text: StaticString) -> Bool { bytes.elementsEqual(text) }
  public var isOption: Bool { count > 1 && start[0] == 0x2D }
  public var number: UInt64? { parseDecimal(bytes) }
  /// A number with at most three decimals, times 1,000.
  public var milli: Int? { parseMilli(bytes) }
  public var path: PathText? { count > 0 ? PathText(bytes) : nil }

  /// What follows `prefix`, nil when the word does not start with it.
  public func after(_ prefix: StaticString) -> Word? {
    let n = prefix.utf8CodeUnitCount
    guard count >= n, bytes.extracting(0..<n).elementsEqual(prefix) else { return nil }
    return Word(start + n)
  }
}

/// Standard output and error, unbuffered: for what a program says before it has anything better.
public enum StandardStream {
  public static func write(_ text: StaticString, to descriptor: Int32) {
    _ = sky_cli_write(descriptor, text.utf8Start, text.utf8CodeUnitCount)
  }

  public static func write(_ text: RawSpan, to descriptor: Int32) {
    text.withUnsafeBytes { bytes in
      if let start = bytes.baseAddress { _ = sky_cli_write(descriptor, start, bytes.count) }
    }
  }

  public static func write(_ text: borrowing TextBuffer, to descriptor: Int32) { write(text.bytes, to: descriptor) }
}

/// What the command lines of all programs answer alike.
public struct CommandHelp: Sendable {
  let program: StaticString
  let text: StaticString

  public init(_ program: StaticString, _ text: StaticString) {
    self.program = program
    self.text = text
  }

  /// Answers `--help` and `--version`; false for any other word.
  public func answers(_ word: Word) -> Bool {
    if word.is("--help") || word.is("-h") {
      StandardStream.write(text, to: 1)
    } else if word.is("--version") {
      StandardStream.write(program, to: 1)
      StandardStream.write(" ", to: 1)
      StandardStream.write(Version.text, to: 1)
      StandardStream.write("\n", to: 1)
    } else {
      return false
    }
    return true
  }

  /// Says what is wrong with the command line, and with which word; the exit status.
  public func refuse(_ problem: StaticString, _ word: Word? = nil) -> Int32 {
    var line = TextBuffer(capacity: 512)
    line.append(program)
    line.append(": ")
    line.append(problem)
    if let word { line.append(word.bytes) }
    line.append("; try ")
    line.append(program)
    line.append(" --help\n")
    StandardStream.write(line, to: 2)
    return Int32(ErrorCode.usage.number)
  }
}

/// How far something has come, on standard error: for people at a terminal, and only when it takes longer than they
/// wait for gladly.
public struct ProgressLine {
  private let begunAt = sky_clock_ms()
  private var shownAt: UInt64 = 0

  public init() {}

  public mutating func show(_ what: StaticString, _ done: UInt64, of all: UInt64, _ note: StaticString = "") {
    let now = sky_clock_ms()
    guard now - begunAt > 2_000, now - shownAt > 200, sky_cli_is_terminal(2) else { return }
    shownAt = now
    var line = TextBuffer(capacity: 256)
    line.append("\r\u{1B}[K")
    line.append(what)
    line.append(" ")
    line.append(done)
    line.append(" of ")
    line.append(all)
    line.append(note)
    StandardStream.write(line, to: 2)
  }

  /// Leaves the line empty for what comes next.
  public mutating func hide() {
    guard shownAt > 0 else { return }
    shownAt = 0
    StandardStream.write("\r\u{1B}[K", to: 2)
  }
}
