import Bounded
import Foundation
import Node
import SkyCrypto
import Wire

/// Nodes that come in through a relay: let in by the same rules as others, and believed to be where the relay says
/// only over their own signature (docs/protocol.md, "Relays").
extension HubCore {
  /// What nodes said of themselves is kept for so many of a relay's newcomers.
  static let newcomersMaximum = 64

  func isFull(for id: UInt32) -> Bool { live.link(of: id) == nil && live.count >= configuration.maxNodes }

  /// A relay shows the HELLO of a node that wants in.
  func admit(_ frame: FrameHeader, over link: HubLink, _ relay: UInt32, now: Instant) {
    fillScratch(link.session.body)
    let answer: Admitted
    do throws(ErrorCode) {
      answer = try judge(scratch.bytes, over: link, relay: relay, now: now)
    } catch {
      return close(link, error, now: now)
    }
    if let failure = answer.failure {
      status.refused["\(failure.token)", default: 0] += 1
      log.line(.notice, "a node behind \(NodeName.text(relay)) refused: \(failure.sentence)")
    }
    scratch.consume(scratch.count)
    _ = answer.append(to: &scratch)
    _ = put(FrameHeader(kind: .admitted, destination: relay, sequence: frame.sequence), scratch, to: link, now: now)
  }

  private func judge(_ body: RawSpan, over link: HubLink, relay: UInt32, now: Instant) throws(ErrorCode) -> Admitted {
    try Admit.check(body)
    let exporter = Bytes32(copying: body.extracting(0..<Limits.exporterBytes))
    let shown = Data(copying: body.extracting(Limits.exporterBytes..<body.byteCount))
    let hello = try Hello(decoding: body.extracting(Limits.exporterBytes..<body.byteCount))
    let verdict = admission(of: hello, now: now) { verifier in
      shown.withUnsafeBytes { Session.provesToken(verifier, exporter: exporter, hello: $0.bytes) }
    }
    switch verdict {
    case .failure(let code): return Admitted(id: 0, failure: code, count: 0)
    case .success(let id):
      if link.newcomers.count >= Self.newcomersMaximum { link.newcomers.removeAll() }
      link.newcomers[id] = HubLink.Newcomer(agent: hello.agentText.string, fingerprint: Data(hello.fingerprint))
      return Admitted(id: id, failure: nil, count: link.routeCounts[id] ?? 0)
    }
  }

  /// A relay shows a leaf's word that it is reached through there.
  func attach(_ frame: FrameHeader, over link: HubLink, _ relay: UInt32, now: Instant) {
    let claim: Attach
    do throws(ErrorCode) { claim = try Attach(decoding: link.session.body) } catch {
      return close(link, error, now: now)
    }
    let failure = takeClaim(claim, over: link, relay: relay, now: now)
    if let failure {
      status.refused["\(failure.token)", default: 0] += 1
      log.line(
        .notice, "\(NodeName.text(claim.id)) refused behind \(NodeName.text(relay)): \(failure.sentence)")
    }
    scratch.consume(scratch.count)
    _ = RouteWord(id: claim.id, failure: failure).append(to: &scratch)
    send(FrameHeader(kind: .attached, destination: relay, sequence: frame.sequence), scratch, to: link, now: now)
    if failure == nil { deliver(to: claim.id, now: now) }
  }

  /// The error that keeps the leaf out; nil when the way to it leads over this link from now on.
  private func takeClaim(_ claim: Attach, over link: HubLink, relay: UInt32, now: Instant) -> ErrorCode? {
    let record: NodeRecord?
    do throws(HubError) { record = try registry.node(id: claim.id) } catch {
      log.line(.error, error.description)
      return .busy
    }
    guard let record, let key = Bytes32(record.key) else { return .tokenRequired }
    if record.isRevoked { return .revoked }
    // Its own link proves more; and a node is not behind itself.
    guard claim.id != relay, claim.id != link.nodeId else { return .routeLoop }
    guard claim.proof.count > link.routeCounts[claim.id] ?? 0 else { return .replayed }
    guard
      RouteSignature.holds(
        claim, by: key, nonce: link.session.linkNonce, hub: identity.publicKey, relay: relay)
    else { return .badSignature }
    if isFull(for: claim.id) { return .hubFull }
    if let objection = objection(to: claim.id, instance: Data(claim.instance), on: link, now: now) { return objection }
    let place = Place(link: link.id, relay: relay)
    let verdict = live.enter(id: claim.id, instance: Data(claim.instance), at: place, now: now)
    guard case .welcome(let replaced) = verdict else { return turnAway(link, claim.id, verdict, now: now) }
    link.routeCounts[claim.id] = claim.proof.count
    if let replaced { drop(claim.id, at: replaced, .linkClosed, now: now) }
    let newcomer = link.newcomers.removeValue(forKey: claim.id)
    noteArrival(
      of: claim.id, agent: newcomer?.agent ?? record.agent, fingerprint: newcomer?.fingerprint ?? record.fingerprint,
      now: now)
    log.line(.info, "\(NodeName.text(claim.id)) joined behind \(NodeName.text(relay))")
    return nil
  }

  /// A relay has lost a leaf.
  func detach(over link: HubLink, _ relay: UInt32, now: Instant) {
    do throws(ErrorCode) {
      let word = try RouteWord(decoding: link.session.body)
      guard live.detach(word.id, from: link.id) else { return }
      noteDeparture(of: word.id, now: now)
      log.line(.info, "\(NodeName.text(word.id)) left \(NodeName.text(relay))")
    } catch { close(link, error, now: now) }
  }

  /// Tells a relay that a leaf is not, or not any more, to be reached through it.
  func sayGone(_ id: UInt32, _ code: ErrorCode, relay: UInt32, on link: HubLink, now: Instant) {
    scratch.consume(scratch.count)
    _ = RouteWord(id: id, failure: code).append(to: &scratch)
    // Without room it hears it with the next frame it sends in that name.
    _ = put(FrameHeader(kind: .detach, destination: relay), scratch, to: link, now: now)
  }
}
