import Bounded

// The bodies of frames 44 to 46: a question that a node's own knowledge does not answer, put to its hub; the hub's answer;
// and what an asker thought of it. docs/protocol.md has them to the byte.

/// QUESTION, node to hub: `u32 id`, then the question, which is all that is left.
public struct Question: Equatable, Sendable {
  public static let byteCount = 4
  /// Drawn by the node, not 0.
  public var id: UInt32

  public init(id: UInt32) { self.id = id }

  /// Reads the start of a body; `text(of:)` is the rest.
  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      id = try reader.integer()
      guard id > 0, reader.remaining > 0, reader.remaining <= Limits.questionBytes,
        ControlText.isClean(Self.text(of: body))
      else { throw .invalid }
    } catch { throw .malformedFrame }
  }

  /// Of a body that was decoded.
  @_lifetime(copy body)
  public static func text(of body: RawSpan) -> RawSpan { body.extracting(byteCount..<body.byteCount) }

  public func append(to queue: inout ByteQueue) { queue.append(bigEndian: id) }
}

/// ANSWER, hub to node: `signature 64, u32 id, u16 code, u8 level, u8 flags, u64 cost, u32 ms, u8 n, brand, u8 sources`, for
/// each source `u16 n, text`, then the answer, which is all that is left. A checked view of one.
///
/// Invariant: every text is clean UTF-8; an answer without an error has a text, a level and a brand, one with an error has
/// no text.
public struct Answer: ~Escapable {
  /// What stands before the brand and its length.
  public struct Head: Equatable, Sendable {
    public static let byteCount = 20
    public var id: UInt32
    /// Nil when there is an answer.
    public var failure: ErrorCode?
    /// 1 the hub's knowledge, 3 to 5 a model upstream of it; 0 without an answer.
    public var level: UInt8
    /// Something that the hub was taught was before whoever answered.
    public var isGrounded: Bool
    /// Millionths of the currency that the hub's prices are in.
    public var cost: UInt64
    /// From when the hub took the question to its answer.
    public var elapsedMs: UInt32

    public init(
      id: UInt32, failure: ErrorCode? = nil, level: UInt8 = 0, isGrounded: Bool = false, cost: UInt64 = 0,
      elapsedMs: UInt32 = 0
    ) {
      self.id = id
      self.failure = failure
      self.level = level
      self.isGrounded = isGrounded
      self.cost = cost
      self.elapsedMs = elapsedMs
    }

    /// Everything but the sources and the text, which follow in this order.
    public func append(
      signature: InlineArray<64, UInt8>, brand: StaticString, sources: Int, to queue: inout ByteQueue
    ) {
      queue.append(signature.span.bytes)
      queue.append(bigEndian: id)
      queue.append(bigEndian: failure?.number ?? 0)
      queue.append(bigEndian: level)
      queue.append(bigEndian: UInt8(isGrounded ? 1 : 0))
      queue.append(bigEndian: cost)
      queue.append(bigEndian: elapsedMs)
      queue.append(bigEndian: UInt8(brand.utf8CodeUnitCount))
      queue.append(brand)
      queue.append(bigEndian: UInt8(sources))
    }
  }

  public static func append(source: RawSpan, to queue: inout ByteQueue) {
    queue.append(bigEndian: UInt16(source.byteCount))
    queue.append(source)
  }

  public static let levels: ClosedRange<UInt8> = 1...5

  private let body: RawSpan
  public let head: Head
  public let sourceCount: Int
  private let brandEnd: Int
  private let textStart: Int

  @_lifetime(copy body)
  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      try reader.skip(Limits.signatureBytes)
      var head = Head(id: try reader.integer())
      let code: UInt16 = try reader.integer()
      head.failure = code == 0 ? nil : ErrorCode(rawValue: code) ?? .internalError
      head.level = try reader.integer()
      let flags: UInt8 = try reader.integer()
      head.isGrounded = flags == 1
      head.cost = try reader.integer()
      head.elapsedMs = try reader.integer()
      let brand = Int(try reader.integer(UInt8.self))
      guard head.id > 0, flags <= 1, brand <= Limits.brandBytes, head.cost <= Limits.costMaximum,
        ControlText.isClean(try reader.bytes(brand))
      else { throw .invalid }
      brandEnd = reader.offset
      sourceCount = Int(try reader.integer(UInt8.self))
      guard sourceCount <= Limits.answerSources else { throw .invalid }
      for _ in 0..<sourceCount {
        let count = Int(try reader.integer(UInt16.self))
        guard count > 0, count <= Limits.questionBytes, ControlText.isClean(try reader.bytes(count)) else {
          throw .invalid
        }
      }
      textStart = reader.offset
      let text = reader.rest()
      guard text.byteCount <= Limits.answerBytes, ControlText.isClean(text) else { throw .invalid }
      if code == 0 {
        guard Self.levels.contains(head.level), brand > 0, text.byteCount > 0 else { throw .invalid }
      } else {
        guard text.byteCount == 0 else { throw .invalid }
      }
      self.head = head
      self.body = body
    } catch { throw .malformedFrame }
  }

  public var signature: InlineArray<64, UInt8> {
    InlineArray { self.body[$0] }
  }

  /// All that the signature is about.
  @_lifetime(copy self)
  public func signed() -> RawSpan { body.extracting(Limits.signatureBytes..<body.byteCount) }

  @_lifetime(copy self)
  public func brand() -> RawSpan {
    body.extracting((Limits.signatureBytes + Head.byteCount + 1)..<brandEnd)
  }

  @_lifetime(copy self)
  public func text() -> RawSpan { body.extracting(textStart..<body.byteCount) }

  @_lifetime(copy self)
  public func source(_ index: Int) -> RawSpan {
    precondition(index >= 0 && index < sourceCount)
    var at = brandEnd + 1
    for _ in 0..<index { at += 2 + length(at) }
    return body.extracting((at + 2)..<(at + 2 + length(at)))
  }

  private func length(_ at: Int) -> Int { Int(body[at]) << 8 | Int(body[at + 1]) }
}

/// VOTE, node to hub: `u32 id` of a question, `u8` 1 for a good answer, 2 for a bad one. There is no answer.
public struct Vote: Equatable, Sendable {
  public var id: UInt32
  public var isGood: Bool

  public init(id: UInt32, isGood: Bool) {
    self.id = id
    self.isGood = isGood
  }

  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      id = try reader.integer()
      let value: UInt8 = try reader.integer()
      guard id > 0, value == 1 || value == 2 else { throw .invalid }
      isGood = value == 1
      try reader.finish()
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) {
    queue.append(bigEndian: id)
    queue.append(bigEndian: UInt8(isGood ? 1 : 2))
  }
}
