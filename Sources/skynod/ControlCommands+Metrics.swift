import Bounded
import CSky
import Compute
import Node
import Wire

/// `metrics`: OpenMetrics 1.0 text, ended by `# EOF`. Readings that are not known are left out.
extension ControlCommands {
  func metrics(_ node: Node, _ context: ControlContext, _ reply: inout ControlReply) {
    reply.beginText()
    reply.plain("# TYPE skynod info\n# HELP skynod The daemon.\nskynod_info{version=\"")
    reply.plain(Version.text)
    reply.plain("\",class=\"M\"} 1\n")
    gauge("online", "1 while linked to a hub and admitted.", node.state == .online ? 1 : 0, &reply)
    gauge("uptime_seconds", "Since the daemon started.", context.now.since(context.startedAt) / 1_000, &reply)
    counter("links", "Links that came online.", node.counters.links, &reply)
    counter("link_errors", "Links and attempts that failed.", node.counters.linkErrors, &reply)
    counter("heartbeats_sent", "Heartbeats sent.", node.counters.heartbeatsSent, &reply)
    counter("heartbeats_acked", "Heartbeats answered by the hub.", node.counters.heartbeatsAcked, &reply)
    counter("messages_sent", "Messages sent.", node.counters.sent, &reply)
    counter("messages_received", "Messages received.", node.counters.received, &reply)
    counter("messages_refused", "Messages refused because the inbox was full.", node.counters.refusedFull, &reply)
    counter("frames_ignored", "Frames of a kind without a place here.", node.counters.ignored, &reply)
    gauge("inbox_used", "Messages waiting to be acknowledged.", UInt64(node.inbox.count), &reply)
    gauge("inbox_capacity", "Messages that fit.", UInt64(node.inbox.capacity), &reply)
    gauge("outbox_used", "Messages without a receipt yet.", UInt64(node.outboxUsed), &reply)
    gauge("outbox_capacity", "Messages that may wait for one.", UInt64(Limits.outboxSlots), &reply)
    gauge("storage_failed", "1 while the medium does not take durable messages.", node.isStorageWell ? 0 : 1, &reply)
    gauge("durable_waiting", "Durable messages that wait for a hub.", node.waitingToGo, &reply)
    gauge("durable_urgent", "Urgent ones of them.", node.urgentToGo, &reply)
    gauge("durable_here", "Durable messages that wait to be acknowledged.", node.waitingHere, &reply)
    counter("durable_posted", "Durable messages taken in.", node.counters.posted, &reply)
    counter("durable_forwarded", "Durable messages that a hub took over.", node.counters.forwarded, &reply)
    counter("durable_undelivered", "Durable messages given up.", node.counters.undelivered, &reply)
    counter("durable_duplicates", "Durable messages that came again.", node.counters.duplicates, &reply)
    counter("sealed_sent", "Messages that went out sealed, repeats included.", node.counters.sealedSent, &reply)
    counter("sealed_received", "Messages that came in sealed.", node.counters.sealedReceived, &reply)
    counter("sealed_not_opened", "Sealed messages that did not open.", node.counters.notOpened, &reply)
    counter("jobs_done", "Jobs that were done.", node.jobs.counters.done, &reply)
    counter("jobs_failed", "Jobs that were taken and not done.", node.jobs.counters.failed, &reply)
    counter("jobs_refused", "Jobs that were not taken.", node.jobs.counters.refused, &reply)
    counter(
      "compute_operations", "Millionths of compute units, of jobs that were done.", node.jobs.counters.operations,
      &reply)
    if let rtt = node.rttMs { scaled("rtt_seconds", "Last heartbeat's round trip.", Int64(clamping: rtt), 3, &reply) }
    if let since = node.linkedSince {
      gauge("link_age_seconds", "Since the link came online.", context.now.since(since) / 1_000, &reply)
      let keyAge = node.session.keyAge(now: context.now) / 1_000
      gauge("key_age_seconds", "Since the link's keys were made.", keyAge, &reply)
    }
    boardMetrics(node.vitals, &reply)
    heapMetrics(context, &reply)
    reply.plain("# EOF\n")
    reply.endText()
  }

  private func boardMetrics(_ signs: VitalSigns, _ reply: inout ControlReply) {
    if signs.memoryTotalKB > 0 {
      scaled("load1", "Load average over a minute.", Int64(signs.loadMilli), 3, &reply)
      let available = UInt64(signs.memoryAvailableKB) * 1_024
      gauge("memory_available_bytes", "Memory for programs.", available, &reply)
    }
    if signs.temperatureMilliC != .min {
      scaled("temperature_celsius", "The hottest zone.", Int64(signs.temperatureMilliC), 3, &reply)
    }
    if signs.batteryPercent <= 100 {
      scaled("battery_ratio", "Charge, 0 to 1.", Int64(signs.batteryPercent), 2, &reply)
    }
  }

  private func heapMetrics(_ context: ControlContext, _ reply: inout ControlReply) {
    let counts = sky_heap_read()
    gauge("heap_used_bytes", "In use.", UInt64(counts.used_bytes), &reply)
    gauge("heap_peak_bytes", "Most ever in use.", UInt64(counts.peak_bytes), &reply)
    gauge("heap_arena_bytes", "The fixed size.", UInt64(counts.arena_bytes), &reply)
    let since = counts.allocations - min(counts.allocations, context.allocationsAtReady)
    counter("heap_allocations_since_ready", "Allocations after start-up.", since, &reply)
  }

  private func gauge(_ name: StaticString, _ help: StaticString, _ value: UInt64, _ reply: inout ControlReply) {
    head(name, "gauge", help, &reply)
    reply.plain(" ")
    reply.plain(value)
    reply.plain("\n")
  }

  private func scaled(
    _ name: StaticString, _ help: StaticString, _ value: Int64, _ places: Int, _ reply: inout ControlReply
  ) {
    head(name, "gauge", help, &reply)
    reply.plain(" ")
    reply.plain(scaled: value, places: places)
    reply.plain("\n")
  }

  private func counter(_ name: StaticString, _ help: StaticString, _ value: UInt64, _ reply: inout ControlReply) {
    head(name, "counter", help, &reply)
    reply.plain("_total ")
    reply.plain(value)
    reply.plain("\n")
  }

  private func head(
    _ name: StaticString, _ type: StaticString, _ help: StaticString, _ reply: inout ControlReply
  ) {
    reply.plain("# TYPE skynod_")
    reply.plain(name)
    reply.plain(" ")
    reply.plain(type)
    reply.plain("\n# HELP skynod_")
    reply.plain(name)
    reply.plain(" ")
    reply.plain(help)
    reply.plain("\nskynod_")
    reply.plain(name)
  }
}
