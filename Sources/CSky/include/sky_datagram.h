// Datagrams to Unix sockets: what systemd's notify and journal protocols run over.
#ifndef SKY_DATAGRAM_H
#define SKY_DATAGRAM_H
#include <stddef.h>
#include <stdint.h>

/// A socket to send from, close-on-exec; it never waits. Negative errno on failure.
int sky_datagram_open(void);
/// Sends one datagram to the socket at `path`; a leading '@' names the abstract namespace. A message
/// too long for a datagram goes as a sealed memfd (the journal's rule for large entries). 0 or -errno.
int sky_datagram_send(int fd, const char *path, const void *bytes, size_t n);
/// Sends one datagram with a descriptor attached (FDSTORE=1). 0 or -errno.
int sky_datagram_send_descriptor(int fd, const char *path, const void *bytes, size_t n, int attached);
/// Microseconds of CLOCK_MONOTONIC, the clock that systemd's MONOTONIC_USEC= means.
uint64_t sky_monotonic_us(void);

#endif
