// One file of fixed size, written and synced beside the loop by a thread of its own.
//
// The calls of the first part block and are for the time before the daemon is ready. The second part
// never blocks: a request is put into a fixed place, the thread carries it out, and a descriptor becomes
// readable. The thread allocates nothing, takes no lock and no signal. Functions return 0 or a count or
// a descriptor, and -errno on failure, unless said otherwise.
#ifndef SKY_DISK_H
#define SKY_DISK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// MARK: Blocking

/// Opens for reading and writing, makes the file if it is not there. On a medium that is read-only the
/// file is opened for reading alone: writing then gives -EBADF.
int sky_disk_open(const char *path, bool *is_read_only);
/// Before anything is read: stores what the kernel still holds of an earlier process, and has it forget its copies, so
/// that what is read is what the medium has. After a sync that failed the kernel shows bytes that it will never store.
void sky_disk_begin(int fd);
/// The size in bytes; -EINVAL when it is no regular file.
int64_t sky_disk_size(int fd);
/// Makes the file exactly `bytes` long, all zero and all of it really there, and syncs it and its folder.
/// What was in it is lost.
int sky_disk_allocate(int fd, const char *path, uint64_t bytes);
/// Changes the size; what is new is zero.
int sky_disk_resize(int fd, uint64_t bytes);
/// All of `n` bytes or an error; -EIO at the end of the file.
int sky_disk_read(int fd, uint64_t offset, void *out, size_t n);
/// All of `n` bytes or an error.
int sky_disk_write(int fd, uint64_t offset, const void *bytes, size_t n);
/// fdatasync.
int sky_disk_sync(int fd);
/// Starts writing a range to the medium and does not wait: a sync later finds little left to do.
void sky_disk_write_back(int fd, uint64_t offset, size_t n);

// MARK: Beside the loop

typedef struct sky_disk sky_disk;

typedef struct {
  uint64_t offset;
  const void *bytes;
  size_t n;  ///< 0: this piece is left out
} sky_disk_piece;

/// Starts the thread; NULL and `*error` on failure. The descriptor stays the caller's.
sky_disk *sky_disk_start(int fd, int *error);
/// Waits for what is under way and ends the thread.
void sky_disk_stop(sky_disk *disk);
/// Readable when a request has ended: then hear, and take what there is.
int sky_disk_event(const sky_disk *disk);
/// Makes the descriptor quiet until another request ends. Before the takes, or one may be missed.
void sky_disk_hear(sky_disk *disk);
/// Writes and syncs the first piece, then writes and syncs the second. The bytes must stay until the end.
/// False while an earlier write was not taken.
bool sky_disk_submit_write(sky_disk *disk, sky_disk_piece first, sky_disk_piece second);
/// False while an earlier read was not taken.
bool sky_disk_submit_read(sky_disk *disk, uint64_t offset, void *out, size_t n);
/// True when a write has ended: `*synced` pieces of it are on the medium, `*error` is 0 or -errno.
bool sky_disk_take_write(sky_disk *disk, int *synced, int *error);
bool sky_disk_take_read(sky_disk *disk, int *error);
/// The longest write with its sync so far, in microseconds, and the number of syncs.
uint64_t sky_disk_slowest_us(const sky_disk *disk);
uint64_t sky_disk_syncs(const sky_disk *disk);

/// For tests, and absent from board programs: every sync takes this much longer, as on a slow card.
#ifndef SKY_FIXED_HEAP
void sky_disk_slow_down(sky_disk *disk, uint32_t ms);
#endif

#endif
