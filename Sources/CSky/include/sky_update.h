// A whole disk, or a file that stands for one, and the start of another kernel. Functions return 0 or a
// descriptor, and -errno on failure, unless said otherwise. Reading, writing and syncing: sky_disk.h.
#ifndef SKY_UPDATE_H
#define SKY_UPDATE_H
#include <stdbool.h>
#include <stdint.h>

/// Opens what is there; for writing it is this process's alone, by the lock that udev respects too. Waits for a few
/// seconds while others have it; -EWOULDBLOCK when that was not enough.
int sky_device_open(const char *path, bool writable);
/// In bytes, of a disk or a file.
int64_t sky_device_size(int fd);
/// Where the next sky_read begins; -ESPIPE for a stream.
int sky_device_seek(int fd, uint64_t offset);
/// Lets go of what is cached of it and on the medium: it is read from there again.
void sky_device_forget(int fd);
/// Opens a file for reading whatever it is; "-" is standard input.
int sky_stream_open(const char *path);

/// Ends this system and starts the kernel in another's place, without firmware or boot loader. Returns only
/// when it cannot be done.
int sky_kernel_start(const char *kernel, const char *initrd, const char *command_line);

#endif
