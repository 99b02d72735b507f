// What tokenizers need to know of characters.
#ifndef SKY_UNICODE_H
#define SKY_UNICODE_H
#include <stdint.h>

enum {
  SKY_CHARACTER_OTHER = 0,  ///< symbols, marks that are not accents, what is not assigned
  SKY_CHARACTER_LETTER = 1,
  SKY_CHARACTER_NUMBER = 2,
  SKY_CHARACTER_SPACE = 3,
  SKY_CHARACTER_PUNCTUATION = 4,
  SKY_CHARACTER_ACCENT = 5,   ///< a mark that takes no place of its own (Mn)
  SKY_CHARACTER_CONTROL = 6,
};
/// The kind of a character, by its code point.
int sky_character_kind(uint32_t character);
/// The letter in lower case and without its accents; the character itself for others.
uint32_t sky_character_folded(uint32_t character);

#endif
