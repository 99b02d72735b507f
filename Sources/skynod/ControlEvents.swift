import Bounded
import Node
import Platform
import Update
import Wire

/// Turns the node's notices into events of the control socket (docs/control.md, "Events").
extension ControlServer {
  func publish(_ notice: Node.Notice, hub: HubEntry?, text: inout TextBuffer) {
    switch notice {
    case .state(let state): publish(.state) { $0.field("state", state.token) }
    case .linkError(let code):
      publish(.link) { reply in
        reply.field("error", code.token)
        reply.field("hint", code.sentence)
      }
    case .joined(let id): place(.link, "joined", &text) { appendNodeId(id, to: &$0) }
    case .hub:
      guard let hub else { return }
      place(.link, "hub", &text) { hub.appendPlace(to: &$0) }
    case .heartbeatAcked(let rttMs): publish(.heartbeat) { $0.field("rtt_ms", rttMs) }
    case .rekeyed(let renewals): publish(.key) { $0.field("renewals", UInt64(renewals)) }
    case .message(let number, let source, let isSealed, let isUrgent):
      text.removeAll()
      if source == 0 { text.append("HUB") } else { appendNodeId(source, to: &text) }
      message(number, from: text, isSealed: isSealed, isUrgent: isUrgent)
    case .receipt(let sequence, let failure):
      publish(.delivery) { reply in
        reply.field("sequence", sequence)
        reply.field("result", failure?.token ?? "ok")
      }
    case .duties(let active, let held): duties(active, held, &text)
    case .dictionary(let outcome):
      publish(.dictionary) { reply in
        reply.field("result", outcome.token)
        if case .installed(let generation) = outcome { reply.field("generation", UInt64(generation)) }
      }
    case .system(let outcome):
      publish(.system) { reply in
        reply.field("result", outcome.token)
        if case .ready(let release) = outcome { reply.field("release", release) }
      }
    case .leafJoined(let id): leaf(id, "joined", &text)
    case .leafLeft(let id, let code): leaf(id, code.token, &text)
    case .clockFromHub: publish(.clock) { $0.field("clock", "hub") }
    }
  }

  private func place(
    _ kind: ControlEventKind, _ key: StaticString, _ text: inout TextBuffer, _ build: (inout TextBuffer) -> Void
  ) {
    text.removeAll()
    build(&text)
    lend(text) { value in publish(kind) { $0.field(key, value) } }
  }

  private func leaf(_ id: UInt32, _ what: StaticString, _ text: inout TextBuffer) {
    text.removeAll()
    appendNodeId(id, to: &text)
    lend(text) { value in
      publish(.leaf) { reply in
        reply.field("id", value)
        reply.field("result", what)
      }
    }
  }

  private func message(_ number: UInt64, from source: borrowing TextBuffer, isSealed: Bool, isUrgent: Bool) {
    lend(source) { value in
      publish(.message) { reply in
        reply.field("seq", number)
        reply.field("from", value)
        reply.field("sealed", isSealed)
        reply.field("urgent", isUrgent)
      }
    }
  }

  /// `duties` in force and `duties_held_back` by the board's condition.
  private func duties(_ active: Duties, _ held: Duties, _ text: inout TextBuffer) {
    text.removeAll()
    if !active.isEmpty { active.append(to: &text) }
    let split = text.count
    if !held.isEmpty { held.append(to: &text) }
    lend(text) { value in
      publish(.duty) { reply in
        reply.field("duties", value.extracting(0..<split))
        reply.field("duties_held_back", value.extracting(split..<value.byteCount))
      }
    }
  }

  private func lend(_ text: borrowing TextBuffer, _ body: (RawSpan) -> Void) { body(text.bytes) }
}
