import Foundation
import Wire

/// What the commands ask a running hub over `admin.sock`: one JSON line each way, then the hub closes.
///
/// Not a public interface: both sides are always the same program. The socket is 0600 in a 0700 directory.
public struct AdminRequest: Codable, Equatable, Sendable {
  public enum Verb: String, Codable, Sendable {
    case status
    case online
    case send
    /// A question of whoever runs the hub, answered as one of a node is.
    case ask
    /// The registry has changed: close the sessions of revoked nodes, look at everything again.
    case refresh
  }

  public static let maximumBytes = 64 * 1_024

  public var verb: Verb
  public var to: UInt32?
  public var text: String?

  public init(_ verb: Verb, to: UInt32? = nil, text: String? = nil) {
    self.verb = verb
    self.to = to
    self.text = text
  }
}

/// The answer. `error` is an `ErrorCode`'s number; the other fields are there when the verb has them.
public struct AdminReply: Codable, Equatable, Sendable {
  public var error: UInt16?
  public var status: HubStatus?
  public var online: [OnlineNode]?
  /// Sessions that `refresh` closed.
  public var closed: Int?
  public var receipt: SendReceipt?
  public var answer: HubAnswer?

  public init(
    error: ErrorCode? = nil, status: HubStatus? = nil, online: [OnlineNode]? = nil, closed: Int? = nil,
    receipt: SendReceipt? = nil, answer: HubAnswer? = nil
  ) {
    self.answer = answer
    self.error = error?.number
    self.status = status
    self.online = online
    self.closed = closed
    self.receipt = receipt
  }
}

/// The running hub in figures. Counters are since it started.
public struct HubStatus: Codable, Equatable, Sendable {
  public var version = ""
  public var listen = ""
  public var advertise = ""
  public var uptimeSeconds: UInt64 = 0
  public var draining = false
  public var online = 0
  public var handshaking = 0
  public var maxNodes = 0
  public var accepted: UInt64 = 0
  public var joined: UInt64 = 0
  /// Refusals by token of the error.
  public var refused: [String: UInt64] = [:]
  public var messagesRouted: UInt64 = 0
  public var messagesUnreachable: UInt64 = 0
  public var messagesKept: UInt64 = 0
  /// Durable messages: taken in, delivered, and given up (too old, or refused by their destination).
  public var messagesStored: UInt64 = 0
  public var messagesDelivered: UInt64 = 0
  public var messagesDropped: UInt64 = 0
  public var heartbeats: UInt64 = 0
  /// Of the dictionary that nodes are told of; 0: none.
  public var dictionaryGeneration: UInt32 = 0
  /// Questions for words, and pieces of the dictionary, that were answered.
  public var wordsAnswered: UInt64 = 0
  public var dictionaryPieces: UInt64 = 0
  /// Pieces of bundles that were sent.
  public var bundlePieces: UInt64 = 0
  /// Jobs that have ended well or badly, and the millionths of compute units of the former.
  public var jobsDone: UInt64 = 0
  public var jobsFailed: UInt64 = 0
  public var computeOperations: UInt64 = 0
  /// Questions that were looked at, and those refused without a look: too many of one node.
  public var questionsTaken: UInt64 = 0
  public var questionsRefused: UInt64 = 0
  public var keysAnswered: UInt64 = 0
  public var offersTaken: UInt64 = 0
  public var messagesSealed: UInt64 = 0
  public var rekeys: UInt64 = 0
  public var clones: UInt64 = 0
  public var bytesIn: UInt64 = 0
  public var bytesOut: UInt64 = 0
  /// The longest turn of the loop, milliseconds.
  public var longestTurnMs: UInt64 = 0
  /// Nil when none are configured.
  public var fellows: [FellowStatus]?

  public init() {}
}

/// One live session.
public struct OnlineNode: Codable, Equatable, Sendable {
  public var id: UInt32
  public var address: String
  public var connectedSeconds: UInt64
  public var quietMs: UInt64
  public var agent: String
  /// The hub that it is linked to: this one, or a fellow.
  public var hub: UInt32

  public init(id: UInt32, address: String, connectedSeconds: UInt64, quietMs: UInt64, agent: String, hub: UInt32) {
    self.hub = hub
    self.id = id
    self.address = address
    self.connectedSeconds = connectedSeconds
    self.quietMs = quietMs
    self.agent = agent
  }
}

/// What became of a message that was sent by hand.
public struct SendReceipt: Codable, Equatable, Sendable {
  public var to: UInt32
  public var sequence: UInt64
  public var delivered: Bool
  /// Token of the error when it was not delivered.
  public var reason: String?

  public init(to: UInt32, sequence: UInt64, failure: ErrorCode?) {
    self.to = to
    self.sequence = sequence
    delivered = failure == nil
    reason = failure.map { "\($0.token)" }
  }
}
