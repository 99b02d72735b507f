#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64
#include "sky_datagram.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int sky_datagram_open(void) {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  return fd < 0 ? -errno : fd;
}

static int address_of(const char *path, struct sockaddr_un *address, socklen_t *length) {
  size_t n = strlen(path);
  if (n < 2 || n >= sizeof address->sun_path) return -EINVAL;
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, n);
  *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
  if (path[0] == '@') address->sun_path[0] = 0;
  return 0;
}

static int send_message(int fd, const char *path, const void *bytes, size_t n, int attached) {
  struct sockaddr_un address;
  socklen_t length;
  int status = address_of(path, &address, &length);
  if (status) return status;
  struct iovec piece = {.iov_base = (void *)bytes, .iov_len = n};
  struct msghdr message = {.msg_name = &address, .msg_namelen = length, .msg_iov = &piece, .msg_iovlen = n ? 1 : 0};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  if (attached >= 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = &control;
    message.msg_controllen = sizeof control.room;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &attached, sizeof attached);
  }
  for (;;) {
    if (sendmsg(fd, &message, MSG_NOSIGNAL) >= 0) return 0;
    if (errno != EINTR) return -errno;
  }
}

static int send_memory(int fd, const char *path, const void *bytes, size_t n) {
  int memory = memfd_create("skynod-journal", MFD_ALLOW_SEALING | MFD_CLOEXEC);
  if (memory < 0) return -errno;
  int status = 0;
  if (write(memory, bytes, n) != (ssize_t)n ||
      fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
    status = errno ? -errno : -EIO;
  if (!status) status = send_message(fd, path, NULL, 0, memory);
  close(memory);
  return status;
}

int sky_datagram_send(int fd, const char *path, const void *bytes, size_t n) {
  int status = send_message(fd, path, bytes, n, -1);
  if (status == -EMSGSIZE || status == -ENOBUFS) return send_memory(fd, path, bytes, n);
  return status;
}

int sky_datagram_send_waiting(int fd, const char *path, const void *bytes, size_t n, int wait_ms) {
  // The socket never waits and poll() knows nothing of an unconnected receiver's queue.
  const struct timespec pause = {.tv_nsec = 10000000};
  for (;; wait_ms -= 10) {
    int status = sky_datagram_send(fd, path, bytes, n);
    if (status != -EAGAIN || wait_ms <= 0) return status;
    nanosleep(&pause, NULL);
  }
}

int sky_datagram_send_descriptor(int fd, const char *path, const void *bytes, size_t n, int attached) {
  return send_message(fd, path, bytes, n, attached);
}

bool sky_is_stream(int fd, const char *id) {
  struct stat there;
  char *end;
  unsigned long long device = strtoull(id, &end, 10);
  if (end == id || *end != ':' || fstat(fd, &there) != 0) return false;
  const char *second = end + 1;
  unsigned long long inode = strtoull(second, &end, 10);
  return end != second && *end == 0 && device == there.st_dev && inode == there.st_ino;
}

uint64_t sky_monotonic_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}
