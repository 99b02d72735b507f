import Bounded
import Platform
import Testing
import Wire

/// A server's context with what clients need to trust it.
struct TestServer {
  let context: TlsContext
  let pin: InlineArray<32, UInt8>
  let certificate: [UInt8]
  let key: [UInt8]

  init(host: String = "hub.example", _ type: TlsCredentials.KeyType = .rsa) throws(ErrorCode) {
    let made = try TlsCredentials(host: HostText(host)!, type)
    context = try TlsContext.server(certificate: made.certificate.bytes, key: made.key.bytes)
    pin = try TlsContext.pin(ofCertificate: made.certificate.bytes)
    certificate = array(made.certificate.bytes)
    key = array(made.key.bytes)
  }

  func pinnedClient() throws(ErrorCode) -> TlsContext { try TlsContext.client(pin: pin) }
}

func array(_ bytes: RawSpan) -> [UInt8] { (0..<bytes.byteCount).map { bytes[$0] } }

/// Two ends of a TLS connection over a socket pair, stepped by hand.
struct TlsPair {
  let client: TlsConnection
  let server: TlsConnection

  init(client: TlsContext, server: TlsContext, host: String? = nil) throws(ErrorCode) {
    let (a, b) = try StreamSocket.pair()
    self.client = try TlsConnection(client, over: a, host: host.flatMap { HostText($0) })
    self.server = try TlsConnection(server, over: b)
  }

  /// Both ends to the end of the handshake; throws what the client throws.
  func shake() throws(ErrorCode) {
    var serverError: ErrorCode?
    for _ in 0..<20 {
      let mine = try client.handshake()
      var theirs = HandshakeOutcome.waitRead
      do throws(ErrorCode) { theirs = try server.handshake() } catch { serverError = error }
      if mine == .done, theirs == .done { return }
      if let serverError, mine == .done { throw serverError }
    }
    throw .handshakeTimeout
  }
}

/// What `body` throws; nil when it does not.
func thrown(_ body: () throws(ErrorCode) -> Void) -> ErrorCode? {
  do throws(ErrorCode) {
    try body()
    return nil
  } catch {
    return error
  }
}
