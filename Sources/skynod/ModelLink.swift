import Bounded
import CSky
import Knowledge
import Node
import Platform
import Wire

/// The two connections to the model's worker: bytes for `ModelDialogue`, which decides.
///
/// Nothing is allocated for a question; without one there is no connection, so that the worker may leave when it is idle.
final class ModelLink {
  static let token: UInt64 = 9 << 32
  static let probeToken: UInt64 = 10 << 32

  /// Whose text the worker has, or had last.
  enum User { case ask, job }

  private(set) var user = User.ask
  private let loop: EventLoop
  private let path: Configuration.SocketPathText
  private var dialogue = ModelDialogue()
  private var descriptors = InlineArray<2, Int32>(repeating: -1)
  private var input = ByteQueue(capacity: Limits.modelLineBytes)
  private var probeInput = ByteQueue(capacity: Limits.modelSignBytes)
  private var request = TextBuffer(capacity: Limits.modelRequestBytes)
  private var sentBytes = 0

  init(path: Configuration.SocketPathText, loop: EventLoop) {
    self.path = path
    self.loop = loop
  }

  var deadline: Instant { dialogue.deadline }
  var isGrounded: Bool { dialogue.isGrounded }
  var tokens: UInt64 { dialogue.tokens }

  /// Connects; `compose` writes the request line, which goes out once the worker has greeted.
  func begin(for user: User, wantsVector: Bool = false, now: Instant, _ compose: (inout TextBuffer) -> Void)
    -> ModelDialogue.Step
  {
    hangUp()
    self.user = user
    request.removeAll()
    compose(&request)
    guard !request.isTruncated else { return .failed(.tooLong) }
    for i in 0..<2 {
      let made = path.withCString { sky_unix_connect($0) }
      // A full queue means that nobody takes connections from it.
      guard made >= 0 else {
        hangUp()
        return .failed(made == SKY_AGAIN ? .modelHung : .noModel)
      }
      descriptors[i] = made
      do throws(ErrorCode) { try loop.add(made, token: i == 0 ? Self.token : Self.probeToken, .read) } catch {
        hangUp()
        return .failed(error)
      }
    }
    // A socket that the service manager made is there before its worker.
    var (user, group, process): (UInt32, UInt32, Int32) = (0, 0, 0)
    let isStarted = sky_unix_peer(descriptors[0], &user, &group, &process) == 0 && process != 1
    dialogue.begin(process: isStarted ? process : nil, wantsVector: wantsVector, now: now)
    return .nothing
  }

  func hangUp() {
    dialogue.hangUp()
    for i in 0..<2 {
      sky_close(descriptors[i])
      descriptors[i] = -1
    }
    input.consume(input.count)
    probeInput.consume(probeInput.count)
    sentBytes = 0
  }

  /// After its deadline, or when a descriptor was ready: reads what is there, gives each piece of the answer or the vector, and
  /// says how it ended once it has.
  func step(now: Instant, piece: (RawSpan) -> Void) -> ModelDialogue.Step {
    guard dialogue.deadline != .never else { return .nothing }
    for i in 0..<2 {
      var isOpen = true
      while isOpen, descriptors[i] >= 0 {
        let got = read(i)
        if got == 0 { break }
        isOpen = got > 0
        let step = takeLines(i, now: now, piece: piece)
        if step != .nothing { return end(step) }
        if !isOpen { return end(dialogue.lost()) }
      }
    }
    let step = carryOut(dialogue.tick(now: now, processorTimeOf: sky_process_cpu_us))
    return step == .nothing ? send() : end(step)
  }

  private func end(_ step: ModelDialogue.Step) -> ModelDialogue.Step {
    for i in 0..<2 {
      sky_close(descriptors[i])
      descriptors[i] = -1
    }
    return step
  }

  /// Bytes read; 0 when none are there now, -1 when the connection has ended. A line that is longer than its buffer
  /// is none of the worker's.
  private func read(_ index: Int) -> Int {
    let space = index == 0 ? input.space : probeInput.space
    guard space > 0 else { return -1 }
    var got = 0
    let descriptor = descriptors[index]
    func fill(_ room: UnsafeMutableRawBufferPointer) -> Int {
      got = sky_read(descriptor, room.baseAddress, room.count)
      return max(0, got)
    }
    if index == 0 {
      _ = input.appendInPlace(upTo: space, fill)
    } else {
      _ = probeInput.appendInPlace(upTo: space, fill)
    }
    if got == Int(SKY_AGAIN) { return 0 }
    return got > 0 ? got : -1
  }

  private func takeLines(_ index: Int, now: Instant, piece: (RawSpan) -> Void) -> ModelDialogue.Step {
    index == 0 ? takeLines(&input, 0, now, piece) : takeLines(&probeInput, 1, now, piece)
  }

  private func takeLines(
    _ queue: inout ByteQueue, _ index: Int, _ now: Instant, _ piece: (RawSpan) -> Void
  ) -> ModelDialogue.Step {
    while let length = Self.lineFeed(queue.bytes) {
      var step = dialogue.take(queue.bytes.extracting(0..<length), fromProbe: index == 1, now: now)
      if step == .piece || step == .vector {
        piece(queue.bytes.extracting((step == .piece ? 6 : 7)..<length))
        step = .nothing
      }
      queue.consume(length + 1)
      step = carryOut(step)
      if step != .nothing { return step }
    }
    return .nothing
  }

  private static func lineFeed(_ bytes: RawSpan) -> Int? {
    for i in 0..<bytes.byteCount where bytes[i] == 0x0A { return i }
    return nil
  }

  private func carryOut(_ step: ModelDialogue.Step) -> ModelDialogue.Step {
    switch step {
    case .ask:
      return send()
    case .probe:
      let probe = ModelDialogue.probe
      let put = sky_write(descriptors[1], probe.utf8Start, probe.utf8CodeUnitCount)
      return put == probe.utf8CodeUnitCount ? .nothing : dialogue.lost()
    default: return step
    }
  }

  /// What is left of the request, once the worker has greeted.
  private func send() -> ModelDialogue.Step {
    guard dialogue.isAsked, sentBytes < request.count else { return .nothing }
    let put = request.withUnsafeBytes { sky_write(descriptors[0], $0.baseAddress! + sentBytes, $0.count - sentBytes) }
    guard put >= 0 || put == Int(SKY_AGAIN) else { return dialogue.lost() }
    sentBytes += max(0, put)
    do throws(ErrorCode) {
      try loop.modify(descriptors[0], token: Self.token, sentBytes < request.count ? [.read, .write] : .read)
    } catch {
      return .failed(error)
    }
    return .nothing
  }
}
