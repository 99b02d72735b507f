import Bounded
import CWords
import Lexicon

/// Texts of messages in the compact form of docs/lexicon.md, by the one dictionary that is part of every program.
///
/// Lossless for any bytes. Who packs and who unpacks need not have told each other anything: the dictionary never
/// changes within a version of the protocol, however long a message lay on its way.
public enum Packing {
  /// What `pack` needs beyond the text's own size, and `unpack` beyond the longest text.
  public static let spareBytes = Encoder.outputMinimum

  /// Writes the packed text to the beginning of `room`, and nothing behind the text's size and the spare bytes. Nil when it
  /// would not be shorter than the text.
  public static func pack(_ text: RawSpan, into room: UnsafeMutableRawBufferPointer) -> Int? {
    precondition(room.count >= text.byteCount + spareBytes)
    guard let words else { return nil }
    let enough = UnsafeMutableRawBufferPointer(rebasing: room[..<(text.byteCount + spareBytes)])
    let done = Encoder(words).encode(text, isLast: true, into: enough)
    return done.consumed == text.byteCount && done.written < text.byteCount ? done.written : nil
  }

  /// Writes the text to the beginning of `room`. Nil for what `pack` never made, and for a text that is longer than
  /// `room` less the spare bytes.
  public static func unpack(_ packed: RawSpan, into room: UnsafeMutableRawBufferPointer) -> Int? {
    precondition(room.count >= spareBytes)
    guard let words else { return nil }
    do throws(LexiconError) {
      let done = try Decoder(words).decode(packed, isLast: true, into: room)
      return done.consumed == packed.byteCount && done.written <= room.count - spareBytes ? done.written : nil
    } catch {
      return nil
    }
  }

  /// Nil only when the program's own constants are damaged.
  private static var words: LexiconView? {
    @_lifetime(immortal)
    get {
      let file = RawSpan(_unsafeStart: sky_words_start()!, byteCount: sky_words_bytes())
      return try? LexiconView(_overrideLifetime(file, copying: ()))
    }
  }
}
