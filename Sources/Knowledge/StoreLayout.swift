import Bounded
import Wire

/// Where things are in the store's file: a head, a copy of the page that was written last, then the pages, of which each
/// question has two.
///
/// Two places to choose from fill the pages evenly: with one, some would be full when half of the file is empty.
public struct StoreLayout: Sendable {
  public let pages: Int

  /// `pages` counts those with entries.
  public init(pages: Int) { self.pages = pages }

  /// For a file of about this size.
  public init(fileBytes: UInt64) {
    let all = Int(min(fileBytes / UInt64(Limits.knowledgePageBytes), UInt64(Limits.knowledgePagesMaximum)))
    pages = max(Limits.knowledgePagesMinimum, all - Limits.knowledgeFirstPage)
  }

  public var fileBytes: UInt64 { UInt64((pages + Limits.knowledgeFirstPage) * Limits.knowledgePageBytes) }

  public static func offset(ofPage page: Int) -> UInt64 {
    UInt64((page + Limits.knowledgeFirstPage) * Limits.knowledgePageBytes)
  }

  public static let copyOffset = UInt64(Limits.knowledgePageBytes)

  /// The two pages of a hash, never the same.
  public func places(_ hash: UInt32) -> (Int, Int) {
    let mixed = UInt64(hash) &* 0x9E37_79B9_7F4A_7C15
    let first = Int((mixed >> 32) % UInt64(pages))
    let second = Int((mixed & 0xFFFF_FFFF) % UInt64(pages))
    return (first, second == first ? (first + 1) % pages : second)
  }

  // MARK: Head

  /// `SKYKNOW1`
  private static let magic: UInt64 = 0x3157_4F4E_4B59_4B53
  public static let headBytes = 16

  public func head() -> InlineArray<16, UInt8> {
    let low = Self.magic
    let count = UInt32(pages)
    var bytes = InlineArray<16, UInt8>(repeating: 0)
    for i in 0..<8 { bytes[i] = UInt8(truncatingIfNeeded: low >> UInt64(8 * i)) }
    for i in 0..<4 { bytes[8 + i] = UInt8(truncatingIfNeeded: count >> UInt32(8 * i)) }
    let sum = Crc32c.checksum(bytes.span.bytes.extracting(0..<12))
    for i in 0..<4 { bytes[12 + i] = UInt8(truncatingIfNeeded: sum >> UInt32(8 * i)) }
    return bytes
  }

  /// Nil for what is no head of a store.
  public init?(head: RawSpan) {
    guard head.byteCount >= Self.headBytes else { return nil }
    func number(_ offset: Int) -> UInt32 {
      UInt32(littleEndian: head.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
    let magic = UInt64(number(0)) | UInt64(number(4)) << 32
    let count = Int(number(8))
    guard magic == Self.magic, Crc32c.checksum(head.extracting(0..<12)) == number(12),
      count >= Limits.knowledgePagesMinimum, count <= Limits.knowledgePagesMaximum
    else { return nil }
    pages = count
  }
}
