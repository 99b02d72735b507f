#define _GNU_SOURCE
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "systemd_oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

// MARK: Environment

// Changed in place: setenv(3) would move the table that tests on other threads read.
static char notify_socket[160] = "NOTIFY_SOCKET=";
static char watchdog_usec[64] = "WATCHDOG_USEC=";
static char watchdog_pid[64] = "WATCHDOG_PID=";

__attribute__((constructor)) static void prepare_environment(void) {
  putenv(notify_socket);
  putenv(watchdog_usec);
  putenv(watchdog_pid);
}

bool oracle_environment(const char *name, const char *value) {
  struct { char *text; size_t room; } all[] = {
      {notify_socket, sizeof notify_socket}, {watchdog_usec, sizeof watchdog_usec}, {watchdog_pid, sizeof watchdog_pid}};
  size_t length = strlen(name);
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    if (strncmp(all[i].text, name, length) != 0 || all[i].text[length] != '=') continue;
    if (length + 1 + strlen(value) >= all[i].room) return false;
    strcpy(all[i].text + length + 1, value);
    return true;
  }
  return false;
}

// MARK: Receiving

static socklen_t address_of(const char *path, struct sockaddr_un *out) {
  memset(out, 0, sizeof *out);
  out->sun_family = AF_UNIX;
  size_t n = strlen(path);
  if (n >= sizeof out->sun_path) return 0;
  memcpy(out->sun_path, path, n);
  if (path[0] == '@') out->sun_path[0] = 0;
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path[0] == '@' ? 0 : 1));
}

int oracle_bind(const char *path) {
  struct sockaddr_un at;
  socklen_t length = address_of(path, &at);
  if (!length) return -ENAMETOOLONG;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int on = 1;
  if (fd < 0) return -errno;
  if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0 || bind(fd, (struct sockaddr *)&at, length) != 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

ptrdiff_t oracle_receive(int fd, void *out, size_t room, int *attached, pid_t *sender) {
  struct iovec piece = {.iov_base = out, .iov_len = room};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(8 * sizeof(int))];
  } control;
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  if (n < 0) return -errno;
  *attached = -1;
  *sender = 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    if (header->cmsg_type == SCM_CREDENTIALS) {
      struct ucred who;
      memcpy(&who, CMSG_DATA(header), sizeof who);
      *sender = who.pid;
    } else if (header->cmsg_type == SCM_RIGHTS) {
      bool is_one = *attached == -1 && header->cmsg_len == CMSG_LEN(sizeof(int));
      if (is_one) memcpy(attached, CMSG_DATA(header), sizeof(int));
      else *attached = -2;
    }
  }
  return n;
}

// MARK: Sending by libsystemd

int oracle_notify(const char *state, int attached) {
  return sd_pid_notify_with_fds(0, 0, state, attached >= 0 ? &attached : NULL, attached >= 0 ? 1 : 0);
}

int oracle_watchdog(uint64_t *us) { return sd_watchdog_enabled(0, us); }

static _Thread_local const char *redirected;
static _Thread_local char addressed[sizeof(struct sockaddr_un)];

int oracle_journal(const char *path, const char *const *fields, const size_t *lengths, size_t n) {
  struct iovec pieces[32];
  if (n > 32) return -E2BIG;
  for (size_t i = 0; i < n; i++) pieces[i] = (struct iovec){(void *)fields[i], lengths[i]};
  redirected = path;
  addressed[0] = 0;
  int status = sd_journal_sendv(pieces, (int)n);
  redirected = NULL;
  return status;
}

const char *oracle_journal_path(void) { return addressed; }

// libsystemd sends to one fixed path. This stands before libc's sendmsg(2) for the whole test program: what the
// library composed goes out unchanged, only to the socket that the test listens on.
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  if (!redirected) return syscall(SYS_sendmsg, fd, message, flags);
  const struct sockaddr_un *to = message->msg_name;
  if (to && to->sun_family == AF_UNIX) {
    size_t n = message->msg_namelen - offsetof(struct sockaddr_un, sun_path);
    memcpy(addressed, to->sun_path, n);
    addressed[n] = 0;
  }
  struct sockaddr_un at;
  struct msghdr copy = *message;
  copy.msg_name = &at;
  copy.msg_namelen = address_of(redirected, &at);
  return syscall(SYS_sendmsg, fd, &copy, flags);
}

// MARK: Descriptors

void oracle_stream_id(int fd, char out[64]) {
  struct stat there;
  if (fstat(fd, &there) != 0) memset(&there, 0, sizeof there);
  snprintf(out, 64, "%llu:%llu", (unsigned long long)there.st_dev, (unsigned long long)there.st_ino);
}

int oracle_seals(int fd) {
  int seals = fcntl(fd, F_GET_SEALS);
  return seals < 0 ? -errno : seals;
}
