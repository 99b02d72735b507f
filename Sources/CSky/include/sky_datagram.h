// Datagrams to Unix sockets: what systemd's notify and journal protocols run over.
#ifndef SKY_DATAGRAM_H
#define SKY_DATAGRAM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// A socket to send from, close-on-exec; it never waits. Negative errno on failure.
int sky_datagram_open(void);
/// Sends one datagram to the socket at `path`; a leading '@' names the abstract namespace. A message
/// too long for a datagram goes as a sealed memfd (the journal's rule for large entries). 0 or -errno.
int sky_datagram_send(int fd, const char *path, const void *bytes, size_t n);
/// Like `sky_datagram_send`, but tries again for up to `wait_ms` while the receiver's queue is full.
int sky_datagram_send_waiting(int fd, const char *path, const void *bytes, size_t n, int wait_ms);
/// Sends one datagram with a descriptor attached (FDSTORE=1). 0 or -errno.
int sky_datagram_send_descriptor(int fd, const char *path, const void *bytes, size_t n, int attached);
/// Microseconds of CLOCK_MONOTONIC, the clock that systemd's MONOTONIC_USEC= means.
uint64_t sky_monotonic_us(void);
/// Whether `fd` is the stream that `id` names, "device:inode" in decimal: the form of JOURNAL_STREAM.
bool sky_is_stream(int fd, const char *id);

#endif
