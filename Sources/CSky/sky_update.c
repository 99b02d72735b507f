#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64

#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sky_cli.h"
#include "sky_os.h"
#include "sky_update.h"

#define LOCK_TRIES 50

int sky_device_open(const char *path, bool writable) {
  int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return -errno;
  if (!writable) return fd;
  int result;
  for (int try = 0; (result = sky_lock(fd)) == -EWOULDBLOCK && try < LOCK_TRIES; try++) sky_cli_sleep_ms(100);
  if (result == 0) return fd;
  close(fd);
  return result;
}

int64_t sky_device_size(int fd) {
  off_t end = lseek(fd, 0, SEEK_END);
  return end < 0 ? -errno : end;
}

int sky_device_seek(int fd, uint64_t offset) { return lseek(fd, (off_t)offset, SEEK_SET) < 0 ? -errno : 0; }

void sky_device_forget(int fd) { posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); }

int sky_stream_open(const char *path) {
  int fd = strcmp(path, "-") == 0 ? dup(0) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  return fd < 0 ? -errno : fd;
}

int sky_kernel_start(const char *kernel, const char *initrd, const char *command_line) {
  int kernel_fd = open(kernel, O_RDONLY | O_CLOEXEC);
  if (kernel_fd < 0) return -errno;
  int result = 0;
  int initrd_fd = open(initrd, O_RDONLY | O_CLOEXEC);
  if (initrd_fd < 0 ||
      syscall(SYS_kexec_file_load, kernel_fd, initrd_fd, strlen(command_line) + 1, command_line, 0ul) != 0) {
    result = -errno;
  } else {
    sync();
    syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
    result = -errno;
  }
  if (initrd_fd >= 0) close(initrd_fd);
  close(kernel_fd);
  return result;
}
