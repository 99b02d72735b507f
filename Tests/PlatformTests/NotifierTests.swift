import Bounded
import CSky
import Foundation
import Platform
import SystemdOracle
import Testing

// What the notifier sends must equal what libsystemd sends for the state that sd_notify(3) asks for. One after
// the other: the environment belongs to the whole process.
@Suite(.serialized) struct SystemdNotify {
  /// What arrives from the notifier and from libsystemd, in turn, at a socket of the given kind.
  func compare(
    _ state: (Datagram) -> String, at place: Listener.Place = .file, attached: Int32 = -1, _ send: (Notifier) -> Void
  ) throws {
    let listener = try Listener(place)
    try #require(oracle_environment("NOTIFY_SOCKET", listener.path))
    defer { _ = oracle_environment("NOTIFY_SOCKET", "") }
    send(Notifier())
    let ours = try #require(listener.next())
    #expect(oracle_notify(state(ours), attached) > 0)
    let theirs = try #require(listener.next())
    #expect(ours == theirs)
    #expect(ours.sender == getpid())
    #expect(listener.next() == nil)
  }

  func compare(_ state: String, at place: Listener.Place = .file, _ send: (Notifier) -> Void) throws {
    try compare({ _ in state }, at: place, send)
  }

  @Test(arguments: [Listener.Place.file, .abstract, .longPath]) func readyWithStatus(place: Listener.Place) throws {
    try compare("READY=1\nSTATUS=online as NOD1000001 at hub.example:7411", at: place) { notifier in
      withSpan("online as NOD1000001 at hub.example:7411") { notifier.ready(status: $0) }
    }
  }

  @Test func status() throws {
    try compare("STATUS=grüße, 你好") { notifier in withSpan("grüße, 你好") { notifier.status($0) } }
  }

  @Test func lineBreaksCannotEndAStatus() throws {
    try compare("STATUS=a READY=1 b") { notifier in withSpan("a\nREADY=1\nb") { notifier.status($0) } }
  }

  @Test func watchdog() throws { try compare("WATCHDOG=1") { $0.watchdog() } }
  @Test func stopping() throws { try compare("STOPPING=1") { $0.stopping() } }

  @Test func reloadingCarriesTheMonotonicTime() throws {
    let before = sky_monotonic_us()
    var time: UInt64 = 0
    try compare(
      { ours in
        time = UInt64(ours.text.split(separator: "=").last ?? "") ?? 0
        return "RELOADING=1\nMONOTONIC_USEC=\(time)"
      }
    ) { $0.reloading() }
    #expect((before...sky_monotonic_us()).contains(time))
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    #expect(time / 1_000_000 <= UInt64(now.tv_sec))
  }

  @Test func storedDescriptorIsAttached() throws {
    let kept = try Listener()
    try compare({ _ in "FDSTORE=1\nFDNAME=control" }, attached: kept.descriptor) {
      $0.store(kept.descriptor, name: "control")
    }
  }

  @Test func withoutASocketNothingIsSent() {
    _ = oracle_environment("NOTIFY_SOCKET", "")
    let notifier = Notifier()
    #expect(!notifier.isListening)
    notifier.watchdog()
  }

  @Test func whatTheManagerWaitsForIsSentAgainWhileItsQueueIsFull() throws {
    let listener = try Listener()
    try #require(oracle_environment("NOTIFY_SOCKET", listener.path))
    defer { _ = oracle_environment("NOTIFY_SOCKET", "") }
    let notifier = Notifier()
    for _ in 0..<10_000 { notifier.watchdog() }  // more than any queue takes: the rest is gone
    let emptier = Thread {
      usleep(100_000)
      for _ in 0..<50 where listener.next()?.text != "WATCHDOG=1" { break }
    }
    emptier.start()
    notifier.stopping()
    while !emptier.isFinished { usleep(1_000) }
    var last: Datagram?
    while let datagram = listener.next() { last = datagram }
    #expect(last?.text == "STOPPING=1")
  }

  @Test(arguments: [
    ("3000000", ""), ("3000000", "self"), ("3000000", "1"), ("0", "self"), ("", "self"), ("abc", "self"),
    ("120000000", "self"),
  ])
  func watchdogIntervalIsThatOfLibsystemd(usec: String, owner: String) throws {
    try #require(oracle_environment("WATCHDOG_USEC", usec))
    // libsystemd tells an empty owner from none, which systemd never writes.
    let pid = owner == "self" || owner.isEmpty ? "\(getpid())" : owner
    try #require(oracle_environment("WATCHDOG_PID", pid))
    defer {
      _ = oracle_environment("WATCHDOG_USEC", "")
      _ = oracle_environment("WATCHDOG_PID", "")
    }
    var us: UInt64 = 0
    let isEnabled = oracle_watchdog(&us) > 0
    #expect(Notifier().watchdogMs == (isEnabled ? us / 1_000 : nil))
  }
}
