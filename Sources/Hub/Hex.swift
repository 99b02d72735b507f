import Bounded
import Foundation

extension Data {
  /// Lower-case hexadecimal, two digits a byte.
  public var hex: String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(count * 2)
    for byte in self {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// Nil unless `hex` is an even number of hexadecimal digits.
  public init?(hex: some StringProtocol) {
    let digits = Array(hex.utf8)
    guard digits.count.isMultiple(of: 2) else { return nil }
    var bytes = Data(capacity: digits.count / 2)
    for i in stride(from: 0, to: digits.count, by: 2) {
      guard let byte = hexByte(digits[i], digits[i + 1]) else { return nil }
      bytes.append(byte)
    }
    self = bytes
  }

  /// A copy of a span's bytes.
  init(copying span: RawSpan) { self = span.withUnsafeBytes { Data($0) } }
}
