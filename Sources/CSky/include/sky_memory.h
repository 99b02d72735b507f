// Memory of a program that takes all it needs at once, beside the small fixed heap.
#ifndef SKY_MEMORY_H
#define SKY_MEMORY_H
#include <stddef.h>

/// So many bytes, zero, at a page's start; the system gives each page when it is first written. NULL when it
/// refuses. They stay until the program ends.
void *sky_memory_reserve(size_t bytes);

#endif
