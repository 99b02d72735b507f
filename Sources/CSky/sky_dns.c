#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64
#include "sky_dns.h"

#include <ares.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>

struct sky_dns {
  int epoll;                // holds c-ares' sockets; is itself waited for by the program's loop
  ares_channel_t *channel;  // only while a query runs
  int result;               // SKY_AGAIN while it runs, then what sky_dns_step returns once
  uint16_t port;
  sky_address found[SKY_DNS_ADDRESSES];
};

// MARK: Memory for c-ares
// For each server that answers it asks for a buffer of 128 KiB, whatever the answer's size, and uses the first
// few hundred bytes. Such blocks are mapped: pages that are not touched cost nothing, all go back after the
// query, and the program's fixed heap need not hold room for them.

#define MAPPED_FROM (32u * 1024u)
#define MAPPED_MOST (1024u * 1024u)

typedef struct {
  size_t size;  // of what the caller asked for
  size_t mapped;  // of the whole mapping, 0 for a block of the heap
} __attribute__((aligned(16))) memory_header;

static size_t mapped_now;

static void *memory_take(size_t bytes) {
  if (bytes > MAPPED_MOST) return NULL;
  size_t whole = bytes + sizeof(memory_header), mapped = 0;
  memory_header *made;
  if (bytes < MAPPED_FROM) {
    made = malloc(whole);
    if (!made) return NULL;
  } else {
    if (mapped_now + whole > MAPPED_MOST) return NULL;
    made = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made == MAP_FAILED) return NULL;
    mapped = whole;
    mapped_now += whole;
  }
  *made = (memory_header){.size = bytes, .mapped = mapped};
  return made + 1;
}

static void memory_give(void *memory) {
  if (!memory) return;
  memory_header *header = (memory_header *)memory - 1;
  if (header->mapped == 0) {
    free(header);
    return;
  }
  mapped_now -= header->mapped;
  munmap(header, header->mapped);
}

static void *memory_resize(void *memory, size_t bytes) {
  if (!memory) return memory_take(bytes);
  size_t before = ((memory_header *)memory - 1)->size;
  if (bytes <= before) return memory;
  void *larger = memory_take(bytes);
  if (!larger) return NULL;
  memcpy(larger, memory, before);
  memory_give(memory);
  return larger;
}

// MARK: Queries

int sky_dns_create(sky_dns **out) {
  int made = ares_library_init_mem(ARES_LIB_INIT_ALL, memory_take, memory_give, memory_resize);
  if (made != ARES_SUCCESS) return SKY_DNS_FULL;
  sky_dns *dns = calloc(1, sizeof *dns);
  if (!dns) return SKY_DNS_FULL;
  dns->epoll = sky_epoll_create();
  if (dns->epoll < 0) {
    free(dns);
    return SKY_DNS_FULL;
  }
  dns->result = SKY_DNS_FAILED;
  *out = dns;
  return 0;
}

void sky_dns_free(sky_dns *dns) {
  if (!dns) return;
  sky_dns_cancel(dns);
  sky_close(dns->epoll);
  free(dns);
}

int sky_dns_descriptor(const sky_dns *dns) { return dns->epoll; }

// Called by c-ares before it closes a socket and whenever its interest changes.
static void socket_changed(void *resolver, ares_socket_t fd, int readable, int writable) {
  sky_dns *dns = resolver;
  uint32_t flags = (readable ? SKY_READ : 0) | (writable ? SKY_WRITE : 0);
  if (flags == 0)
    sky_epoll_remove(dns->epoll, fd);
  else if (sky_epoll_modify(dns->epoll, fd, flags, (uint64_t)fd) != 0)
    sky_epoll_add(dns->epoll, fd, flags, (uint64_t)fd);
}

static int copy_addresses(sky_dns *dns, const struct ares_addrinfo *info) {
  int n = 0;
  for (const struct ares_addrinfo_node *node = info->nodes; node && n < SKY_DNS_ADDRESSES;
       node = node->ai_next) {
    sky_address *to = &dns->found[n];
    memset(to, 0, sizeof *to);
    to->port = dns->port;
    if (node->ai_family == AF_INET) {
      to->family = 4;
      memcpy(to->bytes, &((const struct sockaddr_in *)node->ai_addr)->sin_addr, 4);
    } else if (node->ai_family == AF_INET6) {
      to->family = 6;
      memcpy(to->bytes, &((const struct sockaddr_in6 *)node->ai_addr)->sin6_addr, 16);
    } else {
      continue;
    }
    n++;
  }
  return n;
}

static void answered(void *resolver, int status, int timeouts, struct ares_addrinfo *info) {
  (void)timeouts;
  sky_dns *dns = resolver;
  int n = status == ARES_SUCCESS && info ? copy_addresses(dns, info) : 0;
  if (info) ares_freeaddrinfo(info);
  dns->result = n > 0 ? n : status == ARES_ENOMEM ? SKY_DNS_FULL : SKY_DNS_FAILED;
}

int sky_dns_start(sky_dns *dns, const char *host, uint16_t port) {
  sky_dns_cancel(dns);
  dns->port = port;
  if (sky_address_parse(host, port, &dns->found[0]) == 0) {
    dns->result = 1;
    return 0;
  }
  struct ares_options options;
  memset(&options, 0, sizeof options);
  options.sock_state_cb = socket_changed;
  options.sock_state_cb_data = dns;
  options.lookups = "fb";
  options.timeout = 1500;
  options.tries = 3;
  int mask = ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
             ARES_OPT_QUERY_CACHE;
  if (ares_init_options(&dns->channel, &options, mask) != ARES_SUCCESS) {
    dns->channel = NULL;
    return SKY_DNS_FULL;
  }
  dns->result = SKY_AGAIN;
  struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  ares_getaddrinfo(dns->channel, host, NULL, &hints, answered, dns);
  return 0;
}

int sky_dns_step(sky_dns *dns) {
  if (dns->result == SKY_AGAIN) {
    sky_event ready[16];
    ares_fd_events_t events[16];
    int n = sky_epoll_wait(dns->epoll, ready, 16, 0);
    for (int i = 0; i < n; i++) {
      events[i].fd = (ares_socket_t)ready[i].token;
      events[i].events = 0;
      if (ready[i].flags & SKY_READ) events[i].events |= ARES_FD_EVENT_READ;
      if (ready[i].flags & SKY_WRITE) events[i].events |= ARES_FD_EVENT_WRITE;
    }
    // Without events it still looks after its timeouts.
    ares_process_fds(dns->channel, n > 0 ? events : NULL, n > 0 ? (size_t)n : 0,
                     ARES_PROCESS_FLAG_NONE);
  }
  int result = dns->result;
  if (result != SKY_AGAIN) {
    // sky_dns_cancel wipes nothing of `found`; a further step without a start is a failure.
    sky_dns_cancel(dns);
  }
  return result;
}

int sky_dns_timeout_ms(sky_dns *dns) {
  if (!dns->channel) return dns->result > 0 ? 0 : -1;
  if (dns->result != SKY_AGAIN) return 0;
  struct timeval left;
  if (!ares_timeout(dns->channel, NULL, &left)) return -1;
  return (int)(left.tv_sec * 1000 + (left.tv_usec + 999) / 1000);
}

const sky_address *sky_dns_addresses(const sky_dns *dns) { return dns->found; }

void sky_dns_cancel(sky_dns *dns) {
  if (dns->channel) ares_destroy(dns->channel);  // answers the query with ARES_EDESTRUCTION
  dns->channel = NULL;
  dns->result = SKY_DNS_FAILED;
}
