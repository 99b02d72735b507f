import Bounded
import CSky
import Node
import Platform
import SkyCrypto
import Wire

/// What the control verbs need to know beside the node itself.
struct ControlContext {
  var now: Instant
  /// When this process started.
  var startedAt: Instant
  /// Heap allocations made by the time the daemon was ready.
  var allocationsAtReady: UInt64
}

/// Maps the verbs of the control socket to the node. `reload` and `drain` are the daemon's own and not handled here.
///
/// Not the server: roles and the form of requests were checked before. Makes its buffer once.
final class ControlCommands {
  private var text = TextBuffer(capacity: Limits.controlLineBytes)

  func handle(
    _ request: borrowing ControlRequest, node: Node, door: LeafDoor?, context: ControlContext,
    reply: inout ControlReply
  ) {
    do throws(ErrorCode) {
      switch request.verb {
      case .status: status(node, context, &reply)
      case .id: id(node, &reply)
      case .join: try join(request, node, context, &reply)
      case .send: try send(request, node, context, &reply)
      case .post, .post64: try post(request, node, context, &reply)
      case .inbox: try inbox(request, node, &reply)
      case .mode: try mode(request, node, context, &reply)
      case .peers: peers(node, &reply)
      case .metrics: metrics(node, context, &reply)
      case .relay: try relay(request, node, door, &reply)
      case .keys: try keys(request, node, &reply)
      case .update: try UpdateCommands.handle(request, node, now: context.now, reply: &reply)
      case .drain, .reload, .watch, .version, .json, .help, .quit, .encode, .decode, .lookup, .translate, .dict, .ask,
        .learn, .forget, .knowledge, .vote:
        throw .unknownCommand
      }
    } catch {
      reply.error(error)
    }
  }

  // MARK: Identity and admission

  private func id(_ node: Node, _ reply: inout ControlReply) {
    nodeId("id", node.nodeId, &reply)
    reply.field("class", "M")
    reply.fieldHex("instance", node.me.instance.span.bytes)
    let fingerprint = node.fingerprint(for: node.hub)
    reply.fieldHex("fingerprint", fingerprint.raw)
    let key = node.identity.publicKey
    reply.fieldHex("public_key", key.raw)
    reply.field("address", scratch: &text) { Identity.appendAddress(of: key, to: &$0) }
  }

  private func join(
    _ request: borrowing ControlRequest, _ node: Node, _ context: ControlContext, _ reply: inout ControlReply
  ) throws(ErrorCode) {
    try node.join(try Ticket(parsing: request.argument(0)), now: context.now)
    reply.field("state", node.state.token)
  }

  // MARK: Messages

  private func send(
    _ request: borrowing ControlRequest, _ node: Node, _ context: ControlContext, _ reply: inout ControlReply
  ) throws(ErrorCode) {
    guard let destination = parseNodeId(request.argument(0)) else { throw .badArgument }
    text.removeAll()
    guard ControlText.read(request.argument(1), into: &text) else { throw .badArgument }
    let sequence = try sendText(text, to: destination, node, context.now)
    reply.field("sequence", sequence)
  }

  /// A span cannot leave the property that holds its buffer: it is lent for a call.
  private func sendText(
    _ text: borrowing TextBuffer, to destination: UInt32, _ node: Node, _ now: Instant
  ) throws(ErrorCode) -> UInt64 {
    try node.send(text.bytes, to: destination, now: now)
  }

  /// The reply waits until the message is on the medium: `OK` is the acknowledgement.
  private func post(
    _ request: borrowing ControlRequest, _ node: Node, _ context: ControlContext, _ reply: inout ControlReply
  ) throws(ErrorCode) {
    guard let destination = parseNodeId(request.argument(0)) else { throw .badArgument }
    let (timeToLiveS, isUrgent) = try Self.terms(request.argument(1))
    text.removeAll()
    let isRead =
      request.verb == .post64
      ? Base64.decode(request.argument(2), into: &text) : ControlText.read(request.argument(2), into: &text)
    guard isRead else { throw .badArgument }
    reply.hold(HeldReply(.post, try postText(text, to: destination, timeToLiveS, isUrgent, node, context.now)))
  }

  /// `SECONDS[,urgent]`
  private static func terms(_ word: RawSpan) throws(ErrorCode) -> (timeToLiveS: UInt32, isUrgent: Bool) {
    var end = 0
    while end < word.byteCount, word[end] != 0x2C { end += 1 }
    let isUrgent = end < word.byteCount
    guard let seconds = parseDecimal(word.extracting(0..<end)), let timeToLiveS = UInt32(exactly: seconds),
      !isUrgent || word.extracting(end..<word.byteCount).elementsEqual(",urgent")
    else { throw .badArgument }
    return (timeToLiveS, isUrgent)
  }

  private func postText(
    _ text: borrowing TextBuffer, to destination: UInt32, _ timeToLiveS: UInt32, _ isUrgent: Bool, _ node: Node,
    _ now: Instant
  ) throws(ErrorCode) -> UInt64 {
    try node.post(text.bytes, to: destination, timeToLiveS: timeToLiveS, isUrgent: isUrgent, now: now)
  }

  /// A held reply whose time may have come.
  func finish(_ held: HeldReply, node: Node, reply: inout ControlReply) -> Bool {
    if held.verb == .post {
      do throws(ErrorCode) {
        guard try node.isStored(held.value) else { return false }
        reply.field("sequence", held.value)
      } catch {
        reply.error(error, sentence: "the message is only in memory: the medium failed; see the journal")
      }
      return true
    }
    if held.verb == .update { return UpdateCommands.finish(held, node, reply: &reply) }
    guard node.isAcknowledgementStored else { return false }
    reply.field("acknowledged", held.value)
    return true
  }

  private func inbox(
    _ request: borrowing ControlRequest, _ node: Node, _ reply: inout ControlReply
  ) throws(ErrorCode) {
    if request.argumentCount == 0 { return messages(node, after: 0, &reply) }
    if request.argument(0, is: "after"), let number = request.number(1) {
      return messages(node, after: number, &reply)
    }
    guard request.argument(0, is: "ack"), request.argumentCount == 2 else { throw .badArgument }
    let number = request.argument(1, is: "all") ? .max : request.number(1)
    guard let number else { throw .badArgument }
    reply.hold(HeldReply(.inbox, UInt64(node.acknowledge(upTo: number))))
  }

  /// As many messages as fit one reply; `inbox after SEQ` goes on.
  private func messages(_ node: Node, after number: UInt64, _ reply: inout ControlReply) {
    reply.beginRows()
    for i in 0..<node.inbox.count {
      let entry = node.inbox[i]
      if entry.number <= number { continue }
      reply.beginRow()
      reply.field("seq", entry.number)
      if entry.source == 0 { reply.field("from", "HUB") } else { nodeId("from", entry.source, &reply) }
      time("time", entry.wallTimeMs, &reply)
      if entry.stream != 0 {
        let stream = InlineArray<8, UInt8> { UInt8(truncatingIfNeeded: entry.stream >> UInt64(56 - 8 * $0)) }
        reply.fieldHex("stream", stream.span.bytes)
        reply.field("sequence", entry.sequence)
      }
      reply.field("sealed", entry.isSealed)
      reply.field("urgent", entry.isUrgent)
      text(of: entry, node.inbox, &reply)
      if !reply.endRow() { break }
    }
    reply.endRows()
  }

  private func text(of entry: Inbox.Entry, _ inbox: Inbox, _ reply: inout ControlReply) {
    let message = inbox.text(of: entry)
    if ControlText.isClean(message) { return reply.field("text", message) }
    if let part = FilePart(message) {
      reply.fieldHex("transfer", part.head.id.span.bytes)
      reply.field("part", UInt64(part.index) + 1)
      reply.field("parts", UInt64(part.head.parts))
    }
    reply.fieldHex("hex", message)
  }

  // MARK: Duties

  private func mode(
    _ request: borrowing ControlRequest, _ node: Node, _ context: ControlContext, _ reply: inout ControlReply
  ) throws(ErrorCode) {
    var wanted = node.settings.duties
    guard request.argumentCount % 2 == 0 else { throw .badArgument }
    for i in stride(from: 0, to: request.argumentCount, by: 2) {
      guard let duty = duty(named: request.argument(i)) else { throw .badArgument }
      if request.argument(i + 1, is: "on") {
        wanted.insert(duty)
      } else if request.argument(i + 1, is: "off") {
        wanted.remove(duty)
      } else {
        throw .badArgument
      }
    }
    if request.argumentCount > 0 { node.setDuties(wanted, now: context.now) }
    let names = Duties.names
    for i in 0..<names.count { reply.field(names[i].name, word(for: names[i].duty, node)) }
  }

  private func duty(named word: RawSpan) -> Duties? {
    let names = Duties.names
    for i in 0..<names.count where word.elementsEqual(names[i].name) { return names[i].duty }
    return nil
  }

  private func word(for duty: Duties, _ node: Node) -> StaticString {
    if node.activeDuties.contains(duty) { return "on" }
    if !node.settings.duties.contains(duty) { return "off" }
    return node.policy.held.contains(duty) ? "held" : "refused"
  }

  // MARK: Peers

  private func peers(_ node: Node, _ reply: inout ControlReply) {
    reply.beginRows()
    for i in 0..<node.hubs.count {
      let hub = node.hubs[i]
      reply.beginRow()
      reply.field("kind", "hub")
      nodeId("id", hub.id, &reply)
      place("address", hub, &reply)
      reply.field("state", i == node.hubIndex ? node.state.token : "standby")
      reply.field("pinned", hub.isPinned)
      reply.field("health", UInt64(node.health[i]))
      reply.endRow()
    }
    for peer in node.relay.peers where peer.id != 0 {
      reply.beginRow()
      reply.field("kind", "leaf")
      nodeId("id", peer.id, &reply)
      reply.fieldUnknown("address")
      reply.field("state", peer.phase == .online ? "online" : "joining")
      reply.field("pinned", true)
      reply.fieldUnknown("health")
      reply.endRow()
    }
    reply.endRows()
  }

  // MARK: Relay

  private func relay(
    _ request: borrowing ControlRequest, _ node: Node, _ door: LeafDoor?, _ reply: inout ControlReply
  ) throws(ErrorCode) {
    guard let door else {
      return reply.error(.notFound, sentence: "this node does not relay; set relay_listen and start it again")
    }
    if request.argumentCount == 0 { return relayStatus(node, door, &reply) }
    guard request.argument(0, is: "ticket"), request.argumentCount >= 2 else { throw .badArgument }
    var ticket = try Ticket(parsing: request.argument(1))
    var place = door.place
    if request.argumentCount == 3 {
      guard let given = Configuration.place(request.argument(2)) else { throw .badArgument }
      place = given
    } else if door.listensEverywhere {
      return reply.error(
        .badArgument, sentence: "say where leaves reach this node: set relay_address, or relay ticket TICKET HOST:PORT")
    }
    place.pin = door.place.pin
    place.key = node.identity.publicKey
    ticket.hub = place
    reply.field("ticket", scratch: &text) { ticket.append(to: &$0) }
  }

  private func relayStatus(_ node: Node, _ door: LeafDoor, _ reply: inout ControlReply) {
    place("address", door.place, &reply)
    reply.fieldHex("pin", door.place.pin.span.bytes)
    reply.field("leaves", node.relay.linkedCount)
    reply.field("leaves_capacity", Limits.relayPeers)
    reply.field("known_behind", node.relay.routeCount)
    let counters = node.relay.counters
    reply.field("joined", counters.joined)
    reply.field("link_errors", counters.linkErrors)
    reply.field("forwarded_up", counters.up)
    reply.field("forwarded_down", counters.down)
    reply.field("dropped_full", counters.full)
    reply.field("dropped_offline", counters.offline)
    reply.field("dropped_loop", counters.loops)
    reply.field("strays", counters.strays)
  }

  // MARK: Keys

  /// Whose identity is remembered, or that it is to be no more.
  private func keys(
    _ request: borrowing ControlRequest, _ node: Node, _ reply: inout ControlReply
  ) throws(ErrorCode) {
    if request.argumentCount == 0 { return knownNodes(node, &reply) }
    guard request.argument(0, is: "forget"), request.argumentCount == 2 else { throw .badArgument }
    let id = request.argument(1, is: "all") ? 0 : parseNodeId(request.argument(1))
    guard let id, id != 0 || request.argument(1, is: "all") else { throw .badArgument }
    let count = node.forgetKeys(of: id)
    guard count > 0 || id == 0 else { throw .notFound }
    reply.field("forgotten", count)
  }

  /// Of an address so much as is remembered: half of it.
  private func knownNodes(_ node: Node, _ reply: inout ControlReply) {
    reply.beginRows()
    for i in 0..<node.known.count {
      let entry = node.known[i]
      reply.beginRow()
      nodeId("id", entry.id, &reply)
      reply.field("address", scratch: &text) { text in
        text.append("SKC-")
        text.append(hex: entry.mark.span.bytes)
      }
      reply.endRow()
    }
    reply.endRows()
  }

  // MARK: Values

  /// `NOD<number>`; unknown for 0.
  func nodeId(_ key: StaticString, _ id: UInt32, _ reply: inout ControlReply) {
    if id == 0 { return reply.fieldUnknown(key) }
    reply.field(key, scratch: &text) { appendNodeId(id, to: &$0) }
  }

  func place(_ key: StaticString, _ hub: HubEntry, _ reply: inout ControlReply) {
    reply.field(key, scratch: &text) { hub.appendPlace(to: &$0) }
  }

  /// Wall time in UTC, unknown for 0.
  func time(_ key: StaticString, _ milliseconds: UInt64, _ reply: inout ControlReply) {
    if milliseconds == 0 { return reply.fieldUnknown(key) }
    reply.field(key, scratch: &text) { ControlText.writeUtc(milliseconds, to: &$0) }
  }

  func duties(_ key: StaticString, _ duties: Duties, cause: HoldCause? = nil, _ reply: inout ControlReply) {
    if duties.isEmpty { return reply.field(key, "") }
    reply.field(key, scratch: &text) { text in
      duties.append(to: &text)
      guard let cause else { return }
      text.append(":")
      text.append(cause.token)
    }
  }
}
