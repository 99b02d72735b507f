import Foundation

/// Reads one response of HTTP/1.1 (RFC 9112) as its bytes come, and nothing behind it. Not a client: it knows no
/// redirects, no encodings, no reuse of a connection.
///
/// Bounded: a head of `headBytes`, a body of `bodyBytes`; what is longer, or is no such response, throws.
struct HttpResponse {
  struct Broken: Error, Equatable {}

  static let headBytes = 16_384
  static let bodyBytes = 65_536
  /// Of everything, what is only framing included.
  static let totalBytes = 4 * bodyBytes

  private enum Part: Equatable {
    case head
    case counted(Int)
    case chunkSize
    case chunk(Int)
    case chunkEnd
    case trailer
    /// To the end of the stream.
    case open
    case done
  }

  private var part = Part.head
  private var pending: [UInt8] = []
  private var trailerBytes = 0
  private var received = 0
  private(set) var status = 0
  private(set) var body = Data()

  var isComplete: Bool { part == .done }

  mutating func take(_ bytes: some Collection<UInt8>) throws(Broken) {
    received += bytes.count
    guard received <= Self.totalBytes else { throw Broken() }
    pending += bytes
    while try step() {}
  }

  /// The stream has ended, in the proper way.
  mutating func ended() throws(Broken) {
    if part == .open { part = .done }
    guard part == .done else { throw Broken() }
  }

  /// False when it needs more bytes, or none any more.
  private mutating func step() throws(Broken) -> Bool {
    switch part {
    case .done:
      pending = []
      return false
    case .head: return try readHead()
    case .counted(let left):
      let count = min(left, pending.count)
      try take(body: count)
      part = left == count ? .done : .counted(left - count)
      return left == count
    case .open:
      try take(body: pending.count)
      return false
    case .chunkSize:
      guard let line = try line(64) else { return false }
      let digits = line.prefix { $0 != UInt8(ascii: ";") && $0 != 0x20 }
      guard (1...8).contains(digits.count), let size = Int(String(decoding: digits, as: UTF8.self), radix: 16),
        size >= 0, body.count + size <= Self.bodyBytes
      else { throw Broken() }
      part = size == 0 ? .trailer : .chunk(size)
      return true
    case .chunk(let left):
      let count = min(left, pending.count)
      try take(body: count)
      part = left == count ? .chunkEnd : .chunk(left - count)
      return left == count
    case .chunkEnd:
      guard let line = try line(2) else { return false }
      guard line.isEmpty else { throw Broken() }
      part = .chunkSize
      return true
    case .trailer:
      guard let line = try line(Self.headBytes) else { return false }
      trailerBytes += line.count
      guard trailerBytes <= Self.headBytes else { throw Broken() }
      if line.isEmpty { part = .done }
      return true
    }
  }

  private mutating func take(body count: Int) throws(Broken) {
    guard body.count + count <= Self.bodyBytes else { throw Broken() }
    body += pending[..<count]
    pending.removeFirst(count)
  }

  /// A line without its end; nil while it is not whole.
  private mutating func line(_ most: Int) throws(Broken) -> ArraySlice<UInt8>? {
    guard let end = pending.firstIndex(of: 0x0A) else {
      guard pending.count <= most else { throw Broken() }
      return nil
    }
    guard end <= most else { throw Broken() }
    let line = pending[..<end]
    pending.removeFirst(end + 1)
    return line.last == 0x0D ? line.dropLast() : line
  }

  private mutating func readHead() throws(Broken) -> Bool {
    guard let end = Self.headEnd(pending) else {
      guard pending.count <= Self.headBytes else { throw Broken() }
      return false
    }
    guard end <= Self.headBytes else { throw Broken() }
    let head = String(decoding: pending[..<end], as: UTF8.self)
    pending.removeFirst(end)
    let lines = head.split(whereSeparator: \.isNewline)
    guard let first = lines.first, first.hasPrefix("HTTP/1."), first.utf8.count >= 12,
      let code = Int(first.dropFirst(9).prefix(3)), (100...599).contains(code)
    else { throw Broken() }
    // "Continue" and the like: the response is still to come.
    if code < 200 { return true }
    status = code
    var length: Int?
    var isChunked = false
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { throw Broken() }
      let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
      switch line[..<colon].lowercased() {
      case "content-length":
        guard let number = Int(value), number >= 0, number <= Self.bodyBytes, length == nil || length == number else {
          throw Broken()
        }
        length = number
      case "transfer-encoding":
        guard value.lowercased() == "chunked" else { throw Broken() }
        isChunked = true
      case "content-encoding":
        // None was asked for.
        guard value.lowercased() == "identity" else { throw Broken() }
      default: break
      }
    }
    // Both together are how responses are smuggled.
    guard !(isChunked && length != nil) else { throw Broken() }
    if code == 204 || code == 304 {
      part = .done
    } else {
      part = isChunked ? .chunkSize : length.map { .counted($0) } ?? .open
    }
    return true
  }

  /// Behind the empty line.
  private static func headEnd(_ bytes: [UInt8]) -> Int? {
    var at = 0
    while let end = bytes[at...].firstIndex(of: 0x0A) {
      let next = end + 1
      if next < bytes.count, bytes[next] == 0x0A { return next + 1 }
      if next + 1 < bytes.count, bytes[next] == 0x0D, bytes[next + 1] == 0x0A { return next + 2 }
      at = next
    }
    return nil
  }
}
