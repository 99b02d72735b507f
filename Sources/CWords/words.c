#include "words.h"

#pragma clang diagnostic ignored "-Wc23-extensions"
static const unsigned char words[] __attribute__((aligned(64))) = {
#embed "words.lex"
};
// The build does not see that words.lex is another: who makes it anew changes this file, too.
_Static_assert(sizeof words == 60160, "words.lex has another size: see tools/lexicon-wire");

const void *sky_words_start(void) { return words; }
size_t sky_words_bytes(void) { return sizeof words; }
