import Bounded
import CSky
import Platform
import Testing
import Wire

@Suite struct Tls {
  @Test func pinnedServerIsAcceptedAndBothExportersAgree() throws {
    let server = try TestServer()
    let pair = try TlsPair(client: server.pinnedClient(), server: server.context)
    try pair.shake()
    let a = try pair.client.exporter()
    let b = try pair.server.exporter()
    #expect(array(a.span.bytes) == array(b.span.bytes))
    #expect(array(a.span.bytes) != [UInt8](repeating: 0, count: 32))
  }

  @Test func eachConnectionHasItsOwnExporter() throws {
    let server = try TestServer()
    let context = try server.pinnedClient()
    let first = try TlsPair(client: context, server: server.context)
    let second = try TlsPair(client: context, server: server.context)
    try first.shake()
    try second.shake()
    #expect(array(try first.client.exporter().span.bytes) != array(try second.client.exporter().span.bytes))
  }

  @Test func exporterBeforeTheHandshakeIsRefused() throws {
    let server = try TestServer()
    let pair = try TlsPair(client: server.pinnedClient(), server: server.context)
    #expect(thrown { () throws(ErrorCode) in _ = try pair.client.exporter() } == .tlsFailed)
  }

  @Test func anotherKeyIsAPinMismatch() throws {
    let server = try TestServer()
    let impostor = try TestServer()
    let pair = try TlsPair(client: server.pinnedClient(), server: impostor.context)
    #expect(thrown { () throws(ErrorCode) in try pair.shake() } == .pinMismatch)
    // The client told the server, which sees a failed handshake and no application data.
    #expect(thrown { () throws(ErrorCode) in _ = try pair.server.handshake() } == .tlsFailed)
  }

  @Test(arguments: [0, 1, 15, 31]) func onePinBitIsEnoughToRefuse(byte: Int) throws {
    let server = try TestServer()
    var pin = server.pin
    pin[byte] ^= 1
    let pair = try TlsPair(client: TlsContext.client(pin: pin), server: server.context)
    #expect(thrown { () throws(ErrorCode) in try pair.shake() } == .pinMismatch)
  }

  @Test func certificateOfTheCaWithTheRightNameIsAccepted() throws {
    let server = try TestServer(host: "hub.example")
    let client = try TlsContext.client(caPem: server.certificate.span.bytes)
    try TlsPair(client: client, server: server.context, host: "hub.example").shake()
  }

  @Test func certificateForALiteralAddressIsAccepted() throws {
    let server = try TestServer(host: "192.0.2.7")
    let client = try TlsContext.client(caPem: server.certificate.span.bytes)
    try TlsPair(client: client, server: server.context, host: "192.0.2.7").shake()
  }

  @Test func anotherNameIsNotAccepted() throws {
    let server = try TestServer(host: "hub.example")
    let client = try TlsContext.client(caPem: server.certificate.span.bytes)
    let pair = try TlsPair(client: client, server: server.context, host: "other.example")
    #expect(thrown { () throws(ErrorCode) in try pair.shake() } == .certificateInvalid)
  }

  @Test func anotherCaIsNotAccepted() throws {
    let server = try TestServer()
    let other = try TestServer()
    let client = try TlsContext.client(caPem: other.certificate.span.bytes)
    let pair = try TlsPair(client: client, server: server.context, host: "hub.example")
    #expect(thrown { () throws(ErrorCode) in try pair.shake() } == .certificateInvalid)
  }

  @Test func caWithoutANameIsRefusedBeforeAnythingIsSent() throws {
    let server = try TestServer()
    let client = try TlsContext.client(caPem: server.certificate.span.bytes)
    let error = thrown { () throws(ErrorCode) in _ = try TlsPair(client: client, server: server.context) }
    #expect(error == .certificateInvalid)
  }

  @Test func garbageIsNoCertificateAndNoKey() throws {
    let server = try TestServer()
    let garbage: [UInt8] = Array("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".utf8)
    #expect(
      thrown { () throws(ErrorCode) in _ = try TlsContext.client(caPem: garbage.span.bytes) } == .certificateInvalid)
    let empty: [UInt8] = []
    #expect(
      thrown { () throws(ErrorCode) in _ = try TlsContext.client(caPem: empty.span.bytes) } == .certificateInvalid)
    let other = try TestServer()
    #expect(
      thrown { () throws(ErrorCode) in
        _ = try TlsContext.server(certificate: server.certificate.span.bytes, key: other.key.span.bytes)
      } == .certificateInvalid)
  }

  @Test func streamWithoutGoodbyeIsTruncated() throws {
    let server = try TestServer()
    let client: TlsConnection
    do {
      let pair = try TlsPair(client: server.pinnedClient(), server: server.context)
      try pair.shake()
      client = pair.client
    }
    var queue = ByteQueue(capacity: 64)
    var error: ErrorCode?
    do throws(ErrorCode) { _ = try client.read(into: &queue) } catch let e { error = e }
    #expect(error == .truncated)
    let left = queue.count
    #expect(left == 0)
  }

  @Test func goodbyeIsAProperEnd() throws {
    let server = try TestServer()
    let pair = try TlsPair(client: server.pinnedClient(), server: server.context)
    try pair.shake()
    var output = ByteQueue(capacity: 64)
    output.append("last words")
    let wrote = try pair.server.write(from: &output)
    #expect(wrote == .done)
    pair.server.closeNotify()
    var input = ByteQueue(capacity: 64)
    let outcome = try pair.client.read(into: &input)
    #expect(outcome == .closed)
    let heard = array(input.bytes)
    #expect(heard == Array("last words".utf8))
  }

  @Test func bytesArriveWholeWhenTheDescriptorIsFullAndMoreIsAppended() throws {
    let server = try TestServer()
    let pair = try TlsPair(client: server.pinnedClient(), server: server.context)
    try pair.shake()
    let total = 2_000_000
    var output = ByteQueue(capacity: 50_000)
    var input = ByteQueue(capacity: 10_000)
    var sent = 0
    var received = 0
    var sawFull = false
    var wrong = 0
    while received < total {
      while sent < total, output.append(bigEndian: UInt8(truncatingIfNeeded: sent &* 31)) { sent += 1 }
      if try pair.client.write(from: &output) == .waiting {
        sawFull = true
        // What mbedTLS holds is only part of what is offered next time.
        while sent < total, output.append(bigEndian: UInt8(truncatingIfNeeded: sent &* 31)) { sent += 1 }
      }
      for _ in 0..<3 {
        _ = try pair.server.read(into: &input)
        for byte in array(input.bytes) {
          if byte != UInt8(truncatingIfNeeded: received &* 31) { wrong += 1 }
          received += 1
        }
        input.consume(input.count)
      }
    }
    #expect(sawFull)
    #expect(wrong == 0)
    #expect(received == total)
  }

  @Test func garbageInsteadOfAHandshakeFails() throws {
    let server = try TestServer()
    let (a, b) = try StreamSocket.pair()
    let connection = try TlsConnection(server.context, over: a)
    let request: [UInt8] = Array("GET / HTTP/1.0\r\n\r\n".utf8)
    _ = try b.write(request.span.bytes)
    #expect(thrown { () throws(ErrorCode) in _ = try connection.handshake() } == .tlsFailed)
    #expect(connection.detail != 0)
  }

  /// A man in the middle flips one bit of the `victim`th piece that goes to the client.
  @Test(arguments: [1, 2]) func aFlippedBitFails(victim: Int) throws {
    let server = try TestServer()
    let (near, relayNear) = try StreamSocket.pair()
    let (relayFar, far) = try StreamSocket.pair()
    let client = try TlsConnection(try server.pinnedClient(), over: near)
    let hub = try TlsConnection(server.context, over: far)
    var up = ByteQueue(capacity: 32_768)
    var down = ByteQueue(capacity: 32_768)
    var words = ByteQueue(capacity: 64)
    words.append("application data")
    var pieces = 0
    var error: ErrorCode?
    var input = ByteQueue(capacity: 256)
    var hubIsDone = false
    for _ in 0..<20 where error == nil {
      do throws(ErrorCode) {
        if try client.handshake() == .done { _ = try client.read(into: &input) }
      } catch let e { error = e }
      _ = try? relayNear.read(into: &up)
      _ = try? relayFar.write(from: &up)
      if !hubIsDone, let outcome = try? hub.handshake() { hubIsDone = outcome == .done }
      if hubIsDone { _ = try? hub.write(from: &words) }
      _ = try? relayFar.read(into: &down)
      if !down.isEmpty {
        pieces += 1
        if pieces == victim { down.withMutableBytes { $0[$0.count - 1] ^= 0x10 } }
      }
      _ = try? relayNear.write(from: &down)
    }
    #expect(error == .tlsFailed)
    let delivered = input.count
    #expect(delivered == 0)
  }

  @Test func fiftyConnectionsOneAfterTheOther() throws {
    let server = try TestServer()
    let context = try server.pinnedClient()
    for _ in 0..<50 {
      let pair = try TlsPair(client: context, server: server.context)
      try pair.shake()
    }
  }

  @Test func aRelaysKeyServesLikeAHubs() throws {
    let server = try TestServer(.p256)
    try TlsPair(client: try server.pinnedClient(), server: server.context).shake()
  }

  @Test(arguments: [TlsCredentials.KeyType.rsa, .p256]) func pinOfPemAndServedCertificateAgree(
    type: TlsCredentials.KeyType
  ) throws {
    let server = try TestServer(type)
    let again = try TlsContext.pin(ofCertificate: server.certificate.span.bytes)
    #expect(array(again.span.bytes) == array(server.pin.span.bytes))
  }

  @Test(arguments: ["", "two words", "a,CN=b", "naïve.example"])
  func noCertificateForWhatIsNoHostName(name: String) {
    #expect(
      thrown { () throws(ErrorCode) in _ = try TlsCredentials(host: HostText(name)!, .p256) } == .certificateInvalid)
  }

  /// The C layer gives error numbers; each is the negative of the one it means.
  @Test func theNumbersOfTheCLayerAreThoseOfErrorCode() {
    let pairs: [(Int32, ErrorCode)] = [
      (SKY_TLS_FAILED, .tlsFailed), (SKY_TLS_PIN_MISMATCH, .pinMismatch), (SKY_TLS_CERTIFICATE, .certificateInvalid),
      (SKY_TLS_CLOSED, .linkClosed), (SKY_TLS_TRUNCATED, .truncated), (SKY_TLS_FULL, .full), (SKY_DNS_FULL, .full),
      (SKY_DNS_FAILED, .resolveFailed),
    ]
    for (number, code) in pairs { #expect(number == -Int32(code.number), "\(code)") }
  }
}
