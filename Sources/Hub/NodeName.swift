import Foundation
import Wire

/// How a person names a node: `NOD1000000`, the start of its fingerprint, or its whole public key.
///
/// Parsing alone; whether such a node exists is the registry's business.
public enum NodeName: Equatable, Sendable {
  case id(UInt32)
  /// At least four bytes of the fingerprint's start.
  case fingerprint(Data)
  case key(Data)

  /// The fewest fingerprint bytes a person may give: fewer would match by accident.
  public static let fingerprintMinimumBytes = 4

  /// Throws `badArgument` saying what was expected.
  public init(_ text: String) throws(HubError) {
    let upper = text.uppercased()
    if upper.hasPrefix("NOD") {
      guard let id = UInt32(upper.dropFirst(3)) else { throw Self.notAName(text) }
      self = .id(id)
    } else if text.utf8.count == 2 * Limits.keyBytes, let key = Data(hex: text) {
      self = .key(key)
    } else if text.utf8.count <= 8, let id = UInt32(text), Self.isLightNode(id) {
      self = .id(id)
    } else if let start = Data(hex: text), start.count >= Self.fingerprintMinimumBytes {
      self = .fingerprint(start)
    } else {
      throw Self.notAName(text)
    }
  }

  public static func isLightNode(_ id: UInt32) -> Bool {
    (Limits.lightNodeFirst...Limits.lightNodeLast).contains(id)
  }

  public static func text(_ id: UInt32) -> String { "NOD\(id)" }

  private static func notAName(_ text: String) -> HubError {
    HubError(
      .badArgument, "“\(text)” does not name a node",
      hint: "give NOD and a number, at least 8 hex digits of a fingerprint, or a 64-digit key; see skyhub nodes")
  }
}
