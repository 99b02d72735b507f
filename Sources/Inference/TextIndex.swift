/// Finds a text among many of a mapped file: a hash table of numbers, 4 bytes a slot, and 4 bytes for each text's
/// place. The texts stay where they are.
///
/// Invariant: `slots` is a power of two larger than the number of texts, so every search ends.
struct TextIndex {
  let file: GgufFile
  /// Where each string is in the file.
  let offsets: UnsafeMutablePointer<UInt32>
  let count: Int
  private let table: UnsafeMutablePointer<UInt32>
  private let slots: Int
  /// A file whose texts collide more than this is made to be slow.
  private static let probesMaximum = 512

  /// Indexes an array of strings. With a counting arena nothing is read but the count.
  init(_ file: GgufFile, _ array: (offset: Int, count: Int), most: Int, _ arena: inout Arena) throws(InferenceError) {
    guard array.count >= 1, array.count <= most else { throw .overLimit }
    self.file = file
    count = array.count
    offsets = try arena.take(count)
    var size = 16
    // At most four fifths full.
    while size * 4 < count * 5 { size *= 2 }
    slots = size
    table = try arena.take(size)
    guard !arena.isCounting else { return }
    var at = array.offset
    for i in 0..<count {
      let text = file.string(at: at)
      guard text.count <= InferenceLimits.tokenBytes else { throw .badVocabulary }
      offsets[i] = UInt32(at)
      at += 8 + text.count
      try insert(i, text)
    }
  }

  private func insert(_ index: Int, _ text: UnsafeRawBufferPointer) throws(InferenceError) {
    var slot = Int(truncatingIfNeeded: Self.hash(text)) & (slots - 1)
    for _ in 0..<Self.probesMaximum {
      // Of equal texts the last one counts.
      if table[slot] == 0 || equal(self[Int(table[slot] - 1)], text) {
        table[slot] = UInt32(index + 1)
        return
      }
      slot = (slot + 1) & (slots - 1)
    }
    throw .badVocabulary
  }

  subscript(_ index: Int) -> UnsafeRawBufferPointer { file.string(at: Int(offsets[index])) }

  func find(_ text: UnsafeRawBufferPointer) -> Int? {
    var slot = Int(truncatingIfNeeded: Self.hash(text)) & (slots - 1)
    for _ in 0..<Self.probesMaximum {
      let entry = table[slot]
      if entry == 0 { return nil }
      if equal(self[Int(entry - 1)], text) { return Int(entry - 1) }
      slot = (slot + 1) & (slots - 1)
    }
    return nil
  }

  @inline(__always) private func equal(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
    guard a.count == b.count else { return false }
    for i in 0..<a.count where a[i] != b[i] { return false }
    return true
  }

  /// FNV-1a of 32 bits, and its upper half mixed in.
  private static func hash(_ text: UnsafeRawBufferPointer) -> UInt32 {
    var hash: UInt32 = 2_166_136_261
    for byte in text { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
    return hash ^ hash >> 15
  }
}
