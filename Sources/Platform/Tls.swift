import Bounded
import CSky
import Wire

/// Trust (client) or identity (server) of TLS 1.3 connections; shared by any number of them.
public final class TlsContext {
  let raw: OpaquePointer

  private init(_ raw: OpaquePointer) { self.raw = raw }

  deinit { sky_tls_context_free(raw) }

  /// A client that accepts exactly the server key with this SHA-256 of its SubjectPublicKeyInfo. Names
  /// and dates do not matter: it works on a board whose clock says 1970.
  public static func client(pin: InlineArray<32, UInt8>) throws(ErrorCode) -> TlsContext {
    var made: OpaquePointer?
    let result = withUnsafeBytes(of: pin) {
      sky_tls_client_pinned(&made, $0.baseAddress!.assumingMemoryBound(to: UInt8.self))
    }
    return try finish(made, result)
  }

  /// From here on only AES-128-GCM is offered: for benchmarks, with servers whose AES is the quicker cipher.
  public func offerOnlyAes() { sky_tls_only_aes(raw) }

  /// A client that accepts certificates under the CA certificates in `pem` for the host's name. While
  /// the system's clock is before 2024, validity dates are ignored.
  public static func client(caPem pem: RawSpan) throws(ErrorCode) -> TlsContext {
    var made: OpaquePointer?
    let result = pem.withUnsafeBytes { sky_tls_client_ca(&made, $0.baseAddress, $0.count) }
    return try finish(made, result)
  }

  /// A server with its certificate chain and key, PEM or DER.
  public static func server(certificate: RawSpan, key: RawSpan) throws(ErrorCode) -> TlsContext {
    var made: OpaquePointer?
    let result = certificate.withUnsafeBytes { c in
      key.withUnsafeBytes { k in sky_tls_server(&made, c.baseAddress, c.count, k.baseAddress, k.count) }
    }
    return try finish(made, result)
  }

  private static func finish(_ made: OpaquePointer?, _ result: Int32) throws(ErrorCode) -> TlsContext {
    guard result == 0, let made else { throw tlsError(Int(result)) }
    return TlsContext(made)
  }

  /// The pin of a certificate (PEM or DER): SHA-256 of its SubjectPublicKeyInfo.
  public static func pin(ofCertificate certificate: RawSpan) throws(ErrorCode) -> InlineArray<32, UInt8> {
    var pin = InlineArray<32, UInt8>(repeating: 0)
    let result = certificate.withUnsafeBytes { from in
      withUnsafeMutableBytes(of: &pin) {
        sky_tls_certificate_pin(from.baseAddress, from.count, $0.baseAddress!.assumingMemoryBound(to: UInt8.self))
      }
    }
    guard result == 0 else { throw tlsError(Int(result)) }
    return pin
  }
}

/// A fresh key with its self-signed certificate, both PEM. The key is wiped with the queue.
public struct TlsCredentials: ~Copyable {
  public var certificate = ByteQueue(capacity: 2_048)
  public var key = ByteQueue(capacity: 2_048)

  /// Room for what a file holds.
  public init() {}

  public enum KeyType: Sendable {
    /// RSA of 2,048 bits: cheap for those who check it, seconds of work for a small board to make.
    case rsa
    case p256
  }

  /// For a host name or literal address.
  public init(host: InlineText<253>, _ type: KeyType) throws(ErrorCode) {
    var result: Int32 = 0
    certificate.appendInPlace(upTo: 2_048) { c in
      key.appendInPlace(upTo: 2_048) { k in
        let (c, k) = (c.bindMemory(to: CChar.self), k.bindMemory(to: CChar.self))
        result = host.withCString {
          sky_tls_make_certificate($0, type == .rsa, c.baseAddress, c.count, k.baseAddress, k.count)
        }
        return result == 0 ? textLength(k) : 0
      }
      return result == 0 ? textLength(c.bindMemory(to: CChar.self)) : 0
    }
    guard result == 0 else { throw .certificateInvalid }
  }
}

private func textLength(_ text: UnsafeMutableBufferPointer<CChar>) -> Int {
  var n = 0
  while n < text.count, text[n] != 0 { n += 1 }
  return n
}

/// What a handshake waits for.
public enum HandshakeOutcome: Equatable, Sendable {
  case done
  case waitRead
  case waitWrite
}

/// One TLS 1.3 connection over a stream that it owns. Not usable after a thrown error.
///
/// A connection may hold decrypted bytes that its descriptor does not show: read until `waiting`.
public final class TlsConnection {
  private let raw: OpaquePointer
  private let context: TlsContext
  public let socket: StreamSocket

  /// `host` (clients; optional with a pin) is the name asked for and, with a CA, checked.
  public init(_ context: TlsContext, over socket: StreamSocket, host: InlineText<253>? = nil) throws(ErrorCode) {
    var made: OpaquePointer?
    let result: Int32
    if let host {
      result = host.withCString { sky_tls_open(&made, context.raw, socket.descriptor, $0) }
    } else {
      result = sky_tls_open(&made, context.raw, socket.descriptor, nil)
    }
    guard result == 0, let made else { throw tlsError(Int(result)) }
    raw = made
    self.context = context
    self.socket = socket
  }

  deinit { sky_tls_free(raw) }

  public var descriptor: Int32 { socket.descriptor }

  /// Goes on with the handshake. `pinMismatch`, `certificateInvalid` or `tlsFailed` when it failed.
  public func handshake() throws(ErrorCode) -> HandshakeOutcome {
    let result = sky_tls_handshake(raw)
    switch result {
    case 0: return .done
    case SKY_TLS_WANT_READ: return .waitRead
    case SKY_TLS_WANT_WRITE: return .waitWrite
    default: throw tlsError(Int(result))
    }
  }

  /// Reads until nothing is left or the queue is full. `truncated` when the stream ended without
  /// goodbye, `tlsFailed` when a record does not authenticate.
  public func read(into queue: inout ByteQueue) throws(ErrorCode) -> ReadOutcome {
    while queue.space > 0 {
      var result = 0
      queue.appendInPlace(upTo: queue.space) { room in
        result = sky_tls_read(raw, room.baseAddress, room.count)
        return max(0, result)
      }
      if result > 0 { continue }
      if result == Int(SKY_TLS_WANT_READ) || result == Int(SKY_TLS_WANT_WRITE) { return .waiting }
      if result == Int(SKY_TLS_CLOSED) { return .closed }
      throw tlsError(result)
    }
    return .full
  }

  /// Writes until the queue is empty or the descriptor takes no more. After `waiting` the queue's
  /// bytes must stay; more may be appended.
  public func write(from queue: inout ByteQueue) throws(ErrorCode) -> WriteOutcome {
    while !queue.isEmpty {
      let result = queue.bytes.withUnsafeBytes { sky_tls_write(raw, $0.baseAddress, $0.count) }
      if result == Int(SKY_TLS_WANT_WRITE) || result == Int(SKY_TLS_WANT_READ) { return .waiting }
      if result < 0 { throw tlsError(result) }
      queue.consume(result)
    }
    return .done
  }

  /// Says goodbye, as far as the descriptor takes it at once.
  public func closeNotify() { _ = sky_tls_close_notify(raw) }

  /// 32 bytes of keying material that only the two ends of this connection share (RFC 8446, section
  /// 7.5, label `EXPORTER-skynod-1`). After the handshake.
  public func exporter() throws(ErrorCode) -> InlineArray<32, UInt8> {
    var out = InlineArray<32, UInt8>(repeating: 0)
    let result = withUnsafeMutableBytes(of: &out) {
      sky_tls_exporter(raw, $0.baseAddress!.assumingMemoryBound(to: UInt8.self))
    }
    guard result == 0 else { throw tlsError(Int(result)) }
    return out
  }

  /// mbedTLS's own number of the last failure, for the journal.
  public var detail: Int32 { sky_tls_detail(raw) }
}

func tlsError(_ result: Int) -> ErrorCode {
  guard result < 0, result > -1_000 else { return .tlsFailed }
  return ErrorCode(rawValue: UInt16(-result)) ?? .tlsFailed
}
