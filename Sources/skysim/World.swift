import Bounded
import CSim
import SkyCrypto
import Wire

/// What the trace tells of; the numbers are part of the hash.
enum TraceKind: UInt8 {
  case board = 1
  case hub, link, fault, heal, start, hubStart, hubError, linkError, refusal, arrived, phase, receipt, promised
  case way, leaf, job

  var name: StaticString {
    switch self {
    case .board: "board"
    case .hub: "hub"
    case .link: "link"
    case .fault: "fault"
    case .heal: "heal"
    case .start: "start"
    case .hubStart: "hub-start"
    case .hubError: "hub-error"
    case .linkError: "link-error"
    case .refusal: "refusal"
    case .arrived: "arrived"
    case .phase: "phase"
    case .promised: "promised"
    case .receipt: "receipt"
    case .way: "way"
    case .leaf: "leaf"
    case .job: "job"
    }
  }
}

/// Everything there is in one simulation, and its clock. A step is one turn of one part: a board, a hub, a link or the
/// weather, whichever is due first. Time goes from one to the next.
final class World {
  static let tokenId = InlineArray<8, UInt8>(repeating: 9)
  static let tokenSecret = InlineArray<16, UInt8>(repeating: 8)
  /// 2027-01-15, as true time at the beginning.
  private static let wallBaseMs: UInt64 = 1_800_000_000_000

  struct Counts {
    var links: UInt64 = 0
    var renewals: UInt64 = 0
    /// Keys of pairs that were offered.
    var offers: UInt64 = 0
    var heartbeats: UInt64 = 0
    var refusals: UInt64 = 0
    var faults: UInt64 = 0
    /// Leaves that a hub was told the way to.
    var ways: UInt64 = 0
    /// The longest way to a hub that there was, in relays.
    var deepest: UInt64 = 0
    /// Jobs that hubs were given, and what became of them.
    var jobsDone: UInt64 = 0
    var jobsFailed: UInt64 = 0
    var jobsCancelled: UInt64 = 0
    /// Results that came, those of jobs that had ended already among them.
    var jobResults: UInt64 = 0
  }

  let scenario: Scenario
  let ledger = Ledger()
  private(set) var boards: [Board] = []
  private(set) var hubs: [SimHub] = []
  private var pretender: SimHub?
  private(set) var links: [SimLink] = []
  private var sky: Weather?
  /// Who has shown a ticket; hubs share it.
  var isAdmitted: [Bool]
  /// What boards told of their keys; empty: nothing yet.
  var cards: [[UInt8]]
  private(set) var hubList = HubList()
  var counts = Counts()
  /// By number of the job; nil: it has not ended.
  private(set) var jobEnds: [JobEnd?] = []
  /// Nothing goes wrong any more, and nothing new is wanted.
  var isEnding = false

  let beginning = Instant(ms: 1_000_000)
  private(set) var now = Instant(ms: 1_000_000)
  private(set) var step: UInt64 = 0
  private(set) var hash: UInt64 = 0x6A09_E667_F3BC_C908
  private var dice: Dice
  /// By part: boards, hubs, weather, links.
  private var dues: [UInt64] = []
  private let weatherPart: Int
  private let firstLinkPart: Int
  private var spinning = (part: -1, since: Instant(ms: 0), turns: 0)
  /// Steps from here on are written out.
  var tracesFrom = UInt64.max
  var stopsAt = UInt64.max

  init(_ scenario: Scenario, ringBytes: UInt32 = 98_304) {
    self.scenario = scenario
    dice = Dice(seed: scenario.seed)
    isAdmitted = [Bool](repeating: false, count: scenario.nodes)
    cards = [[UInt8]](repeating: [], count: scenario.nodes)
    weatherPart = scenario.nodes + scenario.hubs
    firstLinkPart = weatherPart + 1
    dues = [UInt64](repeating: .max, count: firstLinkPart)
    ledger.world = self
    for i in 0..<scenario.hubs {
      let hub = SimHub(self, index: i, boards: scenario.nodes, isImpostor: false, seed: dice.next())
      hubs.append(hub)
      hubList.append(hub.entry)
    }
    pretender = SimHub(self, index: scenario.hubs, boards: scenario.nodes, isImpostor: true, seed: dice.next())
    for i in 0..<scenario.nodes {
      let board = Board(self, index: i, ringBytes: ringBytes, seed: dice.next())
      boards.append(board)
      board.startsAt = now + dice.below(60_000)
      setDue(of: board, board.startsAt)
    }
    for board in boards { board.chooseHubs() }
    sky = Weather(self, dice: dice.split())
  }

  var impostor: SimHub { pretender! }
  var weather: Weather { sky! }

  /// True time, milliseconds since 1970.
  func wallMs(_ now: Instant) -> UInt64 { Self.wallBaseMs + now.ms }

  // MARK: Parts and their time

  func setDue(of board: Board, _ due: Instant) { dues[board.index] = due.ms }
  func setDue(of hub: SimHub, _ due: Instant) {
    // The impostor has no deadlines: nodes have.
    if !hub.isImpostor { dues[scenario.nodes + hub.index] = due.ms }
  }
  func setDueOfWeather(_ due: Instant) { dues[weatherPart] = due.ms }
  func setDue(of link: SimLink, _ due: Instant) { dues[firstLinkPart + link.slot] = due.ms }

  func freeLink() -> SimLink {
    for link in links where link.isFree { return link }
    let link = SimLink(self, slot: links.count, dice: dice.split())
    links.append(link)
    dues.append(.max)
    return link
  }

  /// Lets everything happen up to a moment.
  func run(until end: Instant) {
    while true {
      var part = 0
      var least = UInt64.max
      dues.withUnsafeBufferPointer {
        for i in 0..<$0.count where $0[i] < least {
          least = $0[i]
          part = i
        }
      }
      guard least < end.ms else {
        now = max(now, end)
        return
      }
      // Not before the next one: what is found at the end of a run is found behind its last step.
      if step >= stopsAt { finish(0) }
      now = max(now, Instant(ms: least))
      step += 1
      sim_note(scenario.seed, step, now.ms)
      turn(part)
    }
  }

  /// Nobody may turn round and round: on a board that would be a processor at full load, and an empty battery.
  private func watchForSpinning(_ part: Int) {
    if part != spinning.part || now.since(spinning.since) > 1_000 { spinning = (part, now, 0) }
    spinning.turns += 1
    if spinning.turns > 900 { fail("a part turns round and round", part) }
  }

  private func turn(_ part: Int) {
    watchForSpinning(part)
    if part < scenario.nodes {
      boards[part].turn(now: now)
    } else if part < weatherPart {
      trace(.hub, UInt64(part - scenario.nodes), 0)
      hubs[part - scenario.nodes].turn(now: now)
    } else if part == weatherPart {
      weather.turn(now: now)
    } else {
      trace(.link, UInt64(part - firstLinkPart), 0)
      links[part - firstLinkPart].turn(now: now)
    }
  }

  // MARK: Jobs

  /// The number of a new one.
  func newJob() -> Int {
    jobEnds.append(nil)
    return jobEnds.count - 1
  }

  /// A hub has written down what became of a job: once.
  func jobEnded(_ number: Int, _ end: JobEnd, wasCancelled: Bool) {
    if jobEnds[number] != nil { fail("a job has ended twice", number) }
    if end == .cancelled, !wasCancelled { fail("a job was cancelled that somebody wants", number) }
    jobEnds[number] = end
    switch end {
    case .done: counts.jobsDone += 1
    case .failed: counts.jobsFailed += 1
    case .cancelled: counts.jobsCancelled += 1
    }
    trace(.job, UInt64(number), UInt64(end == .done ? 1 : end == .failed ? 2 : 3))
  }

  // MARK: What is told

  func trace(_ kind: TraceKind, _ a: UInt64, _ b: UInt64) {
    hash = (hash ^ now.ms ^ UInt64(kind.rawValue) << 56) &* 0x9E37_79B9_7F4A_7C15
    hash = (hash ^ hash >> 29 ^ a) &* 0xBF58_476D_1CE4_E5B9
    hash = hash ^ hash >> 32 ^ b
    if step >= tracesFrom { say("step \(step) at \(now.ms) \(kind.name) \(a) \(b)") }
  }

  var hashText: String {
    let digits = Array("0123456789abcdef".utf8)
    let text = (0..<16).map { digits[Int(hash >> UInt64(60 - 4 * $0) & 15)] }
    return String(decoding: text, as: UTF8.self)
  }

  func fail(_ reason: StaticString, _ detail: Int = -1) -> Never {
    say("FAILED seed \(scenario.seed) step \(step) at \(now.ms) ms: \(reason)")
    if detail >= 0 { describe(detail) }
    if detail >= 0, detail < boards.count { boards[detail].describe(now) }
    say("again: \(command()) --until \(step)")
    finish(1)
  }

  private func command() -> String {
    var text = "tools/sim --seed \(scenario.seed) --nodes \(scenario.nodes) --days \(scenario.days)"
    if scenario.plant != .none { text += " --plant \(scenario.plant.name)" }
    if scenario.isReal { text += " --real" }
    return text
  }

  /// The letter, or the board, that a failure is about.
  private func describe(_ detail: Int) {
    guard detail < ledger.letters.count else { return say("about \(detail)") }
    let letter = ledger[detail]
    say(
      "about \(detail): letter from \(letter.source) to \(letter.destination) stream \(letter.stream) sequence "
        + "\(letter.sequence) lives \(letter.timeToLiveS) s flags \(letter.flags.rawValue) posted \(letter.postedAt) seen in \(letter.seenIn) done "
        + "\(letter.doneAt)")
  }
}
