// The regular flavour links Debian trixie's static libraries on hosts with an older glibc. What these
// expect of a newer one is defined here, weakly: a newer host's own wins.
#ifndef SKY_FIXED_HEAP
#include <stdlib.h>

unsigned long __isoc23_strtoul(const char *text, char **end, int base) __attribute__((weak));
unsigned long __isoc23_strtoul(const char *text, char **end, int base) {
  return strtoul(text, end, base);
}

long __isoc23_strtol(const char *text, char **end, int base) __attribute__((weak));
long __isoc23_strtol(const char *text, char **end, int base) { return strtol(text, end, base); }
#endif
