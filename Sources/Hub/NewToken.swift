import Bounded
import Foundation
import SkyCrypto
import Wire

/// A join token as it is made: the secret goes into the ticket, the verifier into the registry.
public struct NewToken {
  public let id: InlineArray<8, UInt8>
  public let secret: InlineArray<16, UInt8>

  public init() {
    var id = InlineArray<8, UInt8>(repeating: 0)
    var secret = InlineArray<16, UInt8>(repeating: 0)
    var idSpan = id.mutableSpan
    idSpan.withUnsafeMutableBytes { fillRandom($0) }
    var secretSpan = secret.mutableSpan
    secretSpan.withUnsafeMutableBytes { fillRandom($0) }
    self.id = id
    self.secret = secret
  }

  /// `SHA-256("skynod token" ‖ secret)`: the key of the MAC in HELLO.
  public static func verifier(of secret: InlineArray<16, UInt8>) -> Bytes32 {
    var hash = Sha256()
    hash.update("skynod token")
    hash.update(secret.raw)
    return hash.digest
  }

  /// The id of a token from its ticket; nil when the text is not one.
  public static func id(inTicket text: String) -> Data? {
    let bytes = Data(text.utf8)
    return bytes.withUnsafeBytes { bytes in
      do throws(ErrorCode) { return Data(try Ticket(parsing: bytes.bytes).tokenId) } catch { return nil }
    }
  }

  /// The one line a person carries to the board.
  public func ticket(for hub: HubEntry) -> String {
    var text = TextBuffer(capacity: Ticket.textBytes)
    Ticket(hub: hub, tokenId: id, tokenSecret: secret).append(to: &text)
    return String(decoding: text.bytes.withUnsafeBytes { Data($0) }, as: UTF8.self)
  }
}

extension Data {
  /// A copy of fixed-size public bytes.
  public init<let n: Int>(_ bytes: InlineArray<n, UInt8>) {
    self = bytes.span.withUnsafeBytes { Data($0) }
  }
}

extension InlineArray where Element == UInt8 {
  /// Nil unless `data` has exactly this many bytes.
  public init?(_ data: Data) {
    guard data.count == Self.capacityOfType else { return nil }
    let start = data.startIndex
    self.init { data[start + $0] }
  }

  private static var capacityOfType: Int { MemoryLayout<Self>.size }
}
