import Bounded
import Foundation
import Node
import SkyCrypto
import Wire

/// Which node is at which hub: ordinary messages go there, and an identity has one session over all fellows.
extension HubCore {
  /// Every live session, by id; those at fellows, too.
  func onlineNodes(now: Instant) -> [OnlineNode] {
    let here = live.ids.compactMap { id -> OnlineNode? in
      guard let place = live.place(of: id), let link = link(place.link) else { return nil }
      return OnlineNode(
        id: id, address: place.relay.map { "via \(NodeName.text($0))" } ?? link.address,
        connectedSeconds: now.since(link.joinedAt) / 1_000, quietMs: now.since(link.lastHeardAt),
        agent: place.relay == nil ? link.agent : "", hub: configuration.hubId)
    }
    let elsewhere = fellows.away.ids.compactMap { id -> OnlineNode? in
      guard live.place(of: id) == nil, let place = fellows.away.place(of: id), let hub = place.relay,
        let link = link(place.link)
      else { return nil }
      return OnlineNode(
        id: id, address: "at \(NodeName.text(hub))", connectedSeconds: fellows.away.ageMs(of: id, now: now) / 1_000,
        quietMs: now.since(link.lastHeardAt), agent: "", hub: hub)
    }
    return (here + elsewhere).sorted { $0.id < $1.id }
  }

  // MARK: Telling

  /// A node has come or gone. Told at the end of the turn: a link may end while somebody is at work with the scratch.
  func presenceChanged(of id: UInt32, now: Instant) {
    for fellow in fellows.all where fellow.link != nil {
      fellow.untold.insert(id)
      scheduleFellows(at: now)
    }
  }

  func tellPresence(to fellow: Fellow, over link: HubLink, now: Instant) {
    while !fellow.untold.isEmpty, hasRoom(link) {
      let some = Array(fellow.untold.prefix(Limits.hereEntries))
      fellow.untold.subtract(some)
      let entries = some.compactMap { hereEntry(of: $0, now: now) }
      for id in Set(some).subtracting(entries.map(\.id)) { say(.gone, id, to: link, now: now) }
      guard !entries.isEmpty else { continue }
      scratch.consume(scratch.count)
      for entry in entries { entry.append(to: &scratch) }
      send(FrameHeader(kind: .here), scratch, to: link, now: now)
    }
  }

  private func hereEntry(of id: UInt32, now: Instant) -> HereEntry? {
    guard let instance = live.instance(of: id).flatMap({ InlineArray<16, UInt8>($0) }) else { return nil }
    return HereEntry(id: id, instance: instance, ageMs: UInt32(clamping: live.ageMs(of: id, now: now)))
  }

  private func say(_ kind: FrameKind, _ id: UInt32, to link: HubLink, now: Instant) {
    scratch.consume(scratch.count)
    scratch.append(bigEndian: id)
    // A link without room for a word is not that of a hub that is well; what it asked it asks again.
    _ = put(FrameHeader(kind: kind), scratch, to: link, now: now)
  }

  // MARK: Hearing

  func take(here entries: [HereEntry], from fellow: Fellow, on link: HubLink, now: Instant) throws(ErrorCode) {
    for entry in entries {
      // The younger session is the one that counts; of two of one age that at the hub with the higher number.
      let age = live.ageMs(of: entry.id, now: now)
      let isOlder = age > UInt64(entry.ageMs) || age == UInt64(entry.ageMs) && configuration.hubId < fellow.id
      if live.place(of: entry.id) != nil {
        guard isOlder else { continue }
        challenge(entry, from: link, now: now)
        // Until that is answered both are there.
        if live.place(of: entry.id) != nil { continue }
      }
      guard fellows.away.count < Self.awayMaximum else { throw .fellowFault }
      if let old = fellows.away.place(of: entry.id) { fellows.away.detach(entry.id, from: old.link) }
      _ = fellows.away.enter(
        id: entry.id, instance: Data(entry.instance), at: Place(link: link.id, relay: fellow.id), now: now)
    }
  }

  func take(probe entries: [HereEntry], on link: HubLink, now: Instant) throws(ErrorCode) {
    guard entries.count == 1, let entry = entries.first else { throw .malformedFrame }
    guard live.place(of: entry.id) != nil else { return say(.gone, entry.id, to: link, now: now) }
    challenge(entry, from: link, now: now)
  }

  /// Another hub has a session of a node that has one here.
  private func challenge(_ entry: HereEntry, from link: HubLink, now: Instant) {
    switch live.judge(id: entry.id, instance: Data(entry.instance), now: now) {
    case .welcome(let place):
      // The same run of the same node: it has moved, and this session is dead.
      if let place { drop(entry.id, at: place, .linkClosed, now: now) }
    case .busy(let place):
      fellows.askers[entry.id] = link.id
      if let place { probe(entry.id, at: place, now: now) }
    case .clone: say(.alive, entry.id, to: link, now: now)
    }
  }

  /// A node has answered a ping.
  func answered(_ id: UInt32, now: Instant) {
    live.answered(id, now: now)
    guard let asker = fellows.askers.removeValue(forKey: id), let link = link(asker) else { return }
    say(.alive, id, to: link, now: now)
  }

  /// The session that a fellow has of a node is alive, so one with another instance is of a copy.
  func takeAlive(_ id: UInt32, now: Instant) {
    fellows.away.answered(id, now: now)
    guard let place = live.place(of: id), let link = link(place.link) else { return }
    reportClone(link, id)
    drop(id, at: place, .cloneDetected, now: now)
  }

  /// What stands against a node that has proved its key and has a session at a fellow; nil when it may come in.
  func objection(to id: UInt32, instance: Data, on link: HubLink, now: Instant) -> ErrorCode? {
    guard live.place(of: id) == nil, let place = fellows.away.place(of: id), let there = self.link(place.link) else {
      return nil
    }
    switch fellows.away.judge(id: id, instance: instance, now: now) {
    case .welcome:
      // The fellow hears of it and closes the old one.
      fellows.away.detach(id, from: place.link)
      return nil
    case .busy(let probed):
      if probed != nil, let instance = InlineArray<16, UInt8>(instance) {
        scratch.consume(scratch.count)
        HereEntry(id: id, instance: instance, ageMs: 0).append(to: &scratch)
        _ = put(FrameHeader(kind: .probe), scratch, to: there, now: now)
        scheduleFellows(at: now + LiveTable.probeMs)
      }
      return .sessionBusy
    case .clone(let isNews):
      if isNews { reportClone(link, id) }
      return .cloneDetected
    }
  }

  // MARK: Messages

  /// The link to the fellow at which a node is.
  func linkElsewhere(to id: UInt32) -> HubLink? { fellows.away.link(of: id).flatMap { self.link($0) } }

  /// What came from a fellow goes to nodes of this hub, and never to another fellow.
  func takeRouted(_ frame: FrameHeader, on link: HubLink, now: Instant) {
    guard Limits.isLightNode(frame.source), Limits.isLightNode(frame.destination) else {
      return close(link, .fellowFault, now: now)
    }
    fillScratch(link.session.body)
    let target = live.link(of: frame.destination)
    if frame.kind == .receipt {
      guard let target = target.flatMap({ self.link($0) }), frame.hops < Limits.hops else { return }
      var onward = frame
      onward.hops += 1
      _ = put(onward, scratch, to: target, now: now)
      return
    }
    if let failure = sealRefusal(frame, now: now) { return receipt(for: frame, to: link, failure: failure, now: now) }
    if frame.isSealed, let there = target.flatMap({ self.link($0) }), let delivery = deliveries[frame.destination] {
      bringOffer(from: frame.source, to: frame.destination, there, delivery, now: now)
      fillScratch(link.session.body)
    }
    let failure = frame.hops < Limits.hops ? target.flatMap { forward(frame, to: $0, now: now) } : .unreachable
    if target == nil { status.messagesUnreachable += 1 }
    guard let failure = target == nil ? .unreachable : failure else { return }
    receipt(for: frame, to: link, failure: failure, now: now)
  }
}

extension HereEntry {
  static func all(in body: RawSpan) throws(ErrorCode) -> [HereEntry] {
    var entries: [HereEntry] = []
    for i in 0..<(try count(in: body)) { entries.append(try at(i, in: body)) }
    return entries
  }
}
