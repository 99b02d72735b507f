import Bounded

/// Bodies of frames. Each decodes from a span with every length checked; bodies that may gain fields
/// ignore what follows the ones they know.

/// CONFIGURE: `wall time ms u64, heartbeat interval ms u32, rekey after ms u32, dictionary generation u32,
/// allowed duties u8, hub count u8`, then the hubs.
public struct Configure: Equatable, Sendable {
  /// Milliseconds since 1970-01-01 UTC.
  public var wallTimeMs: UInt64
  public var heartbeatIntervalMs: UInt32
  public var rekeyAfterMs: UInt32
  public var dictionaryGeneration: UInt32
  public var allowedDuties: Duties
  public var hubs: HubList
  /// The hub knows QUESTION and VOTE; an older one would end the link for them.
  public var takesQuestions: Bool
  /// The hub knows sealed messages and the frames around them; likewise.
  public var takesSeals: Bool

  public init(
    wallTimeMs: UInt64, heartbeatIntervalMs: UInt32, rekeyAfterMs: UInt32, dictionaryGeneration: UInt32,
    allowedDuties: Duties, hubs: HubList, takesQuestions: Bool = false, takesSeals: Bool = false
  ) {
    self.takesQuestions = takesQuestions
    self.takesSeals = takesSeals
    self.wallTimeMs = wallTimeMs
    self.heartbeatIntervalMs = heartbeatIntervalMs
    self.rekeyAfterMs = rekeyAfterMs
    self.dictionaryGeneration = dictionaryGeneration
    self.allowedDuties = allowedDuties
    self.hubs = hubs
  }

  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      wallTimeMs = try reader.integer()
      heartbeatIntervalMs = try reader.integer()
      rekeyAfterMs = try reader.integer()
      dictionaryGeneration = try reader.integer()
      allowedDuties = Duties(rawValue: try reader.integer()).intersection(.all)
      let hubCount: UInt8 = try reader.integer()
      hubs = HubList()
      for _ in 0..<Int(hubCount) {
        guard hubs.append(try HubEntry(from: &reader)) else { throw .invalid }
      }
      // Older hubs end here.
      let features = reader.remaining > 0 ? try reader.integer(UInt8.self) : 0
      takesQuestions = features & 1 != 0
      takesSeals = features & 2 != 0
      guard heartbeatIntervalMs >= Limits.heartbeatMinimumMs, heartbeatIntervalMs <= Limits.heartbeatMaximumMs,
        rekeyAfterMs > 0, rekeyAfterMs <= Limits.rekeyAfterMs
      else { throw .invalid }
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) -> Bool {
    guard queue.space >= 22 else { return false }
    queue.append(bigEndian: wallTimeMs)
    queue.append(bigEndian: heartbeatIntervalMs)
    queue.append(bigEndian: rekeyAfterMs)
    queue.append(bigEndian: dictionaryGeneration)
    queue.append(bigEndian: allowedDuties.rawValue)
    queue.append(bigEndian: UInt8(hubs.count))
    for i in 0..<hubs.count where !hubs[i].append(to: &queue) { return false }
    let features: UInt8 = (takesQuestions ? 1 : 0) | (takesSeals ? 2 : 0)
    return features == 0 || queue.append(bigEndian: features)
  }
}

/// HEARTBEAT: the board's vital signs and the node's own levels.
public struct Heartbeat: Equatable, Sendable {
  public static let byteCount = 4 + 4 + 4 + 4 + 2 + 4 + 1 + 1 + 4 * 2 + 4 + 1

  public var vitals: VitalSigns
  public var inboxUsed: UInt16
  public var inboxCapacity: UInt16
  public var outboxUsed: UInt16
  public var outboxCapacity: UInt16
  public var dictionaryGeneration: UInt32
  public var duties: Duties

  public init(
    vitals: VitalSigns, inboxUsed: UInt16, inboxCapacity: UInt16, outboxUsed: UInt16, outboxCapacity: UInt16,
    dictionaryGeneration: UInt32, duties: Duties
  ) {
    self.vitals = vitals
    self.inboxUsed = inboxUsed
    self.inboxCapacity = inboxCapacity
    self.outboxUsed = outboxUsed
    self.outboxCapacity = outboxCapacity
    self.dictionaryGeneration = dictionaryGeneration
    self.duties = duties
  }

  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      vitals = VitalSigns()
      vitals.uptimeS = try reader.integer()
      vitals.loadMilli = try reader.integer()
      vitals.memoryTotalKB = try reader.integer()
      vitals.memoryAvailableKB = try reader.integer()
      vitals.memoryPressurePermille = try reader.integer()
      vitals.temperatureMilliC = Int32(bitPattern: try reader.integer(UInt32.self))
      guard let power = VitalSigns.Power(rawValue: try reader.integer()) else { throw .invalid }
      vitals.power = power
      vitals.batteryPercent = try reader.integer()
      inboxUsed = try reader.integer()
      inboxCapacity = try reader.integer()
      outboxUsed = try reader.integer()
      outboxCapacity = try reader.integer()
      dictionaryGeneration = try reader.integer()
      duties = Duties(rawValue: try reader.integer()).intersection(.all)
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) -> Bool {
    guard queue.space >= Self.byteCount else { return false }
    queue.append(bigEndian: vitals.uptimeS)
    queue.append(bigEndian: vitals.loadMilli)
    queue.append(bigEndian: vitals.memoryTotalKB)
    queue.append(bigEndian: vitals.memoryAvailableKB)
    queue.append(bigEndian: vitals.memoryPressurePermille)
    queue.append(bigEndian: UInt32(bitPattern: vitals.temperatureMilliC))
    queue.append(bigEndian: vitals.power.rawValue)
    queue.append(bigEndian: vitals.batteryPercent)
    queue.append(bigEndian: inboxUsed)
    queue.append(bigEndian: inboxCapacity)
    queue.append(bigEndian: outboxUsed)
    queue.append(bigEndian: outboxCapacity)
    queue.append(bigEndian: dictionaryGeneration)
    queue.append(bigEndian: duties.rawValue)
    return true
  }
}

/// RECEIPT: `sequence u64, code u16`; code 0 means delivered, else an `ErrorCode`.
public struct Receipt: Equatable, Sendable {
  public static let byteCount = 10
  public var sequence: UInt64
  public var failure: ErrorCode?

  public init(sequence: UInt64, failure: ErrorCode?) {
    self.sequence = sequence
    self.failure = failure
  }

  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      sequence = try reader.integer()
      failure = try reader.failure(unknown: .unreachable)
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) -> Bool {
    guard queue.space >= Self.byteCount else { return false }
    queue.append(bigEndian: sequence)
    queue.append(bigEndian: failure?.rawValue ?? 0)
    return true
  }
}

/// One entry of a STORED frame: `stream u64, sequence u64, code u16`. Code 0: the other side has the message
/// on its medium, or had it before; this side may forget it. `full`, `busy`, `io_failed` and numbers that this
/// version does not know: not now. Any other: never.
public struct StoredEntry: Equatable, Sendable {
  public static let byteCount = 18
  public var stream: UInt64
  public var sequence: UInt64
  public var failure: ErrorCode?

  public init(stream: UInt64, sequence: UInt64, failure: ErrorCode?) {
    self.stream = stream
    self.sequence = sequence
    self.failure = failure
  }

  /// The entry at the reader's place.
  public init(from reader: inout ByteReader) throws(DecodeError) {
    stream = try reader.integer()
    sequence = try reader.integer()
    failure = try reader.failure(unknown: .busy)
  }

  /// The message was not taken, and is to be offered again.
  public var isForLater: Bool { failure == .full || failure == .busy || failure == .ioFailed }

  /// How many entries a body holds; `malformedFrame` when it is not a whole number of 1 to 64.
  public static func count(in body: RawSpan) throws(ErrorCode) -> Int {
    let count = body.byteCount / byteCount
    guard count >= 1, count <= Limits.storedEntries, body.byteCount % byteCount == 0 else { throw .malformedFrame }
    return count
  }

  /// The entry at `index`, which must be below `count(in:)`.
  public static func at(_ index: Int, in body: RawSpan) throws(ErrorCode) -> StoredEntry {
    do throws(DecodeError) {
      var reader = ByteReader(body.extracting((index * byteCount)..<((index + 1) * byteCount)))
      return try StoredEntry(from: &reader)
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) -> Bool {
    guard queue.space >= Self.byteCount else { return false }
    queue.append(bigEndian: stream)
    queue.append(bigEndian: sequence)
    queue.append(bigEndian: failure?.rawValue ?? 0)
    return true
  }
}

extension ByteReader {
  /// A `u16` that says what failed, 0 for nothing. A number from a later version is a failure too: `unknown`.
  mutating func failure(unknown: ErrorCode) throws(DecodeError) -> ErrorCode? {
    let code: UInt16 = try integer()
    return code == 0 ? nil : ErrorCode(rawValue: code) ?? unknown
  }
}

/// Reads the `stream u64` before the text of a durable message.
public func decodeStream(_ body: RawSpan) throws(ErrorCode) -> UInt64 {
  do throws(DecodeError) {
    var reader = ByteReader(body)
    return try reader.integer()
  } catch { throw .malformedFrame }
}

/// Reads the `u16` code of a CLOSE frame or a refusal record; an unknown one reads as `linkClosed`.
public func decodeCode(_ body: RawSpan) throws(ErrorCode) -> ErrorCode {
  do throws(DecodeError) {
    var reader = ByteReader(body)
    return ErrorCode(rawValue: try reader.integer()) ?? .linkClosed
  } catch { throw .malformed }
}

/// HEARTBEAT ACK: `time u64`, wall clock in milliseconds since 1970, and from a relay that has no way to a hub itself
/// `state u8` with bit 0 set.
public struct HeartbeatAck: Equatable, Sendable {
  public var wallTimeMs: UInt64
  public var isCutOff: Bool

  public init(wallTimeMs: UInt64, isCutOff: Bool = false) {
    self.wallTimeMs = wallTimeMs
    self.isCutOff = isCutOff
  }

  public init(decoding body: RawSpan) throws(ErrorCode) {
    do throws(DecodeError) {
      var reader = ByteReader(body)
      wallTimeMs = try reader.integer()
      isCutOff = reader.remaining > 0 ? try reader.integer(UInt8.self) & 1 != 0 : false
    } catch { throw .malformedFrame }
  }

  public func append(to queue: inout ByteQueue) {
    queue.append(bigEndian: wallTimeMs)
    if isCutOff { queue.append(bigEndian: UInt8(1)) }
  }
}
