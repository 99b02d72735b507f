// Thin shims over the operating system. Every descriptor made here is close-on-exec, every call is
// repeated after EINTR. Unless said otherwise a function returns 0 or a count or a descriptor, and
// -errno on failure.
#ifndef SKY_OS_H
#define SKY_OS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SKY_AGAIN (-11)    ///< -EAGAIN: nothing to do before the descriptor is ready
#define SKY_IN_PROGRESS (-115)  ///< -EINPROGRESS
#define SKY_NO_ENTRY (-2)  ///< -ENOENT
#define SKY_TOO_BIG (-27)  ///< -EFBIG
#define SKY_EXISTS (-17)   ///< -EEXIST
#define SKY_NO_SPACE (-28)  ///< -ENOSPC

// MARK: Clocks, randomness, process

/// Milliseconds of CLOCK_BOOTTIME: never jumps, goes on while the board sleeps.
uint64_t sky_clock_ms(void);
/// Milliseconds since 1970-01-01 UTC by the system's clock, which may be wrong.
int64_t sky_wall_ms(void);
/// Sets the system's clock; -EPERM without CAP_SYS_TIME.
int sky_wall_set_ms(int64_t ms);
/// CPU time of this process in microseconds, user and system.
uint64_t sky_cpu_us(void);
/// The same of any process, whoever's it is; 0 when there is none.
uint64_t sky_process_cpu_us(int process);
/// Fills `out` from the kernel's generator (blocks only until it is seeded after boot).
int sky_random(void *out, size_t bytes);
int sky_process_id(void);
/// How many processors this process may use, at least 1.
int sky_processors(void);
uint32_t sky_user_id(void);
uint32_t sky_effective_user_id(void);
/// The value of an environment variable, or NULL. Valid until the environment changes.
const char *sky_environment(const char *name);
/// Ends the program at once with `status`, flushing nothing.
_Noreturn void sky_exit(int status);

// MARK: Waiting

#define SKY_READ 1u    ///< readable, or something to accept
#define SKY_WRITE 2u   ///< writable, or a connection attempt ended
#define SKY_HANGUP 4u  ///< closed in both directions, or failed; reported always, with SKY_READ

typedef struct {
  uint64_t token;  ///< as given when the descriptor was added
  uint32_t flags;  ///< SKY_READ, SKY_WRITE, SKY_HANGUP
} sky_event;

int sky_epoll_create(void);
int sky_epoll_add(int epoll, int fd, uint32_t flags, uint64_t token);
int sky_epoll_modify(int epoll, int fd, uint32_t flags, uint64_t token);
int sky_epoll_remove(int epoll, int fd);
/// Waits up to `timeout_ms` (-1 without end) and fills at most `max` events (64 a call). Returns how
/// many; 0 also when a signal came.
int sky_epoll_wait(int epoll, sky_event *events, int max, int timeout_ms);

#define SKY_SIGNAL_TERMINATE 1  ///< SIGTERM or SIGINT
#define SKY_SIGNAL_RELOAD 2     ///< SIGHUP
#define SKY_SIGNAL_CHILD 3      ///< SIGCHLD
/// A descriptor that reports SIGTERM, SIGINT, SIGHUP (and SIGCHLD if `children`), which are blocked
/// from then on. SIGPIPE is ignored.
int sky_signal_open(bool children);
/// The next pending signal as SKY_SIGNAL_…, 0 when there is none.
int sky_signal_read(int fd);

/// Plain descriptors. -EAGAIN when nothing can move now; reading gives 0 at the end of the stream.
ptrdiff_t sky_read(int fd, void *out, size_t bytes);
/// Never raises SIGPIPE on sockets.
ptrdiff_t sky_write(int fd, const void *bytes, size_t n);
/// Two pieces in one call.
ptrdiff_t sky_write2(int fd, const void *a, size_t an, const void *b, size_t bn);
void sky_close(int fd);

// MARK: TCP

typedef struct {
  uint8_t bytes[16];  ///< network order; IPv4 uses the first four
  uint32_t scope;     ///< IPv6 interface index of link-local addresses, else 0
  uint16_t port;      ///< host order
  uint8_t family;     ///< 4 or 6
} sky_address;

/// Parses a literal IPv4 or IPv6 address (without brackets). -EINVAL when it is not one.
int sky_address_parse(const char *text, uint16_t port, sky_address *out);
/// Writes the address without port; returns its length. 46 bytes of room always suffice.
int sky_address_format(const sky_address *address, char *out, size_t room);

/// Starts a connection; the descriptor becomes writable when the attempt has ended.
int sky_tcp_connect(const sky_address *address);
/// How a connection attempt ended: 0, -errno, or -EINPROGRESS.
int sky_tcp_result(int fd);
/// Listens. The IPv6 any-address takes IPv4 as well.
int sky_tcp_listen(const sky_address *address, int backlog);
/// The next connection of a TCP or Unix listener, non-blocking; -EAGAIN when there is none. `peer`
/// may be NULL; it is left zero for Unix sockets.
int sky_accept(int fd, sky_address *peer);
/// No delay, keep-alive after `idle_s`, `user_timeout_ms` until unacknowledged data fails, and no more taken while
/// `unsent_bytes` wait in the kernel (tcp(7), TCP_NOTSENT_LOWAT).
int sky_tcp_tune(int fd, int idle_s, int user_timeout_ms, int unsent_bytes);
/// The local (`peer` false) or remote address of a TCP socket.
int sky_socket_address(int fd, bool peer, sky_address *out);

// MARK: Unix stream sockets

/// Listens at `path` with file permissions `mode`; a stale socket there is replaced.
int sky_unix_listen(const char *path, unsigned mode, int backlog);
/// Connects, non-blocking afterwards.
int sky_unix_connect(const char *path);
/// A connected pair, both non-blocking.
int sky_unix_pair(int out[2]);
/// Who is at the other end, as the kernel vouches (SO_PEERCRED).
int sky_unix_peer(int fd, uint32_t *uid, uint32_t *gid, int32_t *pid);
/// True when the other end's group or supplementary groups contain `gid`.
bool sky_unix_peer_in_group(int fd, uint32_t gid);
/// Like `sky_write`, with a descriptor handed over beside the first byte; it stays the caller's too.
ptrdiff_t sky_unix_write_with(int fd, const void *bytes, size_t n, int handed);
/// Like `sky_read`. A descriptor that came along goes to `handed` and is the caller's, close-on-exec; the one
/// that was there before is closed. Further ones are closed.
ptrdiff_t sky_unix_read_with(int fd, void *out, size_t bytes, int *handed);

// MARK: Descriptors handed over by systemd (sd_listen_fds(3))

/// How many were handed to this very process, from descriptor 3 on; makes them close-on-exec and
/// non-blocking.
int sky_listen_count(void);
/// Writes the name of the `index`th (0 is descriptor 3) with its terminator; returns its length.
int sky_listen_name(int index, char *out, size_t room);

// MARK: Files

/// Reads a whole file. -EFBIG when it is longer than `room`.
ptrdiff_t sky_file_read(const char *path, void *out, size_t room);
/// Maps a whole file for reading; its size goes to `bytes`. NULL when it cannot be, or is empty or larger
/// than 2^31 - 1. Never write to a file that is mapped somewhere: replace it.
const void *sky_file_map(const char *path, size_t *bytes);
void sky_file_unmap(const void *start, size_t bytes);
/// Replaces a file so that after a crash either the old or the new content is there: a temporary
/// file beside it, fsync, rename, fsync of the directory.
int sky_file_write(const char *path, const void *bytes, size_t n, unsigned mode);
/// Opens a regular file for reading.
int sky_file_open(const char *path);
/// Like `sky_file_map`, of a descriptor, which stays open.
const void *sky_descriptor_map(int fd, size_t *bytes);
/// Puts a file in another's place: renames it and syncs the directory. Sync the file itself before.
int sky_file_replace(const char *from, const char *to);
/// Gives a file another name in the same file system and syncs the directory. -EEXIST when that name is taken:
/// nothing is ever overwritten. Sync the file itself before.
int sky_file_place(const char *from, const char *to);
/// A file without a name in `directory`, gone when its descriptor is closed.
int sky_file_temporary(const char *directory);
int sky_file_remove(const char *path);
bool sky_file_exists(const char *path);
/// Owner group of what is at `path`.
int sky_file_group(const char *path, uint32_t *gid);
/// Makes one directory with `mode`. 0 also when it is there already.
int sky_directory_make(const char *path, unsigned mode);
/// Locks what is open for this process alone, until it is closed. -EWOULDBLOCK when another process has it.
int sky_lock(int fd);
/// Locks a directory, without a file in it; hold the descriptor. -EWOULDBLOCK when another process has it.
int sky_directory_lock(const char *path);
/// Opens and locks a file for this process alone; hold the descriptor. -EWOULDBLOCK when another
/// process has it.
int sky_lock_file(const char *path);
/// Finds a group's id in /etc/group. -ENOENT when it is not there.
int sky_group_find(const char *name, uint32_t *gid);

#endif
