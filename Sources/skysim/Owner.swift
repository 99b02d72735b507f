import Bounded
import Durable
import Node
import Wire

/// Who uses a board through its control socket: posts and sends messages, reads the inbox, acknowledges. It keeps to
/// what `OK` means: promised, and done.
final class Owner {
  private let scenario: Scenario
  private var dice: Dice
  private var text: [UInt8] = []

  // Until the node falls.
  /// Posts that wait for their OK: letter and sequence.
  private var held: [(id: Int, sequence: UInt64)] = []
  /// Letters acknowledged, and not yet answered with OK.
  private var acknowledged: [Int] = []
  /// What was given to this node, newest last: letter and sequence.
  private var given: [(id: Int, sequence: UInt64)] = []
  /// Letters in the inbox, oldest first: number and letter.
  private var shown: [(number: UInt64, id: Int)] = []
  private var lastShown: UInt64 = 0
  private(set) var postedNow: UInt64 = 0
  private(set) var sentNow: UInt64 = 0
  private(set) var seenNow: UInt64 = 0
  /// Posts that were not taken: no room in the ring, or none before the next write.
  private(set) var fullNow: UInt64 = 0
  private(set) var busyNow: UInt64 = 0

  private var postAt = Instant(ms: 0)
  private var sendAt = Instant(ms: 0)
  private var readAt = Instant(ms: 0)
  /// A front that watches: what comes in is acknowledged within so many milliseconds.
  private var promptMs: UInt64?
  /// Nobody reads the inbox before this.
  var sleepsUntil = Instant(ms: 0)
  /// A message each so many milliseconds, whatever becomes of it.
  var paceMs: UInt64?
  /// So many more messages at once.
  var burst = 0
  /// The simulation is coming to its end: nothing new, and everything is read.
  var isLeaving = false

  init(scenario: Scenario, dice: Dice) {
    self.scenario = scenario
    self.dice = dice
    if self.dice.oneIn(2) { promptMs = self.dice.spread(4, to: 2_000) }
  }

  func started(now: Instant) {
    postAt = now + dice.below(2 * scenario.postEveryMs)
    sendAt = now + dice.below(2 * scenario.sendEveryMs)
    readAt = now + dice.below(60_000)
  }

  func fell() {
    held.removeAll()
    acknowledged.removeAll()
    given.removeAll()
    shown.removeAll()
    lastShown = 0
    postedNow = 0
    sentNow = 0
    seenNow = 0
    fullNow = 0
    busyNow = 0
  }

  var due: Instant {
    let reading = isLeaving ? readAt : max(readAt, sleepsUntil)
    return isLeaving ? reading : min(reading, min(postAt, sendAt))
  }

  /// Whether nothing is left to be read or answered.
  var isAtRest: Bool { held.isEmpty && acknowledged.isEmpty && shown.isEmpty }

  // MARK: Giving

  func turn(_ board: Board, _ node: Node, now: Instant) {
    if !isLeaving {
      while now >= postAt {
        post(board, node, now: now)
        burst = max(0, burst - 1)
        postAt = burst > 0 ? now + dice.below(30) : now + 1 + dice.below(2 * scenario.postEveryMs)
        if let paceMs { postAt = now + paceMs }
      }
      if now >= sendAt {
        sendAt = now + 1 + dice.below(2 * scenario.sendEveryMs)
        send(board, node, now: now)
      }
    }
    if now >= readAt, isLeaving || now >= sleepsUntil {
      readAt = now + (isLeaving ? 500 : dice.spread(1_000, to: 1_800_000))
      acknowledge(node, now: now)
    }
  }

  func startPace(_ ms: UInt64, now: Instant) {
    paceMs = ms
    postAt = now
  }

  func startBurst(_ count: Int, now: Instant) {
    burst = count
    postAt = now
  }

  private func someBytes() -> Int {
    dice.oneIn(20) ? Ledger.headBytes + dice.below(Limits.messageBytes - Ledger.headBytes + 1) : 16 + dice.below(120)
  }

  /// Another board; -1 for the hub.
  private func somebody(_ board: Board) -> Int {
    let count = board.world.boards.count
    if count < 2 || dice.oneIn(12) { return -1 }
    return (board.index + 1 + dice.below(count - 1)) % count
  }

  private func post(_ board: Board, _ node: Node, now: Instant) {
    let ledger = board.world.ledger
    let destination = somebody(board)
    let bytes = someBytes()
    let timeToLiveS = paceMs == nil && dice.oneIn(8) ? UInt32(dice.spread(30, to: 86_400)) : 0
    let isUrgent = paceMs == nil && dice.oneIn(5)
    ledger.compose(source: board.index, bytes: bytes, into: &text)
    let id = destination < 0 ? 0 : Board.nodeId(destination)
    let text = text
    do throws(ErrorCode) {
      let sequence = try node.post(
        text.span.bytes, to: id, timeToLiveS: timeToLiveS, isUrgent: isUrgent, now: now)
      postedNow += 1
      let letter = Letter(
        source: Int32(board.index), destination: Int32(destination), bytes: UInt16(bytes), flags: .durable,
        timeToLiveS: timeToLiveS, stream: Self.stream(of: node, isUrgent: isUrgent), sequence: sequence,
        postedAt: now.ms)
      remember(ledger.posted(letter), sequence)
      held.append(given[given.count - 1])
    } catch {
      if error == .full { fullNow += 1 }
      if error == .busy { busyNow += 1 }
      board.world.counts.refusals += 1
      board.world.trace(.refusal, UInt64(board.index), UInt64(error.rawValue))
    }
  }

  private static func stream(of node: Node, isUrgent: Bool) -> UInt64 {
    node.stores?.ring(isUrgent: isUrgent).stream ?? 0
  }

  private func remember(_ id: Int, _ sequence: UInt64) {
    if given.count >= 512 { given.removeFirst(256) }
    given.append((id, sequence))
  }

  private func send(_ board: Board, _ node: Node, now: Instant) {
    let ledger = board.world.ledger
    let destination = somebody(board)
    let bytes = someBytes()
    ledger.compose(source: board.index, bytes: bytes, into: &text)
    let text = text
    do throws(ErrorCode) {
      let sequence = try node.send(
        text.span.bytes, to: destination < 0 ? 0 : Board.nodeId(destination), now: now)
      sentNow += 1
      let letter = Letter(
        source: Int32(board.index), destination: Int32(destination), bytes: UInt16(bytes), flags: [],
        timeToLiveS: 0, stream: 0, sequence: sequence, postedAt: now.ms)
      remember(ledger.posted(letter), sequence)
    } catch {
      board.world.trace(.refusal, UInt64(board.index), UInt64(error.rawValue))
    }
  }

  // MARK: Hearing

  /// What has come of it all since the last look.
  func look(_ board: Board, _ node: Node, now: Instant) {
    let ledger = board.world.ledger
    while let notice = node.nextNotice() {
      switch notice {
      case .receipt(let sequence, let failure): heard(sequence, failure, board, now: now)
      case .linkError(let code):
        board.world.trace(.linkError, UInt64(board.index), UInt64(code.rawValue))
      case .leafJoined(let id):
        board.leaves += 1
        board.leavesJoined += 1
        board.world.trace(.leaf, UInt64(board.index), UInt64(id))
      case .leafLeft(let id, let code):
        board.leaves -= 1
        board.world.trace(.leaf, UInt64(board.index) | UInt64(code.rawValue) << 32, UInt64(id))
      default: break
      }
    }
    if !held.isEmpty { answerPosts(node, ledger) }
    see(board, node.inbox, now: now)
    if !acknowledged.isEmpty, node.isAcknowledgementStored {
      // Where the medium has failed, OK only means that the node goes on without it.
      if Self.isStored(node) { for id in acknowledged { ledger.done(id, now: now) } }
      acknowledged.removeAll(keepingCapacity: true)
    }
  }

  private static func isStored(_ node: Node) -> Bool { node.stores?.incoming.health == .stored }

  private func answerPosts(_ node: Node, _ ledger: Ledger) {
    var waiting: [(id: Int, sequence: UInt64)] = []
    for post in held {
      do throws(ErrorCode) {
        if try node.isStored(post.sequence) { ledger.promised(post.id) } else { waiting.append(post) }
      } catch {}  // the owner hears that it may or may not arrive
    }
    held = waiting
  }

  private func heard(_ sequence: UInt64, _ failure: ErrorCode?, _ board: Board, now: Instant) {
    let ledger = board.world.ledger
    board.world.trace(.receipt, sequence, UInt64(failure?.rawValue ?? 0))
    if let post = given.last(where: { $0.sequence == sequence }) { return ledger.told(post.id, failure, now: now) }
    // Of an earlier start.
    guard failure != nil, let stores = board.rings?.stores,
      case let stream = stores.ring(isUrgent: Limits.isUrgent(sequence)).stream,
      let id = ledger.find(board: board.index, stream: stream, sequence: sequence)
    else { return }
    ledger.told(id, failure, now: now)
  }

  private func see(_ board: Board, _ inbox: Inbox, now: Instant) {
    guard inbox.count > 0, inbox[inbox.count - 1].number > lastShown else { return }
    for i in 0..<inbox.count where inbox[i].number > lastShown {
      let entry = inbox[i]
      let id = board.world.ledger.arrived(
        inbox.text(of: entry), at: board.index, source: entry.source, stream: entry.stream, sequence: entry.sequence,
        life: board.life)
      shown.append((entry.number, id))
      if let promptMs { readAt = min(readAt, now + dice.below(promptMs)) }
      lastShown = entry.number
      seenNow += 1
      board.world.trace(.arrived, UInt64(board.index), UInt64(id))
    }
  }

  /// Acknowledges the oldest so many.
  private func acknowledge(_ node: Node, now: Instant) {
    guard !shown.isEmpty else { return }
    let count = isLeaving || dice.oneIn(2) ? shown.count : 1 + dice.below(shown.count)
    let dropped = node.acknowledge(upTo: shown[count - 1].number)
    precondition(dropped == count, "as many as were shown")
    for entry in shown.prefix(count) { acknowledged.append(entry.id) }
    shown.removeFirst(count)
  }
}
