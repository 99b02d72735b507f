import Bounded

/// What a client of the control socket may do. Each role includes the ones before it.
public enum ControlRole: UInt8, Comparable, Sendable {
  case read
  case operate
  case admin

  public static func < (a: ControlRole, b: ControlRole) -> Bool { a.rawValue < b.rawValue }

  public var token: StaticString {
    switch self {
    case .read: "read"
    case .operate: "operate"
    case .admin: "admin"
    }
  }

  /// The rule of docs/control.md: root and the daemon's own user administer, the operate group
  /// operates, everyone else who could open the socket reads.
  public static func decide(peerUid: UInt32, ownUid: UInt32, inOperateGroup: Bool) -> ControlRole {
    if peerUid == 0 || peerUid == ownUid { return .admin }
    return inOperateGroup ? .operate : .read
  }
}

/// The verbs of the control socket. Raw values are positions in `help`, not part of the protocol.
public enum ControlVerb: UInt8, Sendable {
  case status, id, join, send, post, inbox, watch, mode, peers, metrics, reload, drain, version, json, help, quit
  case encode, decode, lookup, translate, dict, relay, post64, update
  case ask, learn, forget, knowledge, vote, keys

  public static let count: UInt8 = 30

  public init?(_ word: RawSpan) {
    for raw in 0..<Self.count {
      if let verb = ControlVerb(rawValue: raw), word.elementsEqual(verb.name) {
        self = verb
        return
      }
    }
    return nil
  }

  public var name: StaticString {
    switch self {
    case .status: "status"
    case .id: "id"
    case .join: "join"
    case .send: "send"
    case .post: "post"
    case .inbox: "inbox"
    case .watch: "watch"
    case .mode: "mode"
    case .peers: "peers"
    case .metrics: "metrics"
    case .reload: "reload"
    case .drain: "drain"
    case .version: "version"
    case .json: "json"
    case .help: "help"
    case .quit: "quit"
    case .encode: "encode"
    case .decode: "decode"
    case .lookup: "lookup"
    case .translate: "translate"
    case .dict: "dict"
    case .relay: "relay"
    case .post64: "post64"
    case .update: "update"
    case .ask: "ask"
    case .learn: "learn"
    case .forget: "forget"
    case .knowledge: "knowledge"
    case .vote: "vote"
    case .keys: "keys"
    }
  }

  /// The arguments as `help` shows them.
  public var parameters: StaticString {
    switch self {
    case .join: "TICKET"
    case .send: "NODid|HUB TEXT"
    case .post: "NODid|HUB SECONDS[,urgent] TEXT"
    case .post64: "NODid|HUB SECONDS[,urgent] BASE64"
    case .inbox: "[after SEQ | ack SEQ|all]"
    case .watch: "[KIND... | off]"
    case .mode: "[DUTY on|off]..."
    case .json: "on|off"
    case .encode: "TEXT"
    case .decode: "GENOM|HEX"
    case .lookup: "WORD|T-id|0xHEX"
    case .translate: "LANGUAGE WORD"
    case .dict: "status|update|open"
    case .update: "status|check|apply|rollback|restart"
    case .relay: "[ticket TICKET [HOST:PORT]]"
    case .ask: "grounded|free|explain[,local|,upstream] QUESTION"
    case .learn: "plain|pin SECONDS \"QUESTION\" ANSWER"
    case .forget: "QUESTION"
    case .knowledge: "status | after N"
    case .vote: "ID good|bad"
    case .keys: "[forget NODid|all]"
    default: ""
    }
  }

  public var summary: StaticString {
    switch self {
    case .status: "what the node is doing, its link, counters and vital signs"
    case .id: "the node's address, instance and fingerprint"
    case .join: "be admitted to a swarm with a ticket from skyhub token"
    case .send: "send a text message"
    case .post: "keep a text on the medium until it is delivered, SECONDS at most (0: no limit); urgent goes first"
    case .inbox: "messages that came in; ack forgets them"
    case .watch: "tell events as they happen"
    case .mode: "show the duties, or switch some on or off"
    case .peers: "who this node is connected to"
    case .metrics: "counters and gauges as OpenMetrics text"
    case .reload: "read the configuration again"
    case .drain: "finish what is under way, then stop"
    case .version: "the daemon's version"
    case .json: "choose one JSON object a line for replies, or text"
    case .help: "this list"
    case .quit: "close the connection"
    case .encode: "the tokens of a text, and its compact form"
    case .decode: "the text of a compact form"
    case .lookup: "what the dictionary knows of a word or a token"
    case .translate: "a word in another language, where the dictionary has that"
    case .dict: "the dictionary's state; ask the hub for a newer one; hand out the file"
    case .relay: "the relay's address and counters; a ticket that leads through it"
    case .post64: "like post, of bytes in base64"
    case .update: "the board's system; put the hub's newer one into the other slot; go back; restart to try it"
    case .ask: "answer from what was taught, else from the hub, else from the model"
    case .learn: "keep the answer to a question, SECONDS long (0: no limit)"
    case .forget: "drop the answer to a question"
    case .knowledge: "the store's state; what was taught, page by page"
    case .vote: "tell the hub whether an answer of it was good"
    case .keys: "the nodes that messages are sealed for, and their identities; forget believes the next one"
    }
  }

  /// What the verb asks for; some arguments ask for more (see `ControlRequest.role`).
  public var role: ControlRole {
    switch self {
    case .join, .reload, .drain: .admin
    case .send, .post, .post64, .inbox, .learn, .forget: .operate
    default: .read
    }
  }

  /// The argument that is the rest of the line, blanks and all; nil when there is none.
  public var restArgument: Int? {
    switch self {
    case .encode, .lookup, .forget: 0
    case .send, .translate, .ask: 1
    case .post, .learn: 2
    default: nil
    }
  }

  /// The fewest and the most arguments.
  public var argumentRange: (least: Int, most: Int) {
    switch self {
    case .join, .json: (1, 1)
    case .send, .ask, .vote: (2, 2)
    case .post, .post64, .learn: (3, 3)
    case .forget: (1, 1)
    case .knowledge: (1, 2)
    case .inbox, .keys: (0, 2)
    case .watch, .mode: (0, ControlRequest.maximumArguments)
    case .encode, .decode, .lookup, .dict, .update: (1, 1)
    case .translate: (2, 2)
    case .relay: (0, 3)
    default: (0, 0)
    }
  }
}

/// The kinds of events that `watch` tells.
public enum ControlEventKind: UInt8, Sendable {
  case state, link, key, heartbeat, message, delivery, duty, clock, configuration, dictionary, leaf, system

  public static let count: UInt8 = 12

  public init?(_ word: RawSpan) {
    for raw in 0..<Self.count {
      if let kind = ControlEventKind(rawValue: raw), word.elementsEqual(kind.name) {
        self = kind
        return
      }
    }
    return nil
  }

  public var name: StaticString {
    switch self {
    case .state: "state"
    case .link: "link"
    case .key: "key"
    case .heartbeat: "heartbeat"
    case .message: "message"
    case .delivery: "delivery"
    case .duty: "duty"
    case .clock: "clock"
    case .configuration: "configuration"
    case .dictionary: "dictionary"
    case .leaf: "leaf"
    case .system: "system"
    }
  }

  /// This kind's place in a set of kinds.
  public var bit: UInt16 { 1 << UInt16(rawValue) }
  public static let all: UInt16 = (1 << UInt16(count)) - 1
}
