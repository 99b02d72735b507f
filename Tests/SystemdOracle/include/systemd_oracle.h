// libsystemd as the tests' oracle, and the receiving end of what it and skynod send.
#ifndef SYSTEMD_ORACLE_H
#define SYSTEMD_ORACLE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// A datagram socket bound to `path`; '@' first means the abstract namespace. Negative errno on failure.
int oracle_bind(const char *path);
/// One datagram that has arrived, with the descriptor it carried in `attached` (-1: none, -2: something else than
/// one descriptor) and its sender's process id. Its length, or negative errno.
ptrdiff_t oracle_receive(int fd, void *out, size_t room, int *attached, pid_t *sender);

/// Gives NOTIFY_SOCKET, WATCHDOG_USEC or WATCHDOG_PID a value, "" for none. False when it is too long.
bool oracle_environment(const char *name, const char *value);

/// sd_pid_notify_with_fds(3), with one descriptor unless it is negative.
int oracle_notify(const char *state, int attached);
/// sd_watchdog_enabled(3).
int oracle_watchdog(uint64_t *us);

/// sd_journal_sendv(3) to `path` instead of the journal. `fields` are `n` texts "NAME=value" of the given lengths.
int oracle_journal(const char *path, const char *const *fields, const size_t *lengths, size_t n);
/// The path that libsystemd addressed by itself at the last call; must be the journal's.
const char *oracle_journal_path(void);

/// "device:inode" of a descriptor, as systemd writes JOURNAL_STREAM.
void oracle_stream_id(int fd, char out[64]);
/// The seals of a memfd; negative errno when it is none.
int oracle_seals(int fd);

#endif
