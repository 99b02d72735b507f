import SkyCrypto
import Bounded
import Wire

/// What a hub signs of a job, and how a node looks at it before it does anything.
public enum JobSeal {
  static var label: StaticString { "skynod job" }

  /// Of everything that makes a job what it is, the node that it is for among it.
  public static func digest(_ order: JobOrder, node: UInt32, input: RawSpan) -> Bytes32 {
    // In place: a queue would be an allocation for each job.
    var head = InlineArray<29, UInt8>(repeating: 0)
    put(UInt64(node), 4, at: 0, &head)
    put(order.id, 8, at: 4, &head)
    put(UInt64(order.kind), 1, at: 12, &head)
    put(order.argument, 8, at: 13, &head)
    put(UInt64(order.budgetMs), 4, at: 21, &head)
    put(UInt64(order.budgetBytes), 4, at: 25, &head)
    var hash = Sha256()
    hash.update(head.span.bytes)
    hash.update(Sha256.digest(input).raw)
    return hash.digest
  }

  private static func put(_ value: UInt64, _ count: Int, at start: Int, _ bytes: inout InlineArray<29, UInt8>) {
    for i in 0..<count { bytes[start + i] = UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1 - i))) }
  }

  /// The context is the hub's key: what one hub signed says nothing to the nodes of another.
  public static func sign(
    _ order: JobOrder, node: UInt32, input: RawSpan, by identity: borrowing Identity
  ) -> InlineArray<64, UInt8> {
    identity.sign(label: label, context: identity.publicKey, digest: digest(order, node: node, input: input))
  }

  public static func isGenuine(_ order: JobOrder, digest: Bytes32, hub key: Bytes32) -> Bool {
    Identity.verify(order.signature, by: key, label: label, context: key, digest: digest)
  }
}
