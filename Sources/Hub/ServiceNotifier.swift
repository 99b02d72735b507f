import Foundation
import Wire

/// Tells systemd how the service is doing (sd_notify(3)): one datagram a notice. Does nothing when
/// `NOTIFY_SOCKET` is not set, and never fails: a service must not end because nobody listens.
public final class ServiceNotifier {
  private let descriptor: Int32
  private var address = sockaddr_un()
  private var addressBytes: socklen_t = 0

  public init(socketPath: String? = ProcessInfo.processInfo.environment["NOTIFY_SOCKET"]) {
    guard let path = socketPath, path.hasPrefix("/") || path.hasPrefix("@"),
      var made = try? AdminClient.address(path)
    else {
      descriptor = -1
      return
    }
    // An abstract name starts with a zero byte and has no terminator.
    if path.hasPrefix("@") { made.sun_path.0 = 0 }
    let terminator = path.hasPrefix("/") ? 1 : 0
    addressBytes = socklen_t(MemoryLayout<sa_family_t>.size + path.utf8.count + terminator)
    address = made
    descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  public func tell(_ notice: HubNotice) {
    switch notice {
    case .ready: send("READY=1")
    case .reloading: send("RELOADING=1\nMONOTONIC_USEC=\(monotonicUs())")
    case .stopping: send("STOPPING=1")
    case .stopped: send("STATUS=stopped")
    case .status(let text): send("STATUS=\(text)")
    }
  }

  private func monotonicUs() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1_000
  }

  private func send(_ text: String) {
    guard descriptor >= 0 else { return }
    let bytes = Array(text.utf8)
    _ = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        sendto(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT), $0, addressBytes)
      }
    }
  }
}
