import Bounded
import Wire

// Whether a host can be one at all is decided here, at start and with a line number, rather than by the
// resolver minutes later.
extension ConfigurationValue {
  /// `name:port`, `192.0.2.1:port` or `[2001:db8::1]:port`, port included always.
  static func address(_ text: RawSpan) -> HubEntry? {
    var hostStart = 0
    var hostEnd = 0
    var portStart = 0
    let isBracketed = text.byteCount > 0 && text[0] == UInt8(ascii: "[")
    if isBracketed {
      guard let close = firstIndex(of: UInt8(ascii: "]"), in: text), close + 1 < text.byteCount,
        text[close + 1] == UInt8(ascii: ":")
      else { return nil }
      (hostStart, hostEnd, portStart) = (1, close, close + 2)
    } else {
      guard let colon = firstIndex(of: UInt8(ascii: ":"), in: text) else { return nil }
      (hostStart, hostEnd, portStart) = (0, colon, colon + 1)
    }
    let host = text.extracting(hostStart..<hostEnd)
    guard isBracketed ? isIPv6(host) : isName(host) || isIPv4(host) else { return nil }
    guard let number = decimal(text.extracting(portStart..<text.byteCount)), number > 0,
      let port = UInt16(exactly: number), let name = InlineText<253>(host)
    else { return nil }
    let none = InlineArray<32, UInt8>(repeating: 0)
    return HubEntry(host: name, port: port, pin: none, key: none)
  }

  /// RFC 1123 labels. A name whose last label is a number is not a name: it would be a wrong IPv4 address.
  static func isName(_ text: RawSpan) -> Bool {
    guard text.byteCount > 0, text.byteCount <= 253 else { return false }
    var labelStart = 0
    var lastIsNumber = true
    for i in 0...text.byteCount {
      if i < text.byteCount, text[i] != UInt8(ascii: ".") {
        guard isLetter(text[i]) || isDigit(text[i]) || text[i] == UInt8(ascii: "-") || text[i] == UInt8(ascii: "_")
        else { return false }
        continue
      }
      let label = text.extracting(labelStart..<i)
      guard label.byteCount > 0, label.byteCount <= 63, label[0] != UInt8(ascii: "-"),
        label[label.byteCount - 1] != UInt8(ascii: "-")
      else { return false }
      lastIsNumber = true
      for j in 0..<label.byteCount where !isDigit(label[j]) { lastIsNumber = false }
      labelStart = i + 1
    }
    return !lastIsNumber
  }

  /// Four decimal numbers of at most 255, without leading zeros.
  static func isIPv4(_ text: RawSpan) -> Bool {
    var parts = 0
    var start = 0
    for i in 0...text.byteCount where i == text.byteCount || text[i] == UInt8(ascii: ".") {
      guard let part = decimal(text.extracting(start..<i)), part <= 255 else { return false }
      parts += 1
      start = i + 1
    }
    return parts == 4
  }

  /// RFC 4291, section 2.2, without a zone: eight groups, or fewer around one `::`, the last two possibly
  /// written as IPv4.
  static func isIPv6(_ text: RawSpan) -> Bool {
    var groups = 0
    var hasGap = false
    var i = 0
    if afterPrefix("::", of: text) != nil {
      hasGap = true
      i = 2
      if i == text.byteCount { return true }
    }
    while true {
      let start = i
      while i < text.byteCount, text[i] != UInt8(ascii: ":") { i += 1 }
      let group = text.extracting(start..<i)
      if i == text.byteCount, isIPv4(group) {
        groups += 2
        break
      }
      guard group.byteCount >= 1, group.byteCount <= 4 else { return false }
      for j in 0..<group.byteCount where hexDigit(group[j]) == nil { return false }
      groups += 1
      if i == text.byteCount { break }
      i += 1
      if i < text.byteCount, text[i] == UInt8(ascii: ":") {
        guard !hasGap else { return false }
        hasGap = true
        i += 1
        if i == text.byteCount { break }
      }
      if i == text.byteCount { return false }
    }
    return hasGap ? groups < 8 : groups == 8
  }
}
