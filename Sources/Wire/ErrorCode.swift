/// Every error that crosses a link or the control socket: number, token, sentence.
///
/// The numbers are stable and are also the exit status of `skynodctl`; those from 64 to 78 keep the
/// meaning of sysexits(3). A number is never given a second meaning.
public enum ErrorCode: UInt16, Error, Equatable, Sendable, CaseIterable {
  // Requests on the control socket
  case unknownCommand = 10
  case badArgument = 11
  case tooLong = 12
  case forbidden = 13
  case notJoined = 14
  case offline = 15
  case full = 16
  case busy = 17
  case notFound = 18
  case unreachable = 19
  case draining = 20
  case timeout = 21
  case ioFailed = 22
  case expired = 23
  case noDictionary = 25
  case badEncoding = 26
  case dictionaryRefused = 27
  case damaged = 28
  case noAnswer = 29

  // Link: before the inner handshake
  case resolveFailed = 30
  case connectFailed = 31
  case tlsFailed = 32
  case pinMismatch = 33
  case certificateInvalid = 34
  case linkClosed = 35
  case linkSilent = 36
  case handshakeTimeout = 37

  // Link: records, handshake, keys
  case truncated = 40
  case oversized = 41
  case unknownRecord = 42
  case unexpectedRecord = 43
  case malformed = 44
  case versionUnsupported = 45
  case badSignature = 46
  case hubKeyMismatch = 47
  case keyExchangeFailed = 48
  case confirmationFailed = 49
  case decryptFailed = 50
  case replayed = 51
  case wrongEpoch = 52
  case keyExpired = 53
  case malformedFrame = 54
  case rekeyFailed = 55
  case spoofedSource = 56
  case routeLoop = 57

  // sysexits(3)
  case usage = 64
  case daemonUnavailable = 69
  case internalError = 70
  case badConfiguration = 78

  // Admission
  case tokenRequired = 80
  case tokenUnknown = 81
  case tokenExpired = 82
  case tokenUsed = 83
  case tokenInvalid = 84
  case revoked = 85
  case cloneDetected = 86
  case sessionBusy = 87
  case hubFull = 88
  case classRefused = 89
  case addressesExhausted = 90

  // The model's worker
  case noModel = 91
  case modelFailed = 92
  case modelHung = 93
  case modelRefused = 94

  // Jobs
  case cancelled = 95
  case offDuty = 96
  case overBudget = 97
  case badNumbers = 98

  // Questions to the hub
  case quotaUsed = 99
  case upstreamFailed = 100

  // Sealed messages
  case noCard = 101
  case identityChanged = 102
  case notOpened = 103
  case plainRefused = 104
  case keyAwaited = 105
  case sealUnavailable = 106

  // Hubs that share what they keep
  case fellowUnknown = 110
  case fellowMismatch = 111
  case fellowFault = 112

  public var number: UInt16 { rawValue }

  /// A word for programs.
  public var token: StaticString {
    switch self {
    case .unknownCommand: "unknown_command"
    case .badArgument: "bad_argument"
    case .tooLong: "too_long"
    case .forbidden: "forbidden"
    case .notJoined: "not_joined"
    case .offline: "offline"
    case .full: "full"
    case .busy: "busy"
    case .notFound: "not_found"
    case .unreachable: "unreachable"
    case .draining: "draining"
    case .timeout: "timeout"
    case .ioFailed: "io_failed"
    case .expired: "expired"
    case .noDictionary: "no_dictionary"
    case .badEncoding: "bad_encoding"
    case .dictionaryRefused: "dictionary_refused"
    case .damaged: "damaged"
    case .noAnswer: "no_answer"
    case .resolveFailed: "resolve_failed"
    case .connectFailed: "connect_failed"
    case .tlsFailed: "tls_failed"
    case .pinMismatch: "pin_mismatch"
    case .certificateInvalid: "certificate_invalid"
    case .linkClosed: "link_closed"
    case .linkSilent: "link_silent"
    case .handshakeTimeout: "handshake_timeout"
    case .truncated: "truncated"
    case .oversized: "oversized"
    case .unknownRecord: "unknown_record"
    case .unexpectedRecord: "unexpected_record"
    case .malformed: "malformed"
    case .versionUnsupported: "version_unsupported"
    case .badSignature: "bad_signature"
    case .hubKeyMismatch: "hub_key_mismatch"
    case .keyExchangeFailed: "key_exchange_failed"
    case .confirmationFailed: "confirmation_failed"
    case .decryptFailed: "decrypt_failed"
    case .replayed: "replayed"
    case .wrongEpoch: "wrong_epoch"
    case .keyExpired: "key_expired"
    case .malformedFrame: "malformed_frame"
    case .rekeyFailed: "rekey_failed"
    case .spoofedSource: "spoofed_source"
    case .routeLoop: "route_loop"
    case .usage: "usage"
    case .daemonUnavailable: "daemon_unavailable"
    case .internalError: "internal_error"
    case .badConfiguration: "bad_configuration"
    case .tokenRequired: "token_required"
    case .tokenUnknown: "token_unknown"
    case .tokenExpired: "token_expired"
    case .tokenUsed: "token_used"
    case .tokenInvalid: "token_invalid"
    case .revoked: "revoked"
    case .cloneDetected: "clone_detected"
    case .sessionBusy: "session_busy"
    case .hubFull: "hub_full"
    case .classRefused: "class_refused"
    case .addressesExhausted: "addresses_exhausted"
    case .noModel: "no_model"
    case .modelFailed: "model_failed"
    case .modelHung: "model_hung"
    case .modelRefused: "model_refused"
    case .cancelled: "cancelled"
    case .offDuty: "off_duty"
    case .overBudget: "over_budget"
    case .badNumbers: "bad_numbers"
    case .quotaUsed: "quota_used"
    case .upstreamFailed: "upstream_failed"
    case .noCard: "no_card"
    case .identityChanged: "identity_changed"
    case .notOpened: "not_opened"
    case .plainRefused: "plain_refused"
    case .keyAwaited: "key_awaited"
    case .sealUnavailable: "seal_unavailable"
    case .fellowUnknown: "fellow_unknown"
    case .fellowMismatch: "fellow_mismatch"
    case .fellowFault: "fellow_fault"
    }
  }

  /// What happened and what to do next, for people.
  public var sentence: StaticString {
    switch self {
    case .unknownCommand: "no such command; try help"
    case .badArgument: "an argument is missing or not what the command takes; try help"
    case .tooLong: "the line or message is longer than the limit"
    case .forbidden: "your user may not do this; ask for the skynod group or use root"
    case .notJoined: "this node has not been admitted yet; run skynodctl join TICKET"
    case .offline: "no link to a hub right now; see skynodctl status"
    case .full: "the buffer is full; try again later"
    case .busy: "another request is in progress; try again"
    case .notFound: "nothing by that name"
    case .unreachable: "the destination is not connected to the hub"
    case .draining: "the daemon is shutting down"
    case .timeout: "no answer in time"
    case .ioFailed: "reading or writing a file failed; see the journal"
    case .expired: "the message's time to live ran out before it could be delivered"
    case .noDictionary: "this node has no dictionary; see skynodctl dict status"
    case .badEncoding: "this is not encoded text, or it names words that this node's dictionary does not hold"
    case .dictionaryRefused: "the hub's dictionary does not match its signature or checksums; the old one stays"
    case .damaged: "the checksum of a file that came is wrong and it was thrown away; have it sent again"
    case .noAnswer: "nothing that this node was taught answers this; teach it with learn, or ask --free"
    case .resolveFailed: "the hub's name did not resolve; check DNS and the hub setting"
    case .connectFailed: "the hub did not accept the connection; check address, port and firewall"
    case .tlsFailed: "the TLS handshake failed"
    case .pinMismatch: "the hub's certificate is not the pinned one; get a new ticket only if you trust the hub"
    case .certificateInvalid: "the hub's certificate is not valid for the configured CA and name"
    case .linkClosed: "the other side closed the link"
    case .linkSilent: "nothing was heard for three heartbeat intervals"
    case .handshakeTimeout: "the handshake took too long"
    case .truncated: "the link ended in the middle of a record"
    case .oversized: "a record is longer than the protocol allows"
    case .unknownRecord: "a record type that this version does not know"
    case .unexpectedRecord: "a record that does not belong at this point"
    case .malformed: "a handshake message is not well formed"
    case .versionUnsupported: "no protocol version in common; update the older side"
    case .badSignature: "a handshake signature does not verify"
    case .hubKeyMismatch: "the hub's identity key is not the pinned one"
    case .keyExchangeFailed: "the X-Wing key exchange failed"
    case .confirmationFailed: "the two sides did not derive the same keys"
    case .decryptFailed: "a record does not authenticate"
    case .replayed: "a record was seen before or is too old"
    case .wrongEpoch: "a record uses a key that is not in force"
    case .keyExpired: "the link key is too old; no new key came in time"
    case .malformedFrame: "a frame is not well formed"
    case .rekeyFailed: "the key renewal failed"
    case .spoofedSource: "a frame names a source that is not the sender"
    case .routeLoop: "the way to the hub leads back to the node that asks; check its hub settings"
    case .usage: "the command line is not understood; try --help"
    case .daemonUnavailable: "skynod does not answer on the control socket; is the service running?"
    case .internalError: "an internal check failed; please report it"
    case .badConfiguration: "the configuration is not valid"
    case .tokenRequired: "the hub does not know this node; join with a ticket from skyhub token"
    case .tokenUnknown: "the hub does not know this join token; ask for a new ticket"
    case .tokenExpired: "the join token has expired; ask for a new ticket"
    case .tokenUsed: "the join token has been used up; ask for a new ticket"
    case .tokenInvalid: "the join token's secret is wrong; check the ticket for typing errors"
    case .revoked: "the hub has revoked this node"
    case .cloneDetected: "another device uses the same identity; give one of them a new identity"
    case .sessionBusy: "an earlier session of this node is still open; trying again shortly"
    case .hubFull: "the hub has no room for another node"
    case .classRefused: "the hub does not take this class of node"
    case .addressesExhausted: "the hub has no free node id left"
    case .noModel: "no model's worker listens; put a model at /var/lib/skynod-infer/model.gguf, see skynod-infer(1)"
    case .modelFailed: "the model's worker ended: killed, or out of memory; see journalctl -u skynod-infer"
    case .modelHung: "the model's worker does not answer; restart it with systemctl restart skynod-infer"
    case .modelRefused: "the worker has no model that fits; see skynod-infer info, and its log"
    case .cancelled: "the job was cancelled"
    case .offDuty: "the node computes nothing now"
    case .overBudget: "the job needs more than its budget"
    case .badNumbers: "the numbers give no result"
    case .quotaUsed: "the node's questions of this hour, or the hub's money of this day, are used up"
    case .upstreamFailed: "the hub's upstream gave no answer that can be used; see the hub's journal"
    case .noCard: "the destination has no key to seal for, and nothing goes there in plain; see seal in skynod.conf(5)"
    case .identityChanged:
      "the hub names another identity for this id than before; see skynodctl keys --help"
    case .notOpened: "a sealed message does not open: damaged on the way, or not sealed for its receiver; send it again"
    case .plainRefused: "the destination takes sealed messages only; set seal = prefer here"
    case .keyAwaited: "the receiver has to ask for the key first; send it again"
    case .sealUnavailable: "the hub, or a relay on the way, knows no sealed messages, and nothing goes there in plain"
    case .fellowUnknown: "the hub has no fellow with this key; name it there with --fellow, as its skyhub id prints it"
    case .fellowMismatch: "the hubs were told different numbers of each other; compare --hub-id and --fellow on both"
    case .fellowFault: "the other hub sent what a fellow does not send; run the same version on both"
    }
  }

  /// True when trying again without a person's help is pointless for a while.
  public var needsPerson: Bool {
    switch self {
    case .pinMismatch, .hubKeyMismatch, .certificateInvalid, .versionUnsupported, .tokenRequired,
      .tokenUnknown, .tokenExpired, .tokenUsed, .tokenInvalid, .revoked, .cloneDetected, .classRefused,
      .addressesExhausted:
      true
    default: false
    }
  }
}
