#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64
#include "sky_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sky_files_internal.h"
#include "sky_heap.h"

// MARK: Blocking

int sky_disk_open(const char *path, bool *is_read_only) {
  *is_read_only = false;
  int flags = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
  int fd = open(path, O_RDWR | O_CREAT | flags, 0600);
  if (fd < 0 && (errno == EROFS || errno == EACCES || errno == EPERM)) {
    int error = errno;
    fd = open(path, O_RDONLY | flags);
    if (fd < 0) return -error;
    *is_read_only = true;
  }
  return fd < 0 ? -errno : fd;
}

void sky_disk_begin(int fd) {
  // Both may fail: what is still only in the kernel's memory then, the ring finds out by a sync of its own.
  (void)sky_disk_sync(fd);
  (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

int64_t sky_disk_size(int fd) {
  struct stat there;
  if (fstat(fd, &there) != 0) return -errno;
  return S_ISREG(there.st_mode) ? (int64_t)there.st_size : -EINVAL;
}

int sky_disk_read(int fd, uint64_t offset, void *out, size_t n) {
  char *at = out;
  while (n > 0) {
    ssize_t got = pread(fd, at, n, (off_t)offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -errno;
    if (got == 0) return -EIO;
    at += got;
    offset += (uint64_t)got;
    n -= (size_t)got;
  }
  return 0;
}

int sky_disk_write(int fd, uint64_t offset, const void *bytes, size_t n) {
  const char *at = bytes;
  while (n > 0) {
    ssize_t done = pwrite(fd, at, n, (off_t)offset);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return -errno;
    if (done == 0) return -EIO;
    at += done;
    offset += (uint64_t)done;
    n -= (size_t)done;
  }
  return 0;
}

int sky_disk_sync(int fd) {
  while (fdatasync(fd) != 0) {
    if (errno != EINTR) return -errno;
  }
  return 0;
}

int sky_disk_resize(int fd, uint64_t bytes) { return ftruncate(fd, (off_t)bytes) == 0 ? 0 : -errno; }

int sky_disk_allocate(int fd, const char *path, uint64_t bytes) {
  static const char zeros[16384];
  if (ftruncate(fd, 0) != 0) return -errno;
  // Only a hint to keep it in one piece: blocks that were reserved and never written would need the
  // file system's journal at the first write to each.
  if (fallocate(fd, 0, 0, (off_t)bytes) != 0 && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINTR)
    return -errno;
  for (uint64_t at = 0; at < bytes;) {
    uint64_t n = bytes - at < sizeof zeros ? bytes - at : sizeof zeros;
    int result = sky_disk_write(fd, at, zeros, (size_t)n);
    if (result != 0) return result;
    at += n;
  }
  if (fsync(fd) != 0) return -errno;
  return sky_directory_sync_of(path);
}

void sky_disk_write_back(int fd, uint64_t offset, size_t n) {
  sync_file_range(fd, (off_t)offset, (off_t)n, SYNC_FILE_RANGE_WRITE);
}

// MARK: Beside the loop

// A request's place: the loop fills it while it is idle and says submitted; the thread carries it out
// and says done; the loop takes the result and says idle.
enum { IDLE, SUBMITTED, DONE };

struct sky_disk {
  int fd;
  int event;
  uint64_t unheard;  // the loop's: requests whose end it has not heard of
  pthread_t thread;
  sem_t work;
  atomic_bool is_stopping;
  struct {
    atomic_int state;
    sky_disk_piece pieces[2];
    int synced;
    int error;
  } write;
  struct {
    atomic_int state;
    uint64_t offset;
    void *out;
    size_t n;
    int error;
  } read;
  atomic_uint_least32_t slowest_us;
  atomic_uint_least32_t syncs;
  atomic_uint delay_ms;
};

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void delay(const sky_disk *disk) {
  unsigned ms = atomic_load(&disk->delay_ms);
  if (ms == 0) return;
  struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

static void carry_out_write(sky_disk *disk) {
  uint64_t start = now_us();
  disk->write.synced = 0;
  disk->write.error = 0;
  for (int i = 0; i < 2; i++) {
    const sky_disk_piece *piece = &disk->write.pieces[i];
    if (piece->n == 0) continue;
    int error = sky_disk_write(disk->fd, piece->offset, piece->bytes, piece->n);
    if (error == 0) {
      delay(disk);
      error = sky_disk_sync(disk->fd);
      atomic_fetch_add(&disk->syncs, 1);
    }
    if (error != 0) {
      disk->write.error = error;
      break;
    }
    disk->write.synced++;
  }
  uint64_t took = now_us() - start;
  if (took > UINT32_MAX) took = UINT32_MAX;
  if (took > atomic_load(&disk->slowest_us)) atomic_store(&disk->slowest_us, (uint32_t)took);
}

static void tell(const sky_disk *disk) {
  const uint64_t one = 1;
  // Cannot fail: the counter would have to reach 2^64.
  ssize_t ignored = write(disk->event, &one, sizeof one);
  (void)ignored;
}

static void *work(void *argument) {
  sky_disk *disk = argument;
  sky_heap_forbid();
  for (;;) {
    while (sem_wait(&disk->work) != 0) {
    }
    // Reads first: they are short, and somebody waits to be sent.
    if (atomic_load_explicit(&disk->read.state, memory_order_acquire) == SUBMITTED) {
      disk->read.error = sky_disk_read(disk->fd, disk->read.offset, disk->read.out, disk->read.n);
      atomic_store_explicit(&disk->read.state, DONE, memory_order_release);
      tell(disk);
    }
    if (atomic_load_explicit(&disk->write.state, memory_order_acquire) == SUBMITTED) {
      carry_out_write(disk);
      atomic_store_explicit(&disk->write.state, DONE, memory_order_release);
      tell(disk);
    }
    // After the work: what was submitted before the stop is carried out.
    if (atomic_load(&disk->is_stopping)) return NULL;
  }
}

// Enough for pread, pwrite and a libc that keeps its thread data on the stack's end.
#define STACK_BYTES (128 * 1024)

static int start_thread(sky_disk *disk) {
  pthread_attr_t attributes;
  sigset_t all, before;
  int result = pthread_attr_init(&attributes);
  if (result != 0) return -result;
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  // The new thread inherits the mask: signals stay the loop's.
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  result = pthread_create(&disk->thread, &attributes, work, disk);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return -result;
}

sky_disk *sky_disk_start(int fd, int *error) {
  sky_disk *disk = calloc(1, sizeof *disk);
  *error = -ENOMEM;
  if (!disk) return NULL;
  disk->fd = fd;
  disk->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  *error = disk->event < 0 ? -errno : 0;
  if (*error == 0) {
    sem_init(&disk->work, 0, 0);
    *error = start_thread(disk);
    if (*error == 0) return disk;
    sem_destroy(&disk->work);
    close(disk->event);
  }
  free(disk);
  return NULL;
}

void sky_disk_stop(sky_disk *disk) {
  atomic_store(&disk->is_stopping, true);
  sem_post(&disk->work);
  pthread_join(disk->thread, NULL);
  sem_destroy(&disk->work);
  close(disk->event);
  free(disk);
}

int sky_disk_event(const sky_disk *disk) { return disk->event; }

bool sky_disk_submit_write(sky_disk *disk, sky_disk_piece first, sky_disk_piece second) {
  if (atomic_load_explicit(&disk->write.state, memory_order_acquire) != IDLE) return false;
  disk->write.pieces[0] = first;
  disk->write.pieces[1] = second;
  disk->unheard++;
  atomic_store_explicit(&disk->write.state, SUBMITTED, memory_order_release);
  sem_post(&disk->work);
  return true;
}

bool sky_disk_submit_read(sky_disk *disk, uint64_t offset, void *out, size_t n) {
  if (atomic_load_explicit(&disk->read.state, memory_order_acquire) != IDLE) return false;
  disk->read.offset = offset;
  disk->read.out = out;
  disk->read.n = n;
  disk->unheard++;
  atomic_store_explicit(&disk->read.state, SUBMITTED, memory_order_release);
  sem_post(&disk->work);
  return true;
}

void sky_disk_hear(sky_disk *disk) {
  uint64_t count;
  // A call for nothing in every turn of a busy relay, otherwise.
  if (disk->unheard != 0 && read(disk->event, &count, sizeof count) == sizeof count) disk->unheard -= count;
}

bool sky_disk_take_write(sky_disk *disk, int *synced, int *error) {
  if (atomic_load_explicit(&disk->write.state, memory_order_acquire) != DONE) return false;
  *synced = disk->write.synced;
  *error = disk->write.error;
  atomic_store_explicit(&disk->write.state, IDLE, memory_order_release);
  return true;
}

bool sky_disk_take_read(sky_disk *disk, int *error) {
  if (atomic_load_explicit(&disk->read.state, memory_order_acquire) != DONE) return false;
  *error = disk->read.error;
  atomic_store_explicit(&disk->read.state, IDLE, memory_order_release);
  return true;
}

uint64_t sky_disk_slowest_us(const sky_disk *disk) { return atomic_load(&disk->slowest_us); }
uint64_t sky_disk_syncs(const sky_disk *disk) { return atomic_load(&disk->syncs); }

#ifndef SKY_FIXED_HEAP
void sky_disk_slow_down(sky_disk *disk, uint32_t ms) { atomic_store(&disk->delay_ms, ms); }
#endif
