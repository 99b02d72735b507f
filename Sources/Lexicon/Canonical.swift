import Bounded

/// The form in which words are kept: lower case. NFC is the caller's business.
public enum Canonical {
  /// Writes the word in lower case; its length, or 0 when it is empty or longer than a word can be.
  public static func lower(_ word: RawSpan, into text: inout WordText) -> Int {
    let count = word.byteCount
    guard count > 0, count <= Layout.wordBytesMaximum else { return 0 }
    text.withUnsafeMutableBytes { memory in
      let bytes = memory.assumingMemoryBound(to: UInt8.self)
      for i in 0..<count { bytes[i] = word.u8(i) }
      var at = 0
      while at < count { at += CaseFold.change(bytes, at, count, CaseFold.lower) }
    }
    return count
  }

  /// Whether the bytes could be a word: UTF-8 that begins with a letter and holds nothing but letters and
  /// apostrophes.
  public static func isWord(_ text: RawSpan) -> Bool {
    var at = 0
    while at < text.byteCount {
      let byte = text.u8(at)
      if byte < 0x80 {
        let isLetter = (byte | 0x20) &- UInt8(ascii: "a") < 26
        guard isLetter || byte == UInt8(ascii: "'") && at > 0 else { return false }
        at += 1
        continue
      }
      let size = utf8SequenceLength(text, at: at)
      guard size > 0, Unicode.isLetter(Unicode.point(text, at, size)) else { return false }
      at += size
    }
    return text.byteCount > 0
  }
}
