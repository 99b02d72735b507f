// A few threads that share out one piece of work after another.
//
// The caller works too. A thread that the system keeps waiting holds up nothing: pieces are taken one by one,
// and only those that somebody has taken are waited for. Threads look for work for a moment (some 20 µs), then
// sleep until they are woken.
#ifndef SKY_POOL_H
#define SKY_POOL_H
#include <stddef.h>
#include <stdint.h>

typedef struct sky_pool sky_pool;

/// Runs piece `index` of the work. Must not use the heap.
typedef void (*sky_piece)(void *context, uint32_t index);

/// Starts `threads - 1` threads; 1 needs none. NULL when they cannot be started.
sky_pool *sky_pool_start(uint32_t threads);
/// Ends the threads and frees the pool.
void sky_pool_stop(sky_pool *pool);
uint32_t sky_pool_threads(const sky_pool *pool);
/// Runs pieces 0 to `count - 1`, each once, and returns when all have ended.
void sky_pool_run(sky_pool *pool, uint32_t count, sky_piece piece, void *context);

#endif
