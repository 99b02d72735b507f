/// Every limit of the protocol and of the daemon, in one place, with what follows from them.
///
/// Sizes are bytes, times are milliseconds unless the name says otherwise. `docs/limits.md` explains
/// each figure. `assertConsistent()` holds the relations between them.
public enum Limits {
  // MARK: Protocol (docs/protocol.md); a second implementation must use the same

  /// The versions differ in what seals records: ChaCha20-Poly1305 in 1, AEGIS-256 in 2.
  public static let lowestVersion: UInt8 = 1
  public static let highestVersion: UInt8 = 2
  /// Record header: type u8, epoch u8, length u16.
  public static let recordHeaderBytes = 4
  /// Sealed record: counter u64 before, tag after the ciphertext; of Poly1305, and the longest, that of AEGIS-256.
  public static let counterBytes = 8
  public static let shortestTagBytes = 16
  public static let tagBytes = 32
  /// Frame header: kind, flags, hops, 0, source u32, destination u32, sequence u64, ttl u32.
  public static let frameHeaderBytes = 24
  /// The longest body of a frame.
  public static let frameBodyBytes = 16_384
  public static let framePlainBytes = frameHeaderBytes + frameBodyBytes
  public static let sealedPayloadBytes = counterBytes + framePlainBytes + tagBytes
  /// The longest record on the wire, header included.
  public static let recordBytes = recordHeaderBytes + sealedPayloadBytes

  /// X-Wing (draft-connolly-cfrg-xwing-kem): public key, ciphertext, shared secret, seed.
  public static let xwingPublicKeyBytes = 1_216
  public static let xwingCiphertextBytes = 1_120
  public static let nonceBytes = 32
  public static let hashBytes = 32
  public static let keyBytes = 32
  public static let signatureBytes = 64
  public static let exporterBytes = 32
  public static let instanceBytes = 16
  public static let tokenIdBytes = 8
  public static let tokenSecretBytes = 16
  public static let agentBytes = 32
  public static let hostNameBytes = 253
  public static let hubListCount = 8

  /// A link key is replaced after this age or this many frames in one direction, whichever is first.
  public static let rekeyAfterMs: UInt64 = 120_000
  public static let rekeyAfterFrames: UInt64 = 1 << 20
  /// A link key older than this seals and opens nothing.
  public static let keyRefusedAfterMs: UInt64 = 180_000
  /// How far behind the newest counter a record may arrive.
  public static let replayWindowFrames: UInt64 = 64

  public static let handshakeTimeoutMs: UInt64 = 15_000
  public static let heartbeatDefaultMs: UInt64 = 30_000
  public static let heartbeatMinimumMs: UInt64 = 10
  public static let heartbeatMaximumMs: UInt64 = 600_000
  /// Heartbeats are spread by this share of the interval either way, in percent.
  public static let heartbeatJitterPercent: UInt64 = 10
  /// A link with nothing received for this many heartbeat intervals and the grace is dead.
  public static let silenceIntervals: UInt64 = 3
  /// So that with short intervals a busy processor is not taken for a dead link.
  public static let silenceGraceMs: UInt64 = 1_000
  public static func silenceMs(heartbeatMs: UInt64) -> UInt64 { heartbeatMs * silenceIntervals + silenceGraceMs }

  /// The stream's name before the text of a durable message.
  public static let streamBytes = 8
  /// Entries of one STORED frame; a sender has no more durable messages on the way over one hop.
  public static let storedEntries = 64

  /// The longest way of a frame, counted in relays and hubs; one that came further is going round in circles.
  public static let hops: UInt8 = 16

  // MARK: Ids (blueprint)

  public static let lightNodeFirst: UInt32 = 1_000_000
  public static let lightNodeLast: UInt32 = 9_999_999
  public static func isLightNode(_ id: UInt32) -> Bool { id >= lightNodeFirst && id <= lightNodeLast }

  // MARK: Node

  public static let backoffFirstMs: UInt64 = 1_000
  public static let backoffCapMs: UInt64 = 300_000
  /// A refusal that only a person can mend (revoked, token expired) is tried again this slowly.
  public static let refusedRetryMs: UInt64 = 900_000
  /// A hub that still holds an earlier session looks whether it lives; it needs this long.
  public static let busyRetryMs: UInt64 = 6_000
  /// A message without a receipt after this long counts as lost.
  public static let receiptTimeoutMs: UInt64 = 30_000
  /// 2024-01-01: a wall clock before this was never set.
  public static let clockIsSetAfterMs: UInt64 = 1_704_067_200_000
  /// 10000-01-01: a wall clock from here on is nonsense, and could not be written as a date.
  public static let clockEndsAtMs: UInt64 = 253_402_300_800_000
  /// How often a node on a lesser hub tries its preferred one.
  public static let failbackMs: UInt64 = 600_000
  /// The same after the preferred one turned the node away in a way that only a person can mend.
  public static let failbackRefusedMs: UInt64 = 86_400_000
  /// Below this of 100 the preferred hub comes and goes: the node looks for it this many times more seldom.
  public static let healthPoor: UInt8 = 25
  public static let healthPoorFactor: UInt64 = 4
  /// A link that lasts so long speaks for its hub, a shorter one against it.
  public static let healthLinkMs: UInt64 = 60_000
  public static let drainMs: UInt64 = 5_000
  public static let inboxSlots = 32
  /// Of these, ordinary messages of one source may hold so many: whoever writes a lot leaves room for the others.
  public static let inboxPerSource = 24
  public static let outboxSlots = 16
  public static let messageBytes = 3_072
  /// The ring file of durable messages that wait for the hub, and that of those that came for this node.
  public static let ringFileBytes: UInt32 = 4 << 20
  public static let ringBatchBytes = 16_384
  public static let ringReadBytes = 4_096
  /// The ring of urgent messages, which are few: 140 of the longest, or 1,000 short ones.
  public static let urgentFileBytes: UInt32 = 512 << 10
  public static let urgentBatchBytes = 8_192
  /// Of the durable messages on the way over one hop so many are urgent: the others leave places to them.
  public static let urgentOnTheWay = 8
  /// Sequences of urgent messages begin here, those of others end: what is urgent tells its name (docs/protocol.md).
  public static let urgentSequences: UInt64 = 1 << 62
  public static func isUrgent(_ sequence: UInt64) -> Bool { sequence >= urgentSequences }
  /// Every sequence is below.
  public static let sequencesEnd: UInt64 = 1 << 63
  /// What a node keeps of a durable message beside its text, in each ring.
  public static let ringEntryBytes = 28
  /// Rings whose messages a node can tell from those it has had, and how long a silent one keeps its place.
  public static let seenStreams = 80
  public static let seenKeepMs: UInt64 = 3_600_000
  /// A durable message refused for want of room is tried again after this long; after each refusal in a row that is doubled,
  /// up to the second.
  public static let resumeMs: UInt64 = 2_000
  public static let resumeMostMs: UInt64 = 32_000
  public static func resumeMs(after refusals: Int) -> UInt64 { min(resumeMostMs, resumeMs << UInt64(min(refusals, 8))) }
  /// Durable messages of which nothing is heard are sent again after this long.
  public static let resendMs: UInt64 = 60_000
  /// At a stop, what is in memory may take this long to get onto the medium.
  public static let settleMs: UInt64 = 5_000
  public static let eventSlots = 64
  /// Nodes that can be linked to one relay, and those that it knows to be behind them.
  public static let relayPeers = 8
  public static let relayRoutes = 64
  /// Connections to a relay whose handshake is not over; others are closed at once.
  public static let relayStrangers = 4
  /// Kept free in a leaf's output for what belongs to the link itself: a key renewal, a pong, a close.
  public static let relayReserveBytes = 2_048
  /// Frames taken from one leaf before the others have their turn.
  public static let relayFramesPerTurn = 16
  /// Leaves are not read on while more than this waits for the hub: what one pours in delays the others by no more.
  public static let relayQueueBytes = 4_096
  /// Ordinary messages of one leaf that may be on their way, unanswered: what it pours in waits in its own link, not in
  /// everybody's queue at the hub. Forgotten when so long none is answered for.
  public static let relayUnanswered = 32
  public static let relayUnansweredMs: UInt64 = 1_000
  /// How often a leaf whose relay has no way to a hub looks whether another of its hubs answers.
  public static let cutOffMs: UInt64 = 60_000
  /// Without a descriptor for one more connection, a listener is left alone for so long.
  public static let acceptPauseMs: UInt64 = 100
  /// The kernel takes no more for a link while this much is unsent: queues are ours, where frames have turns.
  public static let tcpUnsentBytes = 4_096
  public static let linkInputBytes = recordBytes
  public static let linkOutputBytes = 2 * recordBytes

  // MARK: Control socket (docs/control.md)

  public static let controlClients = 8
  public static let controlLineBytes = 4_096
  /// The longest reply. A list that needs more continues in another request.
  public static let controlReplyBytes = 8_192
  /// The longest event; this much output is kept beside the longest reply.
  public static let controlEventBytes = 1_024
  /// Places of the table that only administrators get.
  public static let controlAdminClients = 2
  /// A client silent for this long gives up its place when another needs it.
  public static let controlIdleMs: UInt64 = 30_000

  // MARK: Files (docs/control.md, "Files")

  /// Bytes of the file in each part but the last. With the longest name a part fits a control line in base64.
  public static let filePartBytes = 2_768
  public static let fileNameBytes = 200
  /// The longest file, and how many parts a map of them has bits for.
  public static let fileBytes: UInt64 = 64 << 20
  public static let fileParts = 24_576
  /// Incomplete files in one directory; finished ones of which a repetition is recognised there.
  public static let filesOpen = 16
  public static let filesRemembered = 64
  /// A file that is sent leaves the rest of the ring to messages: so many durable messages may wait, then it does.
  public static let filePartsAhead = 512
  /// Receipts that a sender waits for at once: the daemon remembers 64 messages that have none yet, of everybody.
  public static let fileReceiptsAwaited = 32
  /// How long a sender of files tries to reach a daemon that has gone away.
  public static let fileReconnectMs: UInt64 = 60_000

  // MARK: Dictionary (docs/lexicon.md)

  /// A published file travels in blocks of this size; a page is the digests of so many of them.
  public static let dictionaryBlockBytes = 4_096
  public static let dictionaryPageBlocks = 128
  /// So the largest file that can be published is 32 MiB: twice the million.
  public static let dictionaryPages = 64
  public static let dictionaryBytes = dictionaryPages * dictionaryPageBlocks * dictionaryBlockBytes
  /// The least time between two requests for pieces: at most 32 KiB/s, so that messages come first.
  public static let pieceIntervalMs: UInt64 = 125
  /// A piece that has not come by then is asked for again.
  public static let pieceTimeoutMs: UInt64 = 10_000
  /// An update that was refused is tried again after this long.
  public static let updateRetryMs: UInt64 = 3_600_000
  /// Words in one question to the hub, and those that wait for the next.
  public static let wordBatch = 16
  public static let wordQueue = 32
  /// The least time between two questions, and how long an answer may take.
  public static let wordIntervalMs: UInt64 = 1_000
  public static let wordTimeoutMs: UInt64 = 10_000
  /// Words that the hub does not know are not asked again for this long; so many are remembered.
  public static let unknownWordMs: UInt64 = 86_400_000
  public static let unknownWords = 128
  /// Room for the words that were learnt from the hub, about 130 of them; the oldest go first.
  public static let learntBytes = 8_192
  /// How soon learnt words are written down.
  public static let learntWriteMs: UInt64 = 60_000
  /// The longest text that the control verb `encode` takes.
  public static let encodeTextBytes = 1_024

  // MARK: Updates of the image (docs/updates.md)

  /// What of a bundle is checked and written at once.
  public static let bundleBlockBytes = 65_536
  /// So the largest system in a slot is 512 MiB, and its table of digests 256 KiB.
  public static let bundleBlocks = 8_192
  /// Payloads are whole multiples of this: squashfs ends so.
  public static let bundleStepBytes = 4_096
  /// A manifest, and a copy of the slots' state.
  public static let updateSectorBytes = 512
  public static let boardNameBytes = 32
  public static let releaseNameBytes = 48
  /// The most of a bundle that comes in one frame: a message never waits for more.
  public static let bundlePieceBytes = 8_192
  /// The least time between two requests for pieces of a bundle: at most 160 KiB/s.
  public static let bundlePieceIntervalMs: UInt64 = 50
  /// While the link's output is more than half full, a request waits for so long.
  public static let bundleWaitMs: UInt64 = 250
  /// How often the hub is told again what the board runs, and how often that is looked at while a system is on trial.
  public static let systemReportMs: UInt64 = 600_000
  public static let systemTrialMs: UInt64 = 15_000
  /// The longest that an updater may take for an answer: it reads a whole slot back from its medium.
  public static let updaterAnswerMs: UInt64 = 600_000
  /// Starts in which a new system has to prove itself.
  public static let updateTries: UInt8 = 3

  // MARK: Knowledge (docs/knowledge.md)

  public static let questionBytes = 512
  public static let answerBytes = 2_048
  /// The longest line of an import: question and answer with each byte escaped, and room for members that are read over.
  public static let taughtLineBytes = 16_384
  /// A question with more words is matched by its normal form alone.
  public static let questionWords = 96
  /// Words on their way to its signature: contractions make two of one.
  public static let questionTokens = 128
  /// A page of the store holds entries whole, as many as a set of bits can name.
  public static let knowledgePageBytes = 4_096
  public static let knowledgePageEntries = 64
  /// Before the entries: the file's head, and a copy of the page that was written last.
  public static let knowledgeFirstPage = 2
  public static let knowledgePagesMinimum = 16
  /// 256 MiB.
  public static let knowledgePagesMaximum = 65_536
  /// Marks of entries that were used since their page was written.
  public static let knowledgeMarks = 2_048
  /// Entries that are shown to a model, or as near misses.
  public static let neighbours = 3
  /// Questions that wait for the model, the one being answered among them.
  public static let askQueue = 4
  /// Pages looked through for neighbours in one turn of the loop.
  public static let knowledgePagesPerTurn = 64
  /// A worker that listens itself must greet within this time; one that the service manager starts first, within that.
  public static let modelGreetingMs: UInt64 = 900
  public static let modelStartMs: UInt64 = 8_000
  /// While it works on an answer it is asked on a second connection whether it lives.
  public static let modelProbeMs: UInt64 = 100
  /// Until it has answered twice, and its pace is known.
  public static let modelProbeFirstMs: UInt64 = 10
  /// It may be silent for so many times its longest answer, but for the first at least and for the last at most.
  public static let modelSilenceSteps: UInt64 = 8
  public static let modelSilenceMs: UInt64 = 850
  public static let modelSilenceMostMs: UInt64 = 10_000
  /// The longest time for one answer.
  public static let modelAnswerMs: UInt64 = 120_000
  public static let modelTokens = 96
  /// The request to the worker with its references; a line from it.
  public static let modelRequestBytes = 17_408
  public static let modelLineBytes = 8_192
  /// What it says of itself when it is asked whether it lives.
  public static let modelSignBytes = 1_024

  // MARK: Answers of the hub (docs/knowledge.md)

  /// Questions that an answer names as its sources: as many as a model is shown.
  public static let answerSources = neighbours
  public static let brandBytes = 32
  /// The body of the longest answer: one frame.
  public static let answerFrameBytes =
    signatureBytes + Answer.Head.byteCount + 2 + brandBytes + answerSources * (2 + questionBytes) + answerBytes
  /// The highest cost that an answer may tell, in millionths: no sum of those that a hub keeps overflows.
  public static let costMaximum: UInt64 = 1 << 40
  /// The longest that a hub may wait for its upstream, and a node for its hub.
  public static let upstreamMs: UInt64 = 60_000
  public static let questionWaitMs: UInt64 = upstreamMs + 5_000
  /// How long an answer of the hub is kept unless the configuration says otherwise: 7 days.
  public static let keepAnswersMs: UInt64 = 7 * 86_400_000

  // MARK: Compute (docs/compute.md)

  /// The longest input of a job, and the longest result: one frame each, and a message never waits for more.
  public static let jobBytes = 8_192
  /// The longest list that `score` takes: two numbers more go back.
  public static let jobNumbers = jobBytes / 4 - 2
  /// Dimensions of `compress`, before and after.
  public static let jobWideNumbers = 1_536
  public static let jobNarrowNumbers = 384
  /// Jobs that a node has taken and not ended, the one being worked on among them.
  public static let jobQueue = 3
  /// Places for jobs, those that have ended among them: what came of the last ones is told again.
  public static let jobPlaces = 4
  /// Jobs that have lost their place: they are refused, not done a second time.
  public static let jobsRemembered = 64
  /// The longest time and the most memory that a job may be given.
  public static let jobBudgetMs: UInt32 = 600_000
  public static let jobBudgetBytes: UInt32 = 65_536
  /// The most tokens of one `infer`.
  public static let jobTokens = 512
  /// Multiply-adds done before everybody else has a turn.
  public static let jobSliceOperations = 4_096
  /// Arithmetic waits until no frame was handed on for so long, but no longer than this for each slice.
  public static let jobYieldMs: UInt64 = 5
  public static let jobPutOffMs: UInt64 = 100
  /// How often the hub is told how far a job is.
  public static let jobProgressMs: UInt64 = 1_000
  /// A job waits so long before it is tried again with a worker that was busy.
  public static let jobModelRetryMs: UInt64 = 1_000

  // MARK: Sealed messages (docs/protocol.md)

  /// What sealing adds to a text: key id, nonce, tag.
  public static let sealBytes = 4 + 24 + 1 + 16
  /// Pairs whose keys are in memory, of both directions; others are asked for again.
  public static let sealPairs = 32
  /// Ids of which a node remembers the identity; the one longest without a new key goes first.
  public static let knownNodes = 96
  /// How long an answer of the hub may take, and how often it is asked before a key counts as not to be had.
  public static let sealAnswerMs: UInt64 = 1_500
  public static let sealTries = 2
  /// When it is asked for again, after that and after the word that there is none.
  public static let sealRetryMs: UInt64 = 30_000
  public static let noCardMs: UInt64 = 60_000
  /// Ordinary messages that wait for a key: two of the longest.
  public static let sealWaitingBytes = 2 * (messageBytes + 16)

  // MARK: Hubs that share what they keep (docs/protocol.md, "Fellows")

  /// How often a hub tells its fellow what it has committed, and without a word for how long a link is dead.
  public static let fellowBeatMs: UInt64 = 1_000
  public static let fellowSilenceMs: UInt64 = 10_000
  /// A fellow that has not committed what it was sent so long ago is out of step; it is in step again once it lags by less
  /// than the second.
  public static let fellowPatienceMs: UInt64 = 2_000
  public static let fellowLagMs: UInt64 = 500
  /// Durable messages are not delivered for so long while a fellow may have older ones: after a start, after its link
  /// broke, and since the last word of it while it sends what was missed; for no longer than the second.
  public static let fellowHoldMs: UInt64 = 3_000
  public static let fellowHoldMostMs: UInt64 = 30_000
  /// The first and the longest wait before a fellow is dialled again.
  public static let fellowRetryFirstMs: UInt64 = 200
  public static let fellowRetryCapMs: UInt64 = 5_000
  /// Frames of a log that are on the way to one fellow.
  public static let sharesOnTheWay = 8
  /// More than any entry of a log needs, but for the text of a message.
  public static let sharedEntryBytes = 512
  /// The longest label or reason.
  public static let labelBytes = 120
  public static let hereEntries = 64
  /// A hub with fellows gives ids from a million of its own: the first belongs to hub 1, the next to hub 2, and so on.
  public static let fellowIdsFirst: UInt32 = 2_000_000
  public static let fellowIdsEach: UInt32 = 1_000_000

  // MARK: Operating system

  public static let pathBytes = 255
  /// Addresses a host name may resolve to; more are ignored.
  public static let resolvedAddresses = 8
  /// Events taken from the kernel in one turn of the loop.
  public static let eventsPerTurn = 64
  /// Time for one address to accept a connection before the next is tried.
  public static let connectAttemptMs: UInt64 = 3_000
  /// TCP keep-alive idle time in seconds, and how long unacknowledged data may wait.
  public static let keepAliveSeconds = 60
  public static let tcpUserTimeoutMs = 60_000

  // MARK: Configuration

  public static let configurationBytes = 16_384
  /// The longest `ca_file`: half a dozen certificates. For a connection mbedTLS needs about three times as
  /// much of the heap beside it.
  public static let authorityFileBytes = 16_384
  public static let configurationLineBytes = 1_024
  /// The shortest `rekey_interval`; the longest is `rekeyAfterMs`.
  public static let rekeyMinimumMs: UInt64 = 1_000

  // MARK: systemd

  public static let notifyBytes = 1_024
  /// How long the daemon waits for a service manager that does not take what it waits for itself.
  public static let notifyWaitMs: UInt64 = 2_000
  public static let journalBytes = 2_048

  /// Checked at start by every program.
  public static func assertConsistent() {
    precondition(recordBytes - recordHeaderBytes <= Int(UInt16.max), "a record's length is a u16")
    precondition(rekeyMinimumMs < rekeyAfterMs && rekeyAfterMs < keyRefusedAfterMs)
    precondition(linkInputBytes >= recordBytes && linkOutputBytes >= recordBytes)
    precondition(messageBytes < controlLineBytes, "a message fits a control line with its verb")
    precondition(2 * messageBytes + 1_024 <= controlReplyBytes, "a message fits a reply, escaped or in hexadecimal")
    precondition(controlAdminClients < controlClients)
    let partBytes = FilePart.headerBytes + fileNameBytes + filePartBytes
    precondition(partBytes <= messageBytes)
    precondition((4 * partBytes + 2) / 3 + 30 <= controlLineBytes, "a part in base64 fits a line with its verb")
    precondition(UInt64(fileParts) * UInt64(filePartBytes) >= fileBytes && fileParts % 64 == 0)
    precondition(UInt64(filePartsAhead) * UInt64(messageBytes) < UInt64(ringFileBytes) / 2, "messages find room")
    precondition(urgentOnTheWay < storedEntries)
    precondition(streamBytes + sealBytes + messageBytes <= frameBodyBytes)
    precondition(68 * knownNodes + 256 <= controlReplyBytes, "all of them fit a reply")
    precondition(SealAnswer.maximumBytes <= frameBodyBytes)
    precondition(xwingPublicKeyBytes <= frameBodyBytes)
    precondition(relayQueueBytes + recordBytes <= linkOutputBytes, "whatever a leaf's frame is, it has room")
    precondition(relayPeers <= relayRoutes && relayRoutes < 256, "a route names its leaf's place by a byte")
    precondition(backoffFirstMs < backoffCapMs)
    precondition(fellowIdsFirst + UInt32(hubListCount) * fellowIdsEach - 1 == lightNodeLast, "a million for each hub")
    precondition(fellowBeatMs < fellowPatienceMs && fellowLagMs < fellowPatienceMs && fellowPatienceMs < fellowHoldMs)
    precondition(ShareHead.byteCount + sharedEntryBytes + messageBytes <= frameBodyBytes)
    precondition(HereEntry.byteCount * hereEntries <= frameBodyBytes)
    precondition(PieceRequest.byteCount + dictionaryBlockBytes <= frameBodyBytes, "a block fits a frame")
    precondition(dictionaryPageBlocks * hashBytes <= dictionaryBlockBytes, "a page is no larger than a block")
    precondition(bundleBlockBytes % bundleStepBytes == 0 && bundleStepBytes % updateSectorBytes == 0)
    precondition(bundleBlockBytes % bundlePieceBytes == 0 && bundlePieceBytes + 64 <= frameBodyBytes)
    precondition(2 * (questionBytes + answerBytes) + 512 <= controlReplyBytes, "an entry fits a reply, escaped")
    precondition(6 * (questionBytes + answerBytes) < taughtLineBytes)
    precondition(questionBytes + answerBytes + 128 <= knowledgePageBytes, "an entry fits a page")
    precondition(
      2 * (questionBytes + neighbours * (questionBytes + answerBytes)) + 512 <= modelRequestBytes,
      "the neighbours fit a request")
    precondition(Question.byteCount + questionBytes <= frameBodyBytes && answerFrameBytes <= frameBodyBytes)
    precondition(2 * answerBytes + 1_024 <= controlReplyBytes, "an answer fits a reply, escaped")
    precondition(JobOrder.byteCount + jobBytes <= frameBodyBytes && JobResult.byteCount + jobBytes <= frameBodyBytes)
    precondition(jobQueue < jobPlaces && 4 * jobWideNumbers <= jobBytes, "a result has a place beside a full queue")
    precondition(2 * jobBytes + 256 <= modelRequestBytes, "a text fits a request, escaped")
    precondition(1 + (wordBatch + 1) * WordEntry.maximumBytes <= frameBodyBytes, "an answer fits a frame")
  }
}
