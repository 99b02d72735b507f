#include "words.h"

#pragma clang diagnostic ignored "-Wc23-extensions"
static const unsigned char words[] __attribute__((aligned(64))) = {
#embed "words.lex"
};

const void *sky_words_start(void) { return words; }
size_t sky_words_bytes(void) { return sizeof words; }
