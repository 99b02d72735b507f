import Bounded
import Node
import Platform
import Update
import Wire

/// The verb `update`: what the board runs, what the hub has for it, and the words to its updater.
enum UpdateCommands {
  static func handle(
    _ request: borrowing ControlRequest, _ node: Node, now: Instant, reply: inout ControlReply
  ) throws(ErrorCode) {
    if request.argument(0, is: "status") { return status(node, &reply) }
    guard !node.system.isAbsent else { return reply.error(.notFound, sentence: notAnImage) }
    if request.argument(0, is: "check") {
      try check(node, now, &reply)
    } else if request.argument(0, is: "apply") {
      try apply(node, now, &reply)
    } else if request.argument(0, is: "rollback") {
      reply.hold(HeldReply(.update, node.rollBackSystem()))
    } else if request.argument(0, is: "restart") {
      reply.hold(HeldReply(.update, node.restartSystem()))
    } else {
      throw .badArgument
    }
  }

  /// A word to the updater, once it has been answered.
  static func finish(_ held: HeldReply, _ node: Node, reply: inout ControlReply) -> Bool {
    guard let result = node.systemWord(held.value) else { return false }
    switch result {
    case .success: reply.field("result", "done")
    case .failure(let error): reply.error(.forbidden, sentence: error.sentence)
    }
    return true
  }

  private static let notAnImage: StaticString =
    "this board has no updater: it does not run from an image that takes updates (docs/updates.md)"
  private static let off: StaticString = "updates from the hub are off: set updates = ask or auto, and reload"

  private static func check(_ node: Node, _ now: Instant, _ reply: inout ControlReply) throws(ErrorCode) {
    guard node.settings.updates != .off else { return reply.error(.forbidden, sentence: off) }
    guard node.state == .online else { throw .offline }
    node.checkSystem(now: now)
    reply.field("result", state(node))
    offer(node, &reply)
  }

  private static func apply(_ node: Node, _ now: Instant, _ reply: inout ControlReply) throws(ErrorCode) {
    guard node.settings.updates != .off else { return reply.error(.forbidden, sentence: off) }
    guard node.state == .online else { throw .offline }
    guard let standing = node.system.standing else {
      return reply.error(.busy, sentence: "the board's updater has not answered yet: try again")
    }
    guard let offer = node.system.offer else {
      return reply.error(.notFound, sentence: "the hub has published nothing for this board")
    }
    guard !standing.isOnTrial else { return reply.error(.busy, sentence: UpdateError.onTrial.sentence) }
    guard offer.release > standing.release else {
      return reply.error(.notFound, sentence: UpdateError.current.sentence)
    }
    let isStarted = try node.applySystem(now: now)
    reply.field("result", isStarted ? "started" : state(node))
    self.offer(node, &reply)
  }

  /// In one word where the board is.
  private static func state(_ node: Node) -> StaticString {
    let system = node.system
    guard let standing = system.standing else { return system.isAbsent ? "none" : "unknown" }
    if system.phase != .idle { return system.phase.token }
    if standing.isOnTrial { return "trial" }
    if standing.isRestartDue { return "restart" }
    guard let offer = system.offer, offer.release > standing.release else { return "current" }
    return "available"
  }

  private static func offer(_ node: Node, _ reply: inout ControlReply) {
    if let offer = node.system.offer {
      reply.field("hub_release", offer.release)
      reply.field("hub_name", offer.name)
      reply.field("due", offer.isDue)
    } else {
      reply.fieldUnknown("hub_release")
      reply.fieldUnknown("hub_name")
      reply.field("due", false)
    }
  }

  private static func status(_ node: Node, _ reply: inout ControlReply) {
    let system = node.system
    reply.field("update", state(node))
    reply.field("policy", node.settings.updates.token)
    if let standing = system.standing {
      reply.field("board", standing.board)
      reply.field("slot", standing.running == 0 ? "a" : "b")
      reply.field("release", standing.release)
      reply.field("name", standing.slots[standing.running].name)
      reply.field("confirmed", !standing.isOnTrial)
      reply.field("other", standing.content.token)
      reply.field("other_release", standing.other.release)
      reply.field("other_name", standing.other.name)
      reply.field("tries", UInt64(standing.tries))
      reply.field("floor", standing.floor)
    }
    offer(node, &reply)
    reply.field("blocks", UInt64(system.blocks))
    reply.field("blocks_done", UInt64(system.blocksDone))
    reply.field("bytes_fetched", system.fetchedBytes)
    reply.field("last", system.outcome.token)
    reply.field("hint", system.failure?.sentence ?? "")
  }
}
