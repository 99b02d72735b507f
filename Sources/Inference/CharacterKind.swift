import CKernels

/// What tokenizers need to know of a character; raw values are those of `sky_unicode.h`.
enum CharacterKind: Int32 {
  /// Symbols, marks that take a place of their own, what is not assigned.
  case other = 0
  case letter, number, space, punctuation, accent, control

  init(_ code: UInt32) { self = Self(rawValue: sky_character_kind(code)) ?? .other }
}
