// The file and hand-over part of sky_os.h.
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sky_files_internal.h"
#include "sky_os.h"

// MARK: Descriptors handed over by systemd

#define FIRST_HANDED_OVER 3

int sky_listen_count(void) {
  const char *pid = getenv("LISTEN_PID");
  const char *count = getenv("LISTEN_FDS");
  if (!pid || !count || strtol(pid, NULL, 10) != (long)getpid()) return 0;
  long n = strtol(count, NULL, 10);
  if (n < 0 || n > 64) return 0;
  for (int fd = FIRST_HANDED_OVER; fd < FIRST_HANDED_OVER + n; fd++) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
      return -errno;
  }
  return (int)n;
}

int sky_listen_name(int index, char *out, size_t room) {
  const char *names = getenv("LISTEN_FDNAMES");
  if (!names) names = "";
  for (; index > 0; index--) {
    names = strchr(names, ':');
    if (!names) return -ENOENT;
    names++;
  }
  size_t length = strcspn(names, ":");
  if (length >= room) return -ENAMETOOLONG;
  memcpy(out, names, length);
  out[length] = 0;
  return (int)length;
}

// MARK: Files

ptrdiff_t sky_file_read(const char *path, void *out, size_t room) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return -errno;
  size_t filled = 0;
  ptrdiff_t result;
  for (;;) {
    char extra;
    bool full = filled == room;
    ptrdiff_t n = full ? sky_read(fd, &extra, 1) : sky_read(fd, (char *)out + filled, room - filled);
    result = n < 0 ? n : (ptrdiff_t)filled;
    if (n <= 0) break;
    if (full) {
      result = -EFBIG;
      break;
    }
    filled += (size_t)n;
  }
  close(fd);
  return result;
}

int sky_file_open(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return -errno;
  struct stat info;
  if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) return fd;
  close(fd);
  return -EINVAL;
}

const void *sky_descriptor_map(int fd, size_t *bytes) {
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size <= 0 || info.st_size > PTRDIFF_MAX) return NULL;
  void *start = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
  if (start == MAP_FAILED) return NULL;
  *bytes = (size_t)info.st_size;
  return start;
}

const void *sky_file_map(const char *path, size_t *bytes) {
  int fd = sky_file_open(path);
  if (fd < 0) return NULL;
  const void *start = sky_descriptor_map(fd, bytes);
  close(fd);
  return start;
}

void sky_file_unmap(const void *start, size_t bytes) { munmap((void *)start, bytes); }

static int write_all(int fd, const char *bytes, size_t n) {
  while (n > 0) {
    ssize_t done = write(fd, bytes, n);
    if (done < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    bytes += done;
    n -= (size_t)done;
  }
  return 0;
}

int sky_directory_sync_of(const char *path) {
  char directory[512];
  const char *slash = strrchr(path, '/');
  size_t length = slash ? (size_t)(slash - path) : 0;
  if (length >= sizeof directory) return -ENAMETOOLONG;
  memcpy(directory, path, length);
  directory[length] = 0;
  const char *name = slash ? (length ? directory : "/") : ".";
  int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  int result = fsync(fd) == 0 ? 0 : -errno;
  close(fd);
  return result;
}

// Two texts in one; snprintf would bring a third of a megabyte into a small static program. False when too long.
static bool join(char *out, size_t room, const char *first, const char *second) {
  size_t a = strlen(first), b = strlen(second);
  if (a + b >= room) return false;
  memcpy(out, first, a);
  memcpy(out + a, second, b + 1);
  return true;
}

int sky_file_write(const char *path, const void *bytes, size_t n, unsigned mode) {
  char temporary[512];
  if (!join(temporary, sizeof temporary, path, ".new")) return -ENAMETOOLONG;
  // One writer per state directory (its lock file sees to that): a leftover is from a crash.
  unlink(temporary);
  int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return -errno;
  int result = write_all(fd, bytes, n);
  if (result == 0 && fchmod(fd, mode) != 0) result = -errno;
  if (result == 0 && fsync(fd) != 0) result = -errno;
  if (close(fd) != 0 && result == 0) result = -errno;
  if (result == 0 && rename(temporary, path) != 0) result = -errno;
  if (result != 0) {
    unlink(temporary);
    return result;
  }
  return sky_directory_sync_of(path);
}

int sky_file_replace(const char *from, const char *to) {
  return rename(from, to) == 0 ? sky_directory_sync_of(to) : -errno;
}

int sky_file_place(const char *from, const char *to) {
  int result = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0 ? 0 : -errno;
  // File systems without it: a hard link does the same; without those (FAT), looking first has to do.
  if (result == -EINVAL || result == -ENOSYS) {
    result = link(from, to) == 0 ? 0 : -errno;
    if (result == 0) {
      unlink(from);
    } else if (result == -EPERM || result == -EOPNOTSUPP) {
      result = access(to, F_OK) == 0 ? -EEXIST : rename(from, to) == 0 ? 0 : -errno;
    }
  }
  return result == 0 ? sky_directory_sync_of(to) : result;
}

int sky_file_temporary(const char *directory) {
  int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) return fd;
  // Where the file system has no files without a name: one that is gone at once. Two at the same time meet
  // for a moment at most, and the second is refused.
  char path[512];
  if (!join(path, sizeof path, directory, "/.skynod-input")) return -ENAMETOOLONG;
  fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return -errno;
  unlink(path);
  return fd;
}

int sky_lock(int fd) {
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EINTR) return -errno;
  }
  return 0;
}

// The descriptor when this process has it alone; else it is closed.
static int locked(int fd) {
  if (fd < 0) return -errno;
  int result = sky_lock(fd);
  if (result == 0) return fd;
  close(fd);
  return result;
}

int sky_directory_lock(const char *path) { return locked(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)); }

int sky_file_remove(const char *path) { return unlink(path) == 0 ? 0 : -errno; }

bool sky_file_exists(const char *path) { return access(path, F_OK) == 0; }

int sky_file_group(const char *path, uint32_t *gid) {
  struct stat there;
  if (stat(path, &there) != 0) return -errno;
  *gid = there.st_gid;
  return 0;
}

int sky_directory_make(const char *path, unsigned mode) {
  if (mkdir(path, mode) == 0) return 0;
  if (errno != EEXIST) return -errno;
  struct stat there;
  if (stat(path, &there) != 0) return -errno;
  return S_ISDIR(there.st_mode) ? 0 : -ENOTDIR;
}

int sky_lock_file(const char *path) {
  return locked(open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
}

int sky_group_find(const char *name, uint32_t *gid) {
  FILE *file = fopen("/etc/group", "re");
  if (!file) return -errno;
  char line[1024];
  size_t length = strlen(name);
  int result = -ENOENT;
  bool whole = true;  // the next piece starts a line
  while (result != 0 && fgets(line, sizeof line, file)) {
    bool starts = whole;
    whole = strchr(line, '\n') != NULL;
    if (!starts || strncmp(line, name, length) != 0 || line[length] != ':') continue;
    const char *password_end = strchr(line + length + 1, ':');
    if (!password_end) continue;
    *gid = (uint32_t)strtoul(password_end + 1, NULL, 10);
    result = 0;
  }
  fclose(file);
  return result;
}
