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
    guard let base = output.baseAddress else { return Progress(consumed: 0, written: 0) }
    var reader = StreamReader(stream)
    var out = base
    let stop = base + (output.count - Self.outputMinimum)
    while true {
      out = try lexicon.decodeCommon(&reader, out, stop)
      guard !reader.isAtEnd, out <= stop else { break }
      do throws(LexiconError) {
        out = try next(&reader, stream, out)
      } catch {
        if error == .truncatedStream, !isLast { break }
        throw error
      }
    }
    return Progress(consumed: reader.offset, written: out - base)
  }

  /// Any item. Returns where the output goes on.
  private func next(
    _ reader: inout StreamReader, _ stream: RawSpan, _ out: UnsafeMutableRawPointer
  ) throws(LexiconError) -> UnsafeMutableRawPointer {
    let item = try reader.next()
    guard case .word(let id, let style, let hasSpace) = item else { return Self.write(item, stream, out) }
    out.storeBytes(of: 0x20, as: UInt8.self)
    let text = hasSpace ? out + 1 : out
    let count = lexicon.read(lexicon.index(ofId: id), text)
    guard count > 0 else { throw .unknownToken }
    CaseFold.apply(style, text.assumingMemoryBound(to: UInt8.self), count)
    return text + count
  }

  /// Everything but words. Returns where the output goes on.
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
    case .byte(let byte):
      out.storeBytes(of: byte, as: UInt8.self)
      return out + 1
    case .word: return out
    }
  }

  private static func fill(_ byte: UInt8, _ count: Int, _ out: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
    out.initializeMemory(as: UInt8.self, repeating: byte, count: count)
    return out + count
  }
}

extension LexiconView {
  /// Decodes what most of a text is, up to another item or close to an end. Returns where the output goes on.
  ///
  /// Kept small, so that all it works with is in registers.
  fileprivate func decodeCommon(
    _ reader: inout StreamReader, _ start: UnsafeMutableRawPointer, _ stop: UnsafeMutableRawPointer
  ) throws(LexiconError) -> UnsafeMutableRawPointer {
    var items = reader
    var out = start
    while items.isFarFromEnd, out <= stop {
      if let id = items.nextShortWord() {
        out.storeBytes(of: 0x20, as: UInt8.self)
        let count = read(index(ofId: id), out + 1)
        guard count > 0 else { throw .unknownToken }
        out += 1 &+ count
      } else if let mark = items.nextMark() {
        out.storeBytes(of: mark, as: UInt8.self)
        out += 1
      } else if let word = items.nextLongWord() {
        out.storeBytes(of: 0x20, as: UInt8.self)
        out += word.spaces
        let count = read(index(ofId: word.id), out)
        guard count > 0 else { throw .unknownToken }
        if word.style != .lower { CaseFold.apply(word.style, out.assumingMemoryBound(to: UInt8.self), count) }
        out += count
      } else {
        out.storeBytes(of: 0x20, as: UInt8.self)
        var (at, spaces, digits) = (0, 0, UInt16(0))
        var count = items.nextShortLiteral(&at, &spaces)
        if count > 0 {
          out += spaces
          out.storeBytes(of: items.stream.u64(at).littleEndian, as: UInt64.self)
          out.storeBytes(of: items.stream.u64(at &+ 8).littleEndian, toByteOffset: 8, as: UInt64.self)
        } else {
          count = items.nextFewDigits(&digits, &spaces)
          if count > 0 {
            out += spaces
            out.storeBytes(of: digits.littleEndian, as: UInt16.self)
          } else {
            count = items.nextSpaces()
            guard count > 0 else { break }
            out.storeBytes(of: 0x2020_2020_2020_2020, as: UInt64.self)
          }
        }
        out += count
      }
    }
    reader = items
    return out
  }
}
