import Bounded
import CSky
import Compute
import KnowledgeFile
import Node
import Platform
import SkyCrypto
import Wire

/// The daemon: joins the pure `Node` to the outside. One thread, one loop.
///
/// A turn: wait, serve what became ready, let the node's timers fire, do what the node asks for, move what lies
/// in the ring files, tell what happened, ping the watchdog. Nothing in a turn waits for anybody.
final class Daemon: ControlHandler {
  enum Token {
    static let signals: UInt64 = 1
    static let control: UInt64 = 2
    static let firstClient: UInt64 = 1 << 48
  }

  private let file: ConfigurationFile
  var configuration: Configuration
  var node: Node
  let control: ControlServer
  let telling: Telling
  let link: Link
  /// Nil unless the configuration has this node relay.
  let door: LeafDoor?
  private let rings: RingFiles
  private let commands = ControlCommands()
  private let dictionary: DictionaryFile
  private let dictionaryCommands: DictionaryCommands
  private let updater: UpdaterSocket
  /// Nil unless the configuration has this node keep knowledge.
  private let knowledge: KnowledgeDesk?
  /// Nil unless the configuration has this node compute.
  private let modelJobs: ModelJobs?
  private(set) var heapAtReady: UInt64 = 0
  private(set) var isReady = false
  private(set) var startedAt = Clock.now
  private var isStopping = false

  private let loop: EventLoop
  private let signals: SignalSource
  private let listener: UnixListener
  private var state: StateStore
  private let sensors: Sensors
  private let stall: Stall?
  /// A link has come up, and the code that took is still mapped.
  private var codeIsWarm = false
  /// Keys were agreed on, and what that took of the memory is still there.
  private var memoryIsWarm = false
  /// What came of a reload, until the control clients have been told.
  private var untoldReload: StaticString?

  init(options: Options, file: ConfigurationFile, configuration: Configuration) throws(ErrorCode) {
    self.file = file
    self.configuration = configuration
    telling = Telling(level: configuration.logLevel)
    loop = try EventLoop()
    signals = try SignalSource()
    let directory = options.stateDirectory ?? configuration.stateDirectory
    state = try StateStore(directory: directory)
    rings = try RingFiles(directory: directory, loop: loop)
    node = try Self.makeNode(configuration, &state, rings.stores)
    dictionary = try DictionaryFile(boardFile: configuration.dictionaryFile, stateDirectory: directory)
    dictionaryCommands = DictionaryCommands(dictionary)
    updater = UpdaterSocket(path: PathText(configuration.updateSocket.bytes)!, loop: loop)
    // One connection to the worker for whoever needs it: it makes one text at a time.
    let model =
      configuration.knowledgeBytes > 0 || configuration.duties.contains(.compute)
      ? ModelLink(path: configuration.modelSocket, loop: loop) : nil
    knowledge = Self.makeKnowledge(configuration, directory, model, loop, telling)
    modelJobs = configuration.duties.contains(.compute) ? model.map { ModelJobs($0) } : nil
    self.configuration.wipeTicket()
    listener = try Self.makeListener(options, configuration)
    control = ControlServer(operateGroup: Self.operateGroup(configuration))
    link = try Link(loop: loop)
    door = try Self.makeDoor(configuration, state, loop)
    try link.loadAuthorities(configuration.authorityFile)
    sensors = Sensors()
    stall = Stall.fromEnvironment()
    try loop.add(signals.descriptor, token: Token.signals, .read)
    try loop.add(listener.descriptor, token: Token.control, .read)
  }

  private static func operateGroup(_ configuration: Configuration) -> UInt32? {
    if let number = configuration.operateGroupId { return number }
    guard let name = InlineText<253>(configuration.operateGroup.bytes) else { return nil }
    return Files.group(named: name)
  }

  // MARK: Loop

  /// Runs until told to stop; the exit status.
  func run() throws(ErrorCode) -> Int32 {
    node.handle(.systemClock(UInt64(max(0, Clock.wallMs))), now: Clock.now)
    loadLearntWords()
    useDictionary()
    node.handle(.start, now: Clock.now)
    settle(now: Clock.now)
    telling.ready(node)
    isReady = true
    heapAtReady = sky_heap_read().allocations
    while !isStopping {
      try loop.wait(until: nextDeadline)
      let now = Clock.now
      for index in 0..<loop.count { serve(loop[index], now: now) }
      if now >= node.nextDeadline, stall != .timers { tell(.tick, now: now) }
      if now >= link.deadline || now >= link.probeDeadline { driveLink(now: now) }
      workOnDictionary(now: now)
      node.workOnJob(now: now)
      settle(now: now)
      ping(now: now)
    }
    keepLearntWords()
    control.closeAll()
    rings.settle()
    telling.stopped()
    return 0
  }

  private var nextDeadline: Instant {
    // In twos: `min` of more than three makes an array of them.
    let own = min(min(node.nextDeadline, dictionaryDue), min(link.deadline, link.probeDeadline))
    if node.isRelayDue { return Clock.now }
    let others = min(min(rings.deadline(now: Clock.now), updater.deadline), door?.deadline ?? .never)
    let work = min(min(knowledge?.deadline ?? .never, modelJobsDeadline), node.sliceDeadline)
    return min(min(own, telling.watchdogDeadline), min(others, work))
  }

  private var isModelNeeded: Bool { knowledge?.needsModel ?? false }

  private var modelJobsDeadline: Instant { modelJobs?.deadline(node, isModelNeeded: isModelNeeded) ?? .never }

  private func serve(_ event: Event, now: Instant) {
    switch event.token {
    case Token.signals: takeSignals(now: now)
    case Token.control:
      stall?.reached(.control)
      while control.accept(from: listener.descriptor, now: now) != nil {}
    case Link.token: driveLink(now: now)
    case Link.probeToken: driveLink(now: now)
    case UpdaterSocket.token: updater.serve(node, now: now)
    // Every turn ends with what they have done.
    case RingFiles.outgoingToken, RingFiles.urgentToken, RingFiles.incomingToken: break
    case KnowledgeStore.token, ModelLink.token, ModelLink.probeToken: break
    case LeafDoor.listenerToken: door?.accept(node, now: now)
    default:
      if let leaf = door?.index(of: event.token) {
        door?.serve(leaf, node, now: now)
        return act(now: now)
      }
      _ = control.serve(event, firstToken: Token.firstClient, now: now, handler: self)
    }
  }

  private func takeSignals(now: Instant) {
    while let signal = signals.next() {
      switch signal {
      case .terminate: drain(now: now)
      case .reload: _ = reload(now: now)
      case .child: break
      }
    }
  }

  /// Dials, reads and lets the node work on what came.
  private func driveLink(now: Instant) {
    stall?.reached(.link)
    if let reachable = link.stepProbe(now: now) { tell(.probeResult(reachable: reachable), now: now) }
    do throws(ErrorCode) {
      if let exporter = try link.step(now: now) {
        tell(.linkUp(exporter: exporter, entropy: Entropy.bytes()), now: now)
      }
      guard link.isConnected else { return }
      var more = true
      while more, link.isConnected {
        more = try link.read(into: &node.session)
        tell(.linkBytes, now: now)
        // What came for leaves goes out before more comes in.
        door?.pump(node, now: now)
        // A full input that the node did not empty has no room: the node is closing.
        if more, node.session.input.space == 0 { return }
      }
    } catch {
      // What came before the end still counts: a refusal's name matters more than "closed".
      node.handle(.linkBytes, now: now)
      tell(.linkDown(error), now: now)
    }
  }

  /// Hands the node an event and does at once what it asks for: whatever else this turn brings then finds the
  /// outside as the node believes it to be.
  private func tell(_ event: Node.Event, now: Instant) {
    node.handle(event, now: now)
    act(now: now)
  }

  /// Does what the node asks for until it asks for nothing.
  private func act(now: Instant) {
    while let action = node.nextAction() { perform(action, now: now) }
  }

  /// Ends a turn: sends what the node wrote, tells what happened.
  func settle(now: Instant) {
    _ = rings.pump(now: now)
    if let door {
      // One round a turn: a leaf that never stops sending holds up nobody.
      node.moveRelayed(now: now)
      door.pump(node, now: now)
    }
    updater.pump(node, now: now)
    repeat {
      repeat {
        act(now: now)
        flushLink(now: now)
      } while node.moveStored(now: now)
      // What a medium has done meanwhile it tells once: the node goes on with it in this turn.
    } while rings.pump(now: now)
    act(now: now)
    knowledge?.pump(node, now: now, nowS: wallSeconds(now: now)) { control.isHeld($0) }
    workWithModel(now: now)
    // A question may be for the hub.
    flushLink(now: now)
    control.answerHeld(handler: self)
    while let notice = node.nextNotice() {
      telling.tell(notice, node, control)
      switch notice {
      case .state(.online): (codeIsWarm, memoryIsWarm) = (true, true)
      case .rekeyed: memoryIsWarm = true
      case .heartbeatAcked where memoryIsWarm && !rings.isReading:
        if codeIsWarm { sky_code_release() }
        sky_memory_release()
        (codeIsWarm, memoryIsWarm) = (false, false)
      default: break
      }
    }
    if let result = untoldReload {
      untoldReload = nil
      control.publish(.configuration) { $0.field("result", result) }
    }
    do throws(ErrorCode) { try control.watch(on: loop, firstToken: Token.firstClient) } catch {
      telling.internalTrouble("a control client cannot be watched")
    }
  }

  private func workWithModel(now: Instant) {
    // Without somebody to talk to the worker its jobs would wait for their deadlines.
    guard let modelJobs else {
      while node.jobs.next == .model {
        node.jobs.modelFailed(.noModel, now: now)
        node.jobsMoved(now: now)
      }
      return
    }
    modelJobs.pump(node, isModelNeeded: isModelNeeded, now: now)
  }

  private func flushLink(now: Instant) {
    do throws(ErrorCode) { try link.flush(&node.session) } catch { tell(.linkDown(error), now: now) }
  }

  private func perform(_ action: Node.Action, now: Instant) {
    do throws(ErrorCode) {
      switch action {
      case .connect(let index): try link.connect(to: node.hubs[index], now: now)
      case .probe(let index): try link.probe(node.hubs[index], now: now)
      case .disconnect: link.disconnect(&node.session)
      case .sampleVitals:
        stall?.reached(.sensors)
        node.handle(.systemClock(UInt64(max(0, Clock.wallMs))), now: now)
        node.handle(.entropy(Entropy.bytes()), now: now)
        node.handle(.vitals(sensors.sample()), now: now)
      case .persist:
        do throws(ErrorCode) { try state.write(node.admission) } catch { telling.stateNotWritten(error) }
      case .keepKnown:
        do throws(ErrorCode) { try state.write(node.known) } catch { telling.stateNotWritten(error) }
      case .closePeer(let index): door?.close(index, node, now: now)
      case .stop: isStopping = true
      }
    } catch {
      if case .probe = action {
        node.handle(.probeResult(reachable: false), now: now)
      } else {
        node.handle(.linkDown(error), now: now)
      }
    }
  }

  // MARK: Dictionary

  /// Tells the node what is mapped.
  private func useDictionary() {
    node.useDictionary(generation: dictionary.generation, known: dictionary.anyWord(Entropy.seed()))
  }

  /// A file that is damaged is not worth a word to anybody: it is learnt again.
  private func loadLearntWords() {
    var file = ByteQueue(capacity: Limits.learntBytes + 64)
    do throws(ErrorCode) {
      try Files.read(dictionary.learntFile, into: &file)
      try node.takeLearntWords(file.bytes)
    } catch {}
  }

  private func keepLearntWords() {
    guard node.words.writeDue != .never else { return }
    let path = dictionary.learntFile
    do throws(ErrorCode) {
      try node.withLearntWords { bytes throws(ErrorCode) in try Files.write(path, bytes) }
    } catch {
      telling.stateNotWritten(error)
    }
  }

  /// When the dictionary needs a turn: at once while an update has work, later for what is to be written.
  private var dictionaryDue: Instant { node.update.work != nil ? Clock.now : node.words.writeDue }

  /// One piece of an update's work a turn, so that everybody else has theirs.
  private func workOnDictionary(now: Instant) {
    if let work = node.update.work {
      let before = dictionary.generation
      node.finishUpdateWork(dictionary.perform(work, node.update), now: now)
      if dictionary.generation != before { useDictionary() }
    }
    if now >= node.words.writeDue { keepLearntWords() }
  }

  // MARK: Watchdog

  /// Pings only after a turn in which every part kept its own deadlines.
  private func ping(now: Instant) {
    let timersKept = node.nextDeadline > now
    let linkKept = link.deadline > now && link.probeDeadline > now
    if timersKept, linkKept, control.canAccept { telling.ping(now: now) }
  }

  // MARK: Requests from outside

  func handle(_ request: borrowing ControlRequest, role: ControlRole, reply: inout ControlReply) {
    let now = Clock.now
    switch request.verb {
    case .reload: if let error = reload(now: now) { reply.error(error) }
    case .drain: drain(now: now)
    case .encode, .decode, .lookup, .translate, .dict:
      dictionaryCommands.handle(request, node: node, now: now, reply: &reply)
      tell(.tick, now: now)
    case .ask, .vote, .learn, .forget, .knowledge:
      guard let knowledge else {
        return reply.error(
          .notFound,
          sentence: "this node keeps no knowledge; set knowledge_bytes and start it again, or see the journal")
      }
      knowledge.handle(request, node, now: now, nowS: wallSeconds(now: now), reply: &reply)
    default:
      let context = ControlContext(now: now, startedAt: startedAt, allocationsAtReady: heapAtReady)
      commands.handle(request, node: node, door: door, context: context, reply: &reply)
      act(now: now)
    }
  }

  /// Seconds since 1970; 0 while nobody knows.
  private func wallSeconds(now: Instant) -> UInt32 { UInt32(clamping: node.wallTimeMs(now: now) / 1_000) }

  func finish(_ held: HeldReply, reply: inout ControlReply) -> Bool {
    switch held.verb {
    case .ask, .learn, .forget:
      let now = Clock.now
      return knowledge?.finish(held, node, now: now, nowS: wallSeconds(now: now), reply: &reply) ?? true
    default: return commands.finish(held, node: node, reply: &reply)
    }
  }

  private func drain(now: Instant) {
    guard node.state != .draining, node.state != .stopped else { return }
    telling.stopping()
    tell(.drain, now: now)
  }

  /// Reads the configuration again. The old one stays in force when the new one is wrong; so do, until the next
  /// start, the values of keys that need one.
  private func reload(now: Instant) -> ErrorCode? {
    telling.reloading()
    let failure = replaceConfiguration(now: now)
    telling.reloadEnded(node)
    untoldReload = failure?.token ?? "ok"
    return failure
  }

  private func replaceConfiguration(now: Instant) -> ErrorCode? {
    switch file.load() {
    case .failure(let error, let describe):
      telling.configurationRefused(describe)
      return error
    case .success(var fresh):
      do throws(ErrorCode) {
        try link.loadAuthorities(fresh.authorityFile)
        node.reload(try NodeSettings(fresh), now: now)
      } catch {
        telling.configurationRefused(InlineText("ca_file cannot be read, or is longer than 16 KiB")!)
        return .badConfiguration
      }
      telling.reloaded(level: fresh.logLevel)
      if let key = fresh.firstChangeNeedingRestart(from: configuration) { telling.needsRestart(key) }
      fresh.keepWhatNeedsRestart(of: configuration)
      fresh.wipeTicket()
      configuration = fresh
      knowledge?.keepS = fresh.upstreamKeepS
      control.operateGroup = Self.operateGroup(fresh)
      dictionary.reload(boardFile: fresh.dictionaryFile)
      useDictionary()
      act(now: now)
      return nil
    }
  }
}

/// A test switch: makes one part hang after READY, so that the watchdog's work can be seen. Set in the
/// service's environment only.
enum Stall: Equatable {
  case link, control, timers, sensors

  static func fromEnvironment() -> Stall? {
    guard let name: InlineText<16> = Process.environment("SKYNOD_STALL") else { return nil }
    if name.bytes.elementsEqual("link") { return .link }
    if name.bytes.elementsEqual("control") { return .control }
    if name.bytes.elementsEqual("timers") { return .timers }
    if name.bytes.elementsEqual("sensors") { return .sensors }
    return nil
  }

  /// Hangs when this part is the one to hang.
  func reached(_ part: Stall) {
    while self == part { sky_cli_sleep_ms(1_000) }
  }
}
