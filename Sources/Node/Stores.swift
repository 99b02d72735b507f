import Bounded
import Durable
import SkyCrypto
import Wire

/// Where a node keeps what must outlive it: made and opened before the node, by whoever owns the files.
public final class Stores {
  /// Messages of this node that its hub has not taken over yet.
  public let outgoing: DurableRing
  /// The urgent ones of them. A ring and a stream of their own: within one, order is what windows rest on.
  public let urgent: DurableRing
  /// Messages for this node that its owner has not acknowledged yet.
  public let incoming: DurableRing
  public let seen: SeenMessages

  public init(outgoing: DurableRing, urgent: DurableRing, incoming: DurableRing, seen: SeenMessages) {
    self.outgoing = outgoing
    self.urgent = urgent
    self.incoming = incoming
    self.seen = seen
  }

  /// Where messages of this urgency wait for the hub.
  public func ring(isUrgent: Bool) -> DurableRing { isUrgent ? urgent : outgoing }

  private static var commonParameters: RingParameters {
    var parameters = RingParameters()
    parameters.fileBytes = Limits.ringFileBytes
    parameters.bodyBytes = Limits.ringEntryBytes + Limits.messageBytes
    parameters.batchBytes = Limits.ringBatchBytes
    parameters.readBytes = Limits.ringReadBytes
    return parameters
  }

  public static var outgoingParameters: RingParameters {
    var parameters = commonParameters
    parameters.wayRecords = Limits.storedEntries - Limits.urgentOnTheWay
    parameters.sequences = 0..<Limits.urgentSequences
    return parameters
  }

  public static var urgentParameters: RingParameters {
    var parameters = commonParameters
    parameters.fileBytes = Limits.urgentFileBytes
    parameters.batchBytes = Limits.urgentBatchBytes
    parameters.wayRecords = Limits.urgentOnTheWay
    parameters.sequences = Limits.urgentSequences..<Limits.sequencesEnd
    return parameters
  }

  /// The numbers of what waits for the owner stay on the board: he may take his time with the oldest.
  public static var incomingParameters: RingParameters {
    var parameters = commonParameters
    parameters.spanSequences = .max
    return parameters
  }
}

/// Which durable messages have come in: the duplicate window that the checkpoints of the incoming ring carry.
/// Its methods are the closures of `DurableRing.open` and `pollWrite`.
public final class SeenMessages {
  var window = DuplicateWindow<80>(keepMs: Limits.seenKeepMs)

  public init() {}

  public func restore(_ bytes: UnsafeRawBufferPointer, now: Instant) { window.decode(bytes, now: now) }

  /// A record that the ring still holds was seen, whatever the checkpoint says.
  public func visit(_ body: RawSpan, now: Instant) {
    guard let entry = StoredMessage(incoming: body) else { return }
    insert(entry.sequence, of: Self.name(entry.stream, of: entry.peer), now: now)
  }

  func novelty(_ sequence: UInt64, of name: UInt64, now: Instant) -> Novelty {
    window.novelty(source: name, sequence: sequence, now: now)
  }

  func insert(_ sequence: UInt64, of name: UInt64, now: Instant) {
    window.insert(source: name, sequence: sequence, now: now)
  }

  /// What the window calls a ring: source and stream, hashed together. Nodes choose their streams' names; by the name of
  /// another's ring alone one could make its messages count as seen.
  static func name(_ stream: UInt64, of source: UInt32) -> UInt64 {
    var hash = Sha256()
    hash.update("skynod seen")
    hash.update(InlineArray<4, UInt8> { UInt8(truncatingIfNeeded: source >> UInt32(24 - 8 * $0)) }.span.bytes)
    hash.update(InlineArray<8, UInt8> { UInt8(truncatingIfNeeded: stream >> UInt64(56 - 8 * $0)) }.span.bytes)
    let digest = hash.digest
    var name: UInt64 = 0
    for i in 0..<8 { name = name << 8 | UInt64(digest[i]) }
    return name
  }

  public func write(into memory: UnsafeMutableRawBufferPointer) -> Int {
    window.encode(into: memory)
    return DuplicateWindow<80>.encodedBytes
  }
}

/// What a ring's record says of a message; the text follows.
///
/// Outgoing: `peer u32` (destination), `time to live u32` (seconds, 0 for no end), `taken in u64`. Incoming:
/// `peer u32` (source), `stream u64`, `sequence u64`, `arrived u64`. Times are wall clock, milliseconds since 1970; 0
/// while unknown.
struct StoredMessage {
  static let outgoingBytes = 16
  static let incomingBytes = Limits.ringEntryBytes
  /// A flag of an incoming record: the message came sealed.
  static let sealed: UInt8 = 1

  var peer: UInt32 = 0
  var timeMs: UInt64 = 0
  var timeToLiveS: UInt32 = 0
  var stream: UInt64 = 0
  var sequence: UInt64 = 0

  init(to destination: UInt32, timeToLiveS: UInt32, takenMs: UInt64) {
    peer = destination
    timeMs = takenMs
    self.timeToLiveS = timeToLiveS
  }

  /// The seconds it has left, 0 for no end; nil when its time is over. A time that nobody knew or knows does not
  /// count: then it runs from the hub on.
  func secondsLeft(wallMs: UInt64) -> UInt32? {
    guard timeToLiveS > 0, timeMs > 0, wallMs > timeMs else { return timeToLiveS }
    let gone = (wallMs - timeMs) / 1_000
    return gone < UInt64(timeToLiveS) ? timeToLiveS - UInt32(gone) : nil
  }

  init(from source: UInt32, stream: UInt64, sequence: UInt64, arrivedMs: UInt64) {
    peer = source
    timeMs = arrivedMs
    self.stream = stream
    self.sequence = sequence
  }

  /// Nil when a record is not one of ours.
  init?(outgoing body: RawSpan) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      peer = try reader.integer()
      timeToLiveS = try reader.integer()
      timeMs = try reader.integer()
    } catch { return nil }
  }

  init?(incoming body: RawSpan) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      peer = try reader.integer()
      stream = try reader.integer()
      sequence = try reader.integer()
      timeMs = try reader.integer()
    } catch { return nil }
  }

  func appendOutgoing(to queue: inout ByteQueue) {
    queue.append(bigEndian: peer)
    queue.append(bigEndian: timeToLiveS)
    queue.append(bigEndian: timeMs)
  }

  func appendIncoming(to queue: inout ByteQueue) {
    queue.append(bigEndian: peer)
    queue.append(bigEndian: stream)
    queue.append(bigEndian: sequence)
    queue.append(bigEndian: timeMs)
  }
}

extension RingOffer {
  var isSealed: Bool { flags & StoredMessage.sealed != 0 }
}
