import Foundation
import Wire

/// A span of time as people write it: a whole number and `ms`, `s`, `m`, `h` or `d`.
public struct DurationText: Equatable, Sendable {
  public let ms: UInt64
  public var seconds: Int64 { Int64(ms / 1_000) }

  public init(ms: UInt64) { self.ms = ms }

  public init?(_ text: String) {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    guard let value = UInt64(digits) else { return nil }
    let factor: UInt64
    switch text.dropFirst(digits.count) {
    case "ms": factor = 1
    case "s": factor = 1_000
    case "m", "min": factor = 60_000
    case "h": factor = 3_600_000
    case "d": factor = 86_400_000
    default: return nil
    }
    let (product, overflow) = value.multipliedReportingOverflow(by: factor)
    // A century: further is a typing error, and sums with it stay far from overflow.
    guard !overflow, product <= 3_155_760_000_000 else { return nil }
    ms = product
  }

  public var text: String {
    for (factor, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")] as [(UInt64, String)]
    where ms >= factor && ms.isMultiple(of: factor) {
      return "\(ms / factor)\(unit)"
    }
    return "\(ms)ms"
  }
}

/// A host, by name or address, and a TCP port: `hub.example.org:7443`, `192.0.2.1:7443`, `[::1]:7443`.
public struct HostPort: Equatable, Sendable {
  public static let defaultPort: UInt16 = 7_443

  public let host: String
  public let port: UInt16

  public init(host: String, port: UInt16) {
    self.host = host
    self.port = port
  }

  /// Nil unless it is one; the port may be left out.
  public init?(_ text: String) {
    var host = Substring(text)
    var port = Substring()
    if host.hasPrefix("[") {
      guard let end = host.firstIndex(of: "]") else { return nil }
      port = host[host.index(after: end)...]
      host = host[host.index(after: host.startIndex)..<end]
      guard host.contains(":"), port.isEmpty || port.hasPrefix(":") else { return nil }
    } else if let colon = host.firstIndex(of: ":") {
      port = host[colon...]
      host = host[..<colon]
    }
    guard !host.isEmpty, host.utf8.count <= Limits.hostNameBytes, host.utf8.allSatisfy(Self.isHostByte) else {
      return nil
    }
    if port.isEmpty {
      self.port = Self.defaultPort
    } else {
      guard let number = UInt16(port.dropFirst()), port.utf8.count <= 6 else { return nil }
      self.port = number
    }
    self.host = String(host)
  }

  private static func isHostByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: ":"),
      UInt8(ascii: "_"), UInt8(ascii: "%"):
      true
    default: false
    }
  }

  public var text: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
  /// True for `::` and `0.0.0.0`, which nobody can connect to.
  public var isWildcard: Bool { host == "::" || host == "0.0.0.0" }
}

/// Labels and reasons: one line of printable text, so that listings and the journal stay readable.
public enum LabelText {
  public static let maximumBytes = Limits.labelBytes

  public static func check(_ text: String) throws(HubError) {
    let printable = text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
    guard printable, text.utf8.count <= maximumBytes else {
      throw HubError(.badArgument, "a label is one line of at most \(maximumBytes) bytes")
    }
  }
}

/// Seconds since 1970 by the wall clock.
public func wallClockNow() -> Int64 { Int64(Date().timeIntervalSince1970) }

/// ISO 8601 in UTC, to the second.
public func timestamp(_ seconds: Int64) -> String {
  let format = Date.ISO8601FormatStyle(timeZone: TimeZone(identifier: "UTC")!)
  return Date(timeIntervalSince1970: TimeInterval(seconds)).formatted(format)
}
