// The dictionary that message bodies are packed with, as a file of docs/lexicon.md in the program itself.
#ifndef SKY_WORDS_H
#define SKY_WORDS_H
#include <stddef.h>

const void *sky_words_start(void);
size_t sky_words_bytes(void);

#endif
