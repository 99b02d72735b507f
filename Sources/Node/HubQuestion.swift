import Bounded
import SkyCrypto
import Wire

/// A question that is at the hub, or was: one at a time. A state machine without IO; `Node` sends and receives for it.
///
/// Invariant: `body` is empty, or holds an answer to the last question that was checked; in `answered` it holds one.
public final class HubQuestion {
  public enum State: Equatable, Sendable {
    case idle, asked, answered
    case failed(ErrorCode)
  }

  public private(set) var state = State.idle
  /// Of the last one that was asked; names it in a vote.
  public private(set) var id: UInt32 = 0
  private(set) var digest = Bytes32(repeating: 0)
  /// When it counts as lost.
  public private(set) var deadline = Instant.never
  private var body: ByteQueue

  /// Without room nothing can be asked: for a node that keeps no knowledge.
  init(hasRoom: Bool) { body = ByteQueue(capacity: hasRoom ? Limits.answerFrameBytes : 0) }

  public var hasRoom: Bool { body.capacity > 0 }

  func begin(id: UInt32, digest: Bytes32, now: Instant) {
    self.id = id
    self.digest = digest
    body.consume(body.count)
    deadline = now + Limits.questionWaitMs
    state = .asked
  }

  /// An answer whose signature holds.
  func take(_ answer: RawSpan, _ failure: ErrorCode?) {
    body.consume(body.count)
    deadline = .never
    // One with an error may still name sources.
    state = body.append(answer) ? failure.map { .failed($0) } ?? .answered : .failed(.tooLong)
  }

  func fail(_ code: ErrorCode) {
    guard state == .asked else { return }
    body.consume(body.count)
    deadline = .never
    state = .failed(code)
  }

  func expire(now: Instant) { if now >= deadline { fail(.timeout) } }

  /// Nobody waits for it any more: what comes later is not looked at.
  public func forget() {
    deadline = .never
    state = .idle
  }

  /// What the hub said; nil when it said nothing.
  public func withAnswer<R>(_ read: (borrowing Answer) -> R) -> R? {
    guard !body.isEmpty else { return nil }
    return body.withBytes { bytes in
      do throws(ErrorCode) { return read(try Answer(decoding: bytes)) } catch { return nil }
    }
  }
}

/// What a hub signs of an answer: a relay opens and seals every frame of its leaves, and must not be able to answer in the
/// hub's name.
public enum AnswerSeal {
  static var label: StaticString { "skynod answer" }

  /// `signed` is the body without its signature, `question` the SHA-256 of the question.
  static func digest(_ signed: RawSpan, node: UInt32, question: Bytes32) -> Bytes32 {
    var id = InlineArray<4, UInt8>(repeating: 0)
    for i in 0..<4 { id[i] = UInt8(truncatingIfNeeded: node >> UInt32(8 * (3 - i))) }
    var hash = Sha256()
    hash.update(id.span.bytes)
    hash.update(question.raw)
    hash.update(signed)
    return hash.digest
  }

  public static func sign(
    _ signed: RawSpan, node: UInt32, question: Bytes32, by identity: borrowing Identity
  ) -> InlineArray<64, UInt8> {
    identity.sign(
      label: label, context: identity.publicKey, digest: digest(signed, node: node, question: question))
  }

  static func isGenuine(_ answer: borrowing Answer, node: UInt32, question: Bytes32, hub key: Bytes32) -> Bool {
    Identity.verify(
      answer.signature, by: key, label: label, context: key,
      digest: digest(answer.signed(), node: node, question: question))
  }
}
