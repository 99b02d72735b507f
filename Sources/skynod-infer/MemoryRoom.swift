import Bounded
import CSky
import Inference
import Platform
import Wire

/// Whether a model fits: the numbers, and the verdict.
///
/// Mapped weights are not this process's own memory, but when they do not stay in the page cache every token reads
/// them anew from the card, and the whole board with it. So they count in full.
struct MemoryRoom {
  /// The weights' file.
  var weightsBytes: UInt64 = 0
  /// Cache, activations, tokenizer.
  var workBytes: UInt64 = 0
  /// Available to programs, by the kernel's estimate; nil when it is not known.
  private(set) var availableBytes: UInt64?
  /// The narrowest limit of this process's cgroup and those above it.
  private(set) var cgroupBytes: UInt64?

  /// Of what is available a model may take this much: below that the system begins to throw out what it needs again.
  static let shareOfAvailable: UInt64 = 60
  /// The program itself, its stacks and page tables.
  static let programBytes: UInt64 = 3 << 20

  init(weightsBytes: UInt64, workBytes: UInt64) {
    self.weightsBytes = weightsBytes
    self.workBytes = workBytes
    readAvailable()
    readCgroup()
  }

  var neededBytes: UInt64 { weightsBytes + workBytes + Self.programBytes }

  var allowedBytes: UInt64 {
    let share = availableBytes.map { $0 / 100 * Self.shareOfAvailable } ?? .max
    return min(share, cgroupBytes ?? .max)
  }

  var fits: Bool { neededBytes <= allowedBytes }

  /// "the model needs 115.2 MB (weights 98.4, cache and work 13.8, program 3.1); 60 % of …".
  func describe(to text: inout TextBuffer) {
    text.append("needs ")
    Self.append(neededBytes, &text)
    text.append(" MB (weights ")
    Self.append(weightsBytes, &text)
    text.append(", cache and work ")
    Self.append(workBytes, &text)
    text.append(", program ")
    Self.append(Self.programBytes, &text)
    text.append("); ")
    if let availableBytes {
      text.append("60 % of the available ")
      Self.append(availableBytes, &text)
      text.append(" MB are ")
      Self.append(availableBytes / 100 * Self.shareOfAvailable, &text)
    } else {
      text.append("what is available is not known")
    }
    if let cgroupBytes {
      text.append("; the cgroup allows ")
      Self.append(cgroupBytes, &text)
    }
  }

  /// In millions of bytes.
  static func append(_ bytes: UInt64, _ text: inout TextBuffer) {
    text.append(scaled: Int64(clamping: bytes / 100_000), places: 1)
  }

  // MARK: Reading

  private mutating func readAvailable() {
    var file = ByteQueue(capacity: 4_096)
    guard let path = PathText("/proc/meminfo"), (try? Files.read(path, into: &file)) != nil else { return }
    if let kilobytes = Self.number(file.bytes, after: "MemAvailable:") { availableBytes = kilobytes << 10 }
  }

  /// The unified hierarchy's limits, from this process's group up to the root.
  private mutating func readCgroup() {
    var file = ByteQueue(capacity: 4_096)
    guard let own = PathText("/proc/self/cgroup"), (try? Files.read(own, into: &file)) != nil else { return }
    var path = TextBuffer(capacity: 200)
    path.append("/sys/fs/cgroup")
    let text = file.bytes
    guard let start = Self.find(text, "0::") else { return }
    var end = start
    while end < text.byteCount, text[end] != 0x0A { end += 1 }
    path.append(text.extracting(start..<end))
    guard !path.isTruncated else { return }
    while path.count > "/sys/fs/cgroup".utf8.count {
      readLimit(path.bytes, "/memory.max")
      readLimit(path.bytes, "/memory.high")
      var count = path.count - 1
      while count > 0, path.bytes[count] != UInt8(ascii: "/") { count -= 1 }
      path.truncate(to: count)
    }
  }

  private mutating func readLimit(_ folder: RawSpan, _ name: StaticString) {
    var whole = TextBuffer(capacity: 255)
    whole.append(folder)
    whole.append(name)
    var file = ByteQueue(capacity: 64)
    guard let path = PathText(whole.bytes), (try? Files.read(path, into: &file)) != nil else { return }
    // "max" is no number: no limit here.
    if let limit = Self.number(file.bytes, after: "") { cgroupBytes = min(cgroupBytes ?? .max, limit) }
  }

  /// Where the text behind `label` begins.
  private static func find(_ text: RawSpan, _ label: StaticString) -> Int? {
    let count = label.utf8CodeUnitCount
    var at = 0
    while at + count <= text.byteCount {
      if text.extracting(at..<(at + count)).elementsEqual(label) { return at + count }
      at += 1
    }
    return nil
  }

  private static func number(_ text: RawSpan, after label: StaticString) -> UInt64? {
    guard var at = find(text, label) else { return nil }
    while at < text.byteCount, text[at] == 0x20 { at += 1 }
    let start = at
    while at < text.byteCount, text[at] >= 48, text[at] < 58 { at += 1 }
    return parseDecimal(text.extracting(start..<at))
  }
}
