import Bounded

/// The bytes of a span, for comparisons.
func array(_ span: RawSpan) -> [UInt8] { (0..<span.byteCount).map { span[$0] } }

func text(_ span: RawSpan) -> String { String(decoding: array(span), as: UTF8.self) }

/// A small generator whose sequence is the same everywhere.
struct Lcg {
  var state: UInt64

  mutating func next(_ bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int((state >> 33) % UInt64(bound))
  }
}
