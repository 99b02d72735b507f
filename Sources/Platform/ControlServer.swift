import Bounded
import CSky
import Wire

/// Answers requests of the control socket. The server calls it for every verb but `version`, `json`,
/// `watch`, `help` and `quit`, which it answers itself; the role has been checked by then.
public protocol ControlHandler: AnyObject {
  /// Fills `reply` with fields or rows, or an error, or holds it. A reply left open ends with `OK`. Must not
  /// call the server back: events are published after it returns.
  func handle(_ request: borrowing ControlRequest, role: ControlRole, reply: inout ControlReply)
  /// Fills in a reply that was held, if its time has come; false when it has not. What it filled in nevertheless goes
  /// to the client as the first lines of the reply, unless that is JSON.
  func finish(_ held: HeldReply, reply: inout ControlReply) -> Bool
}

/// The control socket's server side: a fixed table of clients, each with fixed buffers.
///
/// Not a loop: it owns the descriptors and says what each waits for; the caller's epoll loop calls
/// `accept` and `handle`, then asks `interest` again. No call waits. A client that does not read
/// stops being read itself; a line that is too long is dropped as it comes; nothing grows.
///
/// Invariant: a slot with descriptor -1 is free and its buffers are empty; the output of a client
/// holds whole replies and events only, apart from what the socket has taken of the first.
public final class ControlServer {
  /// What a descriptor waits for.
  public struct Waits: Equatable, Sendable {
    public var read: Bool
    public var write: Bool
    public init(read: Bool, write: Bool) {
      self.read = read
      self.write = write
    }
  }

  private var clients: InlineArray<8, ControlClient>
  private var reply: ControlReply
  /// Members of this group may operate; a change counts for new connections.
  public var operateGroup: UInt32?
  private let ownUid: UInt32
  private var nextEvent: UInt64 = 1
  /// Clients refused because the table was full, since start.
  public private(set) var refusedClients: UInt64 = 0
  /// Requests answered, since start.
  public private(set) var requests: UInt64 = 0
  /// Events that slow readers did not get, since start.
  public private(set) var eventsLost: UInt64 = 0

  /// False when the last call of `accept` failed for want of something (descriptors, say): clients wait in vain.
  public private(set) var canAccept = true

  /// Makes every buffer. `operateGroup` is the group whose members may operate, none when nil.
  public init(operateGroup: UInt32?, ownUid: UInt32 = sky_effective_user_id()) {
    clients = InlineArray { _ in ControlClient() }
    reply = ControlReply(capacity: Limits.controlReplyBytes)
    self.operateGroup = operateGroup
    self.ownUid = ownUid
  }

  deinit {
    for i in 0..<Limits.controlClients { clients[i].close() }
  }

  // MARK: Descriptors

  /// How many slots there are; indices of the calls below are smaller.
  public var slotCount: Int { Limits.controlClients }

  /// The descriptor of a slot, -1 when it is free.
  public func descriptor(_ index: Int) -> Int32 { clients[index].fd }

  public func interest(_ index: Int) -> Waits { clients[index].interest }

  /// Counts the clients that a slot has had.
  public func serial(_ index: Int) -> UInt32 { clients[index].serial }

  /// What a slot waits for when that differs from the last call's answer; `isNew` when the descriptor
  /// was not there at the last call.
  public func takeInterestChange(_ index: Int) -> (interest: Waits, isNew: Bool)? {
    clients[index].takeInterestChange()
  }

  /// The role of the client in a slot.
  public func role(_ index: Int) -> ControlRole { clients[index].role }

  public var clientCount: Int {
    var count = 0
    for i in 0..<Limits.controlClients where clients[i].fd >= 0 { count += 1 }
    return count
  }

  // MARK: Calls of the loop

  /// Takes one waiting client from the listening descriptor. Its slot, or nil when none waited
  /// or the table is full; level-triggered epoll asks again while more wait.
  @discardableResult
  public func accept(from listener: Int32, now: Instant) -> Int? {
    let fd = sky_accept(listener, nil)
    canAccept = fd >= 0 || fd == SKY_AGAIN
    guard fd >= 0 else { return nil }
    return adopt(fd, now: now)
  }

  /// Takes a connected descriptor as a client; it is the server's from here, also when refused.
  @discardableResult
  public func adopt(_ fd: Int32, now: Instant) -> Int? {
    let role = roleOfPeer(fd)
    guard let index = freeSlot(for: role, now: now) else {
      refuse(fd)
      return nil
    }
    clients[index].open(fd, role: role, now: now)
    reply.begin(json: false)
    reply.plain("SKYNOD 1 ")
    reply.plain(Version.text)
    reply.plain("\n")
    reply.append(to: &clients[index].output)
    clients[index].flush()
    return clients[index].fd >= 0 ? index : nil
  }

  /// Serves a client whose descriptor has become ready. Reads once, answers every whole line, writes
  /// what the socket takes.
  public func handle(
    _ index: Int, readable: Bool, writable: Bool, hungUp: Bool, now: Instant, handler: any ControlHandler
  ) {
    let client = clients[index]
    guard client.fd >= 0 else { return }
    if writable { client.flush() }
    if readable, client.interest.read {
      client.lastHeard = now
      client.fill()
    }
    answer(client, handler)
    if hungUp && (client.hasEnded || !readable) { client.close() }
    client.closeIfDone()
  }

  /// Answers requests whose replies were held, as far as they can be answered now: once a turn.
  public func answerHeld(handler: any ControlHandler) {
    for i in 0..<Limits.controlClients {
      let client = clients[i]
      guard client.fd >= 0, let held = client.held else { continue }
      // Events may have filled the room that was there.
      if client.output.space < Limits.controlReplyBytes { client.flush() }
      guard client.fd >= 0, client.output.space >= Limits.controlReplyBytes else { continue }
      reply.begin(json: client.isJson)
      guard handler.finish(held, reply: &reply) else {
        if !client.isJson, reply.withBytes({ $0.byteCount > 0 }) {
          reply.append(to: &client.output)
          client.isMidReply = true
          client.flush()
        }
        continue
      }
      reply.ok()
      reply.append(to: &client.output)
      client.held = nil
      client.isMidReply = false
      answer(client, handler)
      client.closeIfDone()
    }
  }

  /// Whether a client waits for this.
  public func isHeld(_ held: HeldReply) -> Bool {
    for i in 0..<Limits.controlClients where clients[i].fd >= 0 && clients[i].held == held { return true }
    return false
  }

  /// Tells an event to every client that watches its kind. `build` adds the fields; it may be called
  /// twice, once for each form, and must not call the server.
  public func publish(_ kind: ControlEventKind, _ build: (inout ControlReply) -> Void) {
    let sequence = nextEvent
    nextEvent += 1
    for form in 0..<2 {
      let json = form == 1
      var rendered = false
      for i in 0..<Limits.controlClients {
        let client = clients[i]
        guard client.fd >= 0, client.isJson == json, client.kinds & kind.bit != 0 else { continue }
        // Telling what was lost uses the same buffer.
        if tellLost(client) { rendered = false }
        if !rendered {
          renderEvent(sequence, kind, json, build)
          rendered = true
        }
        if client.lost > 0 || client.isMidReply || !reply.isComplete || !reply.append(to: &client.output) {
          client.lost += 1
          eventsLost += 1
        }
        client.flush()
      }
    }
  }

  /// Sends what it can of the last words, then closes every client: for the end of the daemon.
  public func closeAll() {
    for i in 0..<Limits.controlClients {
      clients[i].flush()
      clients[i].close()
    }
  }

  // MARK: Clients

  private func roleOfPeer(_ fd: Int32) -> ControlRole {
    var uid: UInt32 = 0
    var gid: UInt32 = 0
    // Who cannot be asked is nobody in particular.
    var process: Int32 = 0
    guard sky_unix_peer(fd, &uid, &gid, &process) == 0 else { return .read }
    let inGroup = operateGroup.map { sky_unix_peer_in_group(fd, $0) } ?? false
    return ControlRole.decide(peerUid: uid, ownUid: ownUid, inOperateGroup: inGroup)
  }

  /// A free slot, or that of a client that was silent for long and watches nothing. The last ones are
  /// kept for those who administer, so that readers cannot lock them out.
  private func freeSlot(for role: ControlRole, now: Instant) -> Int? {
    let limit = role == .admin ? Limits.controlClients : Limits.controlClients - Limits.controlAdminClients
    var oldest: Int?
    for i in 0..<limit {
      if clients[i].fd < 0 { return i }
      guard clients[i].held == nil, clients[i].kinds == 0 || !clients[i].output.isEmpty else { continue }
      guard now.since(clients[i].lastHeard) >= Limits.controlIdleMs else { continue }
      if let best = oldest, clients[best].lastHeard < clients[i].lastHeard { continue }
      oldest = i
    }
    if let oldest { clients[oldest].close() }
    return oldest
  }

  private func refuse(_ fd: Int32) {
    refusedClients += 1
    reply.begin(json: false)
    reply.error(.busy, sentence: "too many control clients; try again")
    reply.withBytes { $0.withUnsafeBytes { _ = sky_write(fd, $0.baseAddress, $0.count) } }
    sky_close(fd)
  }

  // MARK: Requests

  /// Answers whole lines while there is room for the longest reply.
  private func answer(_ client: ControlClient, _ handler: any ControlHandler) {
    while client.fd >= 0, !client.isLeaving, client.held == nil {
      if client.output.space < Limits.controlReplyBytes {
        client.flush()
        if client.fd < 0 || client.output.space < Limits.controlReplyBytes { return }
      }
      guard let length = client.nextLine() else { break }
      client.input.withBytes { answerLine(client, $0.extracting(0..<length), handler) }
      client.dropLine(length)
      if reply.isComplete { reply.append(to: &client.output) }
      if reply.attachment >= 0 {
        client.hand(reply.attachment)
        reply.attachment = -1
      }
    }
    tellLost(client)
    client.flush()
  }

  private func answerLine(_ client: ControlClient, _ line: RawSpan, _ handler: any ControlHandler) {
    reply.begin(json: client.isJson)
    if client.lineWasCut {
      client.lineWasCut = false
      requests += 1
      return reply.error(.tooLong)
    }
    // Leaves the reply open, and so unsent.
    if ControlRequest.isBlank(line) { return }
    requests += 1
    do throws(ErrorCode) {
      let request = try ControlRequest(parsing: line)
      guard client.role >= request.role else { throw .forbidden }
      switch request.verb {
      case .json: try setForm(client, request)
      case .watch: try watch(client, request)
      case .help: help()
      case .version:
        reply.field("version", Version.text)
        reply.field("protocol", 1)
      case .quit: client.isLeaving = true
      default: handler.handle(request, role: client.role, reply: &reply)
      }
      client.held = reply.held
      if client.held != nil { return }
      reply.ok()
    } catch {
      reply.error(error)
    }
  }

  private func setForm(_ client: ControlClient, _ request: borrowing ControlRequest) throws(ErrorCode) {
    let on = request.argument(0, is: "on")
    guard on || request.argument(0, is: "off") else { throw .badArgument }
    client.isJson = on
    reply.begin(json: on)
  }

  private func watch(_ client: ControlClient, _ request: borrowing ControlRequest) throws(ErrorCode) {
    var kinds: UInt16 = request.argumentCount == 0 ? ControlEventKind.all : 0
    if request.argumentCount == 1, request.argument(0, is: "off") {
      client.lost = 0
    } else {
      for i in 0..<request.argumentCount {
        guard let kind = ControlEventKind(request.argument(i)) else { throw .badArgument }
        kinds |= kind.bit
      }
    }
    client.kinds = kinds
    reply.field("next", nextEvent)
  }

  private func help() {
    if reply.isJson { reply.beginRows() } else { reply.beginText() }
    for raw in 0..<ControlVerb.count {
      guard let verb = ControlVerb(rawValue: raw) else { continue }
      if reply.isJson {
        reply.beginRow()
        reply.field("verb", verb.name)
        reply.field("arguments", verb.parameters)
        reply.field("role", verb.role.token)
        reply.field("summary", verb.summary)
        reply.endRow()
      } else {
        reply.plain(verb.name)
        reply.plain(" ")
        reply.plain(verb.parameters)
        let width = verb.name.utf8CodeUnitCount + verb.parameters.utf8CodeUnitCount
        for _ in 0..<max(1, 34 - width) { reply.plain(" ") }
        reply.plain(verb.summary)
        reply.plain("\n")
      }
    }
    if reply.isJson { reply.endRows() } else { reply.endText() }
  }

  // MARK: Events

  private func renderEvent(
    _ sequence: UInt64, _ kind: ControlEventKind, _ json: Bool, _ build: (inout ControlReply) -> Void
  ) {
    reply.beginEvent(sequence: sequence, kind: kind, json: json)
    build(&reply)
    reply.endEvent()
  }

  /// Says how many events a slow reader missed, as soon as there is room to.
  /// True when it wrote to `reply`.
  @discardableResult
  private func tellLost(_ client: ControlClient) -> Bool {
    guard client.fd >= 0, client.lost > 0, !client.isMidReply, client.output.space >= Limits.controlEventBytes else {
      return false
    }
    reply.lost(client.lost, json: client.isJson)
    if reply.append(to: &client.output) { client.lost = 0 }
    return true
  }
}
