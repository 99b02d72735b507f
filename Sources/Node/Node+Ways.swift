import Bounded
import Wire

/// A relay between its hub and its leaves: what the hub says of them, and frames that are handed on.
extension Node {
  // MARK: From the hub

  func takeAdmitted(_ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    let answer = try session.withBody { body throws(ErrorCode) in try Admitted(decoding: body) }
    guard let place = relay.index(ofReference: frame.sequence), relay.peers[place].phase == .asking else {
      return relay.counters.strays += 1
    }
    let peer = relay.peers[place]
    if let failure = answer.failure { return refuse(place, failure, now: now) }
    relay.count = max(relay.count, answer.count)
    peer.id = answer.id
    peer.phase = .confirming
    do throws(ErrorCode) {
      try peer.session.accept(nodeId: answer.id, hubId: nodeId, identity: identity, random: &random, now: now)
    } catch { closePeer(place, error, now: now) }
  }

  func takeAttached(_ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    let word = try session.withBody { body throws(ErrorCode) in try RouteWord(decoding: body) }
    // A leaf that has gone meanwhile is not here: the hub hears so when it sends something there.
    guard let place = relay.index(ofReference: frame.sequence), relay.peers[place].isLinked,
      relay.peers[place].way == .claimed, relay.peers[place].id == word.id
    else { return relay.counters.strays += 1 }
    if let failure = word.failure { return closePeer(place, failure, now: now) }
    // An older link of the same run has not noticed that it is dead.
    if let older = relay.place(of: word.id), older != place {
      relay.dropRoute(to: word.id)
      closePeer(older, .linkClosed, now: now)
    }
    guard relay.setRoute(to: word.id, place: place) else { return closePeer(place, .full, now: now) }
    relay.peers[place].way = .known
    configurePeer(place, now: now)
  }

  func takeDetach(now: Instant) throws(ErrorCode) {
    let word = try session.withBody { body throws(ErrorCode) in try RouteWord(decoding: body) }
    guard let place = relay.place(of: word.id), relay.peers[place].id == word.id else { return }
    // The hub knows already.
    relay.dropRoute(to: word.id)
    closePeer(place, word.failure ?? .linkClosed, now: now)
  }

  /// A frame for somebody behind this node.
  func routeDown(_ frame: FrameHeader, now: Instant) throws(ErrorCode) {
    guard let place = relay.place(of: frame.destination) else { return notHere(frame, now: now) }
    if frame.kind == .attached || frame.kind == .detach, frame.destination != nodeId {
      try noteWay(frame, place, now: now)
    }
    guard let failure = forwardDown(frame, from: session, to: place, now: now) else { return }
    if frame.kind == .message { refuseInItsName(frame, failure, now: now) }
  }

  /// A relay behind this one has gained or lost a leaf.
  private func noteWay(_ frame: FrameHeader, _ place: Int, now: Instant) throws(ErrorCode) {
    let word = try session.withBody { body throws(ErrorCode) in try RouteWord(decoding: body) }
    if frame.kind == .attached, word.failure == nil {
      if !relay.setRoute(to: word.id, place: place) { sayGone(word.id, now: now) }
    } else if relay.place(of: word.id) == place, relay.peers[place].id != word.id {
      relay.dropRoute(to: word.id)
    }
  }

  private func notHere(_ frame: FrameHeader, now: Instant) {
    relay.counters.strays += 1
    // The receipt first: afterwards the hub would not take it in this name.
    if frame.kind == .message, !frame.isDurable { refuseInItsName(frame, .unreachable, now: now) }
    sayGone(frame.destination, now: now)
  }

  /// Tells the hub, or the sender, that a message did not get to a leaf: ordinary ones for good, durable ones for now.
  private func refuseInItsName(_ frame: FrameHeader, _ failure: ErrorCode, now: Instant) {
    scratch.clear()
    if frame.isDurable {
      guard let stream = try? session.withBody(decodeStream) else { return }
      _ = StoredEntry(stream: stream, sequence: frame.sequence, failure: .busy).append(to: &scratch)
      sendUpIfRoom(FrameHeader(kind: .stored, source: frame.destination), now: now)
    } else {
      _ = Receipt(sequence: frame.sequence, failure: failure).append(to: &scratch)
      sendUpIfRoom(
        FrameHeader(kind: .receipt, source: frame.destination, destination: frame.source), now: now)
    }
  }

  // MARK: Handing on

  /// Nil when it is in the link to the hub.
  @discardableResult
  func forwardUp(_ frame: FrameHeader, from place: Int, now: Instant) -> ErrorCode? {
    guard let onward = oneHopOn(frame) else { return .unreachable }
    // Before the hub knows the way it would not believe the source.
    guard state == .online, !isWayNew, relay.peers[place].way == .known else {
      relay.counters.offline += 1
      return .offline
    }
    do throws(ErrorCode) {
      try relay.peers[place].session.forward(as: onward, to: &session, now: now)
      relay.counters.up += 1
      noteHandedOn(now: now)
      return nil
    } catch {
      if error == .full { relay.counters.full += 1 } else { linkFailed(error, now: now) }
      return error == .full ? .full : .offline
    }
  }

  /// Nil when it is in the link to the leaf.
  func forwardDown(_ frame: FrameHeader, from: borrowing Session, to place: Int, now: Instant) -> ErrorCode? {
    guard let onward = oneHopOn(frame) else { return .unreachable }
    let peer = relay.peers[place]
    if frame.kind == .receipt { peer.noteAnswered(now: now) }
    guard peer.isLinked else { return .unreachable }
    guard peer.session.output.space >= Session.recordBytes(body: from.body.byteCount) + Limits.relayReserveBytes else {
      relay.counters.full += 1
      return .full
    }
    do throws(ErrorCode) {
      try from.forward(as: onward, to: &peer.session, now: now)
      relay.counters.down += 1
      noteHandedOn(now: now)
      return nil
    } catch {
      // A key past its age: `expirePeers` ends such a link.
      return .unreachable
    }
  }

  private func oneHopOn(_ frame: FrameHeader) -> FrameHeader? {
    guard frame.hops < Limits.hops else {
      relay.counters.loops += 1
      return nil
    }
    var onward = frame
    onward.hops += 1
    return onward
  }

  /// Sends `scratch` towards the hub; false when it did not go.
  @discardableResult
  func sendUpIfRoom(_ frame: FrameHeader, now: Instant) -> Bool {
    guard state == .online, session.output.space >= Session.recordBytes(body: scratch.count) else { return false }
    do throws(ErrorCode) {
      try sendScratch(frame, now: now)
      return true
    } catch {
      linkFailed(error, now: now)
      return false
    }
  }

  /// Sends `scratch` to a leaf; the error when it did not go.
  @discardableResult
  func sendDown(_ frame: FrameHeader, to place: Int, now: Instant) -> ErrorCode? {
    do throws(ErrorCode) {
      try relay.peers[place].session.send(frame, bodyOf: scratch, now: now)
      return nil
    } catch { return error }
  }
}
