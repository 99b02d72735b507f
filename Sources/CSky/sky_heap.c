// malloc for the static board programs. glibc's manual allows a program to define the family
// itself ("Replacing malloc"); everything linked in then shares this arena: Swift's objects,
// mbedTLS, c-ares, libc. First fit over an address-ordered free list with coalescing. There is no
// lock: only the main thread may use it, and a worker that does stops the program.
#include "sky_heap.h"

#ifdef SKY_FIXED_HEAP
#include <errno.h>
#include <string.h>
#include <sys/cdefs.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef SKY_HEAP_BYTES
// Pages that were never used cost nothing: the last 800 KiB are for a relay with all its leaves.
#define SKY_HEAP_BYTES (1504 * 1024)
#endif

// How far below a frame the calls that have returned may have left something: more than the stack ever takes.
#define SKY_STACK_BYTES (512 * 1024)
#define UNIT 16u  // alignment and granularity of every block

typedef struct block {
  size_t size;         // whole block, header included, a multiple of UNIT
  struct block *next;  // in the free list; self-pointer marks a block in use
} __attribute__((aligned(16))) block;

static unsigned char arena[SKY_HEAP_BYTES] __attribute__((aligned(16)));
static block *free_list;
static bool ready;
static sky_heap_counts counts = {.arena_bytes = SKY_HEAP_BYTES};

static void heap_init(void) {
  block *whole = (block *)arena;
  whole->size = SKY_HEAP_BYTES;
  whole->next = NULL;
  free_list = whole;
  ready = true;
}

static _Thread_local bool is_forbidden;
void sky_heap_forbid(void) { is_forbidden = true; }
static inline void check_thread(void) {
  if (is_forbidden) __builtin_trap();
}

static void *refuse(void) {
  counts.refusals++;
  errno = ENOMEM;
  return NULL;
}

static void note_use(size_t size) {
  counts.allocations++;
  counts.used_bytes += size;
  if (counts.used_bytes > counts.peak_bytes) counts.peak_bytes = counts.used_bytes;
}

static void *take(size_t bytes) {
  check_thread();
  if (!ready) heap_init();
  if (bytes > SKY_HEAP_BYTES) return refuse();
  size_t need = (bytes + sizeof(block) + UNIT - 1) & ~(size_t)(UNIT - 1);
  for (block **link = &free_list; *link; link = &(*link)->next) {
    block *b = *link;
    if (b->size < need) continue;
    if (b->size - need >= 2 * sizeof(block)) {
      block *rest = (block *)((unsigned char *)b + need);
      rest->size = b->size - need;
      rest->next = b->next;
      *link = rest;
      b->size = need;
    } else {
      *link = b->next;
    }
    b->next = b;
    note_use(b->size);
    return b + 1;
  }
  return refuse();
}

static void give(block *b) {
  block **link = &free_list;
  block *before = NULL;
  while (*link && *link < b) {
    before = *link;
    link = &(*link)->next;
  }
  b->next = *link;
  *link = b;
  if (b->next && (unsigned char *)b + b->size == (unsigned char *)b->next) {
    b->size += b->next->size;
    b->next = b->next->next;
  }
  if (before && (unsigned char *)before + before->size == (unsigned char *)b) {
    before->size += b->size;
    before->next = b->next;
  }
}

// Aligned blocks over UNIT keep their header right before the pointer: the gap in front is split
// off as a free block, so free() needs no special case.
static void *take_aligned(size_t alignment, size_t bytes) {
  if (alignment <= UNIT) return take(bytes);
  if (bytes > SKY_HEAP_BYTES || alignment > SKY_HEAP_BYTES) return refuse();
  unsigned char *raw = take(bytes + alignment + 2 * sizeof(block));
  if (!raw) return NULL;
  uintptr_t address = (uintptr_t)raw;
  if (address % alignment == 0) return raw;
  uintptr_t aligned = (address + 2 * sizeof(block) + alignment - 1) & ~(uintptr_t)(alignment - 1);
  block *front = (block *)raw - 1;
  block *back = (block *)aligned - 1;
  size_t gap = (size_t)((unsigned char *)back - (unsigned char *)front);
  back->size = front->size - gap;
  back->next = back;
  front->size = gap;
  counts.used_bytes -= gap;
  give(front);
  return back + 1;
}

void *malloc(size_t bytes) { return take(bytes); }

void free(void *p) {
  if (!p) return;
  check_thread();
  block *b = (block *)p - 1;
  if (b->next != b) __builtin_trap();  // a double or wild free: stop at once
  counts.frees++;
  counts.used_bytes -= b->size;
  give(b);
}

void *calloc(size_t n, size_t each) {
  size_t bytes;
  if (__builtin_mul_overflow(n, each, &bytes)) return refuse();
  void *p = take(bytes);
  if (p) memset(p, 0, bytes);
  return p;
}

void *realloc(void *p, size_t bytes) {
  if (!p) return take(bytes);
  check_thread();
  block *b = (block *)p - 1;
  size_t room = b->size - sizeof(block);
  if (bytes <= room) return p;
  void *q = take(bytes);
  if (!q) return NULL;
  memcpy(q, p, room);
  free(p);
  return q;
}

void *memalign(size_t alignment, size_t bytes) { return take_aligned(alignment, bytes); }
void *aligned_alloc(size_t alignment, size_t bytes) { return take_aligned(alignment, bytes); }
void *valloc(size_t bytes) { return take_aligned(4096, bytes); }
void *pvalloc(size_t bytes) { return take_aligned(4096, (bytes + 4095) & ~(size_t)4095); }
int posix_memalign(void **out, size_t alignment, size_t bytes) {
  void *p = take_aligned(alignment, bytes);
  if (!p) return ENOMEM;
  *out = p;
  return 0;
}
size_t malloc_usable_size(void *p) { return p ? ((block *)p - 1)->size - sizeof(block) : 0; }

sky_heap_counts sky_heap_read(void) { return counts; }

// Of the linker: a static program that is not position-independent has its headers, constants and code from
// the one to the other, and never writes there.
extern const char __executable_start[], etext[];

void sky_code_release(void) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t start = ((uintptr_t)__executable_start + page - 1) & ~(page - 1);
  uintptr_t end = (uintptr_t)etext & ~(page - 1);
  if (end > start) madvise((void *)start, end - start, MADV_DONTNEED);
}

// Whole pages from start to end go back to the kernel, and are zeros when they are touched again.
static void drop(uintptr_t start, uintptr_t end, uintptr_t page) {
  start = (start + page - 1) & ~(page - 1);
  end &= ~(page - 1);
  if (end > start) madvise((void *)start, end - start, MADV_DONTNEED);
}

static bool is_zero(uintptr_t page, size_t bytes) {
  const uint64_t *words = (const uint64_t *)page;
  for (size_t i = 0; i < bytes / sizeof *words; i++) {
    if (words[i] != 0) return false;
  }
  return true;
}

void sky_memory_release(void) {
  enum { SMALLEST_PAGE = 4096 };
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  // The stack grows down: what lies below this frame was left by calls that have returned.
  unsigned char present[SKY_HEAP_BYTES / SMALLEST_PAGE + 1];
  uintptr_t frame = (uintptr_t)present;
  drop(frame - SKY_STACK_BYTES, frame - page, page);
  for (block *b = free_list; b; b = b->next) drop((uintptr_t)(b + 1), (uintptr_t)b + b->size, page);
  // Of what is in use, a page of zeros can go: it reads as before. Most are buffers that were wiped.
  uintptr_t start = ((uintptr_t)arena + page - 1) & ~(page - 1);
  uintptr_t end = ((uintptr_t)arena + SKY_HEAP_BYTES) & ~(page - 1);
  if (mincore((void *)start, end - start, present) != 0) return;
  for (uintptr_t at = start; at < end; at += page) {
    if ((present[(at - start) / page] & 1) && is_zero(at, page)) drop(at, at + page, page);
  }
}
#else
sky_heap_counts sky_heap_read(void) { return (sky_heap_counts){0}; }
void sky_code_release(void) {}
void sky_memory_release(void) {}
void sky_heap_forbid(void) {}
#endif
