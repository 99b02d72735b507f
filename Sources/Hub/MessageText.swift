import Bounded
import Foundation
import Packing
import Wire

extension Data {
  /// The text in the body of a message for the hub. Nil when it was packed and nobody can have packed it so.
  init?(textOf body: RawSpan, isPacked: Bool) {
    guard isPacked else {
      self.init(copying: body)
      return
    }
    var text = Data(count: Limits.messageBytes + Packing.spareBytes)
    guard let count = text.withUnsafeMutableBytes({ Packing.unpack(body, into: $0) }), count > 0 else { return nil }
    self = text.prefix(count)
  }
}
