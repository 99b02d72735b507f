import Bounded

// The bodies of frames 60 to 66, which pass only between hubs that share what they keep. docs/protocol.md, "Fellows", has
// them to the byte.

/// What a hub has of its fellow's two logs: everything up to these numbers is committed.
///
/// The body of COMMITTED.
public struct LogMarks: Equatable, Sendable {
  public static let byteCount = 16
  public var registry: UInt64
  public var messages: UInt64

  public init(registry: UInt64 = 0, messages: UInt64 = 0) {
    self.registry = registry
    self.messages = messages
  }

  init(from reader: inout ByteReader) throws(DecodeError) {
    registry = try reader.integer()
    messages = try reader.integer()
    guard registry >> 63 == 0, messages >> 63 == 0 else { throw .invalid }
  }

  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      self = try LogMarks(from: &reader)
      try reader.finish()
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) {
    queue.append(bigEndian: registry)
    queue.append(bigEndian: messages)
  }
}

/// FELLOW, the first frame of either side: `registry u64`, the name of the sender's registry. It is answered with COMMITTED:
/// what the receiver has of that registry.
public struct FellowGreeting: Equatable, Sendable {
  public let registry: UInt64

  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      registry = try reader.time()
      try reader.finish()
      guard registry != 0 else { throw .invalid }
    } catch { throw .malformedFrame }
  }
}

/// The start of SHARE: `log u8, flags u8, up to u64`; entries follow. Who has committed them has the log up to there.
public struct ShareHead: Equatable, Sendable {
  public enum Log: UInt8, Sendable {
    case registry = 0
    case messages = 1
  }

  public static let byteCount = 10
  public var log: Log
  /// Bit 0: the sender counts the receiver as in step.
  public var isInStep: Bool
  public var upTo: UInt64

  public init(log: Log, isInStep: Bool, upTo: UInt64) {
    self.log = log
    self.isInStep = isInStep
    self.upTo = upTo
  }

  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      guard let log = Log(rawValue: try reader.integer()) else { throw .invalid }
      self.log = log
      let flags: UInt8 = try reader.integer()
      upTo = try reader.integer()
      guard flags & ~1 == 0, upTo >> 63 == 0 else { throw .invalid }
      isInStep = flags & 1 != 0
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) {
    queue.append(bigEndian: log.rawValue)
    queue.append(bigEndian: UInt8(isInStep ? 1 : 0))
    queue.append(bigEndian: upTo)
  }
}

/// One entry of HERE: a node that is linked to the sender. PROBE is one of them: is it really, in another life than this?
public struct HereEntry: Equatable, Sendable {
  public static let byteCount = 24
  public var id: UInt32
  public var instance: InlineArray<16, UInt8>
  /// How long it has been there, milliseconds.
  public var ageMs: UInt32

  public init(id: UInt32, instance: InlineArray<16, UInt8>, ageMs: UInt32) {
    self.id = id
    self.instance = instance
    self.ageMs = ageMs
  }

  public static func == (a: HereEntry, b: HereEntry) -> Bool {
    a.id == b.id && a.ageMs == b.ageMs && a.instance.span.bytes.elementsEqual(b.instance.span.bytes)
  }

  /// How many a body holds: 1 to 64.
  public static func count(in body: RawSpan) throws(ErrorCode) -> Int {
    let count = body.byteCount / byteCount
    guard count >= 1, count <= Limits.hereEntries, body.byteCount % byteCount == 0 else { throw .malformedFrame }
    return count
  }

  /// The entry at `index`, which must be below `count(in:)`.
  public static func at(_ index: Int, in body: RawSpan) throws(ErrorCode) -> HereEntry {
    do throws(DecodeError) {
      var reader = ByteReader(body.extracting((index * byteCount)..<((index + 1) * byteCount)))
      let entry = HereEntry(id: try reader.integer(), instance: try reader.array(), ageMs: try reader.integer())
      guard Limits.isLightNode(entry.id) else { throw .invalid }
      return entry
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) {
    queue.append(bigEndian: id)
    queue.append(instance.span.bytes)
    queue.append(bigEndian: ageMs)
  }
}

/// GONE and ALIVE: `id u32`. Of a node that was linked to the sender, or that has answered the ping that PROBE asked for.
public struct NodeWord: Equatable, Sendable {
  public let id: UInt32

  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      id = try reader.integer()
      try reader.finish()
      guard Limits.isLightNode(id) else { throw .invalid }
    } catch { throw .malformedFrame }
  }
}
