#define _GNU_SOURCE  // struct ucred
#include "sky_control.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

const int sky_control_again = EAGAIN;

static int address(struct sockaddr_un *to, const char *path) {
  memset(to, 0, sizeof *to);
  to->sun_family = AF_UNIX;
  size_t n = strlen(path);
  if (n == 0 || n >= sizeof to->sun_path) return -ENAMETOOLONG;
  memcpy(to->sun_path, path, n);
  return 0;
}

static int prepare(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return -errno;
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) return -errno;
  return 0;
}

static int fail(int fd, int error) {
  close(fd);
  return error;
}

static int stream(void) {
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) return -errno;
  int error = prepare(fd);
  return error < 0 ? fail(fd, error) : fd;
}

int sky_control_listen(const char *path, unsigned mode) {
  struct sockaddr_un at;
  int error = address(&at, path);
  if (error < 0) return error;
  int probe = sky_control_connect(path);
  if (probe >= 0) return fail(probe, -EADDRINUSE);
  struct stat there;
  // Only a socket is taken away: a wrong setting must not delete somebody's file.
  if (lstat(path, &there) == 0 && S_ISSOCK(there.st_mode)) unlink(path);
  int fd = stream();
  if (fd < 0) return fd;
  mode_t before = umask(0777);
  int bound = bind(fd, (struct sockaddr *)&at, sizeof at);
  error = -errno;
  umask(before);
  if (bound < 0) return fail(fd, error);
  if (chmod(path, (mode_t)mode) < 0 || listen(fd, 16) < 0) return fail(fd, -errno);
  return fd;
}

int sky_control_accept(int listener) {
  int fd;
  do fd = accept(listener, NULL, NULL);
  while (fd < 0 && errno == EINTR);
  if (fd < 0) return -errno;
  int error = prepare(fd);
  return error < 0 ? fail(fd, error) : fd;
}

int sky_control_connect(const char *path) {
  struct sockaddr_un at;
  int error = address(&at, path);
  if (error < 0) return error;
  int fd = stream();
  if (fd < 0) return fd;
  if (connect(fd, (struct sockaddr *)&at, sizeof at) < 0) return fail(fd, -errno);
  return fd;
}

int sky_control_pair(int ends[2]) {
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) return -errno;
  int error = prepare(ends[0]);
  return error < 0 ? error : prepare(ends[1]);
}

ptrdiff_t sky_control_read(int fd, void *into, size_t n) {
  ptrdiff_t got;
  do got = recv(fd, into, n, MSG_DONTWAIT);
  while (got < 0 && errno == EINTR);
  return got < 0 ? -errno : got;
}

ptrdiff_t sky_control_write(int fd, const void *from, size_t n) {
  ptrdiff_t put;
  do put = send(fd, from, n, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (put < 0 && errno == EINTR);
  return put < 0 ? -errno : put;
}

int sky_control_end_sending(int fd) { return shutdown(fd, SHUT_WR) < 0 ? -errno : 0; }

int sky_control_close(int fd) { return close(fd) < 0 ? -errno : 0; }

int sky_control_peer(int fd, uint32_t *uid, uint32_t *gid) {
  struct ucred who;
  socklen_t n = sizeof who;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0) return -errno;
  *uid = who.uid;
  *gid = who.gid;
  return 0;
}

bool sky_control_peer_in_group(int fd, uint32_t gid) {
  uint32_t uid, own;
  if (sky_control_peer(fd, &uid, &own) < 0) return false;
  if (own == gid) return true;
  uint32_t groups[256];
  socklen_t n = sizeof groups;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n) < 0) return false;
  for (size_t i = 0; i < n / sizeof groups[0]; i++)
    if (groups[i] == gid) return true;
  return false;
}

uint32_t sky_control_own_uid(void) { return (uint32_t)geteuid(); }

static int64_t decimal(const char *text, const char *end) {
  int64_t value = 0;
  if (text == end) return -1;
  for (; text < end; text++) {
    if (*text < '0' || *text > '9') return -1;
    value = value * 10 + (*text - '0');
    if (value > UINT32_MAX) return -1;
  }
  return value;
}

// Reads name:password:id:members lines itself: getgrnam would bring the name service switch, with
// its loadable modules, into a static program.
static int64_t match(const char *line, const char *end, const char *name) {
  size_t n = strlen(name);
  if ((size_t)(end - line) <= n || memcmp(line, name, n) != 0 || line[n] != ':') return -1;
  const char *id = memchr(line + n + 1, ':', (size_t)(end - line) - n - 1);
  if (!id++) return -1;
  const char *stop = memchr(id, ':', (size_t)(end - id));
  return decimal(id, stop ? stop : end);
}

int64_t sky_control_group_id(const char *name) {
  int64_t number = decimal(name, name + strlen(name));
  if (number >= 0 || !*name) return number;
  int fd = open("/etc/group", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  char buffer[4096];
  size_t have = 0;
  bool skip = false;  // in the rest of a line longer than the buffer
  int64_t found = -1;
  for (;;) {
    ptrdiff_t got = read(fd, buffer + have, sizeof buffer - have);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    have += (size_t)got;
    char *line = buffer;
    char *end;
    while (found < 0 && (end = memchr(line, '\n', have - (size_t)(line - buffer)))) {
      if (!skip) found = match(line, end, name);
      skip = false;
      line = end + 1;
    }
    if (found >= 0) break;
    have -= (size_t)(line - buffer);
    memmove(buffer, line, have);
    if (have == sizeof buffer) {
      // The id stands before the members, so it is in what is here.
      if (!skip) found = match(buffer, buffer + have, name);
      if (found >= 0) break;
      skip = true;
      have = 0;
    }
  }
  close(fd);
  return found;
}
