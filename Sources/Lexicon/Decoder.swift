import Bounded

/// From the compact binary form back to the bytes, in constant memory. The counterpart of `Encoder`.
public struct Decoder: ~Escapable {
  private let lexicon: LexiconView

  /// An output this large takes at least one item, whatever it is: a space and 256 bytes.
  public static let outputMinimum = 320

  @_lifetime(copy lexicon)
  public init(_ lexicon: LexiconView) { self.lexicon = lexicon }

  /// Decodes as many whole items as there are and as fit. With `isLast` an item cut short is an error;
  /// without, it is left for the next call.
  public func decode(
    _ stream: RawSpan, isLast: Bool, into output: UnsafeMutableRawBufferPointer
  ) throws(LexiconError) -> Progress {
    var reader = StreamReader(stream)
    guard let base = output.baseAddress else { return Progress(consumed: 0, written: 0) }
    var out = base
    let stop = base + (output.count - Self.outputMinimum)
    while !reader.isAtEnd, out <= stop {
      // What most of a text is: a word in lower case behind a space, in two bytes.
      if let id = reader.nextShortWord() {
        out.storeBytes(of: 0x20, as: UInt8.self)
        let count = lexicon.read(lexicon.index(ofId: id), out + 1)
        guard count > 0 else { throw .unknownToken }
        out += 1 &+ count
        continue
      }
      let item: StreamItem
      do throws(LexiconError) {
        item = try reader.next()
      } catch {
        if error == .truncatedStream, !isLast { break }
        throw error
      }
      switch item {
      case .word(let id, let style, let hasSpace):
        out.storeBytes(of: 0x20, as: UInt8.self)
        let text = hasSpace ? out + 1 : out
        let count = lexicon.read(lexicon.index(ofId: id), text)
        guard count > 0 else { throw .unknownToken }
        if style != .lower { CaseFold.apply(style, text.assumingMemoryBound(to: UInt8.self), count) }
        out = text + count
      case .byte(let byte):
        out.storeBytes(of: byte, as: UInt8.self)
        out += 1
      default: out = Self.write(item, stream, out)
      }
    }
    return Progress(consumed: reader.offset, written: out - base)
  }

  /// Everything but words and single bytes. Returns where the output goes on.
  private static func write(
    _ item: StreamItem, _ stream: RawSpan, _ start: UnsafeMutableRawPointer
  ) -> UnsafeMutableRawPointer {
    var out = start
    func space(_ wanted: Bool) {
      if wanted {
        out.storeBytes(of: 0x20, as: UInt8.self)
        out += 1
      }
    }
    switch item {
    case .spaces(let count): return fill(0x20, count, out)
    case .repeated(let byte, let count): return fill(byte, count, out)
    case .digits(let value, let count, let hasSpace):
      space(hasSpace)
      var left = value
      for i in stride(from: count - 1, through: 0, by: -1) {
        out.storeBytes(of: UInt8(ascii: "0") + UInt8(left % 10), toByteOffset: i, as: UInt8.self)
        left /= 10
      }
      return out + count
    case .literal(let offset, let count, let hasSpace):
      space(hasSpace)
      stream.extracting(offset..<(offset + count)).withUnsafeBytes {
        out.copyMemory(from: $0.baseAddress!, byteCount: count)
      }
      return out + count
    case .word, .byte: return out
    }
  }

  private static func fill(_ byte: UInt8, _ count: Int, _ out: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
    out.initializeMemory(as: UInt8.self, repeating: byte, count: count)
    return out + count
  }
}
