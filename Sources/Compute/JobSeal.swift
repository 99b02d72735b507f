import SkyCrypto
import Bounded
import Wire

/// What a hub signs of a job, and how a node looks at it before it does anything.
public enum JobSeal {
  static var label: StaticString { "skynod job" }

  /// Of everything that makes a job what it is, the node that it is for among it.
  public static func digest(_ order: JobOrder, node: UInt32, input: RawSpan) -> Bytes32 {
    var head = ByteQueue(capacity: 64)
    head.append(bigEndian: node)
    head.append(bigEndian: order.id)
    head.append(bigEndian: order.kind)
    head.append(bigEndian: order.argument)
    head.append(bigEndian: order.budgetMs)
    head.append(bigEndian: order.budgetBytes)
    var hash = Sha256()
    hash.update(head.bytes)
    hash.update(Sha256.digest(input).raw)
    return hash.digest
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
