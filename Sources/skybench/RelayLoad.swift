import Bounded
import Foundation
import Platform

/// Messages from senders through a relay to one receiver, all in this thread: who sends also sees what arrives, and
/// so keeps a fixed number of messages on their way, whatever is measured.
///
/// Every message begins with the time it was sent and its sender's number; the rest is filler.
final class RelayLoad {
  struct Result {
    var delivered = 0
    /// Sent in this run and neither arrived nor on its way.
    var lost = 0
    var seconds = 0.0
    var latenciesUs: [Double] = []

    var perSecond: Double { Double(delivered) / seconds }
    func latencyUs(_ share: Double) -> Double {
      guard !latenciesUs.isEmpty else { return 0 }
      return latenciesUs.sorted()[min(latenciesUs.count - 1, Int(Double(latenciesUs.count) * share))]
    }
  }

  private struct Sender {
    let port: LoadPort
    var sent = 0
    var arrived = 0
    var number: UInt64 = 0
    var nextNs: UInt64 = 0
    var onTheWay: Int { sent - arrived - port.refused }
  }

  private static let receiverToken: UInt64 = 1
  private static let senderTokens: UInt64 = 16
  /// Nothing arrived for this long: what is on the way is lost.
  private static let stallNs: UInt64 = 2_000_000_000

  private static let sendsPerTurn = 256

  private let loop: EventLoop
  private var senders: [Sender]
  private let receiver: LoadPort
  /// Messages of one sender on their way, and, when they are durable, without a confirmation.
  private let window: Int
  private let awaitsConfirmation: Bool
  private var text: [UInt8]
  private var result = Result()
  private var lastArrivalNs = RelayLoad.nowNs()

  init(_ ports: [LoadPort], to receiver: LoadPort, sizeBytes: Int, window: Int, isDurable: Bool) throws {
    loop = try EventLoop()
    senders = ports.map { Sender(port: $0) }
    self.receiver = receiver
    self.window = window
    awaitsConfirmation = isDurable
    text = (0..<sizeBytes).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) }
    try loop.add(receiver.tls.descriptor, token: Self.receiverToken, .read)
    for (i, port) in ports.enumerated() {
      try loop.add(port.tls.descriptor, token: Self.senderTokens + UInt64(i), .read)
    }
    receiver.onArrival = { [unowned self] in arrive($0) }
  }

  /// Ends all connections.
  func close() {
    for sender in senders { sender.port.close() }
    receiver.close()
  }

  private static func nowNs() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  private func arrive(_ bytes: UnsafeRawBufferPointer) {
    let stamp = bytes.bytes.stamp()
    let now = Self.nowNs()
    lastArrivalNs = now
    guard senders.indices.contains(stamp.sender) else { return }
    senders[stamp.sender].arrived += 1
    result.delivered += 1
    result.latenciesUs.append(Double(now - min(now, stamp.sentNs)) / 1_000)
  }

  /// Runs for so long: as fast as the window allows, or at `rate` messages a second of each sender. `everyTurn` is
  /// called about ten times a second; it ends sooner when `isOver`.
  func run(
    seconds: Double, rate: Double? = nil, isOver: () -> Bool = { false }, everyTurn: () throws -> Void = {}
  ) throws -> Result {
    result = Result()
    let begin = Self.nowNs()
    let end = begin + UInt64(seconds * 1e9)
    var nextCall = begin
    for i in senders.indices { senders[i].nextNs = begin + UInt64(i) * 1_000_000 }
    while true {
      let now = Self.nowNs()
      if now >= end || isOver() { break }
      if now >= nextCall {
        try everyTurn()
        nextCall = now + 100_000_000
      }
      for i in senders.indices { try send(i, rate, now: now) }
      giveUpIfStalled(now: now)
      try turn(waitMs: rate == nil ? 50 : 1)
    }
    result.seconds = Double(Self.nowNs() - begin) / 1e9
    return result
  }

  /// Waits until nothing is on its way.
  func drain() throws {
    let deadline = Clock.now + 3
    while Clock.now < deadline, senders.contains(where: { $0.onTheWay > 0 || isUnconfirmed($0) }) {
      try turn(waitMs: 20)
    }
  }

  private func isUnconfirmed(_ sender: Sender) -> Bool {
    awaitsConfirmation && sender.sent > sender.port.acknowledged + sender.port.refused
  }

  private func mayGo(_ sender: Sender) -> Bool {
    guard sender.onTheWay < window else { return false }
    return !awaitsConfirmation || sender.sent - sender.port.acknowledged - sender.port.refused < window
  }

  private func send(_ i: Int, _ rate: Double?, now: UInt64) throws {
    // A flood must still read what is said to it.
    for _ in 0..<Self.sendsPerTurn where mayGo(senders[i]) {
      if let rate {
        guard senders[i].nextNs <= now else { return }
        senders[i].nextNs += UInt64(1e9 / rate)
      }
      if !senders[i].port.hasRoom(for: text.count) {
        _ = try senders[i].port.flush()
        guard senders[i].port.hasRoom(for: text.count) else { return }
      }
      let stamp = (Self.nowNs(), UInt32(i))
      text.withUnsafeMutableBytes {
        $0.storeBytes(of: stamp.0, toByteOffset: 0, as: UInt64.self)
        $0.storeBytes(of: stamp.1, toByteOffset: 8, as: UInt32.self)
      }
      senders[i].number += 1
      try senders[i].port.send(text, number: senders[i].number)
      senders[i].sent += 1
    }
  }

  private func giveUpIfStalled(now: UInt64) {
    guard now > lastArrivalNs + Self.stallNs else { return }
    lastArrivalNs = now
    for i in senders.indices {
      result.lost += max(0, senders[i].onTheWay)
      senders[i].sent = senders[i].arrived + senders[i].port.refused
    }
  }

  private func turn(waitMs: UInt64) throws {
    for i in senders.indices { try flush(senders[i].port, Self.senderTokens + UInt64(i)) }
    try flush(receiver, Self.receiverToken)
    try loop.wait(until: Platform.Clock.now + waitMs)
    for index in 0..<loop.count {
      let event = loop[index]
      guard event.isReadable || event.isHangup else { continue }
      let port = event.token == Self.receiverToken ? receiver : senders[Int(event.token - Self.senderTokens)].port
      try port.read()
    }
  }

  private func flush(_ port: LoadPort, _ token: UInt64) throws {
    let wanted: Interest = try port.flush() ? .read : [.read, .write]
    guard wanted != port.interest else { return }
    port.interest = wanted
    try loop.modify(port.tls.descriptor, token: token, wanted)
  }
}
