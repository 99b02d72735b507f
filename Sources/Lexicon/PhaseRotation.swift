/// z' = z * e^(i*theta), exactly: a point's slot turns by 16 bits of keystream, its band stays.
///
/// A transform of token streams, not a protection: who knows which words are common learns from the bands,
/// and nothing is authenticated. Confidentiality and integrity are the link's (X-Wing and an AEAD).
///
/// The keystream is the caller's, ChaCha20 (RFC 8439) under the session's key: two bytes a point,
/// little-endian, never the same bytes twice.
public enum PhaseRotation {
  public static let keystreamBytesPerPoint = 2

  public static func rotate(_ point: TokenPoint, by turn: UInt16) -> TokenPoint {
    TokenPoint(band: point.band, slot: point.slot &+ turn)
  }

  public static func restore(_ point: TokenPoint, by turn: UInt16) -> TokenPoint {
    TokenPoint(band: point.band, slot: point.slot &- turn)
  }

  /// Rotates every point in place. The keystream must have at least two bytes a point.
  public static func rotate(_ points: inout MutableSpan<TokenPoint>, keystream: RawSpan) {
    precondition(keystream.byteCount / keystreamBytesPerPoint >= points.count)
    for i in points.indices { points[i] = rotate(points[i], by: keystream.u16(2 * i)) }
  }

  /// Undoes `rotate` with the same keystream.
  public static func restore(_ points: inout MutableSpan<TokenPoint>, keystream: RawSpan) {
    precondition(keystream.byteCount / keystreamBytesPerPoint >= points.count)
    for i in points.indices { points[i] = restore(points[i], by: keystream.u16(2 * i)) }
  }
}
