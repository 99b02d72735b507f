#define _GNU_SOURCE
#include "sky_memory.h"

#include <sys/mman.h>

void *sky_memory_reserve(size_t bytes) {
  void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return start == MAP_FAILED ? NULL : start;
}
