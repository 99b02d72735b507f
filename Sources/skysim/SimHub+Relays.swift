import Bounded
import Node
import SkyCrypto
import Wire

/// Nodes that come in through a relay, by the rules of docs/protocol.md, "Relays".
extension SimHub {
  /// A relay shows the HELLO of a node that wants in.
  func admit(_ frame: FrameHeader, _ session: HubSession, relay: Int, now: Instant) {
    copyBody(of: session)
    let answer: Admitted
    do throws(ErrorCode) { answer = try judge(scratch.bytes, session) } catch { return close(session, error, now: now) }
    scratch.consume(scratch.count)
    _ = answer.append(to: &scratch)
    let header = FrameHeader(kind: .admitted, destination: Board.nodeId(relay), sequence: frame.sequence)
    putScratch(header, session, now: now)
  }

  private func judge(_ body: RawSpan, _ session: HubSession) throws(ErrorCode) -> Admitted {
    try Admit.check(body)
    let exporter = Bytes32(copying: body.extracting(0..<Limits.exporterBytes))
    let hello = try Hello(decoding: body.extracting(Limits.exporterBytes..<body.byteCount))
    do throws(ErrorCode) {
      let board = try admission(of: hello) { verifier in
        Session.provesToken(
          verifier, exporter: exporter, hello: body.extracting(Limits.exporterBytes..<body.byteCount))
      }
      return Admitted(id: Board.nodeId(board), failure: nil, count: session.routeCounts[board])
    } catch { return Admitted(id: 0, failure: error, count: 0) }
  }

  /// A relay shows a leaf's word that it is reached through there.
  func attach(_ frame: FrameHeader, _ session: HubSession, relay: Int, now: Instant) {
    copyBody(of: session)
    let claim: Attach
    do throws(ErrorCode) { claim = try Attach(decoding: scratch.bytes) } catch {
      return close(session, error, now: now)
    }
    let failure = takeClaim(claim, session, relay: relay, now: now)
    world.trace(.way, UInt64(claim.id) << 32 | UInt64(relay), UInt64(failure?.rawValue ?? 0))
    scratch.consume(scratch.count)
    _ = RouteWord(id: claim.id, failure: failure).append(to: &scratch)
    let header = FrameHeader(kind: .attached, destination: Board.nodeId(relay), sequence: frame.sequence)
    do throws(ErrorCode) { try session.session.send(header, bodyOf: scratch, now: now) } catch {
      return close(session, error, now: now)
    }
    touch(session)
    if failure == nil, let board = Board.number(of: claim.id) {
      world.counts.ways += 1
      deliver(to: board, now: now)
    }
  }

  /// The error that keeps the leaf out; nil when the way to it leads over this link from now on.
  private func takeClaim(_ claim: Attach, _ session: HubSession, relay: Int, now: Instant) -> ErrorCode? {
    guard let board = Board.number(of: claim.id), board < live.count, world.isAdmitted[board] else {
      return .tokenRequired
    }
    guard board != relay, board != session.board else { return .routeLoop }
    guard claim.proof.count > session.routeCounts[board] else { return .replayed }
    guard
      RouteSignature.holds(
        claim, by: world.boards[board].publicKey, nonce: session.session.linkNonce, hub: identity.publicKey,
        relay: Board.nodeId(relay))
    else { return .badSignature }
    let place = Place(session: session, relay: relay, instance: claim.instance)
    if let failure = take(board, at: place, now: now) { return failure }
    session.routeCounts[board] = claim.proof.count
    return nil
  }

  /// A relay has lost a leaf.
  func detach(_ session: HubSession, now: Instant) {
    copyBody(of: session)
    do throws(ErrorCode) {
      let word = try RouteWord(decoding: scratch.bytes)
      guard let board = Board.number(of: word.id), board < live.count, let place = live[board],
        place.session === session, place.relay >= 0
      else { return }
      forget(board)
    } catch { close(session, error, now: now) }
  }

  /// Tells a relay that a node is not, or not any more, to be reached through it.
  func sayGone(_ board: Int, _ code: ErrorCode, relay: Int, _ session: HubSession, now: Instant) {
    scratch.consume(scratch.count)
    _ = RouteWord(id: Board.nodeId(board), failure: code).append(to: &scratch)
    putScratch(FrameHeader(kind: .detach, destination: Board.nodeId(relay)), session, now: now)
  }
}
