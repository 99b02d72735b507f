// Shared by sky_tls.c and sky_tls_make.c.
#ifndef SKY_TLS_INTERNAL_H
#define SKY_TLS_INTERNAL_H
#include <stddef.h>

/// The kernel's generator in the shape mbedTLS asks for.
int sky_tls_random(void *unused, unsigned char *out, size_t n);

#endif
