#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64
#include "sky_os.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

_Static_assert(SKY_AGAIN == -EAGAIN && SKY_IN_PROGRESS == -EINPROGRESS, "errno");
_Static_assert(SKY_NO_ENTRY == -ENOENT && SKY_TOO_BIG == -EFBIG, "errno");

// MARK: Clocks, randomness, process

static uint64_t in_us(struct timespec t) { return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000; }

static uint64_t clock_us(clockid_t clock) {
  struct timespec t;
  if (clock_gettime(clock, &t) != 0) clock_gettime(CLOCK_MONOTONIC, &t);
  return in_us(t);
}

uint64_t sky_clock_ms(void) { return clock_us(CLOCK_BOOTTIME) / 1000; }
int64_t sky_wall_ms(void) { return (int64_t)(clock_us(CLOCK_REALTIME) / 1000); }
uint64_t sky_cpu_us(void) { return clock_us(CLOCK_PROCESS_CPUTIME_ID); }

uint64_t sky_process_cpu_us(int process) {
  clockid_t clock;
  struct timespec t;
  if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &t) != 0) return 0;
  return in_us(t);
}

int sky_wall_set_ms(int64_t ms) {
  struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
  return clock_settime(CLOCK_REALTIME, &t) == 0 ? 0 : -errno;
}

int sky_random(void *out, size_t bytes) {
  unsigned char *at = out;
  while (bytes > 0) {
    ssize_t n = getrandom(at, bytes, 0);
    if (n < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    at += n;
    bytes -= (size_t)n;
  }
  return 0;
}

int sky_process_id(void) { return (int)getpid(); }

int sky_processors(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}
uint32_t sky_user_id(void) { return getuid(); }
uint32_t sky_effective_user_id(void) { return geteuid(); }
const char *sky_environment(const char *name) { return getenv(name); }
void sky_exit(int status) { _exit(status); }

// MARK: Waiting

int sky_epoll_create(void) {
  int fd = epoll_create1(EPOLL_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

static int epoll_change(int epoll, int operation, int fd, uint32_t flags, uint64_t token) {
  struct epoll_event event = {.events = 0};
  if (flags & SKY_READ) event.events |= EPOLLIN | EPOLLRDHUP;
  if (flags & SKY_WRITE) event.events |= EPOLLOUT;
  event.data.u64 = token;
  return epoll_ctl(epoll, operation, fd, &event) == 0 ? 0 : -errno;
}

int sky_epoll_add(int epoll, int fd, uint32_t flags, uint64_t token) {
  return epoll_change(epoll, EPOLL_CTL_ADD, fd, flags, token);
}
int sky_epoll_modify(int epoll, int fd, uint32_t flags, uint64_t token) {
  return epoll_change(epoll, EPOLL_CTL_MOD, fd, flags, token);
}
int sky_epoll_remove(int epoll, int fd) { return epoll_change(epoll, EPOLL_CTL_DEL, fd, 0, 0); }

int sky_epoll_wait(int epoll, sky_event *events, int max, int timeout_ms) {
  struct epoll_event raw[64];
  if (max > 64) max = 64;
  int n = epoll_wait(epoll, raw, max, timeout_ms);
  if (n < 0) return errno == EINTR ? 0 : -errno;
  for (int i = 0; i < n; i++) {
    uint32_t flags = 0;
    if (raw[i].events & EPOLLIN) flags |= SKY_READ;
    if (raw[i].events & EPOLLOUT) flags |= SKY_WRITE;
    // A peer that has only ended its sending side is read to its end, and may still want its replies.
    if (raw[i].events & EPOLLRDHUP) flags |= SKY_READ;
    if (raw[i].events & (EPOLLHUP | EPOLLERR)) flags |= SKY_HANGUP | SKY_READ;
    events[i] = (sky_event){.token = raw[i].data.u64, .flags = flags};
  }
  return n;
}

int sky_signal_open(bool children) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  if (children) sigaddset(&set, SIGCHLD);
  signal(SIGPIPE, SIG_IGN);
  if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) return -errno;
  int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

int sky_signal_read(int fd) {
  struct signalfd_siginfo info;
  ptrdiff_t n = sky_read(fd, &info, sizeof info);
  if (n == -EAGAIN) return 0;
  if (n < 0) return (int)n;
  if (n != (ptrdiff_t)sizeof info) return -EIO;
  if (info.ssi_signo == SIGHUP) return SKY_SIGNAL_RELOAD;
  if (info.ssi_signo == SIGCHLD) return SKY_SIGNAL_CHILD;
  return SKY_SIGNAL_TERMINATE;
}

ptrdiff_t sky_read(int fd, void *out, size_t bytes) {
  for (;;) {
    ssize_t n = read(fd, out, bytes);
    if (n >= 0) return n;
    if (errno != EINTR) return -errno;
  }
}

ptrdiff_t sky_write(int fd, const void *bytes, size_t n) {
  for (;;) {
    ssize_t done = send(fd, bytes, n, MSG_NOSIGNAL);
    if (done < 0 && errno == ENOTSOCK) done = write(fd, bytes, n);
    if (done >= 0) return done;
    if (errno != EINTR) return -errno;
  }
}

ptrdiff_t sky_write2(int fd, const void *a, size_t an, const void *b, size_t bn) {
  struct iovec pieces[2] = {{(void *)a, an}, {(void *)b, bn}};
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
  for (;;) {
    ssize_t done = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (done < 0 && errno == ENOTSOCK) done = writev(fd, pieces, 2);
    if (done >= 0) return done;
    if (errno != EINTR) return -errno;
  }
}

void sky_close(int fd) {
  if (fd >= 0) close(fd);
}

// MARK: Addresses

typedef union {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} socket_address;

static socklen_t to_socket_address(const sky_address *address, socket_address *out) {
  memset(out, 0, sizeof *out);
  if (address->family == 4) {
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons(address->port);
    memcpy(&out->v4.sin_addr, address->bytes, 4);
    return sizeof out->v4;
  }
  out->v6.sin6_family = AF_INET6;
  out->v6.sin6_port = htons(address->port);
  out->v6.sin6_scope_id = address->scope;
  memcpy(&out->v6.sin6_addr, address->bytes, 16);
  return sizeof out->v6;
}

static void from_socket_address(const socket_address *in, sky_address *out) {
  memset(out, 0, sizeof *out);
  if (in->any.sa_family == AF_INET) {
    out->family = 4;
    out->port = ntohs(in->v4.sin_port);
    memcpy(out->bytes, &in->v4.sin_addr, 4);
  } else if (in->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in->v6.sin6_addr)) {
    out->family = 4;
    out->port = ntohs(in->v6.sin6_port);
    memcpy(out->bytes, in->v6.sin6_addr.s6_addr + 12, 4);
  } else if (in->any.sa_family == AF_INET6) {
    out->family = 6;
    out->port = ntohs(in->v6.sin6_port);
    out->scope = in->v6.sin6_scope_id;
    memcpy(out->bytes, &in->v6.sin6_addr, 16);
  }
}

int sky_address_parse(const char *text, uint16_t port, sky_address *out) {
  memset(out, 0, sizeof *out);
  out->port = port;
  if (inet_pton(AF_INET, text, out->bytes) == 1) {
    out->family = 4;
    return 0;
  }
  if (inet_pton(AF_INET6, text, out->bytes) == 1) {
    out->family = 6;
    return 0;
  }
  return -EINVAL;
}

int sky_address_format(const sky_address *address, char *out, size_t room) {
  int family = address->family == 4 ? AF_INET : AF_INET6;
  if (!inet_ntop(family, address->bytes, out, (socklen_t)room)) return -errno;
  return (int)strlen(out);
}

// MARK: TCP

int sky_tcp_connect(const sky_address *address) {
  socket_address to;
  socklen_t length = to_socket_address(address, &to);
  int fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  // EINTR needs no second call: the attempt goes on by itself and epoll tells its end.
  if (connect(fd, &to.any, length) == 0 || errno == EINPROGRESS || errno == EINTR) return fd;
  int error = errno;
  close(fd);
  return -error;
}

int sky_tcp_result(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return -errno;
  if (error) return -error;
  socket_address peer;
  length = sizeof peer;
  if (getpeername(fd, &peer.any, &length) == 0) return 0;
  return errno == ENOTCONN ? -EINPROGRESS : -errno;
}

static int close_and(int fd, int error) {
  close(fd);
  return -error;
}

int sky_tcp_listen(const sky_address *address, int backlog) {
  socket_address at;
  socklen_t length = to_socket_address(address, &at);
  int fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address->family == 6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (bind(fd, &at.any, length) != 0 || listen(fd, backlog) != 0) return close_and(fd, errno);
  return fd;
}

int sky_accept(int fd, sky_address *peer) {
  for (;;) {
    union {
      socket_address address;
      struct sockaddr_un local;
    } from;
    socklen_t length = sizeof from;
    memset(&from, 0, sizeof from);
    int made = accept4(fd, &from.address.any, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (made >= 0) {
      if (peer) from_socket_address(&from.address, peer);
      return made;
    }
    // A connection that died in the queue is not the listener's failure.
    if (errno != EINTR && errno != ECONNABORTED) return -errno;
  }
}

int sky_tcp_tune(int fd, int idle_s, int user_timeout_ms, int unsent_bytes) {
  int on = 1, interval_s = idle_s / 3 > 0 ? idle_s / 3 : 1, probes = 3;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) return -errno;
  if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) != 0 ||
      setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s) != 0 ||
      setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s) != 0 ||
      setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes) != 0)
    return -errno;
  unsigned timeout = (unsigned)user_timeout_ms;
  if (setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout) != 0 ||
      setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_bytes, sizeof unsent_bytes) != 0)
    return -errno;
  return 0;
}

int sky_socket_address(int fd, bool peer, sky_address *out) {
  socket_address found;
  socklen_t length = sizeof found;
  memset(&found, 0, sizeof found);
  int result = peer ? getpeername(fd, &found.any, &length) : getsockname(fd, &found.any, &length);
  if (result != 0) return -errno;
  from_socket_address(&found, out);
  return 0;
}

// MARK: Unix stream sockets

static int unix_address(const char *path, struct sockaddr_un *out) {
  memset(out, 0, sizeof *out);
  out->sun_family = AF_UNIX;
  size_t length = strlen(path);
  if (length == 0) return -EINVAL;
  if (length >= sizeof out->sun_path) return -ENAMETOOLONG;
  memcpy(out->sun_path, path, length);
  return 0;
}

int sky_unix_listen(const char *path, unsigned mode, int backlog) {
  struct sockaddr_un at;
  int bad = unix_address(path, &at);
  if (bad) return bad;
  struct stat there;
  if (lstat(path, &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) return -EEXIST;
    unlink(path);
  }
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  // Nobody may connect between bind and chmod: made with no permissions for others first.
  mode_t before = umask(0177);
  int result = bind(fd, (struct sockaddr *)&at, sizeof at);
  int error = errno;
  umask(before);
  if (result != 0) return close_and(fd, error);
  if (chmod(path, mode) != 0 || listen(fd, backlog) != 0) return close_and(fd, errno);
  return fd;
}

int sky_unix_connect(const char *path) {
  struct sockaddr_un to;
  int bad = unix_address(path, &to);
  if (bad) return bad;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) return close_and(fd, errno);
  return fd;
}

int sky_unix_pair(int out[2]) {
  return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, out) == 0 ? 0 : -errno;
}

int sky_unix_peer(int fd, uint32_t *uid, uint32_t *gid, int32_t *pid) {
  struct ucred who;
  socklen_t length = sizeof who;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) != 0) return -errno;
  *uid = who.uid;
  *gid = who.gid;
  *pid = who.pid;
  return 0;
}

bool sky_unix_peer_in_group(int fd, uint32_t gid) {
  uint32_t uid, primary;
  int32_t pid;
  if (sky_unix_peer(fd, &uid, &primary, &pid) != 0) return false;
  if (primary == gid) return true;
  gid_t groups[256];
  socklen_t length = sizeof groups;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) != 0) return false;
  for (size_t i = 0; i < length / sizeof groups[0]; i++)
    if (groups[i] == gid) return true;
  return false;
}

ptrdiff_t sky_unix_write_with(int fd, const void *bytes, size_t n, int handed) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct iovec piece = {(void *)bytes, n};
  struct msghdr message = {
      .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
  struct cmsghdr *part = CMSG_FIRSTHDR(&message);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(sizeof handed);
  memcpy(CMSG_DATA(part), &handed, sizeof handed);
  for (;;) {
    ssize_t done = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (done >= 0) return done;
    if (errno != EINTR) return -errno;
  }
}

ptrdiff_t sky_unix_read_with(int fd, void *out, size_t bytes, int *handed) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(4 * sizeof(int))];
  } control;
  struct iovec piece = {out, bytes};
  struct msghdr message = {
      .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
  ssize_t got;
  do got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got < 0) return -errno;
  for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int came;
      memcpy(&came, CMSG_DATA(part) + i * sizeof came, sizeof came);
      if (*handed >= 0) close(*handed);
      *handed = came;
    }
  }
  return got;
}
