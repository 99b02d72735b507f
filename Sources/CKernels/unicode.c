#include "sky_unicode.h"

#include <stddef.h>

typedef struct {
  uint32_t first, last, step, target;
} fold;

#include "unicode_table.h"

int sky_character_kind(uint32_t character) {
  size_t low = 0, high = sizeof kinds / sizeof *kinds;
  while (high - low > 1) {
    size_t middle = (low + high) / 2;
    if (kinds[middle] >> 3 <= character) low = middle;
    else high = middle;
  }
  return (int)(kinds[low] & 7);
}

uint32_t sky_character_folded(uint32_t character) {
  if (character < 0x80) return character >= 'A' && character <= 'Z' ? character + 32 : character;
  size_t low = 0, high = sizeof folds / sizeof *folds;
  while (low < high) {
    size_t middle = (low + high) / 2;
    const fold *f = &folds[middle];
    if (character < f->first) high = middle;
    else if (character > f->last) low = middle + 1;
    else return (character - f->first) % f->step == 0 ? f->target + (character - f->first) : character;
  }
  return character;
}
