import Bounded
import Foundation
import Platform

/// MQTT 3.1.1, as much of it as a load needs. QoS 1 when durable.
final class MqttPort: StreamPort {
  private let isDurable: Bool
  private let topic: String
  private var head: [UInt8] = []
  private var isReady = false

  /// Connects; a receiver subscribes as well.
  init(port: UInt16, pin: InlineArray<32, UInt8>, name: String, topic: String, isReceiver: Bool, isDurable: Bool) throws
  {
    self.isDurable = isDurable
    self.topic = topic
    try super.init(try Self.dial(port), pin: pin)
    packet(0x10, Self.text("MQTT") + [4, 2, 0, 0] + Self.text(name))
    try pump(until: "MQTT's CONNACK") { isReady }
    guard isReceiver else { return }
    isReady = false
    packet(0x82, [0, 1] + Self.text(topic) + [isDurable ? 1 : 0])
    try pump(until: "MQTT's SUBACK") { isReady }
  }

  private static func text(_ text: String) -> [UInt8] {
    [UInt8(text.utf8.count >> 8), UInt8(text.utf8.count & 0xFF)] + Array(text.utf8)
  }

  private func packet(_ type: UInt8, _ rest: [UInt8]) { append([type] + Self.length(rest.count) + rest) }

  private static func length(_ count: Int) -> [UInt8] {
    var left = count
    var bytes: [UInt8] = []
    repeat {
      bytes.append(UInt8(left & 0x7F) | (left > 0x7F ? 0x80 : 0))
      left >>= 7
    } while left > 0
    return bytes
  }

  override func send(_ text: [UInt8], number: UInt64) throws {
    if head.isEmpty { head = Self.text(topic) }
    append([isDurable ? 0x32 : 0x30] + Self.length(head.count + (isDurable ? 2 : 0) + text.count) + head)
    // Packet ids are not zero.
    if isDurable { output.append(bigEndian: UInt16(number % 65_535 + 1)) }
    append(text)
  }

  override func take(_ bytes: UnsafeRawBufferPointer) throws -> Int {
    var used = 0
    while true {
      var at = used + 1
      var length = 0
      var shift = 0
      while at < bytes.count {
        length |= Int(bytes[at] & 0x7F) << shift
        shift += 7
        at += 1
        if bytes[at - 1] & 0x80 == 0 { break }
      }
      guard at < bytes.count || (at == bytes.count && length == 0 && shift > 0), at + length <= bytes.count else {
        return used
      }
      try take(bytes[used], UnsafeRawBufferPointer(rebasing: bytes[at..<(at + length)]))
      used = at + length
    }
  }

  private func take(_ type: UInt8, _ rest: UnsafeRawBufferPointer) throws {
    switch type & 0xF0 {
    case 0x20, 0x90:
      guard rest.count > 1, type == 0x90 || rest[1] == 0 else { throw BenchError("MQTT's CONNACK is a refusal") }
      isReady = true
    case 0x30:
      let topicBytes = Int(rest[0]) << 8 | Int(rest[1])
      var start = 2 + topicBytes
      if type & 0x06 != 0 {
        append([0x40, 2, rest[start], rest[start + 1]])
        start += 2
      }
      onArrival(UnsafeRawBufferPointer(rebasing: rest[start...]))
    case 0x40: acknowledged += 1
    default: break
    }
  }
}

/// NATS's client protocol, as much of it as a load needs. JetStream when durable.
final class NatsPort: StreamPort {
  private let subject: String
  private let isDurable: Bool
  private var pongs = 0
  private var lastReply = ""
  private let head: [UInt8]

  /// Connects. `subscribes` is what a receiver listens to; a durable sender hears of its messages at an inbox.
  init(port: UInt16, pin: InlineArray<32, UInt8>, name: String, subject: String, subscribes: String?, isDurable: Bool)
    throws
  {
    self.subject = subject
    self.isDurable = isDurable
    let inbox = "_INBOX.\(name)"
    head = Array("PUB \(subject) \(isDurable ? inbox + " " : "")".utf8)
    let socket = try Self.dial(port)
    // The server speaks first, in the clear; TLS follows.
    var last: UInt8 = 0
    while last != 0x0A {
      Self.wait(socket.descriptor, POLLIN)
      guard Glibc.read(socket.descriptor, &last, 1) != 0 else { throw BenchError("NATS closed a connection") }
    }
    try super.init(socket, pin: pin)
    say("CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":true,\"lang\":\"bench\",\"version\":\"1\"}\r\n")
    if let subscribes { say("SUB \(subscribes) 1\r\n") } else if isDurable { say("SUB \(inbox) 2\r\n") }
    say("PING\r\n")
    try pump(until: "NATS's PONG") { pongs > 0 }
  }

  /// One request to JetStream; its answer.
  func request(_ subject: String, _ json: String) throws -> String {
    lastReply = ""
    let inbox = "_INBOX.setup\(UInt32.random(in: 0...UInt32.max))"
    say("UNSUB 3\r\nSUB \(inbox) 3\r\nPUB \(subject) \(inbox) \(json.utf8.count)\r\n\(json)\r\nPING\r\n")
    try pump(until: "JetStream's answer") { !lastReply.isEmpty }
    guard !lastReply.contains("\"error\"") else { throw BenchError("JetStream: \(lastReply)") }
    return lastReply
  }

  override func send(_ text: [UInt8], number: UInt64) throws {
    append(head)
    append(Array(String(text.count).utf8))
    append([0x0D, 0x0A])
    append(text)
    append([0x0D, 0x0A])
  }

  override func take(_ bytes: UnsafeRawBufferPointer) throws -> Int {
    var used = 0
    while used < bytes.count, let end = bytes[used...].firstIndex(of: 0x0A) {
      let line = bytes[used..<end]
      guard line.first == 0x4D else {  // MSG
        try takeLine(String(decoding: line, as: UTF8.self))
        used = end + 1
        continue
      }
      let words = line.split { $0 == 0x20 || $0 == 0x0D }
      guard words.count >= 4, let count = Self.number(words[words.count - 1]) else { throw BenchError("NATS: \(line)") }
      let next = end + 1 + count + 2
      guard next <= bytes.count else { return used }
      let text = UnsafeRawBufferPointer(rebasing: bytes[(end + 1)..<(end + 1 + count)])
      takeMessage(subscription: words[2].first ?? 0, reply: words.count > 4 ? words[3] : nil, text)
      used = next
    }
    return used
  }

  private static func number(_ digits: Slice<UnsafeRawBufferPointer>) -> Int? {
    var value = 0
    for digit in digits {
      guard (0x30...0x39).contains(digit) else { return nil }
      value = value * 10 + Int(digit - 0x30)
    }
    return value
  }

  private func takeLine(_ line: String) throws {
    if line.hasPrefix("PING") { say("PONG\r\n") }
    if line.hasPrefix("PONG") { pongs += 1 }
    if line.hasPrefix("-ERR") { throw BenchError("NATS: \(line)") }
  }

  private func takeMessage(
    subscription: UInt8, reply: Slice<UnsafeRawBufferPointer>?, _ text: UnsafeRawBufferPointer
  ) {
    switch subscription {
    case 0x31:
      onArrival(text)
      guard isDurable, let reply else { return }
      append(Array("PUB ".utf8) + Array(reply) + Array(" 4\r\n+ACK\r\n".utf8))
    case 0x32:
      // {"stream":… or {"error":…
      if text.count > 2, text[2] == 0x65 { refused += 1 } else { acknowledged += 1 }
    default: lastReply = String(decoding: text, as: UTF8.self)
    }
  }
}
