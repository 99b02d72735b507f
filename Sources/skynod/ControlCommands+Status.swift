import Bounded
import CSky
import Compute
import Node
import Platform
import SkyCrypto
import Wire

/// `status`: everything about the daemon in one reply. docs/control.md lists the keys and their units.
extension ControlCommands {
  func status(_ node: Node, _ context: ControlContext, _ reply: inout ControlReply) {
    let now = context.now
    reply.field("version", Version.text)
    reply.field("state", node.state.token)
    reply.field("reason", node.lastError?.token ?? "")
    reply.field("hint", hint(node))
    nodeId("id", node.nodeId, &reply)
    reply.fieldHex("instance", node.me.instance.span.bytes)
    reply.field("class", "M")
    let fingerprint = node.fingerprint(for: node.hub)
    reply.fieldHex("fingerprint", fingerprint.raw)
    link(node, now, &reply)
    duties("duties", node.activeDuties, &reply)
    duties("duties_held_back", node.policy.held, cause: node.policy.cause, &reply)
    traffic(node, &reply)
    reply.field("dictionary_generation", UInt64(node.dictionaryGeneration))
    reply.field("jobs_active", node.jobs.active)
    reply.field("jobs_done", node.jobs.counters.done)
    reply.field("jobs_failed", node.jobs.counters.failed)
    reply.field("jobs_refused", node.jobs.counters.refused)
    reply.fieldScaled("compute_units", Int64(clamping: node.jobs.counters.operations), places: 6)
    reply.field("uptime_s", now.since(context.startedAt) / 1_000)
    board(node.vitals, &reply)
    heap(context, &reply)
    reply.field("clock", node.clockSource.token)
    time("time", node.wallTimeMs(now: now), &reply)
  }

  private func hint(_ node: Node) -> StaticString {
    if let error = node.lastError { return error.sentence }
    switch node.state {
    case .offline: return "not connected; trying again shortly"
    case .draining: return "the daemon is shutting down"
    case .online where node.isCutOff: return "the relay has no way to a hub; what is for others waits"
    default: return ""
    }
  }

  private func link(_ node: Node, _ now: Instant, _ reply: inout ControlReply) {
    if let hub = node.hub { place("hub", hub, &reply) } else { reply.fieldUnknown("hub") }
    nodeId("hub_id", node.hub?.id ?? 0, &reply)
    if let since = node.linkedSince {
      reply.field("link_age_s", now.since(since) / 1_000)
      reply.field("link_cipher", node.session.aead.name)
      reply.field("key_epoch", UInt64(node.session.keyEpoch))
      reply.field("key_age_s", node.session.keyAge(now: now) / 1_000)
    } else {
      reply.fieldUnknown("link_age_s")
      reply.fieldUnknown("link_cipher")
      reply.fieldUnknown("key_epoch")
      reply.fieldUnknown("key_age_s")
    }
    if let rtt = node.rttMs { reply.field("rtt_ms", rtt) } else { reply.fieldUnknown("rtt_ms") }
    reply.field("links", node.counters.links)
    reply.field("link_errors", node.counters.linkErrors)
  }

  private func traffic(_ node: Node, _ reply: inout ControlReply) {
    let interval = node.heartbeatIntervalMs
    if interval % 1_000 == 0 {
      reply.field("heartbeat_interval_s", interval / 1_000)
    } else {
      reply.fieldScaled("heartbeat_interval_s", Int64(interval), places: 3)
    }
    reply.field("heartbeats_sent", node.counters.heartbeatsSent)
    reply.field("heartbeats_acked", node.counters.heartbeatsAcked)
    reply.field("sent", node.counters.sent)
    reply.field("received", node.counters.received)
    reply.field("dropped", node.counters.refusedFull + node.counters.ignored)
    reply.field("inbox_used", node.inbox.count)
    reply.field("inbox_capacity", node.inbox.capacity)
    reply.field("outbox_used", node.outboxUsed)
    reply.field("outbox_capacity", Limits.outboxSlots)
    reply.field("storage", node.isStorageWell ? "ok" : "failed" as StaticString)
    reply.field("durable_waiting", node.waitingToGo)
    reply.field("durable_urgent", node.urgentToGo)
    reply.field("durable_here", node.waitingHere)
    reply.field("durable_posted", node.counters.posted)
    reply.field("durable_forwarded", node.counters.forwarded)
    reply.field("durable_undelivered", node.counters.undelivered)
    reply.field("durable_duplicates", node.counters.duplicates)
    reply.field("seal", node.settings.seal.token)
    reply.field("sealed_sent", node.counters.sealedSent)
    reply.field("sealed_received", node.counters.sealedReceived)
    reply.field("sealed_not_opened", node.counters.notOpened)
  }

  /// Readings are those of the last heartbeat.
  private func board(_ signs: VitalSigns, _ reply: inout ControlReply) {
    if signs.memoryTotalKB == 0 {
      reply.fieldUnknown("board_uptime_s")
      reply.fieldUnknown("load")
      reply.fieldUnknown("memory_available_kb")
    } else {
      reply.field("board_uptime_s", UInt64(signs.uptimeS))
      reply.fieldScaled("load", Int64(signs.loadMilli / 10), places: 2)
      reply.field("memory_available_kb", UInt64(signs.memoryAvailableKB))
    }
    if signs.temperatureMilliC == .min {
      reply.fieldUnknown("temperature_c")
    } else {
      reply.fieldScaled("temperature_c", Int64(signs.temperatureMilliC / 100), places: 1)
    }
    switch signs.power {
    case .unknown: reply.field("power", "unknown")
    case .mains: reply.field("power", "mains")
    case .battery: reply.field("power", "battery")
    }
    if signs.batteryPercent > 100 {
      reply.fieldUnknown("battery_percent")
    } else {
      reply.field("battery_percent", UInt64(signs.batteryPercent))
    }
  }

  private func heap(_ context: ControlContext, _ reply: inout ControlReply) {
    let counts = sky_heap_read()
    reply.field("heap_used_bytes", UInt64(counts.used_bytes))
    reply.field("heap_peak_bytes", UInt64(counts.peak_bytes))
    reply.field("heap_arena_bytes", UInt64(counts.arena_bytes))
    reply.field(
      "heap_allocations_since_ready", counts.allocations - min(counts.allocations, context.allocationsAtReady))
  }
}
