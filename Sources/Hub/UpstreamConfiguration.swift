import Bounded
import Foundation
import Wire

/// What `skyhub serve --upstream FILE` reads: an endpoint that speaks OpenAI's chat completions, and what it may cost.
///
/// `key = value` lines and `#` comments, as in skynod.conf(5). skyhub(1) describes every key.
public struct UpstreamConfiguration: Equatable, Sendable {
  public static let fileBytes = 16_384
  public static let keyBytes = 512

  public var isSecure = true
  public var host = ""
  public var port: UInt16 = 443
  public var path = ""
  public var model = ""
  /// Holds the key that the endpoint asks for; nil when it asks for none.
  public var keyFile: String?
  /// Authorities (PEM) that the endpoint's certificate is checked against.
  public var authorityFile = "/etc/ssl/certs/ca-certificates.crt"
  /// 3 or 4: what the answers are called.
  public var level: UInt8 = 3
  /// Millionths of the currency for a thousand tokens.
  public var promptPrice: UInt64 = 0
  public var completionPrice: UInt64 = 0
  public var answerTokens: UInt64 = 400
  public var timeoutMs: UInt64 = 20_000
  public var questionsPerHour = HubConfiguration.questionsPerHourDefault
  /// Millionths; no question goes out that could take the day's sum beyond.
  public var costPerDay: UInt64 = 0

  public init() {}

  public init(file: String) throws(HubError) {
    guard let data = FileManager.default.contents(atPath: file), data.count <= Self.fileBytes,
      let text = String(data: data, encoding: .utf8)
    else {
      throw HubError(
        .badConfiguration, "\(file) cannot be read, is no UTF-8, or is longer than \(Self.fileBytes) bytes",
        hint: "see skyhub(1), UPSTREAM")
    }
    do { try self.init(parsing: text) } catch {
      throw HubError(error.code, "\(file) \(error.message)", hint: error.hint)
    }
  }

  public init(parsing text: String) throws(HubError) {
    var seen: Set<String> = []
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let line = line.trimmingCharacters(in: .whitespaces)
      guard !line.isEmpty, !line.hasPrefix("#") else { continue }
      let parts = line.split(separator: "=", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
      // A line that is no setting is not shown: it may be the key, in the wrong place.
      guard parts.count == 2, !parts[1].isEmpty else {
        throw HubError(.badConfiguration, "line \(index + 1): expected KEY = VALUE")
      }
      guard seen.insert(parts[0]).inserted else {
        throw HubError(.badConfiguration, "line \(index + 1): \(parts[0]) is set twice")
      }
      guard let isTaken = set(parts[0], parts[1]) else {
        throw HubError(.badConfiguration, "line \(index + 1): no such key", hint: "see skyhub(1), UPSTREAM")
      }
      guard isTaken else {
        throw HubError(.badConfiguration, "line \(index + 1): \(parts[0]): \(Self.expectation(parts[0]))")
      }
    }
    guard !host.isEmpty, !model.isEmpty else {
      throw HubError(.badConfiguration, "has no url or no model", hint: "both are needed, see skyhub(1), UPSTREAM")
    }
    guard promptPrice + completionPrice == 0 || costPerDay > 0 else {
      throw HubError(.badConfiguration, "has prices and no cost_per_day: nothing could ever be asked")
    }
  }

  /// Nil for a key that there is not, false for a value that breaks its rule.
  private mutating func set(_ key: String, _ value: String) -> Bool? {
    switch key {
    case "url": return setUrl(value)
    case "model":
      guard value.utf8.count <= 128, !Self.hasControl(value) else { return false }
      model = value
    case "key_file":
      guard value.hasPrefix("/") else { return false }
      keyFile = value
    case "ca_file":
      guard value.hasPrefix("/") else { return false }
      authorityFile = value
    case "level":
      guard value == "L3" || value == "L4" else { return false }
      level = value == "L3" ? 3 : 4
    case "price_prompt": return Self.assign(&promptPrice, Self.millionths(value))
    case "price_completion": return Self.assign(&completionPrice, Self.millionths(value))
    case "cost_per_day": return Self.assign(&costPerDay, Self.millionths(value))
    case "answer_tokens":
      guard let number = UInt64(value), (16...4_096).contains(number) else { return false }
      answerTokens = number
    case "timeout":
      guard let time = DurationText(value), time.ms >= 100, time.ms <= Limits.upstreamMs else { return false }
      timeoutMs = time.ms
    case "questions_per_hour":
      guard let number = Int(value), (1...100_000).contains(number) else { return false }
      questionsPerHour = number
    default: return nil
    }
    return true
  }

  private static func assign<Value>(_ field: inout Value, _ value: Value?) -> Bool {
    guard let value else { return false }
    field = value
    return true
  }

  private static func expectation(_ key: String) -> String {
    switch key {
    case "url": "expected http://HOST[:PORT]/v1/chat/completions, or https://, without user, query and fragment"
    case "model": "expected a name of at most 128 bytes"
    case "key_file", "ca_file": "expected an absolute path"
    case "level": "expected L3 or L4"
    case "answer_tokens": "expected 16 to 4096"
    case "timeout": "expected 100ms to \(Limits.upstreamMs / 1_000)s"
    case "questions_per_hour": "expected 1 to 100000"
    default: "expected an amount with at most six decimals, below \(Limits.costMaximum / 1_000_000)"
    }
  }

  private static func hasControl(_ text: String) -> Bool { text.utf8.contains { $0 < 0x20 || $0 == 0x7F } }

  private mutating func setUrl(_ value: String) -> Bool {
    let rest: Substring
    if value.hasPrefix("https://") {
      (isSecure, rest) = (true, value.dropFirst(8))
    } else if value.hasPrefix("http://") {
      (isSecure, rest) = (false, value.dropFirst(7))
    } else {
      return false
    }
    guard let slash = rest.firstIndex(of: "/") else { return false }
    let authority = String(rest[..<slash])
    // `HostPort` has a port of its own for who gives none.
    let hasPort = authority.hasPrefix("[") ? authority.contains("]:") : authority.contains(":")
    guard let place = HostPort(hasPort ? authority : "\(authority):\(isSecure ? 443 : 80)"), place.port > 0 else {
      return false
    }
    let target = rest[slash...]
    // What goes into a request line as it is.
    guard target.utf8.count <= 512, target.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x23 && $0 != 0x3F })
    else { return false }
    (host, port, path) = (place.host, place.port, String(target))
    return true
  }

  /// `0.0015` is 1,500. Nil for what is no such amount.
  static func millionths(_ text: String) -> UInt64? {
    let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    guard let first = parts.first, !first.isEmpty, first.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let whole = UInt64(first), whole < Limits.costMaximum / 1_000_000
    else { return nil }
    var fraction: UInt64 = 0
    if parts.count == 2 {
      guard (1...6).contains(parts[1].utf8.count), parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
        return nil
      }
      fraction = UInt64(parts[1] + String(repeating: "0", count: 6 - parts[1].utf8.count))!
    }
    return whole * 1_000_000 + fraction
  }

  var isOnThisMachine: Bool { host == "localhost" || host == "::1" || host.hasPrefix("127.") }

  /// What so many tokens cost, rounded up.
  func cost(promptTokens: UInt64, completionTokens: UInt64) -> UInt64 {
    // Counts are the upstream's own word: bounded, so that nothing overflows.
    let prompt = min(promptTokens, 10_000_000) * promptPrice
    let completion = min(completionTokens, 10_000_000) * completionPrice
    let (sum, overflow) = prompt.addingReportingOverflow(completion)
    return overflow ? Limits.costMaximum : min(Limits.costMaximum, sum / 1_000 + (sum % 1_000 == 0 ? 0 : 1))
  }

  /// What a request with a body of so many bytes costs at most: a token is a byte or more.
  func mostCost(requestBytes: Int) -> UInt64 {
    cost(promptTokens: UInt64(requestBytes), completionTokens: answerTokens)
  }

  /// The key, checked to be nobody else's to read. Empty when there is none.
  func readKey(_ directory: DataDirectory) throws(HubError) -> String {
    guard let keyFile else { return "" }
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.keyBytes + 1, alignment: 1)
    defer {
      wipe(room)
      room.deallocate()
    }
    guard let count = try directory.readSecret(keyFile, into: room) else {
      throw HubError(
        .badConfiguration, "\(keyFile) is not there", hint: "the key of the upstream, in a file with mode 600")
    }
    let key = String(decoding: room[..<count], as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    guard !key.isEmpty, key.utf8.count <= Self.keyBytes, key.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
      throw HubError(.badConfiguration, "\(keyFile) is not one word of printable characters, at most \(Self.keyBytes)")
    }
    return key
  }
}
