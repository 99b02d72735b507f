import Bounded

/// A GGUF file over its mapped bytes: what its header says, and where its tensors are.
///
/// Not a check of the weights: any bytes are weights. Every count, length, type and offset of the header is checked
/// before it is used; what `init` accepts can be read without further checks. The caller keeps the bytes mapped as
/// long as this, or anything made of it, is used.
public final class GgufFile {
  /// The types of values; raw values are those of the format.
  public enum ValueType: UInt32, Sendable {
    case uint8 = 0
    case int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

    /// Bytes of one value; 0 where that depends on the value.
    var bytes: Int {
      switch self {
      case .uint8, .int8, .bool: 1
      case .uint16, .int16: 2
      case .uint32, .int32, .float32: 4
      case .uint64, .int64, .float64: 8
      case .string, .array: 0
      }
    }
  }

  struct Entry {
    let key: Range<Int>
    let type: ValueType
    /// Of an array: its elements' type and number.
    let elementType: ValueType
    let count: Int
    /// Where the value, or an array's first element, begins.
    let offset: Int
  }

  struct TensorEntry {
    let name: Range<Int>
    var tensor: Tensor
  }

  public let bytes: UnsafeRawBufferPointer
  private let entries: UnsafeMutablePointer<Entry>
  private var entryCount = 0
  private let tensors: UnsafeMutablePointer<TensorEntry>
  public private(set) var tensorCount = 0
  private var keyRoom = 0
  private var tensorRoom = 0

  public init(_ bytes: UnsafeRawBufferPointer) throws(InferenceError) {
    var reader = GgufReader(bytes)
    guard bytes.count >= 24 else { throw .notGguf }
    guard try reader.u32() == 0x4655_4747 else { throw .notGguf }
    let version = try reader.u32()
    guard version == 2 || version == 3 else { throw .unknownVersion }
    let tensorCount = try reader.u64()
    let keyCount = try reader.u64()
    guard tensorCount <= UInt64(InferenceLimits.tensors), keyCount <= UInt64(InferenceLimits.keys) else {
      throw .overLimit
    }
    self.bytes = bytes
    entries = .allocate(capacity: max(1, Int(keyCount)))
    tensors = .allocate(capacity: max(1, Int(tensorCount)))
    for _ in 0..<Int(keyCount) {
      (entries + entryCount).initialize(to: try Self.entry(&reader))
      entryCount += 1
    }
    let alignment = try integer("general.alignment") ?? 32
    guard alignment >= 8, alignment <= 65_536, alignment & (alignment - 1) == 0 else { throw .badValue }
    for _ in 0..<Int(tensorCount) {
      (tensors + self.tensorCount).initialize(to: try Self.tensor(&reader, bytes))
      self.tensorCount += 1
    }
    try place(alignment: alignment, behind: reader.offset)
  }

  deinit {
    entries.deallocate()
    tensors.deallocate()
  }

  private static func entry(_ reader: inout GgufReader) throws(InferenceError) -> Entry {
    let key = try reader.text(most: InferenceLimits.keyBytes)
    guard let type = ValueType(rawValue: try reader.u32()) else { throw .badValue }
    switch type {
    case .string:
      let offset = reader.offset
      _ = try reader.text(most: Int(Int32.max))
      return Entry(key: key, type: type, elementType: type, count: 1, offset: offset)
    case .array:
      guard let element = ValueType(rawValue: try reader.u32()), element != .array else { throw .badValue }
      let count = try reader.u64()
      guard count <= UInt64(InferenceLimits.arrayEntries) else { throw .overLimit }
      let offset = reader.offset
      if element == .string {
        for _ in 0..<Int(count) { _ = try reader.text(most: Int(Int32.max)) }
      } else {
        try reader.skip(Int(count) * element.bytes)
      }
      return Entry(key: key, type: type, elementType: element, count: Int(count), offset: offset)
    default:
      let offset = reader.offset
      try reader.skip(type.bytes)
      return Entry(key: key, type: type, elementType: type, count: 1, offset: offset)
    }
  }

  /// A tensor whose `start` is still its offset in the file's data.
  private static func tensor(_ reader: inout GgufReader, _ bytes: UnsafeRawBufferPointer) throws(InferenceError)
    -> TensorEntry
  {
    let name = try reader.text(most: InferenceLimits.tensorNameBytes)
    let dimensions = try reader.u32()
    guard dimensions >= 1, dimensions <= UInt32(InferenceLimits.dimensions) else { throw .overLimit }
    var columns = 0
    var rows: UInt64 = 1
    for i in 0..<dimensions {
      let size = try reader.u64()
      guard size >= 1, size <= UInt64(InferenceLimits.dimension) else { throw .overLimit }
      if i == 0 {
        columns = Int(size)
      } else {
        rows *= size
        guard rows <= UInt64(InferenceLimits.dimension) else { throw .overLimit }
      }
    }
    guard let type = TensorType(rawValue: try reader.u32()) else { throw .unknownTensorType }
    let offset = try reader.u64()
    guard columns % type.blockCount == 0 else { throw .badShape }
    guard offset <= UInt64(bytes.count) else { throw .truncated }
    let rowBytes = columns / type.blockCount * type.blockBytes
    guard UInt64(rowBytes) * rows <= UInt64(bytes.count) else { throw .truncated }
    let start = bytes.baseAddress! + Int(offset)
    return TensorEntry(
      name: name, tensor: Tensor(type: type, start: start, columns: columns, rows: Int(rows), rowBytes: rowBytes))
  }

  /// Moves the tensors behind the header, and checks that they are inside the file.
  private func place(alignment: Int, behind header: Int) throws(InferenceError) {
    let (padded, overflows) = header.addingReportingOverflow(alignment - 1)
    guard !overflows else { throw .truncated }
    let data = padded & ~(alignment - 1)
    for i in 0..<tensorCount {
      let tensor = tensors[i].tensor
      let offset = tensor.start - bytes.baseAddress!
      guard offset & (alignment - 1) == 0 else { throw .badShape }
      let (start, startOverflows) = data.addingReportingOverflow(offset)
      guard !startOverflows, start <= bytes.count, tensor.byteCount <= bytes.count - start else { throw .truncated }
      tensors[i].tensor = Tensor(
        type: tensor.type, start: bytes.baseAddress! + start, columns: tensor.columns, rows: tensor.rows,
        rowBytes: tensor.rowBytes)
    }
  }
}

extension GgufFile {
  // MARK: Keys

  /// The text of a key or a name.
  func text(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[range]) }

  private func entry(_ prefix: UnsafeRawBufferPointer, _ key: StaticString) -> Entry? {
    for i in 0..<entryCount where matches(text(entries[i].key), prefix, key) { return entries[i] }
    return nil
  }

  private func matches(_ text: UnsafeRawBufferPointer, _ prefix: UnsafeRawBufferPointer, _ rest: StaticString) -> Bool {
    guard text.count == prefix.count + rest.utf8CodeUnitCount else { return false }
    for i in 0..<prefix.count where text[i] != prefix[i] { return false }
    for i in 0..<rest.utf8CodeUnitCount where text[prefix.count + i] != rest.utf8Start[i] { return false }
    return true
  }

  private static var nothing: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

  /// A text's bytes; nil when the key is missing.
  public func text(_ key: StaticString) throws(InferenceError) -> UnsafeRawBufferPointer? {
    guard let entry = entry(Self.nothing, key) else { return nil }
    guard entry.type == .string else { throw .badValue }
    return string(at: entry.offset)
  }

  /// The bytes of a string that `init` has passed.
  func string(at offset: Int) -> UnsafeRawBufferPointer {
    let count = Int(bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    return UnsafeRawBufferPointer(rebasing: bytes[(offset + 8)..<(offset + 8 + count)])
  }

  /// A whole number of any width from 0 to 2^31 - 1.
  public func integer(
    _ key: StaticString, of prefix: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
  )
    throws(InferenceError) -> Int?
  {
    guard let entry = entry(prefix, key) else { return nil }
    let value: Int64
    switch entry.type {
    case .uint8: value = Int64(bytes[entry.offset])
    case .int8: value = Int64(Int8(bitPattern: bytes[entry.offset]))
    case .uint16: value = Int64(bytes.loadUnaligned(fromByteOffset: entry.offset, as: UInt16.self))
    case .int16: value = Int64(bytes.loadUnaligned(fromByteOffset: entry.offset, as: Int16.self))
    case .uint32: value = Int64(bytes.loadUnaligned(fromByteOffset: entry.offset, as: UInt32.self))
    case .int32: value = Int64(bytes.loadUnaligned(fromByteOffset: entry.offset, as: Int32.self))
    case .uint64, .int64: value = bytes.loadUnaligned(fromByteOffset: entry.offset, as: Int64.self)
    default: throw .badValue
    }
    guard value >= 0, value <= Int64(Int32.max) else { throw .badValue }
    return Int(value)
  }

  public func number(_ key: StaticString, of prefix: UnsafeRawBufferPointer) throws(InferenceError) -> Double? {
    guard let entry = entry(prefix, key) else { return nil }
    let value: Double
    switch entry.type {
    case .float32: value = Double(bytes.loadUnaligned(fromByteOffset: entry.offset, as: Float.self))
    case .float64: value = bytes.loadUnaligned(fromByteOffset: entry.offset, as: Double.self)
    default: throw .badValue
    }
    guard value.isFinite else { throw .badValue }
    return value
  }

  public func bool(_ key: StaticString) throws(InferenceError) -> Bool? {
    guard let entry = entry(Self.nothing, key) else { return nil }
    guard entry.type == .bool else { throw .badValue }
    return bytes[entry.offset] != 0
  }

  /// Where an array's elements begin, and how many there are; nil when the key is missing.
  func array(_ key: StaticString, of type: ValueType) throws(InferenceError) -> (offset: Int, count: Int)? {
    guard let entry = entry(Self.nothing, key) else { return nil }
    guard entry.type == .array, entry.elementType == type else { throw .badValue }
    return (entry.offset, entry.count)
  }

  // MARK: Tensors

  public func tensor(_ index: Int) -> (name: UnsafeRawBufferPointer, tensor: Tensor) {
    precondition(index >= 0 && index < tensorCount)
    return (text(tensors[index].name), tensors[index].tensor)
  }

  /// A tensor by its whole name.
  public func tensor(named name: RawSpan) -> Tensor? {
    for i in 0..<tensorCount where RawSpan(_unsafeBytes: text(tensors[i].name)).elementsEqual(name) {
      return tensors[i].tensor
    }
    return nil
  }

  /// A tensor of a layer: `blk.LAYER.name`, or `name` alone without a layer.
  func tensor(_ name: StaticString, layer: Int? = nil) -> Tensor? {
    var whole = TextBuffer(capacity: InferenceLimits.tensorNameBytes)
    if let layer {
      whole.append("blk.")
      whole.append(layer)
      whole.append(".")
    }
    whole.append(name)
    return tensor(named: whole.bytes)
  }

  /// A matrix of exactly this shape.
  func matrix(_ name: StaticString, layer: Int? = nil, columns: Int, rows: Int) throws(InferenceError) -> Tensor {
    guard let tensor = tensor(name, layer: layer) else { throw .missingTensor }
    guard tensor.columns == columns, tensor.rows == rows else { throw .badShape }
    return tensor
  }

  /// A vector of floats; nil when there is none.
  func vector(_ name: StaticString, layer: Int? = nil, count: Int) throws(InferenceError) -> UnsafePointer<Float>? {
    guard let tensor = tensor(name, layer: layer) else { return nil }
    guard tensor.type == .f32, tensor.columns == count, tensor.rows == 1 else { throw .badShape }
    return tensor.start.assumingMemoryBound(to: Float.self)
  }

  func neededVector(_ name: StaticString, layer: Int? = nil, count: Int) throws(InferenceError) -> UnsafePointer<Float>
  {
    guard let found = try vector(name, layer: layer, count: count) else { throw .missingTensor }
    return found
  }
}

/// Reads little-endian fields, front to back, checking every length.
struct GgufReader {
  private let bytes: UnsafeRawBufferPointer
  private(set) var offset = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  mutating func skip(_ count: Int) throws(InferenceError) {
    guard count >= 0, bytes.count - offset >= count else { throw .truncated }
    offset += count
  }

  mutating func u32() throws(InferenceError) -> UInt32 {
    let start = offset
    try skip(4)
    return bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self)
  }

  mutating func u64() throws(InferenceError) -> UInt64 {
    let start = offset
    try skip(8)
    return bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self)
  }

  /// Where a string's bytes are.
  mutating func text(most: Int) throws(InferenceError) -> Range<Int> {
    let count = try u64()
    guard count <= UInt64(bytes.count) else { throw .truncated }
    guard count <= UInt64(most) else { throw .overLimit }
    let start = offset
    try skip(Int(count))
    return start..<offset
  }
}
