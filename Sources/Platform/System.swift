import Bounded
import CSky
import Wire

/// The two clocks. `now` is for every timer; `wallMs` only for people and certificates.
public enum Clock {
  /// Monotonic, counts through suspend.
  public static var now: Instant { Instant(ms: sky_clock_ms()) }
  /// Milliseconds since 1970-01-01 UTC by the system's clock, which may be wrong on a board.
  public static var wallMs: Int64 { sky_wall_ms() }
  /// CPU time of this process in microseconds.
  public static var cpuUs: UInt64 { sky_cpu_us() }
  /// Sets the system's clock. False without the right to.
  @discardableResult
  public static func setWall(ms: Int64) -> Bool { sky_wall_set_ms(ms) == 0 }
}

/// Randomness from the kernel.
public enum Entropy {
  /// Overwrites `out`. Ends the program when the kernel refuses: nothing safe can follow.
  public static func fill(_ out: UnsafeMutableRawBufferPointer) {
    guard let base = out.baseAddress else { return }
    precondition(sky_random(base, out.count) == 0, "the kernel gives no randomness")
  }

  public static func bytes<let n: Int>(_: Int.Type = Int.self) -> InlineArray<n, UInt8> {
    var out = InlineArray<n, UInt8>(repeating: 0)
    withUnsafeMutableBytes(of: &out) { fill($0) }
    return out
  }

  public static func seed() -> UInt64 {
    var out: UInt64 = 0
    withUnsafeMutableBytes(of: &out) { fill($0) }
    return out
  }
}

/// This process.
public enum Process {
  public static var id: Int { Int(sky_process_id()) }
  public static var userId: UInt32 { sky_user_id() }
  public static var effectiveUserId: UInt32 { sky_effective_user_id() }

  /// The value of an environment variable; nil when unset or longer than `n` bytes.
  public static func environment<let n: Int>(_ name: StaticString, as _: InlineText<n>.Type = InlineText<n>.self)
    -> InlineText<n>?
  {
    let value = name.withUTF8Buffer { bytes in
      bytes.withMemoryRebound(to: CChar.self) { sky_environment($0.baseAddress) }
    }
    guard let value else { return nil }
    return InlineText(cString: value)
  }

  /// Ends the program at once.
  public static func exit(_ status: Int32) -> Never { sky_exit(status) }
}

extension InlineText {
  /// Nil when the text does not fit.
  init?(cString: UnsafePointer<CChar>) {
    var length = 0
    while cString[length] != 0 { length += 1 }
    self.init(RawSpan(_unsafeStart: UnsafeRawPointer(cString), byteCount: length))
  }

  /// Gives the text with a terminator, on the stack. Texts of up to 255 bytes.
  public func withCString<R>(_ body: (UnsafePointer<CChar>) -> R) -> R {
    precondition(count <= Limits.pathBytes)
    var copy = InlineArray<256, CChar>(repeating: 0)
    let source = bytes
    for i in 0..<count { copy[i] = CChar(bitPattern: source[i]) }
    return withUnsafeBytes(of: &copy) { body($0.baseAddress!.assumingMemoryBound(to: CChar.self)) }
  }
}
