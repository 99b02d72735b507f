import Bounded
import Foundation
import Node
import Wire

/// What whoever runs the hub asks of it: to look at the registry again, and to stop.
extension HubCore {
  /// Closes the sessions of nodes that were revoked; how many those were.
  func refresh(now: Instant) throws(HubError) -> Int {
    let closed = try closeRevoked(now: now)
    registryChanged(now: now)
    try reloadDictionary(now: now)
    try reloadUpdates(now: now)
    try reloadJobs(now: now)
    return closed
  }

  func closeRevoked(now: Instant) throws(HubError) -> Int {
    let present = links.filter { $0.phase == .joining || $0.phase == .online }
    let revoked = Set(try registry.revoked(among: Set(present.compactMap(\.nodeId) + live.ids)))
    var closed = 0
    for id in revoked {
      guard let place = live.place(of: id), place.relay != nil else { continue }
      log.line(.notice, "\(NodeName.text(id)) is revoked")
      drop(id, at: place, .revoked, now: now)
      closed += 1
    }
    for link in present {
      guard let id = link.nodeId, revoked.contains(id) else { continue }
      log.line(.notice, "\(describe(link)) is revoked")
      close(link, .revoked, now: now)
      closed += 1
    }
    return closed
  }

  /// Lets nobody in any more and tells everybody. The transport runs on until `linkCount` is 0 or the
  /// drain time is over, then calls `finish`.
  func drain(now: Instant) {
    isDraining = true
    status.draining = true
    // Whoever waits for a word on what it sent gets it before the goodbye.
    flushSpool(now: now)
    for link in links where link.phase != .free { close(link, .draining, now: now) }
  }

  /// Writes down what has not been written.
  func finish(now: Instant) {
    flushSightings(now: now)
    flushKept(now: now)
    flushSpool(now: now)
    runUpdates(now: now)
    runJobs(now: now)
    endQuestions(now: now)
  }
}
