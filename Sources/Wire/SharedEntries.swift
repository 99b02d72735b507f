import Bounded

// What hubs that share tell each other, entry by entry: the body of SHARE behind its head. docs/protocol.md, "Fellows", has it to
// the byte.

public typealias SharedText = InlineText<120>

/// Where a durable message comes from and goes to: its name on every hub.
public struct SharedName: Equatable, Sendable {
  public static let byteCount = 24
  public var destination: UInt32
  public var source: UInt32
  public var stream: UInt64
  public var sequence: UInt64

  public init(destination: UInt32, source: UInt32, stream: UInt64, sequence: UInt64) {
    self.destination = destination
    self.source = source
    self.stream = stream
    self.sequence = sequence
  }

  init(from reader: inout ByteReader) throws(DecodeError) {
    destination = try reader.integer()
    source = try reader.integer()
    stream = try reader.integer()
    sequence = try reader.integer()
    guard Limits.isLightNode(destination), Limits.isLightNode(source), sequence >> 63 == 0 else { throw .invalid }
  }

  func append(to queue: inout ByteQueue) {
    queue.append(bigEndian: destination)
    queue.append(bigEndian: source)
    queue.append(bigEndian: stream)
    queue.append(bigEndian: sequence)
  }
}

/// A node as hubs share it. Times are seconds since 1970 by the wall clock of the hub where it happened.
public struct SharedNode: Sendable {
  public var id: UInt32
  public var key: InlineArray<32, UInt8>
  public var admittedAt: UInt64
  /// The newest revocation and the newest undoing of one; 0 for never. Of two equal ones the revocation counts.
  public var revokedAt: UInt64
  public var reinstatedAt: UInt64
  public var labelledAt: UInt64
  public var label: SharedText
  public var reason: SharedText

  public init(
    id: UInt32, key: InlineArray<32, UInt8>, admittedAt: UInt64, revokedAt: UInt64, reinstatedAt: UInt64,
    labelledAt: UInt64, label: SharedText, reason: SharedText
  ) {
    self.id = id
    self.key = key
    self.admittedAt = admittedAt
    self.revokedAt = revokedAt
    self.reinstatedAt = reinstatedAt
    self.labelledAt = labelledAt
    self.label = label
    self.reason = reason
  }

  init(from reader: inout ByteReader) throws(DecodeError) {
    id = try reader.integer()
    key = try reader.array()
    admittedAt = try reader.time()
    revokedAt = try reader.time()
    reinstatedAt = try reader.time()
    labelledAt = try reader.time()
    label = try reader.label()
    reason = try reader.label()
    guard Limits.isLightNode(id) else { throw .invalid }
  }

  func append(to queue: inout ByteQueue) {
    queue.append(bigEndian: id)
    queue.append(key.span.bytes)
    queue.append(bigEndian: admittedAt)
    queue.append(bigEndian: revokedAt)
    queue.append(bigEndian: reinstatedAt)
    queue.append(bigEndian: labelledAt)
    label.appendCounted(to: &queue)
    reason.appendCounted(to: &queue)
  }
}

/// A join token. Each registry counts the uses that it let in itself; those counts follow the entry.
public struct SharedToken: Sendable {
  /// Registries that may have counted: more than a list of hubs has, because a hub that lost its disk counts anew.
  public static let countsMaximum = 64
  public var id: InlineArray<8, UInt8>
  public var verifier: InlineArray<32, UInt8>
  public var uses: UInt32
  public var expiresAt: UInt64
  public var createdAt: UInt64
  public var label: SharedText

  public init(
    id: InlineArray<8, UInt8>, verifier: InlineArray<32, UInt8>, uses: UInt32, expiresAt: UInt64, createdAt: UInt64,
    label: SharedText
  ) {
    self.id = id
    self.verifier = verifier
    self.uses = uses
    self.expiresAt = expiresAt
    self.createdAt = createdAt
    self.label = label
  }

  init(from reader: inout ByteReader) throws(DecodeError) {
    id = try reader.array()
    verifier = try reader.array()
    uses = try reader.integer()
    expiresAt = try reader.time()
    createdAt = try reader.time()
    label = try reader.label()
  }

  func append(to queue: inout ByteQueue) {
    queue.append(id.span.bytes)
    queue.append(verifier.span.bytes)
    queue.append(bigEndian: uses)
    queue.append(bigEndian: expiresAt)
    queue.append(bigEndian: createdAt)
    label.appendCounted(to: &queue)
  }
}

/// A durable message that waits; its text follows in the body, from `textStart` on.
public struct SharedMessage: Equatable, Sendable {
  public var name: SharedName
  /// Those of the frame, as the node sent them.
  public var flags: UInt8
  public var hops: UInt8
  /// Wall clock, milliseconds since 1970; 0 for no end.
  public var expiresMs: UInt64
  public internal(set) var textStart = 0
  public internal(set) var textCount = 0

  public init(name: SharedName, flags: UInt8, hops: UInt8, expiresMs: UInt64) {
    self.name = name
    self.flags = flags
    self.hops = hops
    self.expiresMs = expiresMs
  }

  init(from reader: inout ByteReader) throws(DecodeError) {
    name = try SharedName(from: &reader)
    flags = try reader.integer()
    hops = try reader.integer()
    expiresMs = try reader.integer()
    textCount = Int(try reader.integer(UInt16.self))
    textStart = reader.offset
    let isSealed = flags == FrameHeader.durable | FrameHeader.sealed
    let longest = Limits.messageBytes + (isSealed ? Limits.sealBytes : 0)
    guard isSealed || flags == FrameHeader.durable, expiresMs >> 63 == 0, textCount > 0, textCount <= longest else {
      throw .invalid
    }
    try reader.skip(textCount)
  }
}

/// What a node needs to be written to under a seal, as it came from a node: its card (to nobody, or empty: it has none any
/// more), or the offer of a sender to a receiver. The text follows in the body, from `textStart` on.
public struct SharedSeal: Equatable, Sendable {
  /// Whose it is.
  public var node: UInt32
  /// Whom an offer is for; 0: a card.
  public var receiver: UInt32
  /// When it came, seconds since 1970: of two the newer counts.
  public var at: UInt64
  public internal(set) var textStart = 0
  public internal(set) var textCount = 0

  public init(node: UInt32, receiver: UInt32 = 0, at: UInt64) {
    self.node = node
    self.receiver = receiver
    self.at = at
  }

  init(from reader: inout ByteReader) throws(DecodeError) {
    node = try reader.integer()
    receiver = try reader.integer()
    at = try reader.time()
    textCount = Int(try reader.integer(UInt16.self))
    textStart = reader.offset
    let isWhole = receiver == 0 ? textCount == 0 || textCount == Card.byteCount : textCount == SealOffer.byteCount
    guard Limits.isLightNode(node), receiver == 0 || Limits.isLightNode(receiver), isWhole else { throw .invalid }
    try reader.skip(textCount)
  }
}

/// One entry of SHARE: its type, then what it is.
public enum SharedEntry: Sendable {
  case node(SharedNode)
  /// An id that a node had once, and the one that it has now.
  case alias(old: UInt32, id: UInt32)
  case token(SharedToken)
  /// How many a registry let in with the token before this entry.
  case uses(registry: UInt64, count: UInt32)
  case tokenGone(InlineArray<8, UInt8>)
  case message(SharedMessage)
  /// Its destination has it, or will never have it.
  case done(SharedName)
  /// Which sequences of a ring were seen: the newest, and a bit for each of the 256 up to it.
  case window(node: UInt32, stream: UInt64, newest: UInt64, seen: InlineArray<4, UInt64>)
  case seal(SharedSeal)

  private enum Kind: UInt8 {
    case node = 1
    case alias, token, uses, tokenGone, message, done, window, seal

    var log: ShareHead.Log {
      switch self {
      case .node, .alias, .token, .uses, .tokenGone, .seal: .registry
      case .message, .done, .window: .messages
      }
    }
  }

  /// Where in the body the text of this entry is, if it has one.
  public var text: Range<Int> {
    switch self {
    case .message(let message): message.textStart..<(message.textStart + message.textCount)
    case .seal(let seal): seal.textStart..<(seal.textStart + seal.textCount)
    case .node, .alias, .token, .uses, .tokenGone, .done, .window: 0..<0
    }
  }

  /// Reads the entry at the reader's place, which was made over the whole body.
  init(from reader: inout ByteReader, log: ShareHead.Log) throws(DecodeError) {
    guard let kind = Kind(rawValue: try reader.integer()), kind.log == log else { throw .invalid }
    switch kind {
    case .node: self = .node(try SharedNode(from: &reader))
    case .alias:
      let (old, id) = (try reader.integer(UInt32.self), try reader.integer(UInt32.self))
      guard Limits.isLightNode(old), Limits.isLightNode(id), old != id else { throw .invalid }
      self = .alias(old: old, id: id)
    case .token: self = .token(try SharedToken(from: &reader))
    case .uses:
      let (registry, count) = (try reader.time(), try reader.integer(UInt32.self))
      guard registry != 0 else { throw .invalid }
      self = .uses(registry: registry, count: count)
    case .tokenGone: self = .tokenGone(try reader.array())
    case .message: self = .message(try SharedMessage(from: &reader))
    case .done: self = .done(try SharedName(from: &reader))
    case .window:
      let (node, stream) = (try reader.integer(UInt32.self), try reader.integer(UInt64.self))
      let newest: UInt64 = try reader.integer()
      var seen = InlineArray<4, UInt64>(repeating: 0)
      for word in 0..<4 { seen[word] = try reader.integer() }
      guard Limits.isLightNode(node), newest >> 63 == 0, seen[0] & 1 == 1 else { throw .invalid }
      self = .window(node: node, stream: stream, newest: newest, seen: seen)
    case .seal: self = .seal(try SharedSeal(from: &reader))
    }
  }

  /// Appends the entry, and `text` behind a message, a card or an offer. False, and nothing changed, when it does not fit.
  public func append(to queue: inout ByteQueue, text: RawSpan = RawSpan()) -> Bool {
    guard queue.space >= Limits.sharedEntryBytes + text.byteCount else { return false }
    switch self {
    case .node(let node):
      queue.append(bigEndian: Kind.node.rawValue)
      node.append(to: &queue)
    case .alias(let old, let id):
      queue.append(bigEndian: Kind.alias.rawValue)
      queue.append(bigEndian: old)
      queue.append(bigEndian: id)
    case .token(let token):
      queue.append(bigEndian: Kind.token.rawValue)
      token.append(to: &queue)
    case .uses(let registry, let count):
      queue.append(bigEndian: Kind.uses.rawValue)
      queue.append(bigEndian: registry)
      queue.append(bigEndian: count)
    case .tokenGone(let id):
      queue.append(bigEndian: Kind.tokenGone.rawValue)
      queue.append(id.span.bytes)
    case .message(let message):
      queue.append(bigEndian: Kind.message.rawValue)
      message.name.append(to: &queue)
      queue.append(bigEndian: message.flags)
      queue.append(bigEndian: message.hops)
      queue.append(bigEndian: message.expiresMs)
      queue.append(bigEndian: UInt16(text.byteCount))
      queue.append(text)
    case .done(let name):
      queue.append(bigEndian: Kind.done.rawValue)
      name.append(to: &queue)
    case .window(let node, let stream, let newest, let seen):
      queue.append(bigEndian: Kind.window.rawValue)
      queue.append(bigEndian: node)
      queue.append(bigEndian: stream)
      queue.append(bigEndian: newest)
      for word in 0..<4 { queue.append(bigEndian: seen[word]) }
    case .seal(let seal):
      queue.append(bigEndian: Kind.seal.rawValue)
      queue.append(bigEndian: seal.node)
      queue.append(bigEndian: seal.receiver)
      queue.append(bigEndian: seal.at)
      queue.append(bigEndian: UInt16(text.byteCount))
      queue.append(text)
    }
    return true
  }
}

/// The entries of a SHARE body, one after the other.
public struct ShareReader: ~Escapable {
  public let head: ShareHead
  private var reader: ByteReader
  /// USES belongs to the token before it.
  private var countsLeft = 0

  @_lifetime(copy body)
  public init(_ body: RawSpan) throws(ErrorCode) {
    head = try ShareHead(decoding: body)
    reader = ByteReader(body)
    do throws(DecodeError) { try reader.skip(ShareHead.byteCount) } catch { throw .malformedFrame }
  }

  /// Nil at the end.
  public mutating func next() throws(ErrorCode) -> SharedEntry? {
    guard reader.remaining > 0 else { return nil }
    do throws(DecodeError) {
      let entry = try SharedEntry(from: &reader, log: head.log)
      switch entry {
      case .token: countsLeft = SharedToken.countsMaximum
      case .uses:
        guard countsLeft > 0 else { throw .invalid }
        countsLeft -= 1
      default: countsLeft = 0
      }
      return entry
    } catch { throw .malformedFrame }
  }
}

extension ByteReader {
  /// A `u64` that a signed number can hold.
  mutating func time() throws(DecodeError) -> UInt64 {
    let value: UInt64 = try integer()
    guard value >> 63 == 0 else { throw .invalid }
    return value
  }

  /// A `u8` length and a line of clean text.
  fileprivate mutating func label() throws(DecodeError) -> SharedText {
    let count: UInt8 = try integer()
    let text = try bytes(Int(count))
    guard Int(count) <= Limits.labelBytes, ControlText.isClean(text), let label = SharedText(text) else {
      throw .invalid
    }
    for i in 0..<text.byteCount where text[i] < 0x20 { throw .invalid }
    return label
  }
}

extension InlineText {
  fileprivate func appendCounted(to queue: inout ByteQueue) {
    queue.append(bigEndian: UInt8(count))
    queue.append(bytes)
  }
}
