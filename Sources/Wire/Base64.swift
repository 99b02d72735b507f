import Bounded

/// base64 (RFC 4648): bytes as text that is safe in control lines, shells and URLs.
public enum Base64 {
  /// Section 5's alphabet, unpadded.
  public static func encodeUrl(_ bytes: RawSpan, to text: inout TextBuffer) {
    let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    var i = 0
    while i < bytes.byteCount {
      let left = bytes.byteCount - i
      let word =
        UInt32(bytes[i]) << 16 | (left > 1 ? UInt32(bytes[i + 1]) << 8 : 0) | (left > 2 ? UInt32(bytes[i + 2]) : 0)
      for digit in 0..<min(4, left + 1) {
        text.append(byte: alphabet.utf8Start[Int(word >> (18 - 6 * UInt32(digit))) & 63])
      }
      i += 3
    }
  }

  /// Section 5's alphabet, unpadded. How many bytes were written; nil for a character outside the alphabet, a
  /// length no encoding has, spare bits that are not zero, or too little room.
  static func decodeUrl<let n: Int>(_ text: RawSpan, into out: inout InlineArray<n, UInt8>) -> Int? {
    guard text.byteCount * 3 / 4 <= n else { return nil }
    var written = 0
    let isWell = decode(text, takesBoth: false) { byte in
      out[written] = byte
      written += 1
    }
    return isWell ? written : nil
  }

  /// Either alphabet, padded or not: what people and programs at hand produce. False when it is not well formed.
  public static func decode(_ text: RawSpan, into out: inout TextBuffer) -> Bool {
    var end = text.byteCount
    while end > 0, text.byteCount - end < 2, text.byteCount % 4 == 0, text[end - 1] == UInt8(ascii: "=") { end -= 1 }
    return decode(text.extracting(0..<end), takesBoth: true) { out.append(byte: $0) }
  }

  private static func decode(_ text: RawSpan, takesBoth: Bool, _ put: (UInt8) -> Void) -> Bool {
    guard text.byteCount % 4 != 1 else { return false }
    var word: UInt32 = 0
    var bits = 0
    for i in 0..<text.byteCount {
      guard let value = digit(text[i], takesBoth) else { return false }
      word = word << 6 | value
      bits += 6
      if bits >= 8 {
        bits -= 8
        put(UInt8(truncatingIfNeeded: word >> UInt32(bits)))
        word &= (1 << UInt32(bits)) - 1
      }
    }
    return word == 0
  }

  private static func digit(_ byte: UInt8, _ takesBoth: Bool) -> UInt32? {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(byte - UInt8(ascii: "A"))
    case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte - UInt8(ascii: "a")) + 26
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0")) + 52
    case UInt8(ascii: "-"): 62
    case UInt8(ascii: "_"): 63
    case UInt8(ascii: "+") where takesBoth: 62
    case UInt8(ascii: "/") where takesBoth: 63
    default: nil
    }
  }
}
