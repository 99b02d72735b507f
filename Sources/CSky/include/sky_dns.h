// Names to addresses without ever blocking, over c-ares 1.34: /etc/hosts, then the servers of
// /etc/resolv.conf, A and AAAA. No NSS, so it works in static programs.
//
// One query at a time. Configuration is read anew for each query and everything is freed after it,
// so a changed resolv.conf counts at once and an idle resolver holds no memory but itself.
#ifndef SKY_DNS_H
#define SKY_DNS_H
#include <stddef.h>
#include <stdint.h>

#include "sky_os.h"

#define SKY_DNS_FAILED (-30)  ///< no such name, no answer, no server
#define SKY_DNS_FULL (-16)    ///< no memory or no descriptor
#define SKY_DNS_ADDRESSES 8

typedef struct sky_dns sky_dns;

int sky_dns_create(sky_dns **out);
void sky_dns_free(sky_dns *dns);
/// Readable when sky_dns_step has something to do; the same for the resolver's whole life.
int sky_dns_descriptor(const sky_dns *dns);
/// Starts a query; one that is under way is cancelled. A literal address is answered by the next
/// step. 0, SKY_DNS_FAILED or SKY_DNS_FULL.
int sky_dns_start(sky_dns *dns, const char *host, uint16_t port);
/// Goes on. SKY_AGAIN while the query runs; then the number of addresses (once), or the error.
int sky_dns_step(sky_dns *dns);
/// Milliseconds after which sky_dns_step has to be called without anything readable; -1 for never.
int sky_dns_timeout_ms(sky_dns *dns);
/// Addresses of the finished query, the most promising first (RFC 6724), valid until the next start.
const sky_address *sky_dns_addresses(const sky_dns *dns);
void sky_dns_cancel(sky_dns *dns);

#endif
