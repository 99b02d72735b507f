// Unix stream sockets for the control protocol: both ends, and who is at the other one.
// Returns are 0 or a descriptor or a count; negative errno on failure.
#ifndef SKY_CONTROL_H
#define SKY_CONTROL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// EAGAIN, which says that nothing could be read or written without waiting.
extern const int sky_control_again;

/// Creates, binds and listens at `path` with permission bits `mode`, taking away a socket that was
/// left there. -EADDRINUSE when something still answers at it. Non-blocking, close-on-exec.
int sky_control_listen(const char *path, unsigned mode);
/// The next waiting client, non-blocking and close-on-exec; -EAGAIN when there is none.
int sky_control_accept(int listener);
/// Connects to the socket at `path`. Does not wait: -EAGAIN when the listener's queue is full.
int sky_control_connect(const char *path);
/// Two connected non-blocking stream sockets, for tests.
int sky_control_pair(int ends[2]);

/// Up to `n` bytes; 0 is the end of the stream, -EAGAIN when nothing has come.
ptrdiff_t sky_control_read(int fd, void *into, size_t n);
/// Up to `n` bytes without waiting and without SIGPIPE; -EAGAIN when nothing fits.
ptrdiff_t sky_control_write(int fd, const void *from, size_t n);
/// Ends the sending direction only: the other side reads the end of the stream.
int sky_control_end_sending(int fd);
int sky_control_close(int fd);

/// The user and the group of the process that connected (SO_PEERCRED).
int sky_control_peer(int fd, uint32_t *uid, uint32_t *gid);
/// True when `gid` is the peer's group or among its supplementary groups (SO_PEERGROUPS). Looks at
/// 256 groups at most; a peer in more than that counts as not in it.
bool sky_control_peer_in_group(int fd, uint32_t gid);
/// This process's effective user.
uint32_t sky_control_own_uid(void);
/// The id of a group named in /etc/group, or a decimal id as it is; -1 when there is none.
int64_t sky_control_group_id(const char *name);

#endif
