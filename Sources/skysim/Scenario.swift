import Bounded
import Wire

/// Defects planted on purpose, to see that the simulator finds such. All of them lie in what the simulator owns,
/// around the production code: none has a trace in what ships.
enum Plant: UInt8, CaseIterable {
  case none
  /// The medium says that a sync has stored everything, and has stored nothing.
  case syncLies
  /// A checkpoint reaches the medium before the batch that it speaks of.
  case checkpointFirst
  /// Checkpoints are written without the duplicate window.
  case windowNotKept
  /// The hub says STORED before it has committed.
  case wordBeforeCommit
  /// The hub commits its duplicate window after the messages, in a transaction of its own.
  case windowApart
  /// The hub forgets a message when it hands it over, not when the node says STORED.
  case forgetsEarly
  /// Records are opened without comparing their tags.
  case uncheckedTags
  /// A relay says STORED to its leaves as soon as anything comes from them.
  case relayVouches
  /// The hub forgets a message for a leaf when its relay has it.
  case relayTrusted
  /// The hub keeps a job's result first, and that the job has ended in a transaction of its own.
  case resultApart

  var name: StaticString {
    switch self {
    case .none: "none"
    case .syncLies: "sync-lies"
    case .checkpointFirst: "checkpoint-first"
    case .windowNotKept: "window-not-kept"
    case .wordBeforeCommit: "word-before-commit"
    case .windowApart: "window-apart"
    case .forgetsEarly: "forgets-early"
    case .uncheckedTags: "unchecked-tags"
    case .relayVouches: "relay-vouches"
    case .relayTrusted: "relay-trusted"
    case .resultApart: "result-apart"
    }
  }
}

/// What may go wrong. Each simulated world has its own mixture: one where everything happens at once hides what
/// only long quiet stretches show, and the other way round.
enum Fault: Int, CaseIterable {
  case cut, halfOpen, stall, partition
  case kill, powerCut, drain, pause
  case hubCrash, hubPause, hubDisk
  case diskError, slowDisk, bitFlip, dyingStart
  case clockJump, attack, impostor
  case burst, sleepingOwner
  case dutyOff, strangers
}

/// The world of one seed, before anything has happened in it.
struct Scenario {
  var seed: UInt64
  var nodes: Int
  var days: UInt64
  var plant = Plant.none
  var isReal = false

  var hubs = 1
  var heartbeatMs: UInt64 = 30_000
  var rekeyMs: UInt64 = 120_000
  /// Between two faults, on average, in the whole world.
  var faultEveryMs: UInt64 = 0
  /// Between two durable messages of one node, and two ordinary ones.
  var postEveryMs: UInt64 = 0
  var sendEveryMs: UInt64 = 0
  var latencyMs: UInt64 = 0
  var weights = InlineArray<22, UInt64>(repeating: 0)
  /// Between two jobs of one hub; 0: no jobs.
  var jobEveryMs: UInt64 = 0
  /// Hubs know sealed messages.
  var seals = false
  /// Every node prefers another hub.
  var mixesHubs = false
  /// The first so many boards relay, with so many places each.
  var relays = 0
  var relayPlaces = 0

  init(seed: UInt64, nodes: Int, days: UInt64) {
    self.seed = seed
    self.nodes = nodes
    self.days = days
    var dice = Dice(seed: seed ^ 0x5CE2_A210)
    hubs = 1 + dice.below(3)
    mixesHubs = dice.oneIn(3)
    // Mostly what ships; rarely what a hub may ask for instead.
    if dice.oneIn(5) { heartbeatMs = [10_000, 60_000, 600_000][dice.below(3)] }
    if dice.oneIn(8) { rekeyMs = [30_000, 60_000][dice.below(2)] }
    // Each node meets something every one to six hours.
    faultEveryMs = dice.from(3_600_000, to: 21_600_000) / UInt64(nodes)
    postEveryMs = dice.spread(240_000, to: 3_600_000)
    sendEveryMs = dice.spread(600_000, to: 7_200_000)
    latencyMs = dice.spread(1, to: 400)
    for fault in Fault.allCases {
      // A third of the kinds does not occur at all.
      weights[fault.rawValue] = dice.oneIn(3) ? 0 : dice.from(1, to: 6)
    }
    if nodes > 1, !dice.oneIn(3) {
      relays = 1 + dice.below(min(6, nodes / 2))
      relayPlaces = 2 + dice.below(Limits.relayPeers - 1)
    }
    if dice.oneIn(2) { jobEveryMs = dice.spread(300_000, to: 7_200_000) }
    seals = !dice.oneIn(3)
  }
}
