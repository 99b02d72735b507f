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
  }

  /// - Parameter frame: its source has been found to be the node that sent it.
  public static func decide(_ frame: FrameHeader, live: LiveTable) -> Decision {
    guard frame.hops < Limits.hops else { return .undeliverable(.unreachable) }
    if frame.destination == 0 { return .keep }
    // A node may write to itself: the frame comes back on the same link.
    guard let link = live.link(of: frame.destination) else { return .undeliverable(.unreachable) }
    return .deliver(to: link)
  }
}
