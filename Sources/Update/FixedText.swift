import Bounded

// A name in a field of fixed length: printable ASCII without spaces, at least one character, zeros behind it.

extension ByteReader {
  mutating func name<let n: Int>() throws(DecodeError) -> InlineText<n> {
    let field = try bytes(n)
    var count = 0
    while count < n, field[count] > 0x20, field[count] < 0x7F { count += 1 }
    for i in count..<n where field[i] != 0 { throw .invalid }
    guard count > 0, let text = InlineText<n>(field.extracting(0..<count)) else { throw .invalid }
    return text
  }

  /// Bytes that are there for later formats.
  mutating func zeros(_ count: Int) throws(DecodeError) {
    let field = try bytes(count)
    for i in 0..<count where field[i] != 0 { throw .invalid }
  }
}

extension ByteQueue {
  mutating func append<let n: Int>(name: InlineText<n>) {
    append(name.bytes)
    append(zeros: n - name.count)
  }

  mutating func append(zeros count: Int) {
    for _ in 0..<count { append(bigEndian: UInt8(0)) }
  }
}
