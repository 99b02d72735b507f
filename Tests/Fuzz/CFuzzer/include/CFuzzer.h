#ifndef CFUZZER_H
#define CFUZZER_H
#include <stddef.h>
#include <stdint.h>

/* libFuzzer's driver for programs with their own main (clang's FuzzerDriver.cpp). It reads libFuzzer's
   options from argv, calls `one` with each input and returns the exit status. */
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*one)(const uint8_t *data, size_t size));

#endif
