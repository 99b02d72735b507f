import Bounded
import CSky
import Node
import Platform
import Update
import Wire

/// The daemon's stream to the updater of its board (systemd/skynod-update.socket): made when the node has an errand,
/// closed when it has none. Knows nothing of updates but where a record ends.
final class UpdaterSocket {
  static let token: UInt64 = 7 << 32

  private let path: PathText
  private let loop: EventLoop
  private var socket: StreamSocket?
  private var input = ByteQueue(capacity: UpdaterRecord.maximumBytes)
  private var output = ByteQueue(capacity: UpdaterRecord.maximumBytes)
  private var epoch: UInt32 = 0
  private var wantsWrite = false
  /// When an answer that is awaited has taken too long.
  private(set) var deadline = Instant.never

  init(path: PathText, loop: EventLoop) {
    self.path = path
    self.loop = loop
  }

  /// Ends a turn: sends what the node wants to hand over, closes what it needs no more.
  func pump(_ node: Node, now: Instant) {
    if socket != nil, epoch != node.system.epoch || !node.system.needsUpdater { close() }
    if now >= deadline { return lose(node, isAbsent: false, now: now) }
    guard node.system.hasErrand else { return }
    if socket == nil, !open(node) { return lose(node, isAbsent: true, now: now) }
    node.system.appendErrand(to: &output)
    deadline = now + Limits.updaterAnswerMs
    flush(node, now: now)
  }

  /// The stream is ready for something.
  func serve(_ node: Node, now: Instant) {
    guard let socket else { return }
    if !output.isEmpty { flush(node, now: now) }
    do throws(ErrorCode) {
      let outcome = try socket.read(into: &input)
      guard take(node, now: now), outcome != .closed else { return lose(node, isAbsent: false, now: now) }
    } catch {
      lose(node, isAbsent: false, now: now)
    }
  }

  /// Hands over the answer when it is whole. False when it is none.
  private func take(_ node: Node, now: Instant) -> Bool {
    guard let count = Self.take(input, node, now: now) else { return false }
    if count > 0 { deadline = .never }
    input.consume(count)
    return count == 0 || input.isEmpty
  }

  /// A span cannot leave the property that holds its buffer: it is lent for a call. The bytes taken.
  private static func take(_ input: borrowing ByteQueue, _ node: Node, now: Instant) -> Int? {
    do throws(DecodeError) {
      guard let record = try UpdaterRecord.peek(input.bytes) else { return 0 }
      return node.updaterAnswered(record.kind, record.body(of: input.bytes), now: now) ? record.byteCount : nil
    } catch { return nil }
  }

  private func open(_ node: Node) -> Bool {
    do throws(ErrorCode) {
      let made = try StreamSocket.connected(toPath: path)
      try loop.add(made.descriptor, token: Self.token, .read)
      socket = made
      epoch = node.system.epoch
      return true
    } catch { return false }
  }

  private func flush(_ node: Node, now: Instant) {
    guard let socket else { return }
    do throws(ErrorCode) {
      let waits = try socket.write(from: &output) == .waiting
      if waits != wantsWrite {
        wantsWrite = waits
        try loop.modify(socket.descriptor, token: Self.token, waits ? [.read, .write] : .read)
      }
    } catch {
      lose(node, isAbsent: false, now: now)
    }
  }

  private func lose(_ node: Node, isAbsent: Bool, now: Instant) {
    close()
    node.updaterLost(isAbsent: isAbsent, now: now)
  }

  private func close() {
    socket = nil
    wantsWrite = false
    deadline = .never
    input.clear()
    output.clear()
  }
}
