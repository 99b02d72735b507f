#define _GNU_SOURCE
#include "sky_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// getdents64(2); glibc's opendir would allocate 32 KiB.
struct entry {
  uint64_t inode;
  int64_t offset;
  unsigned short length;
  unsigned char type;
  char name[];
};

ptrdiff_t sky_directory_names(const char *path, char *out, size_t room) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  _Alignas(8) char buffer[2048];
  size_t used = 0;
  long got;
  while ((got = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
    for (long at = 0; at < got;) {
      struct entry *e = (struct entry *)(buffer + at);
      at += e->length;
      size_t n = strlen(e->name) + 1;
      if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0 || used + n > room) continue;
      memcpy(out + used, e->name, n);
      used += n;
    }
  }
  int error = errno;
  close(fd);
  return got < 0 ? -error : (ptrdiff_t)used;
}
