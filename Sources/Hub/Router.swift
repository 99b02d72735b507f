import Bounded
import Wire

/// Decides where a message frame goes. Pure: it owns neither links nor queues.
public enum Router {
  public enum Decision: Equatable, Sendable {
    case deliver(to: LinkId)
    /// For the hub itself.
    case keep
    /// Tell the sender this with a receipt.
    case undeliverable(ErrorCode)
    /// The sender names somebody else as the source: close its link with this.
    case refuse(ErrorCode)
  }

  /// The longest way a frame may have come; one that came further is going round in circles.
  public static let hopsMaximum: UInt8 = 16

  /// - Parameter sender: the id of the authenticated node whose link the frame came on.
  public static func decide(_ frame: FrameHeader, from sender: UInt32, live: LiveTable) -> Decision {
    guard frame.source == sender else { return .refuse(.spoofedSource) }
    guard frame.hops < hopsMaximum else { return .undeliverable(.unreachable) }
    if frame.destination == 0 { return .keep }
    // A node may write to itself: the frame comes back on the same link.
    guard let link = live.link(of: frame.destination) else { return .undeliverable(.unreachable) }
    return .deliver(to: link)
  }
}
