// Names in a directory, without the heap.
#ifndef SKY_DIRECTORY_H
#define SKY_DIRECTORY_H
#include <stddef.h>

/// Fills `out` with the names in `path` but `.` and `..`, each ended by a zero byte, in the kernel's
/// order; names that do not fit are left out. Returns the bytes used, or -errno.
ptrdiff_t sky_directory_names(const char *path, char *out, size_t room);

#endif
