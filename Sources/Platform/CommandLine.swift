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
