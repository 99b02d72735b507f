import Foundation

/// Processor time that a node spends on joining: TCP, TLS 1.3, X-Wing, signatures, first frames.
enum Handshake {
  private static let links = 20

  static func run(_ options: BenchOptions, _ lab: Lab) throws -> Report {
    var report = Report("handshake")
    report.notes = [
      Proc.machine(),
      "\(links) links of one running skynod to a real hub; each is cut once it is quiet, and the node comes back",
      "processor time of the whole process from /proc/PID/task/*/schedstat over all of them, divided by their number: "
        + "TCP, TLS 1.3, inner handshake, first frames, and the tidying up after the cut",
    ]
    let relay = try Relay()
    // The relay's place is the only one that the node hears of: it comes back there.
    let swarm = try Swarm(lab, advertised: relay.port)
    relay.start(to: swarm.port)
    let node = try Node(lab, "node", ticket: try swarm.ticket())
    try relay.waitQuiet()
    try node.waitOnline()
    let linksBefore = try number(node, "links")
    let before = try Proc.cpuMs(node.pid)
    for _ in 0..<links {
      relay.cut()
      try relay.waitQuiet()
    }
    let after = try Proc.cpuMs(node.pid)
    let made = try number(node, "links") - linksBefore
    guard made == Double(links) else { throw BenchError("\(figure(made)) links were made instead of \(links)") }
    report.metrics = [
      Metric("processor time for one handshake", (after - before) / Double(links), "ms", goal: .atMost(3)),
      Metric("bytes on the wire, both ways", Double(relay.bytes / (links + 1)), "bytes"),
    ]
    return report
  }

  private static func number(_ node: Node, _ key: String) throws -> Double {
    guard let value = Double(try node.status(key)) else { throw BenchError("skynodctl status: \(key) is no number") }
    return value
  }
}

/// Passes one connection at a time on to the hub, counts its bytes, and cuts it when told to.
private final class Relay: @unchecked Sendable {
  let port: UInt16
  private let listener: Int32
  private let lock = NSLock()
  private var ends: [Int32] = []
  private var passed = 0
  private var passedOnThisLink = 0
  private var lastByte = Clock.now

  init() throws { (listener, port) = try Net.listen() }

  func start(to target: UInt16) {
    Thread.detachNewThread { [self] in
      while true { serve(accept(listener, nil, nil), target) }
    }
  }

  var bytes: Int { lock.withLock { passed } }

  private func serve(_ node: Int32, _ target: UInt16) {
    guard node >= 0, let hub = try? Net.connect(target) else { return }
    lock.withLock {
      ends = [node, hub]
      passedOnThisLink = 0
      lastByte = Clock.now
    }
    let group = DispatchGroup()
    for (from, to) in [(node, hub), (hub, node)] {
      group.enter()
      Thread.detachNewThread { [self] in
        pass(from, to)
        group.leave()
      }
    }
    group.wait()
    close(node)
    close(hub)
  }

  private func pass(_ from: Int32, _ to: Int32) {
    while true {
      let part = Net.read(from)
      if part.isEmpty || !Net.write(part, to: to) { break }
      lock.withLock {
        passed += part.count
        passedOnThisLink += part.count
        lastByte = Clock.now
      }
    }
    shutdown(from, Int32(SHUT_RDWR))
    shutdown(to, Int32(SHUT_RDWR))
  }

  /// Waits for a link on which both sides have said all they had to say.
  func waitQuiet() throws {
    let deadline = Clock.now + 30
    while Clock.now < deadline {
      // A handshake is longer than 4 kB in all; half a second is far more than a pause within it.
      let isQuiet = lock.withLock { passedOnThisLink > 4_000 && Clock.now - lastByte > 0.5 }
      if isQuiet { return }
      usleep(20_000)
    }
    throw BenchError("the node did not come back within 30 s")
  }

  func cut() {
    lock.withLock {
      for end in ends { shutdown(end, Int32(SHUT_RDWR)) }
      passedOnThisLink = 0
    }
  }
}
