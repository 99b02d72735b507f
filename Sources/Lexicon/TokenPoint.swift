/// A token's point on the complex plane, exactly: r = 1.1 + 0.1 * band, theta = 2 * pi * slot / 65,536.
public struct TokenPoint: Equatable, Sendable {
  /// 0 to 15; the commonest 65,536 words have 0.
  public var band: UInt8
  /// 0 to 65,535, unique within its band.
  public var slot: UInt16

  public static let bandCount = 16
  public static let slotCount = 65_536
  /// The bytes' own points: in the last band, behind every word.
  public static let byteBand: UInt8 = 15
  public static let byteSlot: UInt16 = 65_280

  public init(band: UInt8, slot: UInt16) {
    self.band = band & 15
    self.slot = slot
  }

  public static func ofByte(_ byte: UInt8) -> TokenPoint {
    TokenPoint(band: byteBand, slot: byteSlot + UInt16(byte))
  }

  /// Tenths: 11 is r = 1.1.
  public var radiusTenths: Int { 11 + Int(band) }
  public var radius: Double { Double(radiusTenths) / 10 }
  public var theta: Double { 2 * Double.pi * Double(slot) / 65_536 }
}

/// How far a token's sector can be trusted.
public enum SectorConfidence: UInt8, Sendable {
  /// A rule on the word's form; about half of these are wrong.
  case guess = 0
  /// By the language of the list that had the word, and nothing else.
  case language = 1
  /// By way of the word's base form.
  case derived = 2
  /// A source says so of this very word.
  case stated = 3
}

/// What the file has of a token in 32 bits: slot 0–15, band 16–19, sector 20–27, confidence 28–29.
public struct TokenMetadata: Equatable, Sendable {
  public let raw: UInt32

  public init(raw: UInt32) { self.raw = raw }

  public init(point: TokenPoint, sector: UInt8, confidence: SectorConfidence) {
    raw =
      UInt32(point.slot) | UInt32(point.band & 15) &<< 16 | UInt32(sector) &<< 20 | UInt32(confidence.rawValue) &<< 28
  }

  public var point: TokenPoint {
    TokenPoint(band: UInt8(truncatingIfNeeded: raw &>> 16) & 15, slot: UInt16(truncatingIfNeeded: raw))
  }
  public var sector: UInt8 { UInt8(truncatingIfNeeded: raw &>> 20) }
  public var confidence: SectorConfidence { SectorConfidence(rawValue: UInt8(truncatingIfNeeded: raw &>> 28) & 3)! }
  /// Band and slot as one number, in which the points section is sorted.
  public var order: UInt32 { raw & 0xF_FFFF }
}
