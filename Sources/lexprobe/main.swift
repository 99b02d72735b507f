// lexprobe: the dictionary on its own, for tests of what ships: static, on every architecture. Not installed.
//
//   lexprobe DICTIONARY verify           checks the whole file
//   lexprobe DICTIONARY roundtrip        takes paths from standard input, one a line; encodes and decodes each
//                                        file in pieces and compares; prints files, bytes and encoded bytes
//   lexprobe DICTIONARY records          the same for each record of the files: length (2 bytes, the lower
//                                        first), then so many bytes
//   lexprobe DICTIONARY words            reads every word and looks it up; prints how many could be read, and
//                                        how many were found: all of a good file, any number of a damaged one
//   lexprobe DICTIONARY encode|decode    standard input to standard output
//
// Ends with 0, with 1 after a difference, or with another number when it could not be done.
import Bounded
import CSky
import Lexicon

func fail(_ text: StaticString, _ status: Int32) -> Never {
  _ = sky_write(2, text.utf8Start, text.utf8CodeUnitCount)
  _ = sky_write(2, "\n", 1)
  sky_exit(status)
}

let piece = 16_384
/// Made once: the probe shows that nothing else is needed.
nonisolated(unsafe) let input = UnsafeMutableRawBufferPointer.allocate(byteCount: piece, alignment: 16)
nonisolated(unsafe) let stream = UnsafeMutableRawBufferPointer.allocate(byteCount: Encoder.bound(piece), alignment: 16)
nonisolated(unsafe) let output = UnsafeMutableRawBufferPointer.allocate(byteCount: piece, alignment: 16)

/// Reads until `room` is full or the input ends. Nil on an error.
func fill(_ descriptor: Int32, _ room: UnsafeMutableRawBufferPointer) -> Int? {
  var count = 0
  while count < room.count {
    let read = sky_read(descriptor, room.baseAddress! + count, room.count - count)
    if read < 0 { return nil }
    if read == 0 { break }
    count += read
  }
  return count
}

func send(_ bytes: UnsafeMutableRawBufferPointer, _ count: Int) {
  var done = 0
  while done < count {
    let written = sky_write(1, bytes.baseAddress! + done, count - done)
    if written <= 0 { fail("cannot write", 74) }
    done += written
  }
}

func span(_ bytes: UnsafeMutableRawBufferPointer, _ range: Range<Int>) -> UnsafeRawBufferPointer {
  UnsafeRawBufferPointer(rebasing: bytes[range])
}

/// Encodes a file's bytes in pieces, decodes them in pieces, compares. Returns the size of the encoded stream.
func roundTrip(_ start: UnsafeRawPointer, _ size: Int, _ view: borrowing LexiconView) -> Int? {
  let file = RawSpan(_unsafeStart: start, byteCount: size)
  let encoder = Encoder(copy view)
  let decoder = Decoder(copy view)
  var at = 0
  var compared = 0
  var total = 0
  // Small enough for the room, large enough that something is always consumed.
  let window = piece
  while at < file.byteCount {
    let end = min(file.byteCount, at + window)
    let step = encoder.encode(file.extracting(at..<end), isLast: end == file.byteCount, into: stream)
    guard step.consumed > 0 else { return nil }
    at += step.consumed
    total += step.written
    var from = 0
    while from < step.written {
      let bytes = RawSpan(_unsafeBytes: span(stream, from..<step.written))
      guard let back = try? decoder.decode(bytes, isLast: true, into: output), back.consumed > 0,
        compared + back.written <= file.byteCount,
        file.extracting(compared..<(compared + back.written)).elementsEqual(
          RawSpan(_unsafeBytes: span(output, 0..<back.written)))
      else { return nil }
      from += back.consumed
      compared += back.written
    }
  }
  return compared == file.byteCount ? total : nil
}

/// Each record of a file as an input of its own. Returns the size of all encoded streams.
func roundTripRecords(_ start: UnsafeRawPointer, _ size: Int, _ view: borrowing LexiconView) -> Int? {
  var at = 0
  var total = 0
  while at < size {
    guard size - at >= 2 else { fail("a record has no length", 65) }
    let count = Int(start.loadUnaligned(fromByteOffset: at, as: UInt16.self).littleEndian)
    guard size - at - 2 >= count else { fail("a record is cut short", 65) }
    guard let encoded = roundTrip(start + at + 2, count, view) else { return nil }
    records += 1
    total += encoded
    at += 2 + count
  }
  return total
}
nonisolated(unsafe) var records: UInt64 = 0

/// Reads every word there is, and looks it up.
func useWords(_ view: borrowing LexiconView) {
  var word = WordText()
  var read: UInt64 = 0
  var found: UInt64 = 0
  for index in 0..<view.tokenCount {
    guard let id = view.id(atIndex: index), let count = view.word(id, into: &word) else { continue }
    read += 1
    if view.id(of: 0..<count, in: word.span) == id, view.id(of: word.span.extracting(0..<count)) == id { found += 1 }
  }
  var text = TextBuffer(capacity: 64)
  text.append("read=")
  text.append(read)
  text.append(" found=")
  text.append(found)
  text.append("\n")
  text.withUnsafeBytes { _ = sky_write(1, $0.baseAddress, $0.count) }
}

func roundTripAll(_ view: borrowing LexiconView, records areRecords: Bool) {
  var path = InlineArray<4096, UInt8>(repeating: 0)
  var length = 0
  var files: UInt64 = 0
  var bytes: UInt64 = 0
  var encoded: UInt64 = 0
  var ended = false
  var text = TextBuffer(capacity: 8_192)
  while !ended {
    guard let count = fill(0, input) else { fail("cannot read standard input", 74) }
    ended = count < input.count
    for i in 0..<count {
      let byte = input[i]
      if byte != UInt8(ascii: "\n") {
        guard length < 4_095 else { fail("a path is too long", 64) }
        path[length] = byte
        length += 1
        continue
      }
      path[length] = 0
      length = 0
      var size = 0
      let start = path.span.withUnsafeBufferPointer {
        $0.withMemoryRebound(to: CChar.self) { sky_file_map($0.baseAddress!, &size) }
      }
      // Not a file, empty, or gone.
      guard let start else { continue }
      guard let sum = areRecords ? roundTripRecords(start, size, view) : roundTrip(start, size, view) else {
        text.append("does not come back: ")
        var k = 0
        while path[k] != 0 {
          text.append(byte: path[k])
          k += 1
        }
        text.append("\n")
        text.withUnsafeBytes { _ = sky_write(1, $0.baseAddress, $0.count) }
        sky_exit(1)
      }
      files += 1
      bytes += UInt64(size)
      encoded += UInt64(sum)
      sky_file_unmap(start, size)
    }
  }
  text.append(areRecords ? "records=" : "files=")
  text.append(areRecords ? records : files)
  text.append(" bytes=")
  text.append(bytes)
  text.append(" encoded=")
  text.append(encoded)
  text.append("\n")
  text.withUnsafeBytes { _ = sky_write(1, $0.baseAddress, $0.count) }
}

/// Standard input to standard output: the rest that was not consumed moves to the front.
func pump(_ view: borrowing LexiconView, decodes: Bool) {
  let encoder = Encoder(copy view)
  let decoder = Decoder(copy view)
  let source = decodes ? stream : input
  let target = decodes ? output : stream
  var held = 0
  while true {
    let rest = UnsafeMutableRawBufferPointer(rebasing: source[held...])
    guard let count = fill(0, rest) else { fail("cannot read standard input", 74) }
    let isLast = count < rest.count
    held += count
    var from = 0
    while from < held {
      let bytes = RawSpan(_unsafeBytes: span(source, from..<held))
      let step =
        decodes
        ? try? decoder.decode(bytes, isLast: isLast, into: target)
        : encoder.encode(bytes, isLast: isLast, into: target)
      guard let done = step else { fail("the input cannot be decoded", 1) }
      if done.consumed == 0, done.written == 0 { break }
      send(target, done.written)
      from += done.consumed
    }
    source.baseAddress!.copyMemory(from: source.baseAddress! + from, byteCount: held - from)
    held -= from
    if isLast {
      if held > 0 { fail("the input ends in the middle", 1) }
      return
    }
  }
}

/// The word of the command line with this number; a zero is behind it.
func word(_ number: Int, of line: RawSpan) -> Range<Int> {
  var start = 0
  var seen = 0
  for i in 0..<line.byteCount where line[i] == 0 {
    if seen == number { return start..<i }
    seen += 1
    start = i + 1
  }
  return 0..<0
}

func run(_ command: RawSpan, _ start: UnsafeRawPointer, _ size: Int) throws(LexiconError) {
  let view = try LexiconView(RawSpan(_unsafeStart: start, byteCount: size))
  if command.elementsEqual("verify") {
    try view.verify()
  } else if command.elementsEqual("roundtrip") {
    roundTripAll(view, records: false)
  } else if command.elementsEqual("records") {
    roundTripAll(view, records: true)
  } else if command.elementsEqual("words") {
    useWords(view)
  } else if command.elementsEqual("encode") {
    pump(view, decodes: false)
  } else if command.elementsEqual("decode") {
    pump(view, decodes: true)
  } else {
    fail("no such command", 64)
  }
}

func start() throws(LexiconError) {
  var line = ByteQueue(capacity: 4_096)
  line.appendInPlace(upTo: 4_096) { max(0, sky_file_read("/proc/self/cmdline", $0.baseAddress, $0.count)) }
  let path = word(1, of: line.bytes)
  let command = word(2, of: line.bytes)
  guard !command.isEmpty else { fail("usage: lexprobe DICTIONARY verify|roundtrip|records|words|encode|decode", 64) }
  var size = 0
  let dictionary: UnsafeRawPointer? = line.withMutableBytes { bytes in
    sky_file_map(bytes.baseAddress!.advanced(by: path.lowerBound).assumingMemoryBound(to: CChar.self), &size)
  }
  guard let dictionary else { fail("cannot map the dictionary", 66) }
  try run(line.bytes.extracting(command), dictionary, size)
}

do throws(LexiconError) {
  try start()
} catch {
  fail(error.sentence, 65)
}
