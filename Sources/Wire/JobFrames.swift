import Bounded

// The bodies of frames 40 to 43: work that a hub gives to a node with the compute duty. docs/compute.md and
// docs/protocol.md have them to the byte.

/// What is to be done with the input.
public enum JobKind: UInt8, Sendable, CaseIterable {
  /// z-scores of a list of numbers.
  case score = 1
  /// 1,536 numbers to 384, by a projection.
  case compress = 2
  /// The vector of a text, by the model's worker.
  case embed = 3
  /// What the model's worker answers to a text.
  case infer = 4

  public var token: StaticString {
    switch self {
    case .score: "score"
    case .compress: "compress"
    case .embed: "embed"
    case .infer: "infer"
    }
  }

  public var needsModel: Bool { self == .embed || self == .infer }

  /// What a node sets aside for one, in bytes; the worker's model is not in it.
  public var memoryBytes: Int {
    needsModel ? 2 * Limits.jobBytes + Limits.modelRequestBytes : 2 * Limits.jobBytes
  }
}

/// JOB, hub to node: `u64 id, u8 kind, u64 argument, u32 budget ms, u32 budget bytes, signature 64`, then the input,
/// which is all that is left.
public struct JobOrder: Sendable {
  public static let byteCount = 25 + Limits.signatureBytes
  /// Rises with each job of a hub.
  public var id: UInt64
  /// A number that is no `JobKind` is refused, not malformed: another version may know it.
  public var kind: UInt8
  /// `compress`: the seed. `infer`: the most tokens, 0 for the node's own choice. Otherwise 0.
  public var argument: UInt64
  /// From when the node takes it, its waiting included.
  public var budgetMs: UInt32
  public var budgetBytes: UInt32
  public var signature: InlineArray<64, UInt8>

  public init(
    id: UInt64, kind: UInt8, argument: UInt64, budgetMs: UInt32, budgetBytes: UInt32,
    signature: InlineArray<64, UInt8> = InlineArray(repeating: 0)
  ) {
    self.id = id
    self.kind = kind
    self.argument = argument
    self.budgetMs = budgetMs
    self.budgetBytes = budgetBytes
    self.signature = signature
  }

  /// Reads the start of a body; `input(of:)` is the rest.
  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      id = try reader.integer()
      kind = try reader.integer()
      argument = try reader.integer()
      budgetMs = try reader.integer()
      budgetBytes = try reader.integer()
      signature = try reader.array()
      guard id > 0, reader.remaining > 0, reader.remaining <= Limits.jobBytes else { throw .invalid }
    } catch { throw .malformedFrame }
  }

  /// Of a body that was decoded.
  @_lifetime(copy body)
  public static func input(of body: RawSpan) -> RawSpan { body.extracting(byteCount..<body.byteCount) }

  public func append(to queue: inout ByteQueue) {
    queue.append(bigEndian: id)
    queue.append(bigEndian: kind)
    queue.append(bigEndian: argument)
    queue.append(bigEndian: budgetMs)
    queue.append(bigEndian: budgetBytes)
    queue.append(signature.span.bytes)
  }
}

/// JOB PROGRESS, node to hub: `u64 id, u8 phase, u16 thousandths`.
public struct JobProgress: Equatable, Sendable {
  public enum Phase: UInt8, Sendable {
    /// Not known here before: it begins now, whatever the hub was told earlier.
    case taken = 1
    case waiting = 2
    case running = 3
  }

  public var id: UInt64
  public var phase: Phase
  public var permille: UInt16

  public init(id: UInt64, phase: Phase, permille: UInt16) {
    self.id = id
    self.phase = phase
    self.permille = permille
  }

  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      id = try reader.integer()
      guard let phase = Phase(rawValue: try reader.integer()) else { throw .invalid }
      self.phase = phase
      permille = try reader.integer()
      guard permille <= 1_000 else { throw .invalid }
      try reader.finish()
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) {
    queue.append(bigEndian: id)
    queue.append(bigEndian: phase.rawValue)
    queue.append(bigEndian: permille)
  }
}

/// JOB RESULT, node to hub: `u64 id, u16 code, u64 operations, u32 ms`, then what came of it; nothing when `code` is
/// not 0.
public struct JobResult: Equatable, Sendable {
  public static let byteCount = 22
  public var id: UInt64
  /// Nil when it was done.
  public var failure: ErrorCode?
  /// Millionths of a compute unit.
  public var operations: UInt64
  /// From taking it to its end.
  public var elapsedMs: UInt32

  public init(id: UInt64, failure: ErrorCode?, operations: UInt64 = 0, elapsedMs: UInt32 = 0) {
    self.id = id
    self.failure = failure
    self.operations = operations
    self.elapsedMs = elapsedMs
  }

  /// Reads the start of a body; what came of it is the rest.
  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      id = try reader.integer()
      let code: UInt16 = try reader.integer()
      operations = try reader.integer()
      elapsedMs = try reader.integer()
      guard reader.remaining <= Limits.jobBytes, code == 0 || reader.remaining == 0 else { throw .invalid }
      failure = code == 0 ? nil : ErrorCode(rawValue: code) ?? .internalError
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) {
    queue.append(bigEndian: id)
    queue.append(bigEndian: failure?.number ?? 0)
    queue.append(bigEndian: operations)
    queue.append(bigEndian: elapsedMs)
  }
}

/// JOB CANCEL, hub to node: `u64 id`. The answer is a result, of whatever kind.
public struct JobCancel: Equatable, Sendable {
  public var id: UInt64

  public init(id: UInt64) { self.id = id }

  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      id = try reader.integer()
      try reader.finish()
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) { queue.append(bigEndian: id) }
}
