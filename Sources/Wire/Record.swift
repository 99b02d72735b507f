import Bounded

/// What travels on the TLS stream: `type u8, epoch u8, length u16`, then `length` bytes.
public enum RecordType: UInt8, Sendable {
  case hello = 1
  case welcome = 2
  case confirm = 3
  case ready = 4
  /// A named error in the clear, before keys exist; the sender closes after it.
  case refusal = 5
  /// Counter, ciphertext and tag of one frame.
  case sealed = 16
}

/// A record's header, checked: the type is known and the length is one that type can have.
public struct RecordHeader: Equatable, Sendable {
  public let type: RecordType
  /// Key generation modulo 256 for sealed records, 0 for all others.
  public let epoch: UInt8
  public let length: Int

  public init(type: RecordType, epoch: UInt8, length: Int) {
    self.type = type
    self.epoch = epoch
    self.length = length
  }

  /// Nil while fewer than four bytes are there. Throws as soon as the header cannot be right, so an
  /// oversized record is refused before a byte of it is stored. `tagBytes` is that of the link's cipher.
  public static func peek(_ bytes: RawSpan, tagBytes: Int) throws(ErrorCode) -> RecordHeader? {
    guard bytes.byteCount >= Limits.recordHeaderBytes else { return nil }
    guard let type = RecordType(rawValue: bytes[0]) else { throw .unknownRecord }
    let length = Int(bytes[2]) << 8 | Int(bytes[3])
    let header = RecordHeader(type: type, epoch: bytes[1], length: length)
    switch type {
    case .hello: try header.require(Hello.byteCount)
    case .welcome: try header.require(Welcome.byteCount)
    case .confirm: try header.require(Confirm.byteCount)
    case .ready: try header.require(Limits.hashBytes)
    case .refusal: try header.require(2)
    case .sealed:
      let around = Limits.counterBytes + tagBytes
      guard length <= around + Limits.framePlainBytes else { throw .oversized }
      guard length >= around + Limits.frameHeaderBytes else { throw .malformed }
    }
    return header
  }

  private func require(_ expected: Int) throws(ErrorCode) {
    if length > expected { throw .oversized }
    if length < expected || epoch != 0 { throw .malformed }
  }

  public func append(to queue: inout ByteQueue) -> Bool {
    queue.append(bigEndian: UInt32(type.rawValue) << 24 | UInt32(epoch) << 16 | UInt32(length))
  }
}

/// What a frame is about. Frames exist only inside sealed records.
public enum FrameKind: UInt8, Sendable {
  /// Hub to node: parameters of the session; the first one ends joining.
  case configure = 1
  /// Node to hub: vital signs.
  case heartbeat = 2
  /// Hub to node: the heartbeat's sequence in the header, wall time in the body.
  case heartbeatAck = 3
  /// Text or bytes from `source` to `destination`.
  case message = 4
  /// What became of a message: `sequence u64, code u16`.
  case receipt = 5
  case rekeyInit = 6
  case rekeyReply = 7
  case ping = 8
  case pong = 9
  /// A named error; the sender closes after it.
  case close = 10
  /// The node's first record under new keys: the hub drops the old ones.
  case rekeyDone = 11
  /// What became of durable messages on this hop: stored by the other side, or refused.
  case stored = 12
  /// Node to hub: words that its dictionary does not hold.
  case wordQuery = 20
  /// Hub to node: what the hub's dictionary says of them.
  case wordAnswer = 21
  /// Node to hub: a piece of the dictionary that the hub publishes.
  case dictionaryRequest = 22
  case dictionaryPiece = 23
  /// Node to hub: what the board runs, and what became of an update.
  case system = 24
  /// Hub to node: the bundle that is published for its board.
  case bundleOffer = 25
  /// Node to hub: bytes of a bundle.
  case bundleRequest = 26
  case bundlePiece = 27
  /// Hub to node: work to do.
  case job = 40
  /// Node to hub: how far it is, and what came of it.
  case jobProgress = 41
  case jobResult = 42
  /// Hub to node: it is wanted no more.
  case jobCancel = 43
  /// Node to hub: what neither its store nor its model answers well.
  case question = 44
  /// Hub to node: what is known of that, or why nothing is.
  case answer = 45
  /// Node to hub: whether an answer was any good.
  case vote = 46
  /// Node to hub: the key that messages to it are sealed for.
  case card = 50
  /// Node to hub: whose key is wanted.
  case keyQuery = 51
  case keyAnswer = 52
  /// Node to hub, and hub to node: what makes the receiver's key of a pair.
  case offer = 53
  /// Hub to node: what became of an offer, or that it is wanted.
  case offered = 54
  /// Node to hub: from whom an offer is wanted.
  case offerRequest = 55
  /// Relay to hub: the HELLO of a node that wants in through it.
  case admit = 30
  /// Hub to relay: the id of that node, or why not.
  case admitted = 31
  /// Relay to its leaf: what to sign, so that the hub believes that the way to the leaf leads here.
  case routeChallenge = 32
  case routeProof = 33
  /// Relay to hub: the leaf's signature.
  case attach = 34
  case attached = 35
  /// Relay to hub: a leaf has gone. Hub to relay: a leaf is to go.
  case detach = 36
  /// Hub to hub, and only there: which registry the sender has, and how much of the receiver's.
  case fellow = 60
  /// What the sender's registry has gained.
  case share = 61
  /// The sender has that on its disk; it lives.
  case committed = 62
  /// Nodes that are linked to the sender, and one that is no more.
  case here = 63
  case gone = 64
  /// Somebody claims to be a node that the receiver has: is that one alive? Yes.
  case probe = 65
  case alive = 66
}

/// The 24 bytes before every body.
public struct FrameHeader: Equatable, Sendable {
  /// Bit 0: durable. Bit 1: a message whose text is sealed from end to end. Bit 2: one to the hub whose text is packed. The
  /// others are zero.
  public static let durable: UInt8 = 1
  public static let sealed: UInt8 = 2
  public static let packed: UInt8 = 4

  public var kind: FrameKind
  public var flags: UInt8
  public var hops: UInt8
  public var reserved: UInt8
  /// Node ids; 0 is the hub of the link.
  public var source: UInt32
  public var destination: UInt32
  /// Per source and kind, rising. Of a durable message: that of its record in the ring it came from.
  public var sequence: UInt64
  /// Seconds left to live; 0 means while the link lives, and without limit for a durable message.
  public var timeToLiveS: UInt32

  public init(
    kind: FrameKind, flags: UInt8 = 0, hops: UInt8 = 0, reserved: UInt8 = 0, source: UInt32 = 0,
    destination: UInt32 = 0, sequence: UInt64 = 0, timeToLiveS: UInt32 = 0
  ) {
    self.kind = kind
    self.flags = flags
    self.hops = hops
    self.reserved = reserved
    self.source = source
    self.destination = destination
    self.sequence = sequence
    self.timeToLiveS = timeToLiveS
  }

  /// Reads the header at the start of a frame; the body is what follows.
  public init(decoding frame: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(frame)
      guard let kind = FrameKind(rawValue: try reader.integer()) else { throw .invalid }
      self.kind = kind
      flags = try reader.integer()
      guard flags & ~(Self.durable | Self.sealed | Self.packed) == 0, flags <= Self.durable || kind == .message
      else { throw .invalid }
      hops = try reader.integer()
      reserved = try reader.integer()
      source = try reader.integer()
      destination = try reader.integer()
      sequence = try reader.integer()
      timeToLiveS = try reader.integer()
      guard !isPacked || destination == 0 && !isSealed else { throw .invalid }
    } catch { throw .malformedFrame }
  }

  public var isDurable: Bool { flags & Self.durable != 0 }
  public var isSealed: Bool { flags & Self.sealed != 0 }
  public var isPacked: Bool { flags & Self.packed != 0 }

  /// False when it does not fit.
  public func append(to queue: inout ByteQueue) -> Bool {
    guard queue.space >= Limits.frameHeaderBytes else { return false }
    queue.append(bigEndian: kind.rawValue)
    queue.append(bigEndian: flags)
    queue.append(bigEndian: hops)
    queue.append(bigEndian: reserved)
    queue.append(bigEndian: source)
    queue.append(bigEndian: destination)
    queue.append(bigEndian: sequence)
    queue.append(bigEndian: timeToLiveS)
    return true
  }
}
