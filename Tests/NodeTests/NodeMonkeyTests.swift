import Bounded
import Foundation
import SkyCrypto
import Testing
import Wire

@testable import Node

/// Random events and requests in any order, sensible or not, against the real node: it never traps, and after
/// every step its invariants hold. A failure names its seed; `Monkey` with it repeats everything.
@Suite struct NodeMonkeyTests {
  /// Steps of each life; more for a long search: SKYNOD_MONKEY_STEPS=100000 swift test --filter Monkey.
  static let steps = ProcessInfo.processInfo.environment["SKYNOD_MONKEY_STEPS"].flatMap { Int($0) } ?? 400

  @Test func noOrderOfEventsHarmsTheNode() {
    var seen: Set<UInt8> = []
    var received: UInt64 = 0
    var online = 0
    for seed in 1...12 as ClosedRange<UInt64> {
      let monkey = Monkey(seed: seed, steps: Self.steps)
      monkey.run()
      seen.formUnion(monkey.states)
      online += monkey.onlineSteps
      received += monkey.scene.node.counters.received
    }
    // It must get far enough to be worth its name.
    #expect(seen.count == 8, "\(seen.sorted())")
    #expect(received > 0)
    #expect(online > Self.steps, "a twelfth of all steps and more")
  }

  /// A client may send as many requests as fit its line buffer before the loop does anything.
  @Test func hundredsOfRequestsWithoutAnActionTakenOverflowNothing() {
    let scene = NodeScene(hubs: 2)
    scene.goOnline()
    for i in 0..<500 {
      do throws(ErrorCode) { try scene.node.join(scene.hubs[i % 2].ticket, now: scene.now) } catch {
        Issue.record("\(error)")
      }
      if i % 3 == 0 { scene.node.reload(scene.node.settings, now: scene.now) }
      if i % 5 == 0 { scene.node.setDuties([.heartbeat], now: scene.now) }
      scene.node.checkInvariants()
    }
    var actions: [Node.Action] = []
    while let action = scene.node.nextAction() { actions.append(action) }
    #expect(actions == [.persist, .disconnect, .connect(0)])
  }

  /// A hub may put as many frames as fit into one read.
  @Test func aFloodOfConfigurationsOverflowsNothing() {
    let scene = NodeScene()
    scene.goOnline()
    for i in 0..<60 {
      scene.hub.configure.hubs = HubList()
      scene.hub.configure.hubs.append(SceneHub(1 + i % 7).entry)
      scene.hub.sendConfigure(now: scene.now)
    }
    scene.settle()
    #expect(scene.state == .online)
    #expect(scene.persisted.count <= 3, "what nobody took is not written sixty times")
    #expect(scene.persisted.last == scene.node.admission)
  }

  @Test func aConnectionIsMadeToWhatTheListHoldsWhenItIsAskedFor() {
    let scene = NodeScene(hubs: 3)
    for hub in scene.hubs { hub.isUp = false }
    scene.start()
    scene.pass(to: .retry)
    scene.now = scene.deadline(.retry)
    scene.node.handle(.tick, now: scene.now)
    #expect(scene.state == .connecting)
    #expect(scene.hubIndex == 2)
    // Before the platform does what was asked, the list shrinks to the hub in question.
    var settings = scene.node.settings
    let kept = settings.hubs[2]
    settings.hubs = HubList()
    settings.hubs.append(kept)
    scene.node.reload(settings, now: scene.now)
    let action = scene.node.nextAction()
    #expect(action == .connect(0))
    #expect(scene.node.hubs.count == 1)
  }
}

/// One random life of a node.
final class Monkey {
  let scene: NodeScene
  let seed: UInt64
  private let limit: Int
  private let store = MemoryStore()
  private var random: MutationTests.Lcg
  private(set) var steps = 0
  private(set) var states: Set<UInt8> = []
  private(set) var onlineSteps = 0
  /// The last events, for the report.
  private var trail: [String] = []

  init(seed: UInt64, steps limit: Int) {
    self.seed = seed
    self.limit = limit
    random = MutationTests.Lcg(state: seed)
    scene = NodeScene(seed: seed, hubs: 3)
    scene.now = Instant(ms: UInt64(random.next(1_000_000_000)))
    for hub in scene.hubs { hub.configure.wallTimeMs = [0, 1_800_000_000_000, .max][random.next(3)] }
    states.insert(scene.state.rawValue)
  }

  /// The seed goes to the log first: a trap leaves no time to tell it.
  func run() {
    print("monkey with seed \(seed)")
    for _ in 0..<limit { step() }
    scene.settle()
    scene.pass(0)
    if scene.node.nextDeadline <= scene.now { Issue.record("seed \(seed): a deadline in the past; \(trail)") }
  }

  private func step() {
    steps += 1
    let choice = random.next(45)
    trail.append("\(choice)")
    if trail.count > 20 { trail.removeFirst() }
    if scene.state == .online { onlineSteps += 1 }
    act(choice)
    scene.node.checkInvariants()
    states.insert(scene.state.rawValue)
    // Mostly the platform works; sometimes it lags behind by a few steps.
    if random.next(4) != 0 {
      scene.settle()
      scene.pass(0)
      if scene.node.nextDeadline <= scene.now { Issue.record("seed \(seed), step \(steps): a deadline in the past") }
    }
    scene.node.checkInvariants()
    if scene.state == .stopped { states.insert(scene.state.rawValue) }
  }

  private func act(_ choice: Int) {
    let now = scene.now
    let hub = scene.hubs[random.next(3)]
    switch choice {
    case 0: scene.node.handle(.start, now: now)
    case 1: scene.node.handle(.linkUp(exporter: someBytes(), entropy: someBytes()), now: now)
    case 2: scene.node.handle(.linkBytes, now: now)
    case 3: scene.node.handle(.linkDown(anyCode()), now: now)
    case 4: scene.node.handle(.vitals(someVitals()), now: now)
    case 5: scene.node.handle(.probeResult(reachable: random.next(2) == 0), now: now)
    case 6: scene.node.handle(.systemClock(anyNumber()), now: now)
    case 7: if steps > limit * 9 / 10 { scene.node.handle(.drain, now: now) }
    case 8: scene.node.handle(.tick, now: now)
    case 9: someBytesOnTheLink()
    case 10: attempt { node throws(ErrorCode) in try node.join(hub.ticket, now: now) }
    case 11: scene.node.reload(someSettings(), now: now)
    case 12: scene.node.setDuties(Duties(rawValue: UInt8(random.next(8))), now: scene.now)
    case 13: _ = scene.node.acknowledge(upTo: anyNumber())
    case 14: hub.isUp = random.next(4) != 0
    case 15: if random.next(4) == 0 { hub.isDeaf.toggle() } else { hub.isDeaf = false }
    case 16: hub.refusal = random.next(4) == 0 ? anyCode() : nil
    case 17:
      hub.givesReceipts.toggle()
      hub.configures = random.next(4) != 0
    case 18: hub.configure.heartbeatIntervalMs = [1_000, 30_000, 600_000][random.next(3)]
    case 19: hub.configure.rekeyAfterMs = [1, 1_000, 120_000][random.next(3)]
    case 20: hub.sendConfigure(now: now)
    case 21: hub.sendMessage("m", from: UInt32(random.next(3)), sequence: anyNumber(), now: now)
    case 22: hub.sendReceipt(UInt64(random.next(40)), from: UInt32(random.next(3)), failure: anyCode(), now: now)
    case 23: anyFrame(from: hub)
    case 24: hub.session.close(anyCode(), now: now)
    case 25: scene.cut(anyCode())
    case 26...31: send()
    case 32...37: idle([1, 100, 5_000, 40_000][random.next(4)])
    case 38: idle([200_000, 700_000, 5_000_000][random.next(3)])
    case 39: hub.configure.dictionaryGeneration = [0, 1, 2, .max][random.next(4)]
    case 40: _ = scene.node.words.want(([UInt8(97 + random.next(26)), 98, 99] as [UInt8]).span.bytes, now: now)
    case 41:
      guard let work = scene.node.update.work else { return }
      scene.node.finishUpdateWork(store.perform(work, scene.node.update), now: now)
    case 42: attempt { node throws(ErrorCode) in _ = try node.updateDictionary(now: now) }
    case 43: scene.node.useDictionary(generation: UInt32(random.next(3)), known: nil)
    default: if let action = scene.node.nextAction() { scene.actions.append(action) }  // taken, never done
    }
  }

  /// Lets time go by; less of it while it is full of work.
  private func idle(_ ms: UInt64) {
    let isBusy = scene.node.heartbeatIntervalMs < 30_000 || scene.node.rekeyAfterMs < 60_000
    scene.pass(isBusy ? ms / 200 : ms)
  }

  private func attempt(_ body: (Node) throws(ErrorCode) -> Void) {
    do throws(ErrorCode) { try body(scene.node) } catch {}
  }

  private func send() {
    let text = [UInt8](
      repeating: 0x61, count: random.next(8) == 0 ? Limits.messageBytes + random.next(2) : random.next(20))
    let destination = [0, 1, 2, 1_000_000][random.next(4)] as UInt32
    let now = scene.now
    attempt { node throws(ErrorCode) in _ = try node.send(text.span.bytes, to: destination, now: now) }
  }

  private func someBytesOnTheLink() {
    let count = random.next(200)
    let garbage = (0..<count).map { i in i == 0 ? UInt8(random.next(20)) : UInt8(random.next(256)) }
    scene.node.session.input.append(garbage.span.bytes)
    scene.node.handle(.linkBytes, now: scene.now)
  }

  private func anyFrame(from hub: SceneHub) {
    let kinds: [FrameKind] = [
      .configure, .heartbeat, .heartbeatAck, .message, .receipt, .ping, .pong, .rekeyDone, .wordAnswer,
      .dictionaryPiece, .bundleOffer, .bundlePiece, .job, .jobCancel, .answer,
    ]
    let body = (0..<random.next(40)).map { _ in UInt8(random.next(256)) }
    let header = FrameHeader(
      kind: kinds[random.next(kinds.count)], source: UInt32(random.next(3)), destination: 1_000_000,
      sequence: anyNumber())
    hub.send(header, body, now: scene.now)
  }

  private func someSettings() -> NodeSettings {
    var settings = NodeSettings()
    for hub in scene.hubs where random.next(3) != 0 { settings.hubs.append(hub.entry) }
    settings.duties = Duties(rawValue: UInt8(random.next(8)))
    settings.rekeyAfterMs = [1_000, 60_000, 120_000][random.next(3)]
    if random.next(3) == 0 { settings.ticket = scene.hubs[random.next(3)].ticket }
    return settings
  }

  private func someVitals() -> VitalSigns {
    var signs = VitalSigns()
    signs.temperatureMilliC = [.min, 20_000, 85_000, 95_000, .max][random.next(5)]
    signs.memoryTotalKB = 512_000
    signs.memoryAvailableKB = UInt32(random.next(60_000))
    return signs
  }

  private func someBytes() -> Bytes32 { Bytes32 { _ in UInt8(random.next(256)) } }
  private func anyCode() -> ErrorCode { ErrorCode.allCases[random.next(ErrorCode.allCases.count)] }
  private func anyNumber() -> UInt64 { [0, 1, 2, 3, 40, 1_800_000_000_000, .max - 1, .max][random.next(8)] }
}
