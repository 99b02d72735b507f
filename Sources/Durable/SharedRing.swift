/// A ring that two parts share: whoever uses it, and the file that keeps it on the medium.
public final class SharedRing {
  public var ring: DurableRing

  public init(_ parameters: RingParameters) { ring = DurableRing(parameters) }
}
