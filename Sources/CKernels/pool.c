#define _GNU_SOURCE
#include "sky_pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_THREADS 16u
/// Looks for work, or for the end of it, before sleeping: about 20 µs.
#define SPINS 400

struct sky_pool {
  // Which work it is, above; its next free piece, below. Taking a piece compares both, so that a thread that
  // comes late cannot take a piece of other work.
  _Atomic uint64_t ticket;
  _Atomic uint32_t count;
  _Atomic(sky_piece) piece;
  _Atomic(void *) context;
  _Atomic uint32_t done;
  _Atomic uint32_t round;  // what sleeping threads wait for to change
  _Atomic uint32_t sleeping;
  _Atomic uint32_t caller_sleeps;
  _Atomic uint32_t is_ending;
  uint32_t threads;
  pthread_t thread[MOST_THREADS];
};

static void wait_while(_Atomic uint32_t *word, uint32_t value) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}
static void wake(_Atomic uint32_t *word, int how_many) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, how_many, NULL, NULL, 0);
}
static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ volatile("yield");
#endif
}

// Takes and runs pieces of the present work until none is free.
static void take_pieces(sky_pool *pool) {
  uint64_t ticket = atomic_load(&pool->ticket);
  for (;;) {
    uint32_t index = (uint32_t)ticket, count = atomic_load(&pool->count);
    sky_piece piece = atomic_load(&pool->piece);
    void *context = atomic_load(&pool->context);
    // Should the work have changed since the ticket was read, taking fails, and all is read anew.
    if (index >= count) {
      uint64_t now = atomic_load(&pool->ticket);
      if (now == ticket) return;
      ticket = now;
      continue;
    }
    if (!atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket + 1)) continue;
    piece(context, index);
    if (atomic_fetch_add(&pool->done, 1) + 1 == count && atomic_load(&pool->caller_sleeps)) wake(&pool->done, 1);
    ticket = atomic_load(&pool->ticket);
  }
}

static void *work(void *argument) {
  sky_pool *pool = argument;
  uint32_t seen = 0;
  while (!atomic_load(&pool->is_ending)) {
    uint32_t round = atomic_load(&pool->round);
    if (round != seen) {
      seen = round;
      take_pieces(pool);
      continue;
    }
    int spins = 0;
    while (spins < SPINS && atomic_load(&pool->round) == seen) relax(), spins++;
    if (spins < SPINS) continue;
    atomic_fetch_add(&pool->sleeping, 1);
    if (atomic_load(&pool->round) == seen && !atomic_load(&pool->is_ending)) wait_while(&pool->round, seen);
    atomic_fetch_sub(&pool->sleeping, 1);
  }
  return NULL;
}

sky_pool *sky_pool_start(uint32_t threads) {
  if (threads < 1 || threads > MOST_THREADS) return NULL;
  sky_pool *pool = calloc(1, sizeof *pool);
  if (!pool) return NULL;
  pool->threads = 1;
  // Signals are the main thread's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 * 1024);
  while (pool->threads < threads) {
    if (pthread_create(&pool->thread[pool->threads], &attributes, work, pool) != 0) break;
    pool->threads++;
  }
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (pool->threads == threads) return pool;
  sky_pool_stop(pool);
  return NULL;
}

void sky_pool_stop(sky_pool *pool) {
  if (!pool) return;
  atomic_store(&pool->is_ending, 1);
  atomic_fetch_add(&pool->round, 1);
  wake(&pool->round, (int)MOST_THREADS);
  for (uint32_t i = 1; i < pool->threads; i++) pthread_join(pool->thread[i], NULL);
  free(pool);
}

uint32_t sky_pool_threads(const sky_pool *pool) { return pool->threads; }

void sky_pool_run(sky_pool *pool, uint32_t count, sky_piece piece, void *context) {
  if (pool->threads == 1 || count == 1) {
    for (uint32_t i = 0; i < count; i++) piece(context, i);
    return;
  }
  // First close the old work, then change what it consists of, then open the new.
  uint64_t work_number = (atomic_load(&pool->ticket) >> 32) + 1;
  atomic_store(&pool->ticket, work_number << 32 | UINT32_MAX);
  atomic_store(&pool->count, count);
  atomic_store(&pool->piece, piece);
  atomic_store(&pool->context, context);
  atomic_store(&pool->done, 0);
  atomic_store(&pool->ticket, (work_number + 1) << 32);
  atomic_fetch_add(&pool->round, 1);
  if (atomic_load(&pool->sleeping)) wake(&pool->round, (int)MOST_THREADS);
  take_pieces(pool);
  for (int spins = 0; spins < SPINS; spins++) {
    if (atomic_load(&pool->done) == count) return;
    relax();
  }
  atomic_store(&pool->caller_sleeps, 1);
  uint32_t done;
  while ((done = atomic_load(&pool->done)) != count) wait_while(&pool->done, done);
  atomic_store(&pool->caller_sleeps, 0);
}
