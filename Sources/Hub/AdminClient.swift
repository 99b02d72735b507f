import Foundation
import Wire

/// The commands' side of `admin.sock`. Blocking, with a time limit; one request a connection.
public struct AdminClient {
  private let path: String
  private let timeoutS: Int

  public init(_ directory: DataDirectory, timeoutS: Int = 10) {
    path = directory.adminSocketPath
    self.timeoutS = timeoutS
  }

  /// The hub's answer. Throws `daemonUnavailable` when no hub runs on this data directory, and whatever
  /// error the hub answered with.
  public func ask(_ request: AdminRequest) throws(HubError) -> AdminReply {
    let descriptor = try connectSocket()
    defer { close(descriptor) }
    do {
      var line = try JSONEncoder().encode(request)
      line.append(UInt8(ascii: "\n"))
      try send(line, to: descriptor)
      let reply = try JSONDecoder().decode(AdminReply.self, from: receive(from: descriptor))
      if let number = reply.error {
        let code = ErrorCode(rawValue: number) ?? .internalError
        throw HubError(code, "\(code.sentence)")
      }
      return reply
    } catch let error as HubError {
      throw error
    } catch {
      throw HubError(
        .internalError, "the hub's answer is not understood: \(error)",
        hint: "is the running hub another version? restart it")
    }
  }

  /// Tells a running hub that the registry has changed. Nil when no hub is running: nothing to tell then.
  public func refresh() throws(HubError) -> Int? {
    do {
      return try ask(AdminRequest(.refresh)).closed ?? 0
    } catch {
      if error.code == .daemonUnavailable { return nil }
      throw error
    }
  }

  private func connectSocket() throws(HubError) -> Int32 {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw HubError(.internalError, "socket: \(DataDirectory.reason())") }
    var address = try Self.address(path)
    var limit = timeval(tv_sec: timeoutS, tv_usec: 0)
    let size = socklen_t(MemoryLayout<timeval>.size)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
    let status = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard status == 0 else {
      let reason = errno
      close(descriptor)
      if reason == ENOENT || reason == ECONNREFUSED {
        throw HubError(
          .daemonUnavailable, "no hub is running on \(path)",
          hint: "start it: systemctl start skyhub, or skyhub serve")
      }
      throw HubError(.daemonUnavailable, "\(path): \(String(cString: strerror(reason)))")
    }
    return descriptor
  }

  /// The address of a Unix socket; `badConfiguration` when the path is too long for one.
  static func address(_ path: String) throws(HubError) -> sockaddr_un {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let room = MemoryLayout.size(ofValue: address.sun_path)
    guard path.utf8.count < room else {
      throw HubError(
        .badConfiguration, "\(path) is too long for a socket (\(room - 1) bytes)", hint: "choose a shorter --data")
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    return address
  }

  private func send(_ line: Data, to descriptor: Int32) throws(HubError) {
    var sent = 0
    while sent < line.count {
      let count = line.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress! + sent, line.count - sent, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { throw Self.noAnswer }
      sent += count
    }
  }

  private func receive(from descriptor: Int32) throws(HubError) -> Data {
    var answer = Data()
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while answer.last != UInt8(ascii: "\n") {
      let count = recv(descriptor, &chunk, chunk.count, 0)
      guard count > 0 else { throw Self.noAnswer }
      answer.append(contentsOf: chunk[..<count])
    }
    return answer
  }

  private static let noAnswer = HubError(
    .timeout, "the hub did not answer", hint: "it may be overloaded or stopping; see its journal")
}
